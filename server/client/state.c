/* state.c - see state.h. */
#include "state.h"

#include "penstock/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define STATE_BYTES_MAX 2048
#define CHECK_NAME      ",\"check\":\""

/* ---- writing --------------------------------------------------------------------------------- */

static void put_field(struct writer *out, const char *name, const char *text)
{
    writer_string(out, ",\"");
    writer_string(out, name);
    writer_string(out, "\":");
    json_string(out, span_string(text));
}

static void put_number(struct writer *out, const char *name, uint64_t number)
{
    char text[64];
    int size = snprintf(text, sizeof text, ",\"%s\":%llu", name, (unsigned long long)number);
    writer_bytes(out, text, (size_t)size);
}

static void format_state(struct writer *out, const struct state_subject *subject,
                         const struct run *run)
{
    char check[32];
    writer_string(out, "{\"penstock_send\":1");
    put_field(out, "stream", subject->stream);
    put_field(out, "id_field", subject->id_field);
    put_field(out, "epoch", run->epoch);
    put_number(out, "started_ms", (uint64_t)run->started_ms);
    put_number(out, "seed", run->seed);
    put_number(out, "line", run->done.line);
    put_number(out, "bytes", run->done.bytes);
    put_number(out, "crc", run->done.crc);
    uint32_t sum = crc32c(0, out->start, writer_size(out));
    int size = snprintf(check, sizeof check, CHECK_NAME "%08x\"}\n", sum);
    writer_bytes(out, check, (size_t)size);
}

static enum status fail(struct problem *problem, const char *file, const char *what)
{
    return problem_set(problem, errno == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                       "cannot %s the state file \"%s\": %s", what, file, strerror(errno));
}

static bool write_synced(const char *file, struct span bytes)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    ssize_t written = write(fd, bytes.data, bytes.size);
    bool ok = written == (ssize_t)bytes.size && fsync(fd) == 0;
    int error = written >= 0 && written < (ssize_t)bytes.size ? ENOSPC : errno;
    close(fd);
    errno = error;
    return ok;
}

static bool sync_folder_of(const char *file)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", file);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool ok = fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}

enum status state_save(const char *file, const struct state_subject *subject, const struct run *run,
                       struct problem *problem)
{
    char bytes[STATE_BYTES_MAX], beside[PATH_MAX];
    struct writer out = writer_of(bytes, sizeof bytes);
    format_state(&out, subject, run);
    if (out.full || snprintf(beside, sizeof beside, "%s.new", file) >= (int)sizeof beside) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the state file's or a field's name is too long");
    }
    if (!write_synced(beside, writer_span(&out)) || rename(beside, file) != 0 ||
        !sync_folder_of(file)) {
        return fail(problem, file, "write");
    }
    return STATUS_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum status damaged(struct problem *problem, const char *file)
{
    return problem_set(
        problem, STATUS_BAD_CONFIG,
        "the state file \"%s\" is damaged: remove it to send everything anew, with new "
        "ids (what was stored before would then be stored twice)",
        file);
}

static enum status read_file(const char *file, struct writer *out, bool *out_found,
                             struct problem *problem)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    *out_found = fd >= 0;
    if (fd < 0) {
        return errno == ENOENT ? STATUS_OK : fail(problem, file, "open");
    }
    ssize_t size = read(fd, out->start, writer_room(out));
    int error = errno;
    close(fd);
    errno = error;
    if (size < 0) {
        return fail(problem, file, "read");
    }
    out->next += size;
    return STATUS_OK;
}

/* Is the text what format_state() wrote, to the byte? */
static bool has_valid_check(struct span text)
{
    size_t tail = strlen(CHECK_NAME) + 8 + strlen("\"}\n");
    char check[32];
    if (text.size < tail) {
        return false;
    }
    uint32_t sum = crc32c(0, text.data, text.size - tail);
    snprintf(check, sizeof check, CHECK_NAME "%08x\"}\n", sum);
    return memcmp(text.data + text.size - tail, check, tail) == 0;
}

struct state_fields {
    char stream[128], id_field[512], epoch[UUID_TEXT_BYTES + 1];
    uint64_t version, started_ms, seed, line, bytes, crc;
};

static bool read_text(const struct value *value, char *out, size_t room)
{
    struct writer w = writer_of(out, room - 1);
    if (value->kind != VALUE_STRING || value->flaws != 0) {
        return false;
    }
    value_text(value, &w);
    *w.next = '\0';
    return !w.full;
}

static bool read_number(const struct value *value, uint64_t *out)
{
    int64_t number;
    if (!value_int64(value, &number) || number < 0) {
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

static bool read_field(struct state_fields *f, struct span name, const struct value *value)
{
    struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {{"penstock_send", &f->version},
                   {"started_ms", &f->started_ms},
                   {"seed", &f->seed},
                   {"line", &f->line},
                   {"bytes", &f->bytes},
                   {"crc", &f->crc}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (span_is(name, numbers[i].name)) {
            return read_number(value, numbers[i].out);
        }
    }
    if (span_is(name, "stream")) {
        return read_text(value, f->stream, sizeof f->stream);
    }
    if (span_is(name, "id_field")) {
        return read_text(value, f->id_field, sizeof f->id_field);
    }
    if (span_is(name, "epoch")) {
        return read_text(value, f->epoch, sizeof f->epoch);
    }
    return true; /* `check`, seen to before */
}

static bool read_fields(struct span text, struct state_fields *out)
{
    struct value map, value;
    struct map_cursor cursor;
    struct problem problem;
    struct span name;
    *out = (struct state_fields){0};
    if (!has_valid_check(text) || json_parse(text, &map, &problem) != STATUS_OK ||
        map.kind != VALUE_MAP) {
        return false;
    }
    map_begin(&map, &cursor);
    while (map_next(&cursor, &name, &value)) {
        if (!read_field(out, name, &value)) {
            return false;
        }
    }
    return out->version == 1;
}

enum status state_load(const char *file, const struct state_subject *subject, struct run *out,
                       bool *out_found, struct problem *problem)
{
    uint8_t bytes[STATE_BYTES_MAX];
    struct writer text = writer_of(bytes, sizeof bytes);
    struct state_fields f;
    enum status status = read_file(file, &text, out_found, problem);
    if (status != STATUS_OK || !*out_found) {
        return status;
    }
    if (!read_fields(writer_span(&text), &f)) {
        return damaged(problem, file);
    }
    if (strcmp(f.stream, subject->stream) != 0 || strcmp(f.id_field, subject->id_field) != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the state file \"%s\" is of a run into stream \"%s\" with --id-field "
                           "\"%s\": name another with --state",
                           file, f.stream, f.id_field);
    }
    *out = (struct run){.started_ms = (int64_t)f.started_ms,
                        .seed = f.seed,
                        .done = {f.line, f.bytes, (uint32_t)f.crc}};
    memcpy(out->epoch, f.epoch, sizeof out->epoch);
    return STATUS_OK;
}
