/*
 * jsonb_test.c - our flaws are PostgreSQL's refusals: each accepted text of
 * proto/vectors/json.json, and numbers around every limit of `numeric`, is cast to jsonb by a real
 * server.
 */
#include "vectors.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *connection;

static int setup(void **state)
{
    (void)state;
    connection = PQconnectdb(getenv("DATABASE_URL"));
    return PQstatus(connection) == CONNECTION_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    PQfinish(connection);
    return 0;
}

static bool is_taken(const char *type, const char *text)
{
    char query[64];
    snprintf(query, sizeof query, "SELECT $1::%s", type);
    PGresult *result = PQexecParams(connection, query, 1, NULL, &text, NULL, NULL, 0);
    bool taken = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    return taken;
}

/* Zero with an exponent beyond the limits of `numeric`: PostgreSQL 15 refuses it, 17 takes it. We
 * refuse it always. */
static bool is_endless_zero(const struct value *value, const char *text)
{
    return value->kind == VALUE_NUMBER && strpbrk(text, "eE") != NULL &&
           strcspn(text, "123456789") >= strcspn(text, "eE");
}

static void compare(const char *text, const char *name)
{
    struct value value;
    struct problem problem;
    if (json_parse(span_string(text), &value, &problem) != STATUS_OK) {
        fail_msg("%s: %s", name, problem.text);
    }
    bool is_taken_by_us = value.flaws == 0;
    if (is_taken("jsonb", text) != is_taken_by_us &&
        (is_taken_by_us || !is_endless_zero(&value, text))) {
        fail_msg("%s: flaws %u, but jsonb %s it", name, value.flaws,
                 value.flaws == 0 ? "refuses" : "takes");
    }
    assert_true(is_taken("json", text)); /* `json` keeps the text and minds none of the flaws */
}

/* A text has a flaw exactly when jsonb refuses it. */
static void flaws_are_what_jsonb_refuses(void **state)
{
    (void)state;
    struct vectors vectors;
    struct value one;
    unsigned count = 0;
    vectors_open(&vectors, "json.json");
    while (vectors_next(&vectors, &one)) {
        size_t size;
        char *name = member_text(&one, "name");
        uint8_t *bytes = member_bytes(&one, "text", "hex", &size);
        if (name[0] != 'n') {
            char *text = strndup((char *)bytes, size);
            compare(text, name);
            free(text);
            count++;
        }
        free(bytes);
        free(name);
    }
    assert_true(count > 60);
    vectors_close(&vectors);
}

/* The limits of `numeric` hold for digits before the point, behind it, and in exponents, alike. */
static void numbers_are_huge_exactly_when_numeric_overflows(void **state)
{
    (void)state;
    static const char *const DIGITS[] = {"0",    "1",      "9",     "-1",      "0.1",     "0.0001",
                                         "10.5", "123456", "0.000", "1.50000", "99999.9", "-0.00"};
    static const int EXPONENTS[] = {0,      131071, 131072,     131070,     131075,
                                    131076, 131066, 16383,      -16383,     -16384,
                                    -16380, -16378, 1073741822, 1073741823, -1073741823};
    for (size_t i = 0; i < sizeof DIGITS / sizeof *DIGITS; i++) {
        for (size_t j = 0; j < sizeof EXPONENTS / sizeof *EXPONENTS; j++) {
            char text[64];
            snprintf(text, sizeof text, "%se%d", DIGITS[i], EXPONENTS[j]);
            compare(text, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flaws_are_what_jsonb_refuses),
        cmocka_unit_test(numbers_are_huge_exactly_when_numeric_overflows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
