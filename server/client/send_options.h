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

#define DEFAULT_URL "ws://127.0.0.1:8080/v1/ws"

/* Shared with tail: getopt_long() wants a program's name before the arguments. NULL: no memory. */
char **arguments_with_name(int argc, char **argv, const char *name);
/* A whole number in least … most; says what is wrong and returns false. */
bool argument_number(const char *flag, const char *text, uint64_t least, uint64_t most,
                     uint64_t *out);

#endif
