/*
 * dead_letter.h - what the files of `penstock dead-letter` share. Private to server/.
 *
 *   dead_letter.c          arguments, the connection, which action
 *   dead_letter_list.c     list and show
 *   dead_letter_settle.c   retry and drop
 */
#ifndef SERVER_DEAD_LETTER_H
#define SERVER_DEAD_LETTER_H

#include "commands.h"

#include "penstock/store.h"

#define LETTERS_LISTED 50 /* unless --limit says otherwise */

struct letter_options {
    struct letter_filter filter; /* --stream, --sqlstate */
    bool all, json, yes;
    uint64_t limit;
    int64_t *ids; /* owns */
    size_t id_count;
};

/* Each returns the exit code; what went wrong is said. */
int letters_list(struct store *store, const struct letter_options *options);
int letters_show(struct store *store, const struct letter_options *options);
int letters_retry(struct store *store, const struct letter_options *options);
int letters_drop(struct store *store, const struct letter_options *options);
/* Prints what may come from a publisher, its control characters made harmless. */
void letters_print(void *stdio_file, const char *text);

#endif
