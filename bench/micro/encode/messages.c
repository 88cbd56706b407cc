/* messages.c - see messages.h. */
#include "messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

double cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

void messages_add(struct messages *messages, struct span message)
{
    uint8_t *copy = malloc(message.size);
    if (copy == NULL) {
        bench_fail("messages", "no memory");
    }
    memcpy(copy, message.data, message.size);
    messages->at[messages->count++] = span_of(copy, message.size);
    messages->bytes += message.size;
}

/* One message of the next lines; false at the end of the file. */
static bool read_message(FILE *file, struct writer *out)
{
    static char *line;
    static size_t room;
    writer_string(out, "{\"op\":\"publish\",\"id\":1,\"stream\":\"behavior\",\"events\":[");
    for (unsigned i = 0; i < EVENTS_A_MESSAGE; i++) {
        ssize_t size = getline(&line, &room, file);
        if (size < 0) {
            return false;
        }
        writer_string(out, i == 0 ? "" : ",");
        writer_bytes(out, line, (size_t)size - 1);
    }
    writer_string(out, "]}");
    return true;
}

void messages_read(struct messages *messages, const char *file_name)
{
    static uint8_t text[MESSAGE_BYTES_MAX];
    FILE *file = fopen(file_name, "rbe");
    if (file == NULL) {
        bench_fail(file_name, strerror(errno));
    }
    struct writer json = writer_of(text, sizeof text);
    while (messages->count < MESSAGES_MAX && read_message(file, &json)) {
        messages_add(messages, writer_span(&json));
        json = writer_of(text, sizeof text);
    }
    fclose(file);
    if (messages->count == 0) {
        bench_fail(file_name, "holds fewer events than one message takes");
    }
}

size_t messages_events(const struct messages *messages)
{
    return messages->count * EVENTS_A_MESSAGE;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void print_samples(const char *encoding, const char *work, const struct messages *messages,
                   double *samples, size_t rounds)
{
    double event_bytes = (double)messages->bytes / (double)messages_events(messages);
    qsort(samples, rounds, sizeof samples[0], compare_doubles);
    printf(
        "{\"encoding\": \"%s\", \"work\": \"%s\", \"ns\": %.1f, \"least_ns\": %.1f, \"most_ns\": "
        "%.1f, \"event_bytes\": %.0f}\n",
        encoding, work, samples[rounds / 2], samples[0], samples[rounds - 1], event_bytes);
}
