/*
 * limits.c - the table of addresses and users: who has how many connections, and their buckets.
 *
 * The table is made once, with room for four names a connection that may be open, and never grows.
 * A name's hash chooses a set of eight entries; only these are looked at. The hash is keyed, so
 * that nobody can choose names that meet in one set.
 *
 *   - an entry with connections stays: sessions point at it, and take from its buckets without a
 *     lock;
 *   - one without is kept while its buckets are not full, so that coming back does not help, and is
 *     given to another name when that needs a place: a free one first, else the one that would have
 *     been free soonest;
 *   - a set whose eight entries all have connections takes nobody: such an address is not limited
 *     by itself (`connections` still holds), and the metric says that it happened.
 *
 * Sets share 64 locks. One is held for a look at eight entries, when a connection comes or goes,
 * and never while anything is waited for.
 */
#include "arrive/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WAYS                8
#define LOCKS               64
#define NAMES_PER_PLACE     4
#define ENTRIES_LEAST       1024
#define ENTRIES_MOST        (1u << 20)
#define CONNECTIONS_WAIT_NS (5 * INT64_C(1000000000)) /* somebody must leave: a guess */
#define NS_PER_S            INT64_C(1000000000)

struct limits {
    struct limit_entry *entries; /* owns, by mmap(2); [set_count * WAYS] */
    size_t set_count;            /* a power of two */
    _Atomic bool overflowed;
    pthread_mutex_t locks[LOCKS];
};

const char *limit_label(enum limit limit)
{
    static const char *const labels[LIMIT_COUNT] = {[LIMIT_NONE] = "none",
#define LIMIT_LABEL(name, label) [LIMIT_##name] = label,
                                                    LIMIT_LIST(LIMIT_LABEL)
#undef LIMIT_LABEL
    };
    return labels[limit];
}

/* ---- buckets --------------------------------------------------------------------------------- */

struct rate rate_of(uint64_t per_s, uint64_t burst_s)
{
    if (per_s == 0) {
        return (struct rate){0};
    }
    return (struct rate){1e9 / (double)per_s, (int64_t)burst_s * NS_PER_S};
}

int64_t bucket_take_shared(_Atomic int64_t *full_at_ns, const struct rate *rate, uint64_t units,
                           int64_t now_ns)
{
    int64_t before = atomic_load_explicit(full_at_ns, memory_order_relaxed);
    for (;;) {
        int64_t after = before;
        int64_t wait = bucket_take(&after, rate, units, now_ns);
        if (wait > 0 ||
            atomic_compare_exchange_weak_explicit(full_at_ns, &before, after, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return wait;
        }
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

void limit_rates_read(const struct settings *settings, struct limit_rates *out)
{
    const uint64_t connection[] = {settings->messages_per_s, settings->events_per_s,
                                   settings->bytes_per_s, 0};
    const uint64_t address[] = {settings->address_messages_per_s, settings->address_events_per_s,
                                settings->address_bytes_per_s, settings->address_connects_per_s};
    const uint64_t user[] = {settings->user_messages_per_s, settings->user_events_per_s,
                             settings->user_bytes_per_s, 0};
    uint64_t sum[HOLDER_COUNT] = {0, settings->address_connections, settings->user_connections};
    *out = (struct limit_rates){.prefix_bits = (unsigned)settings->address_prefix};
    for (int i = 0; i < MEASURE_COUNT; i++) {
        out->connection[i] = rate_of(connection[i], settings->burst_s);
        out->holder[HOLDER_ADDRESS][i] = rate_of(address[i], settings->burst_s);
        out->holder[HOLDER_USER][i] = rate_of(user[i], settings->burst_s);
        sum[HOLDER_ADDRESS] |= address[i];
        sum[HOLDER_USER] |= user[i];
        out->is_any |= i != MEASURE_CONNECTS && (connection[i] | address[i] | user[i]) != 0;
    }
    out->is_used[HOLDER_ADDRESS] = sum[HOLDER_ADDRESS] != 0;
    out->is_used[HOLDER_USER] = sum[HOLDER_USER] != 0;
    out->connections_max[HOLDER_ADDRESS] = settings->address_connections;
    out->connections_max[HOLDER_USER] = settings->user_connections;
}

/* Zeros, of which the kernel gives what is touched: a table that is hardly used is hardly there. */
static bool open_entries(struct limits *limits, uint64_t places)
{
    uint64_t count = ENTRIES_LEAST;
    while (count < NAMES_PER_PLACE * places && count < ENTRIES_MOST) {
        count *= 2;
    }
    limits->set_count = count / WAYS;
    size_t size = count * sizeof *limits->entries;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    limits->entries = at == MAP_FAILED ? NULL : at;
    return limits->entries != NULL;
}

enum status limits_create(const struct settings *settings, unsigned edge_count, struct limits **out,
                          struct problem *problem)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the table of limits");
    }
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&limits->locks[i], NULL);
    }
    if (!open_entries(limits, settings->connections * edge_count)) {
        limits_destroy(limits);
        return problem_set(problem, STATUS_NO_MEMORY,
                           "no memory for the table of limits: lower `connections`");
    }
    *out = limits;
    return STATUS_OK;
}

void limits_destroy(struct limits *limits)
{
    if (limits == NULL) {
        return;
    }
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&limits->locks[i]);
    }
    if (limits->entries != NULL) {
        munmap(limits->entries, limits->set_count * WAYS * sizeof *limits->entries);
    }
    free(limits);
}

bool limits_take_overflow(struct limits *limits)
{
    return atomic_exchange_explicit(&limits->overflowed, false, memory_order_relaxed);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int64_t free_at(struct limit_entry *entry)
{
    int64_t latest = INT64_MIN;
    for (int i = 0; i < MEASURE_COUNT; i++) {
        int64_t at = atomic_load_explicit(&entry->full_at_ns[i], memory_order_relaxed);
        latest = at > latest ? at : latest;
    }
    return latest;
}

/* Nobody points at it: it has no connections. */
static void entry_begin(struct limit_entry *entry, enum holder holder, const uint8_t *name)
{
    memcpy(entry->name, name, sizeof entry->name);
    entry->holder = holder;
    for (int i = 0; i < MEASURE_COUNT; i++) {
        atomic_store_explicit(&entry->full_at_ns[i], INT64_MIN, memory_order_relaxed);
    }
}

/* The name's entry, or one that is made its; NULL: all have connections. */
static struct limit_entry *find(struct limit_entry *set, enum holder holder, const uint8_t *name)
{
    struct limit_entry *place = NULL;
    int64_t place_free_at = 0;
    for (int i = 0; i < WAYS; i++) {
        struct limit_entry *entry = &set[i];
        if (entry->holder == holder && memcmp(entry->name, name, sizeof entry->name) == 0) {
            return entry;
        }
        if (entry->connections > 0) {
            continue;
        }
        int64_t at = entry->holder == HOLDER_NONE ? INT64_MIN : free_at(entry);
        if (place == NULL || at < place_free_at) {
            place = entry;
            place_free_at = at;
        }
    }
    if (place != NULL) {
        entry_begin(place, holder, name);
    }
    return place;
}

/* Under the set's lock. */
static enum limit admit(const struct limit_rates *rates, struct limit_entry *entry, int64_t now_ns,
                        int64_t *out_wait_ns)
{
    uint64_t most = rates->connections_max[entry->holder];
    const struct rate *connects = &rates->holder[entry->holder][MEASURE_CONNECTS];
    if (most != 0 && entry->connections >= most) {
        *out_wait_ns = CONNECTIONS_WAIT_NS;
        return entry->holder == HOLDER_ADDRESS ? LIMIT_ADDRESS_CONNECTIONS : LIMIT_USER_CONNECTIONS;
    }
    if (connects->ns_per_unit > 0) {
        *out_wait_ns =
            bucket_take_shared(&entry->full_at_ns[MEASURE_CONNECTS], connects, 1, now_ns);
        if (*out_wait_ns > 0) {
            return LIMIT_ADDRESS_CONNECTS;
        }
    }
    entry->connections++;
    return LIMIT_NONE;
}

static size_t set_index(const struct limits *limits, enum holder holder, const uint8_t *name)
{
    uint8_t key[ADDRESS_BYTES + 1];
    memcpy(key, name, ADDRESS_BYTES);
    key[ADDRESS_BYTES] = (uint8_t)holder;
    return hash_keyed(span_of(key, sizeof key)) & (limits->set_count - 1);
}

static enum limit join(struct limits *limits, const struct limit_rates *rates, enum holder holder,
                       const uint8_t name[ADDRESS_BYTES], int64_t now_ns, struct limit_entry **out,
                       int64_t *out_wait_ns)
{
    size_t index = set_index(limits, holder, name);
    pthread_mutex_t *lock = &limits->locks[index % LOCKS];
    enum limit limit = LIMIT_NONE;
    pthread_mutex_lock(lock);
    struct limit_entry *entry = find(&limits->entries[index * WAYS], holder, name);
    if (entry != NULL) {
        limit = admit(rates, entry, now_ns, out_wait_ns);
    }
    pthread_mutex_unlock(lock);
    if (entry == NULL && rates->is_used[holder]) {
        atomic_store_explicit(&limits->overflowed, true, memory_order_relaxed);
    }
    *out = limit == LIMIT_NONE ? entry : NULL;
    return limit;
}

enum limit limits_join_address(struct limits *limits, const struct limit_rates *rates,
                               const struct address *address, int64_t now_ns,
                               struct limit_entry **out, int64_t *out_wait_ns)
{
    struct address client = address_shorten(address, rates->prefix_bits);
    return join(limits, rates, HOLDER_ADDRESS, client.bytes, now_ns, out, out_wait_ns);
}

/* Names may be long: two hashes of 64 bits stand for one, the first under a key nobody knows. */
enum limit limits_join_user(struct limits *limits, const struct limit_rates *rates,
                            struct span user, int64_t now_ns, struct limit_entry **out,
                            int64_t *out_wait_ns)
{
    uint64_t hashes[2] = {hash_keyed(user), hash_name(user)};
    uint8_t name[ADDRESS_BYTES];
    memcpy(name, hashes, sizeof name);
    return join(limits, rates, HOLDER_USER, name, now_ns, out, out_wait_ns);
}

void limits_leave(struct limits *limits, struct limit_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    size_t index = (size_t)(entry - limits->entries) / WAYS;
    pthread_mutex_t *lock = &limits->locks[index % LOCKS];
    pthread_mutex_lock(lock);
    entry->connections--;
    pthread_mutex_unlock(lock);
}
