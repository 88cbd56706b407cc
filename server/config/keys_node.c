/*
 * keys_node.c - this server itself: its folder, threads and memory, its pages and its log.
 */
#include "keys.h"

#include "penstock/node.h"

static const struct key rows[] = {
    {.group = "Journal and memory",
     .name = "data_dir",
     .type = KEY_TEXT,
     .unit = "FOLDER",
     .value = "./penstock-data",
     .least = 1,
     .most = 3000,
     .help = "The journal and the node's name live here. Made when missing; one process at a time.",
     AT(data_dir)},
    {.name = "node",
     .type = KEY_TEXT,
     .unit = "NAME",
     .value = "",
     .most = NODE_NAME_BYTES_MAX,
     .help = "This server's name among those on one database: letters, digits, '.', '-' and '_'. "
             "Empty: drawn at the first start and kept in data_dir.",
     AT(node)},
    {.name = "lanes",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "2",
     .least = 1,
     .most = LANES_MAX,
     .help = "Lanes, each with a thread, a journal and a connection to PostgreSQL.",
     AT(lanes)},
    {.name = "loop",
     .type = KEY_CHOICE,
     .unit = "ENGINE",
     .value = "auto",
     .choices = {"auto", "uring", "epoll"},
     .help = "How lanes wait and write: io_uring, or epoll and a thread that writes. auto takes "
             "io_uring where the kernel grants it.",
     AT(loop)},
    {.name = "ring_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "8MB",
     .least = RECORD_BYTES_MAX,
     .most = 1 * GB,
     .help = "Memory between each edge thread and each lane; rounded up to a power of two.",
     AT(ring_bytes)},
    {.name = "lane_memory_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "32MB",
     .least = 2 * RECORD_BYTES_MAX,
     .most = 16 * GB,
     .is_power_of_two = true,
     .help =
         "Memory of each lane for what PostgreSQL has not committed yet. More than that waits on "
         "disk.",
     AT(lane_memory_bytes)},
    {.name = "journal_segment_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "64MB",
     .least = 2 * RECORD_BYTES_MAX,
     .most = 1 * GB,
     .multiple_of = 4096,
     .help = "The size of one file of the journal.",
     AT(journal_segment_bytes)},
    {.name = "journal_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "1GB",
     .least = 4 * RECORD_BYTES_MAX,
     .most = 4 * TB,
     .help = "Disk for each lane's journal: how much may wait while PostgreSQL is away. Past it, "
             "publishers are told to come back later.",
     AT(journal_bytes)},
    {.name = "salvage",
     .type = KEY_SWITCH,
     .unit = "BOOL",
     .value = "false",
     .help =
         "Starts with a damaged journal: keeps what is whole of it, and logs what is not. Without "
         "it, damage stops the start.",
     AT(salvage)},
    {.name = "window_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "64MB",
     .least = 1 * MB,
     .most = 64 * GB,
     .help = "Memory for recent events, from which subscribers are served.",
     AT(window_bytes)},
    {.name = "history_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "32MB",
     .least = 2 * MB,
     .most = 16 * GB,
     .help = "Memory for events read back from the log, for subscribers that are further behind "
             "than window_bytes reach.",
     AT(history_bytes)},

    {.group = "For operators",
     .name = "accounts",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "1000",
     .least = 8,
     .most = 5000,
     .help = "Publishers of whom each lane keeps an account of their own: those heard of last. All "
             "others are summed up.",
     AT(accounts)},
    {.name = "operator_pages",
     .is_live = true,
     .type = KEY_SWITCH,
     .unit = "BOOL",
     .value = "false",
     .help = "Answers GET /v1/publishers (who publishes how much), /v1/refusals (what was refused "
             "last, without contents) and /v1/channels (which channels hear most) to everybody who "
             "reaches the server. Where clients need tokens they are always answered, to operators "
             "only (auth_operator_claim, metrics_token_file); `penstock dev` answers them always.",
     AT(operator_pages)},

    {.group = "Log",
     .name = "log_format",
     .is_live = true,
     .type = KEY_CHOICE,
     .unit = "FORMAT",
     .value = "logfmt",
     .choices = {"logfmt", "json"},
     .help = "One line an event worth knowing, to standard error.",
     AT(log_format)},
    {.name = "log_level",
     .is_live = true,
     .type = KEY_TEXT,
     .unit = "LEVELS",
     .value = "info",
     .most = 400,
     .help =
         "The least that is logged: debug, info, warn or error; and behind it areas with a level "
         "of "
         "their own, as in \"info,session=debug\", which shows who connects and leaves. A line's "
         "`area` is its name.",
     AT(log_level)},
};

const struct key_area keys_node = {rows, sizeof rows / sizeof rows[0]};
