/*
 * tape.c - MessagePack through msgpack-c's unpacking template (msgpack/unpack_template.h): a state
 * machine over bytes that calls back once a value and allocates nothing.
 *
 * Life of a message:
 *   1. the template reads a header and calls us with the value, or with a container's claimed
 *      count;
 *   2. a claim is weighed against the bytes there are: every child needs one byte at least, so a
 *      count that the message could not hold is refused before anything follows from it;
 *   3. each value becomes a token behind the last one; after each child the template names the
 *      container again, and its token learns where its children end and which flaws are among them;
 *   4. the message must end where its one value ends.
 *
 * What the template leaves to us, found by reading it (msgpack-c 4.0.0): it hands out a stale
 * pointer with a string or binary of size 0; an ext 32 that claims 2^32-1 bytes wraps its size to
 * 0; more than MSGPACK_EMBED_STACK_SIZE open containers end with MSGPACK_UNPACK_NOMEM_ERROR.
 */
#include "tape.h"

#include "plain.h"
#include "rfc3339.h"
#include "tape_word.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>

#define TIMESTAMP_TYPE (-1) /* the MessagePack specification, "Timestamp extension type" */

/* ---- what the template calls ----------------------------------------------------------------- */

struct tape_writer {
    struct tape *tape;
    size_t size;        /* of the message */
    uint64_t needed;    /* bytes that the message must have for what it has claimed so far */
    const char *reason; /* why a callback refused */
};

#define MSGPACK_EMBED_STACK_SIZE   WIRE_DEPTH_MAX
#define MSGPACK_UNPACK_PARSE_ERROR (-1)
#define MSGPACK_UNPACK_NOMEM_ERROR (-2)

#include <msgpack/unpack_define.h>

#define msgpack_unpack_struct(name)    struct template##name
#define msgpack_unpack_func(ret, name) static inline ret template_##name
#define msgpack_unpack_callback(name)  on##name
#define msgpack_unpack_object          uint32_t /* a token */
#define msgpack_unpack_user            struct tape_writer

static inline int refuse(struct tape_writer *w, const char *reason)
{
    w->reason = reason;
    return MSGPACK_UNPACK_PARSE_ERROR;
}

static const char ENDS_EARLY[] = "the message is shorter than what it announces";

static inline int claim(struct tape_writer *w, uint64_t bytes)
{
    w->needed += bytes;
    return w->needed <= w->size ? 0 : refuse(w, ENDS_EARLY);
}

static inline int put(struct tape_writer *w, uint64_t word, uint32_t *out)
{
    *out = w->tape->count;
    w->tape->words[w->tape->count++] = word;
    return 0;
}

static inline int put_wide(struct tape_writer *w, uint64_t word, uint64_t second, uint32_t *out)
{
    put(w, word, out);
    w->tape->words[w->tape->count++] = second;
    return 0;
}

static inline int put_bytes(struct tape_writer *w, enum tape_kind kind, unsigned flaws,
                            const void *bytes, size_t size, uint32_t *out)
{
    uint64_t offset = size > 0 ? (uint64_t)((const uint8_t *)bytes - w->tape->message) : 0;
    return put(w, word_of(kind, flaws, (uint64_t)size << PLACE_BITS | offset), out);
}

static inline int put_int(struct tape_writer *w, int64_t value, uint32_t *out)
{
    uint64_t word = word_of(TAPE_INT, 0, (uint64_t)value);
    if (word_integer(word) == value) {
        return put(w, word, out);
    }
    return put_wide(w, word_of(TAPE_INT_WIDE, 0, 0), (uint64_t)value, out);
}

static inline uint32_t on_root(struct tape_writer *w)
{
    (void)w;
    return 0;
}

static inline int on_uint8(struct tape_writer *w, uint8_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_uint16(struct tape_writer *w, uint16_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_uint32(struct tape_writer *w, uint32_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_uint64(struct tape_writer *w, uint64_t value, uint32_t *out)
{
    if (value <= INT64_MAX) {
        return put_int(w, (int64_t)value, out);
    }
    return put_wide(w, word_of(TAPE_UINT_WIDE, 0, 0), value, out);
}

static inline int on_int8(struct tape_writer *w, int8_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_int16(struct tape_writer *w, int16_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_int32(struct tape_writer *w, int32_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_int64(struct tape_writer *w, int64_t value, uint32_t *out)
{
    return put_int(w, value, out);
}

static inline int on_double(struct tape_writer *w, double value, uint32_t *out)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned flaws = isfinite(value) ? 0 : FLAW_NO_JSON_FORM;
    return put_wide(w, word_of(TAPE_FLOAT_WIDE, flaws, 0), bits, out);
}

static inline int on_float(struct tape_writer *w, float value, uint32_t *out)
{
    return on_double(w, value, out);
}

static inline int on_nil(struct tape_writer *w, uint32_t *out)
{
    return put(w, word_of(TAPE_NULL, 0, 0), out);
}

static inline int on_true(struct tape_writer *w, uint32_t *out)
{
    return put(w, word_of(TAPE_TRUE, 0, 0), out);
}

static inline int on_false(struct tape_writer *w, uint32_t *out)
{
    return put(w, word_of(TAPE_FALSE, 0, 0), out);
}

static inline int on_str(struct tape_writer *w, const char *base, const char *bytes, unsigned size,
                         uint32_t *out)
{
    (void)base;
    bool has_nul;
    if (text_is_plain(span_of(bytes, size))) {
        put_bytes(w, TAPE_PLAIN, 0, bytes, size, out);
        return claim(w, size);
    }
    if (!utf8_inspect(span_of(bytes, size), &has_nul)) {
        return refuse(w, "a string is not valid UTF-8 (raw bytes belong in bin)");
    }
    put_bytes(w, TAPE_STRING, has_nul ? FLAW_NUL : 0, bytes, size, out);
    return claim(w, size);
}

static inline int on_bin(struct tape_writer *w, const char *base, const char *bytes, unsigned size,
                         uint32_t *out)
{
    (void)base;
    put_bytes(w, TAPE_BINARY, FLAW_NO_JSON_FORM, bytes, size, out);
    return claim(w, size);
}

static inline int put_timestamp(struct tape_writer *w, const char *bytes, unsigned size,
                                uint32_t *out)
{
    struct span body = span_of(bytes, size);
    int64_t seconds;
    uint32_t nanoseconds;
    if (!timestamp_unpack(body, &seconds, &nanoseconds)) {
        return refuse(w, "a timestamp must have 4, 8 or 12 bytes and less than 10^9 nanoseconds");
    }
    unsigned flaws = rfc3339_has(seconds) ? 0 : FLAW_NO_JSON_FORM;
    return put_bytes(w, TAPE_TIMESTAMP, flaws, bytes, size, out);
}

/* `size` counts the type, which is the first byte. */
static inline int on_ext(struct tape_writer *w, const char *base, const char *bytes, unsigned size,
                         uint32_t *out)
{
    (void)base;
    if (size == 0) {
        return refuse(w, ENDS_EARLY); /* 2^32-1 and the type: see the head of this file */
    }
    if (claim(w, size) != 0) {
        return MSGPACK_UNPACK_PARSE_ERROR;
    }
    if ((int8_t)bytes[0] == TIMESTAMP_TYPE) {
        return put_timestamp(w, bytes + 1, size - 1, out);
    }
    return put_bytes(w, TAPE_EXTENSION, FLAW_NO_JSON_FORM, bytes + 1, size - 1, out);
}

/* Children that are there come later, one by one; an empty container ends where it begins. */
static inline int put_container(struct tape_writer *w, enum tape_kind kind, uint64_t children,
                                uint32_t *out)
{
    put(w, word_of(kind, 0, (uint64_t)w->tape->count + 1), out);
    return claim(w, children);
}

static inline int on_array(struct tape_writer *w, unsigned count, uint32_t *out)
{
    return put_container(w, TAPE_ARRAY, count, out);
}

static inline int on_map(struct tape_writer *w, unsigned count, uint32_t *out)
{
    return put_container(w, TAPE_MAP, 2 * (uint64_t)count, out);
}

/* The container's last child so far is whole. */
static inline void extend(struct tape_writer *w, uint32_t container, unsigned flaws)
{
    uint64_t *word = &w->tape->words[container];
    *word = word_of(word_kind(*word), word_flaws(*word) | flaws, w->tape->count);
}

static inline int on_array_item(struct tape_writer *w, uint32_t *container, uint32_t item)
{
    extend(w, *container, word_flaws(w->tape->words[item]));
    return 0;
}

static inline bool is_string(uint64_t word)
{
    return word_kind(word) == TAPE_PLAIN || word_kind(word) == TAPE_STRING;
}

static inline int on_map_item(struct tape_writer *w, uint32_t *container, uint32_t name,
                              uint32_t value)
{
    uint64_t name_word = w->tape->words[name];
    unsigned flaws = word_flaws(name_word) | word_flaws(w->tape->words[value]);
    if (!is_string(name_word)) {
        flaws |= FLAW_NO_JSON_FORM;
    }
    extend(w, *container, flaws);
    return 0;
}

#include <msgpack/unpack_template.h>

/* ---- the tape -------------------------------------------------------------------------------- */

enum status tape_init(struct tape *tape, size_t message_bytes_max, struct problem *problem)
{
    *tape = (struct tape){.room = (uint32_t)message_bytes_max};
    /* Never cleared, so that the kernel gives pages only to what messages touch. */
    tape->words = malloc(message_bytes_max * sizeof *tape->words);
    if (tape->words == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY,
                           "no memory to decode messages of %zu bytes: lower message_bytes",
                           message_bytes_max);
    }
    return STATUS_OK;
}

void tape_fini(struct tape *tape)
{
    free(tape->words);
    tape->words = NULL;
}

static enum status tape_refused(int result, const struct tape_writer *w, size_t at,
                                struct problem *problem)
{
    if (result == MSGPACK_UNPACK_NOMEM_ERROR) {
        return problem_set(problem, STATUS_TOO_LARGE,
                           "arrays and maps are nested deeper than %d levels near byte %zu",
                           WIRE_DEPTH_MAX, at);
    }
    const char *reason = w->reason;
    if (reason == NULL) {
        reason = result == 0 ? ENDS_EARLY : "0xc1 begins no value";
    }
    return problem_set(problem, STATUS_MALFORMED, "not MessagePack near byte %zu: %s", at, reason);
}

enum status tape_read(struct tape *tape, struct span message, struct problem *problem)
{
    tape->count = 0;
    tape->message = message.data;
    tape->message_end = message.data + message.size;
    if (message.size == 0) {
        return problem_set(problem, STATUS_MALFORMED, "the message is empty");
    }
    struct template_context context;
    context.user = (struct tape_writer){.tape = tape, .size = message.size, .needed = 1};
    template__init(&context);
    size_t at = 0;
    int result = template__execute(&context, (const char *)message.data, message.size, &at);
    if (result <= 0) {
        return tape_refused(result, &context.user, at, problem);
    }
    if (at != message.size) {
        return problem_set(problem, STATUS_MALFORMED,
                           "not one MessagePack value: it ends at byte %zu of %zu", at,
                           message.size);
    }
    return STATUS_OK;
}

/* ---- reading the tape ------------------------------------------------------------------------ */

static void container_value(struct value *out, enum value_kind kind, uint32_t token, uint64_t word)
{
    out->kind = kind;
    out->token = token + 1;
    out->token_end = word_end(word);
}

static void bytes_value(struct value *out, enum value_kind kind, const struct tape *tape,
                        uint64_t word)
{
    out->kind = kind;
    out->raw = word_bytes(tape, word);
}

uint32_t tape_value(const struct tape *tape, uint32_t token, const struct decoder *decoder,
                    struct value *out)
{
    uint64_t word = tape->words[token];
    *out =
        (struct value){.encoding = ENCODING_MSGPACK, .flaws = word_flaws(word), .decoder = decoder};
    switch (word_kind(word)) {
    case TAPE_NULL:
        out->kind = VALUE_NULL;
        return token + 1;
    case TAPE_FALSE:
    case TAPE_TRUE:
        out->kind = VALUE_BOOL;
        out->boolean = word_kind(word) == TAPE_TRUE;
        return token + 1;
    case TAPE_INT:
        out->kind = VALUE_INT;
        out->integer = word_integer(word);
        return token + 1;
    case TAPE_INT_WIDE:
        out->kind = VALUE_INT;
        out->integer = (int64_t)tape->words[token + 1];
        return token + 2;
    case TAPE_UINT_WIDE:
        out->kind = VALUE_UINT;
        out->natural = tape->words[token + 1];
        return token + 2;
    case TAPE_FLOAT_WIDE:
        out->kind = VALUE_FLOAT;
        memcpy(&out->real, &tape->words[token + 1], sizeof out->real);
        return token + 2;
    case TAPE_STRING:
    case TAPE_PLAIN:
        bytes_value(out, VALUE_STRING, tape, word);
        return token + 1;
    case TAPE_BINARY:
        bytes_value(out, VALUE_BINARY, tape, word);
        return token + 1;
    case TAPE_TIMESTAMP:
        bytes_value(out, VALUE_TIMESTAMP, tape, word);
        (void)timestamp_unpack(out->raw, &out->seconds, &out->nanoseconds); /* it was when read */
        return token + 1;
    case TAPE_EXTENSION:
        bytes_value(out, VALUE_EXTENSION, tape, word);
        return token + 1;
    case TAPE_ARRAY:
        container_value(out, VALUE_ARRAY, token, word);
        return word_end(word);
    case TAPE_MAP:
        container_value(out, VALUE_MAP, token, word);
        return word_end(word);
    }
    return token + 1;
}
