/* audit_text.c - see audit_text.h. */
#include "audit_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct scan {
    const char *at, *end;
    bool has_string;
};

static bool begins_word(char byte)
{
    return isalpha((unsigned char)byte) || byte == '_' || (unsigned char)byte >= 0x80;
}

static bool is_of_word(char byte)
{
    return begins_word(byte) || isdigit((unsigned char)byte) || byte == '$';
}

static bool looks_at(const struct scan *scan, const char *mark)
{
    size_t size = strlen(mark);
    return (size_t)(scan->end - scan->at) >= size && memcmp(scan->at, mark, size) == 0;
}

/* ---- what is left out ------------------------------------------------------------------------ */

static void skip_line(struct scan *scan)
{
    while (scan->at < scan->end && *scan->at != '\n') {
        scan->at++;
    }
}

/* Comments nest. */
static void skip_comment(struct scan *scan)
{
    int depth = 0;
    do {
        if (looks_at(scan, "/*")) {
            depth++;
            scan->at += 2;
        } else if (looks_at(scan, "*/")) {
            depth--;
            scan->at += 2;
        } else {
            scan->at++;
        }
    } while (depth > 0 && scan->at < scan->end);
}

/* Behind the quote that ends what begins here; a doubled one does not, nor one behind a backslash
 * where those count. */
static void skip_quoted(struct scan *scan, bool has_escapes)
{
    char quote = *scan->at++;
    while (scan->at < scan->end) {
        char byte = *scan->at++;
        bool is_doubled = byte == quote && scan->at < scan->end && *scan->at == quote;
        if (is_doubled || (byte == '\\' && has_escapes && scan->at < scan->end)) {
            scan->at++;
        } else if (byte == quote) {
            return;
        }
    }
}

/* $tag$ … $tag$; without its end it lasts to the end. */
static void skip_dollar(struct scan *scan)
{
    const char *tag = scan->at++;
    while (scan->at < scan->end && *scan->at != '$') {
        scan->at++;
    }
    size_t size = (size_t)(scan->at - tag) + 1;
    const char *close = scan->at < scan->end
                            ? memmem(scan->at + 1, (size_t)(scan->end - scan->at) - 1, tag, size)
                            : NULL;
    scan->at = close == NULL ? scan->end : close + size;
}

/* $tag$ or $$, not $1. */
static bool is_dollar_quote(const struct scan *scan)
{
    const char *at = scan->at + 1;
    if (at < scan->end && isdigit((unsigned char)*at)) {
        return false;
    }
    while (at < scan->end && is_of_word(*at) && *at != '$') {
        at++;
    }
    return at < scan->end && *at == '$';
}

static void skip_number(struct scan *scan)
{
    while (scan->at < scan->end &&
           (isalnum((unsigned char)*scan->at) || *scan->at == '.' || *scan->at == '_')) {
        bool is_exponent = *scan->at == 'e' || *scan->at == 'E';
        scan->at++;
        if (is_exponent && scan->at < scan->end && (*scan->at == '+' || *scan->at == '-')) {
            scan->at++;
        }
    }
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static void keep(struct text *out, const char *from, const char *to)
{
    for (; from < to; from++) {
        char byte = iscntrl((unsigned char)*from) ? ' ' : *from;
        text_bytes(out, &byte, 1);
    }
}

/* A word, or the prefix of a string: E'…', B'…', N'…', X'…', U&'…'. */
static void take_word(struct scan *scan, struct text *out)
{
    const char *word = scan->at;
    while (scan->at < scan->end && is_of_word(*scan->at)) {
        scan->at++;
    }
    size_t size = (size_t)(scan->at - word);
    bool is_unicode = size == 1 && tolower((unsigned char)*word) == 'u' && looks_at(scan, "&'");
    if (is_unicode) {
        scan->at++;
    }
    bool is_prefix = size == 1 && strchr("bBeEnNxX", *word) != NULL && looks_at(scan, "'");
    if (is_unicode || is_prefix) {
        skip_quoted(scan, tolower((unsigned char)*word) == 'e');
        scan->has_string = true;
        text_string(out, "?");
        return;
    }
    keep(out, word, scan->at);
}

static void take_dollar(struct scan *scan, struct text *out)
{
    const char *from = scan->at;
    if (is_dollar_quote(scan)) {
        skip_dollar(scan);
        scan->has_string = true;
        text_string(out, "?");
        return;
    }
    do {
        scan->at++;
    } while (scan->at < scan->end && isdigit((unsigned char)*scan->at));
    keep(out, from, scan->at);
}

/* One blank for any number of blanks and comments. */
static bool take_blank(struct scan *scan, struct text *out)
{
    const char *from = scan->at;
    for (;;) {
        if (looks_at(scan, "--")) {
            skip_line(scan);
        } else if (looks_at(scan, "/*")) {
            skip_comment(scan);
        } else if (scan->at < scan->end && isspace((unsigned char)*scan->at)) {
            scan->at++;
        } else {
            break;
        }
    }
    if (scan->at > from && out->size > 0 && scan->at < scan->end) {
        text_string(out, " ");
    }
    return scan->at > from;
}

static void take_token(struct scan *scan, struct text *out)
{
    const char *from = scan->at;
    char byte = *scan->at;
    if (byte == '\'') {
        skip_quoted(scan, false);
        scan->has_string = true;
        text_string(out, "?");
    } else if (byte == '"') {
        skip_quoted(scan, false);
        keep(out, from, scan->at);
    } else if (byte == '$') {
        take_dollar(scan, out);
    } else if (isdigit((unsigned char)byte)) {
        skip_number(scan);
        text_string(out, "?");
    } else if (begins_word(byte)) {
        take_word(scan, out);
    } else {
        scan->at++;
        keep(out, from, scan->at);
    }
}

/* ---- statements ------------------------------------------------------------------------------ */

static void read_verb(const struct text *out, size_t from, struct statement_facts *facts)
{
    static const char *const queries[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
                                          "MERGE",  "WITH",   "VALUES", "TABLE"};
    size_t size = 0;
    const char *at = text_value(out) + from;
    at += strspn(at, "( ");
    while (isalpha((unsigned char)at[size]) && size + 1 < sizeof facts->verb) {
        facts->verb[size] = (char)toupper((unsigned char)at[size]);
        size++;
    }
    facts->verb[size] = '\0';
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        facts->is_query = facts->is_query || strcmp(facts->verb, queries[i]) == 0;
    }
}

/* Cuts at the beginning of a rune. */
static void cut(struct text *out, size_t most)
{
    if (out->data == NULL || out->size <= most) {
        return;
    }
    size_t size = most;
    while (size > 0 && ((unsigned char)out->data[size] & 0xC0) == 0x80) {
        size--;
    }
    out->size = size;
    out->data[size] = '\0';
    text_string(out, "…");
}

void statement_scrub(struct span statement, size_t limit, struct text *out,
                     struct statement_facts *facts)
{
    const char *text = (const char *)statement.data;
    struct scan scan = {.at = text, .end = text + statement.size};
    size_t from = out->size;
    *facts = (struct statement_facts){0};
    while (scan.at < scan.end) {
        if (*scan.at == ';') {
            facts->is_compound = true;
        }
        if (!take_blank(&scan, out)) {
            take_token(&scan, out);
        }
    }
    facts->has_string = scan.has_string;
    read_verb(out, from, facts);
    cut(out, from + limit);
}

void plan_scrub(struct span line, struct text *out)
{
    const char *text = (const char *)line.data;
    struct scan scan = {.at = text, .end = text + line.size};
    size_t indent = strspn(text, " ");
    if (memmem(text, line.size, "(cost=", 6) != NULL) {
        keep(out, text, text + line.size);
        return;
    }
    text_bytes(out, text, indent);
    scan.at += indent;
    while (scan.at < scan.end) {
        if (!take_blank(&scan, out)) {
            take_token(&scan, out);
        }
    }
}
