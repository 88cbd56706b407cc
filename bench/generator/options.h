/* options.h - the command line of penstock-bench. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "client.h"
#include "frames.h"

#define INFLIGHT_MAX 4096

struct options {
    const char *url;
    struct frames_options frames;
    enum encoding encoding;
    unsigned connections, inflight;
    double rate;     /* events a second, open loop; 0: closed loop */
    uint64_t events; /* 0: until `seconds` are over */
    double seconds;  /* 0: until `events` are answered */
    const char *token_file, *channel;
    bool open_only, hold, alone, as_json, trust_any;
};

/* Exits after --help, --version and when something is wrong. */
void options_read(int argc, char **argv, struct options *out);

#endif
