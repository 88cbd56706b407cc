/*
 * state.h - a run, kept in a file so that another process can go on with it.
 *
 * One line of JSON with a checksum of its own. It is replaced as a whole (written beside, synced,
 * renamed, the folder synced), so a reader finds the old one or the new one, whenever the power
 * goes.
 */
#ifndef PENSTOCK_CLIENT_STATE_H
#define PENSTOCK_CLIENT_STATE_H

#include "run.h"

/* What a state must agree with before its run may go on. */
struct state_subject {
    const char *stream, *id_field;
};

enum status state_save(const char *file, const struct state_subject *subject, const struct run *run,
                       struct problem *problem) must_use;
/* `*out_found` is false when there is no such file. BAD_CONFIG: it is damaged, or of something
 * else. */
enum status state_load(const char *file, const struct state_subject *subject, struct run *out,
                       bool *out_found, struct problem *problem) must_use;

#endif
