/*
 * frames.c - see frames.h.
 */
#include "frames.h"

#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mask[4] = {0x5a, 0xc3, 0x17, 0x99};

void frame_write(struct writer *out, bool text, struct span payload)
{
    writer_u8(out, text ? 0x81 : 0x82); /* FIN, opcode */
    if (payload.size < 126) {
        writer_u8(out, (uint8_t)(0x80 | payload.size));
    } else if (payload.size < 65536) {
        writer_u8(out, 0x80 | 126);
        writer_be16(out, (uint16_t)payload.size);
    } else {
        writer_u8(out, 0x80 | 127);
        writer_be64(out, payload.size);
    }
    writer_bytes(out, mask, sizeof mask);
    uint8_t *at = writer_take(out, payload.size);
    for (size_t i = 0; at != NULL && i < payload.size; i++) {
        at[i] = payload.data[i] ^ mask[i % 4];
    }
}

static struct span read_file(const char *name)
{
    FILE *in = fopen(name, "rbe");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) {
        die(name);
    }
    long size = ftell(in);
    uint8_t *bytes = malloc((size_t)size + 1);
    rewind(in);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, in) != (size_t)size) {
        fail("%s cannot be read", name);
    }
    fclose(in);
    return span_of(bytes, (size_t)size);
}

/* The next line, without its end; false at the end of the text. */
static bool next_line(struct span *rest, struct span *out)
{
    while (rest->size > 0) {
        const uint8_t *end = memchr(rest->data, '\n', rest->size);
        size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
        *out = span_of(rest->data, size);
        size_t passed = end == NULL ? size : size + 1;
        *rest = span_of(rest->data + passed, rest->size - passed);
        if (size > 0) {
            return true;
        }
    }
    return false;
}

static void write_message_head(struct writer *out, const struct frames_options *options)
{
    char head[200];
    snprintf(head, sizeof head,
             "{\"op\":\"publish\",\"id\":1,\"stream\":\"%s\",\"ack\":\"%s\",\"events\":[",
             options->stream, options->ack);
    writer_string(out, head);
}

/* One message of events_per_frame lines; false when the lines are used up. With `again`, they begin
 * anew then. */
static bool write_message(struct writer *out, const struct frames_options *options,
                          struct span *lines, const struct span *again)
{
    write_message_head(out, options);
    for (unsigned i = 0; i < options->events_per_frame; i++) {
        struct span line;
        if (!next_line(lines, &line)) {
            if (again == NULL) {
                return false;
            }
            *lines = *again;
            if (!next_line(lines, &line)) {
                return false;
            }
        }
        writer_string(out, i == 0 ? "" : ",");
        writer_put(out, line);
    }
    writer_string(out, "]}");
    return true;
}

static struct span encode_message(struct span json, const struct frames_options *options,
                                  uint8_t *scratch, size_t size)
{
    if (options->encoding == ENCODING_JSON) {
        return json;
    }
    struct writer out = writer_of(scratch, size);
    json_to_msgpack(json, &out);
    return writer_span(&out);
}

static size_t count_lines(struct span text)
{
    struct span line;
    size_t count = 0;
    while (next_line(&text, &line)) {
        count++;
    }
    return count;
}

/* Messages one after another into `frames`, through `json` and `packed`, each of `room` bytes. */
static void write_frames(const struct frames_options *options, struct span text, size_t lines,
                         struct frames *out, struct writer *frames, uint8_t *json, uint8_t *packed,
                         size_t room)
{
    struct span rest = text;
    struct writer message = writer_of(json, room);
    bool once = lines < options->events_per_frame;
    while ((!once || out->count == 0) &&
           write_message(&message, options, &rest, once ? &text : NULL)) {
        out->offsets[out->count++] = writer_size(frames);
        frame_write(frames, options->encoding == ENCODING_JSON,
                    encode_message(writer_span(&message), options, packed, room));
        frames->full |= message.full;
        message = writer_of(json, room);
    }
    out->offsets[out->count] = writer_size(frames);
}

void frames_build(const struct frames_options *options, struct frames *out)
{
    struct span text =
        options->event != NULL ? span_string(options->event) : read_file(options->file);
    size_t lines = count_lines(text);
    size_t repeats = lines == 0 ? 1 : options->events_per_frame / lines + 1;
    size_t room = text.size * 2 * repeats + lines * 512 + (1u << 20);
    uint8_t *json = malloc(room), *packed = malloc(room);
    *out = (struct frames){.events_per_frame = options->events_per_frame};
    out->bytes = malloc(room * 2);
    out->offsets = malloc(sizeof *out->offsets * (lines + 2));
    if (json == NULL || packed == NULL || out->bytes == NULL || out->offsets == NULL) {
        fail("no memory for the events");
    }
    struct writer frames = writer_of(out->bytes, room * 2);
    write_frames(options, text, lines, out, &frames, json, packed, room);
    if (out->count == 0 || frames.full) {
        fail("%s holds no events that fit a message",
             options->event != NULL ? "--event" : options->file);
    }
    if (options->event == NULL) {
        free((void *)text.data);
    }
    free(json);
    free(packed);
}

void frames_fini(struct frames *frames)
{
    free(frames->bytes);
    free(frames->offsets);
}
