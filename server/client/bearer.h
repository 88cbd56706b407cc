/*
 * bearer.h - the token that the command line shows to a server: from a file or the environment,
 * never from an argument, which everybody on the machine could read.
 */
#ifndef PENSTOCK_CLIENT_BEARER_H
#define PENSTOCK_CLIENT_BEARER_H

#include "penstock/bytes.h"
#include "penstock/status.h"

#define BEARER_BYTES_MAX 8192

/* The token in `file`, or with NULL in PENSTOCK_TOKEN; size 0: there is none. UNAVAILABLE: the file
 * cannot be read, or holds no token. */
enum status bearer_read(const char *file, char room[BEARER_BYTES_MAX + 1], struct span *out,
                        struct problem *problem) must_use;

#endif
