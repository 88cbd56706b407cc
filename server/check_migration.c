/*
 * check_migration.c - see check_migration.h.
 *
 *   1. The file is read, and split into statements. One that cannot be tried in a transaction that
 *      is rolled back (its own COMMIT, CREATE INDEX CONCURRENTLY …) is refused before anything
 *      runs.
 *   2. The streams are read as they are.
 *   3. The statements run one by one. For each: which tables, there before it, it locks against
 *      writers, and which it rewrites; and, where it locks any, what rules know of its kind and the
 *      safer form (migration_rules.c). A new table's own indexes harm nobody and are not told.
 *   4. In the same transaction: would it commit (deferred constraints), what would publishers
 *      notice of the streams, and would the server's role still have its privileges?
 *   5. Everything is rolled back.
 *
 * In a scratch copy (check_scratch.c) nothing need be rolled back: where the file commits, so do
 * we, and what cannot run in a transaction runs between two of them.
 */
#include "check_migration.h"
#include "check_privileges.h"
#include "migration_rules.h"
#include "streams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (8u << 20)
#define RULES_MAX      4
#define CHANGES_BYTES  4000 /* of a stream; what is longer is cut */

struct trial {
    struct report *report;
    const char *file;
    struct sql_statement statement; /* the one under way */
    enum migration_way way;         /* of it */
    unsigned locks;                 /* of it, that stop writers */
    const char *role;               /* whose privileges count; NULL: the one that connects */
    struct store *sizes; /* of a scratch copy: the database itself; NULL: we are in that */
};

/* "migrations/7.sql:12". */
static void place(const struct trial *trial, char *out, size_t size)
{
    snprintf(out, size, "%.200s:%d", trial->file, trial->statement.line);
}

/* ---- the file -------------------------------------------------------------------------------- */

static char *read_file(const char *file, size_t *out_size, struct problem *problem)
{
    char *text = malloc(FILE_BYTES_MAX + 1);
    FILE *stream = text == NULL ? NULL : fopen(file, "re");
    if (stream == NULL) {
        problem_set(problem, STATUS_BAD_CONFIG, "cannot open %.200s: %s", file, strerror(errno));
        free(text);
        return NULL;
    }
    *out_size = fread(text, 1, FILE_BYTES_MAX + 1, stream);
    bool failed = ferror(stream) != 0;
    fclose(stream);
    const char *why = failed                                  ? "cannot be read"
                      : *out_size > FILE_BYTES_MAX            ? "is larger than 8 MB"
                      : memchr(text, '\0', *out_size) != NULL ? "has a NUL byte: is it UTF-8?"
                                                              : NULL;
    if (why != NULL) {
        problem_set(problem, STATUS_BAD_CONFIG, "%.200s %s", file, why);
        free(text);
        return NULL;
    }
    return text;
}

/* False when any of them cannot be tried; all of those are told. */
static bool may_be_tried(struct trial *trial, struct span text)
{
    bool may = true;
    struct sql_splitter splitter = sql_splitter_of(text);
    while (sql_next(&splitter, &trial->statement)) {
        const char *why = migration_refusal(&trial->statement, &trial->way);
        if (why != NULL && (trial->sizes == NULL || trial->way == WAY_NONE)) {
            char where[256];
            place(trial, where, sizeof where);
            report_add(trial->report, FINDING_FAIL, where, why,
                       "check the other statements in a file of their own, and this one by eye");
            may = false;
        }
    }
    return may;
}

/* ---- the statements -------------------------------------------------------------------------- */

/* In a copy the table is empty: what it has in the database counts. */
static void tell_rewrite(struct trial *trial, const char *where, const struct trial_effect *effect)
{
    char what[256], size[40];
    struct problem ignored; /* then it goes without */
    problem_clear(&ignored);
    snprintf(size, sizeof size, "%.39s", effect->rewritten_size);
    if (trial->sizes != NULL &&
        store_table_size(trial->sizes, effect->table, size, sizeof size, &ignored) != STATUS_OK) {
        log_debug("check", "%s", ignored.text);
    }
    snprintf(what, sizeof what, "rewrites %.100s%s%s; nobody can use it meanwhile", effect->table,
             size[0] == '\0'        ? ""
             : trial->sizes != NULL ? ", which now has "
                                    : ", which then has ",
             size);
    report_add(trial->report, FINDING_FAIL, where, what, NULL);
}

static void on_effect(void *owner, const struct trial_effect *effect)
{
    struct trial *trial = owner;
    char where[256], what[256];
    place(trial, where, sizeof where);
    if (effect->rewritten_size != NULL) {
        tell_rewrite(trial, where, effect);
        return;
    }
    bool stops_all = strcmp(effect->lock, "AccessExclusiveLock") == 0;
    snprintf(what, sizeof what, "locks %.100s (%.30s) until it commits: %s", effect->table,
             effect->lock, stops_all ? "nobody reads or writes it" : "nobody writes it");
    report_add(trial->report, FINDING_NOTE, where, what,
               "SET lock_timeout = '2s' before it, and try again when it is reached");
    trial->locks++;
}

static void advise(struct trial *trial)
{
    const struct migration_rule *rules[RULES_MAX];
    size_t count = migration_rules(&trial->statement, rules, RULES_MAX);
    char where[256];
    place(trial, where, sizeof where);
    for (size_t i = 0; i < count; i++) {
        report_add(trial->report, FINDING_FAIL, where, rules[i]->what, rules[i]->safer);
    }
}

static enum status try_statement(struct trial *trial, struct store *store, struct problem *problem)
{
    char *text = strndup((const char *)trial->statement.text.data, trial->statement.text.size);
    if (text == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a statement");
    }
    trial->locks = 0;
    enum status status = store_trial_run(store, text, on_effect, trial, problem);
    free(text);
    bool is_bulk = sql_begins(&trial->statement, "UPDATE");
    if (status == STATUS_OK && (trial->locks > 0 || is_bulk)) {
        advise(trial);
    }
    return status;
}

/* Between two transactions. */
static enum status try_alone(struct trial *trial, struct store *store, struct problem *problem)
{
    char *text = strndup((const char *)trial->statement.text.data, trial->statement.text.size);
    if (text == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a statement");
    }
    enum status status = store_trial_keep(store, problem);
    if (status == STATUS_OK) {
        status = store_trial_alone(store, text, problem);
    }
    free(text);
    return status == STATUS_OK ? store_trial_begin(store, problem) : status;
}

/* Only in a copy is there another way than inside. */
static enum status try_its_way(struct trial *trial, struct store *store, struct problem *problem)
{
    enum status status = STATUS_OK;
    migration_refusal(&trial->statement, &trial->way);
    switch (trial->way) {
    case WAY_BEGIN:
        return STATUS_OK; /* one is always open */
    case WAY_COMMIT:
        status = store_trial_keep(store, problem);
        return status == STATUS_OK ? store_trial_begin(store, problem) : status;
    case WAY_ALONE:
        return try_alone(trial, store, problem);
    case WAY_ROLLBACK:
        if (sql_has(&trial->statement, "TO")) { /* a savepoint */
            return try_statement(trial, store, problem);
        }
        store_trial_end(store);
        return store_trial_begin(store, problem);
    default:
        return try_statement(trial, store, problem);
    }
}

/* What only the end of the transaction would show. */
static bool settle(struct trial *trial, struct store *store)
{
    struct problem problem;
    problem_clear(&problem);
    if (store_trial_settle(store, &problem) != STATUS_OK) {
        report_add(trial->report, FINDING_FAIL, trial->file, problem.text,
                   "a constraint that is deferred is checked at COMMIT, which would fail");
        return false;
    }
    return true;
}

static bool try_all(struct trial *trial, struct span text, struct store *store)
{
    struct sql_splitter splitter = sql_splitter_of(text);
    unsigned count = 0;
    while (sql_next(&splitter, &trial->statement)) {
        struct problem problem;
        problem_clear(&problem);
        if (try_its_way(trial, store, &problem) != STATUS_OK) {
            char where[256];
            place(trial, where, sizeof where);
            report_add(trial->report, FINDING_FAIL, where, problem.text, NULL);
            advise(trial);
            return false; /* what comes behind it may need it */
        }
        count++;
    }
    if (!settle(trial, store)) {
        return false;
    }
    char detail[80];
    snprintf(detail, sizeof detail, "%u statement%s run, and %s", count, count == 1 ? "" : "s",
             trial->sizes == NULL ? "rolled back" : "thrown away with the scratch copy");
    report_add(trial->report, FINDING_OK, trial->file, detail, NULL);
    return true;
}

/* ---- the streams ----------------------------------------------------------------------------- */

static void tell_change(struct report *report, const char *what, enum stream_change change,
                        const char *text)
{
    switch (change) {
    case STREAM_SAME:
        report_add(report, FINDING_OK, what, "is the same for publishers", NULL);
        break;
    case STREAM_ALTERED:
        report_add(report, FINDING_NOTE, what, text, NULL);
        break;
    case STREAM_BROKEN:
        report_add(report, FINDING_FAIL, what, text,
                   "publishers that know the old shape are refused: change them first, or let both "
                   "shapes be right for a while");
        break;
    }
}

static void compare(struct report *report, const struct stream_settings *settings,
                    const struct stream *before, struct store *store)
{
    struct stream *after = NULL;
    struct problem problem;
    char what[NAME_BYTES_MAX + 32], text[CHANGES_BYTES];
    snprintf(what, sizeof what, "stream %s", settings->name);
    problem_clear(&problem);
    if (streams_load_one(store, settings, &after, &problem) != STATUS_OK) {
        report_add(report, FINDING_FAIL, what, problem.text,
                   "let the configuration follow, or keep the old shape until publishers have");
        return;
    }
    struct writer difference = writer_of(text, sizeof text - sizeof "…");
    enum stream_change change = stream_difference(before, after, &difference);
    strcpy(text + writer_size(&difference), difference.full ? "…" : "");
    tell_change(report, what, change, text);
    stream_destroy(after);
}

static void read_streams(const struct settings *settings, struct store *store,
                         struct stream *out[STREAMS_MAX])
{
    for (size_t i = 0; i < settings->stream_count; i++) {
        struct problem problem; /* who checks the streams has told it */
        problem_clear(&problem);
        out[i] = NULL;
        if (streams_load_one(store, &settings->streams[i], &out[i], &problem) != STATUS_OK) {
            log_debug("check", "%s", problem.text);
        }
    }
}

static void look_after(const struct trial *trial, const struct settings *settings,
                       struct stream *const before[STREAMS_MAX], struct store *store)
{
    for (size_t i = 0; i < settings->stream_count; i++) {
        if (before[i] != NULL) {
            compare(trial->report, &settings->streams[i], before[i], store);
        }
    }
    if (trial->sizes == NULL) {
        check_privileges(trial->report, settings, trial->role, store, "privileges afterwards",
                         PRIVILEGE_ROW_SECURITY);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void run(struct trial *trial, struct span text, const struct settings *settings,
                struct store *store)
{
    struct stream *before[STREAMS_MAX];
    struct problem problem;
    problem_clear(&problem);
    read_streams(settings, store, before);
    if (store_trial_begin(store, &problem) != STATUS_OK) {
        report_add(trial->report, FINDING_FAIL, trial->file, problem.text, NULL);
    } else if (try_all(trial, text, store)) {
        look_after(trial, settings, before, store);
    }
    store_trial_end(store);
    for (size_t i = 0; i < settings->stream_count; i++) {
        stream_destroy(before[i]);
    }
}

static void check_file(struct trial *trial, const struct settings *settings, struct store *store)
{
    struct problem problem;
    size_t size;
    problem_clear(&problem);
    char *text = read_file(trial->file, &size, &problem);
    if (text == NULL) {
        report_add(trial->report, FINDING_FAIL, "migration", problem.text, NULL);
        return;
    }
    if (may_be_tried(trial, span_of(text, size))) {
        run(trial, span_of(text, size), settings, store);
    }
    free(text);
}

void check_migration(struct report *report, const struct settings *settings, const char *file,
                     const char *role, struct store *store)
{
    struct trial trial = {.report = report, .file = file, .role = role};
    check_file(&trial, settings, store);
}

void check_migration_in_copy(struct report *report, const struct settings *settings,
                             const char *file, struct store *copy, struct store *store)
{
    struct trial trial = {.report = report, .file = file, .sizes = store};
    check_file(&trial, settings, copy);
}
