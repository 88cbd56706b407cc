/*
 * dead_letter_list.c - `penstock dead-letter list` and `show`.
 *
 * What publishers sent may hold control characters that a terminal obeys. In tables and events they
 * are shown as '?'; JSON has its own escapes for them.
 */
#include "dead_letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_STREAM 16

struct listing {
    bool as_json;
    unsigned width; /* of the reason; 0: as long as it is */
    uint64_t count;
};

/* ---- text that is safe to show --------------------------------------------------------------- */

/* C0, DEL, and the first byte of C1 (U+0080 to U+009F are C2 80 to C2 9F). */
static bool is_control(const unsigned char *at)
{
    return *at < 0x20 || *at == 0x7F || (*at == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0);
}

/* Prints at most `width` characters (0: all), and says how many. Line breaks pass with `breaks`. */
static unsigned print_text(FILE *out, const char *text, unsigned width, bool breaks)
{
    unsigned count = 0;
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0' && (width == 0 || count < width)) {
        if (is_control(at) && !(breaks && *at == '\n')) {
            putc('?', out);
            at += *at == 0xC2 ? 2 : 1;
        } else {
            do {
                putc(*at++, out);
            } while ((*at & 0xC0) == 0x80); /* the rest of a character */
        }
        count++;
    }
    return count;
}

void letters_print(void *stdio_file, const char *text)
{
    print_text(stdio_file, text, 0, false);
}

/* ---- list ------------------------------------------------------------------------------------ */

/* What a terminal has room for behind the other columns. */
static unsigned reason_width(void)
{
    const unsigned others = 8 + 1 + 19 + 1 + WIDTH_STREAM + 1 + 5 + 1 + 8 + 1;
    struct winsize size = {0};
    if (isatty(STDOUT_FILENO) != 1) {
        return 0;
    }
    unsigned columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
    columns = columns == 0 ? 80 : columns;
    return columns > others + 20 ? columns - others : 20;
}

static void print_row(struct listing *listing, const struct dead_letter *letter)
{
    printf("%8lld %.19s ", (long long)letter->id, letter->at);
    unsigned shown = print_text(stdout, letter->stream, 0, false);
    printf("%*s %5s %8s ", shown < WIDTH_STREAM ? (int)(WIDTH_STREAM - shown) : 0, "",
           letter->sqlstate, letter->attempts);
    print_text(stdout, letter->message, listing->width, false);
    putchar('\n');
}

static void on_listed(void *owner, const struct dead_letter *letter)
{
    struct listing *listing = owner;
    if (listing->as_json) {
        puts(letter->json);
    } else {
        if (listing->count == 0) {
            printf("%8s %-19s %-*s %5s %8s %s\n", "ID", "TIME (UTC)", WIDTH_STREAM, "STREAM",
                   "STATE", "ATTEMPTS", "REASON");
        }
        print_row(listing, letter);
    }
    listing->count++;
}

/* How many there are besides those that were listed. */
static enum status tell_rest(struct store *store, const struct letter_options *options,
                             struct problem *problem)
{
    uint64_t count;
    int64_t newest;
    enum status status = store_count_letters(store, &options->filter, &count, &newest, problem);
    if (status == STATUS_OK && count > options->limit) {
        fprintf(stderr, "penstock: %llu of %llu dead letters; --limit shows more\n",
                (unsigned long long)options->limit, (unsigned long long)count);
    }
    return status;
}

int letters_list(struct store *store, const struct letter_options *options)
{
    struct listing listing = {.as_json = options->json, .width = reason_width()};
    struct problem problem;
    problem_clear(&problem);
    enum status status =
        store_list_letters(store, &options->filter, options->json ? LETTER_AS_JSON : LETTER_BRIEF,
                           options->limit, on_listed, &listing, &problem);
    if (status == STATUS_OK && listing.count == options->limit) {
        status = tell_rest(store, options, &problem);
    }
    if (status != STATUS_OK) {
        return command_fail(&problem);
    }
    if (listing.count == 0 && !options->json) {
        puts("no dead letters");
    }
    return 0;
}

/* ---- show ------------------------------------------------------------------------------------ */

static void print_field(const char *name, const char *value)
{
    if (value[0] != '\0') {
        printf("%-11s ", name);
        print_text(stdout, value, 0, false);
        putchar('\n');
    }
}

static void print_letter(const struct dead_letter *letter)
{
    printf("%-11s %lld\n", "id", (long long)letter->id);
    print_field("refused", letter->at);
    print_field("arrived", letter->arrived);
    print_field("stream", letter->stream);
    print_field("table", letter->target);
    print_field("channels", letter->channels);
    print_field("sqlstate", letter->sqlstate);
    print_field("constraint", letter->constraint);
    print_field("column", letter->column);
    print_field("reason", letter->message);
    print_field("attempts", letter->attempts);
    print_field("producer", letter->producer);
    print_field("node", letter->node);
    if (letter->raw_bytes[0] != '\0') {
        printf("%-11s none could be made: %s bytes of the row are kept, --json shows them\n",
               "event", letter->raw_bytes);
        return;
    }
    printf("%-11s ", "event");
    print_text(stdout, letter->event, 0, true);
    putchar('\n');
}

static void on_shown(void *owner, const struct dead_letter *letter)
{
    struct listing *listing = owner;
    listing->count++;
    if (listing->as_json) {
        puts(letter->json);
    } else {
        print_letter(letter);
    }
}

int letters_show(struct store *store, const struct letter_options *options)
{
    int64_t id = options->ids[0];
    struct listing listing = {.as_json = options->json};
    struct letter_filter one = {.behind = id - 1, .up_to = id};
    struct problem problem;
    problem_clear(&problem);
    if (store_list_letters(store, &one, options->json ? LETTER_AS_JSON : LETTER_WITH_EVENT, 1,
                           on_shown, &listing, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    if (listing.count == 0) {
        fprintf(stderr, "penstock: there is no dead letter %lld\n", (long long)id);
        return EXIT_FAILED;
    }
    return 0;
}
