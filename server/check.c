/*
 * check.c - `penstock check`: would this configuration run against this database, on this machine?
 *
 * All findings are looked for, so that one run tells everything, each with the statement that mends
 * it. The exit code is 1 when anything failed, for CI. What the role could do beyond its needs is a
 * note; --strict makes that a failure. With --migration, one more question: what would this
 * migration do to the streams (check_migration.c)?
 */
#include "arguments.h"
#include "check_migration.h"
#include "check_privileges.h"
#include "check_scratch.h"
#include "commands.h"
#include "report.h"
#include "streams.h"

#include <stdio.h>

static const char HELP[] =
    "usage: penstock check [--json] [--strict] [--role NAME] [--migration FILE [--scratch]]\n"
    "                      [--config FILE] [--key VALUE…]\n"
    "\n"
    "Compares configuration, tables, privileges and the way to the database with what the server\n"
    "needs, and says what mends each finding.\n"
    "\n"
    "  --json             one JSON object instead of lines\n"
    "  --strict           what the role may do beyond its needs is a failure, too\n"
    "  --role NAME        looks at the privileges of this role, not of the one that connects\n"
    "  --migration FILE   says what the statements in FILE would break, lock and rewrite, and the\n"
    "                     safer form: runs them in a transaction that is rolled back, and locks "
    "what\n"
    "                     they lock until then, so give it a database of the same shape\n"
    "  --scratch          runs them in a scratch copy of the schema instead, in a PostgreSQL of "
    "its\n"
    "                     own, which is gone afterwards: locks nothing, and tries what cannot be\n"
    "                     rolled back, too; needs the programs of the database's PostgreSQL here\n"
    "\n"
    "Exit codes: 0 all is well; 1 something is to be mended; 2 wrong usage or configuration.\n"
    "\n";

struct check_options {
    bool as_json, is_strict, in_scratch;
    const char *role, *migration; /* NULL: none */
};

static void check_loop(struct report *report, const struct settings *settings)
{
    struct loop *loop = NULL;
    struct problem problem;
    problem_clear(&problem);
    enum status status = loop_open((enum loop_engine)settings->loop, &loop, &problem);
    report_status(report, status, "loop engine",
                  status == STATUS_OK ? loop_engine_name(loop_engine(loop)) : "", &problem);
    loop_close(loop);
}

static void check_streams(struct report *report, const struct settings *settings,
                          struct store *store)
{
    struct problem problem;
    problem_clear(&problem);
    if (settings->stream_count == 0) {
        report_add(report, FINDING_FAIL, "streams", "none is configured", NULL);
    }
    for (size_t i = 0; i < settings->stream_count; i++) {
        const struct stream_settings *wanted = &settings->streams[i];
        struct stream *stream = NULL;
        char what[NAME_BYTES_MAX + 32];
        snprintf(what, sizeof what, "stream %s", wanted->name);
        enum status status = streams_load_one(store, wanted, &stream, &problem);
        report_status(report, status, what, wanted->table, &problem);
        struct stream_doubt doubt;
        if (status == STATUS_OK && streams_find_doubt(stream, wanted, &doubt)) {
            report_add(report, FINDING_NOTE, what, doubt.detail, doubt.mend);
        }
        stream_destroy(stream);
    }
}

/* ---- the way to the database ----------------------------------------------------------------- */

static void check_pooler(struct report *report, const struct store_options *options,
                         const char *what)
{
    enum pooler_kind kind = POOLER_NONE;
    struct problem problem;
    problem_clear(&problem);
    enum status status = store_find_pooler(options, &kind, &problem);
    if (status == STATUS_OK && kind == POOLER_OF_TRANSACTIONS) {
        report_add(
            report, FINDING_FAIL, what,
            "leads through a pooler that lends backends for a transaction at a time: LISTEN, "
            "session locks, prepared statements and settings of a session are lost there",
            "name PostgreSQL itself (its own host and port), or use pool_mode = session for "
            "this database");
    } else {
        report_status(report, status, what,
                      kind == POOLER_OF_SESSIONS ? "through a pooler of sessions" : "direct",
                      &problem);
    }
}

static struct store_options options_for(const struct settings *settings, const char *url)
{
    return (struct store_options){
        .url = url,
        .role = "check",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
}

static void check_poolers(struct report *report, const struct settings *settings)
{
    struct store_options options = options_for(settings, settings->database_url);
    check_pooler(report, &options, "database_url");
    if (settings->listen_url[0] != '\0') {
        options.url = settings->listen_url;
        check_pooler(report, &options, "listen_url");
    }
}

static void check_database(struct report *report, const struct settings *settings,
                           const struct check_options *chosen)
{
    struct store *store = NULL;
    struct problem problem;
    char epoch[UUID_TEXT_BYTES + 1] = "";
    problem_clear(&problem);
    struct store_options options = options_for(settings, settings->database_url);
    enum status status = store_open(&options, &store, &problem);
    if (!report_status(report, status, "PostgreSQL", "connected", &problem)) {
        return;
    }
    check_poolers(report, settings);
    status = store_check_schema(store, &problem);
    if (report_status(report, status, "schema penstock", "this version's", &problem)) {
        status = store_read_epoch(store, epoch, &problem);
        report_status(report, status, "epoch", epoch, &problem);
    }
    check_streams(report, settings, store);
    check_privileges(report, settings, chosen->role, store, "privileges", PRIVILEGE_SURPLUS);
    if (chosen->migration != NULL && chosen->in_scratch) {
        check_scratch(report, settings, chosen->migration, store);
    } else if (chosen->migration != NULL) {
        check_migration(report, settings, chosen->migration, chosen->role, store);
    }
    store_close(store);
}

static bool take_options(int *argc, char **argv, struct check_options *out)
{
    out->as_json = take_switch(argc, argv, "--json");
    out->is_strict = take_switch(argc, argv, "--strict");
    out->in_scratch = take_switch(argc, argv, "--scratch");
    if (!take_value(argc, argv, "--role", &out->role) ||
        !take_value(argc, argv, "--migration", &out->migration)) {
        return false;
    }
    if (out->in_scratch && out->migration == NULL) {
        fprintf(stderr, "penstock: check: --scratch is where a migration is tried: name it with "
                        "--migration FILE\n");
        return false;
    }
    return true;
}

int check_command(int argc, char **argv)
{
    struct settings settings;
    struct report report;
    struct check_options options = {0};
    int exit_code;
    if (wants_help(argc, argv)) {
        fputs(HELP, stdout);
        settings_print_help(stdout);
        return 0;
    }
    if (!take_options(&argc, argv, &options)) {
        return EXIT_USAGE;
    }
    if (!command_settings(argc, argv, "penstock check", &settings, &exit_code)) {
        return exit_code;
    }
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN); /* the report is what is to be read */
    report_open(&report, options.as_json, options.is_strict);
    report_add(&report, FINDING_OK, "configuration", "read", NULL);
    check_loop(&report, &settings);
    check_database(&report, &settings, &options);
    settings_fini(&settings);
    return report_close(&report);
}
