/*
 * hash.c - FNV-1a for names of ours, SipHash-1-3 for keys that clients choose.
 *
 * A client that could compute our hash could send channel names that all land in one bucket and
 * make each look-up a walk. SipHash (Aumasson and Bernstein, 2012) under a random key takes that
 * away; one round a word and three at the end is the variant for hash tables that Rust and Ruby use
 * too.
 */
#include "hash.h"

#include "penstock/base.h"
#include "random.h"

#include <pthread.h>

uint64_t hash_name(struct span name)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ name.data[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void key_draw(void)
{
    random_fill(key, sizeof key);
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate(s->b, 17) ^ s->c;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c = rotate(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

uint64_t hash_siphash13(const uint64_t with_key[2], struct span bytes)
{
    /* The four words are ASCII for "somepseudorandomlygeneratedbytes". */
    struct sip s = {
        with_key[0] ^ UINT64_C(0x736F6D6570736575), with_key[1] ^ UINT64_C(0x646F72616E646F6D),
        with_key[0] ^ UINT64_C(0x6C7967656E657261), with_key[1] ^ UINT64_C(0x7465646279746573)};
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        sip_word(&s, le64toh(word));
    }
    uint64_t last = (uint64_t)(bytes.size & 0xFF) << 56;
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)at[i] << (8 * i);
    }
    sip_word(&s, last);
    s.c ^= 0xFF;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t hash_keyed(struct span bytes)
{
    pthread_once(&key_once, key_draw);
    return hash_siphash13(key, bytes);
}
