/* grant_test.c - rules and claims against names: what is put in reaches nowhere else. */
#include "access/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool allows(const char *rule, const char *json, const char *name)
{
    struct claims claims = {.json = span_string(json)};
    return rule_allows(span_string(rule), &claims, span_string(name));
}

/* A rule without claims is its own name, or with a star at its end whatever begins so. */
static void test_plain_rules(void **state)
{
    (void)state;
    assert_true(allows("news", "{}", "news"));
    assert_true(allows("news:*", "{}", "news:"));
    assert_true(allows("news:*", "{}", "news:a:b"));
    assert_true(allows("*", "{}", ""));
    assert_false(allows("news", "{}", "new"));
    assert_false(allows("news", "{}", "news2"));
    assert_false(allows("news:*", "{}", "news"));
    assert_false(allows("", "{}", ""));
    assert_false(allows("a*b", "{}", "aXb"));
    assert_true(allows("a*b", "{}", "a*b"));
}

/* A claim stands for its value: a text, a whole number, or any element of an array. */
static void test_claims(void **state)
{
    (void)state;
    static const char *const json =
        "{\"sub\":\"u\\u0031\",\"org\":7,\"half\":1.5,\"groups\":[\"a\",\"b\",3],\"on\":true,"
        "\"map\":{\"x\":1},\"nothing\":null,\"e\":\"\"}";
    assert_true(allows("user:{sub}", json, "user:u1"));
    assert_true(allows("user:{sub}:inbox", json, "user:u1:inbox"));
    assert_true(allows("{org}:{groups}:*", json, "7:b:x"));
    assert_true(allows("g:{groups}", json, "g:3"));
    assert_false(allows("g:{groups}", json, "g:c"));
    assert_false(allows("g:{groups}", json, "g:"));
    assert_false(allows("user:{sub}", json, "user:u"));
    assert_false(allows("user:{sub}", json, "user:u11"));
    static const char *const without[] = {"{missing}", "{half}",    "{on}",
                                          "{map}",     "{nothing}", "{e}"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        assert_false(allows(without[i], json, ""));
        assert_false(allows(without[i], json, "1.5"));
        assert_false(allows(without[i], json, "true"));
        assert_false(allows(without[i], json, "null"));
    }
    assert_false(allows("user:{sub", json, "user:u1"));
}

/* A value is never a pattern, and one with a separator, or with what stands beside its place, is
 * not put in at all. */
static void test_injection(void **state)
{
    (void)state;
    assert_false(allows("user:{sub}", "{\"sub\":\"*\"}", "user:anyone"));
    assert_false(allows("user:{sub}", "{\"sub\":\"*\"}", "user:*"));
    assert_false(allows("user:{sub}", "{\"sub\":\"{org}\",\"org\":\"x\"}", "user:x"));
    assert_false(allows("user:{sub}", "{\"sub\":\"u1:private\"}", "user:u1:private"));
    assert_false(allows("user:{sub}", "{\"sub\":\"u1/x\"}", "user:u1/x"));
    assert_false(allows("{a}:{b}", "{\"a\":\"x:y\",\"b\":\"z\"}", "x:y:z"));
    assert_false(allows("user.{sub}.inbox", "{\"sub\":\"a.b\"}", "user.a.b.inbox"));
    assert_true(allows("user:{sub}", "{\"sub\":\"a.b@c|d\"}", "user:a.b@c|d"));
    assert_false(allows("user-{sub}", "{\"sub\":\"a-b\"}", "user-a-b"));
    assert_true(allows("user:{sub}", "{\"sub\":\"a-b\"}", "user:a-b"));
    assert_false(allows("user:{sub}", "{\"sub\":\"a\\u0000\"}", "user:a"));
    assert_false(allows("user:{sub}", "{\"sub\":\"a\\n\"}", "user:a\n"));
}

/* Rules may come in the configuration, between commas, or in the token: one, or an array of them.
 */
static void test_where_rules_come_from(void **state)
{
    (void)state;
    struct claims claims = {
        .json =
            span_string("{\"sub\":\"u1\",\"one\":\"user:{sub}\",\"some\":[7,\"a:*\",null,\"b\"]}")};
    assert_true(rule_list_allows("x, user:{sub}", &claims, span_string("user:u1")));
    assert_false(rule_list_allows("x, user:{sub}", &claims, span_string("user:u2")));
    assert_false(rule_list_allows("", &claims, span_string("")));
    assert_true(claim_allows(span_string("one"), &claims, span_string("user:u1")));
    assert_true(claim_allows(span_string("some"), &claims, span_string("a:x")));
    assert_true(claim_allows(span_string("some"), &claims, span_string("b")));
    assert_false(claim_allows(span_string("some"), &claims, span_string("7")));
    assert_false(claim_allows(span_string("none"), &claims, span_string("b")));
    assert_false(claim_allows(span_string(""), &claims, span_string("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_rules),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_where_rules_come_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
