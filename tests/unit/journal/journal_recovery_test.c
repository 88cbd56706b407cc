/*
 * journal_recovery_test.c - whatever happens to the bytes, the verdict is right: whole, cut, or
 * refused with the file and the place; and never is a wrong byte delivered.
 */
#include "journal_fixture.h"

#define FRAME_HEADER_BYTES   72
#define SEGMENT_HEADER_BYTES 144

/* Three frames of one record each in one segment, closed; the bytes of its file. */
struct image {
    uint8_t bytes[SEGMENT_BYTES_MIN];
    size_t frame_used[4]; /* of page i: bytes that a checksum covers */
};

static void image_load(const struct world *world, unsigned number, struct image *image)
{
    int fd = segment_open(world, number);
    assert_int_equal(pread(fd, image->bytes, sizeof image->bytes, 0), sizeof image->bytes);
    close(fd);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t body_bytes; /* behind magic, kind and five numbers of 8 bytes */
        memcpy(&body_bytes, image->bytes + (i + 1) * PAGE + 48, sizeof body_bytes);
        image->frame_used[i] = FRAME_HEADER_BYTES + body_bytes;
    }
}

static void image_store(const struct world *world, unsigned number, const uint8_t *bytes,
                        size_t size)
{
    int fd = segment_open(world, number);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    close(fd);
}

static void write_three_frames(struct world *world)
{
    world_start(world, 0);
    for (size_t i = 0; i < 3; i++) {
        world_put(world, RECORD_SMALL + 8 * i);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

static void refused_naming(struct world *world, const char *what, uint64_t offset)
{
    char place[64];
    assert_int_equal(world_open_journal(world), STATUS_BAD_JOURNAL);
    assert_non_null(strstr(world->problem.text, what));
    assert_non_null(strstr(world->problem.text, world->folder));
    snprintf(place, sizeof place, "byte %" PRIu64, offset);
    if (strstr(world->problem.text, place) == NULL) {
        fail_msg("expected %s in: %s", place, world->problem.text);
    }
}

static void found(struct world *world, uint64_t frames)
{
    struct journal_figures figures;
    if (world_open_journal(world) != STATUS_OK) {
        fail_msg("refused: %s", world->problem.text);
    }
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.durable_sequence, frames);
    assert_int_equal(world_read_all(world, 1).count, frames);
    journal_close(world->journal);
    world->journal = NULL;
}

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

/* ---- several segments ------------------------------------------------------------------------ */

static void write_four_segments(struct world *world)
{
    world_start(world, 0);
    for (int i = 0; i < 50; i++) { /* 14 frames a segment */
        world_put(world, RECORD_SMALL);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

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

/* ---- salvage --------------------------------------------------------------------------------- */

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

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(every_flipped_byte_is_judged_rightly),
        WORLD_TEST(every_flipped_byte_without_a_mark_is_judged_rightly),
        WORLD_TEST(a_second_of_quiet_protects_the_last_frame),
        WORLD_TEST(every_truncation_is_refused),
        WORLD_TEST(a_torn_frame_is_cut),
        WORLD_TEST(a_torn_frame_over_stale_ones_is_cut),
        WORLD_TEST(stale_frames_are_never_delivered),
        WORLD_TEST(damage_in_the_middle_is_refused),
        WORLD_TEST(a_missing_segment_is_refused),
        WORLD_TEST(released_segments_may_be_missing_or_damaged),
        WORLD_TEST(foreign_segments_are_refused),
        WORLD_TEST(a_segment_of_another_journal_is_refused),
        WORLD_TEST(spares_and_leftovers_are_fine),
        WORLD_TEST(another_segment_size_is_taken_over),
        WORLD_TEST(salvage_keeps_what_is_whole),
        WORLD_TEST(salvage_cuts_a_damaged_end),
        WORLD_TEST(salvage_goes_on_without_a_missing_segment),
    };
    /* Recovery does not use the loop; memory is quicker for thousands of starts. */
    if (access("/dev/shm", W_OK) == 0) {
        fixture_parent = "/dev/shm";
    }
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
