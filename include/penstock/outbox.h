/*
 * outbox.h - one thread that publishes what others wrote: an ORM, psql, a trigger.
 *
 * Whoever calls penstock.publish(), or writes into a table that has the trigger publish_row(), puts
 * a row into penstock.outbox in his own transaction (server/store/schema/outbox.sql). One node, the
 * publisher, takes what has become visible there, and puts it into the log in short transactions of
 * its own; that gives the events their offsets. From there they go the way of all others: NOTIFY,
 * feed, window, subscribers.
 *
 * Which node: the one that has an advisory lock of PostgreSQL. The others ask for it every two
 * seconds or so. The lock goes with the publisher's session, and what a batch takes out of the
 * outbox and puts into the log is one transaction: whenever a publisher dies, each event is
 * published once.
 *
 * This thread has a connection and nothing urgent to do, so it also asks how full PostgreSQL's
 * queue of notifications is: a session that listens and stays in a transaction fills it, and when
 * it is full no commit that notifies succeeds.
 *
 * Threads: outbox_open/close are main's, outbox_run the thread's own, outbox_stop anybody's.
 */
#ifndef PENSTOCK_OUTBOX_H
#define PENSTOCK_OUTBOX_H

#include "penstock/config.h"
#include "penstock/node.h"

struct outbox;

struct outbox_options {
    const struct settings *settings;
    struct node *node; /* keeps node->outbox */
};
enum status outbox_open(const struct outbox_options *options, struct outbox **out,
                        struct problem *problem) must_use;
void outbox_run(struct outbox *outbox);
void outbox_stop(struct outbox *outbox);
void outbox_close(struct outbox *outbox); /* accepts NULL */

#endif
