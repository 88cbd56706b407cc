/*
 * text.h - text that grows: SQL strings, JSON and array literals. Private to store/.
 *
 * A text keeps its memory when it is cleared, so that what is made again for every batch costs no
 * allocation once it has seen its largest. What did not fit into memory sets `failed`, and the
 * caller asks once, at the end.
 */
#ifndef PENSTOCK_STORE_TEXT_H
#define PENSTOCK_STORE_TEXT_H

#include "penstock/bytes.h"
#include "penstock/status.h"

struct text {
    char *data; /* owns; always ends with a zero once something was written */
    size_t size, room;
    bool failed; /* no memory: what is there is not whole */
};

void text_fini(struct text *text);
void text_clear(struct text *text);
/* Room for `more` bytes and a zero behind them; false (and failed) when there is no memory. */
bool text_reserve(struct text *text, size_t more);
void text_bytes(struct text *text, const void *data, size_t size);
void text_string(struct text *text, const char *string);
void text_u64(struct text *text, uint64_t value);
void text_format(struct text *text, const char *format, ...) printf_like(2, 3);

/* "name", with quotes inside doubled. */
void text_identifier(struct text *text, const char *name);
/* 'value'; needs standard_conforming_strings = on, which every connection of ours sets. */
void text_literal(struct text *text, struct span value);
/* One element of an array literal: "value", with quotes and backslashes escaped. */
void text_array_element(struct text *text, struct span value);
/* A JSON string; the value must be valid UTF-8. */
void text_json_string(struct text *text, struct span value);

static inline struct span text_span(const struct text *text)
{
    return span_of(text->data, text->size);
}

/* Never NULL. */
static inline const char *text_value(const struct text *text)
{
    return text->data == NULL ? "" : text->data;
}

#endif
