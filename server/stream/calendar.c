#include "calendar.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

/* Days from 0001-01-01 to 2000-01-01. */
#define DAYS_TO_2000     730119
#define OFFSET_HOURS_MAX 15 /* PostgreSQL, timestamp.h: MAX_TZDISP_HOUR */

static const uint16_t days_before_month[] = {0,   31,  59,  90,  120, 151, 181,
                                             212, 243, 273, 304, 334, 365};

/* Years are astronomical: 1 BC is 0. */
static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_before_year(int64_t year)
{
    int64_t past = year - 1;
    return 365 * past + floor_divide(past, 4) - floor_divide(past, 100) + floor_divide(past, 400);
}

static int64_t month_days(int64_t year, int64_t month)
{
    return days_before_month[month] - days_before_month[month - 1] + (month == 2 && is_leap(year));
}

static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
    return days_before_year(year) + days_before_month[month - 1] + (month > 2 && is_leap(year)) +
           day - 1 - DAYS_TO_2000;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *next, *end;
};

static bool take_char(struct reader *reader, char c)
{
    if (reader->next < reader->end && *reader->next == (uint8_t)c) {
        reader->next++;
        return true;
    }
    return false;
}

/* A number of `least` to `most` digits; no further digit may follow. */
static bool take_number(struct reader *reader, size_t least, size_t most, int64_t *out)
{
    size_t count = 0;
    *out = 0;
    while (reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9') {
        if (++count > most) {
            return false;
        }
        *out = *out * 10 + (*reader->next++ - '0');
    }
    return count >= least;
}

bool fraction_take(const uint8_t **next, const uint8_t *end, int64_t *out_us)
{
    char text[32] = "0.";
    size_t count = 0;
    int64_t us = 0;
    while (*next < end && **next >= '0' && **next <= '9') {
        if (count < sizeof text - 3) {
            text[2 + count] = (char)**next;
        }
        if (count < 6) {
            us = us * 10 + (**next - '0');
        }
        count++;
        (*next)++;
    }
    for (size_t i = count; i < 6; i++) {
        us *= 10;
    }
    *out_us = count > 6 ? (int64_t)rint(strtod(text, NULL) * 1e6) : us;
    return count > 0;
}

/* HH:MM[:SS[.f]], within the day as time_overflows() of date.c has it: 24:00:00 and a 60th second
 * are legal while the whole does not pass midnight. */
static bool take_time(struct reader *reader, int64_t *out_us)
{
    int64_t hour, minute, second = 0, us = 0;
    if (!take_number(reader, 1, 2, &hour) || !take_char(reader, ':') ||
        !take_number(reader, 1, 2, &minute)) {
        return false;
    }
    if (take_char(reader, ':')) {
        if (!take_number(reader, 1, 2, &second)) {
            return false;
        }
        if (take_char(reader, '.') && !fraction_take(&reader->next, reader->end, &us)) {
            return false;
        }
    }
    *out_us = ((hour * 60 + minute) * 60 + second) * SECOND_US + us;
    return hour <= 24 && minute <= 59 && second <= 60 && *out_us <= DAY_US;
}

/* Z, or a sign and HH, HHMM, HH:MM or HH:MM:SS. */
static bool take_offset(struct reader *reader, int32_t *out_s)
{
    if (take_char(reader, 'Z') || take_char(reader, 'z')) {
        *out_s = 0;
        return true;
    }
    bool west = take_char(reader, '-');
    int64_t hour, minute = 0, second = 0;
    if (!west && !take_char(reader, '+')) {
        return false;
    }
    const uint8_t *digits = reader->next;
    if (!take_number(reader, 1, 4, &hour)) {
        return false;
    }
    if (reader->next - digits > 2) {
        minute = hour % 100;
        hour /= 100;
    } else if (take_char(reader, ':')) {
        if (!take_number(reader, 1, 2, &minute) ||
            (take_char(reader, ':') && !take_number(reader, 1, 2, &second))) {
            return false;
        }
    }
    int32_t offset = (int32_t)((hour * 60 + minute) * 60 + second);
    *out_s = west ? -offset : offset;
    return hour <= OFFSET_HOURS_MAX && minute <= 59 && second <= 59;
}

static bool at_offset(const struct reader *reader)
{
    return reader->next < reader->end && memchr("Zz+-", *reader->next, 4) != NULL;
}

static void skip_spaces(struct reader *reader)
{
    while (take_char(reader, ' ')) {
    }
}

static struct reader reader_of(struct span text)
{
    struct reader reader = {text.data, text.data + text.size};
    skip_spaces(&reader);
    while (reader.end > reader.next && reader.end[-1] == ' ') {
        reader.end--;
    }
    return reader;
}

/* " BC" or " AD", or nothing, and then the end. */
static bool take_era(struct reader *reader, bool *out_bc)
{
    *out_bc = false;
    skip_spaces(reader);
    if (reader->next == reader->end) {
        return true;
    }
    if (reader->end - reader->next != 2) {
        return false;
    }
    const char *era = (const char *)reader->next;
    *out_bc = strncasecmp(era, "BC", 2) == 0;
    return *out_bc || strncasecmp(era, "AD", 2) == 0;
}

static bool take_time_and_offset(struct reader *reader, struct moment *out)
{
    const uint8_t *before = reader->next;
    if (!take_char(reader, 'T') && !take_char(reader, 't')) {
        skip_spaces(reader);
    }
    if (reader->next == before) {
        return reader->next == reader->end;
    }
    bool digit_follows = reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9';
    if (!digit_follows) { /* spaces before an era */
        return *before == ' ';
    }
    if (!take_time(reader, &out->time_us)) {
        return false;
    }
    out->has_time = true;
    skip_spaces(reader);
    if (at_offset(reader)) {
        out->has_offset = true;
        return take_offset(reader, &out->offset_s);
    }
    return true;
}

static bool is_day(int64_t year, int64_t month, int64_t day)
{
    return month >= 1 && month <= 12 && day >= 1 && day <= month_days(year, month);
}

/* Digits at a fixed place; `*bad` is set when one of them is none. */
static inline int64_t digits_at(const uint8_t *at, size_t count, bool *bad)
{
    int64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t digit = (uint8_t)(at[i] - '0');
        *bad |= digit > 9;
        number = number * 10 + digit;
    }
    return number;
}

/* 2026-11-21T02:47:50.123Z, as nearly all programs write it: everything has its place, so nothing
 * is looked for, at a quarter of the general reader's cost. False: it may still be of another form.
 */
static bool parse_usual(struct span text, struct moment *out)
{
    static const int64_t units_us[] = {SECOND_US, 100000, 10000, 1000, 100, 10, 1};
    const uint8_t *c = text.data;
    if (text.size < 20 || text.size > 27 || c[4] != '-' || c[7] != '-' || c[10] != 'T' ||
        c[13] != ':' || c[16] != ':' || c[text.size - 1] != 'Z') {
        return false;
    }
    size_t fraction = text.size > 20 ? text.size - 21 : 0;
    bool bad = text.size > 20 && (c[19] != '.' || fraction == 0);
    int64_t year = digits_at(c, 4, &bad);
    int64_t month = digits_at(c + 5, 2, &bad), day = digits_at(c + 8, 2, &bad);
    int64_t hour = digits_at(c + 11, 2, &bad), minute = digits_at(c + 14, 2, &bad);
    int64_t second = digits_at(c + 17, 2, &bad);
    int64_t us = digits_at(c + 20, fraction, &bad) * units_us[fraction];
    if (bad || year == 0 || hour > 23 || minute > 59 || second > 59 || !is_day(year, month, day)) {
        return false;
    }
    *out = (struct moment){.day = day_of(year, month, day),
                           .time_us = ((hour * 60 + minute) * 60 + second) * SECOND_US + us,
                           .has_time = true,
                           .has_offset = true};
    return true;
}

bool moment_parse(struct span text, struct moment *out)
{
    if (parse_usual(text, out)) {
        return true;
    }
    struct reader reader = reader_of(text);
    int64_t year, month, day;
    bool is_bc;
    *out = (struct moment){0};
    if (!take_number(&reader, 4, 7, &year) || !take_char(&reader, '-') ||
        !take_number(&reader, 1, 2, &month) || !take_char(&reader, '-') ||
        !take_number(&reader, 1, 2, &day) || !take_time_and_offset(&reader, out) ||
        !take_era(&reader, &is_bc)) {
        return false;
    }
    if (year == 0) {
        return false;
    }
    year = is_bc ? 1 - year : year;
    if (!is_day(year, month, day)) {
        return false;
    }
    out->day = day_of(year, month, day);
    return true;
}

bool time_parse(struct span text, int64_t *out_us)
{
    struct reader reader = reader_of(text);
    int32_t ignored;
    if (!take_time(&reader, out_us)) {
        return false;
    }
    skip_spaces(&reader);
    if (at_offset(&reader) && !take_offset(&reader, &ignored)) {
        return false;
    }
    return reader.next == reader.end;
}

int infinity_parse(struct span text)
{
    struct reader reader = reader_of(text);
    int sign = take_char(&reader, '-') ? -1 : 1;
    static const char word[] = "infinity";
    bool is_word = reader.end - reader.next == sizeof word - 1 &&
                   strncasecmp((const char *)reader.next, word, sizeof word - 1) == 0;
    return is_word ? sign : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_digits(struct writer *out, int64_t number, size_t count)
{
    uint8_t *at = writer_take(out, count);
    for (size_t i = count; at != NULL && i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

bool day_write(int64_t day, struct writer *out)
{
    int64_t since_1 = day + DAYS_TO_2000;
    /* 146097 days are 400 years: off by one at most, near the turn of a year. */
    int64_t year = floor_divide(since_1 * 400, 146097) + 1;
    while (days_before_year(year) > since_1) {
        year--;
    }
    while (days_before_year(year + 1) <= since_1) {
        year++;
    }
    int64_t rest = since_1 - days_before_year(year), month = 1;
    while (rest >= month_days(year, month)) {
        rest -= month_days(year, month++);
    }
    int64_t shown = year > 0 ? year : 1 - year;
    size_t digits = 4;
    for (int64_t past = shown / 10000; past > 0; past /= 10) {
        digits++;
    }
    write_digits(out, shown, digits);
    writer_u8(out, '-');
    write_digits(out, month, 2);
    writer_u8(out, '-');
    write_digits(out, rest + 1, 2);
    return year <= 0;
}

void time_write(int64_t time_us, struct writer *out)
{
    int64_t seconds = time_us / SECOND_US, us = time_us % SECOND_US;
    write_digits(out, seconds / 3600, 2);
    writer_u8(out, ':');
    write_digits(out, seconds / 60 % 60, 2);
    writer_u8(out, ':');
    write_digits(out, seconds % 60, 2);
    if (us == 0) {
        return;
    }
    size_t digits = 6;
    for (; us % 10 == 0; us /= 10) {
        digits--;
    }
    writer_u8(out, '.');
    write_digits(out, us, digits);
}
