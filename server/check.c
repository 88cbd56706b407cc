/*
 * check.c - `penstock check`: would this configuration run against this database, on this machine?
 *
 * Every finding is a line, "ok" or "FAIL" and a sentence; all of them are looked for, so that one
 * run tells everything. The exit code is 1 when anything failed, for CI.
 */
#include "commands.h"
#include "streams.h"

#include <stdio.h>

struct report {
    unsigned failed;
};

static void report_ok(const char *what, const char *detail)
{
    printf("ok    %s%s%s\n", what, *detail == '\0' ? "" : ": ", detail);
}

/* Notes the verdict and empties the problem for the next one. */
static bool report_status(struct report *report, enum status status, const char *what,
                          const char *detail, struct problem *problem)
{
    if (status == STATUS_OK) {
        report_ok(what, detail);
    } else {
        printf("FAIL  %s: %s\n", what, problem->text);
        report->failed++;
    }
    problem_clear(problem);
    return status == STATUS_OK;
}

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
        problem_set(&problem, STATUS_BAD_CONFIG, "none is configured");
        report_status(report, STATUS_BAD_CONFIG, "streams", "", &problem);
    }
    for (size_t i = 0; i < settings->stream_count; i++) {
        const struct stream_settings *wanted = &settings->streams[i];
        struct stream *stream = NULL;
        char what[NAME_BYTES_MAX + 32];
        snprintf(what, sizeof what, "stream %s", wanted->name);
        enum status status = streams_load_one(store, wanted, &stream, &problem);
        report_status(report, status, what, wanted->table, &problem);
        if (status == STATUS_OK && !stream_tells_duplicates(stream)) {
            printf("note  %s: at least once: %s\n", what, STREAMS_NO_KEY);
        }
        stream_destroy(stream);
    }
}

static void check_database(struct report *report, const struct settings *settings)
{
    struct store *store = NULL;
    struct problem problem;
    char epoch[UUID_TEXT_BYTES + 1] = "";
    problem_clear(&problem);
    struct store_options options = {
        .url = settings->database_url,
        .role = "check",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = store_open(&options, &store, &problem);
    if (!report_status(report, status, "PostgreSQL", "connected", &problem)) {
        return;
    }
    status = store_check_schema(store, &problem);
    if (report_status(report, status, "schema penstock", "this version's", &problem)) {
        status = store_read_epoch(store, epoch, &problem);
        report_status(report, status, "epoch", epoch, &problem);
    }
    check_streams(report, settings, store);
    store_close(store);
}

int check_command(int argc, char **argv)
{
    struct settings settings;
    struct report report = {0};
    int exit_code;
    if (!command_settings(argc, argv, "penstock check", &settings, &exit_code)) {
        return exit_code;
    }
    report_ok("configuration", "read");
    check_loop(&report, &settings);
    check_database(&report, &settings);
    settings_fini(&settings);
    if (report.failed > 0) {
        printf("%u finding%s to mend\n", report.failed, report.failed == 1 ? "" : "s");
        return EXIT_FAILED;
    }
    printf("all is well\n");
    return 0;
}
