/*
 * type_time.c - timestamps, dates and times of day.
 *
 * Receive functions (timestamp.c, date.c): timestamp_recv and timestamptz_recv read int64
 * microseconds since 2000-01-01, date_recv int32 days since then, time_recv int64 microseconds
 * since midnight; the ends of the integers are the infinities. They check the range and round to
 * the column's precision themselves.
 *
 * Meaning, as the input functions have it: a timestamp without time zone takes the clock as it is
 * written and ignores an offset; a timestamptz without an offset is in the session's TimeZone,
 * which is UTC on every connection of ours; a date ignores the time behind it.
 */
#include "calendar.h"
#include "cell.h"

/* src/include/datatype/timestamp.h: MIN_TIMESTAMP, END_TIMESTAMP, and the same for days: from
 * 4714-11-24 BC to 294276-12-31 and 5874897-12-31. */
#define TIMESTAMP_LEAST INT64_C(-211813488000000000)
#define TIMESTAMP_END   INT64_C(9223371331200000000)
#define DAY_LEAST       (-2451545)
#define DAY_END         INT64_C(2145031949)

#define INSTANT_RULE "a timestamp, such as 2026-11-21T02:47:50.123Z"

/* MessagePack's instant in microseconds since 2000-01-01, to the nearest. False: out of range. */
static bool instant_of(const struct value *value, int64_t *out)
{
    int64_t us;
    return !__builtin_sub_overflow(value->seconds, EPOCH_DAYS * INT64_C(86400), &us) &&
           !__builtin_mul_overflow(us, SECOND_US, &us) &&
           !__builtin_add_overflow(us, (value->nanoseconds + 500) / 1000, out);
}

/* `with_zone`: an offset counts. */
static bool instant_of_text(struct span text, bool with_zone, int64_t *out, bool *out_in_range)
{
    struct moment moment;
    if (!moment_parse(text, &moment)) {
        return false;
    }
    int64_t us = moment.time_us - (with_zone ? moment.offset_s * SECOND_US : 0);
    *out_in_range =
        !__builtin_mul_overflow(moment.day, DAY_US, out) && !__builtin_add_overflow(*out, us, out);
    return true;
}

static enum status infinity_encode(const struct cell *cell, int infinity)
{
    if (infinity == 0) {
        return cell_refuse(cell, "must be " INSTANT_RULE);
    }
    writer_be64(cell->out, (uint64_t)(infinity > 0 ? INT64_MAX : INT64_MIN));
    return STATUS_OK;
}

static enum status instant_encode(const struct cell *cell, const struct value *value,
                                  bool with_zone)
{
    int64_t us;
    bool in_range;
    if (value->kind == VALUE_TIMESTAMP) {
        in_range = instant_of(value, &us);
    } else {
        struct span text;
        enum status status = cell_text(cell, value, INSTANT_RULE, &text);
        if (status != STATUS_OK) {
            return status;
        }
        if (!instant_of_text(text, with_zone, &us, &in_range)) {
            return infinity_encode(cell, infinity_parse(text));
        }
    }
    if (!in_range || us < TIMESTAMP_LEAST || us >= TIMESTAMP_END) {
        return cell_refuse(cell, "must be between 4714-11-24 BC and 294276-12-31");
    }
    writer_be64(cell->out, (uint64_t)us);
    return STATUS_OK;
}

enum status timestamp_encode(const struct cell *cell, const struct value *value)
{
    return instant_encode(cell, value, false);
}

enum status timestamptz_encode(const struct cell *cell, const struct value *value)
{
    return instant_encode(cell, value, true);
}

enum status date_encode(const struct cell *cell, const struct value *value)
{
    int64_t us, day = 0;
    bool in_range = true;
    if (value->kind == VALUE_TIMESTAMP) {
        in_range = instant_of(value, &us);
        day = in_range ? floor_divide(us, DAY_US) : 0;
    } else {
        struct span text;
        struct moment moment;
        enum status status = cell_text(cell, value, "a date, such as 2026-11-21", &text);
        if (status != STATUS_OK) {
            return status;
        }
        int infinity = infinity_parse(text);
        if (infinity != 0) {
            writer_be32(cell->out, (uint32_t)(infinity > 0 ? INT32_MAX : INT32_MIN));
            return STATUS_OK;
        }
        if (!moment_parse(text, &moment)) {
            return cell_refuse(cell, "must be a date, such as 2026-11-21");
        }
        day = moment.day;
    }
    if (!in_range || day < DAY_LEAST || day >= DAY_END) {
        return cell_refuse(cell, "must be between 4714-11-24 BC and 5874897-12-31");
    }
    writer_be32(cell->out, (uint32_t)day);
    return STATUS_OK;
}

enum status time_encode(const struct cell *cell, const struct value *value)
{
    int64_t us;
    if (value->kind == VALUE_TIMESTAMP) {
        if (!instant_of(value, &us)) {
            return cell_refuse(cell, "must be a time within the calendar");
        }
        us -= floor_divide(us, DAY_US) * DAY_US;
    } else {
        struct span text;
        enum status status = cell_text(cell, value, "a time of day, such as 02:47:50.5", &text);
        if (status != STATUS_OK) {
            return status;
        }
        if (!time_parse(text, &us)) {
            return cell_refuse(cell, "must be a time of day, such as 02:47:50.5");
        }
    }
    writer_be64(cell->out, (uint64_t)us);
    return STATUS_OK;
}

void moment_write(enum type_id type, const struct value *value, struct writer *out)
{
    int64_t us = 0;
    if (!instant_of(value, &us)) {
        return; /* never: its encoder refused it */
    }
    int64_t day = floor_divide(us, DAY_US);
    if (type == TYPE_TIME) {
        time_write(us - day * DAY_US, out);
        return;
    }
    bool is_bc = day_write(day, out);
    if (type != TYPE_DATE) {
        writer_u8(out, 'T');
        time_write(us - day * DAY_US, out);
        writer_u8(out, 'Z');
    }
    if (is_bc) {
        writer_string(out, " BC");
    }
}
