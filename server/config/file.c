/*
 * file.c - the configuration file, read by libconfuse.
 *
 *   1. The file is read into memory: libconfuse's scanner would end the process when a read fails.
 *   2. Every key is given to libconfuse as a string option; a number with a unit is a string to it.
 *   3. After each value libconfuse calls on_value() or on_stream(), which read it by the rules of
 *      value.c. There the line is still known.
 *   4. libconfuse takes the end of the file for a missing '}'. So a line of ours stands behind the
 *      last one; whatever goes wrong there means that the file ended too early.
 *   5. What libconfuse itself has to say (syntax, unknown keys) arrives in on_confuse_error().
 *      Near a database URL it is not repeated, because it could quote a piece of a password.
 *
 * libconfuse's callbacks carry no pointer of ours, so the load under way is a static variable; main
 * is the only thread then.
 */
#include "keys.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    KEY_LINES_MAX = 200,
    FILE_BYTES_MAX = 1 << 20,
    KEYS_MAX = 128,
    NAME_BYTES_MAX = 63,
    SET_CLAIM_BYTES_MAX = 200
};

#define END_OF_FILE "end_of_file"
static const char last_line[] = "\n" END_OF_FILE " = 1\n";

static struct load {
    struct settings *settings;
    const char *file;
    const char *text;
    int lines; /* of the file, without ours */
    struct problem *problem;
    bool failed;
    int set_at[KEYS_MAX]; /* the line where each key was set; 0: not yet */
    int table_at;         /* the same for `table` of the section being read */
} * loading;

/* ---- reading --------------------------------------------------------------------------------- */

static enum status read_open_file(FILE *stream, const char *file, char *out,
                                  struct problem *problem)
{
    struct stat about;
    if (fstat(fileno(stream), &about) == 0 && S_ISDIR(about.st_mode)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%.200s is a folder, not a configuration file", file);
    }
    size_t size = fread(out, 1, FILE_BYTES_MAX + 1, stream);
    if (ferror(stream)) {
        return problem_set(problem, STATUS_BAD_CONFIG, "cannot read %.200s: %s", file,
                           strerror(errno));
    }
    if (size > FILE_BYTES_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG, "%.200s is larger than 1 MB", file);
    }
    out[size] = '\0';
    if (strlen(out) != size) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%.200s contains a NUL byte: not a text file", file);
    }
    return STATUS_OK;
}

/* The file's text, with room for last_line, which the caller frees; NULL with the reason. */
static char *read_file(const char *file, struct problem *problem)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        problem_set(problem, STATUS_BAD_CONFIG, "cannot open the configuration file %.200s: %s",
                    file, strerror(errno));
        return NULL;
    }
    char *text = malloc(FILE_BYTES_MAX + 1 + sizeof last_line);
    if (text == NULL) {
        problem_set(problem, STATUS_NO_MEMORY, "no memory to read %.200s", file);
    } else if (read_open_file(stream, file, text, problem) != STATUS_OK) {
        free(text);
        text = NULL;
    }
    fclose(stream);
    return text;
}

/* ---- libconfuse's callbacks ------------------------------------------------------------------ */

static bool speaks_of(const char *line, size_t size, const char *word)
{
    return memmem(line, size, word, strlen(word)) != NULL;
}

/* Does this line, or the one before it, speak of a URL, or one of those before it of a key, which
 * may have many lines? */
static bool near_a_secret(int line)
{
    const char *at = loading->text;
    for (int number = 1; *at != '\0' && number <= line; number++) {
        size_t size = strcspn(at, "\n");
        if ((number >= line - 1 && speaks_of(at, size, "_url")) ||
            (number >= line - KEY_LINES_MAX && speaks_of(at, size, "auth_key"))) {
            return true;
        }
        at += size + (at[size] == '\n');
    }
    return false;
}

/* Puts the place before the problem's text. What failed behind the last line never had its own
 * reason. */
static void fail_at(const cfg_t *cfg)
{
    loading->failed = true;
    if (cfg->line > loading->lines) {
        problem_set(loading->problem, STATUS_BAD_CONFIG,
                    "%.100s:%d: the file ends too early: a value, a quote or a '}' is missing",
                    loading->file, loading->lines);
    } else {
        problem_context(loading->problem, "%.100s:%d", loading->file, cfg->line);
    }
}

static void on_confuse_error(cfg_t *cfg, const char *format, va_list arguments)
{
    if (loading->failed) {
        return; /* the first reason is the one that counts */
    }
    char text[300];
    vsnprintf(text, sizeof text, format, arguments);
    if (near_a_secret(cfg->line)) {
        problem_set(loading->problem, STATUS_BAD_CONFIG,
                    "a syntax error beside a database URL or a key: put the whole of it into one "
                    "pair of quotes (nothing of it is shown here, it may be a password)");
    } else {
        problem_set(loading->problem, STATUS_BAD_CONFIG, "%s", text);
    }
    fail_at(cfg);
}

static int on_value(cfg_t *cfg, cfg_opt_t *option)
{
    const struct key *key = key_find(option->name, strlen(option->name));
    int *set_at = &loading->set_at[key_place(key)];
    enum status status;
    if (*set_at == 0) {
        *set_at = cfg->line;
        status = key_set(loading->settings, key, cfg_opt_getstr(option), loading->problem);
    } else {
        status = problem_set(loading->problem, STATUS_BAD_CONFIG, "%s was already set on line %d",
                             key->name, *set_at);
    }
    if (status != STATUS_OK) {
        fail_at(cfg);
    }
    return status == STATUS_OK ? 0 : -1;
}

static int on_table(cfg_t *section, cfg_opt_t *option)
{
    (void)option;
    int before = loading->table_at;
    loading->table_at = section->line;
    if (before == 0) {
        return 0;
    }
    problem_set(loading->problem, STATUS_BAD_CONFIG,
                "stream \"%.60s\": its table was already named on line %d", cfg_title(section),
                before);
    fail_at(section);
    return -1;
}

/* A copy of what the file says; nothing of nothing. False: no memory. */
static bool copy_string(const char *string, char **out)
{
    *out = string == NULL ? NULL : strdup(string);
    return string == NULL || *out != NULL;
}

/* "userId = claim sub": a column, and the claim that fills it. */
static enum status take_set(const char *stream, const char *text, struct set_settings *out,
                            struct problem *problem)
{
    char column[NAME_BYTES_MAX + 1], claim[SET_CLAIM_BYTES_MAX + 1], rest;
    if (sscanf(text, " %63[^= \t] = claim %200s %c", column, claim, &rest) != 2) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "stream \"%.60s\": a column is set as in \"userId = claim sub\", not "
                           "\"%.60s\"",
                           stream, text);
    }
    out->column = strdup(column);
    out->claim = strdup(claim);
    return out->column != NULL && out->claim != NULL
               ? STATUS_OK
               : problem_set(problem, STATUS_NO_MEMORY, "no memory for stream \"%.60s\"", stream);
}

static enum status take_sets(cfg_t *section, struct stream_settings *out, struct problem *problem)
{
    size_t count = cfg_size(section, "set");
    if (count > STREAM_SETS_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "stream \"%.60s\" sets %zu columns; at most %d can be", out->name, count,
                           STREAM_SETS_MAX);
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = take_set(out->name, cfg_getnstr(section, "set", (unsigned)i),
                          &out->sets[out->set_count++], problem);
    }
    return status;
}

static enum status take_stream(cfg_t *section, struct stream_settings *out, struct problem *problem)
{
    size_t count = cfg_size(section, "channels");
    if (count > EVENT_CHANNELS_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "stream \"%.60s\" has %zu channels; an event can go to at most %d",
                           cfg_title(section), count, EVENT_CHANNELS_MAX);
    }
    bool copied = copy_string(cfg_title(section), &out->name) &&
                  copy_string(cfg_getstr(section, "table"), &out->table);
    for (size_t i = 0; i < count && copied; i++) {
        copied = copy_string(cfg_getnstr(section, "channels", (unsigned)i), &out->channels[i]);
        out->channel_count += copied ? 1 : 0;
    }
    if (!copied) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for stream \"%.60s\"",
                           cfg_title(section));
    }
    enum status status = take_sets(section, out, problem);
    return status == STATUS_OK ? stream_check(out, problem) : status;
}

/* Called after the closing brace of each section. */
static int on_stream(cfg_t *cfg, cfg_opt_t *option)
{
    struct settings *settings = loading->settings;
    enum status status;
    loading->table_at = 0;
    if (settings->stream_count < STREAMS_MAX) {
        cfg_t *section = cfg_opt_getnsec(option, cfg_opt_size(option) - 1);
        struct stream_settings *stream = &settings->streams[settings->stream_count++];
        status = take_stream(section, stream, loading->problem);
    } else {
        status =
            problem_set(loading->problem, STATUS_BAD_CONFIG, "more than %d streams", STREAMS_MAX);
    }
    if (status != STATUS_OK) {
        fail_at(cfg);
    }
    return status == STATUS_OK ? 0 : -1;
}

/* ---- the parse ------------------------------------------------------------------------------- */

static cfg_t *parser_create(void)
{
    cfg_opt_t stream_options[] = {
        CFG_STR("table", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("channels", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("set", NULL, CFGF_NODEFAULT),
        CFG_END(),
    };
    cfg_opt_t options[KEYS_MAX + 3] = {0}, *next = options;
    for (size_t i = 0; i < key_count(); i++) {
        *next++ = (cfg_opt_t)CFG_STR(key_at(i)->name, NULL, CFGF_NODEFAULT);
    }
    *next++ =
        (cfg_opt_t)CFG_SEC("stream", stream_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    *next++ = (cfg_opt_t)CFG_STR(END_OF_FILE, NULL, CFGF_NODEFAULT);
    *next = (cfg_opt_t)CFG_END();

    cfg_t *cfg = cfg_init(options, CFGF_NONE); /* copies the options */
    if (cfg != NULL) {
        cfg_set_error_function(cfg, on_confuse_error);
        for (size_t i = 0; i < key_count(); i++) {
            cfg_set_validate_func(cfg, key_at(i)->name, on_value);
        }
        cfg_set_validate_func(cfg, "stream", on_stream);
        cfg_set_validate_func(cfg, "stream|table", on_table);
    }
    return cfg;
}

static enum status parse(struct load *load)
{
    cfg_t *cfg = parser_create();
    if (cfg == NULL) {
        return problem_set(load->problem, STATUS_NO_MEMORY, "no memory to parse %.200s",
                           load->file);
    }
    loading = load;
    int result = cfg_parse_buf(cfg, load->text);
    loading = NULL;
    bool at_end = cfg_size(cfg, END_OF_FILE) == 1;
    cfg_free(cfg);
    if (load->failed) {
        return load->problem->status;
    }
    if (result != CFG_SUCCESS || !at_end) {
        return problem_set(load->problem, STATUS_BAD_CONFIG,
                           "%.200s:%d: the file ends too early: a comment is not closed",
                           load->file, load->lines);
    }
    return STATUS_OK;
}

/* Lines of the text; one without a newline at the end counts too. */
static int count_lines(const char *text)
{
    int lines = 0;
    const char *at = text;
    for (; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    return lines + (at > text && at[-1] != '\n');
}

enum status file_load(struct settings *settings, const char *file, struct problem *problem)
{
    assert(key_count() <= KEYS_MAX);
    char *text = read_file(file, problem);
    if (text == NULL) {
        return problem->status;
    }
    struct load load = {.settings = settings,
                        .file = file,
                        .text = text,
                        .lines = count_lines(text),
                        .problem = problem};
    strcat(text, last_line); /* read_file() left the room */
    enum status status = parse(&load);
    free(text);
    return status;
}
