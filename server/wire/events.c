/*
 * events.c - steps through the events of a publish; see the drawing in decoder.h.
 *
 * This is the path of every event. A field costs one scan of its name, one of its value, and no
 * memory. An event that its reader left in the middle is passed to its end by the next step, so
 * that what stands behind it can still be read.
 */
#include "decoder.h"

static enum step failed(struct decoder *d, struct problem *problem)
{
    (void)decoder_failed(d, problem);
    return STEP_FAILED;
}

static enum step refuse_empty(struct decoder *d, struct problem *problem)
{
    if (d->form == FORM_MESSAGE) {
        (void)problem_set(problem, STATUS_MALFORMED, "`events` must not be empty");
        problem_field(problem, span_string("events"));
    } else {
        (void)problem_set(problem, STATUS_MALFORMED, "there are no events");
    }
    return failed(d, problem);
}

/* Behind the last event: back to the names of the message, or, when there are none left, done. */
static enum step leave(struct decoder *d, struct problem *problem)
{
    d->state = d->events_later || d->form != FORM_MESSAGE ? READ_DONE : READ_TOP;
    d->events_later = false;
    if (d->index < 0) {
        return refuse_empty(d, problem);
    }
    d->event_count = (uint32_t)d->index + 1;
    d->index = -1; /* failures from here on are about no event */
    if (d->form != FORM_MESSAGE && reader_close(d, problem) != STATUS_OK) {
        return failed(d, problem);
    }
    return STEP_END;
}

static enum step pass_event(struct decoder *d, struct problem *problem)
{
    struct span name;
    struct value value;
    enum step step;
    do {
        step = event_field(d, &name, &value, problem);
    } while (step == STEP_ITEM);
    return step;
}

enum step events_next(struct decoder *d, struct problem *problem)
{
    if (d->unreadable) {
        *problem = d->failure;
        return STEP_FAILED;
    }
    if (d->state == READ_EVENT && pass_event(d, problem) == STEP_FAILED) {
        return STEP_FAILED;
    }
    if (d->state == READ_DONE && d->events_later) {
        reader_events_return(d);
    }
    if (d->state != READ_EVENTS) {
        return STEP_END;
    }
    int32_t before = d->index++;
    switch (reader_event(d, problem)) {
    case STEP_ITEM:
        d->state = READ_EVENT;
        return STEP_ITEM;
    case STEP_END:
        d->index = before;
        return leave(d, problem);
    default:
        return failed(d, problem);
    }
}

enum step event_field(struct decoder *d, struct span *out_name, struct value *out,
                      struct problem *problem)
{
    if (d->unreadable) {
        *problem = d->failure;
        return STEP_FAILED;
    }
    if (d->state != READ_EVENT) {
        return STEP_END;
    }
    d->scratch.next = d->scratch_names;
    enum step step = reader_name(d, out_name, problem);
    if (step == STEP_END) {
        d->state = READ_EVENTS;
        return STEP_END;
    }
    if (step == STEP_FAILED || reader_value(d, out, problem) != STATUS_OK) {
        return failed(d, problem);
    }
    return STEP_ITEM;
}
