/*
 * console.h - the files of the live page, embedded in the binary at build time.
 *
 * Any thread; the bytes are constant and live as long as the process.
 */
#ifndef PENSTOCK_CONSOLE_H
#define PENSTOCK_CONSOLE_H

#include "penstock/bytes.h"

struct console_file {
    const char *path; /* "/", "/penstock.js" … as in the request */
    const char *type; /* "text/html; charset=utf-8" … */
    const uint8_t *data;
    size_t size;
};

/* The file served under this path, or NULL. */
const struct console_file *console_find(struct span path);

#endif
