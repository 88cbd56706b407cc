/*
 * tape_json.c - MessagePack as JSON text, straight from the tape's tokens.
 *
 * What must be known of a string was found when the tape was read: a plain one is copied between
 * quotes. Nothing here can fail; what has no JSON form is `null`, and whoever minds has asked for
 * FLAW_NO_JSON_FORM before. Containers nest by recursion, as deep as WIRE_DEPTH_MAX.
 */
#include "number.h"
#include "tape_word.h"

/* So many bytes are copied at once, whatever the string's size, where both sides have them: a copy
 * of constant size is two moves, one of unknown size a call and a guess or two. */
#define SHORT_BYTES 32

static void write_plain(const struct tape *tape, struct writer *out, struct span text)
{
    uint8_t *at = writer_take(out, text.size + 2);
    if (at == NULL) {
        return;
    }
    at[0] = '"';
    if (text.size <= SHORT_BYTES && writer_room(out) >= SHORT_BYTES &&
        tape->message_end - text.data >= SHORT_BYTES) {
        memcpy(at + 1, text.data, SHORT_BYTES);
    } else {
        memcpy(at + 1, text.data, text.size);
    }
    at[text.size + 1] = '"';
}

static void write_integer(struct writer *out, int64_t value)
{
    char digits[NUMBER_INTEGER_BYTES_MAX];
    writer_bytes(out, digits, number_format_int64(value, digits));
}

/* The children of a map are names and values in turn. */
static uint32_t write_children(const struct tape *tape, uint32_t token, uint32_t end, bool is_map,
                               struct writer *out)
{
    bool is_first = true;
    writer_u8(out, is_map ? '{' : '[');
    while (token < end) {
        if (!is_first) {
            writer_u8(out, ',');
        }
        is_first = false;
        if (is_map) {
            token = tape_json(tape, token, out);
            writer_u8(out, ':');
        }
        token = tape_json(tape, token, out);
    }
    writer_u8(out, is_map ? '}' : ']');
    return end;
}

/* Numbers of two words, timestamps, and what has no JSON form. */
static uint32_t write_rare(const struct tape *tape, uint32_t token, struct writer *out)
{
    struct value value;
    uint32_t next = tape_value(tape, token, NULL, &value);
    value_json(&value, out);
    return next;
}

uint32_t tape_json(const struct tape *tape, uint32_t token, struct writer *out)
{
    uint64_t word = tape->words[token];
    switch (word_kind(word)) {
    case TAPE_PLAIN:
        write_plain(tape, out, word_bytes(tape, word));
        return token + 1;
    case TAPE_STRING:
        json_string(out, word_bytes(tape, word));
        return token + 1;
    case TAPE_INT:
        write_integer(out, word_integer(word));
        return token + 1;
    case TAPE_NULL:
        writer_bytes(out, "null", 4);
        return token + 1;
    case TAPE_FALSE:
        writer_bytes(out, "false", 5);
        return token + 1;
    case TAPE_TRUE:
        writer_bytes(out, "true", 4);
        return token + 1;
    case TAPE_ARRAY:
    case TAPE_MAP:
        return write_children(tape, token + 1, word_end(word), word_kind(word) == TAPE_MAP, out);
    default:
        return write_rare(tape, token, out);
    }
}
