/*
 * msgpack_fuzz.c - any bytes as the value of a MessagePack message:
 *   - they are accepted exactly when the reference accepts them;
 *   - strings are UTF-8 inside the message, a container's flaws are those of what it holds;
 *   - what has a JSON form is valid JSON, with the same flaws but those that JSON has not.
 */
#include "reference.h"

#include "../fuzz.h"

#include "penstock/wire.h"

static const char HEAD[] = "\x83\xa2op\xa9"
                           "broadcast\xa7"
                           "channel\xa1"
                           "c\xa4"
                           "data";
#define HEAD_BYTES (sizeof HEAD - 1)

unsigned long fuzz_taken;

static unsigned check_value(const struct value *value, struct span message)
{
    struct array_cursor cursor;
    struct value child;
    unsigned flaws = 0;
    int64_t integer;
    check(is_inside(value->raw, message));
    switch (value->kind) {
    case VALUE_ARRAY:
    case VALUE_MAP: /* the tape has names and values in turn, and an array's cursor shows both */
        array_begin(value, &cursor);
        for (bool is_name = true; array_next(&cursor, &child); is_name = !is_name) {
            flaws |= check_value(&child, message);
            if (value->kind == VALUE_MAP && is_name && child.kind != VALUE_STRING) {
                flaws |= FLAW_NO_JSON_FORM;
            }
        }
        check(value->flaws == flaws);
        break;
    case VALUE_STRING:
        check(utf8_valid(value->raw));
        check((value->flaws == FLAW_NUL) ==
              (value->raw.size > 0 && memchr(value->raw.data, 0, value->raw.size) != NULL));
        break;
    case VALUE_BINARY:
    case VALUE_EXTENSION:
        check(value->flaws == FLAW_NO_JSON_FORM);
        break;
    case VALUE_TIMESTAMP:
        check(value->nanoseconds < 1000000000);
        break;
    default:
        (void)value_int64(value, &integer);
        break;
    }
    return value->flaws;
}

static void check_json(const struct value *value)
{
    static uint8_t text[40 * FUZZ_BYTES_MAX]; /* a control byte becomes 6, a float of 5 bytes 25 */
    struct writer out = writer_of(text, sizeof text);
    struct value again;
    struct problem problem;
    value_json(value, &out);
    check(!out.full);
    check(reference_json(writer_span(&out), JSON_DEPTH_MAX));
    check(json_parse(writer_span(&out), &again, &problem) == STATUS_OK);
    check(again.flaws == value->flaws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder *decoder;
    struct message message;
    struct problem problem;
    if (decoder == NULL) {
        check(decoder_create(FUZZ_BYTES_MAX + HEAD_BYTES, &decoder, &problem) == STATUS_OK);
    }
    if (size > FUZZ_BYTES_MAX) {
        return 0;
    }
    uint8_t *bytes = malloc(HEAD_BYTES + size); /* with nothing behind it */
    check(bytes != NULL);
    memcpy(bytes, HEAD, HEAD_BYTES);
    if (size > 0) {
        memcpy(bytes + HEAD_BYTES, data, size);
    }
    struct span whole = span_of(bytes, HEAD_BYTES + size);
    enum status status = message_decode(decoder, ENCODING_MSGPACK, whole, &message, &problem);
    bool accepted = status == STATUS_OK || strcmp(problem.field, "data") == 0;
    check(accepted == reference_msgpack(span_of(bytes + HEAD_BYTES, size), WIRE_DEPTH_MAX - 1));
    if (status == STATUS_OK) {
        (void)check_value(&message.data, whole);
        check_json(&message.data);
        fuzz_taken++;
    }
    free(bytes);
    return 0;
}
