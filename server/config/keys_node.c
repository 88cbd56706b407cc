/*
 * keys_node.c - this server itself: its folder, threads and memory, its pages and its log.
 */
#include "keys.h"

#include "penstock/node.h"

static const struct key journal[] = {
    TEXT(data_dir, FIXED, "FOLDER", "./penstock-data", 3000,
         "The journal and the node's name live here. Made when missing; one process at a time.",
         .least = 1),
    TEXT(node, FIXED, "NAME", "", NODE_NAME_BYTES_MAX,
         "This server's name among those on one database: letters, digits, '.', '-' and '_'. "
         "Empty: drawn at the first start and kept in data_dir."),
    NUMBER(lanes, FIXED, "N", "2", 1, LANES_MAX,
           "Lanes, each with a thread, a journal and a connection to PostgreSQL."),
    CHOICE(loop, FIXED, "ENGINE", "auto",
           "How lanes wait and write: io_uring, or epoll and a thread that writes. auto takes "
           "io_uring where the kernel grants it.",
           .choices = {"auto", "uring", "epoll"}),
    SIZE(ring_bytes, FIXED, "8MB", RECORD_BYTES_MAX, 1 * GB,
         "Memory between each edge thread and each lane; rounded up to a power of two."),
    SIZE(lane_memory_bytes, FIXED, "32MB", 2 * RECORD_BYTES_MAX, 16 * GB,
         "Memory of each lane for what PostgreSQL has not committed yet. More than that waits on "
         "disk.",
         .is_power_of_two = true),
    SIZE(journal_segment_bytes, FIXED, "64MB", 2 * RECORD_BYTES_MAX, 1 * GB,
         "The size of one file of the journal.", .multiple_of = 4096),
    SIZE(journal_bytes, FIXED, "1GB", 4 * RECORD_BYTES_MAX, 4 * TB,
         "Disk for each lane's journal: how much may wait while PostgreSQL is away. Past it, "
         "publishers are told to come back later."),
    SWITCH(salvage, FIXED, "false",
           "Starts with a damaged journal: keeps what is whole of it, and logs what is not. "
           "Without it, damage stops the start."),
    SIZE(window_bytes, FIXED, "64MB", 1 * MB, 64 * GB,
         "Memory for recent events, from which subscribers are served."),
    SIZE(history_bytes, FIXED, "32MB", 2 * MB, 16 * GB,
         "Memory for events read back from the log, for subscribers that are further behind than "
         "window_bytes reach."),
};
const struct key_group keys_journal = {journal, sizeof journal / sizeof journal[0]};

static const struct key operators[] = {
    NUMBER(accounts, FIXED, "N", "1000", 8, 5000,
           "Publishers of whom each lane keeps an account of their own: those heard of last. All "
           "others are summed up."),
    SWITCH(operator_pages, LIVE, "false",
           "Answers GET /v1/publishers (who publishes how much), /v1/refusals (what was refused "
           "last, without contents) and /v1/channels (which channels hear most) to everybody who "
           "reaches the server. Where clients need tokens they are always answered, to operators "
           "only (auth_operator_claim, metrics_token_file); `penstock dev` answers them always."),
};
const struct key_group keys_operators = {operators, sizeof operators / sizeof operators[0]};

static const struct key logging[] = {
    CHOICE(log_format, LIVE, "FORMAT", "logfmt",
           "One line an event worth knowing, to standard error.", .choices = {"logfmt", "json"}),
    TEXT(log_level, LIVE, "LEVELS", "info", 400,
         "The least that is logged: debug, info, warn or error; and behind it areas with a level "
         "of their own, as in \"info,session=debug\", which shows who connects and leaves. A "
         "line's `area` is its name."),
};
const struct key_group keys_logging = {logging, sizeof logging / sizeof logging[0]};
