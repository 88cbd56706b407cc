/* sql_split.c - see sql_split.h. */
#include "sql_split.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct words {
    char *out;
    size_t size;
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
        s->line += *s->at == '\n';
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

static void take_word(struct sql_splitter *s, struct words *words)
{
    while (s->at < s->end && is_word(*s->at)) {
        put(words, (char)toupper((unsigned char)*s->at));
        advance(s, 1);
    }
}

/* What is no word of its own; false when there is no such thing here. */
static bool take_special(struct sql_splitter *s, struct words *words)
{
    char byte = *s->at, next = peek(s, 1);
    size_t tag;
    if (byte == '-' && next == '-') {
        const char *line_end = memchr(s->at, '\n', (size_t)(s->end - s->at));
        advance(s, line_end == NULL ? (size_t)(s->end - s->at) : (size_t)(line_end - s->at));
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

/* One piece; false behind the semicolon that ends the statement. */
static bool take_piece(struct sql_splitter *s, struct words *words)
{
    if (take_special(s, words)) {
        return true;
    }
    char byte = *s->at;
    if (byte == ';') {
        return false;
    }
    if (is_word(byte)) {
        take_word(s, words);
        return true;
    }
    bool is_alone = strchr("(),", byte) != NULL;
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
