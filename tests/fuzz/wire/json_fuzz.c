/*
 * json_fuzz.c - any bytes as JSON text:
 *   - they are accepted exactly when the reference accepts them;
 *   - a value is its slice of the text: written and read again it is the same;
 *   - members and elements lie inside, and a container's flaws are those of what it holds;
 *   - a string's text is UTF-8, and survives being written as JSON;
 *   - JSON -> MessagePack -> JSON -> MessagePack changes nothing the second time.
 */
#include "reference.h"

#include "../fuzz.h"

#include "penstock/wire.h"

unsigned long fuzz_taken;

static uint8_t scratch[3 * FUZZ_BYTES_MAX + 64], scratch_again[6 * FUZZ_BYTES_MAX + 64];

static void check_text(const struct value *string)
{
    struct writer text = writer_of(scratch, sizeof scratch);
    struct writer json = writer_of(scratch_again, sizeof scratch_again);
    struct value again;
    struct problem problem;
    value_text(string, &text);
    check(!text.full && writer_size(&text) <= string->raw.size);
    check(utf8_valid(writer_span(&text)));
    check(string->escaped || span_equals(writer_span(&text), string->raw));
    json_string(&json, writer_span(&text));
    check(!json.full);
    check(json_parse(writer_span(&json), &again, &problem) == STATUS_OK);
    check((again.flaws & ~FLAW_NUL) == 0);
    struct writer last =
        writer_of(scratch_again + writer_size(&json), sizeof scratch_again - writer_size(&json));
    value_text(&again, &last);
    check(span_equals(writer_span(&text), writer_span(&last)));
}

static void check_value(const struct value *value, struct span text)
{
    struct value child;
    unsigned flaws = 0;
    check(is_inside(value->raw, text));
    if (value->kind == VALUE_ARRAY) {
        struct array_cursor cursor;
        array_begin(value, &cursor);
        while (array_next(&cursor, &child)) {
            check_value(&child, value->raw);
            flaws |= child.flaws;
        }
        check(flaws == value->flaws);
    } else if (value->kind == VALUE_MAP) {
        struct map_cursor cursor;
        struct span name;
        map_begin(value, &cursor);
        while (map_next(&cursor, &name, &child)) {
            check(is_inside(name, value->raw));
            check_value(&child, value->raw);
            flaws |= child.flaws;
        }
        check((flaws & ~value->flaws) == 0); /* names have flaws of their own */
    } else if (value->kind == VALUE_STRING && value->flaws == 0) {
        check_text(value);
    } else if (value->kind == VALUE_NUMBER) {
        int64_t integer;
        (void)value_int64(value, &integer);
    }
}

static void check_slice(const struct value *value)
{
    struct writer json = writer_of(scratch, sizeof scratch);
    struct value again;
    struct problem problem;
    value_json(value, &json);
    check(!json.full);
    check(json_parse(writer_span(&json), &again, &problem) == STATUS_OK);
    check(again.kind == value->kind && again.flaws == value->flaws);
    check(span_equals(again.raw, span_of(scratch + (again.kind == VALUE_STRING), value->raw.size)));
}

/* `text` packed as the data of a broadcast, decoded, and written as JSON into `out`. False when the
 * decoder may refuse it: too deep inside a message, or beyond a double. */
static bool there_and_back(struct span text, struct writer *packed, struct writer *out)
{
    static struct decoder *decoder;
    struct message message;
    struct problem problem;
    if (decoder == NULL) {
        check(decoder_create(4 * FUZZ_BYTES_MAX, &decoder, &problem) == STATUS_OK);
    }
    writer_string(packed, "\x83\xa2op\xa9"
                          "broadcast\xa7"
                          "channel\xa1"
                          "c\xa4"
                          "data");
    json_to_msgpack(text, packed);
    check(!packed->full);
    if (message_decode(decoder, ENCODING_MSGPACK, writer_span(packed), &message, &problem) !=
        STATUS_OK) {
        check(problem.status == STATUS_TOO_LARGE || strcmp(problem.field, "data") == 0);
        return false;
    }
    value_json(&message.data, out);
    check(!out->full);
    return true;
}

static void check_repacking(struct span text)
{
    static uint8_t first[4 * FUZZ_BYTES_MAX], second[4 * FUZZ_BYTES_MAX];
    static uint8_t json[8 * FUZZ_BYTES_MAX];
    struct writer packed = writer_of(first, sizeof first);
    struct writer repacked = writer_of(second, sizeof second);
    struct writer out = writer_of(json, sizeof json);
    struct writer unused = writer_of(scratch_again, sizeof scratch_again);
    if (there_and_back(text, &packed, &out) &&
        there_and_back(writer_span(&out), &repacked, &unused)) {
        check(reference_json(writer_span(&out), JSON_DEPTH_MAX));
        /* 2.0 comes back as 2, which is an integer then; so sizes may shrink once, and never grow
         */
        check(writer_size(&repacked) <= writer_size(&packed));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct value value;
    struct problem problem;
    if (size > FUZZ_BYTES_MAX) {
        return 0;
    }
    struct span text = span_of(data, size);
    enum status status = json_parse(text, &value, &problem);
    check((status == STATUS_OK) == reference_json(text, JSON_DEPTH_MAX));
    if (status == STATUS_OK) {
        check_value(&value, text);
        check_slice(&value);
        check_repacking(text);
        fuzz_taken++;
    } else {
        check(problem.text[0] != '\0');
    }
    return 0;
}
