/*
 * fields.c - the fields that a client's message can have, what each must be, and which belong
 * together. proto/README.md says the same for people; tests/unit/wire reads its vectors.
 */
#include "decoder.h"
#include "utf8.h"

#define OFFSET_MAX       ((INT64_C(1) << 53) - 1) /* what a JavaScript number holds exactly */
#define SHOWN_WORD_BYTES 64                       /* of a client's word, in a sentence */

/* Words carry their sizes, so that most comparisons end with that. */
#define WORD(text)                                \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static const struct span FIELD_NAMES[FIELD_COUNT] = {
    [FIELD_OP] = WORD("op"),         [FIELD_ID] = WORD("id"),
    [FIELD_STREAM] = WORD("stream"), [FIELD_EVENTS] = WORD("events"),
    [FIELD_ACK] = WORD("ack"),       [FIELD_CHANNEL] = WORD("channel"),
    [FIELD_SINCE] = WORD("since"),   [FIELD_EPOCH] = WORD("epoch"),
    [FIELD_LAST] = WORD("last"),     [FIELD_DATA] = WORD("data"),
    [FIELD_TOKEN] = WORD("token"),   [FIELD_LATEST_ONLY] = WORD("latest_only"),
};

#define BIT(name) (1u << FIELD_##name)

/* Every op may have `op` and `id`. */
static const struct {
    struct span word;
    unsigned needs, may_have;
} OPS[] = {
    [OP_AUTH] = {WORD("auth"), BIT(TOKEN), 0},
    [OP_PUBLISH] = {WORD("publish"), BIT(STREAM) | BIT(EVENTS), BIT(ACK)},
    [OP_SUBSCRIBE] = {WORD("subscribe"), BIT(CHANNEL),
                      BIT(SINCE) | BIT(EPOCH) | BIT(LAST) | BIT(LATEST_ONLY)},
    [OP_UNSUBSCRIBE] = {WORD("unsubscribe"), BIT(CHANNEL), 0},
    [OP_BROADCAST] = {WORD("broadcast"), BIT(CHANNEL) | BIT(DATA), 0},
    [OP_PRESENCE] = {WORD("presence"), BIT(CHANNEL), 0},
    [OP_PING] = {WORD("ping"), 0, 0},
};
#define OP_COUNT (sizeof OPS / sizeof *OPS)

static const struct span ACK_WORDS[] = {[ACK_DURABLE] = WORD("durable"),
                                        [ACK_COMMITTED] = WORD("committed"),
                                        [ACK_NONE] = WORD("none")};
#define ACK_COUNT (sizeof ACK_WORDS / sizeof *ACK_WORDS) /* ACK_BOTH has no word */

void problem_field(struct problem *problem, struct span name)
{
    struct span shown = utf8_cut(name, sizeof problem->field - 1);
    memcpy(problem->field, shown.data, shown.size);
    problem->field[shown.size] = '\0';
}

static enum status about(struct problem *problem, enum field field)
{
    problem_field(problem, FIELD_NAMES[field]);
    return problem->status;
}

/* "`since` must be <what>, got a string" */
static enum status must_be(enum field field, const char *what, const struct value *value,
                           struct problem *problem)
{
    (void)problem_set(problem, STATUS_MALFORMED, "`%.*s` must be %s, got %s",
                      SPAN_PRINT(FIELD_NAMES[field]), what, value_kind_name(value));
    return about(problem, field);
}

enum status field_has_kind(enum field field, const struct value *value, enum value_kind kind,
                           struct problem *problem)
{
    struct value wanted = {.kind = kind};
    return value->kind == kind ? STATUS_OK
                               : must_be(field, value_kind_name(&wanted), value, problem);
}

enum status field_find(struct decoder *d, struct span name, enum field *out,
                       struct problem *problem)
{
    unsigned field = 0;
    while (field < FIELD_COUNT && !span_equals(name, FIELD_NAMES[field])) {
        field++;
    }
    if (field == FIELD_COUNT) {
        struct span shown = utf8_cut(name, SHOWN_WORD_BYTES);
        (void)problem_set(problem, STATUS_MALFORMED, "no message has a field `%.*s`",
                          SPAN_PRINT(shown));
        problem_field(problem, name);
        return problem->status;
    }
    *out = field;
    if ((d->seen & 1u << field) != 0) {
        (void)problem_set(problem, STATUS_MALFORMED, "`%.*s` is there twice",
                          SPAN_PRINT(FIELD_NAMES[field]));
        return about(problem, *out);
    }
    return STATUS_OK;
}

/* ---- one field ------------------------------------------------------------------------------- */

/* A string that can be compared, stored and sent on: its text, resolved. */
static enum status read_text(struct decoder *d, enum field field, const struct value *value,
                             struct span *out, struct problem *problem)
{
    enum status status = field_has_kind(field, value, VALUE_STRING, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (value->flaws != 0) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`%.*s` must be text without \\u0000 or half a surrogate pair",
                          SPAN_PRINT(FIELD_NAMES[field]));
        return about(problem, field);
    }
    (void)value_text_slice(value, &d->scratch, out); /* fits: see decoder.h */
    return STATUS_OK;
}

static enum status read_op(struct decoder *d, const struct value *value, struct message *message,
                           struct problem *problem)
{
    struct span word;
    enum status status = read_text(d, FIELD_OP, value, &word, problem);
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (span_equals(word, OPS[op].word)) {
            d->op = op;
            message->op = op;
            return STATUS_OK;
        }
    }
    (void)problem_set(problem, STATUS_MALFORMED,
                      "no op is called `%.*s`: auth, publish, subscribe, unsubscribe, broadcast, "
                      "presence and ping are",
                      SPAN_PRINT(utf8_cut(word, SHOWN_WORD_BYTES)));
    return about(problem, FIELD_OP);
}

static enum status read_ack(struct decoder *d, const struct value *value, struct message *message,
                            struct problem *problem)
{
    struct span word;
    enum status status = read_text(d, FIELD_ACK, value, &word, problem);
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned ack = 0; ack < ACK_COUNT; ack++) {
        if (span_equals(word, ACK_WORDS[ack])) {
            message->ack = ack;
            return STATUS_OK;
        }
    }
    (void)problem_set(problem, STATUS_MALFORMED, "`ack` must be durable, committed or none");
    return about(problem, FIELD_ACK);
}

static bool is_plain_integer(const struct value *value)
{
    int64_t integer;
    if (value->kind ==
        VALUE_NUMBER) { /* 1e3 and 2.0 are whole, but would be echoed as they stand */
        for (size_t i = 0; i < value->raw.size; i++) {
            uint8_t byte = value->raw.data[i];
            if (byte != '-' && (byte < '0' || byte > '9')) {
                return false;
            }
        }
    }
    return (value->kind == VALUE_NUMBER || value->kind == VALUE_INT) &&
           value_int64(value, &integer);
}

/* The id is kept as JSON text: where the message is JSON, as it stands in it. */
static enum status read_id(struct decoder *d, const struct value *value, struct message *message,
                           struct problem *problem)
{
    if (!is_plain_integer(value) && value->kind != VALUE_STRING) {
        return must_be(FIELD_ID, "a string or an integer of 64 bits", value, problem);
    }
    if (value->flaws != 0) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`id` must be text without \\u0000 or half a surrogate pair");
        return about(problem, FIELD_ID);
    }
    struct writer text = writer_of(d->id, sizeof d->id);
    value_json(value, &text);
    if (text.full) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`id` must have at most %d bytes as JSON, quotes included",
                          MESSAGE_ID_BYTES_MAX);
        return about(problem, FIELD_ID);
    }
    message->id = writer_span(&text);
    return STATUS_OK;
}

static enum status read_offset(enum field field, const struct value *value, uint64_t *out,
                               bool *out_has, struct problem *problem)
{
    int64_t integer;
    if (!value_int64(value, &integer) || integer < 0 || integer > OFFSET_MAX) {
        return must_be(field, "a whole number from 0 to 2^53-1", value, problem);
    }
    *out = (uint64_t)integer;
    *out_has = true;
    return STATUS_OK;
}

static enum status read_bool(enum field field, const struct value *value, bool *out,
                             struct problem *problem)
{
    enum status status = field_has_kind(field, value, VALUE_BOOL, problem);
    *out = status == STATUS_OK && value->boolean;
    return status;
}

static enum status read_data(const struct value *value, struct message *message,
                             struct problem *problem)
{
    if ((value->flaws & FLAW_NO_JSON_FORM) != 0) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`data` has something without a JSON form (binary, NaN, infinity, an "
                          "extension type or a name that is no string)");
        return about(problem, FIELD_DATA);
    }
    message->data = *value;
    message->has_data = true;
    return STATUS_OK;
}

enum status field_read(struct decoder *d, enum field field, const struct value *value,
                       struct message *m, struct problem *problem)
{
    switch (field) {
    case FIELD_OP:
        return read_op(d, value, m, problem);
    case FIELD_ID:
        return read_id(d, value, m, problem);
    case FIELD_STREAM:
        return read_text(d, field, value, &m->stream, problem);
    case FIELD_ACK:
        return read_ack(d, value, m, problem);
    case FIELD_CHANNEL:
        return read_text(d, field, value, &m->channel, problem);
    case FIELD_SINCE:
        return read_offset(field, value, &m->since, &m->has_since, problem);
    case FIELD_EPOCH:
        return read_text(d, field, value, &m->epoch, problem);
    case FIELD_LAST:
        return read_offset(field, value, &m->last, &m->has_last, problem);
    case FIELD_DATA:
        return read_data(value, m, problem);
    case FIELD_TOKEN:
        return read_text(d, field, value, &m->token, problem);
    case FIELD_LATEST_ONLY:
        return read_bool(field, value, &m->latest_only, problem);
    case FIELD_EVENTS:
    case FIELD_COUNT:
        break;
    }
    return problem_set(problem, STATUS_INTERNAL, "field %d was not read", field);
}

/* ---- the fields together --------------------------------------------------------------------- */

/* How a client says where to begin. */
static enum status judge_start(const struct message *m, unsigned seen, struct problem *problem)
{
    bool has_epoch = (seen & BIT(EPOCH)) != 0;
    if (m->has_since && m->has_last) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`since` resumes and `last` asks for recent history: only one of them");
        return about(problem, FIELD_LAST);
    }
    if (m->has_since != has_epoch) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "`since` and `epoch` go together: an offset means something in its epoch "
                          "only");
        return about(problem, has_epoch ? FIELD_SINCE : FIELD_EPOCH);
    }
    return STATUS_OK;
}

enum status fields_judge(const struct decoder *d, const struct message *m, struct problem *problem)
{
    if ((d->seen & BIT(OP)) == 0) {
        (void)problem_set(problem, STATUS_MALFORMED, "`op` is missing");
        return about(problem, FIELD_OP);
    }
    unsigned missing = OPS[d->op].needs & ~d->seen;
    unsigned foreign = d->seen & ~(OPS[d->op].needs | OPS[d->op].may_have | BIT(OP) | BIT(ID));
    if (missing != 0) {
        enum field field = (enum field)__builtin_ctz(missing);
        (void)problem_set(problem, STATUS_MALFORMED, "%.*s needs `%.*s`",
                          SPAN_PRINT(OPS[d->op].word), SPAN_PRINT(FIELD_NAMES[field]));
        return about(problem, field);
    }
    if (foreign != 0) {
        enum field field = (enum field)__builtin_ctz(foreign);
        (void)problem_set(problem, STATUS_MALFORMED, "%.*s has no field `%.*s`",
                          SPAN_PRINT(OPS[d->op].word), SPAN_PRINT(FIELD_NAMES[field]));
        return about(problem, field);
    }
    return judge_start(m, d->seen, problem);
}
