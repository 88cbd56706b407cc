/*
 * reader.c - steps through a message: names, values, events; JSON where it stands, MessagePack on
 * its tape.
 *
 * A JSON message is checked as the steps go on; a MessagePack message was checked as a whole by
 * reader_open(), so that later steps can only find something of the wrong kind.
 */
#include "decoder.h"
#include "json_text.h"
#include "json_value.h"

/* ---- JSON ------------------------------------------------------------------------------------ */

static enum status json_refused(struct decoder *d, struct problem *problem)
{
    size_t at = (size_t)(d->scan.failed_at - d->scan.start);
    d->unreadable = true;
    if (d->scan.too_deep) {
        return problem_set(problem, STATUS_TOO_LARGE,
                           "arrays and maps are nested deeper than %d levels at byte %zu",
                           WIRE_DEPTH_MAX, at);
    }
    return problem_set(problem, STATUS_MALFORMED, "not JSON at byte %zu: %s", at, d->scan.reason);
}

static enum status json_refuse(struct decoder *d, const uint8_t *at, const char *reason,
                               struct problem *problem)
{
    json_fail(&d->scan, at, reason);
    return json_refused(d, problem);
}

static unsigned json_depth(const struct decoder *d)
{
    return d->state == READ_TOP ? 1 : d->state == READ_EVENTS ? 2 : 3;
}

static enum status json_open(struct decoder *d, struct span bytes, struct problem *problem)
{
    d->scan = json_scan_of(bytes, WIRE_DEPTH_MAX);
    const uint8_t *p = json_skip_space(d->scan.start, d->scan.end);
    if (p == d->scan.end || *p != '{') {
        return json_refuse(d, p, "a message is a map and begins with {", problem);
    }
    d->next = p + 1;
    d->first = true;
    return STATUS_OK;
}

/* Moves to the next item of the container we are in, or behind its end. */
static enum step json_item(struct decoder *d, uint8_t close, struct problem *problem)
{
    const uint8_t *end = d->scan.end;
    const uint8_t *p = json_skip_space(d->next, end);
    if (p < end && *p == close) {
        d->next = p + 1;
        d->first = false;
        return STEP_END;
    }
    if (!d->first) {
        if (p == end || *p != ',') {
            (void)json_refuse(d, p,
                              close == ']' ? "a comma or ] is missing" : "a comma or } is missing",
                              problem);
            return STEP_FAILED;
        }
        p = json_skip_space(p + 1, end);
    }
    d->first = false;
    d->next = p;
    return STEP_ITEM;
}

static enum status name_refused(struct decoder *d, struct problem *problem)
{
    enum status status = d->state == READ_EVENT ? STATUS_INVALID_EVENT : STATUS_MALFORMED;
    return problem_set(problem, status,
                       "a name must be a string without \\u0000 or half a surrogate pair");
}

static enum step json_name(struct decoder *d, struct span *out, struct problem *problem)
{
    enum step step = json_item(d, '}', problem);
    if (step != STEP_ITEM) {
        return step;
    }
    d->scan.flaws = 0;
    d->scan.escaped = false;
    const uint8_t *p = json_scan_name(&d->scan, d->next, out);
    if (p == NULL) {
        (void)json_refused(d, problem);
        return STEP_FAILED;
    }
    d->next = p;
    if (d->scan.flaws != 0) {
        d->unreadable = true; /* not truly, but there is no reason to go on */
        (void)name_refused(d, problem);
        return STEP_FAILED;
    }
    if (d->scan.escaped) {
        uint8_t *start = d->scratch.next;
        json_text_resolve(&d->scratch, *out); /* fits: see decoder.h */
        *out = span_of(start, (size_t)(d->scratch.next - start));
    }
    return STEP_ITEM;
}

static enum status json_value(struct decoder *d, struct value *out, struct problem *problem)
{
    const uint8_t *p = json_read_value(&d->scan, d->next, json_depth(d), out);
    if (p == NULL) {
        return json_refused(d, problem);
    }
    out->decoder = d;
    d->next = p;
    return STATUS_OK;
}

static enum status json_events_enter(struct decoder *d, struct problem *problem)
{
    if (d->next < d->scan.end && *d->next == '[') {
        d->next++;
        d->first = true;
        d->state = READ_EVENTS;
        return STATUS_OK;
    }
    struct value other;
    enum status status = json_value(d, &other, problem);
    return status == STATUS_OK ? field_has_kind(FIELD_EVENTS, &other, VALUE_ARRAY, problem)
                               : status;
}

/* An array is entered; anything else is taken for the first of a sequence. */
static void json_open_events(struct decoder *d, struct span bytes)
{
    d->scan = json_scan_of(bytes, WIRE_DEPTH_MAX);
    const uint8_t *p = json_skip_space(d->scan.start, d->scan.end);
    bool is_array = p < d->scan.end && *p == '[';
    d->form = is_array ? FORM_ARRAY : FORM_SEQUENCE;
    d->next = is_array ? p + 1 : p;
    d->first = true;
    d->state = READ_EVENTS;
}

/* Moves to the next of a sequence. */
static enum step json_next(struct decoder *d)
{
    d->next = json_skip_space(d->next, d->scan.end);
    return d->next == d->scan.end ? STEP_END : STEP_ITEM;
}

static enum step json_event(struct decoder *d, struct problem *problem)
{
    enum step step = d->form == FORM_SEQUENCE ? json_next(d) : json_item(d, ']', problem);
    if (step != STEP_ITEM) {
        return step;
    }
    if (d->next < d->scan.end && *d->next == '{') {
        d->next++;
        d->first = true;
        return STEP_ITEM;
    }
    struct value other;
    if (json_value(d, &other, problem) == STATUS_OK) {
        (void)problem_set(problem, STATUS_INVALID_EVENT, "an event must be a map, got %s",
                          value_kind_name(&other));
    }
    return STEP_FAILED;
}

static enum status json_close(struct decoder *d, struct problem *problem)
{
    const uint8_t *p = json_skip_space(d->next, d->scan.end);
    if (p == d->scan.end) {
        return STATUS_OK;
    }
    return json_refuse(d, p, "the message should end here", problem);
}

/* ---- MessagePack ----------------------------------------------------------------------------- */

static struct token_range range_of(const struct value *container)
{
    return (struct token_range){container->token, container->token_end};
}

/* The map we are in. */
static struct token_range *map_range(struct decoder *d)
{
    return d->state == READ_EVENT ? &d->event : &d->top;
}

static enum status msgpack_open(struct decoder *d, struct span bytes, struct problem *problem)
{
    struct value message;
    enum status status = tape_read(&d->tape, bytes, problem);
    if (status == STATUS_OK) {
        (void)tape_value(&d->tape, 0, d, &message);
        if (message.kind == VALUE_MAP) {
            d->top = range_of(&message);
            return STATUS_OK;
        }
        status = problem_set(problem, STATUS_MALFORMED, "a message must be a map, got %s",
                             value_kind_name(&message));
    }
    d->unreadable = true;
    return status;
}

static enum status msgpack_open_events(struct decoder *d, struct span bytes,
                                       struct problem *problem)
{
    struct value body;
    enum status status = tape_read(&d->tape, bytes, problem);
    if (status == STATUS_OK) {
        uint32_t end = tape_value(&d->tape, 0, d, &body);
        d->form = FORM_ARRAY;
        d->state = READ_EVENTS;
        d->events = body.kind == VALUE_ARRAY ? range_of(&body) : (struct token_range){0, end};
        return STATUS_OK;
    }
    d->unreadable = true;
    return status;
}

static enum step msgpack_name(struct decoder *d, struct span *out, struct problem *problem)
{
    struct token_range *map = map_range(d);
    struct value name;
    if (map->next == map->end) {
        return STEP_END;
    }
    map->next = tape_value(&d->tape, map->next, d, &name);
    if (name.kind != VALUE_STRING || name.flaws != 0) {
        d->unreadable = true;
        (void)name_refused(d, problem);
        return STEP_FAILED;
    }
    *out = name.raw;
    return STEP_ITEM;
}

static void msgpack_value(struct decoder *d, struct value *out)
{
    struct token_range *map = map_range(d);
    map->next = tape_value(&d->tape, map->next, d, out);
}

static enum step msgpack_event(struct decoder *d, struct problem *problem)
{
    struct value event;
    if (d->events.next == d->events.end) {
        return STEP_END;
    }
    d->events.next = tape_value(&d->tape, d->events.next, d, &event);
    if (event.kind == VALUE_MAP) {
        d->event = range_of(&event);
        return STEP_ITEM;
    }
    (void)problem_set(problem, STATUS_INVALID_EVENT, "an event must be a map, got %s",
                      value_kind_name(&event));
    return STEP_FAILED;
}

static enum status msgpack_events_enter(struct decoder *d, struct problem *problem)
{
    struct value events;
    msgpack_value(d, &events);
    enum status status = field_has_kind(FIELD_EVENTS, &events, VALUE_ARRAY, problem);
    if (status == STATUS_OK) {
        d->events = range_of(&events);
        d->state = READ_EVENTS;
    }
    return status;
}

/* ---- either ---------------------------------------------------------------------------------- */

enum status reader_open(struct decoder *d, struct span bytes, struct problem *problem)
{
    return d->encoding == ENCODING_JSON ? json_open(d, bytes, problem)
                                        : msgpack_open(d, bytes, problem);
}

enum status reader_open_events(struct decoder *d, struct span bytes, struct problem *problem)
{
    if (d->encoding == ENCODING_MSGPACK) {
        return msgpack_open_events(d, bytes, problem);
    }
    json_open_events(d, bytes);
    return STATUS_OK;
}

enum step reader_name(struct decoder *d, struct span *out, struct problem *problem)
{
    return d->encoding == ENCODING_JSON ? json_name(d, out, problem)
                                        : msgpack_name(d, out, problem);
}

enum status reader_value(struct decoder *d, struct value *out, struct problem *problem)
{
    if (d->encoding == ENCODING_JSON) {
        return json_value(d, out, problem);
    }
    msgpack_value(d, out);
    return STATUS_OK;
}

enum status reader_events_enter(struct decoder *d, struct problem *problem)
{
    return d->encoding == ENCODING_JSON ? json_events_enter(d, problem)
                                        : msgpack_events_enter(d, problem);
}

enum status reader_events_pass(struct decoder *d, struct problem *problem)
{
    struct value events;
    d->events_at = d->next;
    enum status status = reader_value(d, &events, problem);
    if (status == STATUS_OK) {
        status = field_has_kind(FIELD_EVENTS, &events, VALUE_ARRAY, problem);
    }
    if (status == STATUS_OK) {
        d->events = range_of(&events);
        d->events_later = true;
    }
    return status;
}

void reader_events_return(struct decoder *d)
{
    d->next = d->events_at + 1; /* MessagePack has its range already */
    d->first = true;
    d->state = READ_EVENTS;
}

enum step reader_event(struct decoder *d, struct problem *problem)
{
    return d->encoding == ENCODING_JSON ? json_event(d, problem) : msgpack_event(d, problem);
}

enum status reader_close(struct decoder *d, struct problem *problem)
{
    return d->encoding == ENCODING_JSON ? json_close(d, problem) : STATUS_OK;
}
