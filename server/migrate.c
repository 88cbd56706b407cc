/*
 * migrate.c - `penstock migrate`: makes or upgrades the schema `penstock`, and nothing else; with
 * --role, makes a role for the server, or grants it what it lacks. All of it is one transaction,
 * which --dry-run rolls back. With --print it only says how.
 */
#include "arguments.h"
#include "commands.h"

#include "penstock/store.h"

#include <stdio.h>

static const char HELP[] =
    "usage: penstock migrate [--role NAME] [--new-epoch] [--dry-run] [--config FILE] [--key "
    "VALUE…]\n"
    "       penstock migrate --print\n"
    "\n"
    "Makes or upgrades the schema penstock, and nothing else. Run it as a role that may make "
    "schemas.\n"
    "\n"
    "  --role NAME   also makes this role, unless it is there, and grants it what it lacks to run\n"
    "                the server with the configured streams: no more\n"
    "  --new-epoch   tells subscribers that come back to read their tables anew: for a database "
    "that\n"
    "                has lost commits (a point-in-time recovery, a standby that was behind). "
    "After\n"
    "                a dump was restored it is done without being asked for\n"
    "  --dry-run     prints the statements, tries them, and rolls back\n"
    "  --print       prints the statements for a database without the schema, and does nothing\n"
    "                else: for who lets nobody but himself run DDL\n"
    "\n";

struct migrate_options {
    const char *role; /* NULL: none */
    bool is_dry, has_new_epoch;
};

struct granting {
    struct store *store;
    unsigned statements;
};

static enum status on_missing(void *owner, const char *what, const char *mend,
                              struct problem *problem)
{
    (void)what;
    struct granting *granting = owner;
    granting->statements++;
    printf("%s;\n", mend);
    return store_execute(granting->store, mend, problem);
}

static enum status grant(struct store *store, const struct settings *settings, const char *role,
                         struct problem *problem)
{
    char statement[2 * NAME_BYTES_MAX + 32];
    const char *tables[STREAMS_MAX];
    struct granting granting = {.store = store};
    for (size_t i = 0; i < settings->stream_count; i++) {
        tables[i] = settings->streams[i].table;
    }
    enum status status = store_make_role(store, role, statement, sizeof statement, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (statement[0] != '\0') {
        printf("%s;\n", statement);
    }
    status = store_compare_privileges(store, PRIVILEGE_MISSING, role, tables,
                                      settings->stream_count, on_missing, &granting, problem);
    if (status == STATUS_OK && granting.statements == 0) {
        printf("-- %s lacks nothing\n", role);
    }
    return status;
}

static enum status migrate(struct store *store, const struct settings *settings,
                           const struct migrate_options *options, struct problem *problem)
{
    struct problem ignored; /* the first failure is the one to tell */
    problem_clear(&ignored);
    char epoch[UUID_TEXT_BYTES + 1];
    enum status status = store_migrate_begin(store, problem);
    if (status == STATUS_OK) {
        status = store_renew_epoch(store, options->has_new_epoch, epoch, problem);
    }
    if (status == STATUS_OK && epoch[0] != '\0') {
        printf("-- %sthe epoch is %s now: subscribers that come back read their tables anew\n",
               options->has_new_epoch ? "" : "the database was restored from a dump: ", epoch);
    }
    if (status == STATUS_OK && options->role != NULL) {
        status = grant(store, settings, options->role, problem);
    }
    bool keep = status == STATUS_OK && !options->is_dry;
    enum status ended = store_migrate_end(store, keep, status == STATUS_OK ? problem : &ignored);
    return status == STATUS_OK ? ended : status;
}

static int print_schema(void)
{
    puts("BEGIN;");
    struct span sql;
    for (size_t part = 0; (sql = store_schema_sql(part)).size > 0; part++) {
        fwrite(sql.data, 1, sql.size, stdout);
    }
    puts("COMMIT;");
    return 0;
}

static int run(const struct settings *settings, const struct migrate_options *options)
{
    struct problem problem;
    struct store *store = NULL;
    problem_clear(&problem);
    struct store_options store_options = {
        .url = settings->database_url,
        .role = "migrate",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = store_open(&store_options, &store, &problem);
    if (status == STATUS_OK) {
        status = migrate(store, settings, options, &problem);
    }
    store_close(store);
    if (status != STATUS_OK) {
        return command_fail(&problem);
    }
    puts(options->is_dry ? "penstock: all of it works, and was rolled back"
                         : "penstock: the schema penstock is up to date");
    return 0;
}

int migrate_command(int argc, char **argv)
{
    struct settings settings;
    struct migrate_options options = {0};
    int exit_code;
    if (wants_help(argc, argv)) {
        fputs(HELP, stdout);
        settings_print_help(stdout);
        return 0;
    }
    if (take_switch(&argc, argv, "--print")) {
        return print_schema();
    }
    options.is_dry = take_switch(&argc, argv, "--dry-run");
    options.has_new_epoch = take_switch(&argc, argv, "--new-epoch");
    if (!take_value(&argc, argv, "--role", &options.role)) {
        return EXIT_USAGE;
    }
    if (!command_settings(argc, argv, "penstock migrate", &settings, &exit_code)) {
        return exit_code;
    }
    exit_code = run(&settings, &options);
    settings_fini(&settings);
    return exit_code;
}
