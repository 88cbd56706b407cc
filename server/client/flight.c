/* flight.c - see flight.h. */
#include "flight.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADER_BYTES 128 /* names, punctuation, the id */

enum status flight_init(struct flight *flight, uint32_t events_max, struct problem *problem)
{
    *flight = (struct flight){.events_max = events_max};
    flight->events = calloc(events_max, sizeof *flight->events);
    if (flight->events == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for messages of %u events",
                           events_max);
    }
    return STATUS_OK;
}

void flight_fini(struct flight *flight)
{
    free(flight->events);
    free(flight->bytes);
    *flight = (struct flight){0};
}

enum status flight_begin(struct flight *flight, uint64_t id, size_t bytes, struct problem *problem)
{
    flight->bytes = malloc(bytes);
    if (flight->bytes == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a message of %zu bytes",
                           bytes);
    }
    flight->id = id;
    flight->state = FLIGHT_READY;
    flight->count = 0;
    flight->used = flight->event_bytes = 0;
    flight->room = bytes;
    return STATUS_OK;
}

struct writer flight_room(struct flight *flight)
{
    return writer_of(flight->bytes + flight->used, flight->room - flight->used);
}

void flight_add(struct flight *flight, uint64_t line, size_t size)
{
    flight->events[flight->count++] = (struct flight_event){line, flight->used, size};
    flight->used += size;
    flight->event_bytes += size;
}

void flight_drop(struct flight *flight, uint32_t index)
{
    flight->event_bytes -= flight->events[index].size;
    flight->count--;
    memmove(&flight->events[index], &flight->events[index + 1],
            (flight->count - index) * sizeof flight->events[0]);
}

void flight_shrink(struct flight *flight)
{
    uint8_t *smaller = realloc(flight->bytes, flight->used);
    if (smaller != NULL) {
        flight->bytes = smaller;
        flight->room = flight->used;
    }
}

void flight_finish(struct flight *flight)
{
    free(flight->bytes);
    flight->bytes = NULL;
    flight->used = flight->room = 0;
    flight->state = FLIGHT_DONE;
}

uint64_t flight_line(const struct flight *flight, uint64_t index)
{
    return index < flight->count ? flight->events[index].line : 0;
}

size_t flight_header_bytes(const struct flight_header *header)
{
    return HEADER_BYTES + strlen(header->stream);
}

/* `op` and `stream` come before `events`, so that the server reads the message in one pass. */
static void write_header(const struct flight *flight, const struct flight_header *header,
                         struct writer *out)
{
    char id[32];
    int size = snprintf(id, sizeof id, "%llu", (unsigned long long)flight->id);
    writer_string(out, "{\"op\":\"publish\",\"id\":");
    writer_bytes(out, id, (size_t)size);
    writer_string(out, ",\"stream\":");
    json_string(out, span_string(header->stream));
    writer_string(out, ",\"ack\":");
    json_string(out, span_string(header->ack));
    writer_string(out, ",\"events\":[");
}

static void put_event(const struct flight *flight, uint32_t index, struct writer *out)
{
    const struct flight_event *event = &flight->events[index];
    writer_bytes(out, flight->bytes + event->start, event->size);
}

static void write_json(const struct flight *flight, const struct flight_header *header,
                       struct writer *out)
{
    write_header(flight, header, out);
    for (uint32_t i = 0; i < flight->count; i++) {
        if (i > 0) {
            writer_u8(out, ',');
        }
        put_event(flight, i, out);
    }
    writer_string(out, "]}");
}

/* The header with an empty array is converted as a whole; its last byte, that array, is then
 * replaced by the real one: MessagePack has no closing marks. */
static void write_msgpack(const struct flight *flight, const struct flight_header *header,
                          struct writer *out)
{
    char text[HEADER_BYTES * 8];
    struct writer json = writer_of(text, sizeof text);
    write_header(flight, header, &json);
    writer_string(&json, "]}");
    json_to_msgpack(writer_span(&json), out);
    if (out->full || json.full) {
        out->full = true;
        return;
    }
    out->next--;
    writer_u8(out, 0xdd); /* array 32 */
    writer_be32(out, flight->count);
    for (uint32_t i = 0; i < flight->count; i++) {
        put_event(flight, i, out);
    }
}

void flight_write(const struct flight *flight, const struct flight_header *header,
                  struct writer *out)
{
    if (header->encoding == ENCODING_JSON) {
        write_json(flight, header, out);
    } else {
        write_msgpack(flight, header, out);
    }
}
