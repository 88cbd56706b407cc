/*
 * type_json.c - json and jsonb take any value but null, which is SQL's NULL.
 *
 * json_recv (json.c) takes the text and checks its syntax only; jsonb_recv (jsonb.c) wants a
 * version byte, 1, before it, and refuses what it cannot store: U+0000, lone surrogates, numbers
 * beyond `numeric`. A json column stores U+0000 and lone surrogates as the escapes they came as,
 * but nobody downstream could read them (`->>`, MessagePack), so a stream with channels refuses
 * them as well.
 */
#include "cell.h"

#define JSONB_VERSION 1

enum status json_encode(const struct cell *cell, const struct value *value)
{
    if (value->flaws & FLAW_NO_JSON_FORM) {
        return cell_refuse(cell, "must have a JSON form: binary, NaN, infinities, extension types "
                                 "and keys that are no strings have none");
    }
    enum status status = cell->column->is_pushed ? cell_check_text(cell, value) : STATUS_OK;
    if (status == STATUS_OK) {
        value_json(value, cell->out);
    }
    return status;
}

enum status jsonb_encode(const struct cell *cell, const struct value *value)
{
    enum status status = cell_check_text(cell, value);
    if (status != STATUS_OK) {
        return status;
    }
    if (value->flaws & FLAW_HUGE_NUMBER) {
        return cell_refuse(cell, "must not contain numbers beyond what numeric holds");
    }
    writer_u8(cell->out, JSONB_VERSION);
    return json_encode(cell, value);
}
