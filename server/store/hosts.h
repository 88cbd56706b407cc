/*
 * hosts.h - the servers that a URL names: looked up beside the caller's thread, tried in turn.
 * Private to store/.
 *
 * libpq looks names up by itself and waits for the answer, without a deadline; a lane's thread
 * keeps the journal, too, and must not wait. And a caller with a deadline of its own gives the
 * whole attempt up at the first server that is silent: so the next attempt begins with another one.
 */
#ifndef PENSTOCK_STORE_HOSTS_H
#define PENSTOCK_STORE_HOSTS_H

#include "penstock/base.h"

#define HOST_BYTES_MAX 256 /* a name (RFC 1035: 253), or the path of a socket's folder */
#define HOSTS_MAX      32

/* As libpq wants them: a name or a folder, and where it is known an address. */
struct host {
    char name[HOST_BYTES_MAX], address[46], port[8]; /* "" where there is none */
};

struct hosts {
    size_t count; /* 0: the URL names none, libpq has its defaults */
    struct host list[HOSTS_MAX];
};

/* What the URL says. BAD_CONFIG: it cannot be read, or names more than HOSTS_MAX. */
enum status hosts_read(const char *url, struct hosts *out, struct problem *problem) must_use;
/* Is there a name without an address? */
bool hosts_need_lookup(const struct hosts *hosts);

/* The values of libpq's host, hostaddr and port, beginning with the server at `turn`. */
struct host_lists {
    char host[HOSTS_MAX * HOST_BYTES_MAX], address[HOSTS_MAX * 46], port[HOSTS_MAX * 8];
};
void hosts_join(const struct hosts *hosts, unsigned turn, struct host_lists *out);

/* ---- looking names up ------------------------------------------------------------------------ */

struct lookup;
/* Starts a thread that looks up what is missing. NULL: no thread or no memory. */
struct lookup *lookup_start(const struct hosts *hosts);
int lookup_fd(const struct lookup *lookup); /* readable when it has ended */
/* After that: the hosts with their addresses, one entry for each address. A name that nobody knows
 * stays as it is; libpq then says so. */
void lookup_take(const struct lookup *lookup, struct hosts *out);
/* Lets go of it, whether it has ended or not. Accepts NULL. */
void lookup_release(struct lookup *lookup);

#endif
