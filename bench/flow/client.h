/*
 * client.h - what the load generators share: a WebSocket session on a plain socket, and latencies.
 *
 * Whatever fails ends the program with a sentence: a benchmark that goes on measures nothing.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "penstock/wire.h"

int64_t now_us(void); /* monotonic */
_Noreturn void die(const char *what);

/* A session behind its handshake; `welcome` comes as the first frame. Does not block. */
int client_connect(const char *host, unsigned port, enum encoding encoding);
/* Sends it all, waiting where the socket is full. */
void client_send(int fd, struct span bytes);
/* One server frame at the front of `bytes`: its size, or 0 when it is not whole. The payload is
 * empty when it is a ping or the like. */
size_t frame_read(struct span bytes, struct span *out_payload);

void latencies_sort(uint32_t *latencies, size_t count);
uint32_t latencies_at(const uint32_t *sorted, size_t count, double share); /* 0.99: p99 */

#endif
