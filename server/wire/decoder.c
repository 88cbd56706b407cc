/* decoder.c - whole messages: memory for one, reading it up to its events, ruling on all of it. */
#include "decoder.h"

#include <stdlib.h>

enum status decoder_create(size_t message_bytes_max, struct decoder **out, struct problem *problem)
{
    if (message_bytes_max > TAPE_MESSAGE_BYTES_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "message_bytes is %zu, and messages can have at most %u bytes",
                           message_bytes_max, TAPE_MESSAGE_BYTES_MAX);
    }
    struct decoder *d = calloc(1, sizeof *d);
    uint8_t *scratch = malloc(message_bytes_max);
    if (d == NULL || scratch == NULL) {
        (void)problem_set(problem, STATUS_NO_MEMORY,
                          "no memory to decode messages of %zu bytes: lower message_bytes",
                          message_bytes_max);
        goto free_memory;
    }
    if (tape_init(&d->tape, message_bytes_max, problem) != STATUS_OK) {
        goto free_memory;
    }
    d->message_bytes_max = message_bytes_max;
    d->scratch = writer_of(scratch, message_bytes_max);
    d->state = READ_DONE;
    *out = d;
    return STATUS_OK;

free_memory:
    free(scratch);
    free(d);
    return problem->status;
}

void decoder_destroy(struct decoder *d)
{
    if (d == NULL) {
        return;
    }
    tape_fini(&d->tape);
    free(d->scratch.start);
    free(d);
}

enum status decoder_failed(struct decoder *d, struct problem *problem)
{
    problem->index = d->index;
    if (d->failure.status == STATUS_OK) {
        d->failure = *problem;
    }
    return problem->status;
}

static void reset(struct decoder *d, enum encoding encoding)
{
    d->encoding = encoding;
    d->state = READ_TOP;
    d->form = FORM_MESSAGE;
    d->seen = 0;
    d->events_later = false;
    d->unreadable = false;
    d->index = -1;
    d->event_count = 0;
    d->scratch.next = d->scratch.start;
    d->scratch.full = false;
    d->failure.status = STATUS_OK;
}

static bool is_seen(const struct decoder *d, enum field field)
{
    return (d->seen & 1u << field) != 0;
}

/* Events can be read where they stand when it is known whose they are. MessagePack has been read as
 * a whole already, so there is nothing to gain by stopping. */
static bool can_stop_at_events(const struct decoder *d)
{
    return d->encoding == ENCODING_JSON && is_seen(d, FIELD_STREAM) && is_seen(d, FIELD_OP) &&
           d->op == OP_PUBLISH;
}

/* `out_value_is_next`: it was refused by its name, before its value was read. */
static enum status read_field(struct decoder *d, struct span name, struct message *message,
                              bool *out_value_is_next, struct problem *problem)
{
    enum field field;
    struct value value;
    enum status status = field_find(d, name, &field, problem);
    *out_value_is_next = status != STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    d->seen |= 1u << field;
    if (field == FIELD_EVENTS) {
        return can_stop_at_events(d) ? reader_events_enter(d, problem)
                                     : reader_events_pass(d, problem);
    }
    status = reader_value(d, &value, problem);
    return status == STATUS_OK ? field_read(d, field, &value, message, problem) : status;
}

/* A message that is refused for one of its fields is read on for its id alone, which may stand
 * behind that field: the answer must carry it. What else is wrong with the message is not said. */
static void find_id(struct decoder *d, struct message *message)
{
    struct problem ignored;
    struct span name;
    struct value value;
    while (!d->unreadable && !is_seen(d, FIELD_ID) &&
           reader_name(d, &name, &ignored) == STEP_ITEM) {
        bool is_id = span_is(name, "id");
        if (reader_value(d, &value, &ignored) != STATUS_OK) {
            return;
        }
        if (is_id) {
            (void)!field_read(d, FIELD_ID, &value, message, &ignored);
            return;
        }
    }
}

/* The reader stands behind a name, or behind its value. */
static enum status refuse_field(struct decoder *d, bool value_is_next, struct message *message,
                                struct problem *problem)
{
    struct problem ignored;
    struct value value;
    enum status status = decoder_failed(d, problem);
    if (!d->unreadable && (!value_is_next || reader_value(d, &value, &ignored) == STATUS_OK)) {
        find_id(d, message);
    }
    d->unreadable = true; /* nothing else of it is read */
    return status;
}

/* Reads names and values to the end of the message, or up to `events`. */
static enum status read_fields(struct decoder *d, struct message *message, struct problem *problem)
{
    while (d->state == READ_TOP) {
        struct span name;
        enum status status;
        bool value_is_next;
        switch (reader_name(d, &name, problem)) {
        case STEP_ITEM:
            status = read_field(d, name, message, &value_is_next, problem);
            if (status != STATUS_OK) {
                return refuse_field(d, value_is_next, message, problem);
            }
            break;
        case STEP_END:
            d->state = READ_DONE;
            status = reader_close(d, problem);
            if (status == STATUS_OK) {
                status = fields_judge(d, message, problem);
            }
            break;
        default:
            status = problem->status;
            break;
        }
        if (status != STATUS_OK) {
            d->unreadable = true; /* a message that is refused is not read on */
            return decoder_failed(d, problem);
        }
    }
    d->scratch_names = d->scratch.next;
    return STATUS_OK;
}

static enum status check_size(struct decoder *d, struct span bytes, struct problem *problem)
{
    if (bytes.size <= d->message_bytes_max) {
        return STATUS_OK;
    }
    d->unreadable = true;
    return problem_set(problem, STATUS_TOO_LARGE, "the message has %zu bytes, and %zu are allowed",
                       bytes.size, d->message_bytes_max);
}

enum status message_decode(struct decoder *d, enum encoding encoding, struct span bytes,
                           struct message *out, struct problem *problem)
{
    reset(d, encoding);
    *out = (struct message){.ack = ACK_DURABLE};
    enum status status = check_size(d, bytes, problem);
    if (status == STATUS_OK) {
        status = reader_open(d, bytes, problem);
    }
    return status == STATUS_OK ? read_fields(d, out, problem) : decoder_failed(d, problem);
}

enum status body_decode(struct decoder *d, enum encoding encoding, struct span bytes,
                        struct problem *problem)
{
    reset(d, encoding);
    d->scratch_names = d->scratch.next;
    enum status status = check_size(d, bytes, problem);
    if (status == STATUS_OK) {
        status = reader_open_events(d, bytes, problem);
    }
    return status == STATUS_OK ? STATUS_OK : decoder_failed(d, problem);
}

enum status message_finish(struct decoder *d, struct message *message, struct problem *problem)
{
    /* Events that nobody looked at are checked as well, and passed: the id may stand behind them.
     */
    while (!d->unreadable && d->state != READ_TOP && events_next(d, problem) != STEP_END) {
        continue;
    }
    if (!d->unreadable && d->state == READ_TOP) {
        (void)!read_fields(d, message, problem);
    }
    if (d->failure.status != STATUS_OK) {
        *problem = d->failure;
    }
    message->events = d->event_count;
    return d->failure.status;
}
