/* journal_test.c - records become durable, in order, in groups, and come back. */
#include "journal_fixture.h"

/* An appended record is durable after a flush, and reported once, in order. */
static void flush_makes_records_durable_in_order(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
        assert_int_equal(world->records, i); /* not before it is flushed */
        world_settle(world);
        assert_int_equal(world->records, i + 1);
        assert_int_equal(world->durable, i + 1);
    }
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.durable_sequence, 5);
    assert_int_equal(figures.first_sequence, 1);
    assert_int_equal(figures.frames, 5);
    assert_int_equal(figures.bytes, 5 * PAGE);
}

/* What arrives during one write is one frame of the next. */
static void records_that_arrive_during_a_write_share_the_next_frame(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    world_put(world, RECORD_SMALL); /* the first segment is there now */
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
    journal_flush(world->journal);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
        journal_flush(world->journal);
    }
    world_settle(world);
    assert_int_equal(world->durable, 3);
    assert_int_equal(world->records, 52);
    struct frame frame = world_read(world, 3);
    assert_int_equal(frame.events, 50);
}

/* Before journal_start() nothing is taken: its number could be one that PostgreSQL knows. */
static void nothing_is_taken_before_the_checkpoint_is_known(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    world_start(world, 0);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
    world_settle(world);
    assert_int_equal(world->durable, 1);
    assert_int_equal(journal_start(world->journal, 0, &world->problem), STATUS_INTERNAL);
}

/* A frame is lent from memory as it was written. */
static void frames_are_read_from_memory(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 10; i++) {
        world_put(world, RECORD_SMALL);
    }
    struct tags tags = world_read_all(world, 1);
    assert_int_equal(tags.first, 1);
    assert_int_equal(tags.count, 10);
    struct frame frame;
    assert_int_equal(journal_read(world->journal, 11, &frame, &world->problem), JOURNAL_EMPTY);
}

/* Frames that found no place in memory are read back from disk, also from the middle. */
static void frames_that_left_memory_are_read_from_disk(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 150; i++) { /* 600 KB, in an arena of 224 KB */
        world_put(world, RECORD_SMALL);
    }
    struct tags tags = world_read_all(world, 1);
    assert_int_equal(tags.count, 150);
    for (uint64_t sequence = 149; sequence > 3; sequence -= 3) { /* against the grain */
        struct frame frame = world_read(world, sequence);
        struct tags one = {0};
        frame_check(&frame, note_tag, &one);
        assert_int_equal(one.first, sequence);
        journal_read_done(world->journal);
    }
}

/* What is read back from disk is checked again: wrong bytes are an answer of their own, with file
 * and byte, never a frame. */
static void damage_while_in_use_is_noticed(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 150; i++) {
        world_put(world, RECORD_SMALL);
    }
    int fd = segment_open(world, 1);
    assert_int_equal(pwrite(fd, "damage", 6, 4 * PAGE + 200), 6); /* frame 4 */
    close(fd);
    struct frame frame = world_read(world, 3);
    assert_int_equal(frame_check(&frame, NULL, NULL), 1);
    assert_int_equal(journal_read(world->journal, 4, &frame, &world->problem), JOURNAL_READ_FAILED);
    assert_non_null(strstr(world->problem.text, "0000000000000001.segment"));
    assert_non_null(strstr(world->problem.text, "byte 16384"));
    frame = world_read(world, 5);
    assert_int_equal(frame_check(&frame, NULL, NULL), 1);
}

/* What waits to be written is bounded, however fast records come; it is all durable in the end. */
static void what_waits_to_be_written_is_bounded(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    unsigned taken = 0;
    while (world_append(world, 1000) == JOURNAL_TAKEN) {
        journal_flush(world->journal); /* and the loop never runs */
        taken++;
    }
    assert_true(taken > 20);
    assert_true(taken * 1000 < 3 * SEGMENT_BYTES_MIN);
    world_settle(world);
    assert_int_equal(world->records, taken + 1);
    assert_int_equal(world_append(world, 1000), JOURNAL_TAKEN);
}

/* A restart finds everything that was durable, and numbering goes on. */
static void a_restart_finds_all_frames(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 40; i++) {
        world_put(world, 2 * RECORD_SMALL + 24 * (size_t)i);
    }
    world_reopen(world);
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.first_sequence, 1);
    assert_int_equal(figures.durable_sequence, 40);
    assert_int_equal(world_read_all(world, 1).count, 40); /* before journal_start() */
    world_start(world, 30);
    assert_int_equal(world_read_all(world, 31).first, 31);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 41);
}

/* While the committer holds frames for as long as it likes, publishing goes on around them. */
static void lent_frames_stay_while_others_leave_memory(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 4; i++) {
        world_put(world, RECORD_SMALL);
    }
    struct frame lent[4];
    for (uint64_t i = 0; i < 4; i++) {
        lent[i] = world_read(world, i + 1);
    }
    for (int i = 0; i < 200; i++) {
        world_put(world, RECORD_SMALL);
    }
    for (uint64_t i = 0; i < 4; i++) {
        struct tags one = {0};
        frame_check(&lent[i], note_tag, &one);
        assert_int_equal(one.first, i + 1);
    }
    journal_read_done(world->journal);
    assert_int_equal(world_read_all(world, 1).count, 204);
}

/* One batch holds a bounded part of memory; EMPTY then means: commit, and ask again. */
static void a_batch_is_lent_bounded_memory_and_goes_on_after_it(void **state)
{
    struct world *world = *state;
    world->options.bytes_max = 512 * (uint64_t)SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    size_t record = 40000; /* 11 pages each: 480 frames, 21 MB */
    for (int i = 0; i < 480; i++) {
        world_put(world, record);
    }
    uint64_t next = 1;
    unsigned batches = 0;
    struct tags tags = {0};
    while (next <= 480) {
        static struct frame lent[480];
        size_t count = 0;
        while (next <= 480 &&
               journal_read(world->journal, next, &lent[count], &world->problem) == JOURNAL_FRAME) {
            count++;
            next++;
        }
        assert_true(count > 0);
        assert_true(count < 200);
        for (size_t i = 0; i < count; i++) {
            frame_check(&lent[i], note_tag, &tags); /* all of them still stand */
        }
        journal_read_done(world->journal);
        journal_release(world->journal, next - 1);
        batches++;
    }
    assert_true(batches > 2);
    assert_int_equal(tags.count, 480);
}

/* One record of the largest size passes, through memory and through disk. */
static void the_largest_record_fits(void **state)
{
    struct world *world = *state;
    world->options.segment_bytes = 3 * (size_t)FRAME_BYTES_MAX;
    world->options.bytes_max = 4 * (uint64_t)world->options.segment_bytes;
    world_reopen(world);
    world_start(world, 0);
    for (int i = 0; i < 6; i++) {
        world_put(world, RECORD_BYTES_MAX);
    }
    assert_int_equal(world_read_all(world, 1).count, 6);
    world_reopen(world);
    assert_int_equal(world_read_all(world, 1).count, 6);
}

/* ---- schemas --------------------------------------------------------------------------------- */

struct schema_scan {
    unsigned frames_with_schema;
    bool known; /* in this segment, before the record */
};

/* Each segment carries the schema before the first record that names it, and the journal asks for
 * it once. */
static void every_segment_carries_the_schemas_it_needs(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 60; i++) { /* 14 frames a segment */
        world_put(world, RECORD_SMALL);
    }
    assert_int_equal(world->schemas_asked, 1);
    unsigned with_schema = 0;
    for (uint64_t sequence = 1; sequence <= 60; sequence++) {
        struct frame frame = world_read(world, sequence);
        struct record_cursor cursor;
        assert_true(record_open(frame.body, &cursor));
        if (cursor.header.kind == RECORD_SCHEMA) {
            with_schema++;
            assert_int_equal(cursor.header.schema_key, SCHEMA_KEY);
            assert_int_equal((sequence - 1) % 14, 0);
        }
        journal_read_done(world->journal);
    }
    assert_int_equal(with_schema, 5);
}

static void check_schema(void *owner, struct span body)
{
    uint64_t key;
    assert_true(body.size >= SCHEMA_BODY_BYTES && body.size < SCHEMA_BODY_BYTES + RECORD_ALIGN);
    memcpy(&key, body.data, sizeof key);
    assert_int_equal(body.data[SCHEMA_BODY_BYTES - 1], 'S');
    *(uint64_t *)owner += key;
}

/* After a restart the schemas are there, though nobody can tell them any more. */
static void schemas_come_back_after_a_restart(void **state)
{
    struct world *world = *state;
    uint8_t memory[RECORD_SMALL];
    world_start(world, 0);
    for (uint64_t key = 1; key <= 3; key++) {
        assert_int_equal(
            journal_append(world->journal,
                           record_make(memory, key * 1000, world->tag_next++, sizeof memory)),
            JOURNAL_TAKEN);
    }
    world_settle(world);
    world_reopen(world);
    world->knows_schemas = false;
    uint64_t sum = 0;
    journal_each_schema(world->journal, check_schema, &sum);
    assert_int_equal(sum, 6000);
    world_start(world, 0);
    for (int i = 0; i < 30; i++) { /* into the next segments, from memory of the journal alone */
        assert_int_equal(journal_append(world->journal, record_make(memory, 2000, world->tag_next++,
                                                                    sizeof memory)),
                         JOURNAL_TAKEN);
        world_settle(world);
    }
    assert_int_equal(world->failures, 0);
}

/* A record whose schema nobody knows would poison the replay: the journal stops. */
static void an_unknown_schema_fails_the_journal(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    world->knows_schemas = false;
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    assert_int_equal(world->failures, 1);
    assert_non_null(strstr(world->problem.text, "schema"));
}

/* A record that is not what its header says is never written. */
static void a_malformed_record_fails_the_journal(void **state)
{
    struct world *world = *state;
    uint8_t memory[RECORD_SMALL];
    world_start(world, 0);
    struct span record = record_make(memory, SCHEMA_KEY, 1, sizeof memory);
    assert_int_equal(journal_append(world->journal, span_of(record.data, record.size - 8)),
                     JOURNAL_FULL);
    assert_int_equal(world->failures, 1);
    assert_int_equal(world->problem.status, STATUS_INTERNAL);
}

/* ---- numbering ------------------------------------------------------------------------------- */

/* A journal that was lost goes on behind PostgreSQL's checkpoint. */
static void numbering_goes_on_behind_the_checkpoint(void **state)
{
    struct world *world = *state;
    world_start(world, 1000);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 1001);
    world_reopen(world);
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.first_sequence, 1001);
    assert_int_equal(world_read_all(world, 1001).count, 1);
}

/* A checkpoint ahead of the journal leaves a gap in the numbers; a later start takes it for what it
 * is, and asking for a number inside it is an error that says so. */
static void a_gap_in_the_numbers_is_told_from_damage(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    world_reopen(world);
    world_start(world, 10);
    world_put(world, RECORD_SMALL);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 12);
    world_reopen(world);
    world_start(world, 0);
    struct frame frame = world_read(world, 1);
    assert_int_equal(frame.events, 1);
    journal_read_done(world->journal);
    assert_int_equal(journal_read(world->journal, 5, &frame, &world->problem), JOURNAL_READ_FAILED);
    assert_non_null(strstr(world->problem.text, "frame 5 "));
    assert_int_equal(world_read_all(world, 11).count, 2);
}

/* A crash between the header of a segment and its first frame, then a checkpoint ahead: the segment
 * begins with another frame than the one it was made for, and that one is found again. */
static void a_gap_at_the_front_of_a_segment_is_told_from_damage(void **state)
{
    struct world *world = *state;
    static const uint8_t zeros[2 * PAGE]; /* over the frame and the mark behind it */
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    journal_close(world->journal);
    int fd = segment_open(world, 1);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, PAGE), sizeof zeros);
    close(fd);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 10);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 11);
    world_reopen(world);
    assert_int_equal(world_read_all(world, 11).count, 1);
}

/* A checkpoint behind what was recycled is an older backup, or another database: not started, and
 * nothing is passed over silently. */
static void a_checkpoint_behind_the_oldest_frame_is_refused(void **state)
{
    struct world *world = *state;
    world_start(world, 1000);
    world_put(world, RECORD_SMALL);
    world_reopen(world);
    assert_int_equal(journal_start(world->journal, 999, &world->problem), STATUS_BAD_JOURNAL);
    assert_non_null(strstr(world->problem.text, "up to 1000"));
    world_start(world, 1000);
}

/* Released frames are gone; the figures say what is kept. */
static void released_frames_are_not_read_again(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 20; i++) {
        world_put(world, RECORD_SMALL);
    }
    journal_release(world->journal, 15);
    struct frame frame;
    struct journal_figures figures;
    assert_int_equal(journal_read(world->journal, 15, &frame, &world->problem), JOURNAL_EMPTY);
    assert_int_equal(world_read_all(world, 16).count, 5);
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.first_sequence, 16);
    journal_release(world->journal, 20);
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.first_sequence, 0);
    assert_int_equal(figures.bytes_used, 0);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Two processes on one folder: the second is refused, in words. */
static void the_second_opener_is_refused(void **state)
{
    struct world *world = *state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct journal *second;
        struct problem problem;
        enum status status = journal_open(&world->options, &second, &problem);
        bool told = status == STATUS_BAD_JOURNAL && strstr(problem.text, "another process") != NULL;
        _exit(write(pipes[1], told ? "y" : "n", 1) == 1 ? 0 : 1);
    }
    char answer = 0;
    assert_int_equal(read(pipes[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    close(pipes[0]);
    close(pipes[1]);
}

/* Settings that cannot work are refused before anything is touched. */
static void impossible_settings_are_refused(void **state)
{
    struct world *world = *state;
    struct journal_options options = world->options;
    struct journal *journal;
    options.segment_bytes = 5000;
    assert_int_equal(journal_open(&options, &journal, &world->problem), STATUS_BAD_CONFIG);
    options = world->options;
    options.bytes_max = options.segment_bytes;
    assert_int_equal(journal_open(&options, &journal, &world->problem), STATUS_BAD_CONFIG);
    options = world->options;
    options.node = "a name that is far too long to fit into the header of any segment of a journal";
    assert_int_equal(journal_open(&options, &journal, &world->problem), STATUS_BAD_CONFIG);
    options = world->options;
    options.folder = "/proc/no-such-folder/lane-0";
    assert_int_equal(journal_open(&options, &journal, &world->problem), STATUS_IO);
    assert_non_null(strstr(world->problem.text, "/proc/no-such-folder/lane-0"));
}

/* Closing half-way, with a write under way, neither hangs nor harms, and leaves no timer behind. */
static void closing_during_a_write_is_clean(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    world_reopen(world);
    world_start(world, 0);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
    journal_flush(world->journal);
    world_reopen(world);
    assert_int_equal(loop_run_once(world->loop, 0, &world->problem), STATUS_OK);
    assert_int_equal(world_read_all(world, 1).count, 2);
    journal_close(NULL);
}

static int run(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(flush_makes_records_durable_in_order),
        WORLD_TEST(records_that_arrive_during_a_write_share_the_next_frame),
        WORLD_TEST(nothing_is_taken_before_the_checkpoint_is_known),
        WORLD_TEST(frames_are_read_from_memory),
        WORLD_TEST(frames_that_left_memory_are_read_from_disk),
        WORLD_TEST(damage_while_in_use_is_noticed),
        WORLD_TEST(what_waits_to_be_written_is_bounded),
        WORLD_TEST(a_restart_finds_all_frames),
        WORLD_TEST(lent_frames_stay_while_others_leave_memory),
        WORLD_TEST(a_batch_is_lent_bounded_memory_and_goes_on_after_it),
        WORLD_TEST(the_largest_record_fits),
        WORLD_TEST(every_segment_carries_the_schemas_it_needs),
        WORLD_TEST(schemas_come_back_after_a_restart),
        WORLD_TEST(an_unknown_schema_fails_the_journal),
        WORLD_TEST(a_malformed_record_fails_the_journal),
        WORLD_TEST(numbering_goes_on_behind_the_checkpoint),
        WORLD_TEST(a_gap_in_the_numbers_is_told_from_damage),
        WORLD_TEST(a_gap_at_the_front_of_a_segment_is_told_from_damage),
        WORLD_TEST(a_checkpoint_behind_the_oldest_frame_is_refused),
        WORLD_TEST(released_frames_are_not_read_again),
        WORLD_TEST(the_second_opener_is_refused),
        WORLD_TEST(impossible_settings_are_refused),
        WORLD_TEST(closing_during_a_write_is_clean),
    };
    return cmocka_run_group_tests_name(loop_engine_name(fixture_engine), tests, NULL, NULL);
}

int main(void)
{
    return run_on_both_engines(run);
}
