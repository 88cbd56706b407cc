/*
 * journal_fixture.h - a journal in a folder of its own, on either engine, and records that can be
 * told apart: each carries a tag, and its row is filled from the tag, so that one wrong byte shows.
 */
#ifndef JOURNAL_FIXTURE_H
#define JOURNAL_FIXTURE_H

#include "penstock/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE              4096u
#define SCHEMA_KEY        77u
#define SCHEMA_BODY_BYTES 100
#define RECORD_SMALL      200

/* Set by main() before each run of a group. */
static enum loop_engine fixture_engine = LOOP_EPOLL;
static const char *fixture_parent = "/tmp";

struct world {
    char folder[256];
    struct journal_options options;
    struct loop *loop;
    struct journal *journal;
    struct problem problem;
    uint64_t durable;     /* last sequence reported */
    uint64_t records;     /* reported durable, without schemas */
    uint64_t tag_next;    /* next record to append */
    uint64_t tag_durable; /* highest tag reported durable */
    unsigned failures;
    unsigned schemas_asked;
    bool knows_schemas;
};

/* ---- records --------------------------------------------------------------------------------- */

static uint8_t fill_byte(uint64_t tag, size_t i)
{
    return (uint8_t)((tag * 0x9e3779b97f4a7c15u >> 32) + i * 131);
}

/* A record of `bytes` (a multiple of 8) with one event. */
static struct span record_make(uint8_t *memory, uint64_t key, uint64_t tag, size_t bytes)
{
    struct record_header header = {.bytes = (uint32_t)bytes,
                                   .kind = RECORD_EVENTS,
                                   .schema_key = key,
                                   .events = 1,
                                   .producer = tag};
    struct event_header event = {
        .row_bytes = (uint32_t)(bytes - sizeof header - sizeof(struct event_header))};
    memcpy(memory, &header, sizeof header);
    memcpy(memory + bytes - sizeof event, &event, sizeof event);
    uint8_t *row = memory + sizeof header;
    for (size_t i = 0; i < event.row_bytes; i++) {
        row[i] = fill_byte(tag, i);
    }
    return span_of(memory, bytes);
}

/* Asserts that the record is what record_make() made; returns its tag. */
static inline uint64_t record_check(struct span record)
{
    struct record_cursor cursor;
    struct event_view view;
    assert_true(record_open(record, &cursor));
    assert_true(record_next(&cursor, &view));
    for (size_t i = 0; i < view.row.size; i++) {
        if (view.row.data[i] != fill_byte(cursor.header.producer, i)) {
            fail_msg("tag %" PRIu64 " has a wrong byte at %zu", cursor.header.producer, i);
        }
    }
    return cursor.header.producer;
}

/* Checks a frame's records; `visit` sees each tag. Returns how many are no schemas. */
static inline unsigned frame_check(const struct frame *frame,
                                   void (*visit)(void *owner, uint64_t tag), void *owner)
{
    struct span rest = frame->body;
    unsigned events = 0, records = 0;
    while (rest.size > 0) {
        struct record_cursor cursor;
        assert_true(record_open(rest, &cursor));
        if (cursor.header.kind == RECORD_EVENTS) {
            uint64_t tag = record_check(rest);
            if (visit != NULL) {
                visit(owner, tag);
            }
            events++;
        }
        records++;
        rest = span_of(rest.data + cursor.header.bytes, rest.size - cursor.header.bytes);
    }
    assert_int_equal(frame->records, records);
    assert_int_equal(frame->events, events);
    return events;
}

/* ---- the journal's callbacks ----------------------------------------------------------------- */

static void note_durable_tag(void *owner, uint64_t tag)
{
    struct world *world = owner;
    assert_int_equal(tag, world->tag_durable + 1); /* in the order of appending */
    world->tag_durable = tag;
    world->records++;
}

static void on_durable(void *owner, const struct frame *frame)
{
    struct world *world = owner;
    assert_int_equal(world->failures, 0);
    assert_true(world->durable == 0 || frame->sequence == world->durable + 1);
    world->durable = frame->sequence;
    frame_check(frame, note_durable_tag, world);
}

static void on_failed(void *owner, const struct problem *problem)
{
    struct world *world = owner;
    world->failures++;
    world->problem = *problem;
}

static bool write_schema(void *owner, uint64_t key, struct writer *out)
{
    struct world *world = owner;
    world->schemas_asked++;
    if (!world->knows_schemas) {
        return false;
    }
    uint8_t body[SCHEMA_BODY_BYTES];
    memset(body, 'S', sizeof body);
    memcpy(body, &key, sizeof key);
    writer_bytes(out, body, sizeof body);
    return true;
}

/* ---- folders --------------------------------------------------------------------------------- */

static inline void folder_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        }
    }
    closedir(dir);
}

static inline void file_copy(const char *from, const char *to)
{
    static uint8_t buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0) {
        assert_int_equal(write(out, buffer, (size_t)got), got);
    }
    assert_int_equal(got, 0);
    close(in);
    close(out);
}

/* Copies all files of a folder, as a power cut would leave them when nothing is cached. A file may
 * be renamed meanwhile: it is found again under its new name by the next pass. */
static inline void folder_copy(const char *from, const char *to)
{
    assert_true(mkdir(to, 0700) == 0 || errno == EEXIST);
    folder_empty(to);
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            char a[600], b[600];
            snprintf(a, sizeof a, "%s/%s", from, entry->d_name);
            snprintf(b, sizeof b, "%s/%s", to, entry->d_name);
            file_copy(a, b);
        }
    }
    closedir(dir);
}

static inline void segment_path(const struct world *world, unsigned number, char out[600])
{
    snprintf(out, 600, "%s/%016u.segment", world->folder, number);
}

static inline int segment_open(const struct world *world, unsigned number)
{
    char path[600];
    segment_path(world, number, path);
    return open(path, O_RDWR);
}

/* ---- a world --------------------------------------------------------------------------------- */

static inline enum status world_open_journal(struct world *world)
{
    problem_clear(&world->problem);
    world->durable = 0;
    return journal_open(&world->options, &world->journal, &world->problem);
}

static inline void world_reopen(struct world *world)
{
    journal_close(world->journal);
    world->journal = NULL;
    if (world_open_journal(world) != STATUS_OK) {
        fail_msg("%s", world->problem.text);
    }
}

static inline void world_start(struct world *world, uint64_t checkpoint)
{
    assert_int_equal(journal_start(world->journal, checkpoint, &world->problem), STATUS_OK);
}

static struct world *world_make(void)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    snprintf(world->folder, sizeof world->folder, "%s/penstock-journal-XXXXXX", fixture_parent);
    assert_non_null(mkdtemp(world->folder));
    world->knows_schemas = true;
    world->tag_next = 1;
    assert_int_equal(loop_open(fixture_engine, &world->loop, &world->problem), STATUS_OK);
    world->options = (struct journal_options){
        .folder = world->folder,
        .node = "node-1",
        .lane = 0,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .bytes_max = 16 * SEGMENT_BYTES_MIN,
        .arena_bytes = 0,
        .loop = world->loop,
        .on_durable = on_durable,
        .on_failed = on_failed,
        .write_schema = write_schema,
        .owner = world,
    };
    return world;
}

static inline int world_setup(void **state)
{
    struct world *world = world_make();
    if (world_open_journal(world) != STATUS_OK) {
        fail_msg("%s", world->problem.text);
    }
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    journal_close(world->journal);
    loop_close(world->loop);
    folder_empty(world->folder);
    rmdir(world->folder);
    free(world);
    return 0;
}

static inline void world_turn(struct world *world)
{
    struct problem problem;
    if (loop_run_once(world->loop, 2 * 1000 * 1000, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

static inline enum journal_answer world_append(struct world *world, size_t bytes)
{
    static uint8_t memory[RECORD_BYTES_MAX];
    enum journal_answer answer =
        journal_append(world->journal, record_make(memory, SCHEMA_KEY, world->tag_next, bytes));
    world->tag_next += answer == JOURNAL_TAKEN ? 1 : 0;
    return answer;
}

/* Flushes and waits until nothing is under way. */
static inline void world_settle(struct world *world)
{
    struct journal_figures figures;
    journal_flush(world->journal);
    for (int turn = 0;; turn++) {
        journal_figures(world->journal, &figures);
        if (!figures.writing || world->failures > 0) {
            return;
        }
        assert_true(turn < 10000);
        world_turn(world);
    }
}

/* One record, one frame, durable. */
static inline void world_put(struct world *world, size_t bytes)
{
    for (int turn = 0; world_append(world, bytes) == JOURNAL_FULL; turn++) {
        if (world->failures > 0 || turn == 1000) {
            fail_msg("the journal takes nothing: %s", world->problem.text);
        }
        world_turn(world);
    }
    world_settle(world);
}

static inline struct frame world_read(struct world *world, uint64_t sequence)
{
    struct frame frame;
    if (journal_read(world->journal, sequence, &frame, &world->problem) != JOURNAL_FRAME) {
        fail_msg("frame %" PRIu64 " is not there: %s", sequence, world->problem.text);
    }
    assert_int_equal(frame.sequence, sequence);
    return frame;
}

struct tags {
    uint64_t first, last, count;
};

static void note_tag(void *owner, uint64_t tag)
{
    struct tags *tags = owner;
    if (tags->count == 0) {
        tags->first = tag;
    } else {
        assert_int_equal(tag, tags->last + 1);
    }
    tags->last = tag;
    tags->count++;
}

/* Reads every frame from `sequence` to the durable end, one at a time. */
static inline struct tags world_read_all(struct world *world, uint64_t sequence)
{
    struct tags tags = {0};
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    for (; sequence <= figures.durable_sequence; sequence++) {
        struct frame frame = world_read(world, sequence);
        frame_check(&frame, note_tag, &tags);
        journal_read_done(world->journal);
    }
    return tags;
}

/* Runs the group on both engines; io_uring may be refused by the kernel or a container. */
static inline int run_on_both_engines(int (*run)(void))
{
    struct loop *loop;
    struct problem problem;
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    fixture_engine = LOOP_EPOLL;
    int failures = run();
    if (loop_open(LOOP_URING, &loop, &problem) != STATUS_OK) {
        printf("skipped on io_uring: %s\n", problem.text);
        return failures;
    }
    loop_close(loop);
    fixture_engine = LOOP_URING;
    return failures + run();
}

#endif
