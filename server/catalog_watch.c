/*
 * catalog_watch.c - see catalog_watch.h.
 *
 * One turn of the thread:
 *   1. it sleeps until the next look is due (catalog_poll_ms), or until somebody asks for one: a
 *      lane whose rows were refused as if their table had been altered, or SIGHUP;
 *   2. one query tells whether any table is not what it was, and only such tables are read again
 *      (streams.c). A connection that was lost is made anew here: so the catalog is looked at after
 *      every outage, too;
 *   3. when something changed, or main has read another configuration, a new set is made. Lanes
 *      take it first, then edges; meanwhile the thread looks whether they have;
 *   4. nobody uses the former set any more: it is freed, and so are the settings that only it had.
 *
 * Between two looks it drops old batches from the log (retention.c), a slot at a time.
 *
 * How it fails: PostgreSQL is away, or slow - every wait has a deadline, the look is done again a
 * second later, and the stages work on with the set they have. It has a thread of its own because
 * those waits would keep main from its signals.
 */
#include "catalog_watch.h"
#include "reload.h"
#include "service.h"

#include "penstock/ring.h"
#include "retention.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#define LOOK_US_LEAST  (100 * 1000)  /* between two looks, whoever asks */
#define RETRY_US       (1000 * 1000) /* after a look that failed, or while a table is gone */
#define HANDOVER_US    (5 * 1000)    /* stages take a new set at their next turn */
#define TIMEOUT_MS_MAX 5000 /* of connecting and of a statement: how long a stop may take */

struct catalog_watch {
    const struct settings *settings; /* what the stages have: those of the start, or `loaded` */
    struct settings *loaded;         /* owns; NULL: those of the start still hold */
    struct settings *_Atomic read;   /* owns; main's, to be taken up; NULL: none */
    struct reload reload;            /* owns; goes with `next` */
    enum status (*take_files)(void *owner, struct problem *problem);
    void *files_owner;
    struct accounts *accounts; /* owns */
    struct streams *streams;   /* owns */
    struct stream_set *now;    /* owns; the stages use it, or the next */
    struct stream_set *next;   /* owns; being handed over; NULL: none is */
    struct pipeline *pipeline;
    struct store *store; /* owns; NULL: not connected */
    struct doorbell bell;
    bool has_bell, started;
    pthread_t thread;
    _Atomic bool asked, stopping;
    struct retention retention; /* the same connection, between two looks */
    int64_t looked_us;          /* when the last look ended */
    bool failed;                /* the last look did */
};

/* ---- a look ---------------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum status connect_store(struct catalog_watch *watch, struct problem *problem)
{
    const struct settings *settings = watch->settings;
    struct store_options options = {
        .url = settings->database_url,
        .role = "catalog",
        .connect_timeout_ms = least(settings->connect_timeout_ms, TIMEOUT_MS_MAX),
        .statement_timeout_ms = least(settings->statement_timeout_ms, TIMEOUT_MS_MAX),
    };
    return store_open(&options, &watch->store, problem);
}

/* Told once until it works again: the lanes tell more of an outage. */
static void note_outcome(struct catalog_watch *watch, const struct problem *problem)
{
    bool failed = problem->status != STATUS_OK;
    if (failed && !watch->failed) {
        log_warn("catalog", "cannot look whether tables were altered: %s; trying again",
                 problem->text);
    } else if (!failed && watch->failed) {
        log_info("catalog", "can look at the tables again");
    }
    watch->failed = failed;
}

static void look(struct catalog_watch *watch)
{
    struct problem problem;
    bool changed = false;
    problem_clear(&problem);
    atomic_store(&watch->asked, false); /* before looking: whoever asks from now on may see more */
    enum status status = watch->store == NULL ? connect_store(watch, &problem) : STATUS_OK;
    if (status == STATUS_OK) {
        status = streams_look(watch->streams, watch->store, &changed, &problem);
    }
    if (status == STATUS_OK && changed) {
        status = streams_make(watch->streams, &watch->next, &problem);
    }
    if (status != STATUS_OK) {
        store_close(watch->store);
        watch->store = NULL;
    }
    note_outcome(watch, &problem);
    watch->looked_us = clock_monotonic_us();
}

/* Old batches leave the log. */
static void retain(struct catalog_watch *watch)
{
    struct problem problem;
    problem_clear(&problem);
    enum status status = watch->store == NULL ? connect_store(watch, &problem) : STATUS_OK;
    if (status == STATUS_OK) {
        status = retention_run(&watch->retention, watch->store, &problem);
    }
    if (status != STATUS_OK) {
        store_close(watch->store);
        watch->store = NULL;
    }
    retention_note(&watch->retention, &problem);
}

/* ---- another configuration ------------------------------------------------------------------- */

static void drop_settings(struct settings *settings)
{
    settings_fini(settings);
    free(settings);
}

/* A set of the new streams, or of the same ones with the new settings. */
static enum status make_reloaded(struct catalog_watch *watch, struct problem *problem)
{
    if (watch->reload.streams != NULL) {
        return streams_make(watch->reload.streams, &watch->next, problem);
    }
    streams_follow(watch->streams, watch->reload.settings);
    enum status status = streams_make(watch->streams, &watch->next, problem);
    if (status != STATUS_OK) {
        streams_follow(watch->streams, watch->settings);
    }
    return status;
}

static void unmake_reloaded(struct catalog_watch *watch)
{
    streams_free(watch->next);
    watch->next = NULL;
    streams_follow(watch->streams, watch->settings);
}

static void refuse_reload(struct catalog_watch *watch, const struct problem *problem)
{
    log_error("config", "the configuration stays as it was, with keys and certificates: %s",
              problem->text);
    service_is_ready("serving; the last reload was refused, the log says why");
    reload_drop(&watch->reload);
}

static void begin_reload(struct catalog_watch *watch, struct settings *read)
{
    struct problem problem, away;
    bool has_news;
    problem_clear(&problem);
    problem_clear(&away);
    if (reload_streams_differ(watch->settings, read, watch->reload.streams_news,
                              sizeof watch->reload.streams_news)) {
        store_close(watch->store); /* it may have been lost since the last look */
        watch->store = NULL;
        if (connect_store(watch, &away) != STATUS_OK) {
            watch->store = NULL;
        }
    }
    enum status status = reload_prepare(&watch->reload, watch->settings, read, watch->accounts,
                                        watch->store, &away, &has_news, &problem);
    if (status == STATUS_OK && has_news) {
        status = make_reloaded(watch, &problem);
    }
    if (status == STATUS_OK && watch->take_files(watch->files_owner, &problem) != STATUS_OK) {
        status = problem.status;
        unmake_reloaded(watch);
    }
    if (status != STATUS_OK) {
        refuse_reload(watch, &problem);
    } else if (!has_news) {
        reload_log(&watch->reload);
        service_is_ready("serving");
        reload_drop(&watch->reload);
    }
}

/* All stages have the new set: what only the former one had is nobody's. */
static void end_reload(struct catalog_watch *watch)
{
    struct reload *reload = &watch->reload;
    drop_settings(watch->loaded);
    watch->loaded = reload->settings;
    watch->settings = reload->settings;
    if (reload->streams != NULL) {
        streams_close(watch->streams);
        watch->streams = reload->streams;
    }
    retention_follow(&watch->retention, watch->settings);
    log_open((enum log_format)watch->settings->log_format, LOG_INFO); /* the news are told … */
    reload_log(reload);
    settings_open_log(watch->settings); /* … whatever the level becomes */
    service_is_ready("serving");
    *reload = (struct reload){0};
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* From the last look to the next. */
static int64_t pause_us(const struct catalog_watch *watch)
{
    int64_t poll_us = (int64_t)watch->settings->catalog_poll_ms * 1000;
    if (watch->failed) {
        return RETRY_US;
    }
    if (atomic_load(&watch->asked)) {
        return LOOK_US_LEAST;
    }
    return poll_us > RETRY_US && streams_are_troubled(watch->streams) ? RETRY_US : poll_us;
}

static bool hand_over(struct catalog_watch *watch)
{
    if (!pipeline_hand_over(watch->pipeline, watch->next)) {
        return false;
    }
    streams_free(watch->now);
    watch->now = watch->next;
    watch->next = NULL;
    if (watch->reload.settings != NULL) {
        end_reload(watch);
    }
    return true;
}

/* Does what is due, and says how long nothing will be. */
static int64_t turn(struct catalog_watch *watch)
{
    if (watch->next != NULL && !hand_over(watch)) {
        return HANDOVER_US;
    }
    struct settings *read = atomic_exchange(&watch->read, NULL);
    if (read != NULL) {
        begin_reload(watch, read);
        return 0;
    }
    int64_t look_us = watch->looked_us + pause_us(watch), now_us = clock_monotonic_us();
    int64_t retain_us = watch->retention.due_us;
    if (now_us < look_us && now_us < retain_us) {
        return (look_us < retain_us ? look_us : retain_us) - now_us;
    }
    if (now_us >= look_us) {
        look(watch);
    } else {
        retain(watch);
    }
    return 0;
}

static void sleep_on_bell(struct catalog_watch *watch, int64_t us)
{
    struct pollfd waiting = {.fd = watch->bell.fd, .events = POLLIN};
    (void)poll(&waiting, 1, (int)((us + 999) / 1000));
}

static void *run(void *argument)
{
    struct catalog_watch *watch = argument;
    watch->looked_us = clock_monotonic_us();
    while (!atomic_load(&watch->stopping)) {
        doorbell_arm(&watch->bell);
        int64_t us = turn(watch);
        if (us > 0 && !atomic_load(&watch->stopping)) {
            sleep_on_bell(watch, us);
        }
        doorbell_disarm(&watch->bell);
    }
    store_close(watch->store);
    watch->store = NULL;
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum status catalog_watch_open(const struct settings *settings, struct store *store,
                               struct catalog_watch **out, struct problem *problem)
{
    struct catalog_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to watch the catalog");
    }
    watch->settings = settings;
    watch->accounts = accounts_create();
    enum status status =
        watch->accounts == NULL
            ? problem_set(problem, STATUS_NO_MEMORY, "no memory to count what streams do")
            : streams_open(settings, watch->accounts, store, &watch->streams, problem);
    if (status == STATUS_OK) {
        status = streams_make(watch->streams, &watch->now, problem);
    }
    if (status == STATUS_OK) {
        status = doorbell_init(&watch->bell, problem);
        watch->has_bell = status == STATUS_OK;
    }
    if (status != STATUS_OK) {
        catalog_watch_close(watch);
        return status;
    }
    *out = watch;
    return STATUS_OK;
}

const struct stream_set *catalog_watch_streams(const struct catalog_watch *watch)
{
    return watch->now;
}

enum status catalog_watch_start(struct catalog_watch *watch, struct pipeline *pipeline,
                                struct node *node,
                                enum status (*take_files)(void *owner, struct problem *problem),
                                void *owner, struct problem *problem)
{
    watch->pipeline = pipeline;
    watch->take_files = take_files;
    watch->files_owner = owner;
    retention_init(&watch->retention, watch->settings, node);
    int error = pthread_create(&watch->thread, NULL, run, watch);
    if (error != 0) {
        return problem_set(problem, STATUS_NO_MEMORY, "cannot start a thread: %s", strerror(error));
    }
    watch->started = true;
    pthread_setname_np(watch->thread, "catalog");
    return STATUS_OK;
}

void catalog_watch_ask(struct catalog_watch *watch)
{
    atomic_store(&watch->asked, true);
    doorbell_ring(&watch->bell);
}

void catalog_watch_reload(struct catalog_watch *watch, struct settings *read)
{
    /* The thread takes it by an exchange, too: of whatever comes back, nobody else has the address.
     */
    drop_settings(atomic_exchange(&watch->read, read));
    doorbell_ring(&watch->bell);
}

void catalog_watch_stop(struct catalog_watch *watch)
{
    if (watch->started) {
        atomic_store(&watch->stopping, true);
        doorbell_ring(&watch->bell);
        pthread_join(watch->thread, NULL);
        watch->started = false;
    }
}

void catalog_watch_close(struct catalog_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    streams_free(watch->next);
    streams_free(watch->now);
    reload_drop(&watch->reload); /* handing it over was cut off by the end */
    streams_close(watch->streams);
    accounts_destroy(watch->accounts);
    drop_settings(watch->loaded);
    drop_settings(atomic_exchange(&watch->read, NULL));
    if (watch->has_bell) {
        doorbell_fini(&watch->bell);
    }
    free(watch);
}
