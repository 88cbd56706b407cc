/* recover.h - what recover.c (the folder) and recover_segment.c (one file) share. */
#ifndef JOURNAL_RECOVER_H
#define JOURNAL_RECOVER_H

#include "journal_private.h"

enum file_kind {
    FILE_LIVE,   /* the header is whole and names this number */
    FILE_UNUSED, /* no header, or that of a former life: fine above all live ones */
    FILE_BROKEN, /* neither */
};

struct file {
    uint64_t number, bytes;
    enum file_kind kind;
    struct segment_header header; /* of LIVE ones */
    struct segment segment;       /* what the walk found */
};

struct recovery {
    struct journal *journal;
    struct window *window; /* the journal's own, before anybody reads */
    struct file *files;    /* owns; ascending */
    size_t count;
    uint64_t kept_from;                     /* from the newest page: what is below is not needed */
    uint64_t marked;                        /* the frame that a mark vouches for */
    uint64_t newest_kept_from, newest_mark; /* of the segment being walked */
};

/* Damage: BAD_JOURNAL with the reason, or, with `salvage`, a line in the log and OK. */
enum status recovery_damage(struct recovery *recovery, uint64_t number, uint64_t offset,
                            struct problem *problem, const char *what) must_use;

/* Whether a file above the live ones holds a frame after all: then its header was lost, which is
 * damage. */
enum status recovery_find_any(struct recovery *recovery, const struct file *file, bool *out,
                              struct problem *problem) must_use;

/* Reads all frames of a file into file->segment, and the schemas on the way. It must end with
 * `expected_last` (UINT64_MAX: unknown). The last segment's torn tail is cut. */
enum status recovery_walk(struct recovery *recovery, struct file *file, bool is_last,
                          uint64_t expected_last, struct problem *problem) must_use;

#endif
