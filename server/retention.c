/*
 * retention.c - see retention.h.
 *
 * Rounds are short, so that the thread's other work and its end do not wait, and so that PostgreSQL
 * has no long transaction because of us; as long as there is more to drop, one follows another. Any
 * node of those on the database may do it: whoever gets the lock (retention.sql). All of them look
 * how old the oldest batch is, so that each one's /metrics can tell when nobody keeps up.
 *
 * How it fails: the round is tried again; the log grows meanwhile, and nothing else is harmed.
 */
#include "retention.h"

#define RETAIN_MOST    500               /* batches of a lane in one round */
#define ROUND_US_LEAST INT64_C(1000000)  /* between two rounds that leave nothing over … */
#define ROUND_US_MOST  INT64_C(60000000) /* … a twentieth of retention_s, within these */
#define MORE_US        INT64_C(20000)    /* after one that did */
#define RETRY_US       INT64_C(5000000)

static int64_t round_us(const struct retention *retention)
{
    int64_t us = (int64_t)retention->settings->retention_s * 1000000 / 20;
    return us < ROUND_US_LEAST ? ROUND_US_LEAST : us > ROUND_US_MOST ? ROUND_US_MOST : us;
}

void retention_init(struct retention *retention, const struct settings *settings, struct node *node)
{
    bool is_off = settings->retention_s == 0;
    *retention = (struct retention){
        .settings = settings,
        .node = node,
        .due_us = is_off ? INT64_MAX : clock_monotonic_us() + ROUND_US_LEAST,
    };
}

enum status retention_run(struct retention *retention, struct store *store, struct problem *problem)
{
    struct retained retained;
    enum status status =
        store_retain(store, retention->settings->retention_s, RETAIN_MOST, &retained, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct log_state *log = &retention->node->log;
    atomic_store_explicit(&log->oldest_us, retained.oldest_us, memory_order_relaxed);
    counter_add(&log->dropped, retained.dropped);
    retention->due_us = clock_monotonic_us() + (retained.is_more ? MORE_US : round_us(retention));
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
