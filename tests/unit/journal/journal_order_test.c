/*
 * journal_order_test.c - a disk that answers in any order: writes end when chance says so, timers
 * come when chance says so, and PostgreSQL takes frames when chance says so. Whatever the order,
 * what was taken becomes durable without help: no event waits for another one to come.
 *
 * The loop is this file: what the journal asks of it is kept, and chance picks what happens next.
 */
#include "journal_fixture.h"

#define ASKED_MAX     4            /* a frame, a piece of zeros; a mark's timer, a retry's */
#define SEGMENT_BYTES (1u << 20)   /* zero-written in four pieces */
#define RECORD_LARGE  (300u << 10) /* so that a segment's end is often near */
#define SEEDS         100
#define STEPS         600

/* ---- the loop -------------------------------------------------------------------------------- */

static struct loop_write *writes[ASKED_MAX];
static struct loop_timer *timers[ASKED_MAX];
static size_t write_count, timer_count;
static uint64_t chance;
static size_t newest_first; /* of a hundred writes that end: the older ones are slow, for a while */

void __wrap_loop_write_start(struct loop *loop, struct loop_write *write);
void __wrap_loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_us);
void __wrap_loop_timer_stop(struct loop *loop, struct loop_timer *timer);
enum status __wrap_loop_run_once(struct loop *loop, int64_t timeout_us, struct problem *problem);

/* xorshift64* (Vigna 2016); below `limit`. */
static size_t pick(size_t limit)
{
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (size_t)((chance * 0x2545f4914f6cdd1du >> 33) % limit);
}

void __wrap_loop_write_start(struct loop *loop, struct loop_write *write)
{
    (void)loop;
    assert_true(write_count < ASKED_MAX);
    writes[write_count++] = write;
}

void __wrap_loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    (void)loop;
    for (size_t i = 0; i < timer_count; i++) {
        if (timers[i] == timer) {
            timers[i] = timers[--timer_count];
            return;
        }
    }
}

void __wrap_loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_us)
{
    (void)due_us;
    __wrap_loop_timer_stop(loop, timer);
    assert_true(timer_count < ASKED_MAX);
    timers[timer_count++] = timer;
}

static void end_write(size_t i)
{
    struct loop_write *write = writes[i];
    writes[i] = writes[--write_count];
    ssize_t written = pwrite(write->fd, write->data, write->size, (off_t)write->offset);
    assert_int_equal(written, write->size);
    write->on_done(write, 0);
}

static void end_a_write(void)
{
    end_write(pick(100) < newest_first ? write_count - 1 : pick(write_count));
}

static void fire_a_timer(void)
{
    size_t i = pick(timer_count);
    struct loop_timer *timer = timers[i];
    timers[i] = timers[--timer_count];
    timer->on_due(timer);
}

/* Only journal_close() waits here, and for writes alone. */
enum status __wrap_loop_run_once(struct loop *loop, int64_t timeout_us, struct problem *problem)
{
    (void)loop;
    (void)timeout_us;
    (void)problem;
    assert_true(write_count > 0);
    end_a_write();
    return STATUS_OK;
}

/* ---- what happens by chance ------------------------------------------------------------------ */

static void happen(struct world *world)
{
    size_t what = pick(100);
    if (what < 30) {
        (void)world_append(world, pick(2) == 0 ? RECORD_SMALL : RECORD_LARGE);
    } else if (what < 45) {
        journal_flush(world->journal);
    } else if (what < 65 && timer_count > 0) {
        fire_a_timer();
    } else if (what < 66 && world->durable > 0) { /* seldom: else nothing is zero-written */
        journal_release(world->journal, 1 + pick(world->durable));
    } else if (what >= 66 && write_count > 0) {
        end_a_write();
    }
}

/* Everybody waits: only writes end, one after the other, until there is none. */
static void come_to_rest(struct world *world)
{
    journal_flush(world->journal);
    for (int writes_left = 1000; write_count > 0; writes_left--) {
        assert_true(writes_left > 0);
        end_a_write();
    }
}

static void assert_all_is_durable(struct world *world, unsigned seed)
{
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    if (figures.writing || world->records != world->tag_next - 1) {
        fail_msg("seed %u: %" PRIu64 " of %" PRIu64
                 " records are durable, and no write is under way",
                 seed, world->records, world->tag_next - 1);
    }
}

/* With few segments, so that the quota and the end of a segment are met in every state. */
static void live(struct world *world, unsigned seed)
{
    chance = seed * 0x9e3779b97f4a7c15u;
    world_start(world, 0);
    for (int step = 0; step < STEPS; step++) {
        newest_first = pick(40) == 0 ? 33 * pick(4) : newest_first;
        happen(world);
        assert_int_equal(world->failures, 0);
        if (pick(STEPS / 8) == 0) {
            come_to_rest(world);
            assert_all_is_durable(world, seed);
        }
    }
    come_to_rest(world);
    assert_all_is_durable(world, seed);
    /* And it goes on, once PostgreSQL has everything. */
    journal_release(world->journal, world->durable);
    come_to_rest(world);
    assert_int_equal(world_append(world, RECORD_LARGE), JOURNAL_TAKEN);
    come_to_rest(world);
    assert_all_is_durable(world, seed);
    journal_close(world->journal);
    world->journal = NULL;
    assert_int_equal(timer_count, 0);
}

static struct world *make(unsigned segments)
{
    struct world *world = world_make();
    world->options.segment_bytes = SEGMENT_BYTES;
    world->options.bytes_max = segments * SEGMENT_BYTES;
    assert_int_equal(world_open_journal(world), STATUS_OK);
    return world;
}

static void what_is_taken_becomes_durable_in_any_order(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct world *world = make(2 + seed % 5);
        live(world, seed);
        void *teardown = world;
        world_teardown(&teardown);
    }
}

/* ---- orders that chance seldom finds --------------------------------------------------------- */

/* The segment is full, the next one is being zero-written, and a second of quiet has the mark
 * written meanwhile. The zeros end first: the mark's end must have them go on, for no frame will.
 */
static void a_mark_between_two_pieces_of_zeros(void **state)
{
    (void)state;
    struct world *world = make(2);
    world_start(world, 0);
    while (write_count > 0) {
        end_write(0); /* the first segment is ready */
    }
    do {
        assert_int_equal(world_append(world, RECORD_LARGE), JOURNAL_TAKEN);
        journal_flush(world->journal);
        while (write_count > 1) {
            end_write(1); /* a header, a frame: all but the zeros */
        }
        while (world->durable == 0) {
            end_write(0);
        }
    } while (world->records == world->tag_next - 1);
    assert_int_equal(write_count, 1);
    fire_a_timer();
    assert_int_equal(write_count, 2);
    end_write(0);
    come_to_rest(world);
    assert_all_is_durable(world, 0);
    void *teardown = world;
    world_teardown(&teardown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_becomes_durable_in_any_order),
        cmocka_unit_test(a_mark_between_two_pieces_of_zeros),
    };
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    fixture_parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fixture_parent; /* memory */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
