/*
 * journal_salvage_test.c - with `salvage`, what is whole of a damaged journal is kept, and nothing
 * else.
 */
#include "recovery_fixture.h"

static void damage_byte(const struct world *world, unsigned number, off_t offset)
{
    uint8_t byte;
    int fd = segment_open(world, number);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x20;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void count_tag(void *owner, uint64_t tag)
{
    (void)tag;
    ++*(unsigned *)owner;
}

/* Reads everything behind `checkpoint`; how many records there are. */
static unsigned salvaged(struct world *world, uint64_t checkpoint)
{
    unsigned count = 0;
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    for (uint64_t sequence = checkpoint + 1; sequence <= figures.durable_sequence; sequence++) {
        struct frame frame = world_read(world, sequence);
        frame_check(&frame, count_tag, &count);
        journal_read_done(world->journal);
    }
    return count;
}

/* With salvage, what is whole is kept, what is lost reads as empty frames, and the journal goes on;
 * once the damaged segments are recycled, it starts without. */
static void salvage_keeps_what_is_whole(void **state)
{
    struct world *world = *state;
    write_four_segments(world);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    damage_byte(world, 1, 2 * PAGE + 100); /* frame 2 */
    damage_byte(world, 2, 14 * PAGE + 5);  /* frame 28, the last of its segment */
    damage_byte(world, 3, 20);             /* a segment's header; its frames are there */
    damage_byte(world, 4, 5 * PAGE + 80);  /* frame 47 */
    assert_int_equal(world_open_journal(world), STATUS_BAD_JOURNAL);
    world->options.salvage = true;
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    assert_int_equal(salvaged(world, 0), 50 - 3);
    for (int i = 0; i < 20; i++) {
        world_put(world, RECORD_SMALL);
    }
    assert_int_equal(world->durable, 70);
    world_reopen(world);
    world_start(world, 0);
    assert_int_equal(salvaged(world, 0), 70 - 3);
    journal_release(world->journal, 69);
    world_put(world, RECORD_SMALL);
    world->options.salvage = false;
    world_reopen(world);
    world_start(world, 69);
    assert_int_equal(salvaged(world, 69), 2);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* Damage to the very end, with nothing whole behind it, is cut by salvage; remains of what was
 * there do not trouble later starts. */
static void salvage_cuts_a_damaged_end(void **state)
{
    struct world *world = *state;
    write_three_frames(world);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    damage_byte(world, 1, 2 * PAGE + 100);
    damage_byte(world, 1, 3 * PAGE + 100);
    world->options.salvage = true;
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    assert_int_equal(salvaged(world, 0), 1);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 2);
    world->options.salvage = false;
    world_reopen(world);
    world->tag_next = 5;
    world_start(world, 0);
    assert_int_equal(salvaged(world, 0), 2);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* Missing segments are gone, and the rest is kept. */
static void salvage_goes_on_without_a_missing_segment(void **state)
{
    struct world *world = *state;
    char path[600];
    write_four_segments(world);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    segment_path(world, 2, path);
    assert_int_equal(unlink(path), 0);
    world->options.salvage = true;
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    assert_int_equal(salvaged(world, 0), 50 - 14);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* The newest segment is lost, or all of them are: what was prepared behind them is no use. */
static void salvage_goes_on_without_the_newest_segments(void **state)
{
    struct world *world = *state;
    char path[600];
    write_four_segments(world); /* and the spare, number 5 */
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    world->options.salvage = true;
    segment_path(world, 4, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    world->tag_next = 43;
    world->tag_durable = 42;
    for (int i = 0; i < 20; i++) {
        world_put(world, RECORD_SMALL);
    }
    assert_int_equal(salvaged(world, 0), 42 + 20);
    for (unsigned number = 1; number <= 5; number++) {
        segment_path(world, number, path);
        assert_int_equal(unlink(path), 0);
    }
    world_reopen(world);
    world_start(world, 62);
    for (int i = 0; i < 20; i++) {
        world_put(world, RECORD_SMALL);
    }
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(salvage_keeps_what_is_whole),
        WORLD_TEST(salvage_cuts_a_damaged_end),
        WORLD_TEST(salvage_goes_on_without_a_missing_segment),
        WORLD_TEST(salvage_goes_on_without_the_newest_segments),
    };
    recovery_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
