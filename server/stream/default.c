/*
 * default.c - what a column's default expression means to the edge.
 *
 *   generated, identity                     the database computes it
 *   gen_random_uuid() and its kin, or a     a UUIDv7 made here: time-ordered ids cost the database
 *   single uuid key with a volatile         less than random ones (DESIGN section 4)
 *   default or none
 *   now() and its kin                       the time of arrival, in UTC
 *   anything immutable                      evaluated once, by whoever read the catalog
 *   none                                    NULL, or required
 *   anything else                           the database computes it
 *
 * What is not recognized is always left to the database, so a wrong guess is not possible, only a
 * column that events cannot carry. The text is what pg_get_expr() prints (ruleutils.c).
 */
#include "column.h"

#include <strings.h>

#define BY_GENERATION "is a generated column: the database computes it, and no event may carry it"
#define BY_IDENTITY   "is an identity column: the database counts it up, and no event may carry it"
#define BY_DEFAULT    "has a default that only the database can compute, and no event may carry it"

#define PRECISION_FULL 6

/* ---- expressions ----------------------------------------------------------------------------- */

static struct span trim(struct span text)
{
    while (text.size > 0 && text.data[0] == ' ') {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    return text;
}

static bool begins(struct span text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && strncasecmp((const char *)text.data, with, size) == 0;
}

static bool ends(struct span text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size &&
           strncasecmp((const char *)text.data + text.size - size, with, size) == 0;
}

static bool is(struct span text, const char *word)
{
    return text.size == strlen(word) && begins(text, word);
}

static struct span cut(struct span text, size_t front, size_t back)
{
    return trim(span_of(text.data + front, text.size - front - back));
}

/* The index at which the parenthesis that opens the text closes; 0: it does not open with one. */
static size_t closing(struct span text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        quoted ^= c == '\'';
        if (!quoted && c == '(') {
            depth++;
        } else if (!quoted && c == ')' && --depth == 0) {
            return i;
        }
        if (depth == 0) {
            return 0;
        }
    }
    return 0;
}

static struct span unwrap(struct span text)
{
    text = trim(text);
    while (text.size > 1 && closing(text) == text.size - 1) {
        text = cut(text, 1, 1);
    }
    return text;
}

/* Splits "(inner)::type", as ruleutils.c prints an explicit cast; `*out_type` is empty without. */
static struct span take_cast(struct span text, struct span *out_type)
{
    text = unwrap(text);
    *out_type = span_of(NULL, 0);
    size_t close = closing(text);
    if (close == 0 || close + 2 >= text.size || text.data[close + 1] != ':' ||
        text.data[close + 2] != ':') {
        return text;
    }
    *out_type = cut(text, close + 3, 0);
    return cut(text, 1, text.size - close);
}

/* "schema.name()": the name; else an empty span. */
static struct span call_name(struct span text)
{
    if (!ends(text, "()")) {
        return span_of(NULL, 0);
    }
    struct span name = cut(text, 0, 2);
    for (size_t i = name.size; i > 0; i--) {
        if (name.data[i - 1] == '.') {
            return cut(name, i, 0);
        }
    }
    return name;
}

/* ---- uuids ----------------------------------------------------------------------------------- */

static bool is_uuid_maker(struct span text)
{
    static const char *const names[] = {
        "gen_random_uuid",    "uuidv4",           "uuidv7",  "uuid_generate_v1",
        "uuid_generate_v1mc", "uuid_generate_v4", "uuid7",   "uuid_generate_v7",
        "gen_uuid_v7",        "generate_uuid_v7", "uuid_v7", "uuid_v4",
    };
    struct span name = call_name(text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (name.size > 0 && is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* A uuid has room in the column: a uuid, or a text that takes 36 characters. */
static bool holds_uuid(const struct column *column)
{
    if (column->is_array) {
        return false;
    }
    bool is_long_enough = column->modifier < 4 || column->modifier - 4 >= UUID_TEXT_BYTES;
    return column->type->id == TYPE_UUID || (type_is_text(column->type->id) && is_long_enough);
}

static bool plan_uuid(const struct column_description *description, struct column *column)
{
    struct span type;
    struct span inner = take_cast(span_string(description->default_expression), &type);
    bool keeps_uuid =
        type.size == 0 || is(type, "uuid") || is(type, "text") || is(type, "character varying");
    if (!keeps_uuid || !is_uuid_maker(inner) || !holds_uuid(column)) {
        return false;
    }
    column->fill = FILL_UUID;
    return true;
}

/* ---- the clock ------------------------------------------------------------------------------- */

struct clock {
    uint8_t precision;
    bool is_day, is_time;
};

/* "NAME" or "NAME(3)". */
static bool is_clock_word(struct span text, const char *name, uint8_t *out_precision)
{
    size_t size = strlen(name);
    if (!begins(text, name)) {
        return false;
    }
    *out_precision = PRECISION_FULL;
    if (text.size == size) {
        return true;
    }
    if (text.size != size + 3 || text.data[size] != '(' || text.data[size + 2] != ')') {
        return false;
    }
    *out_precision = (uint8_t)(text.data[size + 1] - '0');
    return *out_precision <= PRECISION_FULL;
}

static bool read_clock(struct span text, struct clock *out)
{
    static const char *const functions[] = {"now", "transaction_timestamp", "statement_timestamp",
                                            "clock_timestamp"};
    *out = (struct clock){.precision = PRECISION_FULL};
    text = unwrap(text);
    if (is(text, "CURRENT_DATE")) {
        out->is_day = true;
        return true;
    }
    if (is_clock_word(text, "CURRENT_TIMESTAMP", &out->precision) ||
        is_clock_word(text, "LOCALTIMESTAMP", &out->precision)) {
        return true;
    }
    if (is_clock_word(text, "LOCALTIME", &out->precision)) {
        out->is_time = true;
        return true;
    }
    struct span name = call_name(text);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (name.size > 0 && is(name, functions[i])) {
            return true;
        }
    }
    return false;
}

/* timezone('utc'::text, X) and X AT TIME ZONE 'utc'::text are X: our sessions are in UTC, so both
 * ways to and from a timestamp without time zone are the same instant. */
static struct span strip_utc(struct span text)
{
    static const char call[] = "timezone('utc'::text, ", suffix[] = " AT TIME ZONE 'utc'::text";
    text = unwrap(text);
    if (begins(text, call) && ends(text, ")")) {
        return cut(text, sizeof call - 1, 1);
    }
    if (ends(text, suffix)) {
        return cut(text, 0, sizeof suffix - 1);
    }
    return text;
}

/* What a cast leaves of the clock. */
static bool apply_cast(struct span type, struct clock *clock)
{
    if (type.size == 0 || is(type, "timestamp without time zone") ||
        is(type, "timestamp with time zone")) {
        return true;
    }
    if (is(type, "date")) {
        clock->is_day = true;
        return !clock->is_time;
    }
    if (is(type, "time without time zone")) {
        clock->is_time = true;
        return !clock->is_day;
    }
    return false;
}

static bool plan_clock(const struct column_description *description, struct column *column)
{
    struct span type;
    struct clock clock;
    enum type_id id = column->type->id;
    struct span inner = take_cast(span_string(description->default_expression), &type);
    bool is_fitting = !column->is_array && (id == TYPE_TIMESTAMP || id == TYPE_TIMESTAMPTZ ||
                                            id == TYPE_DATE || id == TYPE_TIME);
    if (!is_fitting || !read_clock(strip_utc(inner), &clock) || !apply_cast(type, &clock)) {
        return false;
    }
    if ((clock.is_time && id != TYPE_TIME) || (clock.is_day && id == TYPE_TIME)) {
        return false;
    }
    column->fill = FILL_ARRIVAL;
    column->is_day = clock.is_day;
    column->precision = clock.precision;
    if (column->modifier >= 0 && column->modifier < column->precision) {
        column->precision = (uint8_t)column->modifier;
    }
    return true;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static void computed(struct column *column, const char *why)
{
    column->fill = FILL_DATABASE;
    column->computed_by = why;
}

void column_plan_default(const struct column_description *description, bool is_only_key,
                         struct column *column)
{
    bool is_uuid_key = is_only_key && column->type->id == TYPE_UUID && !column->is_array;
    if (description->generated) {
        computed(column, BY_GENERATION);
    } else if (description->identity != 0) {
        computed(column, BY_IDENTITY);
    } else if (description->default_expression == NULL) {
        column->fill = is_uuid_key ? FILL_UUID : column->not_null ? FILL_REQUIRED : FILL_NULL;
    } else if (plan_uuid(description, column) || plan_clock(description, column)) {
        return;
    } else if (description->default_volatility == 'i') {
        bool is_null = description->default_value == NULL;
        column->fill = !is_null ? FILL_CONSTANT : column->not_null ? FILL_REQUIRED : FILL_NULL;
    } else if (is_uuid_key && description->default_volatility == 'v') {
        column->fill = FILL_UUID;
    } else {
        computed(column, BY_DEFAULT);
    }
}
