/*
 * audit.c - `penstock audit`: what is slow, useless or neglected in the database, and what mends
 * it.
 *
 * 1. Each look (penstock/audit.h) tells what it found. One that fails (a timeout, a privilege) is
 *    told, too, and the others go on.
 * 2. With --record the findings become events of a stream, each once; a later run tells which were
 *    mended, and what that gained (store/audit_record.c).
 *
 * The exit code tells findings from an audit that could not be done: a timer that runs it every
 * week must not take the one for the other (deploy/systemd/penstock-audit.service).
 */
#include "arguments.h"
#include "commands.h"
#include "report.h"

#include "penstock/audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_NOT_DONE   3
#define SLOW_MS_DEFAULT 500
#define SLOW_MS_MOST    86400000

static const char HELP[] =
    "usage: penstock audit [--json] [--strict] [--slow-ms N] [--record] [--stream NAME]\n"
    "                      [--config FILE] [--key VALUE…]\n"
    "\n"
    "Says what is slow, useless or neglected in the database, and the statement that mends it:\n"
    "slow statements with their plans, tables that are read from end to end, indexes that nobody\n"
    "reads, foreign keys without an index, bloat, autovacuum that lags, and what COPY pays for "
    "each\n"
    "index. It reads PostgreSQL's own statistics, runs no statement of others, and writes nothing\n"
    "but what --record asks for.\n"
    "\n"
    "  --json             one JSON object instead of lines\n"
    "  --strict           what could not be looked at counts as a finding, too\n"
    "  --slow-ms N        statements that take N ms on average are slow (default 500)\n"
    "  --record           findings become events, each once; a later run records what was mended,\n"
    "                     and what that gained\n"
    "  --stream NAME      the stream of those events (default optimization); its table needs the\n"
    "                     columns queryText and recommendation, and gets performanceGain "
    "(percent),\n"
    "                     confidence, createdAt and appliedAt where it has them\n"
    "\n"
    "Exit codes: 0 nothing found; 1 something is to be mended; 2 wrong usage or configuration;\n"
    "3 the audit could not be done, or not all of it.\n"
    "\n";

struct audit_run {
    struct report report;
    bool as_json, is_strict, records;
    uint64_t slow_ms;
    const char *stream;
    bool is_undone;     /* something could not be looked at, or recorded */
    unsigned counts[2]; /* recorded: findings, mended */
};

/* ---- telling --------------------------------------------------------------------------------- */

/* "slow_statement" as words. */
static void write_words(char *out, size_t size, const char *kind)
{
    snprintf(out, size, "%s", kind);
    for (char *at = strchr(out, '_'); at != NULL; at = strchr(at, '_')) {
        *at = ' ';
    }
}

static void on_finding(void *owner, const struct audit_finding *found)
{
    static const enum finding_level levels[] = {
        [AUDIT_INFO] = FINDING_OK, [AUDIT_NOTE] = FINDING_NOTE, [AUDIT_FINDING] = FINDING_FAIL};
    struct audit_run *run = owner;
    char what[64], sentence[6000];
    bool is_statement = strcmp(found->kind, "slow_statement") == 0;
    write_words(what, sizeof what, found->kind);
    snprintf(sentence, sizeof sentence, "%s%s%s", is_statement ? found->subject : "",
             is_statement ? " " : "", found->detail);
    struct finding finding = {
        .level = levels[found->level],
        .what = what,
        .detail = sentence,
        .mend = found->mend,
        .id = found->id,
        .kind = found->kind,
        .place = found->place,
        .where = found->subject,
        .plan = found->plan,
    };
    report_finding(&run->report, &finding);
}

static void on_outcome(void *owner, const struct audit_outcome *outcome)
{
    struct audit_run *run = owner;
    bool is_mended = strcmp(outcome->word, "mended") == 0;
    if (outcome->told == NULL) {
        return;
    }
    run->counts[is_mended]++;
    if (is_mended) {
        struct finding finding = {
            .what = "mended", .detail = outcome->told, .where = outcome->subject};
        report_finding(&run->report, &finding);
    }
}

static void tell_failure(struct audit_run *run, struct problem *problem)
{
    run->is_undone = true;
    report_add(&run->report, FINDING_FAIL, "audit", problem->text, NULL);
    problem_clear(problem);
}

/* ---- the audit ------------------------------------------------------------------------------- */

static void record(struct audit_run *run, const struct settings *settings, struct audit *audit)
{
    const struct stream_settings *wanted = settings_stream(settings, run->stream);
    struct audit_stream stream = {
        .name = wanted->name,
        .table = wanted->table,
        .channels = (const char *const *)wanted->channels,
        .channel_count = wanted->channel_count,
    };
    struct problem problem;
    char detail[120];
    problem_clear(&problem);
    if (audit_record(audit, &stream, on_outcome, run, &problem) != STATUS_OK) {
        tell_failure(run, &problem);
        return;
    }
    snprintf(detail, sizeof detail, "%u new finding%s, %u mended", run->counts[0],
             run->counts[0] == 1 ? "" : "s", run->counts[1]);
    report_add(&run->report, FINDING_OK, "recorded", detail, NULL);
}

static void look_at_all(struct audit_run *run, const struct settings *settings, struct audit *audit)
{
    struct problem problem;
    problem_clear(&problem);
    for (int look = 0; look < AUDIT_LOOKS; look++) {
        enum status status = audit_look(audit, (enum audit_look)look, &problem);
        if (status != STATUS_OK) {
            tell_failure(run, &problem);
        }
        if (status == STATUS_UNAVAILABLE) {
            return;
        }
    }
    if (run->records) {
        record(run, settings, audit);
    }
}

static void audit_database(struct audit_run *run, const struct settings *settings)
{
    const char *tables[STREAMS_MAX];
    struct audit *audit = NULL;
    struct problem problem;
    problem_clear(&problem);
    for (size_t i = 0; i < settings->stream_count; i++) {
        tables[i] = settings->streams[i].table;
    }
    struct audit_options options = {
        .store = {.url = settings->database_url,
                  .role = "audit",
                  .connect_timeout_ms = settings->connect_timeout_ms,
                  .statement_timeout_ms = settings->statement_timeout_ms},
        .tables = tables,
        .table_count = settings->stream_count,
        .slow_ms = run->slow_ms,
        .visit = on_finding,
        .owner = run,
    };
    if (audit_open(&options, &audit, &problem) != STATUS_OK) {
        tell_failure(run, &problem);
        return;
    }
    look_at_all(run, settings, audit);
    audit_close(audit);
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool misuse(const char *what)
{
    fprintf(stderr, "penstock: audit: %s; `penstock audit --help` tells more\n", what);
    return false;
}

static bool take_options(int *argc, char **argv, struct audit_run *out)
{
    const char *slow_ms = NULL;
    out->as_json = take_switch(argc, argv, "--json");
    out->is_strict = take_switch(argc, argv, "--strict");
    out->records = take_switch(argc, argv, "--record");
    if (!take_value(argc, argv, "--slow-ms", &slow_ms) ||
        !take_value(argc, argv, "--stream", &out->stream)) {
        return false;
    }
    if (slow_ms != NULL) {
        char *end;
        errno = 0;
        out->slow_ms = strtoull(slow_ms, &end, 10);
        if (slow_ms[0] < '0' || slow_ms[0] > '9' || *end != '\0' || errno != 0 ||
            out->slow_ms < 1 || out->slow_ms > SLOW_MS_MOST) {
            return misuse("--slow-ms takes a whole number of milliseconds from 1 to 86400000");
        }
    }
    return true;
}

static int run_audit(struct audit_run *run, const struct settings *settings)
{
    if (run->records && settings_stream(settings, run->stream) == NULL) {
        fprintf(stderr,
                "penstock: audit: no stream \"%.63s\" is configured to record in: configure it, "
                "or name another one with --stream\n",
                run->stream);
        return EXIT_USAGE;
    }
    report_open(&run->report, run->as_json, run->is_strict);
    audit_database(run, settings);
    int exit_code = report_close(&run->report);
    return run->is_undone ? EXIT_NOT_DONE : exit_code;
}

int audit_command(int argc, char **argv)
{
    struct settings settings;
    struct audit_run run = {.slow_ms = SLOW_MS_DEFAULT, .stream = "optimization"};
    int exit_code;
    if (wants_help(argc, argv)) {
        fputs(HELP, stdout);
        settings_print_help(stdout);
        return 0;
    }
    if (!take_options(&argc, argv, &run)) {
        return EXIT_USAGE;
    }
    if (!command_settings(argc, argv, "penstock audit", &settings, &exit_code)) {
        return exit_code;
    }
    exit_code = run_audit(&run, &settings);
    settings_fini(&settings);
    return exit_code;
}
