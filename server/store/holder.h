/*
 * holder.h - whoever has the lock of a lane that we want: another server that lives, or what is
 * left of one that was killed. Private to store/.
 *
 * The two look alike: a session in pg_stat_activity. What tells them apart is what only a process
 * can do that lives, which is to send something new. A committer that has nothing to do sends a
 * sign of life every SIGN_EVERY_US; one that has, commits. Of a process that is gone, one exchange
 * at the most is still on its way to PostgreSQL, because a committer sends the next when the last
 * is answered: it may move the lane's checkpoint, once, and its session may come to rest behind it,
 * once. The third change is the work of a process that lived when we had looked already.
 *
 * So who is gone is never taken for a server that lives, however long a lock, a slow disk or a
 * network that is cut keeps its session; a server that lives but shows nothing (its batch waits for
 * a table) is waited for, too, which harms nobody.
 */
#ifndef PENSTOCK_STORE_HOLDER_H
#define PENSTOCK_STORE_HOLDER_H

#include "text.h"

#include "penstock/base.h"

#include <libpq-fe.h>

#define SIGN_EVERY_US (2 * 1000 * 1000)

struct holder {
    char name[160]; /* for people; empty: the last look found nobody */
    bool is_remote;
    char session[64];    /* which one it is: process number and start */
    char rested[40];     /* when it last came to rest, in PostgreSQL's words; empty: not seen */
    char checkpoint[24]; /* of its lane */
    unsigned signs;      /* changes of the two since this session was first seen */
    int64_t sign_us;     /* when the last was seen */
};

/* Appends the question for the holder of the lane's lock. `key` is the lock's and `ended` the
 * condition under which its session l, a is to be ended, both in SQL. */
void holder_ask(struct text *sql, struct span key, struct span ended, const char *node,
                unsigned lane);
/* The next look begins: nobody is known to hold the lock. */
void holder_forget(struct holder *holder);
/* The answer, whose first column is named "holder". */
void holder_read(struct holder *holder, const PGresult *result, int64_t now_us);
/* Its server has proved that it lives, and lately. */
bool holder_lives(const struct holder *holder, int64_t now_us);

#endif
