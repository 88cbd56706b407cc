/*
 * dev.c - `penstock dev`: the server with a PostgreSQL of its own, in one folder.
 *
 *   folder/data, postgres.log   the private PostgreSQL (dev/)
 *   folder/penstock.conf        the example streams; made once, yours to change
 *   folder/node                 this node's data folder, with the journal
 *
 * Everything else is `penstock serve`: the same settings, flags and pipeline. A flag that is wrong
 * is said before a PostgreSQL is made for it.
 */
#include "arguments.h"
#include "commands.h"

#include "penstock/dev.h"
#include "penstock/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

static const char usage[] =
    "usage: penstock dev [--folder DIR] [--config FILE] [--key VALUE…]\n"
    "\n"
    "Runs the server with a PostgreSQL of its own, the example tables and their streams. Ctrl-C "
    "stops\n"
    "both; the data stay in the folder.\n"
    "\n"
    "  --folder DIR    where they are (default %s)\n"
    "  --config FILE   the streams and settings (default penstock.conf in that folder, which the\n"
    "                  first start makes: it is yours to change)\n"
    "\n"
    "Every setting below can stand in the file, in the environment as PENSTOCK_KEY, or be a flag.\n"
    "\n";

/* The example configuration, unless there is one already. */
static enum status write_config(const char *path, struct problem *problem)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) {
        return STATUS_OK;
    }
    const char *text = example_conf();
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!written) {
        unlink(path);
        return problem_set(problem, error == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                           "cannot write %s: %s", path, strerror(error));
    }
    return STATUS_OK;
}

/* The schema `penstock` and the example tables. */
static enum status prepare_database(const struct settings *settings, struct problem *problem)
{
    struct store *store = NULL;
    struct store_options options = {
        .url = settings->database_url,
        .role = "dev",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = store_open(&options, &store, problem);
    if (status == STATUS_OK) {
        status = store_migrate(store, problem);
    }
    if (status == STATUS_OK) {
        status = store_execute(store, example_sql(), problem);
    }
    store_close(store);
    return status;
}

static bool postgres_is_alive(void *postgres, struct problem *problem)
{
    return private_postgres_check(postgres, problem) == STATUS_OK;
}

/* What the folder decides; flags still win (config.h). */
static void set_defaults(const struct private_postgres *postgres, char *config)
{
    char data_dir[PATH_BYTES];
    const char *folder = private_postgres_folder(postgres);
    snprintf(config, PATH_BYTES, "%s/penstock.conf", folder);
    snprintf(data_dir, PATH_BYTES, "%s/node", folder);
    setenv("PENSTOCK_DATA_DIR", data_dir, 0);
    setenv("PENSTOCK_DATABASE_URL", private_postgres_url(postgres), 1);
    setenv("PENSTOCK_CONFIG", config, 0);
}

/*
 * Reads the settings for what is wrong with them, as far as can be said before there is a
 * PostgreSQL. Reading takes arguments out of the list, so it gets a copy.
 */
static bool try_settings(const char *folder, int argc, char **argv, int *out_exit)
{
    char config[PATH_BYTES];
    struct settings settings;
    char **copy = calloc((size_t)argc + 1, sizeof *copy);
    if (copy == NULL) {
        fprintf(stderr, "penstock: no memory for the arguments\n");
        *out_exit = EXIT_FAILED;
        return false;
    }
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    snprintf(config, sizeof config, "%s/penstock.conf", folder);
    if (access(config, R_OK) == 0) {
        setenv("PENSTOCK_CONFIG", config, 0);
    }
    bool is_right = command_settings(argc, copy, "penstock dev", &settings, out_exit);
    if (is_right) {
        settings_fini(&settings);
    }
    free(copy);
    return is_right;
}

static int run_with_postgres(struct private_postgres *postgres, int argc, char **argv)
{
    struct settings settings;
    struct configuration from;
    struct problem problem;
    char config[PATH_BYTES];
    int exit_code;
    problem_clear(&problem);
    set_defaults(postgres, config);
    if (write_config(config, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    if (!command_configuration(argc, argv, "penstock dev", &from, &settings, &exit_code)) {
        return exit_code;
    }
    if (prepare_database(&settings, &problem) == STATUS_OK) {
        struct serve_options options = {.settings = &settings,
                                        .from = &from,
                                        .is_development = true,
                                        .is_alive = postgres_is_alive,
                                        .owner = postgres};
        exit_code = serve_run(&options);
    } else {
        exit_code = command_fail(&problem);
    }
    settings_fini(&settings);
    return exit_code;
}

int dev_command(int argc, char **argv)
{
    const char *folder = private_postgres_default_folder();
    struct private_postgres *postgres = NULL;
    struct problem problem;
    int exit_code;
    problem_clear(&problem);
    if (wants_help(argc, argv)) {
        printf(usage, folder);
        settings_print_help(stdout);
        return 0;
    }
    if (!take_value(&argc, argv, "--folder", &folder)) {
        return EXIT_USAGE;
    }
    if (!try_settings(folder, argc, argv, &exit_code)) {
        return exit_code;
    }
    serve_block_signals();
    if (private_postgres_start(folder, &postgres, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    exit_code = run_with_postgres(postgres, argc, argv);
    private_postgres_stop(postgres);
    return exit_code;
}
