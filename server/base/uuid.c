/*
 * uuid.c - time-ordered ids (UUIDv7, RFC 9562 section 5.7), and PostgreSQL's reading of uuids.
 *
 *      bits 48                 4   12       2   14       48
 *     | unix milliseconds | 0111 | counter | 10 | counter | random |
 *
 * The counter has 26 bits. It begins anew in each millisecond, at a random number with the highest
 * bit clear, so at least 2^25 ids fit into one; past them, and while the wall clock stands behind
 * the last id, the generator runs ahead of the clock instead of going back.
 */
#include "random.h"

#include "penstock/base.h"

enum { COUNTER_BITS = 26, COUNTER_LOW_BITS = 14 };

void uuid_generator_init(struct uuid_generator *generator)
{
    *generator = (struct uuid_generator){0};
    do {
        random_fill(generator->state, sizeof generator->state);
    } while (generator->state[0] == 0 && generator->state[1] == 0); /* the one state that stays */
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/* xoroshiro128++ (Blackman and Vigna, 2019): ids need to be distinct, not secret. */
static uint64_t next_random(struct uuid_generator *generator)
{
    uint64_t a = generator->state[0], b = generator->state[1];
    uint64_t result = rotate(a + b, 17) + a;
    b ^= a;
    generator->state[0] = rotate(a, 49) ^ b ^ (b << 21);
    generator->state[1] = rotate(b, 28);
    return result;
}

static uint32_t counter_begin(struct uuid_generator *generator)
{
    return (uint32_t)(next_random(generator) >> (64 - COUNTER_BITS + 1));
}

void uuid_generate(struct uuid_generator *generator, int64_t unix_us, uint8_t out[UUID_BYTES])
{
    int64_t now_ms = unix_us / 1000;
    if (now_ms > generator->last_ms) {
        generator->last_ms = now_ms;
        generator->counter = counter_begin(generator);
    } else if (++generator->counter >> COUNTER_BITS != 0) {
        generator->last_ms++;
        generator->counter = counter_begin(generator);
    }

    uint64_t ms = (uint64_t)generator->last_ms;
    uint64_t count = generator->counter;
    uint64_t high = htobe64(ms << 16 | 0x7000 | count >> COUNTER_LOW_BITS);
    uint64_t low = UINT64_C(0x8000000000000000) | (count & ((1u << COUNTER_LOW_BITS) - 1)) << 48 |
                   next_random(generator) >> 16;
    low = htobe64(low);
    memcpy(out, &high, sizeof high);
    memcpy(out + sizeof high, &low, sizeof low);
}

void uuid_format(const uint8_t uuid[UUID_BYTES], char out[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    static const uint8_t places[UUID_BYTES] = {0,  2,  4,  6,  9,  11, 14, 16,
                                               19, 21, 24, 26, 28, 30, 32, 34};
    for (int i = 0; i < UUID_BYTES; i++) {
        out[places[i]] = digits[uuid[i] >> 4];
        out[places[i] + 1] = digits[uuid[i] & 15];
    }
    out[8] = out[13] = out[18] = out[23] = '-';
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20; /* lower case */
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The rules are those of string_to_uuid() in PostgreSQL's utils/adt/uuid.c. */
bool uuid_parse(struct span text, uint8_t out[UUID_BYTES])
{
    const uint8_t *at = text.data, *end = text.data + text.size;
    if (text.size >= 2 && at[0] == '{') {
        if (end[-1] != '}') {
            return false;
        }
        at++;
        end--;
    }
    for (int i = 0; i < UUID_BYTES; i++) {
        if (end - at < 2 || hex_digit(at[0]) < 0 || hex_digit(at[1]) < 0) {
            return false;
        }
        out[i] = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
        at += 2;
        if (i % 2 == 1 && i < UUID_BYTES - 1 && at < end && *at == '-') {
            at++;
        }
    }
    return at == end;
}
