/* array.c - walks an array value in either encoding. */
#include "decoder.h"
#include "json_value.h"

void array_begin(const struct value *array, struct array_cursor *out)
{
    *out = (struct array_cursor){.array = *array, .token = array->token};
    if (array->encoding == ENCODING_JSON) {
        out->next = array->raw.data + 1;
    }
}

static bool json_array_next(struct array_cursor *cursor, struct value *out)
{
    const uint8_t *end = cursor->array.raw.data + cursor->array.raw.size;
    struct json_scan scan = {.start = cursor->next, .end = end, .depth_max = JSON_DEPTH_MAX};
    const uint8_t *p = json_skip_space(cursor->next, end);
    if (p < end && *p == ',') {
        p = json_skip_space(p + 1, end);
    }
    if (p == end || *p == ']') {
        return false;
    }
    p = json_read_value(&scan, p, 0, out);
    if (p == NULL) {
        return false;
    }
    cursor->next = p;
    return true;
}

bool array_next(struct array_cursor *cursor, struct value *out)
{
    if (cursor->array.encoding == ENCODING_JSON) {
        return json_array_next(cursor, out);
    }
    if (cursor->token == cursor->array.token_end) {
        return false;
    }
    const struct decoder *decoder = cursor->array.decoder;
    cursor->token = tape_value(&decoder->tape, cursor->token, decoder, out);
    return true;
}
