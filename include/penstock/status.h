/*
 * status.h - what went wrong, and what the caller should do about it.
 *
 * Every function that can fail returns an `enum status`, and zero is success. "Full", "empty" and
 * "would block" are answers of their own and are not in this list. The place of failure writes the
 * reason once, into the caller's `struct problem`; upper levels add context with problem_context();
 * whoever handles it logs or sends it, once.
 *
 * Any thread may call anything here; a `struct problem` belongs to one thread.
 */
#ifndef PENSTOCK_STATUS_H
#define PENSTOCK_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define must_use                         __attribute__((warn_unused_result))
#define printf_like(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* Whose move it is. */
enum status_class {
    CLASS_SUCCESS,
    CLASS_PEER,     /* the client sent something wrong: tell it, go on */
    CLASS_WAIT,     /* passing: try again later */
    CLASS_OPERATOR, /* configuration, privileges, disk: a person must act */
    CLASS_OURS,     /* a bug or an exhausted resource of this process */
    CLASS_STOP,     /* durability is in doubt: stop acknowledging and exit */
};

/*
 * The one list. The third column is the word that the protocol uses as `code` in an `error`
 * message (proto/README.md); every status has one, so that nothing is answered without a reason.
 */
#define STATUS_LIST(X)                                          \
    X(OK, CLASS_SUCCESS, "ok")                                  \
    X(MALFORMED, CLASS_PEER, "malformed")                       \
    X(INVALID_EVENT, CLASS_PEER, "invalid_event")               \
    X(INVALID_CHANNEL, CLASS_PEER, "invalid_channel")           \
    X(UNKNOWN_STREAM, CLASS_PEER, "unknown_stream")             \
    X(NOT_SUBSCRIBED, CLASS_PEER, "not_subscribed")             \
    X(UNAUTHORIZED, CLASS_PEER, "unauthorized")                 \
    X(FORBIDDEN, CLASS_PEER, "forbidden")                       \
    X(TOO_LARGE, CLASS_PEER, "too_large")                       \
    X(TOO_MANY, CLASS_PEER, "too_many")                         \
    X(UNSUPPORTED, CLASS_PEER, "unsupported")                   \
    X(REJECTED_BY_DATABASE, CLASS_PEER, "rejected_by_database") \
    X(RATE_LIMITED, CLASS_WAIT, "rate_limited")                 \
    X(OVERLOADED, CLASS_WAIT, "overloaded")                     \
    X(UNAVAILABLE, CLASS_WAIT, "unavailable")                   \
    X(BAD_CONFIG, CLASS_OPERATOR, "bad_config")                 \
    X(BAD_DATABASE, CLASS_OPERATOR, "bad_database")             \
    X(BAD_JOURNAL, CLASS_OPERATOR, "bad_journal")               \
    X(ADDRESS_IN_USE, CLASS_OPERATOR, "address_in_use")         \
    X(DISK_FULL, CLASS_OPERATOR, "disk_full")                   \
    X(IO, CLASS_OPERATOR, "io")                                 \
    X(NO_MEMORY, CLASS_OURS, "no_memory")                       \
    X(INTERNAL, CLASS_OURS, "internal")                         \
    X(JOURNAL_FAILED, CLASS_STOP, "journal_failed")

enum status {
#define STATUS_ENUM(name, class, word) STATUS_##name,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

#define STATUS_ONE(name, class, word) +1
enum { STATUS_KINDS = 0 STATUS_LIST(STATUS_ONE) };
#undef STATUS_ONE

enum status_class status_class(enum status status);
const char *status_word(enum status status); /* static string, never NULL */

/* The reason of one failure. Fixed size, so that refusing costs no allocation. */
struct problem {
    enum status status;
    int32_t index;           /* which event of the message, from 0; -1: not about one event */
    uint32_t retry_after_ms; /* 0: not given */
    char field[96];          /* which field, "" where it is not about one; UTF-8, cut at a rune */
    char text[400];          /* a sentence for a person: what, where, what to do */
};

/* Empties `problem`: status OK, index -1. */
void problem_clear(struct problem *problem);

/* Writes the reason and returns `status`, so that a failing function can `return problem_set(…)`.
 * Clears index, field and retry_after_ms. Text beyond the field's size is cut. */
enum status problem_set(struct problem *problem, enum status status, const char *format, ...)
    printf_like(3, 4);

/* Puts "<context>: " before the text that is there. */
void problem_context(struct problem *problem, const char *format, ...) printf_like(2, 3);

#endif
