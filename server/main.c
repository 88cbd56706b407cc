/*
 * main.c - the commands, and what they share: settings, exit codes, and an output that was written.
 */
#include "arguments.h"
#include "commands.h"

#include "penstock/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static int version_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("penstock %s\n", PENSTOCK_VERSION);
    return 0;
}

static const struct command commands[] = {
    {"serve", serve_command, "run the server"},
    {"dev", dev_command, "run the server with a private PostgreSQL and example tables"},
    {"check", check_command, "compare configuration, catalog and privileges"},
    {"audit", audit_command, "find slow statements, and indexes that are missing or useless"},
    {"migrate", migrate_command, "make or upgrade the schema penstock (nothing else)"},
    {"send", client_send_command, "publish events from a file or standard input"},
    {"tail", client_tail_command, "print the events of a channel as they commit"},
    {"token", token_command, "make a token for development"},
    {"dead-letter", dead_letter_command, "list, show, retry or drop what the database refused"},
    {"reference", reference_command, "print every setting, as a file or a manual page"},
    {"version", version_command, "print the version"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_usage(FILE *out)
{
    fprintf(out,
            "penstock - live events over WebSocket into PostgreSQL, and back when committed\n\n"
            "usage: penstock COMMAND [--help] [OPTION…]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-11s  %s\n", commands[i].name, commands[i].help);
    }
}

int command_fail(const struct problem *problem)
{
    fprintf(stderr, "penstock: %s\n", problem->text);
    return problem->status == STATUS_BAD_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

static void print_command_help(const char *usage)
{
    printf("usage: %s [--config FILE] [--key VALUE…]\n\n"
           "Every key can stand in the file, in the environment as PENSTOCK_KEY, or be a flag.\n\n",
           usage);
    settings_print_help(stdout);
}

bool command_configuration(int argc, char **argv, const char *usage, struct configuration *out_from,
                           struct settings *out, int *out_exit)
{
    struct problem problem;
    const char *file = NULL;
    problem_clear(&problem);
    if (wants_help(argc, argv)) {
        print_command_help(usage);
        *out_exit = 0;
        return false;
    }
    if (!take_value(&argc, argv, "--config", &file)) {
        *out_exit = EXIT_USAGE;
        return false;
    }
    file = file != NULL ? file : getenv("PENSTOCK_CONFIG");
    *out_from = (struct configuration){.file = file, .argc = argc, .argv = argv};
    if (configuration_read(out_from, out, &problem) != STATUS_OK) {
        *out_exit = command_fail(&problem);
        return false;
    }
    return true;
}

bool command_settings(int argc, char **argv, const char *usage, struct settings *out, int *out_exit)
{
    struct configuration ignored;
    return command_configuration(argc, argv, usage, &ignored, out, out_exit);
}

/*
 * What is in memory here (passwords, tokens, events) must not reach a core file. A limit of 0 keeps
 * it from a file, but not from a program that core_pattern names (core(5)); at 1 the kernel gives
 * both up (fs/coredump.c). Where a service manager has set 0 for good, that is what stays.
 */
static void forbid_core_files(void)
{
    struct rlimit limit = {1, 1};
    (void)setrlimit(RLIMIT_CORE, &limit);
}

/* A full disk must not look like the end of what there was to print. A reader that has left knows
 * what it did: it is not told. */
static int check_written(int exit_code)
{
    bool was_well = ferror(stdout) == 0;
    errno = 0;
    if (fflush(stdout) == 0 && was_well) {
        return exit_code;
    }
    if (errno != EPIPE) {
        fprintf(stderr, "penstock: cannot write%s%s\n", errno != 0 ? ": " : " all of the output",
                errno != 0 ? strerror(errno) : "");
    }
    return exit_code == 0 ? EXIT_FAILED : exit_code;
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    fprintf(stderr, "penstock: there is no command \"%s\"; `penstock --help` lists them\n", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    forbid_core_files();
    return check_written(run_command(argc, argv));
}
