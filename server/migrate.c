/* migrate.c - `penstock migrate`: makes or upgrades the schema `penstock`, and nothing else. */
#include "commands.h"

#include "penstock/store.h"

#include <stdio.h>

int migrate_command(int argc, char **argv)
{
    struct settings settings;
    struct problem problem;
    struct store *store = NULL;
    int exit_code;
    if (!command_settings(argc, argv, "penstock migrate", &settings, &exit_code)) {
        return exit_code;
    }
    problem_clear(&problem);
    struct store_options options = {
        .url = settings.database_url,
        .role = "migrate",
        .connect_timeout_ms = settings.connect_timeout_ms,
        .statement_timeout_ms = settings.statement_timeout_ms,
    };
    enum status status = store_open(&options, &store, &problem);
    if (status == STATUS_OK) {
        status = store_migrate(store, &problem);
    }
    if (status == STATUS_OK) {
        printf("penstock: the schema penstock is up to date\n");
        exit_code = 0;
    } else {
        exit_code = command_fail(&problem);
    }
    store_close(store);
    settings_fini(&settings);
    return exit_code;
}
