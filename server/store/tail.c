/*
 * tail.c - see tail.h.
 *
 * One pass over the events gives each stored one its rank, and writes those that somebody may hear
 * of into the payload. As long as they are short enough for a NOTIFY, they are also written as the
 * arrays from which the database makes the notifications: it alone knows the offsets. The same pass
 * counts what became of the events, by stream and by publisher.
 */
#include "tail.h"

const char tail_prepared_sql[] =
    "SELECT out_first, out_at_us, out_slot FROM penstock.commit_batch($1::text, $2::integer, "
    "$3::bigint,"
    " $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::jsonb, $9::text, $10::text[],"
    " $11::bigint[], $12::bigint[], $13::integer[], $14::bigint[], $15::text[], $16::smallint)";

/* Room that the rest of a notification takes, at least: {"v":1,"first":1,"count":1,"at":"…"… */
#define NOTIFY_FRAME_BYTES 100

void tail_fini(struct tail *tail)
{
    tally_fini(&tail->tally);
    text_fini(&tail->payload);
    for (size_t i = 0; i < TAIL_ARGUMENTS; i++) {
        text_fini(&tail->arguments[i]);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

/* `"stream":"…","channels":["…"],"data":{…}}`: the same in the payload and in a notification. */
static void append_body(struct text *out, const struct target *target, const struct push_view *push)
{
    text_string(out, "\"stream\":");
    text_string(out, target->stream_json);
    text_string(out, ",\"channels\":[");
    for (unsigned i = 0; i < push->channel_count; i++) {
        if (i > 0) {
            text_bytes(out, ",", 1);
        }
        text_json_string(out, push->channels[i]);
    }
    text_string(out, "],\"data\":");
    text_bytes(out, push->data.data, push->data.size);
    text_bytes(out, "}", 1);
}

static void append_number(struct text *array, uint64_t number)
{
    text_bytes(array, array->size == 0 ? "{" : ",", 1);
    text_u64(array, number);
}

static void inline_event(struct tail *tail, const struct target *target, uint64_t rank,
                         struct span body)
{
    struct text *bodies = &tail->arguments[TAIL_BODIES];
    append_number(&tail->arguments[TAIL_OWNERS], target->lead->number);
    append_number(&tail->arguments[TAIL_RANKS], rank);
    text_bytes(bodies, bodies->size == 0 ? "{" : ",", 1);
    text_array_element(bodies, body);
}

static void append_event(struct tail *tail, const struct target *target, uint64_t rank,
                         const struct push_view *push)
{
    struct text *payload = &tail->payload;
    text_string(payload, payload->size == 0 ? "[{\"i\":" : ",\n{\"i\":");
    text_u64(payload, rank);
    text_bytes(payload, ",", 1);
    size_t start = payload->size;
    append_body(payload, target, push);
    if (tail->inlined && payload->size + NOTIFY_FRAME_BYTES > NOTIFY_BYTES_MAX) {
        tail->inlined = false; /* the database measures exactly; this spares it long arguments */
    }
    if (tail->inlined && !payload->failed) {
        inline_event(tail, target, rank, span_of(payload->data + start, payload->size - start));
    }
}

static void count_event(struct batch *batch, struct batch_event *event, struct target *target)
{
    if (event->outcome == EVENT_DUPLICATE) {
        batch->duplicates++;
        target->duplicates++;
        return;
    }
    if (event->outcome == EVENT_REJECTED) {
        batch->rejected++;
        target->rejected++;
        return;
    }
    event->rank = (uint32_t)batch->stored++;
    if (target->stored++ == 0) {
        target->start = event->rank;
    }
}

/* By publisher: of those without a name, the stream's counts tell enough. */
static void tally_event(struct tally *tally, const struct batch *batch,
                        const struct batch_event *event, struct target *target)
{
    uint64_t producer = batch->records[event->record].header.producer;
    if (producer & PRODUCER_IS_NAMED) {
        tally_count(tally, target->number, producer, event->outcome, &target->publishers);
    }
}

static void take_events(struct tail *tail, struct targets *targets, struct batch *batch)
{
    tally_clear(&tail->tally);
    batch->stored = batch->duplicates = batch->rejected = 0;
    for (size_t i = 0; i < targets->batch_count; i++) {
        struct target *target = targets->batch[i];
        target->stored = target->duplicates = target->rejected = target->start = 0;
        target->publishers = TALLY_NONE;
    }
    struct push_view push;
    for (size_t i = 0; i < batch->event_count; i++) {
        struct batch_event *event = &batch->events[i];
        count_event(batch, event, targets->of_event[i]->lead);
        tally_event(&tail->tally, batch, event, targets->of_event[i]->lead);
        if (event->outcome == EVENT_STORED && event->event.push.size > 0 &&
            push_open(event->event.push, &push)) {
            append_event(tail, targets->of_event[i], event->rank, &push);
        }
    }
    if (tail->payload.size > 0) {
        text_string(&tail->payload, "]");
    }
}

/* ---- the other arguments --------------------------------------------------------------------- */

static void append_count(struct text *json, const char *name, uint64_t count, bool *is_first)
{
    if (count > 0) {
        text_format(json, "%s\"%s\":%llu", *is_first ? "" : ",", name, (unsigned long long)count);
        *is_first = false;
    }
}

static void append_publisher(struct text *json, const struct tally_entry *entry)
{
    static const char digits[] = "0123456789abcdef";
    char key[] = "\"0123456789abcdef\":[";
    for (unsigned i = 0; i < 16; i++) {
        key[1 + i] = digits[entry->producer >> (60 - 4 * i) & 15];
    }
    text_string(json, key);
    unsigned last = EVENT_REJECTED;
    while (last > 0 && entry->counts[last] == 0) {
        last--;
    }
    for (unsigned i = 0; i <= last; i++) {
        text_bytes(json, ",", i == 0 ? 0 : 1);
        text_u64(json, entry->counts[i]);
    }
    text_bytes(json, "]", 1);
}

static void append_publishers(struct text *json, const struct tally *tally, uint32_t newest)
{
    if (newest == TALLY_NONE) {
        return;
    }
    text_string(json, ",\"publishers\":{"); /* an event was counted, so something stands before */
    for (uint32_t i = newest; i != TALLY_NONE; i = tally->entries[i].next) {
        text_bytes(json, ",", i == newest ? 0 : 1);
        append_publisher(json, &tally->entries[i]);
    }
    text_bytes(json, "}", 1);
}

static void append_stream(struct tail *tail, const struct target *target)
{
    struct text *json = &tail->arguments[TAIL_STREAMS];
    bool is_first = true;
    text_string(json, json->size == 0 ? "{" : ",");
    text_string(json, target->stream_json);
    text_string(json, ":{");
    append_count(json, "stored", target->stored, &is_first);
    append_count(json, "duplicates", target->duplicates, &is_first);
    append_count(json, "rejected", target->rejected, &is_first);
    append_publishers(json, &tail->tally, target->publishers);
    text_string(json, "}");
    if (target->stored > 0) {
        struct text *told = &tail->arguments[TAIL_TOLD];
        text_string(told, told->size == 0 ? "{" : ",");
        text_string(told, target->stream_json);
        text_format(told, ":%llu", (unsigned long long)target->stored);
    }
}

static void append_streams(struct tail *tail, const struct targets *targets)
{
    for (size_t i = 0; i < targets->batch_count; i++) {
        const struct target *target = targets->batch[i];
        if (target->lead == target) {
            append_stream(tail, target);
        }
        struct text *names = &tail->arguments[TAIL_NAMES];
        text_bytes(names, names->size == 0 ? "{" : ",", 1);
        text_array_element(names, span_string(target->stream));
        append_number(&tail->arguments[TAIL_COUNTS], target->stored);
        append_number(&tail->arguments[TAIL_STARTS], target->start);
    }
}

static void close_list(struct text *text, const char *empty, const char *end)
{
    text_string(text, text->size == 0 ? empty : end);
}

bool tail_build(struct tail *tail, const struct tail_author *author, struct targets *targets,
                struct batch *batch)
{
    struct text *arguments = tail->arguments;
    text_clear(&tail->payload);
    for (size_t i = 0; i < TAIL_ARGUMENTS; i++) {
        text_clear(&arguments[i]);
    }
    tail->inlined = true;
    take_events(tail, targets, batch);
    append_streams(tail, targets);
    for (size_t i = TAIL_STREAMS; i <= TAIL_BODIES; i++) {
        close_list(&arguments[i], "{}", "}");
    }
    text_string(&arguments[TAIL_NODE], author->node);
    text_u64(&arguments[TAIL_LANE], author->lane);
    text_u64(&arguments[TAIL_PREVIOUS], author->checkpoint);
    text_u64(&arguments[TAIL_POSITION], batch->sequence_last);
    text_u64(&arguments[TAIL_STORED], batch->stored);
    text_u64(&arguments[TAIL_DUPLICATES], batch->duplicates);
    text_u64(&arguments[TAIL_REJECTED], batch->rejected);
    text_u64(&arguments[TAIL_SLOT], author->slot);
    bool failed = tail->payload.failed || tail->tally.failed;
    for (size_t i = 0; i < TAIL_ARGUMENTS; i++) {
        failed = failed || arguments[i].failed;
    }
    return !failed;
}

static bool is_null(const struct tail *tail, size_t argument)
{
    return argument >= TAIL_OWNERS && argument <= TAIL_BODIES && !tail->inlined;
}

void tail_parameters(const struct tail *tail, const char *out[TAIL_ARGUMENTS])
{
    for (size_t i = 0; i < TAIL_ARGUMENTS; i++) {
        out[i] = is_null(tail, i) ? NULL : text_value(&tail->arguments[i]);
    }
}

void tail_sql(const struct tail *tail, struct text *sql)
{
    text_string(sql, "SELECT out_first, out_at_us, out_slot FROM penstock.commit_batch(");
    for (size_t i = 0; i < TAIL_ARGUMENTS; i++) {
        text_string(sql, i == 0 ? "" : ", ");
        if (is_null(tail, i)) {
            text_string(sql, "NULL");
        } else {
            text_literal(sql, text_span(&tail->arguments[i]));
        }
    }
    text_string(sql, ")");
}
