/*
 * log.c - one line an event worth knowing, in logfmt or JSON, in one write(2).
 *
 *     time=2026-05-04T10:11:12.345678Z level=info area=edge msg="listening on 127.0.0.1:8080"
 *     {"time":"2026-05-04T10:11:12.345678Z","level":"info","area":"edge","msg":"listening …"}
 *
 * 1. The message is formatted into a buffer on the stack.
 * 2. It is copied as a JSON string (logfmt readers take the same escapes): quotes, backslashes and
 *    control characters are escaped, bytes that are not UTF-8 become U+FFFD. So no message can end
 *    its line, forge another, or drive a terminal, whatever a peer put into it.
 * 3. The line goes out in one write(2). It is shorter than PIPE_BUF (4096), so that on a pipe the
 *    lines of several threads do not mix either (pipe(7)).
 *
 * A place of the program that says the same again and again (a peer that is refused, say) is heard
 * only so often: see log_write_from().
 *
 * A log that cannot be written (a closed or full pipe) is dropped: logging must not stop the
 * server.
 */
#include "penstock/base.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 2048,
    TAIL_BYTES = 4,       /* what closes a line: quote, brace, newline */
    ESCAPE_BYTES_MAX = 6, /* \u001f */
    MESSAGE_BYTES_MAX = LINE_BYTES_MAX,
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

_Atomic(enum log_level) log_least = LOG_INFO;
static _Atomic(enum log_format) log_format = LOG_FORMAT_LOGFMT;

/* The levels in use are never written to: new ones go into the other slot. */
static struct log_levels slots[2] = {{.least = LOG_INFO}, {.least = LOG_INFO}};
static _Atomic(const struct log_levels *) levels_now = &slots[0];

void log_open(enum log_format format, enum log_level least)
{
    struct log_levels levels = {.least = least};
    atomic_store(&log_format, format);
    log_set_levels(&levels);
}

void log_set_levels(const struct log_levels *levels)
{
    struct log_levels *slot = atomic_load(&levels_now) == &slots[0] ? &slots[1] : &slots[0];
    enum log_level least = levels->least;
    for (size_t i = 0; i < levels->area_count; i++) {
        least = levels->areas[i].least < least ? levels->areas[i].least : least;
    }
    *slot = *levels;
    atomic_store(&levels_now, slot);
    atomic_store(&log_least, least);
}

static bool read_level(struct span word, enum log_level *out)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (span_is(word, level_names[level])) {
            *out = (enum log_level)level;
            return true;
        }
    }
    return false;
}

/* "edge=debug" */
static bool read_area(struct span word, struct log_levels *out)
{
    const uint8_t *equals = memchr(word.data, '=', word.size);
    size_t size = equals == NULL ? 0 : (size_t)(equals - word.data);
    if (size == 0 || size > LOG_AREA_BYTES_MAX || out->area_count == LOG_AREAS_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (word.data[i] < 'a' || word.data[i] > 'z') {
            return false;
        }
    }
    memcpy(out->areas[out->area_count].name, word.data, size);
    return read_level(span_of(equals + 1, word.size - size - 1),
                      &out->areas[out->area_count++].least);
}

bool log_levels_read(const char *text, struct log_levels *out)
{
    *out = (struct log_levels){.least = LOG_INFO};
    for (bool is_first = true;; is_first = false) {
        struct span word = span_of(text, strcspn(text, ","));
        if (is_first ? !read_level(word, &out->least) : !read_area(word, out)) {
            return false;
        }
        if (text[word.size] == '\0') {
            return true;
        }
        text += word.size + 1;
    }
}

static enum log_level least_of(const char *area)
{
    const struct log_levels *levels = atomic_load_explicit(&levels_now, memory_order_acquire);
    for (size_t i = 0; i < levels->area_count; i++) {
        if (strcmp(levels->areas[i].name, area) == 0) {
            return levels->areas[i].least;
        }
    }
    return levels->least;
}

/* Bytes of the well-formed rune at the front (RFC 3629), 0 when there is none. */
static size_t rune_bytes(const uint8_t *at, const uint8_t *end)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xC0 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (size < 2 || at[0] > 0xF4 || (size_t)(end - at) < size) {
        return size == 1;
    }
    uint32_t rune = at[0] & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
        rune = rune << 6 | (at[i] & 0x3F);
    }
    bool good = rune >= least[size] && rune <= 0x10FFFF && (rune < 0xD800 || rune > 0xDFFF);
    return good ? size : 0;
}

/* Writes one rune escaped, and returns the bytes it took from `at`. */
static size_t put_rune(struct writer *out, const uint8_t *at, const uint8_t *end)
{
    size_t size = rune_bytes(at, end);
    if (size == 0) {
        writer_string(out, "\xEF\xBF\xBD");
        return 1;
    }
    bool is_c1_control = size == 2 && at[0] == 0xC2 && at[1] < 0xA0;
    if (at[0] < 0x20 || at[0] == 0x7F || is_c1_control) {
        char escape[ESCAPE_BYTES_MAX + 1];
        snprintf(escape, sizeof escape, "\\u%04x", is_c1_control ? at[1] : at[0]);
        writer_string(out, at[0] == '\n' ? "\\n" : at[0] == '\t' ? "\\t" : escape);
        return size;
    }
    if (at[0] == '"' || at[0] == '\\') {
        writer_u8(out, '\\');
    }
    writer_bytes(out, at, size);
    return size;
}

static void put_message(struct writer *out, const char *message)
{
    const uint8_t *at = (const uint8_t *)message;
    const uint8_t *end = at + strlen(message);
    while (at < end && writer_room(out) >= ESCAPE_BYTES_MAX + TAIL_BYTES) {
        at += put_rune(out, at, end);
    }
}

static void put_head(struct writer *out, enum log_format format, enum log_level level,
                     const char *area)
{
    int64_t now_us = clock_unix_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char day[32], head[160];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(head, sizeof head,
             format == LOG_FORMAT_JSON
                 ? "{\"time\":\"%s.%06dZ\",\"level\":\"%s\",\"area\":\"%.40s\",\"msg\":\""
                 : "time=%s.%06dZ level=%s area=%.40s msg=\"",
             day, (int)(now_us % 1000000), level_names[level], area);
    writer_string(out, head);
}

static void write_line(enum log_level level, const char *area, const char *format,
                       va_list arguments)
{
    int saved_errno = errno;
    char message[MESSAGE_BYTES_MAX], line[LINE_BYTES_MAX];
    int length = vsnprintf(message, sizeof message, format, arguments);
    if (length < 0) {
        message[0] = '\0';
    }

    enum log_format line_format = atomic_load_explicit(&log_format, memory_order_relaxed);
    struct writer out = writer_of(line, sizeof line);
    put_head(&out, line_format, level, area);
    put_message(&out, message);
    writer_string(&out, line_format == LOG_FORMAT_JSON ? "\"}\n" : "\"\n");

    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, writer_size(&out));
    } while (written < 0 && errno == EINTR);
    errno = saved_errno;
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    if (level < least_of(area)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, area, format, arguments);
    va_end(arguments);
}

/* Counts a line of this place. True: it is to be written. `*out_left_out`: so many before it were
 * not. Threads may meet here; then a line more or less is written. */
static bool admit(struct log_place *place, uint32_t *out_left_out)
{
    int64_t now_us = clock_monotonic_us();
    int64_t since_us = atomic_load_explicit(&place->since_us, memory_order_relaxed);
    *out_left_out = 0;
    if ((since_us == 0 || now_us - since_us >= LOG_PLACE_US) &&
        atomic_compare_exchange_strong(&place->since_us, &since_us, now_us)) {
        uint32_t count = atomic_exchange(&place->count, 0);
        *out_left_out = count > LOG_PLACE_MOST ? count - LOG_PLACE_MOST : 0;
    }
    return atomic_fetch_add(&place->count, 1) < LOG_PLACE_MOST;
}

void log_write_from(struct log_place *place, enum log_level level, const char *area,
                    const char *format, ...)
{
    uint32_t left_out = 0;
    if (level < least_of(area) || (level > LOG_DEBUG && !admit(place, &left_out))) {
        return;
    }
    if (left_out > 0) {
        log_write(level, area, "%u lines like the next one were left out", left_out);
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, area, format, arguments);
    va_end(arguments);
}
