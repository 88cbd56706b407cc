/*
 * dev.h - what the files of this folder share. See include/penstock/dev.h for the whole.
 */
#ifndef PENSTOCK_DEV_FOLDER_H
#define PENSTOCK_DEV_FOLDER_H

#include "penstock/dev.h"

#include <limits.h>
#include <sys/types.h>

/* ---- owner.c: as whom PostgreSQL runs, and its processes --------------------------------------
 */

struct owner {
    bool is_other; /* we are root, and PostgreSQL runs as `uid` */
    uid_t uid;
    gid_t gid;
};
enum status owner_find(struct owner *out, struct problem *problem) must_use;

struct process {
    pid_t pid;  /* 0: has ended, or never was */
    int status; /* from waitpid(2), once it has ended */
};
/*
 * Starts program `argv[0]` as `owner`, in a session of its own, with standard output and error in
 * the file `log` (emptied first). The child gets SIGINT when this thread ends. `variable`
 * ("NAME=value", or NULL) is added to its environment, which unlike its arguments is not for
 * everybody to read.
 */
enum status process_start(const struct owner *owner, const char *const argv[], const char *variable,
                          const char *log, struct process *out, struct problem *problem) must_use;
bool process_has_ended(struct process *process);
/* Waits at most so long; false when it still runs. */
bool process_wait(struct process *process, int64_t timeout_us);
/* Did a started and ended program exit with 0? */
bool process_succeeded(const struct process *process);
void sleep_us(int64_t us);

/* ---- programs.c: which PostgreSQL -------------------------------------------------------------
 */

struct programs {
    char folder[PATH_MAX];
    int version; /* major */
};
/* The newest installed one, or with `wanted` other than 0 the one of that major version. */
enum status programs_find(int wanted, struct programs *out, struct problem *problem) must_use;

/* ---- folder.c: the place on disk --------------------------------------------------------------
 */

struct folder {
    char path[PATH_MAX]; /* absolute, no links */
    int lock;            /* held as long as we run; -1: not held */
};
/* Makes the folder if need be, checks that it is ours to use, and locks it. */
enum status dev_folder_open(const char *path, const struct owner *owner, struct folder *out,
                            struct problem *problem) must_use;
void dev_folder_close(struct folder *folder); /* accepts the half-opened */
/* "<folder>/<name>" into `out`. BAD_CONFIG when it is too long. */
enum status folder_file(const struct folder *folder, const char *name, char out[PATH_MAX],
                        struct problem *problem) must_use;

/* ---- cluster.c: the data in the folder --------------------------------------------------------
 */

/* The major version of the data, 0 when there is none yet. */
enum status cluster_version(const struct folder *folder, int *out,
                            struct problem *problem) must_use;
/* Runs initdb. The data appears whole or not at all; `is_throwaway`: it need not survive a power
 * cut. */
enum status cluster_create(const struct folder *folder, const struct owner *owner,
                           const struct programs *programs, bool is_throwaway,
                           struct problem *problem) must_use;
/* Stops the server of a run that was killed, if one is left. */
enum status cluster_stop_leftover(const struct folder *folder, struct problem *problem) must_use;
/* Does the running server `pid` take connections? */
bool cluster_is_ready(const struct folder *folder, pid_t pid);
/* Fails with the reason that stands in a log: the last line with FATAL, PANIC or error. */
enum status cluster_blame_log(const struct folder *folder, const char *log, const char *what,
                              struct problem *problem) must_use;

/* Removes a folder with all that is in it. */
void remove_tree(const char *path);

/* ---- private_postgres.c ---------------------------------------------------------------------- */

struct postgres_kind {
    int version;       /* major; 0: that of the data, or the newest */
    bool is_throwaway; /* its data need not survive anything */
};
enum status private_postgres_start_kind(const char *folder, const struct postgres_kind *kind,
                                        struct private_postgres **out,
                                        struct problem *problem) must_use;

/* ---- keeper.c: who removes a folder when we cannot any more ------------------------------------
 */

struct keeper {
    pid_t pid; /* 0: none */
    int pipe;  /* it waits for this to be closed, by us or by our death */
};
/* Starts a process that stops a PostgreSQL that is left in the folder, and removes the folder, as
 * soon as we are gone or keeper_dismiss() is called. */
enum status keeper_start(const char *folder, struct keeper *out, struct problem *problem) must_use;
void keeper_dismiss(struct keeper *keeper); /* waits until the folder is gone; accepts none */

#endif
