/*
 * dead_letter_settle.c - `penstock dead-letter retry` and `drop`.
 *
 * 1. What "all" or a stream means is fixed at the start: letters up to the newest id there is then.
 *    So both end, while the server goes on refusing events.
 * 2. retry takes a page of ids at a time, oldest first, and each letter in a transaction of its
 *    own: what was done stays done, however it ends.
 * 3. drop asks first, and deletes in bounded steps.
 *
 * How retrying fails: a letter that is refused again stays, and the next one has its turn. So it is
 * with other errors of the database, but when one follows another it is no letter's fault, and we
 * give up. Without a connection it is not known what became of the last letter; the next retry
 * finds out, because a row that is there already counts as done.
 */
#include "dead_letter.h"

#include <stdio.h>
#include <unistd.h>

#define PAGE_IDS      500
#define DROP_STEP     1000
#define TOLD_MAX      20 /* refusals that are told one by one */
#define ERRORS_IN_ROW 5

#define TERMINAL_US INT64_C(200000)
#define LOG_US      INT64_C(5000000)
#define CLEAR_LINE  "\r\033[K"

struct retrying {
    struct store *store;
    uint64_t total, counts[RETRY_OUTCOMES], errors, told;
    unsigned errors_in_row;
    bool is_over;     /* there is no use in going on */
    bool is_named;    /* by ids: one that is missing is a mistake */
    bool is_terminal; /* progress on one line */
    bool is_shown;    /* that line is there */
    int64_t shown_us;
};

/* ---- what is said ---------------------------------------------------------------------------- */

static uint64_t done_of(const struct retrying *retrying)
{
    uint64_t done = retrying->errors;
    for (int i = 0; i < RETRY_OUTCOMES; i++) {
        done += retrying->counts[i];
    }
    return done;
}

static void clear_line(struct retrying *retrying)
{
    if (retrying->is_shown) {
        fputs(CLEAR_LINE, stderr);
        retrying->is_shown = false;
    }
}

static void show_progress(struct retrying *retrying)
{
    int64_t now_us = clock_monotonic_us();
    if (now_us - retrying->shown_us < (retrying->is_terminal ? TERMINAL_US : LOG_US)) {
        return;
    }
    clear_line(retrying);
    fprintf(stderr, "%llu of %llu dead letters%s", (unsigned long long)done_of(retrying),
            (unsigned long long)retrying->total, retrying->is_terminal ? "" : "\n");
    fflush(stderr);
    retrying->is_shown = retrying->is_terminal;
    retrying->shown_us = now_us;
}

/* True when this one is to be told, too. */
static bool may_tell(struct retrying *retrying)
{
    clear_line(retrying);
    if (retrying->told == TOLD_MAX) {
        fputs("penstock: there are more; `penstock dead-letter list` has them all\n", stderr);
    }
    return retrying->told++ < TOLD_MAX;
}

static void tell_reason(void *owner, const struct dead_letter *letter)
{
    (void)owner;
    fprintf(stderr, "penstock: dead letter %lld was refused again: %s ", (long long)letter->id,
            letter->sqlstate);
    letters_print(stderr, letter->message);
    fputc('\n', stderr);
}

static void tell_refused(struct retrying *retrying, int64_t id)
{
    struct letter_filter one = {.behind = id - 1, .up_to = id};
    struct problem problem;
    problem_clear(&problem);
    if (may_tell(retrying) && store_list_letters(retrying->store, &one, LETTER_BRIEF, 1,
                                                 tell_reason, NULL, &problem) != STATUS_OK) {
        fprintf(stderr, "penstock: dead letter %lld was refused again: %s\n", (long long)id,
                problem.text);
    }
}

static void tell(struct retrying *retrying, int64_t id, const char *what)
{
    if (may_tell(retrying)) {
        fprintf(stderr, "penstock: dead letter %lld %s\n", (long long)id, what);
    }
}

static int sum_up(struct retrying *retrying)
{
    const uint64_t *counts = retrying->counts;
    uint64_t refused = counts[RETRY_REFUSED] + counts[RETRY_UNREADABLE];
    clear_line(retrying);
    printf("penstock: %llu stored, %llu stored before, %llu refused again",
           (unsigned long long)counts[RETRY_STORED], (unsigned long long)counts[RETRY_DUPLICATE],
           (unsigned long long)refused);
    if (counts[RETRY_MISSING] > 0) {
        printf(", %llu not there", (unsigned long long)counts[RETRY_MISSING]);
    }
    if (retrying->errors > 0) {
        printf(", %llu errors", (unsigned long long)retrying->errors);
    }
    putchar('\n');
    bool failed = refused > 0 || retrying->errors > 0 || retrying->is_over ||
                  (retrying->is_named && counts[RETRY_MISSING] > 0);
    return failed ? EXIT_FAILED : 0;
}

/* ---- retry ----------------------------------------------------------------------------------- */

static void take_error(struct retrying *retrying, int64_t id, const struct problem *problem)
{
    clear_line(retrying);
    fprintf(stderr, "penstock: dead letter %lld: %s\n", (long long)id, problem->text);
    retrying->errors++;
    retrying->is_over =
        problem->status == STATUS_UNAVAILABLE || ++retrying->errors_in_row == ERRORS_IN_ROW;
}

static void retry_one(struct retrying *retrying, int64_t id)
{
    enum retry_outcome outcome;
    struct problem problem;
    problem_clear(&problem);
    if (store_retry_letter(retrying->store, id, &outcome, &problem) != STATUS_OK) {
        take_error(retrying, id, &problem);
        return;
    }
    retrying->errors_in_row = 0;
    retrying->counts[outcome]++;
    if (outcome == RETRY_REFUSED) {
        tell_refused(retrying, id);
    } else if (outcome == RETRY_UNREADABLE) {
        tell(retrying, id, "has no event, only the row's bytes: give it one by SQL, then retry");
    } else if (outcome == RETRY_MISSING && retrying->is_named) {
        tell(retrying, id, "is not there");
    }
    show_progress(retrying);
}

static enum status retry_filtered(struct retrying *retrying, struct letter_filter filter,
                                  struct problem *problem)
{
    int64_t ids[PAGE_IDS];
    size_t count = PAGE_IDS;
    enum status status =
        store_count_letters(retrying->store, &filter, &retrying->total, &filter.up_to, problem);
    if (status != STATUS_OK || retrying->total == 0) {
        return status;
    }
    while (count == PAGE_IDS && !retrying->is_over) {
        status = store_letter_ids(retrying->store, &filter, ids, PAGE_IDS, &count, problem);
        if (status != STATUS_OK) {
            return status;
        }
        for (size_t i = 0; i < count && !retrying->is_over; i++) {
            filter.behind = ids[i];
            retry_one(retrying, ids[i]);
        }
    }
    return STATUS_OK;
}

int letters_retry(struct store *store, const struct letter_options *options)
{
    struct retrying retrying = {
        .store = store,
        .total = options->id_count,
        .is_named = options->id_count > 0,
        .is_terminal = isatty(STDERR_FILENO) == 1,
        .shown_us = clock_monotonic_us(),
    };
    struct problem problem;
    problem_clear(&problem);
    if (retrying.is_named) {
        for (size_t i = 0; i < options->id_count && !retrying.is_over; i++) {
            retry_one(&retrying, options->ids[i]);
        }
    } else if (retry_filtered(&retrying, options->filter, &problem) != STATUS_OK) {
        clear_line(&retrying);
        retrying.is_over = true;
        command_fail(&problem);
    }
    return sum_up(&retrying);
}

/* ---- drop ------------------------------------------------------------------------------------ */

/* Asks on the terminal; without one, only --yes will do. */
static bool is_meant(const struct letter_options *options, uint64_t count)
{
    char answer[8] = "";
    if (options->yes) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1) {
        fprintf(stderr,
                "penstock: dead-letter drop would delete %llu dead letters for good, and there is "
                "nobody to ask: add --yes\n",
                (unsigned long long)count);
        return false;
    }
    fprintf(stderr, "Delete %llu dead letter%s for good? [y/N] ", (unsigned long long)count,
            count == 1 ? "" : "s");
    bool is_yes = fgets(answer, sizeof answer, stdin) != NULL &&
                  (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
    if (!is_yes) {
        fputs("penstock: nothing was dropped\n", stderr);
    }
    return is_yes;
}

static enum status drop_filtered(struct store *store, const struct letter_filter *filter,
                                 uint64_t *out_count, struct problem *problem)
{
    uint64_t count = DROP_STEP;
    while (count == DROP_STEP) {
        enum status status = store_drop_letters(store, filter, DROP_STEP, &count, problem);
        if (status != STATUS_OK) {
            return status;
        }
        *out_count += count;
    }
    return STATUS_OK;
}

static int drop_named(struct store *store, const struct letter_options *options)
{
    uint64_t dropped = 0;
    struct problem problem;
    problem_clear(&problem);
    if (!is_meant(options, options->id_count)) {
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < options->id_count; i++) {
        uint64_t before = dropped;
        struct letter_filter one = {.behind = options->ids[i] - 1, .up_to = options->ids[i]};
        if (drop_filtered(store, &one, &dropped, &problem) != STATUS_OK) {
            return command_fail(&problem);
        }
        if (dropped == before) {
            fprintf(stderr, "penstock: there is no dead letter %lld\n", (long long)one.up_to);
        }
    }
    printf("penstock: %llu dropped\n", (unsigned long long)dropped);
    return dropped == options->id_count ? 0 : EXIT_FAILED;
}

int letters_drop(struct store *store, const struct letter_options *options)
{
    uint64_t count = 0, dropped = 0;
    struct letter_filter filter = options->filter;
    struct problem problem;
    problem_clear(&problem);
    if (options->id_count > 0) {
        return drop_named(store, options);
    }
    enum status status = store_count_letters(store, &filter, &count, &filter.up_to, &problem);
    if (status == STATUS_OK && count > 0) {
        if (!is_meant(options, count)) {
            return EXIT_FAILED;
        }
        status = drop_filtered(store, &filter, &dropped, &problem);
    }
    if (status != STATUS_OK) {
        return command_fail(&problem);
    }
    printf("penstock: %llu dropped\n", (unsigned long long)dropped);
    return 0;
}
