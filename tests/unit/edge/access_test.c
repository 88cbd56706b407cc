/*
 * access_test.c - what a session may publish is noted once for a set of streams, and no longer.
 */
#include "access/access.h"
#include "access/access_private.h"
#include "edge_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char none[] = "", notes_list[] = "notes", other_list[] = "other";
static struct settings settings = {.auth_publish_claim = none, .allow_publish = notes_list};
static char some_verifier; /* tokens are asked for: nothing else is looked at */

static struct stream *make_notes(void)
{
    struct column_description column = {.name = "name",
                                        .type_oid = 25,
                                        .base_oid = 25,
                                        .type_modifier = -1,
                                        .type_kind = 'b',
                                        .type_name = "text",
                                        .type_schema = "pg_catalog"};
    struct table_description table = {
        .schema = "public", .name = "notes", .relation_kind = 'r', .columns = &column};
    table.column_count = 1;
    struct stream_options options = {.name = span_string("notes")};
    struct stream *stream = NULL;
    struct problem problem;
    assert_int_equal(stream_create(&options, &table, &stream, &problem), STATUS_OK);
    return stream;
}

/* Another set may lie where a former one lay, once that is freed: what was noted of the former says
 * nothing of it. */
static void rights_are_those_of_the_set_of_now(void **state)
{
    (void)state;
    struct problem problem;
    struct stream *notes = make_notes();
    struct stream_set set = {.serial = 1, .streams = &notes, .count = 1};
    struct edge *edge = calloc(1, sizeof *edge);
    struct session *session = calloc(1, sizeof *session);
    assert_non_null(edge);
    assert_non_null(session);
    edge->options = (struct edge_options){.settings = &settings,
                                          .streams = &set,
                                          .verifier = (struct verifier *)(void *)&some_verifier};
    session->edge = edge;
    session->access = calloc(1, sizeof *session->access);
    assert_non_null(session->access);
    assert_true(access_may_publish(session, span_string("notes"), &problem));
    settings.allow_publish = other_list;
    assert_true(access_may_publish(session, span_string("notes"), &problem)); /* of that set */
    set.serial = 2;
    assert_false(access_may_publish(session, span_string("notes"), &problem));
    assert_int_equal(problem.status, STATUS_FORBIDDEN);
    free(session->access);
    free(session);
    free(edge);
    stream_destroy(notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_are_those_of_the_set_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
