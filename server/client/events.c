/* events.c - see events.h. */
#include "events.h"

static struct span without_mark(struct span text)
{
    /* The byte order mark that some editors put before UTF-8. */
    bool marked = text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0;
    return marked ? span_of(text.data + 3, text.size - 3) : text;
}

static bool has_field(const struct value *map, const char *field, bool *out_empty)
{
    struct map_cursor cursor;
    struct span name;
    struct value value;
    *out_empty = true;
    map_begin(map, &cursor);
    while (map_next(&cursor, &name, &value)) {
        *out_empty = false;
        if (span_is(name, field)) {
            return true;
        }
    }
    return false;
}

static void write_json(const struct event_maker *maker, const struct value *map, uint64_t line,
                       struct writer *out)
{
    bool is_empty;
    char id[UUID_TEXT_BYTES];
    if (maker->id_field[0] == '\0' || has_field(map, maker->id_field, &is_empty)) {
        writer_put(out, map->raw);
        return;
    }
    run_id(maker->run, line, id);
    writer_u8(out, '{');
    json_string(out, span_string(maker->id_field));
    writer_u8(out, ':');
    json_string(out, span_of(id, sizeof id));
    if (!is_empty) {
        writer_u8(out, ',');
    }
    writer_bytes(out, map->raw.data + 1, map->raw.size - 1); /* behind its opening brace */
}

enum status event_make(struct event_maker *maker, struct span text, uint64_t line,
                       struct writer *out, struct problem *problem)
{
    struct value map;
    if (line == 1) {
        text = without_mark(text);
    }
    if (json_parse(text, &map, problem) != STATUS_OK) {
        return problem->status;
    }
    if (map.kind != VALUE_MAP) {
        return problem_set(problem, STATUS_MALFORMED, "an event is a JSON object, this is %s",
                           value_kind_name(&map));
    }
    if (maker->encoding == ENCODING_JSON) {
        write_json(maker, &map, line, out);
        return STATUS_OK;
    }
    maker->scratch.next = maker->scratch.start;
    maker->scratch.full = false;
    write_json(maker, &map, line, &maker->scratch);
    if (maker->scratch.full) {
        out->full = true;
        return STATUS_OK;
    }
    json_to_msgpack(writer_span(&maker->scratch), out);
    return STATUS_OK;
}
