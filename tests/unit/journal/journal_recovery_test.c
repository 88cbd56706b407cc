/*
 * journal_recovery_test.c - whatever happens to the bytes of a segment, the verdict is right:
 * whole, cut, or refused with the file and the place; and never is a wrong byte delivered.
 */
#include "recovery_fixture.h"

/* What one flipped byte at `offset` must lead to. */
static void check_flip(struct world *world, const struct image *image, size_t offset, bool marked)
{
    size_t page = offset / PAGE, within = offset % PAGE;
    if (page == 0) {
        if (within < SEGMENT_HEADER_BYTES) {
            assert_int_equal(world_open_journal(world), STATUS_BAD_JOURNAL);
            assert_non_null(strstr(world->problem.text, "byte 0"));
        } else {
            found(world, 3);
        }
    } else if (page <= 3 && within < image->frame_used[page - 1]) {
        if (page == 3 && !marked) {
            found(world, 2); /* as if its write had been cut short */
        } else {
            refused_naming(world, "0000000000000001.segment", page * PAGE);
        }
    } else {
        found(world, 3); /* padding, and the mark itself, which nobody needs then */
    }
}

static void flip_every_byte(struct world *world, bool marked)
{
    struct image image;
    image_load(world, 1, &image);
    if (!marked) {
        memset(image.bytes + 4 * PAGE, 0, PAGE);
    }
    for (size_t offset = 0; offset < 5 * PAGE; offset++) {
        image.bytes[offset] ^= (uint8_t)(1 << offset % 8);
        image_store(world, 1, image.bytes, 5 * PAGE);
        image.bytes[offset] ^= (uint8_t)(1 << offset % 8);
        check_flip(world, &image, offset, marked);
    }
    image_store(world, 1, image.bytes, 5 * PAGE);
    found(world, 3);
}

/* After a close, or a second of quiet, every flipped byte that matters is damage, also in the last
 * frame: the mark behind it says that it was durable. */
static void every_flipped_byte_is_judged_rightly(void **state)
{
    struct world *world = *state;
    write_three_frames(world);
    flip_every_byte(world, true);
}

/* Right after a crash, the last frame alone cannot be told from one cut short. */
static void every_flipped_byte_without_a_mark_is_judged_rightly(void **state)
{
    struct world *world = *state;
    write_three_frames(world);
    flip_every_byte(world, false);
}

/* The mark comes by itself when it has been quiet for a second: no close is needed. */
static void a_second_of_quiet_protects_the_last_frame(void **state)
{
    struct world *world = *state;
    struct problem problem;
    struct image image;
    world_start(world, 0);
    for (size_t i = 0; i < 3; i++) {
        world_put(world, RECORD_SMALL);
    }
    int64_t until = clock_monotonic_us() + 1200 * 1000;
    while (clock_monotonic_us() < until) {
        assert_int_equal(loop_run_once(world->loop, 100 * 1000, &problem), STATUS_OK);
    }
    image_load(world, 1, &image);
    journal_close(world->journal);
    world->journal = NULL;
    image.bytes[3 * PAGE + 100] ^= 1;
    image_store(world, 1, image.bytes, sizeof image.bytes); /* as it was before the close */
    refused_naming(world, "frame 3 is not whole", 3 * PAGE);
}

/* Segments are as long as they were made before anything is written to them: a shorter one has lost
 * something, wherever it ends. */
static void every_truncation_is_refused(void **state)
{
    struct world *world = *state;
    write_three_frames(world);
    struct image image;
    image_load(world, 1, &image);
    for (size_t length = 0; length < SEGMENT_BYTES_MIN;
         length += length < 5 * PAGE + 2 ? 1 : PAGE / 2 - 1) {
        int fd = segment_open(world, 1);
        assert_int_equal(ftruncate(fd, (off_t)length), 0);
        close(fd);
        refused_naming(world, "0000000000000001.segment", length);
        image_store(world, 1, image.bytes, sizeof image.bytes);
    }
    found(world, 3);
    int fd = segment_open(world, 1);
    assert_int_equal(ftruncate(fd, SEGMENT_BYTES_MIN + 1), 0);
    close(fd);
    refused_naming(world, "should end there", SEGMENT_BYTES_MIN);
}

static void load(const struct world *world, unsigned number, uint8_t bytes[SEGMENT_BYTES_MIN])
{
    int fd = segment_open(world, number);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, SEGMENT_BYTES_MIN, 0), SEGMENT_BYTES_MIN);
    close(fd);
}

/* A write that is cut short leaves any part of its pages, over zeros or over a former life. Only
 * when all are there is the frame whole. */
static void check_torn(struct world *world, unsigned number, const uint8_t *before,
                       const uint8_t *after, size_t from, size_t pages, uint64_t frames)
{
    static uint8_t bytes[SEGMENT_BYTES_MIN];
    for (unsigned set = 0; set < 1u << pages; set++) {
        memcpy(bytes, before, sizeof bytes);
        for (size_t page = 0; page < pages; page++) {
            if ((set >> page & 1) != 0) {
                size_t at = from + page * PAGE;
                memcpy(bytes + at, after + at, PAGE);
            }
        }
        image_store(world, number, bytes, sizeof bytes);
        bool whole = set + 1 == 1u << pages;
        struct journal_figures figures;
        for (int again = 0; again < 2; again++) { /* the second start finds what the first left */
            if (world_open_journal(world) != STATUS_OK) {
                fail_msg("pages %x: %s", set, world->problem.text);
            }
            journal_figures(world->journal, &figures);
            assert_int_equal(figures.durable_sequence, frames + (whole ? 1 : 0));
            world_read_all(world, figures.first_sequence);
            journal_close(world->journal);
            world->journal = NULL;
        }
        if (!whole && (set & 1) != 0) { /* its header is there no more: nothing can complete it */
            load(world, number, bytes);
            assert_memory_equal(bytes + from, (uint8_t[PAGE]){0}, PAGE);
        }
    }
}

static void a_torn_frame_is_cut(void **state)
{
    struct world *world = *state;
    static uint8_t before[SEGMENT_BYTES_MIN], after[SEGMENT_BYTES_MIN];
    write_three_frames(world);
    load(world, 1, before);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    world_put(world, 4 * PAGE + 1000);
    load(world, 1, after);
    journal_close(world->journal);
    world->journal = NULL;
    check_torn(world, 1, before, after, 4 * PAGE, 5, 3);
}

/* Fills segments and releases them, so that they are recycled, until `number` is the current one
 * and holds some frames. Returns the last frame. */
static uint64_t recycle_until(struct world *world, unsigned number)
{
    char path[600];
    world_start(world, 0);
    do {
        world_put(world, RECORD_SMALL + 704 * (world->tag_next % 9));
        journal_release(world->journal, world->durable > 3 ? world->durable - 3 : 0);
        segment_path(world, number + 1, path);
    } while (access(path, F_OK) != 0); /* the spare behind it */
    for (int i = 0; i < 4; i++) {
        world_put(world, RECORD_SMALL);
    }
    return world->durable;
}

/* The same over a recycled segment, full of whole frames of its former life. */
static void a_torn_frame_over_stale_ones_is_cut(void **state)
{
    struct world *world = *state;
    static uint8_t before[SEGMENT_BYTES_MIN], after[SEGMENT_BYTES_MIN];
    world->options.bytes_max = 3 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    uint64_t last = recycle_until(world, 9);
    load(world, 9, before);
    world_put(world, 4 * PAGE + 1000);
    load(world, 9, after);
    journal_close(world->journal);
    world->journal = NULL;
    size_t from = 0;
    while (memcmp(before + from, after + from, PAGE) == 0) {
        from += PAGE;
    }
    check_torn(world, 9, before, after, from, 5, last);
}

/* Recycled segments never show frames of their former life, wherever the process ends. */
static void stale_frames_are_never_delivered(void **state)
{
    struct world *world = *state;
    world->options.bytes_max = 3 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    uint64_t released = 0;
    for (int life = 0; life < 40; life++) {
        world_start(world, released);
        for (int i = 0; i < 7; i++) {
            world_put(world, RECORD_SMALL + 16 * (size_t)((life * 7 + i) % 300));
        }
        struct tags tags = world_read_all(world, released + 1);
        assert_int_equal(tags.last, world->tag_next - 1);
        released = world->durable - 2;
        journal_release(world->journal, released);
        world_reopen(world);
        struct journal_figures figures;
        journal_figures(world->journal, &figures);
        assert_int_equal(figures.durable_sequence, released + 2);
        assert_true(figures.first_sequence <= released + 1);
        assert_int_equal(world_read_all(world, figures.first_sequence).last, world->tag_next - 1);
    }
    char path[600];
    segment_path(world, 1, path);
    assert_int_equal(access(path, F_OK), -1); /* it was recycled, and more than once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(every_flipped_byte_is_judged_rightly),
        WORLD_TEST(every_flipped_byte_without_a_mark_is_judged_rightly),
        WORLD_TEST(a_second_of_quiet_protects_the_last_frame),
        WORLD_TEST(every_truncation_is_refused),
        WORLD_TEST(a_torn_frame_is_cut),
        WORLD_TEST(a_torn_frame_over_stale_ones_is_cut),
        WORLD_TEST(stale_frames_are_never_delivered),
    };
    recovery_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
