/* sql_split.c - see sql_split.h. */
#include "sql_split.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The statement that is read. A semicolon ends it, but not within brackets (CREATE RULE … DO (a;
 * b)), and not within the body of CREATE FUNCTION … BEGIN ATOMIC a; b; END. */
struct words {
    char *out;
    size_t size;
    unsigned brackets; /* open */
    unsigned bodies;   /* open: BEGIN ATOMIC, and each CASE in it, which also has its END */
    bool after_begin;  /* the last word was BEGIN */
};

static void put(struct words *words, char byte)
{
    bool is_blank = byte == ' ';
    if (words->size + 2 < SQL_WORDS_MAX && !(is_blank && words->out[words->size - 1] == ' ')) {
        words->out[words->size++] = byte;
    }
}

static char peek(const struct sql_splitter *s, size_t ahead)
{
    return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : '\0';
}

static void advance(struct sql_splitter *s, size_t bytes)
{
    for (; bytes > 0 && s->at < s->end; bytes--, s->at++) {
        /* "\r\n" is one end of a line */
        s->line += *s->at == '\n' || (*s->at == '\r' && peek(s, 1) != '\n');
    }
}

/* A carriage return ends a comment, too (PostgreSQL, src/backend/parser/scan.l: non_newline). */
static void skip_line(struct sql_splitter *s)
{
    while (s->at < s->end && *s->at != '\n' && *s->at != '\r') {
        advance(s, 1);
    }
}

/* Behind the closing quote; a doubled one, and with `has_escapes` one behind a backslash, is part
 * of what is quoted. */
static void skip_quoted(struct sql_splitter *s, char quote, bool has_escapes)
{
    advance(s, 1);
    while (s->at < s->end) {
        if (has_escapes && *s->at == '\\') {
            advance(s, 2);
        } else if (*s->at == quote && peek(s, 1) == quote) {
            advance(s, 2);
        } else if (*s->at == quote) {
            advance(s, 1);
            return;
        } else {
            advance(s, 1);
        }
    }
}

/* The size of "$tag$" here; 0: there is none. */
static size_t dollar_tag(const struct sql_splitter *s)
{
    size_t size = 1;
    while (isalnum((unsigned char)peek(s, size)) || peek(s, size) == '_' ||
           (unsigned char)peek(s, size) >= 0x80) {
        size++;
    }
    return peek(s, size) == '$' && !isdigit((unsigned char)peek(s, 1)) ? size + 1 : 0;
}

static void skip_dollars(struct sql_splitter *s, size_t tag_size)
{
    const char *tag = s->at;
    advance(s, tag_size);
    const char *found = memmem(s->at, (size_t)(s->end - s->at), tag, tag_size);
    advance(s, found == NULL ? (size_t)(s->end - s->at) : (size_t)(found - s->at) + tag_size);
}

static void skip_comment(struct sql_splitter *s)
{
    int depth = 0;
    do {
        if (peek(s, 0) == '/' && peek(s, 1) == '*') {
            depth++;
            advance(s, 2);
        } else if (peek(s, 0) == '*' && peek(s, 1) == '/') {
            depth--;
            advance(s, 2);
        } else {
            advance(s, 1);
        }
    } while (depth > 0 && s->at < s->end);
}

static bool is_word(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || byte == '$' ||
           (unsigned char)byte >= 0x80;
}

static bool is(struct span word, const char *wanted)
{
    return word.size == strlen(wanted) &&
           strncasecmp((const char *)word.data, wanted, word.size) == 0;
}

static bool makes_routine(const struct words *words)
{
    static const char *const beginnings[] = {" CREATE FUNCTION ", " CREATE PROCEDURE ",
                                             " CREATE OR REPLACE FUNCTION ",
                                             " CREATE OR REPLACE PROCEDURE "};
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        size_t size = strlen(beginnings[i]);
        if (words->size > size && strncmp(words->out, beginnings[i], size) == 0) {
            return true;
        }
    }
    return false;
}

/* Within brackets, CASE and END come in pairs. */
static void note_body(struct words *words, struct span word)
{
    if (words->brackets > 0) {
        return;
    }
    if (words->after_begin && is(word, "ATOMIC") && makes_routine(words)) {
        words->bodies++;
    } else if (words->bodies > 0 && is(word, "CASE")) {
        words->bodies++;
    } else if (words->bodies > 0 && is(word, "END")) {
        words->bodies--;
    }
    words->after_begin = is(word, "BEGIN");
}

static void take_word(struct sql_splitter *s, struct words *words)
{
    const char *word = s->at;
    while (s->at < s->end && is_word(*s->at)) {
        put(words, (char)toupper((unsigned char)*s->at));
        advance(s, 1);
    }
    note_body(words, span_of(word, (size_t)(s->at - word)));
}

/* What is no word of its own; false when there is no such thing here. */
static bool take_special(struct sql_splitter *s, struct words *words)
{
    char byte = *s->at, next = peek(s, 1);
    size_t tag;
    if (byte == '-' && next == '-') {
        skip_line(s);
    } else if (byte == '/' && next == '*') {
        skip_comment(s);
    } else if ((byte == 'E' || byte == 'e') && next == '\'') {
        advance(s, 1);
        skip_quoted(s, '\'', true);
        put(words, '?');
    } else if (byte == '\'' || byte == '"') {
        skip_quoted(s, byte, false);
        put(words, '?');
    } else if (byte == '$' && (tag = dollar_tag(s)) > 0) {
        skip_dollars(s, tag);
        put(words, '?');
    } else {
        return false;
    }
    put(words, ' ');
    return true;
}

static void note_bracket(struct words *words, char byte)
{
    if (byte == '(') {
        words->brackets++;
    } else if (byte == ')' && words->brackets > 0) {
        words->brackets--;
    }
}

/* One piece; false at the semicolon that ends the statement. */
static bool take_piece(struct sql_splitter *s, struct words *words)
{
    if (take_special(s, words)) {
        return true;
    }
    char byte = *s->at;
    if (byte == ';' && words->brackets == 0 && words->bodies == 0) {
        return false;
    }
    note_bracket(words, byte);
    if (is_word(byte)) {
        take_word(s, words);
        return true;
    }
    bool is_alone = strchr("(),;", byte) != NULL;
    if (isspace((unsigned char)byte) || is_alone) {
        put(words, ' ');
    }
    if (!isspace((unsigned char)byte)) {
        put(words, byte);
    }
    if (is_alone) {
        put(words, ' ');
    }
    advance(s, 1);
    return true;
}

struct sql_splitter sql_splitter_of(struct span file)
{
    const char *text = (const char *)file.data;
    return (struct sql_splitter){.at = text, .end = text + file.size, .line = 1};
}

bool sql_next(struct sql_splitter *s, struct sql_statement *out)
{
    struct words words = {.out = out->words, .size = 1};
    const char *first = NULL;
    out->words[0] = ' ';
    while (s->at < s->end) {
        const char *at = s->at;
        size_t before = words.size;
        int line = s->line;
        bool goes_on = take_piece(s, &words);
        if (first == NULL && words.size > before) {
            first = at;
            out->line = line;
        }
        if (!goes_on) {
            const char *end = s->at;
            advance(s, 1);
            if (first != NULL) {
                out->text = span_of(first, (size_t)(end - first));
                break;
            }
        } else if (first != NULL) {
            out->text = span_of(first, (size_t)(s->at - first));
        }
    }
    put(&words, ' ');
    out->words[words.size] = '\0';
    return first != NULL;
}

bool sql_has(const struct sql_statement *statement, const char *words)
{
    char wanted[128];
    snprintf(wanted, sizeof wanted, " %s ", words);
    return strstr(statement->words, wanted) != NULL;
}

bool sql_begins(const struct sql_statement *statement, const char *words)
{
    size_t size = strlen(words);
    return strncmp(statement->words + 1, words, size) == 0 && statement->words[1 + size] == ' ';
}
