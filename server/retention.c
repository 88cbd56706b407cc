/*
 * retention.c - see retention.h.
 *
 * Rounds are short, so that the thread's other work and its end do not wait; as long as there is
 * more to drop, one follows another. Any node of those on the database may do it: whoever gets the
 * lock (retain.sql). All of them look how old and how large the log is, so that each one's
 * /metrics can tell when nobody keeps up.
 *
 * How it fails: the round is tried again; the log grows meanwhile, and nothing else is harmed. The
 * same while somebody's long transaction reads what should leave; that is told when it has lasted.
 */
#include "retention.h"

#define ROUND_US_LEAST INT64_C(1000000)  /* between two rounds that leave nothing over … */
#define ROUND_US_MOST  INT64_C(60000000) /* … a twentieth of retention_s, within these */
#define MORE_US        INT64_C(20000)    /* after one that did */
#define HELD_US        INT64_C(1000000)  /* after one that somebody was in the way of … */
#define HELD_TELL_US   INT64_C(60000000) /* … which is told when it has lasted for so long */
#define RETRY_US       INT64_C(5000000)

/* Bytes come faster than age does. */
static int64_t round_us(const struct settings *settings)
{
    int64_t us = (int64_t)settings->retention_s * 1000000 / 20;
    if (us < ROUND_US_LEAST || settings->retention_bytes > 0) {
        return ROUND_US_LEAST;
    }
    return us > ROUND_US_MOST ? ROUND_US_MOST : us;
}

void retention_follow(struct retention *retention, const struct settings *settings)
{
    bool is_off = settings->retention_s == 0 && settings->retention_bytes == 0;
    retention->settings = settings;
    retention->due_us = is_off ? INT64_MAX : clock_monotonic_us() + ROUND_US_LEAST;
}

void retention_init(struct retention *retention, const struct settings *settings, struct node *node)
{
    *retention = (struct retention){.node = node};
    retention_follow(retention, settings);
}

/* Readers come and go: only one that stays is worth a word. */
static void note_held(struct retention *retention, const struct retained *retained)
{
    int64_t now_us = clock_monotonic_us();
    if (!retained->is_held) {
        if (retention->held_said && !retained->is_elsewhere) {
            log_info("catalog", "old batches of the log are dropped again");
        }
        retention->held_us = 0;
        retention->held_said = false;
        return;
    }
    retention->held_us = retention->held_us == 0 ? now_us : retention->held_us;
    if (!retention->held_said && now_us - retention->held_us >= HELD_TELL_US) {
        retention->held_said = true;
        log_warn("catalog", "old batches cannot leave the log while somebody's transaction reads "
                            "them: the log grows; pg_locks on penstock.batch says whose it is");
    }
}

enum status retention_run(struct retention *retention, struct store *store, struct problem *problem)
{
    struct retained retained;
    const struct settings *settings = retention->settings;
    enum status status =
        store_retain(store, settings->retention_s, settings->retention_bytes, &retained, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct log_state *log = &retention->node->log;
    note_held(retention, &retained);
    atomic_store_explicit(&log->oldest_us, retained.oldest_us, memory_order_relaxed);
    atomic_store_explicit(&log->bytes, retained.bytes, memory_order_relaxed);
    atomic_store_explicit(&log->is_held, retained.is_held, memory_order_relaxed);
    counter_add(&log->dropped, retained.dropped);
    int64_t pause_us = retained.is_more ? MORE_US : retained.is_held ? HELD_US : round_us(settings);
    retention->due_us = clock_monotonic_us() + pause_us;
    return STATUS_OK;
}

void retention_note(struct retention *retention, const struct problem *problem)
{
    bool failed = problem->status != STATUS_OK;
    if (failed) {
        counter_add(&retention->node->log.failures, 1);
        retention->due_us = clock_monotonic_us() + RETRY_US;
    }
    if (failed && !retention->failed) {
        log_warn("catalog", "cannot drop old batches of the log: %s; trying again, the log grows",
                 problem->text);
    } else if (!failed && retention->failed) {
        log_info("catalog", "old batches of the log are dropped again");
    }
    retention->failed = failed;
}
