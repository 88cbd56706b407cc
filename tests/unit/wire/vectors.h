/*
 * vectors.h - reads proto/vectors with our own JSON reader, and small helpers that the tests of
 * this folder share.
 *
 * Memory is taken from the heap and given back by vectors_close(); a failure to read ends the test.
 */
#ifndef PENSTOCK_TESTS_WIRE_VECTORS_H
#define PENSTOCK_TESTS_WIRE_VECTORS_H

#include "penstock/wire.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include <cmocka.h>

/* All cases of one file. */
struct vectors {
    char *bytes; /* owns */
    struct value file;
    struct array_cursor cases;
};
void vectors_open(struct vectors *vectors, const char *name);
void vectors_close(struct vectors *vectors);
/* The next case, a map; false at the end. */
bool vectors_next(struct vectors *vectors, struct value *out_case);

/* A member of a map; false when it is not there. */
bool member(const struct value *map, const char *name, struct value *out);
/* A string member's text, terminated. The caller frees it; NULL when it is not there. */
char *member_text(const struct value *map, const char *name);
/* The bytes that `text`, or else `hex`, gives: a string, or pieces with how often each comes.
 * Exactly as long as its contents, so that the address sanitizer sees a read past the end. The
 * caller frees it; NULL when neither is there. */
uint8_t *member_bytes(const struct value *map, const char *text, const char *hex, size_t *out_size);
/* The bits that a list of flaws names; 0 when there is none. */
unsigned member_flaws(const struct value *map, const char *name);

/* A copy on the heap with nothing behind it. */
uint8_t *exact_copy(struct span bytes);

/* Fails unless both JSON texts say the same, whatever their spaces and escapes. */
void assert_json_equal(struct span a, struct span b, const char *about);

struct decoder *decoder_new(size_t message_bytes_max);

#endif
