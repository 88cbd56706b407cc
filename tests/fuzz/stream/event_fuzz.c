/*
 * event_fuzz.c - any bytes as a publish message, encoded into a table of every type. The first byte
 * says in which encoding and format, the second how much room the writer has:
 *   - every event ends in a row or in a refusal with a class, a sentence and a field in UTF-8;
 *   - a row has the sizes that its header says, each column once, each as large as its type is;
 *   - a line of COPY text has one tab between columns and one newline, at its end;
 *   - a push has channels without control characters, and data that is one JSON object;
 *   - nothing is written past the writer's room, and a full writer is the only way not to fit.
 */
#include "../fuzz.h"

#include "../../unit/stream/fixture.h"

static const uint32_t oids[] = {
    OID_BOOL,     OID_BYTEA, OID_INT8,   OID_INT2,    OID_INT4,      OID_TEXT,
    OID_JSON,     OID_CIDR,  OID_FLOAT4, OID_FLOAT8,  OID_INET,      OID_BPCHAR,
    OID_VARCHAR,  OID_DATE,  OID_TIME,   OID_NUMERIC, OID_TIMESTAMP, OID_TIMESTAMPTZ,
    OID_INTERVAL, OID_UUID,  OID_JSONB,  OID_MOOD,    OID_VECTOR,    OID_CITEXT,
};
#define TYPES (sizeof oids / sizeof oids[0])

unsigned long fuzz_taken;
static struct fixture binary, text;

/* What a type's bytes take; 0: any number. */
static size_t fixed_size(uint32_t oid)
{
    switch (oid) {
    case OID_BOOL:
        return 1;
    case OID_INT2:
        return 2;
    case OID_INT4:
    case OID_FLOAT4:
    case OID_DATE:
        return 4;
    case OID_INT8:
    case OID_FLOAT8:
    case OID_TIME:
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return 8;
    case OID_INTERVAL:
    case OID_UUID:
        return 16;
    default:
        return 0;
    }
}

static int32_t modifier_of(uint32_t oid)
{
    switch (oid) {
    case OID_VARCHAR:
    case OID_BPCHAR:
        return 4 + 5;
    case OID_NUMERIC:
        return (8 << 16 | 3) + 4;
    case OID_VECTOR:
        return 3;
    default:
        return -1;
    }
}

static void open_stream(struct fixture *fixture, bool is_text)
{
    const char *channels[] = {"t:{c5}", "u:{c19}:{c4}", "m:{c21}{c0}", "id:{id}"};
    struct table_description table;
    char name[10];
    table_init(&table);
    struct column_description *id = table_add(&table, "id", OID_UUID);
    id->key_position = 1;
    column_default(id, "gen_random_uuid()", 'v', NULL);
    for (size_t i = 0; i < TYPES; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        table_add(&table, name, oids[i])->type_modifier = modifier_of(oids[i]);
        snprintf(name, sizeof name, "a%zu", i);
        table_add_array(&table, name, oids[i])->type_modifier = modifier_of(oids[i]);
    }
    table_add(&table, "free", OID_NUMERIC);
    column_default(table_add(&table, "now", OID_TIMESTAMP), "now()", 's', NULL);
    column_default(table_add(&table, "seq", OID_INT4), "nextval('s')", 'v', NULL);
    if (is_text) {
        table_add(&table, "point", OID_POINT);
    }
    fixture_open(fixture, &table, channels, 4);
}

/* ---- what was written ------------------------------------------------------------------------ */

static size_t check_item(struct span row, size_t at, size_t size_of_type)
{
    check(at + 4 <= row.size);
    uint32_t size = read_be32(row.data + at);
    at += 4;
    if (size == UINT32_MAX) {
        return at;
    }
    check(size <= row.size - at);
    check(size_of_type == 0 || size == size_of_type);
    return at + size;
}

static void check_array(struct span array, uint32_t oid)
{
    check(array.size >= 12);
    uint32_t dimensions = read_be32(array.data), has_null = read_be32(array.data + 4);
    check(dimensions <= 1 && has_null <= 1);
    check(read_be32(array.data + 8) == oid);
    if (dimensions == 0) {
        check(array.size == 12 && has_null == 0);
        return;
    }
    check(array.size >= 20);
    uint32_t count = read_be32(array.data + 12);
    check(count > 0 && read_be32(array.data + 16) == 1);
    size_t at = 20;
    bool saw_null = false;
    for (uint32_t i = 0; i < count; i++) {
        check(at + 4 <= array.size);
        saw_null |= read_be32(array.data + at) == UINT32_MAX;
        at = check_item(array, at, fixed_size(oid));
    }
    check(at == array.size && saw_null == (has_null == 1));
}

/* The columns as open_stream() made them: id, then c and a of each type, then free and now. */
static void check_binary_row(struct span row)
{
    check(row.size >= 2 && read_be16(row.data) == 1 + 2 * TYPES + 2);
    size_t at = check_item(row, 2, UUID_BYTES);
    for (size_t i = 0; i < TYPES; i++) {
        at = check_item(row, at, fixed_size(oids[i]));
        size_t before = at;
        at = check_item(row, at, 0);
        if (at > before + 4) {
            check_array(span_of(row.data + before + 4, at - before - 4), oids[i]);
        }
    }
    at = check_item(row, at, 0);
    check(check_item(row, at, 8) == row.size);
}

static void check_text_row(struct span row)
{
    size_t tabs = 0;
    check(row.size > 0 && row.data[row.size - 1] == '\n');
    for (size_t i = 0; i + 1 < row.size; i++) {
        check(row.data[i] != '\n' && row.data[i] != '\r' && row.data[i] != 0);
        tabs += row.data[i] == '\t';
        if (row.data[i] == '\\') {
            i++;
            check(i + 1 < row.size && strchr("\\tnrN", row.data[i]) != NULL);
        }
    }
    check(tabs == 1 + 2 * TYPES + 2);
    check(utf8_valid(row));
}

static void check_push(struct span bytes)
{
    struct push_view push;
    struct value value;
    struct problem problem;
    check(bytes.size > 0 && push_open(bytes, &push));
    check(push.channel_count >= 1 && push.channel_count <= 4);
    for (unsigned i = 0; i < push.channel_count; i++) {
        check(push.channels[i].size > 0 && push.channels[i].size <= CHANNEL_BYTES_MAX);
        check(utf8_valid(push.channels[i]));
        for (size_t k = 0; k < push.channels[i].size; k++) {
            check(push.channels[i].data[k] >= 0x20 && push.channels[i].data[k] != 0x7F);
        }
    }
    check(json_parse(push.data, &value, &problem) == STATUS_OK);
    check(value.kind == VALUE_MAP);
}

static void check_event(struct span bytes, const struct event_header *header, bool is_text)
{
    check(bytes.size == (size_t)header->row_bytes + header->push_bytes);
    struct span row = span_of(bytes.data, header->row_bytes);
    if (is_text) {
        check_text_row(row);
    } else {
        check_binary_row(row);
        check(memcmp(row.data + 6, header->id, UUID_BYTES) == 0);
    }
    check_push(span_of(row.data + row.size, header->push_bytes));
}

static void check_refusal(const struct problem *problem)
{
    check(status_class(problem->status) == CLASS_PEER);
    check(problem->text[0] != '\0' && utf8_valid(span_string(problem->text)));
    check(utf8_valid(span_string(problem->field)));
}

/* ---- the run --------------------------------------------------------------------------------- */

static void encode_events(struct fixture *fixture, bool is_text, size_t room)
{
    struct problem problem;
    enum step step;
    while ((step = events_next(fixture->decoder, &problem)) == STEP_ITEM) {
        uint8_t *memory = malloc(room); /* of its own, so that the sanitizer sees its end */
        check(memory != NULL);
        struct writer out = writer_of(memory, room);
        struct event_header header;
        enum status status =
            stream_encode_event(fixture->stream, fixture->decoder, fixture->context, ARRIVAL_US,
                                &out, &header, &problem);
        if (status == STATUS_OK && !out.full) {
            check_event(writer_span(&out), &header, is_text);
            fuzz_taken++;
        }
        free(memory);
        if (status != STATUS_OK) {
            check(status == problem.status);
            check_refusal(&problem);
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (binary.stream == NULL) {
        open_stream(&binary, false);
        open_stream(&text, true);
    }
    if (size < 2 || size > FUZZ_BYTES_MAX) {
        return 0;
    }
    bool is_text = data[0] & 2;
    struct fixture *fixture = is_text ? &text : &binary;
    size_t room = data[1] < 128 ? 1 << 17 : (size_t)(data[1] - 128) * 13;
    uint8_t *bytes = malloc(size - 2 > 0 ? size - 2 : 1);
    struct message message;
    struct problem problem;
    check(bytes != NULL);
    memcpy(bytes, data + 2, size - 2);
    enum encoding encoding = data[0] & 1 ? ENCODING_MSGPACK : ENCODING_JSON;
    if (message_decode(fixture->decoder, encoding, span_of(bytes, size - 2), &message, &problem) ==
            STATUS_OK &&
        message.op == OP_PUBLISH) {
        encode_events(fixture, is_text, room);
    }
    free(bytes);
    return 0;
}
