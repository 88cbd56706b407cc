/*
 * recovery_fuzz.c - any bytes as the segments of a journal:
 *   - it opens, or is refused with a sentence that names the folder;
 *   - what it delivers are whole records; without forged checksums, only what was written;
 *   - what opened takes new records, and opens again with everything that was there.
 *
 * An input is a script of edits to a small journal that was written once, at the start:
 *     | flags | edit | edit | …      edit: | file | offset / 8, 2 bytes | length | bytes |
 * AHEAD: PostgreSQL has one frame more than the journal, which leaves a gap in the numbers.
 */
#include "format.h"

#include "../fuzz.h"

#include "penstock/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned long fuzz_taken;

enum { FORGE = 1, SALVAGE = 2, BLANK = 4, TRUNCATE = 8, AHEAD = 16 }; /* flags */

#define FILES         3
#define FRAMES        34 /* 14 a segment: the third is being filled */
#define RECORD        256
#define SEQUENCES_MAX 300 /* looked at in one run */

static char folder[64];
static uint8_t original[FILES][SEGMENT_BYTES_MIN], edited[FILES][SEGMENT_BYTES_MIN];
static struct loop *loop;
static uint64_t durable;

/* ---- a journal ------------------------------------------------------------------------------- */

static void on_durable(void *owner, const struct frame *frame)
{
    (void)owner;
    durable = frame->sequence;
}

static void on_failed(void *owner, const struct problem *problem)
{
    (void)owner;
    fprintf(stderr, "%s\n", problem->text);
    abort();
}

static bool write_schema(void *owner, uint64_t key, struct writer *out)
{
    (void)owner;
    writer_bytes(out, &key, sizeof key);
    return true;
}

static enum status open_journal(bool salvage, struct journal **out, struct problem *problem)
{
    struct journal_options options = {
        .folder = folder,
        .node = "fuzz",
        .segment_bytes = SEGMENT_BYTES_MIN,
        .bytes_max = 8 * SEGMENT_BYTES_MIN,
        .salvage = salvage,
        .loop = loop,
        .on_durable = on_durable,
        .on_failed = on_failed,
        .write_schema = write_schema,
    };
    return journal_open(&options, out, problem);
}

/* A row of bytes that follow from the tag. */
static struct span make_record(uint8_t memory[RECORD], uint8_t tag)
{
    struct record_header header = {
        .bytes = RECORD, .kind = RECORD_EVENTS, .schema_key = 5, .events = 1, .producer = tag};
    struct event_header event = {.row_bytes = RECORD - sizeof header - sizeof event};
    memset(memory, tag, RECORD);
    memcpy(memory, &header, sizeof header);
    memcpy(memory + RECORD - sizeof event, &event, sizeof event);
    return span_of(memory, RECORD);
}

static void put(struct journal *journal, uint8_t tag)
{
    uint8_t memory[RECORD];
    struct problem problem;
    struct journal_figures figures;
    for (int i = 0; journal_append(journal, make_record(memory, tag)) == JOURNAL_FULL; i++) {
        check(i < 1000 && loop_run_once(loop, 1000, &problem) == STATUS_OK);
    }
    journal_flush(journal);
    do {
        check(loop_run_once(loop, 100 * 1000, &problem) == STATUS_OK);
        journal_figures(journal, &figures);
    } while (figures.writing);
}

static void file_path(unsigned i, char out[128])
{
    snprintf(out, 128, "%s/%016u.segment", folder, i + 1);
}

static void empty_folder(void)
{
    DIR *dir = opendir(folder);
    check(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

/* Writes the original. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct journal *journal;
    struct problem problem;
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    snprintf(folder, sizeof folder, "%s/penstock-fuzz-XXXXXX", parent);
    check(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    check(loop_open(LOOP_EPOLL, &loop, &problem) == STATUS_OK);
    check(open_journal(false, &journal, &problem) == STATUS_OK);
    check(journal_start(journal, 0, &problem) == STATUS_OK);
    for (unsigned i = 0; i < FRAMES; i++) {
        put(journal, (uint8_t)(i + 1));
    }
    journal_close(journal);
    for (unsigned i = 0; i < FILES; i++) {
        char path[128];
        file_path(i, path);
        int fd = open(path, O_RDONLY);
        check(fd >= 0 && read(fd, original[i], SEGMENT_BYTES_MIN) == SEGMENT_BYTES_MIN);
        close(fd);
    }
    return 0;
}

/* ---- edits ----------------------------------------------------------------------------------- */

static void apply(const uint8_t *data, size_t size)
{
    while (size >= 4) {
        size_t length = data[3] < size - 4 ? data[3] : size - 4;
        size_t offset = (size_t)(data[1] | data[2] << 8) * 8 % SEGMENT_BYTES_MIN;
        length = length < SEGMENT_BYTES_MIN - offset ? length : SEGMENT_BYTES_MIN - offset;
        memcpy(edited[data[0] % FILES] + offset, data + 4, length);
        data += 4 + length;
        size -= 4 + length;
    }
}

/* Makes checksums right again, so that what lies behind them is reached. */
static void forge(uint8_t *bytes)
{
    struct segment_header segment;
    memcpy(&segment, bytes, sizeof segment);
    segment_header_seal(&segment);
    memcpy(bytes, &segment, sizeof segment);
    for (size_t at = PAGE_BYTES; at < SEGMENT_BYTES_MIN; at += PAGE_BYTES) {
        struct frame_header header;
        memcpy(&header, bytes + at, sizeof header);
        size_t room = SEGMENT_BYTES_MIN - at - sizeof header;
        if (header.magic == FRAME_MAGIC) {
            uint32_t claimed = header.body_bytes;
            size_t body_bytes = claimed < room ? claimed : room;
            frame_header_seal(&header, span_of(bytes + at + sizeof header, body_bytes));
            memcpy(bytes + at, &header, sizeof header);
        }
    }
}

static void store(const uint8_t *data, size_t size, uint8_t flags)
{
    empty_folder();
    for (unsigned i = 0; i < FILES; i++) {
        char path[128];
        size_t length = SEGMENT_BYTES_MIN;
        if ((flags & TRUNCATE) != 0 && size >= 2 && data[size - 1] % FILES == i) {
            length = (size_t)(data[size - 2] | (data[0] << 8));
            if (length % 7 == 0) {
                continue; /* a segment is missing */
            }
        }
        file_path(i, path);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        check(fd >= 0 && write(fd, edited[i], length) == (ssize_t)length);
        close(fd);
    }
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void check_frame(const struct frame *frame, bool forged)
{
    struct span rest = frame->body;
    uint32_t records = 0, events = 0;
    while (rest.size > 0) {
        struct record_cursor cursor;
        uint8_t expected[RECORD];
        check(record_open(rest, &cursor));
        if (!forged && cursor.header.kind == RECORD_EVENTS) {
            struct span record = span_of(rest.data, cursor.header.bytes);
            check(span_equals(record, make_record(expected, (uint8_t)cursor.header.producer)));
        }
        records++;
        events += cursor.header.events;
        rest = span_of(rest.data + cursor.header.bytes, rest.size - cursor.header.bytes);
    }
    check(records == frame->records && events == frame->events);
}

/* Sum over what can be read, from the first frame that is not released, if there is one; a gap that
 * forged numbers or a checkpoint made is no frame. */
static uint64_t read_all(struct journal *journal, uint8_t flags)
{
    struct journal_figures figures;
    struct problem problem;
    uint64_t events = 0;
    journal_figures(journal, &figures);
    uint64_t first = figures.first_sequence, frames = figures.durable_sequence - first + 1;
    for (uint64_t i = 0; first != 0 && i < SEQUENCES_MAX && i < frames; i++) {
        struct frame frame;
        enum journal_read_answer answer = journal_read(journal, first + i, &frame, &problem);
        check(answer == JOURNAL_FRAME ||
              ((flags & (FORGE | AHEAD)) != 0 && answer == JOURNAL_READ_FAILED));
        if (answer == JOURNAL_FRAME) {
            check_frame(&frame, (flags & FORGE) != 0);
            events += frame.events;
        }
        journal_read_done(journal);
    }
    return events;
}

static void visit_schema(void *owner, struct span body)
{
    (void)owner;
    check(body.size % RECORD_ALIGN == 0);
}

static void check_opens_again(struct journal *journal, uint8_t flags)
{
    struct problem problem;
    struct journal_figures figures;
    journal_figures(journal, &figures);
    uint64_t first = figures.first_sequence, last = figures.durable_sequence;
    uint64_t checkpoint = first == 0 ? last : first - 1;
    if ((flags & AHEAD) != 0) {
        checkpoint = ++last;
    }
    if (last >= SEQUENCE_MAX) { /* only forged numbers come so far: there is none behind it */
        journal_close(journal);
        return;
    }
    check(journal_start(journal, checkpoint, &problem) == STATUS_OK);
    uint64_t events = read_all(journal, flags);
    put(journal, 200);
    check(durable == last + 1);
    journal_close(journal);
    if (open_journal((flags & SALVAGE) != 0, &journal, &problem) != STATUS_OK) {
        fprintf(stderr, "%s\n", problem.text);
        abort();
    }
    journal_figures(journal, &figures);
    check(figures.durable_sequence == last + 1);
    check((flags & FORGE) != 0 || last > SEQUENCES_MAX || read_all(journal, flags) >= events + 1);
    journal_close(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t flags = data[0];
    bool forged = (flags & FORGE) != 0;
    if ((flags & BLANK) != 0) {
        memset(edited, 0, sizeof edited);
    } else {
        memcpy(edited, original, sizeof edited);
    }
    apply(data + 1, size - 1);
    for (unsigned i = 0; forged && i < FILES; i++) {
        forge(edited[i]);
    }
    store(data, size, flags);

    struct journal *journal;
    struct problem problem;
    problem_clear(&problem);
    enum status status = open_journal((flags & SALVAGE) != 0, &journal, &problem);
    if (status != STATUS_OK) {
        check(status == STATUS_BAD_JOURNAL && status == problem.status);
        check(strstr(problem.text, folder) != NULL);
        return 0;
    }
    journal_each_schema(journal, visit_schema, NULL);
    check_opens_again(journal, flags);
    fuzz_taken++;
    return 0;
}
