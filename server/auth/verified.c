/* verified.c - see verified.h. */
#include "verified.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>

#define WAYS 4
#define SETS 1024 /* a power of two; 4096 places of 48 bytes */

struct place {
    uint8_t digest[DIGEST_BYTES];
    uint64_t keys; /* 0: free */
    uint64_t used; /* by `clock` of the table */
};

struct verified {
    pthread_mutex_t lock;
    uint64_t clock;
    struct place places[SETS][WAYS];
};

struct verified *verified_create(void)
{
    struct verified *verified = calloc(1, sizeof *verified);
    if (verified != NULL) {
        pthread_mutex_init(&verified->lock, NULL); /* cannot fail with default attributes */
    }
    return verified;
}

void verified_destroy(struct verified *verified)
{
    if (verified != NULL) {
        pthread_mutex_destroy(&verified->lock);
        free(verified);
    }
}

bool verified_digest(struct span token, uint8_t out[DIGEST_BYTES])
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, token.data, token.size, out) == 0;
}

/* Who could choose tokens that meet in one set would have to have them signed first. */
static struct place *set_of(struct verified *verified, const uint8_t digest[DIGEST_BYTES])
{
    return verified->places[(digest[0] | (unsigned)digest[1] << 8) & (SETS - 1)];
}

bool verified_find(struct verified *verified, const uint8_t digest[DIGEST_BYTES], uint64_t keys)
{
    bool is_there = false;
    pthread_mutex_lock(&verified->lock);
    struct place *set = set_of(verified, digest);
    for (unsigned way = 0; way < WAYS && !is_there; way++) {
        is_there = set[way].keys == keys && memcmp(set[way].digest, digest, DIGEST_BYTES) == 0;
        if (is_there) {
            set[way].used = ++verified->clock;
        }
    }
    pthread_mutex_unlock(&verified->lock);
    return is_there;
}

void verified_add(struct verified *verified, const uint8_t digest[DIGEST_BYTES], uint64_t keys)
{
    pthread_mutex_lock(&verified->lock);
    struct place *set = set_of(verified, digest), *place = set;
    for (unsigned way = 0; way < WAYS; way++) {
        bool is_stale = set[way].keys != keys; /* free ones, too */
        if (is_stale || set[way].used < place->used) {
            place = &set[way];
        }
        if (is_stale) {
            break;
        }
    }
    memcpy(place->digest, digest, DIGEST_BYTES);
    place->keys = keys;
    place->used = ++verified->clock;
    pthread_mutex_unlock(&verified->lock);
}
