/*
 * random_test.c - random literals: the edge and PostgreSQL read them alike, or both refuse them.
 *
 * SEED in the environment replays a run.
 */
#include "database.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 300

static struct database *database;
static uint64_t random_state;

static uint64_t draw(void)
{
    /* splitmix64 */
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static unsigned below(unsigned limit)
{
    return (unsigned)(draw() % limit);
}

/* ---- literals -------------------------------------------------------------------------------- */

static void append_digits(char *text, unsigned count)
{
    char *at = text + strlen(text);
    for (unsigned i = 0; i < count; i++) {
        /* many nines and zeros: they carry */
        *at++ = "0123456789999000"[below(16)];
    }
    *at = '\0';
}

static void decimal(char *text, unsigned whole, unsigned fraction, int exponent)
{
    text[0] = '\0';
    strcat(text, below(2) ? "-" : "");
    unsigned digits = below(whole);
    if (digits == 0) {
        strcat(text, "0");
    } else {
        sprintf(text + strlen(text), "%u", 1 + below(9));
        append_digits(text, digits - 1);
    }
    if (below(2) && fraction > 0) {
        strcat(text, ".");
        append_digits(text, 1 + below(fraction));
    }
    if (exponent > 0 && below(2)) {
        sprintf(text + strlen(text), "e%d", (int)below(2 * (unsigned)exponent + 1) - exponent);
    }
}

static void literal_numeric(char *text)
{
    decimal(text, 40, 40, 30);
}

static void literal_short_numeric(char *text)
{
    decimal(text, 9, 8, 4);
}

static void literal_float(char *text)
{
    decimal(text, 22, 22, 330);
}

static void literal_small_float(char *text)
{
    decimal(text, 10, 12, 46);
}

/* A float's exact middle to its neighbour, and a digit more or less. */
static void literal_middle(char *text)
{
    uint32_t bits = (uint32_t)draw() & 0x7FFFFFFF;
    float real;
    bits = bits % 0x7F000000;
    memcpy(&real, &bits, sizeof real);
    double middle = ((double)real + (double)nextafterf(real, INFINITY)) / 2;
    sprintf(text, "%.17g", middle);
    if (below(2)) {
        sprintf(text, "%.40g", middle);
    }
}

/* As embeddings come: 15 to 19 digits. */
static void literal_embedding(char *text)
{
    sprintf(text, "%s0.0", below(2) ? "-" : "");
    append_digits(text, 13 + below(6));
}

static void literal_timestamp(char *text)
{
    static const char *const offsets[] = {"", "Z", "+02", "-09:30", "+0530", "+15:59:59", " BC"};
    unsigned year = below(3) == 0 ? below(300000) : 1900 + below(200);
    sprintf(text, "%04u-%02u-%02u%c%02u:%02u:%02u", year, below(14), below(33), "T "[below(2)],
            below(26), below(62), below(62));
    if (below(2)) {
        strcat(text, ".");
        append_digits(text, 1 + below(9));
    }
    strcat(text, offsets[below(7)]);
}

static void literal_date(char *text)
{
    sprintf(text, "%04u-%u-%u%s", below(2) ? below(6000000) : 1 + below(3000), below(14), below(33),
            below(4) ? "" : " BC");
}

static void literal_time(char *text)
{
    sprintf(text, "%02u:%02u:%02u.", below(25), below(61), below(62));
    append_digits(text, 1 + below(9));
}

static void literal_interval(char *text)
{
    static const char *const units[] = {"year", "mon", "week", "day",
                                        "hour", "min", "sec",  "decade"};
    static const char designators[] = "YMWD";
    text[0] = '\0';
    if (below(2)) {
        strcat(text, "P");
        for (unsigned i = 0; i < 4; i++) {
            if (below(2)) {
                sprintf(text + strlen(text), "%s%u.%u%c", below(3) ? "" : "-", below(100),
                        below(1000), designators[i]);
            }
        }
        if (below(2)) {
            sprintf(text + strlen(text), "T%uH%u.%uS", below(100), below(100), below(1000000));
        }
        return;
    }
    for (unsigned i = 0; i < 1 + below(4); i++) {
        sprintf(text + strlen(text), "%s%u", below(3) ? "" : "-", below(5000));
        if (below(2)) {
            sprintf(text + strlen(text), ".%u", below(100000));
        }
        sprintf(text + strlen(text), " %s%s ", units[below(8)], below(2) ? "s" : "");
    }
    if (below(2)) {
        sprintf(text + strlen(text), "%s%02u:%02u:%02u", below(2) ? "" : "-", below(100), below(61),
                below(62));
    }
}

static void literal_inet(char *text)
{
    if (below(2)) {
        sprintf(text, "%u.%u.%u.%u", below(260), below(256), below(256), below(256));
    } else {
        sprintf(text, "%x:%x::%x", below(65536), below(65536), below(65536));
    }
    if (below(2)) {
        sprintf(text + strlen(text), "/%u", below(40));
    }
}

/* ---- the comparison -------------------------------------------------------------------------- */

/* What PostgreSQL reads from the literal, as text; NULL: it refuses. */
static char *read_literal(const char *literal)
{
    database_run(database, "TRUNCATE \"Literal\"");
    if (database_read_literal(database, "Literal", literal) != NULL) {
        return NULL;
    }
    return database_text(database, "SELECT v::text FROM \"Literal\"");
}

static void compare(struct fixture *fixture, const char *type, const char *literal, bool quoted)
{
    char event[1000];
    snprintf(event, sizeof event, quoted ? "{\"v\":\"%s\"}" : "{\"v\":%s}", literal);
    enum status status = fixture_encode(fixture, event);
    char *expected = read_literal(literal);
    if ((status == STATUS_OK) != (expected != NULL)) {
        fail_msg("%s %s: the edge says \"%s\", PostgreSQL %s", type, literal, fixture->problem.text,
                 expected != NULL ? expected : "refuses");
    }
    if (status == STATUS_OK) {
        const char *error = database_copy(database, fixture, "Edge");
        if (error != NULL) {
            fail_msg("%s %s: %s", type, literal, error);
        }
        char *got = database_text(database, "SELECT v::text FROM \"Edge\"");
        if (strcmp(got, expected) != 0) {
            fail_msg("%s %s: got %s, PostgreSQL reads %s", type, literal, got, expected);
        }
        free(got);
        database_run(database, "TRUNCATE \"Edge\"");
    }
    free(expected);
}

static void check(const char *type, void (*make)(char *), bool quoted, unsigned rounds)
{
    struct fixture fixture;
    char literal[500];
    unsigned taken = 0;
    database_run(database, "DROP TABLE IF EXISTS \"Edge\", \"Literal\"");
    database_run(database, "CREATE TEMP TABLE \"Literal\" (v %s)", type);
    database_run(database, "CREATE TABLE \"Edge\" (v %s)", type);
    database_open_stream(database, &fixture, "Edge");
    for (unsigned i = 0; i < rounds; i++) {
        make(literal);
        compare(&fixture, type, literal, quoted);
        taken += fixture.problem.status == STATUS_OK;
    }
    assert_true(taken > rounds / 20); /* else nothing was compared */
    fixture_close(&fixture);
}

/* Numbers of every length, through rounding, carries and the ends of the ranges. */
static void test_numbers(void **state)
{
    (void)state;
    check("numeric", literal_numeric, false, ROUNDS);
    check("numeric(9,3)", literal_short_numeric, false, ROUNDS);
    check("numeric(5,-2)", literal_short_numeric, false, ROUNDS);
    check("numeric(4,6)", literal_short_numeric, true, ROUNDS);
    check("float8", literal_float, false, ROUNDS);
    check("float4", literal_small_float, false, ROUNDS);
    check("float4", literal_embedding, false, ROUNDS);
    check("float8", literal_embedding, false, ROUNDS);
    check("float4", literal_middle, false, ROUNDS);
}

/* Dates that exist and that do not, with every offset and fraction. */
static void test_times(void **state)
{
    (void)state;
    check("timestamptz", literal_timestamp, true, ROUNDS);
    check("timestamp(2)", literal_timestamp, true, ROUNDS);
    check("date", literal_date, true, ROUNDS);
    check("time", literal_time, true, ROUNDS);
    check("interval", literal_interval, true, ROUNDS);
}

/* Addresses and networks, with prefixes that fit and that do not. */
static void test_addresses(void **state)
{
    (void)state;
    check("inet", literal_inet, true, ROUNDS);
    check("cidr", literal_inet, true, ROUNDS);
}

static int open_database(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_unix_us();
    print_message("SEED=%llu\n", (unsigned long long)random_state);
    database = database_open();
    database_run(database, "SET synchronous_commit = off");
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    database_close(database);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, open_database, close_database);
}
