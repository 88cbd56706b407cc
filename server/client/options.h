/* options.h - what `penstock send` and `penstock tail` share in reading their arguments. */
#ifndef PENSTOCK_CLIENT_OPTIONS_H
#define PENSTOCK_CLIENT_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#define DEFAULT_URL "ws://127.0.0.1:8080/v1/ws"

struct options {
    const char *command; /* "penstock send" */
    const char *help;
    const struct option *known; /* for getopt_long(); 'h' is --help */
    /* One option; and all that is none. False, after they said it: the usage is wrong. */
    bool (*read_option)(int option, const char *text, void *owner);
    bool (*read_names)(int count, char **names, void *owner);
};

/* Reads what stands behind the command's name. False: all is said, and `*out_exit` is the exit code
 * (of --help or of wrong usage). */
bool options_read(const struct options *options, int argc, char **argv, void *owner, int *out_exit);

/* A whole number in least … most; says what is wrong and returns false. */
bool option_number(const char *flag, const char *text, uint64_t least, uint64_t most,
                   uint64_t *out);

#endif
