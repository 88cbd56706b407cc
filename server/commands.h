/*
 * commands.h - the commands of the binary. Each takes the arguments behind its name and returns the
 * process's exit code: 0 done, 1 it failed, 2 wrong usage or configuration.
 */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

#include "reload.h"

#include "penstock/config.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  2

int serve_command(int argc, char **argv);
int dev_command(int argc, char **argv);
int check_command(int argc, char **argv);
int audit_command(int argc, char **argv);
int migrate_command(int argc, char **argv);
int token_command(int argc, char **argv);
int dead_letter_command(int argc, char **argv);
int reference_command(int argc, char **argv);

/* Loads settings from --config FILE, environment and flags. Returns false after it has said why, or
 * shown --help; `*out_exit` is then the exit code. `usage` is the first line of --help. */
bool command_settings(int argc, char **argv, const char *usage, struct settings *out,
                      int *out_exit);
/* The same, and where they are from: for who reads them again later. */
bool command_configuration(int argc, char **argv, const char *usage, struct configuration *out_from,
                           struct settings *out, int *out_exit);
/* Prints "penstock: <reason>" to standard error. Returns the exit code that fits. */
int command_fail(const struct problem *problem);

/* serve.c: runs a server until a signal ends it. `is_alive` (may be NULL) is asked now and then. */
struct serve_options {
    const struct settings *settings;
    const struct configuration *from; /* of the settings; read again on SIGHUP */
    bool is_development;
    bool (*is_alive)(void *owner, struct problem *problem);
    void *owner;
};
int serve_run(const struct serve_options *options);
/* Blocks the signals that serve_run() waits for; before any thread or child process is made. */
void serve_block_signals(void);

#endif
