/*
 * status.c - the words and classes of statuses, and how a reason is written down.
 *
 * A problem's text travels to a client as JSON, so it must stay valid UTF-8 however long the
 * sentence was: it is cut between runes, never inside one.
 */
#include "penstock/status.h"

#include <stdio.h>
#include <string.h>

static const struct {
    enum status_class class;
    const char *word;
} statuses[] = {
#define STATUS_ROW(name, class_, word_) [STATUS_##name] = {class_, word_},
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

enum status_class status_class(enum status status)
{
    return (unsigned)status < STATUS_COUNT ? statuses[status].class : CLASS_OURS;
}

const char *status_word(enum status status)
{
    return (unsigned)status < STATUS_COUNT ? statuses[status].word : "internal";
}

void problem_clear(struct problem *problem)
{
    problem->status = STATUS_OK;
    problem->index = -1;
    problem->retry_after_ms = 0;
    problem->field[0] = '\0';
    problem->text[0] = '\0';
}

/* `text` was cut to `size` bytes by snprintf(): takes away a rune that lost its end. */
static void trim_rune(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && size - start < 4) {
        start--;
        unsigned char byte = (unsigned char)text[start];
        if ((byte & 0xC0) == 0x80) {
            continue; /* inside a rune: its first byte stands before */
        }
        size_t length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        if (start + length > size) {
            text[start] = '\0';
        }
        return;
    }
}

/* The callers format aside first, because an argument may point into the text being replaced. */
static void format_cut(char *out, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(out, size, format, arguments);
    if (length < 0) {
        out[0] = '\0';
    } else if ((size_t)length >= size) {
        trim_rune(out, size - 1);
    }
}

enum status problem_set(struct problem *problem, enum status status, const char *format, ...)
{
    char text[sizeof problem->text];
    va_list arguments;
    va_start(arguments, format);
    format_cut(text, sizeof text, format, arguments);
    va_end(arguments);

    problem_clear(problem);
    problem->status = status;
    strcpy(problem->text, text);
    return status;
}

void problem_context(struct problem *problem, const char *format, ...)
{
    char context[sizeof problem->text];
    va_list arguments;
    va_start(arguments, format);
    format_cut(context, sizeof context, format, arguments);
    va_end(arguments);

    char text[sizeof problem->text + sizeof context];
    int length = snprintf(text, sizeof text, "%s: %s", context, problem->text);
    if ((size_t)length >= sizeof problem->text) {
        trim_rune(text, sizeof problem->text - 1);
        text[sizeof problem->text - 1] = '\0';
    }
    strcpy(problem->text, text);
}
