/* emit.c - see emit.h. */
#include "emit.h"

#include "json_text.h"
#include "number.h"
#include "pack.h"

void emit_begin(struct emitter *e, struct writer *out, enum encoding encoding)
{
    *e = (struct emitter){.out = out, .encoding = encoding};
    if (encoding == ENCODING_JSON) {
        writer_u8(out, '{');
    } else {
        e->count_at = writer_take(out, 1);
    }
}

void emit_end(struct emitter *e)
{
    if (e->encoding == ENCODING_JSON) {
        writer_u8(e->out, '}');
    } else if (e->count_at != NULL) {
        *e->count_at = (uint8_t)(PACK_MAP | e->count);
    }
}

void emit_name(struct emitter *e, const char *name)
{
    if (e->encoding == ENCODING_JSON) {
        writer_string(e->out, e->count > 0 ? ",\"" : "\"");
        writer_string(e->out, name);
        writer_string(e->out, "\":");
    } else {
        pack_string(e->out, span_string(name));
    }
    e->count++;
}

void emit_text(struct emitter *e, const char *name, struct span text)
{
    emit_name(e, name);
    if (e->encoding == ENCODING_JSON) {
        json_string(e->out, text);
    } else {
        pack_string(e->out, text);
    }
}

void emit_sentence(struct emitter *e, const char *name, struct span text)
{
    if (utf8_valid(text)) {
        emit_text(e, name, text);
        return;
    }
    /* Sentences have at most about 1 KB; each bad byte becomes the three of U+FFFD. */
    uint8_t mended[4096];
    struct writer w = writer_of(mended, sizeof mended);
    json_text_mend(&w, text);
    emit_text(e, name, writer_span(&w));
}

void emit_uint(struct emitter *e, const char *name, uint64_t value)
{
    char digits[NUMBER_DIGITS_MAX];
    emit_name(e, name);
    if (e->encoding == ENCODING_JSON) {
        writer_bytes(e->out, digits, number_format_uint64(value, digits));
    } else {
        pack_uint(e->out, value);
    }
}

void emit_bool(struct emitter *e, const char *name, bool value)
{
    emit_name(e, name);
    if (e->encoding == ENCODING_JSON) {
        writer_string(e->out, value ? "true" : "false");
    } else {
        pack_bool(e->out, value);
    }
}

void emit_json(struct emitter *e, const char *name, struct span json)
{
    if (json.size == 0) {
        return;
    }
    emit_name(e, name);
    if (e->encoding == ENCODING_JSON) {
        writer_put(e->out, json);
    } else {
        json_to_msgpack(json, e->out);
    }
}
