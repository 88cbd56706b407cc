/*
 * ring_instructions.c - records through the ring on one thread, for a counter of instructions.
 *
 *     ring_instructions      prints how many records it was
 */
#include "penstock/ring.h"

#include <stdio.h>

#define RECORDS      100000
#define RECORD_BYTES 64
#define AT_ONCE      8 /* records between two looks of the consumer */

static struct ring ring;

/* Its name is known to check.py. */
__attribute__((noinline)) uint64_t measured(void);

uint64_t measured(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        size_t room;
        uint8_t *at = ring_reserve(&ring, RECORD_BYTES, &room);
        memset(at, (int)i, RECORD_BYTES);
        ring_commit(&ring, RECORD_BYTES);
        if (i % AT_ONCE == AT_ONCE - 1) {
            struct span there = ring_peek(&ring);
            for (size_t seen = 0; seen < there.size; seen += RECORD_BYTES) {
                sum += there.data[seen];
            }
            ring_release(&ring, there.size);
        }
    }
    return sum;
}

int main(void)
{
    struct problem problem;
    if (ring_init(&ring, 1 << 16, &problem) != STATUS_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    uint64_t sum = measured();
    ring_fini(&ring);
    printf("%d\n", RECORDS);
    return sum == 0;
}
