/* run_test.c - the ids that `send` makes: a function of the run and the line, and nothing else. */
#include "run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct run RUN = {.started_ms = 0x0192a3b4c5d6, .seed = 0xfedcba98765};

static struct span id_of(const struct run *run, uint64_t line, char out[UUID_TEXT_BYTES])
{
    run_id(run, line, out);
    return span_of(out, UUID_TEXT_BYTES);
}

/* The bits stand where run.h draws them. */
static void id_has_the_documented_layout(void **state)
{
    (void)state;
    char id[UUID_TEXT_BYTES];
    assert_true(span_is(id_of(&RUN, 0, id), "0192a3b4-c5d6-7000-8000-0fedcba98765"));
    assert_true(span_is(id_of(&RUN, 1, id), "0192a3b4-c5d6-7000-8000-1fedcba98765"));
    assert_true(span_is(id_of(&RUN, (1u << 18) - 1, id), "0192a3b4-c5d6-7000-bfff-ffedcba98765"));
    assert_true(span_is(id_of(&RUN, 1u << 18, id), "0192a3b4-c5d6-7001-8000-0fedcba98765"));
    assert_true(span_is(id_of(&RUN, (1u << 30) - 1, id), "0192a3b4-c5d6-7fff-bfff-ffedcba98765"));
    assert_true(span_is(id_of(&RUN, 1u << 30, id), "0192a3b4-c5d7-7000-8000-0fedcba98765"));
}

/* The same run and line give the same id in any process. */
static void same_line_gives_the_same_id(void **state)
{
    (void)state;
    char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];
    struct run copy = RUN;
    copy.done = (struct place){77, 5000, 1};
    assert_true(span_equals(id_of(&RUN, 123456, a), id_of(&copy, 123456, b)));
}

/* Ids ascend with the lines, as text and thus as uuids, over every carry. */
static void ids_ascend_with_the_lines(void **state)
{
    (void)state;
    static const uint64_t around[] = {1, 1u << 18, 1u << 20, 1u << 30, UINT64_C(1) << 32};
    char before[UUID_TEXT_BYTES], after[UUID_TEXT_BYTES];
    for (unsigned i = 0; i < sizeof around / sizeof around[0]; i++) {
        uint64_t line = around[i] > 1000 ? around[i] - 1000 : 0;
        run_id(&RUN, line, before);
        for (; line < around[i] + 1000; line++) {
            run_id(&RUN, line + 1, after);
            assert_true(memcmp(before, after, UUID_TEXT_BYTES) < 0);
            memcpy(before, after, UUID_TEXT_BYTES);
        }
    }
}

/* Each is a UUIDv7 that PostgreSQL reads. */
static void id_is_a_version_7_uuid(void **state)
{
    (void)state;
    struct run run;
    char id[UUID_TEXT_BYTES];
    uint8_t bytes[UUID_BYTES];
    run_begin(&run);
    for (uint64_t line = 1; line < 100000; line += 77) {
        assert_true(uuid_parse(id_of(&run, line, id), bytes));
        assert_int_equal(bytes[6] >> 4, 7);
        assert_int_equal(bytes[8] >> 6, 2);
    }
}

/* Two runs, even of the same millisecond, make different ids. */
static void runs_differ(void **state)
{
    (void)state;
    struct run a, b;
    run_begin(&a);
    run_begin(&b);
    assert_true(a.seed != b.seed);
    assert_true(a.seed < UINT64_C(1) << 44 && b.seed < UINT64_C(1) << 44);
    assert_int_equal(a.done.line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_has_the_documented_layout),
        cmocka_unit_test(same_line_gives_the_same_id),
        cmocka_unit_test(ids_ascend_with_the_lines),
        cmocka_unit_test(id_is_a_version_7_uuid),
        cmocka_unit_test(runs_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
