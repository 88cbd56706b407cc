/*
 * crc32c.c - CRC-32C: by the processor's instruction where it has one, by tables elsewhere.
 *
 * The polynomial is 0x1EDC6F41, bits reversed in the register (0x82F63B78), which starts and ends
 * inverted (RFC 3720 section 12.1 and appendix B.4).
 *
 * Tables: eight bytes a step ("slicing-by-8"). tables[k][b] is what byte b does to the register
 * when k more bytes follow it, so eight look-ups that do not wait for one another replace eight
 * that do.
 *
 * Instruction: it takes three cycles, but a new one can begin in each. So three neighbouring runs
 * are summed side by side, the second and third as if nothing stood before them, and put together
 * after:
 *
 *     | run a | run b | run c |     sum = skip(skip(a) ^ b) ^ c
 *
 * where skip() is what RUN_BYTES of zeros do to the register. That is linear in the register's
 * bits, so a table for each of its four bytes holds it.
 */
#include "crc32c.h"

#include "penstock/base.h"

#include <pthread.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL_REVERSED UINT32_C(0x82F63B78)

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++) {
            state = state >> 1 ^ ((state & 1) != 0 ? POLYNOMIAL_REVERSED : 0);
        }
        tables[0][byte] = state;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int k = 1; k < 8; k++) {
            uint32_t state = tables[k - 1][byte];
            tables[k][byte] = state >> 8 ^ tables[0][state & 0xFF];
        }
    }
}

uint32_t crc32c_by_table(uint32_t state, const uint8_t *data, size_t size)
{
    pthread_once(&tables_once, tables_fill);
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t eight;
        memcpy(&eight, data, sizeof eight);
        eight = le64toh(eight) ^ state;
        state = tables[7][eight & 0xFF] ^ tables[6][eight >> 8 & 0xFF] ^
                tables[5][eight >> 16 & 0xFF] ^ tables[4][eight >> 24 & 0xFF] ^
                tables[3][eight >> 32 & 0xFF] ^ tables[2][eight >> 40 & 0xFF] ^
                tables[1][eight >> 48 & 0xFF] ^ tables[0][eight >> 56];
    }
    for (; size > 0; data++, size--) {
        state = state >> 8 ^ tables[0][(state ^ *data) & 0xFF];
    }
    return state;
}

#if defined(__x86_64__)

enum { RUN_BYTES = 512 }; /* three fit a small frame of the journal twice */

static uint32_t skips[4][256];
static pthread_once_t skips_once = PTHREAD_ONCE_INIT;

static void skips_fill(void)
{
    static const uint8_t zeros[RUN_BYTES];
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t skipped = crc32c_by_table(UINT32_C(1) << bit, zeros, sizeof zeros);
        for (uint32_t byte = 0; byte < 256; byte++) {
            skips[bit / 8][byte] ^= (byte >> bit % 8 & 1) != 0 ? skipped : 0;
        }
    }
}

static uint32_t skip(uint32_t state)
{
    return skips[0][state & 0xFF] ^ skips[1][state >> 8 & 0xFF] ^ skips[2][state >> 16 & 0xFF] ^
           skips[3][state >> 24];
}

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t three_runs(uint32_t state, const uint8_t *data)
{
    uint64_t a = state, b = 0, c = 0;
    for (size_t at = 0; at < RUN_BYTES; at += 8) {
        a = _mm_crc32_u64(a, word_at(data + at));
        b = _mm_crc32_u64(b, word_at(data + RUN_BYTES + at));
        c = _mm_crc32_u64(c, word_at(data + 2 * RUN_BYTES + at));
    }
    return skip(skip((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t state,
                                                                 const uint8_t *data, size_t size)
{
    if (size >= 3 * RUN_BYTES) {
        pthread_once(&skips_once, skips_fill);
    }
    for (; size >= 3 * RUN_BYTES; data += 3 * RUN_BYTES, size -= 3 * RUN_BYTES) {
        state = three_runs(state, data);
    }
    uint64_t wide = state;
    for (; size >= 8; data += 8, size -= 8) {
        wide = _mm_crc32_u64(wide, word_at(data));
    }
    state = (uint32_t)wide;
    for (; size > 0; data++, size--) {
        state = _mm_crc32_u8(state, *data);
    }
    return state;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    /* One load and a test: libgcc reads CPUID once, before main(). */
    return __builtin_cpu_supports("sse4.2") ? ~by_instruction(~crc, data, size)
                                            : ~crc32c_by_table(~crc, data, size);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return ~crc32c_by_table(~crc, data, size);
}

#endif
