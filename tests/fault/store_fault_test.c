/*
 * store_fault_test.c - every call that the committer makes of libpq, of memory and of its socket
 * fails once, or loses the connection: each event goes in exactly once all the same, no row is
 * taken for a bad one, and the answer is the right one.
 *
 * The life: connect, then one batch of each form: prepared, by COPY, and row by row (it holds
 * duplicates), twice, because the first one prepares statements. Its calls are some hundreds, so
 * one in STEP is made to fail, from a random first one; PENSTOCK_SEED=n replays,
 * PENSTOCK_FAULT_STEP=1 walks over all of them.
 */
#include "fault.h"

#include "../stage/store/rig.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP 7

static struct schema note;
static const struct form {
    size_t count, again; /* new notes, and notes that are in already */
} forms[] = {{3, 0}, {30, 0}, {12, 4}, {3, 0}, {30, 0}, {12, 4}};

#define BATCHES (sizeof forms / sizeof forms[0])

static struct builder builders[BATCHES]; /* filled before the fault is set */
static uint64_t sequence, next_id, seed;
static unsigned step;

static int setup(void **state)
{
    (void)state;
    rig_reset_database();
    note = note_schema();
    for (size_t i = 0; i < BATCHES; i++) {
        builder_init(&builders[i], 4u << 20);
    }
    sequence = 0;
    next_id = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_clear();
    rig_close_all();
    for (size_t i = 0; i < BATCHES; i++) {
        builder_fini(&builders[i]);
    }
    builder_schema_fini(&note);
    return 0;
}

static void live(const char *fault)
{
    char why[500];
    uint64_t first[BATCHES];
    struct batch *batches[BATCHES];
    for (size_t i = 0; i < BATCHES; i++) {
        builder_clear(&builders[i], ++sequence);
        add_notes(&builders[i], &note, next_id - forms[i].again, forms[i].count + forms[i].again);
        batches[i] = builder_batch(&builders[i]);
        first[i] = next_id;
        next_id += forms[i].count;
    }
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 8});
    assert_true(fault_set(fault, why, sizeof why));
    rig_wait_ready(rig);
    for (size_t i = 0; i < BATCHES; i++) {
        rig_commit(rig, batches[i]);
        assert_int_equal(batches[i]->stored, forms[i].count);
        assert_int_equal(batches[i]->duplicates, forms[i].again);
        assert_int_equal(batches[i]->rejected, 0);
        assert_int_equal(batches[i]->first, first[i]);
    }
    rig_close(rig);
    fault_clear();
}

static void check(void)
{
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), next_id - 1);
    assert_int_equal(sql_number("SELECT penstock.head()"), next_id - 1);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.batch WHERE last >= first"),
                     sequence);
}

static void walk(const char *kind, const char *error)
{
    unsigned lives = 0;
    for (uint64_t k = 1 + seed % step;; k += step) {
        char text[64];
        snprintf(text, sizeof text, "%s:%" PRIu64 ":%s", kind, k, error);
        print_message("%s\n", text);
        live(text);
        check();
        if (!fault_was_reached()) {
            print_message("%s: %u of %" PRIu64 " calls failed with %s\n", kind, lives,
                          fault_calls(), error);
            return;
        }
        lives++;
    }
}

static void a_call_of_libpq_may_fail(void **state)
{
    (void)state;
    walk("libpq", "ENOMEM");
}

static void the_connection_may_be_cut_before_any_call(void **state)
{
    (void)state;
    walk("libpq", "ECONNRESET");
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    walk("malloc", "ENOMEM");
}

/* ---- dead letters ---------------------------------------------------------------------------- */

#define BODY_BYTES 400000
#define NOTES      4 /* so large that the last row is in another run than the first */

/* The first and the last row are refused. The letter of the last needs more memory than any text
 * before it (quotes are escaped), and finds its statement prepared. */
static struct batch *make_refused(struct builder *builder)
{
    static char channels[EVENT_CHANNELS_MAX][CHANNEL_BYTES_MAX + 1], body[BODY_BYTES + 1];
    const char *long_ones[EVENT_CHANNELS_MAX];
    for (size_t i = 0; i < EVENT_CHANNELS_MAX; i++) {
        long_ones[i] = memset(channels[i], '"', CHANNEL_BYTES_MAX - i);
    }
    memset(body, 'b', BODY_BYTES);
    builder_clear(builder, ++sequence);
    builder_record(builder, &note);
    builder_event(builder, note_row(next_id++, 0, "refused"), "all", "{}");
    for (int i = 0; i < NOTES; i++) {
        builder_event(builder, note_row(next_id++, 1, body), "all", "{}");
    }
    builder_event_on(builder, note_row(next_id++, 0, "refused"), long_ones, EVENT_CHANNELS_MAX,
                     "{}");
    return builder_batch(builder);
}

static void any_allocation_may_fail_at_a_dead_letter(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" ADD CHECK (n <> 0)");
    for (unsigned k = 1;; k++) {
        char text[64], why[500];
        struct batch *batch = make_refused(&builders[0]);
        struct rig *rig = rig_open((struct rig_options){.prepared_rows = 8});
        rig_wait_ready(rig);
        snprintf(text, sizeof text, "malloc:%u:ENOMEM", k);
        assert_true(fault_set(text, why, sizeof why));
        rig_commit(rig, batch);
        bool was_reached = fault_was_reached();
        fault_clear();
        assert_int_equal(batch->rejected, 2);
        assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"), 2 * sequence);
        assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), NOTES * sequence);
        rig_close(rig);
        if (!was_reached) {
            print_message("%u allocations failed\n", k - 1);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_of_libpq_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(the_connection_may_be_cut_before_any_call, setup, teardown),
        cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(any_allocation_may_fail_at_a_dead_letter, setup, teardown),
    };
    const char *given_seed = getenv("PENSTOCK_SEED"), *given_step = getenv("PENSTOCK_FAULT_STEP");
    seed = given_seed != NULL ? strtoull(given_seed, NULL, 10) : (uint64_t)clock_unix_us();
    step = given_step != NULL ? (unsigned)strtoul(given_step, NULL, 10) : STEP;
    step = step == 0 ? 1 : step;
    print_message("PENSTOCK_SEED=%" PRIu64 "\n", seed);
    rig_engine = LOOP_AUTO;
    log_open(LOG_FORMAT_LOGFMT, getenv("PENSTOCK_TEST_LOG") == NULL ? LOG_ERROR + 1 : LOG_DEBUG);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
