/*
 * journal_bench.c - what a durable group costs, beside the bare system calls in the same run.
 *
 *     journal_bench [FOLDER [GROUPS]]     FOLDER on the disk in question; default: here
 *
 *   1. for 4 KB, 64 KB and 1 MB, in turns of a few groups each so that a noisy disk is noisy for
 *      all: pwrite + fdatasync into a zero-written file, then the journal on each engine, from
 *      journal_append() to on_durable();
 *   2. the median time of a group and the CPU time it took (all threads), and the ratio to the
 *      first;
 *   3. a journal of 1 GB is written and opened again: how long until it is ready.
 */
#include "penstock/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_BYTES (64u << 20)
#define ROUND         20 /* groups of one way before it is the next one's turn */
#define GROUPS_MAX    100000
#define LARGEST       (1u << 20)

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "journal_bench: %s: %s\n", what, why);
    exit(1);
}

static double now_us(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

struct samples {
    const char *name;
    double us[GROUPS_MAX];
    size_t count;
    double cpu_us;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(struct samples *samples)
{
    qsort(samples->us, samples->count, sizeof samples->us[0], compare_doubles);
    return samples->us[samples->count / 2];
}

/* ---- the floor ------------------------------------------------------------------------------- */

struct floor {
    int fd;
    uint8_t *data;
    off_t offset;
};

static void floor_open(struct floor *floor, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/floor", folder);
    floor->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    floor->data = calloc(1, LARGEST);
    if (floor->fd < 0 || floor->data == NULL) {
        fail(path, strerror(errno));
    }
    for (off_t at = 0; at < SEGMENT_BYTES; at += LARGEST) {
        if (pwrite(floor->fd, floor->data, LARGEST, at) != LARGEST) {
            fail(path, strerror(errno));
        }
    }
    memset(floor->data, 'x', LARGEST);
    fsync(floor->fd);
    floor->offset = 0;
}

static void floor_group(struct floor *floor, size_t bytes)
{
    if (floor->offset + (off_t)bytes > SEGMENT_BYTES) {
        floor->offset = 0;
    }
    if (pwrite(floor->fd, floor->data, bytes, floor->offset) != (ssize_t)bytes ||
        fdatasync(floor->fd) != 0) {
        fail("floor", strerror(errno));
    }
    floor->offset += (off_t)bytes;
}

/* ---- the journal ----------------------------------------------------------------------------- */

struct subject {
    char folder[4096];
    struct loop *loop;
    struct journal *journal;
    uint64_t durable;
    bool keep; /* nothing is released */
    uint8_t *record;
};

static void on_durable(void *owner, const struct frame *frame)
{
    ((struct subject *)owner)->durable = frame->sequence;
}

static void on_failed(void *owner, const struct problem *problem)
{
    fail(((struct subject *)owner)->folder, problem->text);
}

static bool write_schema(void *owner, uint64_t key, struct writer *out)
{
    (void)owner;
    writer_bytes(out, &key, sizeof key);
    return true;
}

static void subject_open(struct subject *subject, uint64_t bytes_max)
{
    struct problem problem;
    struct journal_options options = {
        .folder = subject->folder,
        .node = "bench",
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = bytes_max,
        .arena_bytes = 64u << 20,
        .loop = subject->loop,
        .on_durable = on_durable,
        .on_failed = on_failed,
        .write_schema = write_schema,
        .owner = subject,
    };
    if (journal_open(&options, &subject->journal, &problem) != STATUS_OK) {
        fail("open", problem.text);
    }
}

static bool subject_make(struct subject *subject, const char *parent, enum loop_engine engine,
                         uint64_t bytes_max)
{
    struct problem problem;
    snprintf(subject->folder, sizeof subject->folder, "%s/%s", parent, loop_engine_name(engine));
    if (loop_open(engine, &subject->loop, &problem) != STATUS_OK) {
        printf("without %s: %s\n", loop_engine_name(engine), problem.text);
        return false;
    }
    subject->record = calloc(1, LARGEST);
    subject_open(subject, bytes_max);
    if (subject->record == NULL || journal_start(subject->journal, 0, &problem) != STATUS_OK) {
        fail("start", problem.text);
    }
    return true;
}

static void turn(struct subject *subject)
{
    struct problem problem;
    if (loop_run_once(subject->loop, -1, &problem) != STATUS_OK) {
        fail("loop", problem.text);
    }
}

/* One record that makes a frame of just this size, from append to durable. */
static void subject_group(struct subject *subject, size_t bytes)
{
    struct record_header header = {
        .bytes = (uint32_t)bytes - 256, .kind = RECORD_EVENTS, .schema_key = 1, .events = 1};
    struct event_header event = {
        .row_bytes = header.bytes - (uint32_t)(sizeof header + sizeof(struct event_header))};
    memcpy(subject->record, &header, sizeof header);
    memcpy(subject->record + header.bytes - sizeof event, &event, sizeof event);
    uint64_t before = subject->durable;
    while (journal_append(subject->journal, span_of(subject->record, header.bytes)) ==
           JOURNAL_FULL) {
        turn(subject);
    }
    journal_flush(subject->journal);
    while (subject->durable == before) {
        turn(subject);
    }
    if (!subject->keep) {
        journal_release(subject->journal, subject->durable);
    }
}

/* ---- taking turns ---------------------------------------------------------------------------- */

static void time_round(struct samples *samples, struct floor *floor, struct subject *subject,
                       size_t bytes)
{
    double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < ROUND && samples->count < GROUPS_MAX; i++) {
        double start = now_us(CLOCK_MONOTONIC);
        if (subject == NULL) {
            floor_group(floor, bytes);
        } else {
            subject_group(subject, bytes);
        }
        samples->us[samples->count++] = now_us(CLOCK_MONOTONIC) - start;
    }
    samples->cpu_us += now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

static void compare(struct floor *floor, struct subject *subjects, bool *has, size_t bytes,
                    size_t groups)
{
    static struct samples samples[3];
    static const char *const names[] = {"pwrite+fdatasync", "journal, uring", "journal, epoll"};
    memset(samples, 0, sizeof samples);
    while (samples[0].count < groups) {
        time_round(&samples[0], floor, NULL, bytes);
        for (int i = 0; i < 2; i++) {
            if (has[i]) {
                time_round(&samples[i + 1], floor, &subjects[i], bytes);
            }
        }
    }
    double base = median(&samples[0]);
    for (int i = 0; i < 3; i++) {
        if (samples[i].count > 0) {
            double us = median(&samples[i]);
            printf("%7zu  %-17s %8.1f us  %8.1f us CPU  ratio %.2f\n", bytes, names[i], us,
                   samples[i].cpu_us / (double)samples[i].count, us / base);
        }
    }
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
    rmdir(folder);
}

static void time_recovery(const char *parent)
{
    static struct subject subject;
    if (!subject_make(&subject, parent, LOOP_EPOLL, 20ull * SEGMENT_BYTES)) {
        return;
    }
    subject.keep = true;
    while (subject.durable < 1024) {
        subject_group(&subject, LARGEST);
    }
    journal_close(subject.journal);
    double start = now_us(CLOCK_MONOTONIC);
    subject_open(&subject, 20ull * SEGMENT_BYTES);
    printf("recovery of 1 GB: %.2f s\n", (now_us(CLOCK_MONOTONIC) - start) / 1e6);
    journal_close(subject.journal);
    loop_close(subject.loop);
    remove_folder(subject.folder);
}

int main(int argc, char **argv)
{
    static struct subject subjects[2];
    char folder[2048];
    bool has[2];
    size_t groups = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    struct floor floor;
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN);
    snprintf(folder, sizeof folder, "%s/journal-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    if (mkdtemp(folder) == NULL) {
        fail(folder, strerror(errno));
    }
    floor_open(&floor, folder);
    has[0] = subject_make(&subjects[0], folder, LOOP_URING, 4 * SEGMENT_BYTES);
    has[1] = subject_make(&subjects[1], folder, LOOP_EPOLL, 4 * SEGMENT_BYTES);
    size_t sizes[] = {4096, 64 << 10, 1 << 20};
    for (int i = 0; i < 3; i++) {
        compare(&floor, subjects, has, sizes[i], sizes[i] < LARGEST ? groups : groups / 4);
    }
    for (int i = 0; i < 2; i++) {
        if (has[i]) {
            struct journal_figures figures;
            journal_figures(subjects[i].journal, &figures);
            printf("%s: O_DIRECT %s\n", subjects[i].folder, figures.direct ? "granted" : "refused");
            journal_close(subjects[i].journal);
            loop_close(subjects[i].loop);
            remove_folder(subjects[i].folder);
        }
    }
    time_recovery(folder);
    remove_folder(folder);
    return 0;
}
