/*
 * calendar.h - days, times of day and offsets as people write them, and back.
 *
 * The grammar is RFC 3339's and ISO 8601's, with what PostgreSQL prints: a space for the T, offsets
 * without minutes or with seconds, years of up to seven digits, " BC". Nothing is guessed: no month
 * names, no time zone names, no two-digit years. The calendar is the proleptic Gregorian one.
 */
#ifndef PENSTOCK_STREAM_CALENDAR_H
#define PENSTOCK_STREAM_CALENDAR_H

#include "penstock/bytes.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US    (86400 * SECOND_US)
/* From 1970-01-01 to PostgreSQL's epoch, 2000-01-01. */
#define EPOCH_DAYS 10957

/* Inline, so that a constant divisor becomes a multiplication. */
static inline int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

struct moment {
    int64_t day;     /* since 2000-01-01 */
    int64_t time_us; /* within the day; 24:00:00 is legal */
    bool has_time;
    bool has_offset;
    int32_t offset_s; /* east of UTC */
};

/* "infinity" and "-infinity", in any case: 1 and -1, else 0. */
int infinity_parse(struct span text);
/* A date, with or without a time and an offset. */
bool moment_parse(struct span text, struct moment *out);
/* A time of day, with or without an offset. */
bool time_parse(struct span text, int64_t *out_us);
/* ".25" at the reader: microseconds, rounded to even as rint() does (datetime.c: ParseFraction). */
bool fraction_take(const uint8_t **next, const uint8_t *end, int64_t *out_us);

/* 2026-11-21; years before 1 as PostgreSQL writes them, with " BC" (the caller adds it at the end).
 */
bool day_write(int64_t day, struct writer *out);
/* 02:47:50.1234: no more digits than it takes. */
void time_write(int64_t time_us, struct writer *out);

#endif
