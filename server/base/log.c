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

_Atomic(enum log_level) log_least = LOG_INFO;
static _Atomic(enum log_format) log_format = LOG_FORMAT_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_open(enum log_format format, enum log_level least)
{
    atomic_store(&log_format, format);
    atomic_store(&log_least, least);
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

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    int saved_errno = errno;
    char message[MESSAGE_BYTES_MAX], line[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
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
