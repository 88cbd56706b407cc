#include "load.h"

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

static void die(const char *what, const char *why)
{
    fprintf(stderr, "penstock_load: %s: %s\n", what, why);
    exit(1);
}

static struct span read_file(const char *name)
{
    FILE *in = fopen(name, "rbe");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) {
        die(name, strerror(errno));
    }
    long size = ftell(in);
    uint8_t *bytes = malloc((size_t)size + 1);
    rewind(in);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, in) != (size_t)size) {
        die(name, "cannot be read");
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

/* One message of events_per_frame lines; false when the lines are used up. */
static bool write_message(struct writer *out, const struct frames_options *options,
                          struct span *lines)
{
    write_message_head(out, options);
    for (unsigned i = 0; i < options->events_per_frame; i++) {
        struct span line;
        if (!next_line(lines, &line)) {
            return false;
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

void frames_build(const struct frames_options *options, struct frames *out)
{
    struct span text = read_file(options->file);
    size_t room = text.size * 2 + (1u << 20);
    uint8_t *json = malloc(room), *packed = malloc(room);
    *out = (struct frames){.events_per_frame = options->events_per_frame};
    out->bytes = malloc(room * 2);
    out->offsets = malloc(sizeof *out->offsets * (text.size / 2 + 2));
    if (json == NULL || packed == NULL || out->bytes == NULL || out->offsets == NULL) {
        die("frames", "no memory");
    }
    struct writer frames = writer_of(out->bytes, room * 2);
    struct writer message = writer_of(json, room);
    struct span rest = text;
    while (write_message(&message, options, &rest)) {
        out->offsets[out->count++] = writer_size(&frames);
        frame_write(&frames, options->encoding == ENCODING_JSON,
                    encode_message(writer_span(&message), options, packed, room));
        message = writer_of(json, room);
    }
    out->offsets[out->count] = writer_size(&frames);
    if (out->count == 0 || frames.full) {
        die(options->file, "holds fewer events than one message takes");
    }
    free((void *)text.data);
    free(json);
    free(packed);
}

void frames_fini(struct frames *frames)
{
    free(frames->bytes);
    free(frames->offsets);
}
