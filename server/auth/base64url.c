/* base64url.c - see base64url.h. */
#include "base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 0 to 63, or 64. */
static uint32_t digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : 64;
}

bool base64url_decode(struct span text, struct writer *out)
{
    uint32_t bits = 0;
    unsigned held = 0; /* of them, low ones, not written yet */
    for (size_t i = 0; i < text.size; i++) {
        uint32_t value = digit(text.data[i]);
        if (value == 64) {
            return false;
        }
        bits = (bits << 6 | value) & 0xFFFF;
        held += 6;
        if (held >= 8) {
            held -= 8;
            writer_u8(out, (uint8_t)(bits >> held));
        }
    }
    bool is_whole = held < 6 && (bits & ((1u << held) - 1)) == 0;
    return is_whole && !out->full;
}

void base64url_encode(struct span bytes, struct writer *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bits = (bits << 8 | bytes.data[i]) & 0xFFFF;
        held += 8;
        while (held >= 6) {
            held -= 6;
            writer_u8(out, (uint8_t)alphabet[bits >> held & 63]);
        }
    }
    if (held > 0) {
        writer_u8(out, (uint8_t)alphabet[bits << (6 - held) & 63]);
    }
}
