/*
 * dev.c - `penstock dev`: the server with a PostgreSQL of its own, in one folder.
 *
 *   folder/data, postgres.log   the private PostgreSQL (dev/)
 *   folder/penstock.conf        the example streams; made once, yours to change
 *   folder/journal…             this node's data folder is folder/node
 *
 * Everything else is `penstock serve`: the same settings, flags and pipeline.
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

/* Takes "--folder DIR" or "--folder=DIR" out of the arguments; false when DIR is missing. */
static bool take_folder_flag(int *argc, char **argv, const char **out_folder)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], "--folder=", 9) == 0) {
            *out_folder = argv[i] + 9;
        } else if (strcmp(argv[i], "--folder") == 0) {
            if (++i == *argc) {
                return false;
            }
            *out_folder = argv[i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return true;
}

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
static void set_defaults(const struct private_postgres *postgres, char *config, char *data_dir)
{
    const char *folder = private_postgres_folder(postgres);
    snprintf(config, PATH_BYTES, "%s/penstock.conf", folder);
    snprintf(data_dir, PATH_BYTES, "%s/node", folder);
    setenv("PENSTOCK_DATA_DIR", data_dir, 0);
    setenv("PENSTOCK_DATABASE_URL", private_postgres_url(postgres), 1);
    setenv("PENSTOCK_CONFIG", config, 0);
}

static int run_with_postgres(struct private_postgres *postgres, int argc, char **argv)
{
    struct settings settings;
    struct configuration from;
    struct problem problem;
    char config[PATH_BYTES], data_dir[PATH_BYTES];
    int exit_code;
    problem_clear(&problem);
    set_defaults(postgres, config, data_dir);
    if (write_config(config, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    if (!command_configuration(argc, argv, "penstock dev [--folder DIR]", &from, &settings,
                               &exit_code)) {
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
    struct settings settings;
    int exit_code;
    problem_clear(&problem);
    if (wants_help(argc, argv)) {
        command_settings(argc, argv, "penstock dev [--folder DIR]", &settings, &exit_code);
        return exit_code;
    }
    if (!take_folder_flag(&argc, argv, &folder)) {
        fprintf(stderr, "penstock: --folder: the folder's name is missing\n");
        return EXIT_USAGE;
    }
    serve_block_signals();
    if (private_postgres_start(folder, &postgres, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    exit_code = run_with_postgres(postgres, argc, argv);
    private_postgres_stop(postgres);
    return exit_code;
}
