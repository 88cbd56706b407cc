/*
 * type_interval.c - intervals: ISO 8601 durations (P1Y2M3DT4H5M6.7S) and PostgreSQL's own form
 * (1 year 2 mons -3 days +04:05:06.7).
 *
 * interval_recv() (timestamp.c) reads int64 microseconds, int32 days, int32 months, which never
 * mix: a day is not 24 hours, a month is not 30 days. Only a fraction moves down, as
 * DecodeInterval() and DecodeISO8601Interval() (datetime.c) have it: of a year to whole months; of
 * a month to days, 30 a month; of a week to days; of a day and below to microseconds.
 */
#include "calendar.h"
#include "cell.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#define MONTH_DAYS 30

enum unit_kind { UNIT_MONTHS, UNIT_DAYS, UNIT_MICROSECONDS };

struct unit {
    const char *name;
    uint8_t kind;  /* enum unit_kind */
    int64_t scale; /* in the kind */
};

/* datetime.c: deltatktbl, without its rarest spellings. */
static const struct unit units[] = {
    {"microsecond", UNIT_MICROSECONDS, 1},
    {"us", UNIT_MICROSECONDS, 1},
    {"millisecond", UNIT_MICROSECONDS, 1000},
    {"ms", UNIT_MICROSECONDS, 1000},
    {"second", UNIT_MICROSECONDS, SECOND_US},
    {"sec", UNIT_MICROSECONDS, SECOND_US},
    {"minute", UNIT_MICROSECONDS, 60 * SECOND_US},
    {"min", UNIT_MICROSECONDS, 60 * SECOND_US},
    {"hour", UNIT_MICROSECONDS, 3600 * SECOND_US},
    {"hr", UNIT_MICROSECONDS, 3600 * SECOND_US},
    {"day", UNIT_DAYS, 1},
    {"week", UNIT_DAYS, 7},
    {"month", UNIT_MONTHS, 1},
    {"mon", UNIT_MONTHS, 1},
    {"year", UNIT_MONTHS, 12},
    {"yr", UNIT_MONTHS, 12},
    {"decade", UNIT_MONTHS, 120},
    {"century", UNIT_MONTHS, 1200},
    {"centurie", UNIT_MONTHS, 1200}, /* with its plural s */
    {"millennium", UNIT_MONTHS, 12000},
};

struct interval {
    int32_t months, days;
    int64_t us;
};

/* A signed number as it stands before its unit; the fraction has the sign too. */
struct amount {
    int64_t whole;
    double fraction;
};

static bool add_microseconds(struct interval *interval, double us)
{
    /* AdjustFractMicroseconds(): to the nearest, halves towards zero. */
    int64_t whole = (int64_t)us;
    double rest = us - (double)whole;
    whole += (rest > 0.5) - (rest < -0.5);
    return !__builtin_add_overflow(interval->us, whole, &interval->us);
}

/* AdjustFractDays(): whole days, and the rest of the last one as time. */
static bool add_fraction_days(struct interval *interval, double days)
{
    int32_t whole = (int32_t)days;
    return !__builtin_add_overflow(interval->days, whole, &interval->days) &&
           add_microseconds(interval, (days - whole) * (double)DAY_US);
}

static bool add_amount(struct interval *interval, const struct unit *unit, struct amount amount)
{
    int64_t scaled;
    if (__builtin_mul_overflow(amount.whole, unit->scale, &scaled)) {
        return false;
    }
    switch (unit->kind) {
    case UNIT_MONTHS:
        if (__builtin_add_overflow(interval->months, scaled, &interval->months)) {
            return false;
        }
        if (unit->scale == 1) {
            return add_fraction_days(interval, amount.fraction * MONTH_DAYS);
        }
        return !__builtin_add_overflow(interval->months,
                                       (int32_t)rint(amount.fraction * (double)unit->scale),
                                       &interval->months);
    case UNIT_DAYS:
        return !__builtin_add_overflow(interval->days, scaled, &interval->days) &&
               add_fraction_days(interval, amount.fraction * (double)unit->scale);
    default:
        return !__builtin_add_overflow(interval->us, scaled, &interval->us) &&
               add_microseconds(interval, amount.fraction * (double)unit->scale);
    }
}

struct reader {
    const uint8_t *next, *end;
};

static bool at_digit(const struct reader *reader)
{
    return reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9';
}

static void skip_spaces(struct reader *reader)
{
    while (reader->next < reader->end && *reader->next == ' ') {
        reader->next++;
    }
}

/* +1, or -1 after a minus. */
static int take_sign(struct reader *reader)
{
    if (reader->next < reader->end && (*reader->next == '-' || *reader->next == '+')) {
        return *reader->next++ == '-' ? -1 : 1;
    }
    return 1;
}

static bool take_whole(struct reader *reader, int64_t *out)
{
    const uint8_t *start = reader->next;
    int64_t number = 0;
    while (at_digit(reader)) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *reader->next++ - '0', &number)) {
            return false;
        }
    }
    *out = number;
    return reader->next > start;
}

/* Digits behind a point, as a part of one. */
static bool take_fraction(struct reader *reader, double *out)
{
    char text[32] = "0.";
    size_t count = 0;
    const uint8_t *start = reader->next;
    for (; at_digit(reader); reader->next++) {
        if (count < sizeof text - 3) {
            text[2 + count++] = (char)*reader->next;
        }
    }
    *out = strtod(text, NULL);
    return reader->next > start;
}

static bool take_amount(struct reader *reader, int sign, struct amount *out)
{
    if (!take_whole(reader, &out->whole)) {
        return false;
    }
    out->fraction = 0;
    if (reader->next < reader->end && *reader->next == '.') {
        reader->next++;
        if (!take_fraction(reader, &out->fraction)) {
            return false;
        }
    }
    out->whole *= sign;
    out->fraction *= sign;
    return true;
}

/* ---- ISO 8601 -------------------------------------------------------------------------------- */

/* ParseISO8601Number() (datetime.c) reads one double and takes the whole part off it, so a fraction
 * here is not the one that its digits alone would give. */
static bool take_iso_amount(struct reader *reader, struct amount *out)
{
    char text[64];
    const uint8_t *start = reader->next;
    int sign = take_sign(reader);
    if (!take_amount(reader, sign, out) || reader->next - start >= (ptrdiff_t)sizeof text) {
        return false;
    }
    memcpy(text, start, (size_t)(reader->next - start));
    text[reader->next - start] = '\0';
    if (out->fraction != 0) {
        out->fraction = strtod(text, NULL) - (double)out->whole;
    }
    return fabs(out->fraction) < 1;
}

static const struct unit *iso_unit(uint8_t designator, bool in_time)
{
    static const struct unit year = {"Y", UNIT_MONTHS, 12}, month = {"M", UNIT_MONTHS, 1},
                             week = {"W", UNIT_DAYS, 7}, day = {"D", UNIT_DAYS, 1},
                             hour = {"H", UNIT_MICROSECONDS, 3600 * SECOND_US},
                             minute = {"M", UNIT_MICROSECONDS, 60 * SECOND_US},
                             second = {"S", UNIT_MICROSECONDS, SECOND_US};
    switch (designator) {
    case 'Y':
        return in_time ? NULL : &year;
    case 'W':
        return in_time ? NULL : &week;
    case 'D':
        return in_time ? NULL : &day;
    case 'M':
        return in_time ? &minute : &month;
    case 'H':
        return in_time ? &hour : NULL;
    case 'S':
        return in_time ? &second : NULL;
    default:
        return NULL;
    }
}

static bool parse_iso(struct reader reader, struct interval *out)
{
    bool in_time = false, has_amount = false;
    reader.next++; /* P */
    while (reader.next < reader.end) {
        if (*reader.next == 'T' && !in_time) {
            in_time = true;
            has_amount = false;
            reader.next++;
            continue;
        }
        struct amount amount;
        if (!take_iso_amount(&reader, &amount) || reader.next == reader.end) {
            return false;
        }
        const struct unit *unit = iso_unit(*reader.next++, in_time);
        if (unit == NULL || !add_amount(out, unit, amount)) {
            return false;
        }
        has_amount = true;
    }
    return has_amount;
}

/* ---- PostgreSQL's form ----------------------------------------------------------------------- */

/* The unit at the reader, singular or plural; its index, or -1. */
static int take_unit(struct reader *reader)
{
    const uint8_t *start = reader->next;
    while (reader->next < reader->end && (*reader->next | 0x20) >= 'a' &&
           (*reader->next | 0x20) <= 'z') {
        reader->next++;
    }
    size_t size = (size_t)(reader->next - start);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);
        bool is_plural = size == length + 1 && (start[length] | 0x20) == 's';
        if ((size == length || is_plural) &&
            strncasecmp((const char *)start, units[i].name, length) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* The rest of HH:MM[:SS[.f]] behind its hours. */
static bool take_clock(struct reader *reader, int sign, int64_t hours, struct interval *out)
{
    int64_t minutes, seconds = 0, us = 0, total;
    reader->next++; /* : */
    if (!take_whole(reader, &minutes) || minutes > 59) {
        return false;
    }
    if (reader->next < reader->end && *reader->next == ':') {
        reader->next++;
        if (!take_whole(reader, &seconds) || seconds > 60) {
            return false;
        }
        if (reader->next < reader->end && *reader->next == '.') {
            reader->next++;
            if (!fraction_take(&reader->next, reader->end, &us)) {
                return false;
            }
        }
    }
    us += (minutes * 60 + seconds) * SECOND_US;
    return !__builtin_mul_overflow(hours, 3600 * SECOND_US, &total) &&
           !__builtin_add_overflow(total, us, &total) &&
           !__builtin_add_overflow(out->us, sign * total, &out->us);
}

/* One bit for each field of the result: PostgreSQL takes none of them twice. */
static bool mark_once(uint32_t *seen, const struct unit *unit)
{
    uint32_t bit = 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (units[i].kind == unit->kind && units[i].scale == unit->scale) {
            bit = 1u << i;
            break;
        }
    }
    bool is_first = (*seen & bit) == 0;
    *seen |= bit;
    return is_first;
}

static bool parse_postgres(struct reader reader, struct interval *out)
{
    uint32_t seen = 0;
    bool has_clock = false; /* hours, minutes and seconds, in either form */
    if (reader.next == reader.end) {
        return false;
    }
    while (reader.next < reader.end) {
        struct amount amount;
        int sign = take_sign(&reader);
        if (!take_amount(&reader, sign, &amount)) {
            return false;
        }
        if (reader.next < reader.end && *reader.next == ':') {
            if (has_clock || amount.fraction != 0 ||
                !take_clock(&reader, sign, sign * amount.whole, out)) {
                return false;
            }
            has_clock = true;
        } else {
            skip_spaces(&reader);
            int unit = take_unit(&reader);
            if (unit < 0 || !mark_once(&seen, &units[unit]) ||
                !add_amount(out, &units[unit], amount)) {
                return false;
            }
            has_clock |= units[unit].kind == UNIT_MICROSECONDS && units[unit].scale >= SECOND_US;
        }
        skip_spaces(&reader);
    }
    return true;
}

static bool interval_parse(struct span text, struct interval *out)
{
    struct reader reader = {text.data, text.data + text.size};
    *out = (struct interval){0};
    skip_spaces(&reader);
    while (reader.end > reader.next && reader.end[-1] == ' ') {
        reader.end--;
    }
    bool is_iso = reader.next < reader.end && *reader.next == 'P';
    return is_iso ? parse_iso(reader, out) : parse_postgres(reader, out);
}

enum status interval_encode(const struct cell *cell, const struct value *value)
{
    struct span text;
    struct interval interval;
    enum status status = cell_text(cell, value, "a duration, such as P1DT2H", &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (!interval_parse(text, &interval)) {
        return cell_refuse(cell, "must be a duration within the range of interval, such as "
                                 "P1DT2H or 1 day 02:00:00");
    }
    writer_be64(cell->out, (uint64_t)interval.us);
    writer_be32(cell->out, (uint32_t)interval.days);
    writer_be32(cell->out, (uint32_t)interval.months);
    return STATUS_OK;
}
