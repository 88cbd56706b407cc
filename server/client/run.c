/* run.c - see run.h. */
#include "run.h"

#define SEED_BITS    44
#define COUNTER_BITS 30
#define LOW_BITS     18 /* of the counter, behind the variant */

void run_begin(struct run *run)
{
    struct uuid_generator generator;
    uint8_t random[UUID_BYTES];
    int64_t now_us = clock_unix_us();
    uuid_generator_init(&generator); /* seeded by the kernel; the end of its ids is random */
    uuid_generate(&generator, now_us, random);
    *run = (struct run){.started_ms = now_us / 1000};
    run->seed = read_be64(random + 8) & ((UINT64_C(1) << SEED_BITS) - 1);
}

static void put_be64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
}

void run_id(const struct run *run, uint64_t line, char out[UUID_TEXT_BYTES])
{
    uint64_t ms = (uint64_t)run->started_ms + (line >> COUNTER_BITS);
    uint64_t count = line & ((UINT64_C(1) << COUNTER_BITS) - 1);
    uint64_t low = count & ((UINT64_C(1) << LOW_BITS) - 1);
    uint8_t id[UUID_BYTES];
    put_be64(id, ms << 16 | UINT64_C(7) << 12 | count >> LOW_BITS);
    put_be64(id + 8, UINT64_C(2) << 62 | low << SEED_BITS | run->seed);
    uuid_format(id, out);
}
