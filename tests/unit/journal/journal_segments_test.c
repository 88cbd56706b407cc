/*
 * journal_segments_test.c - several segments, those of another journal, and files that are none
 * yet: the verdict is right, and names the file.
 */
#include "recovery_fixture.h"

/* Damage in a segment that is followed by others is refused, with file and byte. */
static void damage_in_the_middle_is_refused(void **state)
{
    struct world *world = *state;
    write_four_segments(world);
    for (unsigned number = 1; number <= 4; number++) {
        uint64_t places[] = {100, PAGE + 10, 5 * PAGE + 100};
        for (size_t i = 0; i < 3; i++) {
            uint8_t byte;
            int fd = segment_open(world, number);
            assert_int_equal(pread(fd, &byte, 1, (off_t)places[i]), 1);
            byte ^= 0x10;
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)places[i]), 1);
            char name[40];
            snprintf(name, sizeof name, "%016u.segment", number);
            refused_naming(world, name, places[i] / PAGE * PAGE);
            byte ^= 0x10;
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)places[i]), 1);
            close(fd);
        }
    }
    found(world, 50);
}

/* A segment that was moved away is missed, whichever it is, as long as its frames are needed. */
static void a_missing_segment_is_refused(void **state)
{
    struct world *world = *state;
    write_four_segments(world);
    for (unsigned number = 1; number <= 4; number++) {
        char path[600], away[600], expected[64];
        segment_path(world, number, path);
        snprintf(away, sizeof away, "%s/away", world->folder);
        assert_int_equal(rename(path, away), 0);
        snprintf(expected, sizeof expected, "segments %u to %u are missing", number, number);
        assert_int_equal(world_open_journal(world), STATUS_BAD_JOURNAL);
        assert_non_null(strstr(world->problem.text, expected));
        assert_int_equal(rename(away, path), 0);
    }
    found(world, 50);
}

/* What PostgreSQL has, and the journal noted, may be missing or damaged. */
static void released_segments_may_be_missing_or_damaged(void **state)
{
    struct world *world = *state;
    char path[600];
    world_start(world, 0);
    for (int i = 0; i < 50; i++) {
        world_put(world, RECORD_SMALL);
    }
    journal_release(world->journal, 30); /* segments 1 and 2 */
    world_put(world, RECORD_SMALL);      /* says so */
    journal_close(world->journal);
    world->journal = NULL;
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    int fd = segment_open(world, 2);
    assert_int_equal(pwrite(fd, "x", 1, 3 * PAGE + 90), 1);
    close(fd);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    assert_int_equal(world_read_all(world, 29).last, 51);
    journal_close(world->journal);
    segment_path(world, 1, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    assert_int_equal(world_read_all(world, 29).count, 23);
    world_start(world, 30);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 52);
}

/* ---- whose journal --------------------------------------------------------------------------- */

/* A segment of another node or lane, of another journal, or of another version is refused. */
static void foreign_segments_are_refused(void **state)
{
    struct world *world = *state;
    write_three_frames(world);
    world->options.lane = 1;
    refused_naming(world, "lane 0", 0);
    world->options.lane = 0;
    world->options.node = "node-2";
    refused_naming(world, "node \"node-1\"", 0);
    world->options.node = "node-1";

    struct image image;
    image_load(world, 1, &image);
    image.bytes[8]++; /* the version */
    image_store(world, 1, image.bytes, PAGE);
    refused_naming(world, "another version", 0);
    image.bytes[8]--;
    for (int i = 0; i < 4; i++) { /* the magic, as the other byte order has it */
        uint8_t byte = image.bytes[i];
        image.bytes[i] = image.bytes[7 - i];
        image.bytes[7 - i] = byte;
    }
    image_store(world, 1, image.bytes, PAGE);
    refused_naming(world, "other byte order", 0);
}

/* A segment of another journal with the same node and lane does not belong. */
static void a_segment_of_another_journal_is_refused(void **state)
{
    struct world *world = *state, *other = world_make();
    char from[600], to[600];
    write_four_segments(world);
    assert_int_equal(world_open_journal(other), STATUS_OK);
    write_four_segments(other);
    segment_path(other, 2, from);
    segment_path(world, 2, to);
    file_copy(from, to);
    refused_naming(world, "another journal", 0);
    void *teardown = other;
    world_teardown(&teardown);
}

/* ---- files that are no segments yet ---------------------------------------------------------- */

/* A spare of zeros, a half-made file and strangers in the folder are fine. */
static void spares_and_leftovers_are_fine(void **state)
{
    struct world *world = *state;
    char path[600];
    write_three_frames(world); /* with the spare, number 2 */
    snprintf(path, sizeof path, "%s/next.preparing", world->folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "half", 4), 4);
    close(fd);
    snprintf(path, sizeof path, "%s/notes.txt", world->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    found(world, 3);
    snprintf(path, sizeof path, "%s/next.preparing", world->folder);
    assert_int_equal(access(path, F_OK), -1);
    segment_path(world, 2, path);
    unlink(path);
    found(world, 3);
    world_open_journal(world);
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 4);
}

/* Segments of another size than the settings now say are read, used up, and not recycled. */
static void another_segment_size_is_taken_over(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 20; i++) {
        world_put(world, RECORD_SMALL);
    }
    world->options.segment_bytes = 2 * SEGMENT_BYTES_MIN;
    world->options.bytes_max = 6 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    for (int i = 0; i < 200; i++) {
        world_put(world, RECORD_SMALL);
        journal_release(world->journal, world->durable - 1);
    }
    world_reopen(world);
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.durable_sequence, 220);
    assert_true(figures.bytes_on_disk <= world->options.bytes_max);
    assert_int_equal(world_read_all(world, 220).last, 220);
}

/* One segment that was made larger than all that the settings now allow is used up, too. */
static void a_segment_larger_than_the_quota_is_left_behind(void **state)
{
    struct world *world = *state;
    world->options.segment_bytes = 4 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    world->options.segment_bytes = SEGMENT_BYTES_MIN;
    world->options.bytes_max = 4 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    for (int i = 0; i < 100; i++) {
        world_put(world, RECORD_SMALL);
        journal_release(world->journal, world->durable);
    }
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_true(figures.bytes_on_disk <= world->options.bytes_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(damage_in_the_middle_is_refused),
        WORLD_TEST(a_missing_segment_is_refused),
        WORLD_TEST(released_segments_may_be_missing_or_damaged),
        WORLD_TEST(foreign_segments_are_refused),
        WORLD_TEST(a_segment_of_another_journal_is_refused),
        WORLD_TEST(spares_and_leftovers_are_fine),
        WORLD_TEST(another_segment_size_is_taken_over),
        WORLD_TEST(a_segment_larger_than_the_quota_is_left_behind),
    };
    recovery_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
