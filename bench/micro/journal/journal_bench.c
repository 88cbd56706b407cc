/*
 * journal_bench.c - what it costs to make records durable, beside the bare system calls in the same
 * run.
 *
 *     journal_bench [FOLDER [GROUPS [MEGABYTES]]]     FOLDER on the disk in question; default: here
 *
 * So many publishers have one record each under way, and append the next one when theirs is
 * durable. The floor does by hand what a journal can do at best: pwrite of all their records at
 * once into a zero-written file, then fdatasync. The journal runs on each engine, from
 * journal_append() to on_durable(). The ways take turns, ROUND groups each, so that a noisy disk is
 * noisy for all. Last, a journal of so many megabytes (1024; 0: none) is written and opened again.
 *
 * Prints a JSON object a line: of each case and way the median and 99th percentile of a record's
 * wait, records a second, and the CPU time (all threads) of one.
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

#define SEGMENT_BYTES  (64u << 20)
#define ROUND          20 /* groups of one way before it is the next one's turn */
#define PUBLISHERS_MAX 64
#define LARGEST        (1u << 20)

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

#define SAMPLES_MAX 1000000

struct samples {
    double us[SAMPLES_MAX];
    size_t count;
    double took_us, cpu_us;
};

static void sample_add(struct samples *samples, double us)
{
    if (samples->count < SAMPLES_MAX) {
        samples->us[samples->count++] = us;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What is measured: `publishers`, each with a record that takes `bytes` of a group. */
struct task {
    size_t bytes;
    unsigned publishers;
    unsigned rounds_share; /* of GROUPS: large ones take their time */
};

static const struct task tasks[] = {{1024, 1, 1}, {1024, 8, 1},     {1024, 64, 1},
                                    {4096, 1, 1}, {64 << 10, 1, 1}, {1 << 20, 1, 4}};

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

static void floor_groups(struct floor *floor, const struct task *task, struct samples *samples)
{
    size_t bytes = (task->bytes * task->publishers + 4095) / 4096 * 4096;
    for (unsigned i = 0; i < ROUND; i++) {
        double start = now_us(CLOCK_MONOTONIC);
        if (floor->offset + (off_t)bytes > SEGMENT_BYTES) {
            floor->offset = 0;
        }
        if (pwrite(floor->fd, floor->data, bytes, floor->offset) != (ssize_t)bytes ||
            fdatasync(floor->fd) != 0) {
            fail("floor", strerror(errno));
        }
        floor->offset += (off_t)bytes;
        double us = now_us(CLOCK_MONOTONIC) - start;
        for (unsigned publisher = 0; publisher < task->publishers; publisher++) {
            sample_add(samples, us);
        }
    }
}

/* ---- the journal ----------------------------------------------------------------------------- */

struct subject {
    char folder[4096];
    struct loop *loop;
    struct journal *journal;
    uint64_t durable; /* the newest frame */
    bool keep;        /* nothing is released */
    struct samples *samples;
    double started_us[PUBLISHERS_MAX]; /* of record n at n % PUBLISHERS_MAX */
    uint64_t appended, answered;       /* records */
    uint8_t *record;
};

static void on_durable(void *owner, const struct frame *frame)
{
    struct subject *subject = owner;
    double now = now_us(CLOCK_MONOTONIC);
    subject->durable = frame->sequence;
    for (uint32_t i = 0; i < frame->events; i++) { /* one event a record, durable in order */
        sample_add(subject->samples, now - subject->started_us[subject->answered % PUBLISHERS_MAX]);
        subject->answered++;
    }
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
        fprintf(stderr, "without %s: %s\n", loop_engine_name(engine), problem.text);
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

/* A record that, with its share of the frame's own bytes, takes `bytes` of a group. */
static bool subject_append(struct subject *subject, size_t bytes)
{
    size_t own = bytes < 4096 ? 64 : 256;
    struct record_header header = {
        .bytes = (uint32_t)(bytes - own), .kind = RECORD_EVENTS, .schema_key = 1, .events = 1};
    struct event_header event = {
        .row_bytes = header.bytes - (uint32_t)(sizeof header + sizeof(struct event_header))};
    memcpy(subject->record, &header, sizeof header);
    memcpy(subject->record + header.bytes - sizeof event, &event, sizeof event);
    subject->started_us[subject->appended % PUBLISHERS_MAX] = now_us(CLOCK_MONOTONIC);
    if (journal_append(subject->journal, span_of(subject->record, header.bytes)) == JOURNAL_FULL) {
        return false;
    }
    subject->appended++;
    return true;
}

static void subject_records(struct subject *subject, const struct task *task, uint64_t count)
{
    uint64_t first = subject->answered, last = first + count;
    while (subject->answered < last) {
        while (subject->appended < last &&
               subject->appended - subject->answered < task->publishers &&
               subject_append(subject, task->bytes)) {
        }
        journal_flush(subject->journal);
        turn(subject);
        if (!subject->keep) {
            journal_release(subject->journal, subject->durable);
        }
    }
}

/* ---- taking turns ---------------------------------------------------------------------------- */

static void time_round(struct samples *samples, const struct task *task, struct floor *floor,
                       struct subject *subject)
{
    double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID), start = now_us(CLOCK_MONOTONIC);
    if (subject == NULL) {
        floor_groups(floor, task, samples);
    } else {
        subject->samples = samples;
        subject_records(subject, task, (uint64_t)ROUND * task->publishers);
    }
    samples->took_us += now_us(CLOCK_MONOTONIC) - start;
    samples->cpu_us += now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

/* Segments are made and zero-written once, and recycled from then on. */
static void warm(struct subject *subjects, const bool *has)
{
    static struct samples unused;
    const struct task task = {.bytes = LARGEST, .publishers = 1};
    for (int i = 0; i < 2; i++) {
        if (has[i]) {
            subjects[i].samples = &unused;
            subject_records(&subjects[i], &task, 3 * (SEGMENT_BYTES / LARGEST));
        }
    }
}

static void tell(const struct task *task, const char *way, struct samples *samples)
{
    double count = (double)samples->count;
    qsort(samples->us, samples->count, sizeof samples->us[0], compare_doubles);
    printf("{\"bytes\": %zu, \"publishers\": %u, \"way\": \"%s\", \"p50_us\": %.2f, \"p99_us\": "
           "%.2f, \"rate\": %.2f, \"cpu_us\": %.3f}\n",
           task->bytes, task->publishers, way, samples->us[samples->count / 2],
           samples->us[samples->count * 99 / 100], count * 1e6 / samples->took_us,
           samples->cpu_us / count);
}

static void compare(struct floor *floor, struct subject *subjects, const bool *has,
                    const struct task *task, size_t groups)
{
    static struct samples samples[3];
    static const char *const ways[] = {"pwrite+fdatasync", "uring", "epoll"};
    memset(samples, 0, sizeof samples);
    for (size_t done = 0; done < groups; done += ROUND) {
        time_round(&samples[0], task, floor, NULL);
        for (int i = 0; i < 2; i++) {
            if (has[i]) {
                time_round(&samples[i + 1], task, floor, &subjects[i]);
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        if (samples[i].count > 0) {
            tell(task, ways[i], &samples[i]);
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

static void time_recovery(const char *parent, size_t megabytes)
{
    static struct subject subject;
    if (!subject_make(&subject, parent, LOOP_EPOLL, 20ull * SEGMENT_BYTES)) {
        return;
    }
    static struct samples unused;
    const struct task task = {.bytes = LARGEST, .publishers = 1};
    subject.keep = true;
    subject.samples = &unused;
    subject_records(&subject, &task, megabytes);
    journal_close(subject.journal);
    double start = now_us(CLOCK_MONOTONIC);
    subject_open(&subject, 20ull * SEGMENT_BYTES);
    printf("{\"way\": \"recovery\", \"megabytes\": %zu, \"seconds\": %.3f}\n", megabytes,
           (now_us(CLOCK_MONOTONIC) - start) / 1e6);
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
    size_t megabytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 1024;
    struct floor floor;
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN);
    snprintf(folder, sizeof folder, "%s/journal-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    if (mkdtemp(folder) == NULL) {
        fail(folder, strerror(errno));
    }
    floor_open(&floor, folder);
    has[0] = subject_make(&subjects[0], folder, LOOP_URING, 4 * SEGMENT_BYTES);
    has[1] = subject_make(&subjects[1], folder, LOOP_EPOLL, 4 * SEGMENT_BYTES);
    warm(subjects, has);
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        compare(&floor, subjects, has, &tasks[i], groups / tasks[i].rounds_share);
    }
    for (int i = 0; i < 2; i++) {
        if (has[i]) {
            struct journal_figures figures;
            journal_figures(subjects[i].journal, &figures);
            printf("{\"way\": \"%s\", \"direct\": %s}\n", i == 0 ? "uring" : "epoll",
                   figures.direct ? "true" : "false");
            journal_close(subjects[i].journal);
            loop_close(subjects[i].loop);
            remove_folder(subjects[i].folder);
        }
    }
    if (megabytes > 0) {
        time_recovery(folder, megabytes);
    }
    remove_folder(folder);
    return 0;
}
