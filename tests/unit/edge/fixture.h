/*
 * fixture.h - what tests of a whole edge have in common: one edge for each test, clients that are
 * connected while it runs, and requests by HTTP whose answer is looked at as text.
 */
#ifndef EDGE_FIXTURE_H
#define EDGE_FIXTURE_H

#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST  "Host: localhost\r\n"
#define CLOSE "Connection: close\r\n"

static struct harness harness;
static struct client client;
static char answer[256 << 10]; /* to the last request by HTTP */

/* ---- the edge: for settings of its own, a test prepares, and starts itself ------------------- */

static inline int prepare(void **state)
{
    (void)state;
    harness_prepare(&harness);
    return 0;
}

static inline int start(void **state)
{
    prepare(state);
    harness_start(&harness);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    harness_stop(&harness);
    return 0;
}

/* ---- requests by HTTP ------------------------------------------------------------------------ */

/* One request on a connection of its own. */
static inline void ask(const char *request)
{
    static struct client asking;
    client_connect(&asking, harness.port);
    client_write_text(&asking, request);
    client_read_all(&asking, answer, sizeof answer);
    client_close(&asking);
}

static inline void get(const char *path)
{
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST CLOSE "\r\n", path);
    ask(request);
}

static inline void expect(const char *part)
{
    if (strstr(answer, part) == NULL) {
        fail_msg("expected %s in\n%s", part, answer);
    }
}

/* How often a limit was hit, from an answer with the metrics. */
static inline uint64_t answered_hits(const char *limit)
{
    char line[100];
    snprintf(line, sizeof line, "penstock_limit_hits_total{limit=\"%s\"} ", limit);
    const char *at = strstr(answer, line);
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}

static inline uint64_t hits(const char *limit)
{
    get("/metrics");
    return answered_hits(limit);
}

#endif
