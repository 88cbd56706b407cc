/* verdict_test.c - which errors are a row's fault. */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(enum verdict verdict, const char *const *codes)
{
    for (; *codes != NULL; codes++) {
        if (verdict_of(*codes) != verdict) {
            fail_msg("%s is %d, not %d", *codes, verdict_of(*codes), verdict);
        }
    }
}

/* Constraints, values, triggers with whatever code their author liked. */
static void test_faults_of_a_row(void **state)
{
    (void)state;
    static const char *const codes[] = {
        "23505", "23503", "23514", "23502", "23P01", "22001", "22003", "22P02", "22P05", "P0001",
        "P0004", "MY001", "21000", "44000", "54000", "XX000", "55000", "0A001", NULL};
    expect(VERDICT_DATA, codes);
}

/* The table is not what it was. */
static void test_drift(void **state)
{
    (void)state;
    static const char *const codes[] = {"42703", "42804", "22P03", "22P04", "08P01",
                                        "0A000", "PS001", "42P10", NULL};
    expect(VERDICT_DRIFT, codes);
}

static void test_missing_table_or_privilege(void **state)
{
    (void)state;
    static const char *const codes[] = {"42P01", "42501", "3F000", NULL};
    expect(VERDICT_OPERATOR, codes);
}

/* No row is to blame: the same batch again, later. Above all a lost connection, which has no code.
 */
static void test_what_passes(void **state)
{
    (void)state;
    static const char *const codes[] = {"",      "08006", "40001", "40P01", "53100", "53200",
                                        "53300", "55P03", "57014", "57P01", "57P03", "58030",
                                        "25006", "25P02", "26000", "42P05", "XX001", NULL};
    expect(VERDICT_RETRY, codes);
}

/* What concerns the server as a whole is never a row's doing, not even where a row ran into it. */
static void test_of_server(void **state)
{
    (void)state;
    static const char *const of_server[] = {"",      "53100", "53300", "57P01",
                                            "58030", "3D000", "XX001"};
    static const char *const of_statement[] = {"57014", "40001", "40P01",
                                               "55P03", "25006", "28000"};
    for (size_t i = 0; i < sizeof of_server / sizeof of_server[0]; i++) {
        assert_true(verdict_is_of_server(of_server[i]));
    }
    for (size_t i = 0; i < sizeof of_statement / sizeof of_statement[0]; i++) {
        assert_false(verdict_is_of_server(of_statement[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_of_a_row),
        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_missing_table_or_privilege),
        cmocka_unit_test(test_what_passes),
        cmocka_unit_test(test_of_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
