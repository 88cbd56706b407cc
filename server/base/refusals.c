/* refusals.c - see refusals.h. */
#include "penstock/refusals.h"

void refusals_init(struct refusals *refusals)
{
    pthread_mutex_init(&refusals->lock, NULL); /* cannot fail with default attributes */
    refusals->count = 0;
}

void refusals_fini(struct refusals *refusals)
{
    pthread_mutex_destroy(&refusals->lock);
}

void refusals_add(struct refusals *refusals, const struct refusal *refusal)
{
    pthread_mutex_lock(&refusals->lock);
    refusals->last[refusals->count++ % REFUSALS_KEPT] = *refusal;
    pthread_mutex_unlock(&refusals->lock);
}

size_t refusals_copy(struct refusals *refusals, struct refusal out[REFUSALS_KEPT])
{
    pthread_mutex_lock(&refusals->lock);
    size_t count = refusals->count < REFUSALS_KEPT ? refusals->count : REFUSALS_KEPT;
    for (size_t i = 0; i < count; i++) {
        out[i] = refusals->last[(refusals->count - 1 - i) % REFUSALS_KEPT];
    }
    pthread_mutex_unlock(&refusals->lock);
    return count;
}
