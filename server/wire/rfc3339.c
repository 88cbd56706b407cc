/* rfc3339.c - see rfc3339.h. */
#include "rfc3339.h"

#include <stdio.h>
#include <time.h>

#define NANOSECONDS 1000000000u
#define SECONDS_MIN (-62167219200) /* 0000-01-01T00:00:00Z */
#define SECONDS_MAX 253402300799   /* 9999-12-31T23:59:59Z */

bool timestamp_unpack(struct span body, int64_t *out_seconds, uint32_t *out_nanoseconds)
{
    switch (body.size) {
    case 4:
        *out_seconds = read_be32(body.data);
        *out_nanoseconds = 0;
        return true;
    case 8: { /* 30 bits of nanoseconds, 34 of seconds */
        uint64_t both = read_be64(body.data);
        *out_seconds = (int64_t)(both & 0x3ffffffffu);
        *out_nanoseconds = (uint32_t)(both >> 34);
        break;
    }
    case 12:
        *out_nanoseconds = read_be32(body.data);
        *out_seconds = (int64_t)read_be64(body.data + 4);
        break;
    default:
        return false;
    }
    return *out_nanoseconds < NANOSECONDS;
}

bool rfc3339_has(int64_t seconds)
{
    return seconds >= SECONDS_MIN && seconds <= SECONDS_MAX;
}

size_t rfc3339_format(int64_t seconds, uint32_t nanoseconds, char out[RFC3339_BYTES_MAX + 1])
{
    struct tm t;
    time_t at = (time_t)seconds;
    gmtime_r(&at, &t); /* cannot fail for years of four digits */
    char fraction[16] = "";
    if (nanoseconds % 1000000 == 0 && nanoseconds != 0) {
        snprintf(fraction, sizeof fraction, ".%03u", nanoseconds / 1000000);
    } else if (nanoseconds % 1000 == 0 && nanoseconds != 0) {
        snprintf(fraction, sizeof fraction, ".%06u", nanoseconds / 1000);
    } else if (nanoseconds != 0) {
        snprintf(fraction, sizeof fraction, ".%09u", nanoseconds);
    }
    return (size_t)snprintf(out, RFC3339_BYTES_MAX + 1, "%04d-%02d-%02dT%02d:%02d:%02d%sZ",
                            t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
                            t.tm_sec, fraction);
}
