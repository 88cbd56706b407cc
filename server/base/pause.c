/*
 * pause.c - how long to wait before what failed is tried again.
 *
 * What is drawn need not be hard to guess: it only has to differ between nodes.
 */
#include "penstock/base.h"

#define PAUSE_FIRST_US INT64_C(100000)

int64_t pause_jitter(int64_t us, int64_t now_us)
{
    uint64_t random = hash_keyed(span_of(&now_us, sizeof now_us));
    return us / 2 + (int64_t)(random % (uint64_t)(us / 2));
}

int64_t pause_after(unsigned losses, int64_t most_us, int64_t now_us)
{
    int64_t pause = PAUSE_FIRST_US;
    while (losses-- > 1 && pause < most_us) {
        pause *= 2;
    }
    return pause_jitter(pause < most_us ? pause : most_us, now_us);
}
