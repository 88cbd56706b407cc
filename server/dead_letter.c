/*
 * dead_letter.c - `penstock dead-letter`: what the database refused, for the operator.
 *
 * 1. The first argument is the action. Of the others, the action's own flags and the ids are taken
 *    out; what is left are settings, as for every command (--config, --database-url …).
 * 2. One connection, the schema checked, and the action runs.
 *
 * Publishers write the events and, through error messages, part of the reasons. They are shown to
 * whoever asks for them here, and logged nowhere.
 */
#include "dead_letter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TAKES_IDS = 1,
    TAKES_FILTER = 2, /* --stream, --sqlstate */
    TAKES_ALL = 4,
    TAKES_LIMIT = 8,
    TAKES_JSON = 16,
    TAKES_YES = 32,
    NEEDS_CHOICE = 64, /* ids, a filter or --all, and not two of them */
    NEEDS_ID = 128,    /* exactly one */
};

struct action {
    const char *name;
    unsigned takes;
    int (*run)(struct store *store, const struct letter_options *options);
};

static const struct action actions[] = {
    {"list", TAKES_FILTER | TAKES_LIMIT | TAKES_JSON, letters_list},
    {"show", TAKES_IDS | TAKES_JSON | NEEDS_ID, letters_show},
    {"retry", TAKES_IDS | TAKES_FILTER | TAKES_ALL | NEEDS_CHOICE, letters_retry},
    {"drop", TAKES_IDS | TAKES_FILTER | TAKES_ALL | TAKES_YES | NEEDS_CHOICE, letters_drop},
};

static const char HELP[] =
    "usage: penstock dead-letter ACTION [ID…] [OPTION…]\n"
    "\n"
    "Events that only the database could refuse lie in penstock.dead_letter, with the reason. "
    "Mend\n"
    "the cause, then retry them: they go into their tables, get their offsets and are pushed.\n"
    "\n"
    "  list                 the newest first: id, time, stream, SQLSTATE, attempts, reason\n"
    "  show ID              everything about one, and its event\n"
    "  retry ID… | --all    puts them into their tables again, each in its own transaction\n"
    "  drop ID… | --all     deletes them for good\n"
    "\n"
    "  --stream NAME        only those of this stream (list, retry, drop)\n"
    "  --sqlstate CODE      only those refused with this SQLSTATE, 23503 say (list, retry, drop)\n"
    "  --all                all of them (retry, drop)\n"
    "  --limit N            at most N (list; default 50)\n"
    "  --json               one JSON object a line, the event included (list, show)\n"
    "  --yes                does not ask (drop)\n"
    "\n"
    "  --config FILE, --database-url URL and every other setting: see penstock check --help.\n"
    "\n"
    "Exit codes: 0 done; 1 some were refused again or are not there, or the database could not be\n"
    "asked; 2 wrong usage.\n";

static bool misuse(const struct action *action, const char *format, ...) printf_like(2, 3);

static bool misuse(const struct action *action, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "penstock: dead-letter %s: ", action->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; `penstock dead-letter --help` tells more\n", stderr);
    return false;
}

/* ---- arguments ------------------------------------------------------------------------------- */

enum flag { FLAG_STREAM, FLAG_SQLSTATE, FLAG_LIMIT, FLAG_ALL, FLAG_JSON, FLAG_YES, FLAG_COUNT };

static const struct {
    const char *name;
    unsigned takes;
    bool has_value;
} flags[FLAG_COUNT] = {
    [FLAG_STREAM] = {"--stream", TAKES_FILTER, true},
    [FLAG_SQLSTATE] = {"--sqlstate", TAKES_FILTER, true},
    [FLAG_LIMIT] = {"--limit", TAKES_LIMIT, true},
    [FLAG_ALL] = {"--all", TAKES_ALL, false},
    [FLAG_JSON] = {"--json", TAKES_JSON, false},
    [FLAG_YES] = {"--yes", TAKES_YES, false},
};

static bool read_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= 1 &&
           *out <= most;
}

static bool read_sqlstate(const char *text)
{
    bool fits = strlen(text) == 5;
    for (const char *at = text; fits && *at != '\0'; at++) {
        fits = (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z');
    }
    return fits;
}

static bool read_value(const struct action *action, enum flag flag, const char *text,
                       struct letter_options *out)
{
    switch (flag) {
    case FLAG_STREAM:
        out->filter.stream = text;
        return true;
    case FLAG_SQLSTATE:
        out->filter.sqlstate = text;
        return read_sqlstate(text) ||
               misuse(action, "--sqlstate takes five digits and capital letters, 23503 say");
    case FLAG_LIMIT:
        return read_number(text, UINT32_MAX, &out->limit) ||
               misuse(action, "--limit takes a whole number from 1");
    case FLAG_ALL:
        out->all = true;
        return true;
    case FLAG_JSON:
        out->json = true;
        return true;
    case FLAG_YES:
        out->yes = true;
        return true;
    default:
        return false;
    }
}

/* Which of our flags the argument is, alone or as --name=value. */
static enum flag find_flag(const char *argument)
{
    size_t size = strcspn(argument, "=");
    for (enum flag flag = 0; flag < FLAG_COUNT; flag++) {
        if (strlen(flags[flag].name) == size && strncmp(argument, flags[flag].name, size) == 0) {
            return flag;
        }
    }
    return FLAG_COUNT;
}

/* Reads the flag argv[*at], and moves on to its value where that stands alone. */
static bool take_flag(const struct action *action, enum flag flag, int argc, char **argv, int *at,
                      struct letter_options *out)
{
    const char *equals = strchr(argv[*at], '=');
    const char *text = equals == NULL ? NULL : equals + 1;
    if ((action->takes & flags[flag].takes) == 0) {
        return misuse(action, "it does not take %s", flags[flag].name);
    }
    if (flags[flag].has_value && text == NULL && *at + 1 < argc) {
        text = argv[++*at];
    }
    if (flags[flag].has_value != (text != NULL)) {
        return misuse(action, "%s %s", flags[flag].name,
                      text == NULL ? "needs a value" : "takes no value");
    }
    return read_value(action, flag, text, out);
}

static bool take_id(const struct action *action, const char *text, struct letter_options *out)
{
    uint64_t id;
    if ((action->takes & TAKES_IDS) == 0) {
        return misuse(action, "it takes no ids, and got \"%.40s\"", text);
    }
    if (!read_number(text, INT64_MAX, &id)) {
        return misuse(action, "\"%.40s\" is no id: give a number that `list` shows", text);
    }
    out->ids[out->id_count++] = (int64_t)id;
    return true;
}

/* A setting: it stays, with its value. */
static void keep_setting(int argc, char **argv, int *at, int *kept)
{
    argv[(*kept)++] = argv[*at];
    if (strchr(argv[*at], '=') == NULL && *at + 1 < argc && argv[*at + 1][0] != '-') {
        argv[(*kept)++] = argv[++*at];
    }
}

/* Takes what is the action's own out of the arguments. */
static bool read_arguments(const struct action *action, int *argc, char **argv,
                           struct letter_options *out)
{
    int kept = 0;
    for (int at = 0; at < *argc; at++) {
        bool fits = true;
        enum flag flag = find_flag(argv[at]);
        if (flag != FLAG_COUNT) {
            fits = take_flag(action, flag, *argc, argv, &at, out);
        } else if (argv[at][0] == '-') {
            keep_setting(*argc, argv, &at, &kept);
        } else {
            fits = take_id(action, argv[at], out);
        }
        if (!fits) {
            return false;
        }
    }
    *argc = kept;
    return true;
}

static bool agree(const struct action *action, const struct letter_options *options)
{
    bool filtered = options->filter.stream != NULL || options->filter.sqlstate != NULL;
    int choices = (options->id_count > 0) + filtered + options->all;
    if ((action->takes & NEEDS_ID) != 0 && options->id_count != 1) {
        return misuse(action, "give one id");
    }
    if ((action->takes & NEEDS_CHOICE) != 0 && choices != 1) {
        return misuse(action, "%s",
                      choices == 0 ? "say which: ids, --stream, --sqlstate or --all"
                                   : "give ids, or --stream and --sqlstate, or --all");
    }
    return true;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_action(const struct action *action, const struct settings *settings,
                      const struct letter_options *letter_options)
{
    struct store *store = NULL;
    struct problem problem;
    problem_clear(&problem);
    struct store_options options = {
        .url = settings->database_url,
        .role = "dead-letter",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = store_open(&options, &store, &problem);
    if (status == STATUS_OK) {
        status = store_check_schema(store, &problem);
    }
    int exit_code =
        status == STATUS_OK ? action->run(store, letter_options) : command_fail(&problem);
    store_close(store);
    return exit_code;
}

static const struct action *find_action(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "";
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            return &actions[i];
        }
    }
    fprintf(stderr,
            "penstock: dead-letter: say list, show, retry or drop%s%s%s; `penstock "
            "dead-letter --help` tells more\n",
            argc > 0 ? ", not \"" : "", name, argc > 0 ? "\"" : "");
    return NULL;
}

static int run_command(const struct action *action, int argc, char **argv,
                       struct letter_options *options)
{
    struct settings settings;
    int exit_code = EXIT_USAGE;
    if (!read_arguments(action, &argc, argv, options) || !agree(action, options)) {
        return EXIT_USAGE;
    }
    if (!command_settings(argc, argv, "penstock dead-letter", &settings, &exit_code)) {
        return exit_code;
    }
    exit_code = run_action(action, &settings, options);
    settings_fini(&settings);
    return exit_code;
}

int dead_letter_command(int argc, char **argv)
{
    struct letter_options options = {.limit = LETTERS_LISTED};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(HELP, stdout);
            return 0;
        }
    }
    const struct action *action = find_action(argc, argv);
    if (action == NULL) {
        return EXIT_USAGE;
    }
    options.ids = calloc((size_t)argc, sizeof *options.ids);
    if (options.ids == NULL) {
        fprintf(stderr, "penstock: no memory for the arguments\n");
        return EXIT_FAILED;
    }
    int exit_code = run_command(action, argc - 1, argv + 1, &options);
    free(options.ids);
    return exit_code;
}
