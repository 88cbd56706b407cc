/*
 * base.h - leaf code that every layer may use: log, clocks, ids, checksums, hashes, counters.
 *
 * Any thread may call anything here unless said otherwise. Nothing allocates after log_open().
 */
#ifndef PENSTOCK_BASE_H
#define PENSTOCK_BASE_H

#include "penstock/bytes.h"
#include "penstock/status.h"

#include <stdatomic.h>
#include <stdint.h>

/* ---- log: one line an event worth knowing, to standard error --------------------------------- */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Call once, before other threads start; may be called again, at any time, to change both. */
void log_open(enum log_format format, enum log_level least);

/* Areas may have a level of their own. */
#define LOG_AREAS_MAX      16
#define LOG_AREA_BYTES_MAX 16
struct log_levels {
    enum log_level least;
    size_t area_count;
    struct {
        char name[LOG_AREA_BYTES_MAX + 1];
        enum log_level least;
    } areas[LOG_AREAS_MAX];
};
/* Reads "info" or "info,edge=debug,store=warn". False: it is no such list. */
bool log_levels_read(const char *text, struct log_levels *out);
/* From one thread at a time. */
void log_set_levels(const struct log_levels *levels);

/* The lowest level of any area. The filter is inline, so that a level that is off everywhere costs
 * one compare. */
extern _Atomic(enum log_level) log_least;

/* Writes one line in one write(2), if the area is not quieter: time, level, area, message. Never
 * the contents of events, tokens or DSN passwords. Lines longer than 2 KB are cut. */
void log_write(enum log_level level, const char *area, const char *format, ...) printf_like(3, 4);

/* A line of the program. Each writes at most LOG_PLACE_MOST lines in LOG_PLACE_US; the next one
 * behind them says how many were left out. Debugging is not limited: somebody asked for it. */
#define LOG_PLACE_MOST 100
#define LOG_PLACE_US   (10 * 1000 * 1000)
struct log_place {
    _Atomic int64_t since_us;
    _Atomic uint32_t count;
};
void log_write_from(struct log_place *place, enum log_level level, const char *area,
                    const char *format, ...) printf_like(4, 5);

#define log_at(level, area, ...)                                                 \
    do {                                                                         \
        if ((level) >= atomic_load_explicit(&log_least, memory_order_relaxed)) { \
            static struct log_place log_place_here;                              \
            log_write_from(&log_place_here, (level), (area), __VA_ARGS__);       \
        }                                                                        \
    } while (0)
#define log_debug(area, ...) log_at(LOG_DEBUG, area, __VA_ARGS__)
#define log_info(area, ...)  log_at(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...)  log_at(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_at(LOG_ERROR, area, __VA_ARGS__)

/* ---- folders --------------------------------------------------------------------------------- */

/* Makes a folder, unless it is there, so that a power cut does not take it away. 0 or an errno. */
int folder_create(const char *path);

/* ---- clocks ---------------------------------------------------------------------------------- */

int64_t clock_unix_us(void);      /* wall clock, microseconds since 1970 */
int64_t clock_monotonic_us(void); /* never goes back */

/* How long to wait after so many losses in a row (1 or more): a tenth of a second, doubled with
 * each, `most_us` at most; jittered. */
int64_t pause_after(unsigned losses, int64_t most_us, int64_t now_us);
/* Half of it, and a random part of the other half, so that nodes do not act all at once. */
int64_t pause_jitter(int64_t us, int64_t now_us);

/* ---- ids ------------------------------------------------------------------------------------- */

#define UUID_BYTES      16
#define UUID_TEXT_BYTES 36 /* without a terminating zero */

/*
 * Makes UUIDv7 (RFC 9562, method 1 of section 6.2: the 12 bits after the milliseconds, and the
 * first bits behind them, are a counter, so that ids of one generator ascend). One generator a
 * thread.
 */
struct uuid_generator {
    uint64_t state[2]; /* xoroshiro-style random state, seeded from getrandom(2) */
    int64_t last_ms;
    uint32_t counter;
};
void uuid_generator_init(struct uuid_generator *generator);
void uuid_generate(struct uuid_generator *generator, int64_t unix_us, uint8_t out[UUID_BYTES]);
void uuid_format(const uint8_t uuid[UUID_BYTES], char out[UUID_TEXT_BYTES]);
/* Accepts what PostgreSQL accepts: any case, braces, hyphens after any group of four digits. */
bool uuid_parse(struct span text, uint8_t out[UUID_BYTES]);

/* ---- sums ------------------------------------------------------------------------------------ */

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). Pass 0 to begin, the last result to go on. Uses the
 * processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* FNV-1a, 64 bits: for names and channels in our own tables, never for anything a peer can gain by
 * colliding. `hash_keyed` is SipHash-1-3 under a key drawn at start, for tables that clients fill.
 */
uint64_t hash_name(struct span name);
uint64_t hash_keyed(struct span bytes);

/* ---- counters -------------------------------------------------------------------------------- */

/* Adds with relaxed order: counters are read by /metrics only and order nothing. */
typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_read(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

/*
 * Per stream: received + replayed = committed + duplicates + dead_lettered + pending (DESIGN
 * section 4). `received` is counted when the ring takes the event; what was refused was never
 * received. `replayed` is what a start found in the journal behind PostgreSQL's checkpoint: a
 * process before this one received it. `pending` is what is left: in a ring or in the journal, and
 * not settled.
 */
struct stream_account {
    counter received, replayed, committed, duplicates, dead_lettered, refused;
    counter messages, messages_refused,
        bytes;                    /* of `publish`: taken, refused; bytes of those taken */
    counter pushed, pushed_bytes; /* events to subscribers, each time one is sent */
};

/* Outcomes first: an event whose outcome is seen was counted as received before. */
static inline uint64_t stream_account_pending(const struct stream_account *account)
{
    uint64_t settled = atomic_load_explicit(&account->committed, memory_order_acquire) +
                       atomic_load_explicit(&account->duplicates, memory_order_acquire) +
                       atomic_load_explicit(&account->dead_lettered, memory_order_acquire);
    uint64_t taken = counter_read(&account->received) + counter_read(&account->replayed);
    return taken > settled ? taken - settled : 0;
}

#endif
