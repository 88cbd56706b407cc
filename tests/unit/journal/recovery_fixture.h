/*
 * recovery_fixture.h - journals that are damaged and opened again: what is in their files, and what
 * recovery says of it.
 */
#ifndef TESTS_JOURNAL_RECOVERY_FIXTURE_H
#define TESTS_JOURNAL_RECOVERY_FIXTURE_H

#include "journal_fixture.h"

#define FRAME_HEADER_BYTES   72
#define SEGMENT_HEADER_BYTES 144

/* Three frames of one record each in one segment, closed; the bytes of its file. */
struct image {
    uint8_t bytes[SEGMENT_BYTES_MIN];
    size_t frame_used[4]; /* of page i: bytes that a checksum covers */
};

static inline void image_load(const struct world *world, unsigned number, struct image *image)
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

static inline void image_store(const struct world *world, unsigned number, const uint8_t *bytes,
                               size_t size)
{
    int fd = segment_open(world, number);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    close(fd);
}

static inline void write_three_frames(struct world *world)
{
    world_start(world, 0);
    for (size_t i = 0; i < 3; i++) {
        world_put(world, RECORD_SMALL + 8 * i);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

static inline void refused_naming(struct world *world, const char *what, uint64_t offset)
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

static inline void found(struct world *world, uint64_t frames)
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

static inline void write_four_segments(struct world *world)
{
    world_start(world, 0);
    for (int i = 0; i < 50; i++) { /* 14 frames a segment */
        world_put(world, RECORD_SMALL);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* Recovery does not use the loop; memory is quicker for thousands of starts. */
static inline void recovery_begin(void)
{
    if (access("/dev/shm", W_OK) == 0) {
        fixture_parent = "/dev/shm";
    }
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

#endif
