/*
 * recorded_test.c - recorded events of real systems (20 scripts, emoji, long strings, integers past
 * 2^53) pass through both encodings unharmed.
 *
 * The recordings are not part of this repository: PENSTOCK_RECORDED_DATA names their folder, or
 * they lie in ../shared/data beside it. Without them the test is skipped.
 */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_BYTES_MAX (1u << 18)

static FILE *open_recording(const char *name)
{
    char path[1024];
    const char *folder = getenv("PENSTOCK_RECORDED_DATA");
    const char *root = getenv("PENSTOCK_SOURCE_DIR");
    if (folder != NULL) {
        snprintf(path, sizeof path, "%s/%s", folder, name);
    } else {
        snprintf(path, sizeof path, "%s/../shared/data/%s", root != NULL ? root : ".", name);
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("skipped: no recording at %s\n", path);
        skip();
    }
    return file;
}

/* The event of a message, as the edge reads it, compared with the line it was made from. */
static void check_event(struct decoder *decoder, enum encoding encoding, struct span message,
                        const struct value *line)
{
    static uint8_t json[MESSAGE_BYTES_MAX];
    struct message m;
    struct problem problem;
    struct span name;
    struct value value, expected;
    struct map_cursor cursor;
    struct span expected_name;
    if (message_decode(decoder, encoding, message, &m, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    assert_int_equal(events_next(decoder, &problem), STEP_ITEM);
    map_begin(line, &cursor);
    while (event_field(decoder, &name, &value, &problem) == STEP_ITEM) {
        struct writer w = writer_of(json, sizeof json);
        assert_true(map_next(&cursor, &expected_name, &expected));
        assert_true(span_equals(name, expected_name));
        assert_int_equal(value.flaws, 0);
        value_json(&value, &w);
        struct writer e = writer_of(w.next, writer_room(&w));
        value_json(&expected, &e);
        assert_false(e.full);
        assert_json_equal(writer_span(&w), writer_span(&e), "recorded");
    }
    assert_false(map_next(&cursor, &expected_name, &expected));
    assert_int_equal(events_next(decoder, &problem), STEP_END);
    assert_int_equal(message_finish(decoder, &m, &problem), STATUS_OK);
}

static unsigned check_recording(const char *name)
{
    static uint8_t text[MESSAGE_BYTES_MAX], packed[MESSAGE_BYTES_MAX];
    FILE *file = open_recording(name);
    struct decoder *decoder = decoder_new(MESSAGE_BYTES_MAX);
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    unsigned lines = 0;
    while ((size = getline(&line, &room, file)) > 0) {
        struct value event;
        struct problem problem;
        struct writer message = writer_of(text, sizeof text);
        struct writer binary = writer_of(packed, sizeof packed);
        assert_int_equal(json_parse(span_of(line, (size_t)size), &event, &problem), STATUS_OK);
        writer_string(&message, "{\"op\":\"publish\",\"id\":1,\"stream\":\"s\",\"events\":[");
        writer_put(&message, event.raw);
        writer_string(&message, "]}");
        json_to_msgpack(writer_span(&message), &binary);
        assert_false(message.full || binary.full);
        check_event(decoder, ENCODING_JSON, writer_span(&message), &event);
        check_event(decoder, ENCODING_MSGPACK, writer_span(&binary), &event);
        lines++;
    }
    free(line);
    decoder_destroy(decoder);
    fclose(file);
    return lines;
}

/* Every recorded behaviour event is accepted and keeps its values. */
static void recorded_behavior_passes_unharmed(void **state)
{
    (void)state;
    assert_int_equal(check_recording("behavior.ndjson"), 5243);
}

/* So is every recorded social event. */
static void recorded_social_posts_pass_unharmed(void **state)
{
    (void)state;
    assert_int_equal(check_recording("social.ndjson"), 6097);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_behavior_passes_unharmed),
        cmocka_unit_test(recorded_social_posts_pass_unharmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
