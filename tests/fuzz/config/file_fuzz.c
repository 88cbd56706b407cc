/*
 * file_fuzz.c - any bytes as a configuration file, read as at the start of the server, with the
 * checks between the keys and the sections of streams:
 *   - it is refused with one sentence of text, which begins with the file's name where it is about
 *     the file; or taken, and then every stream has a name of its own, a table and channels, and
 *     whoever reads the file again is told that nothing changed;
 *   - a password never shows. The first byte may put one of several beginnings before the file,
 *     whose password must not stand in the refusal, however the file goes on.
 */
#include "../fuzz.h"

#include "penstock/config.h"
#include "penstock/wire.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PASSWORD "Qm7xW2kP9z"

unsigned long fuzz_taken;

static const char *const beginnings[] = {
    "",
    "database_url = \"postgres://penstock:" PASSWORD "@db/app\"",
    "database_url = postgres://penstock:" PASSWORD,
    "lanes = 2\ndatabase_url = \"" PASSWORD,
    "auth_key = '" PASSWORD "'\n",
    "listen_url = {\n" PASSWORD,
    "auth_key = \"-----BEGIN PUBLIC KEY-----\n" PASSWORD "\n",
};
#define BEGINNINGS (sizeof beginnings / sizeof beginnings[0])

static char file[64];
static int fd;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* Nothing but the file may set a key; the path is for the sanitizer's reports. */
    char *path = getenv("PATH");
    check(clearenv() == 0 && (path == NULL || setenv("PATH", path, 1) == 0));
    fd = memfd_create("penstock.conf", MFD_CLOEXEC);
    check(fd >= 0);
    snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    return 0;
}

static void write_file(const char *beginning, struct span rest)
{
    size_t size = strlen(beginning);
    check(ftruncate(fd, 0) == 0);
    check(pwrite(fd, beginning, size, 0) == (ssize_t)size);
    check(pwrite(fd, rest.data, rest.size, (off_t)size) == (ssize_t)rest.size);
}

static enum status load(struct settings *out, struct problem *problem)
{
    problem_clear(problem);
    return settings_load(out, file, 0, NULL, 0, problem);
}

static void check_refusal(const struct problem *problem)
{
    struct span text = span_string(problem->text);
    check(problem->status == STATUS_BAD_CONFIG);
    check(text.size > 0 && strstr(problem->text, PASSWORD) == NULL);
}

static void check_stream(const struct settings *settings, size_t index)
{
    const struct stream_settings *stream = &settings->streams[index];
    check(stream->name[0] != '\0' && stream->table[0] != '\0');
    check(stream->channel_count <= EVENT_CHANNELS_MAX && stream->set_count <= STREAM_SETS_MAX);
    for (size_t i = 0; i < stream->channel_count; i++) {
        check(stream->channels[i][0] != '\0');
    }
    for (size_t i = 0; i < stream->set_count; i++) {
        check(stream->sets[i].column[0] != '\0' && stream->sets[i].claim[0] != '\0');
    }
    for (size_t i = 0; i < index; i++) {
        check(strcmp(settings->streams[i].name, stream->name) != 0);
    }
}

/* The same file twice: nothing has changed. */
static void check_renewal(const struct settings *now)
{
    struct settings next;
    struct settings_news news;
    struct problem problem;
    check(load(&next, &problem) == STATUS_OK);
    check(settings_renew(now, &next, &news, &problem) == STATUS_OK);
    check(news.changed[0] == '\0' && news.kept[0] == '\0');
    settings_fini(&next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    struct problem problem;
    if (size == 0 || memmem(data, size, PASSWORD, strlen(PASSWORD)) != NULL) {
        return 0; /* who writes it elsewhere shows it */
    }
    write_file(beginnings[data[0] % BEGINNINGS], span_of(data + 1, size - 1));
    if (load(&settings, &problem) != STATUS_OK) {
        check_refusal(&problem);
        return 0;
    }
    check(settings.stream_count <= STREAMS_MAX);
    for (size_t i = 0; i < settings.stream_count; i++) {
        check_stream(&settings, i);
    }
    check_renewal(&settings);
    settings_fini(&settings);
    fuzz_taken++;
    return 0;
}
