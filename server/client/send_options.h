/* send_options.h - the arguments of `penstock send`. */
#ifndef PENSTOCK_CLIENT_SEND_OPTIONS_H
#define PENSTOCK_CLIENT_SEND_OPTIONS_H

#include "run.h"

#include "penstock/wire.h"

struct send_options {
    const char *stream;
    const char *file; /* NULL: standard input */
    const char *url, *ack, *id_field;
    const char *token_file; /* NULL: PENSTOCK_TOKEN */
    char *state_file;       /* owns; NULL: none */
    enum encoding encoding;
    uint32_t batch, inflight;
    unsigned wait_s;
    bool skips_invalid;
};

/* False: all is said, and `*out_exit` is the exit code (of --help or of wrong usage). */
bool send_options_read(int argc, char **argv, struct send_options *out, int *out_exit);
void send_options_fini(struct send_options *options);

#endif
