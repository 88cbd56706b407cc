/*
 * pinned.c - what a session's token sets in the events of a stream (`set`): from claims to finished
 * cells, once for a session and stream, and again when the stream is another (its table was
 * altered) or the token is.
 */
#include "access/access.h"
#include "access/access_private.h"
#include "edge_private.h"

#include <stdlib.h>

void pinned_drop(struct access *access)
{
    for (size_t i = 0; access->pins != NULL && i < STREAMS_MAX; i++) {
        pins_destroy(access->pins[i]);
    }
    free(access->pins);
    access->pins = NULL;
}

static const struct stream_settings *find_settings(const struct settings *settings,
                                                   const struct stream *stream)
{
    for (size_t i = 0; i < settings->stream_count; i++) {
        if (span_is(stream_name(stream), settings->streams[i].name)) {
            return &settings->streams[i];
        }
    }
    return NULL;
}

static enum status refuse(const struct stream *stream, size_t index, const char *claim,
                          struct problem *problem)
{
    return problem_set(problem, STATUS_FORBIDDEN,
                       "the token has no claim \"%.200s\" that fits \"%.*s\" of stream \"%.*s\"",
                       claim, SPAN_PRINT(stream_pinned_name(stream, index)),
                       SPAN_PRINT(stream_name(stream)));
}

/* Which of them it was that does not fit. */
static size_t find_pinned(const struct stream *stream, const char *name)
{
    size_t index = 0;
    while (index + 1 < stream_pinned_count(stream) &&
           !span_is(stream_pinned_name(stream, index), name)) {
        index++;
    }
    return index;
}

static enum status make(const struct settings *settings, const struct stream *stream,
                        const struct access *access, struct pins **out, struct problem *problem)
{
    struct value values[PINS_MAX];
    const struct stream_settings *wanted = find_settings(settings, stream);
    for (size_t i = 0; i < stream_pinned_count(stream); i++) {
        const char *claim = wanted->sets[i].claim;
        if (!claims_find(&access->claims, span_string(claim), &values[i])) {
            return refuse(stream, i, claim, problem);
        }
    }
    enum status status = pins_create(stream, values, out, problem);
    if (status == STATUS_INVALID_EVENT) {
        size_t index = find_pinned(stream, problem->field);
        return refuse(stream, index, wanted->sets[index].claim, problem);
    }
    return status;
}

/* Prepared before, or now. */
static enum status prepare(struct session *session, size_t index, const struct stream *stream,
                           struct problem *problem)
{
    struct access *access = session->access;
    if (access->pins == NULL) {
        access->pins = calloc(STREAMS_MAX, sizeof(struct pins *));
    }
    if (access->pins == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for what a token sets");
    }
    struct pins **at = &access->pins[index];
    if (*at != NULL && pins_are_of(*at, stream)) {
        return STATUS_OK;
    }
    pins_destroy(*at);
    *at = NULL;
    return make(edge_settings(session->edge), stream, access, at, problem);
}

bool pinned_apply(struct session *session, size_t index, const struct stream *stream,
                  struct problem *problem)
{
    struct encode_context *context = session->edge->encode_context;
    if (session->access == NULL || stream_pinned_count(stream) == 0) {
        encode_context_pin(context, NULL);
        return true;
    }
    if (prepare(session, index, stream, problem) != STATUS_OK) {
        return false;
    }
    encode_context_pin(context, session->access->pins[index]);
    return true;
}
