/*
 * outbox.c - the thread that publishes what others wrote; outbox.h says what for.
 *
 *     away ──connected──► follower ──got the lock──► publisher
 *      ▲                     │                           │
 *      └──── connection lost ┴───────────────────────────┘
 *
 * 1. A follower asks for the lock every LOOK_US, more or less.
 * 2. The publisher LISTENs. A hint begins a round: batch by batch, until nothing new is left.
 * 3. When rounds come thick and fast it watches: it begins a round every POLL_US, and writers need
 *    not notify, which would make their commits wait for each other (outbox.sql). After IDLE_US
 *    without an event it lets them know that they must again, and looks as often for LINGER_US
 *    more: who wrote while it watched has committed by then, or waits for 4.
 * 4. Now and then a round begins without a hint, in case one was lost, and more seldom one looks
 *    through the whole outbox: a row that somebody held locked was passed by.
 *
 * How it fails: the connection is lost, and with it the lock; another node becomes the publisher,
 * and this one connects again, with growing, jittered pauses. Events wait in the outbox meanwhile.
 * A process that is stopped loses its session, and its lock, after SILENCE_MS. A batch that
 * PostgreSQL refuses is tried again after a pause; it took nothing out of the outbox.
 */
#include "penstock/outbox.h"

#include "penstock/ring.h"
#include "penstock/store.h"

#include <poll.h>
#include <stdlib.h>

#define PAUSE_MAX_US  5000000
#define LOOK_US       INT64_C(2000000)
#define SWEEP_US      INT64_C(30000000) /* through the whole outbox */
#define SILENCE_MS    10000             /* several times LOOK_US */
#define BUSY_US       50000             /* rounds with events, one so soon after the other */
#define POLL_US       10000
#define IDLE_US       INT64_C(1000000)
#define LINGER_US     INT64_C(1000000)
#define QUEUE_WARN    0.5 /* of PostgreSQL's queue of notifications */
#define QUEUE_TELL_US INT64_C(60000000)

struct outbox {
    struct outbox_options options;
    struct doorbell bell;
    _Atomic bool stopping;

    struct store_options reader_options; /* borrows the settings' strings */
    struct outbox_reader *reader;        /* owns; NULL while there is no connection */
    unsigned losses;                     /* in a row */
    int64_t connect_due_us;
    int64_t look_due_us;  /* next claim (follower) or unhinted round (publisher), and figures */
    int64_t sweep_due_us; /* next round through everything */
    bool is_publisher;
    bool is_hinted;   /* a round is due */
    bool is_in_round; /* … has begun, and is not at its end */
    uint64_t round_events;
    bool is_watching;
    int64_t busy_us;     /* when a round with events last ended */
    int64_t poll_due_us; /* next round without a hint, while watching or lingering; 0: none */
    int64_t linger_until_us;
    int64_t queue_said_us;
};

/* ---- opening and closing --------------------------------------------------------------------- */

enum status outbox_open(const struct outbox_options *options, struct outbox **out,
                        struct problem *problem)
{
    const struct settings *settings = options->settings;
    const char *url = settings->listen_url;
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the outbox thread");
    }
    outbox->options = *options;
    outbox->reader_options = (struct store_options){
        .url = url != NULL && url[0] != '\0' ? url : settings->database_url,
        .role = "outbox",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = doorbell_init(&outbox->bell, problem);
    if (status != STATUS_OK) {
        free(outbox);
        return status;
    }
    *out = outbox;
    return STATUS_OK;
}

void outbox_close(struct outbox *outbox)
{
    if (outbox != NULL) {
        outbox_reader_close(outbox->reader);
        doorbell_fini(&outbox->bell);
        free(outbox);
    }
}

void outbox_stop(struct outbox *outbox)
{
    atomic_store_explicit(&outbox->stopping, true, memory_order_relaxed);
    doorbell_ring(&outbox->bell);
}

static bool is_stopping(const struct outbox *outbox)
{
    return atomic_load_explicit(&outbox->stopping, memory_order_relaxed);
}

/* ---- the connection -------------------------------------------------------------------------- */

static void become(struct outbox *outbox, bool is_publisher)
{
    struct outbox_state *state = &outbox->options.node->outbox;
    if (is_publisher && !outbox->is_publisher) {
        log_info("outbox", "this node publishes what is written to penstock.outbox");
    }
    outbox->is_publisher = is_publisher;
    outbox->is_hinted = is_publisher; /* whatever came before */
    outbox->is_in_round = outbox->is_watching = false;
    outbox->poll_due_us = outbox->linger_until_us = 0;
    atomic_store_explicit(&state->is_publisher, is_publisher, memory_order_relaxed);
    if (!is_publisher) {
        atomic_store_explicit(&state->pending, 0, memory_order_relaxed);
        atomic_store_explicit(&state->oldest_ms, 0, memory_order_relaxed);
    }
}

static void lose(struct outbox *outbox, const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    bool was_publisher = outbox->is_publisher;
    outbox_reader_close(outbox->reader);
    outbox->reader = NULL;
    outbox->losses++;
    outbox->connect_due_us = now_us + pause_after(outbox->losses, PAUSE_MAX_US, now_us);
    become(outbox, false);
    atomic_store_explicit(&outbox->options.node->outbox.connected, false, memory_order_relaxed);
    log_warn("outbox", "%s; %s, next attempt in %lld ms", problem->text,
             was_publisher ? "this node was the publisher, what is in penstock.outbox waits for "
                             "another or for this one"
                           : "this node cannot become the publisher of penstock.outbox",
             (long long)(outbox->connect_due_us - now_us) / 1000);
}

static void connect_if_due(struct outbox *outbox)
{
    struct problem problem;
    if (outbox->reader != NULL || clock_monotonic_us() < outbox->connect_due_us) {
        return;
    }
    if (outbox_reader_open(&outbox->reader_options, &outbox->reader, &problem) != STATUS_OK) {
        outbox->reader = NULL;
        lose(outbox, &problem);
        return;
    }
    outbox->look_due_us = 0;
    atomic_store_explicit(&outbox->options.node->outbox.connected, true, memory_order_relaxed);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void claim(struct outbox *outbox)
{
    bool is_ours;
    struct problem problem;
    if (outbox_reader_claim(outbox->reader, SILENCE_MS, &is_ours, &problem) != STATUS_OK) {
        lose(outbox, &problem);
        return;
    }
    if (is_ours) {
        outbox->sweep_due_us = clock_monotonic_us() + SWEEP_US;
        become(outbox, true);
    }
}

static void hear(struct outbox *outbox)
{
    bool is_hinted;
    struct problem problem;
    if (outbox_reader_hear(outbox->reader, &is_hinted, &problem) != STATUS_OK) {
        lose(outbox, &problem);
        return;
    }
    outbox->is_hinted = outbox->is_hinted || is_hinted;
}

static void watch(struct outbox *outbox, bool wanted)
{
    bool is_done = false;
    struct problem problem;
    if (outbox_reader_watch(outbox->reader, wanted, &is_done, &problem) != STATUS_OK) {
        lose(outbox, &problem);
    } else if (is_done) {
        outbox->is_watching = wanted;
    }
}

/* At the end of a round: how will the next one begin? */
static void adapt(struct outbox *outbox)
{
    int64_t now_us = clock_monotonic_us();
    bool was_busy = now_us - outbox->busy_us < BUSY_US;
    if (outbox->round_events > 0) {
        outbox->busy_us = now_us;
        if (was_busy && !outbox->is_watching) {
            watch(outbox, true);
        }
    } else if (outbox->is_watching && now_us - outbox->busy_us > IDLE_US) {
        outbox->linger_until_us = now_us + LINGER_US;
        watch(outbox, false); /* last: if that loses the connection, nothing may linger */
    }
    outbox->round_events = 0;
    outbox->poll_due_us =
        outbox->is_watching || now_us < outbox->linger_until_us ? now_us + POLL_US : 0;
}

/* One batch, so that hints, figures and the end of it all have their turn between two. A hint that
 * comes during a round may mean what that round has passed by: it makes for another one. */
static void publish(struct outbox *outbox)
{
    struct outbox_state *state = &outbox->options.node->outbox;
    struct outbox_batch batch;
    struct problem problem;
    if (!outbox->is_in_round) {
        outbox->is_hinted = false;
    }
    if (outbox_reader_publish(outbox->reader, &batch, &problem) != STATUS_OK) {
        lose(outbox, &problem);
        return;
    }
    outbox->losses = 0;
    outbox->is_in_round = !batch.is_done;
    counter_add(&state->events, batch.events);
    counter_add(&state->batches, batch.events > 0);
    outbox->round_events += batch.events;
    if (batch.is_done) {
        adapt(outbox);
    }
}

/* ---- what is asked now and then -------------------------------------------------------------- */

static void warn_of_queue(struct outbox *outbox, double usage)
{
    int64_t now_us = clock_monotonic_us();
    if (usage < QUEUE_WARN ||
        (outbox->queue_said_us != 0 && now_us - outbox->queue_said_us < QUEUE_TELL_US)) {
        return;
    }
    outbox->queue_said_us = now_us;
    log_warn("outbox",
             "PostgreSQL's queue of notifications is %.0f %% full; when it is full, commits fail: "
             "end the session that listens and has been in a transaction for long (see "
             "pg_stat_activity.xact_start)",
             usage * 100);
}

static void look(struct outbox *outbox)
{
    struct outbox_state *state = &outbox->options.node->outbox;
    struct outbox_figures figures;
    struct problem problem;
    if (outbox_reader_look(outbox->reader, &figures, &problem) != STATUS_OK) {
        lose(outbox, &problem);
        return;
    }
    if (!outbox->is_publisher) {
        outbox->losses = 0; /* of a publisher, only that it publishes says that all is well */
    }
    atomic_store_explicit(&state->pending, figures.pending, memory_order_relaxed);
    atomic_store_explicit(&state->oldest_ms, figures.oldest_us / 1000, memory_order_relaxed);
    atomic_store_explicit(&state->notify_queue_ppm, (uint64_t)(figures.notify_queue * 1e6),
                          memory_order_relaxed);
    warn_of_queue(outbox, figures.notify_queue);
}

static void look_if_due(struct outbox *outbox)
{
    int64_t now_us = clock_monotonic_us();
    if (outbox->reader == NULL || now_us < outbox->look_due_us) {
        return;
    }
    outbox->look_due_us = now_us + pause_jitter(LOOK_US, now_us);
    if (!outbox->is_publisher) {
        claim(outbox);
    } else if (!outbox->is_in_round) {
        outbox->is_hinted = true;
        if (now_us >= outbox->sweep_due_us) {
            outbox->sweep_due_us = now_us + SWEEP_US;
            outbox_reader_begin_anew(outbox->reader);
        }
    }
    if (outbox->reader != NULL) {
        look(outbox);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool has_work(const struct outbox *outbox)
{
    return outbox->is_hinted || outbox->is_in_round;
}

static int64_t next_due_us(const struct outbox *outbox)
{
    if (outbox->reader == NULL) {
        return outbox->connect_due_us;
    }
    bool is_polling = outbox->poll_due_us != 0 && outbox->poll_due_us < outbox->look_due_us;
    return is_polling ? outbox->poll_due_us : outbox->look_due_us;
}

static void sleep_until_something(struct outbox *outbox)
{
    doorbell_arm(&outbox->bell);
    int64_t wait_us = next_due_us(outbox) - clock_monotonic_us();
    if (wait_us > 0 && !has_work(outbox) && !is_stopping(outbox)) {
        struct pollfd fds[2] = {
            {.fd = outbox->bell.fd, .events = POLLIN},
            {.fd = outbox->reader != NULL ? outbox_reader_fd(outbox->reader) : -1,
             .events = POLLIN},
        };
        (void)poll(fds, 2, (int)((wait_us + 999) / 1000)); /* EINTR: looking again is harmless */
    }
    doorbell_disarm(&outbox->bell);
}

void outbox_run(struct outbox *outbox)
{
    while (!is_stopping(outbox)) {
        connect_if_due(outbox);
        look_if_due(outbox);
        if (outbox->poll_due_us != 0 && clock_monotonic_us() >= outbox->poll_due_us) {
            outbox->is_hinted = true;
        }
        if (has_work(outbox)) {
            publish(outbox);
        }
        if (outbox->reader != NULL) {
            hear(outbox); /* last: hints also come along with the answers to what was asked */
        }
        sleep_until_something(outbox);
    }
}
