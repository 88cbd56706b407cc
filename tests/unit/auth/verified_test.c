/*
 * verified_test.c - a signature that was found right is not verified again, and nothing else of a
 * token is taken for granted by that.
 */
#include "verified.h"

#include "penstock/auth.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S 1700000000

/* RFC 8037 appendix A.1. */
#define ED25519                                                                                   \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"," \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static struct verified *verified;

static int open_table(void **state)
{
    (void)state;
    verified = verified_create();
    return verified == NULL;
}

static int close_table(void **state)
{
    (void)state;
    verified_destroy(verified);
    return 0;
}

static void digest_of(unsigned number, uint8_t out[DIGEST_BYTES])
{
    assert_true(verified_digest(span_of(&number, sizeof number), out));
}

/* What was added is found, under the keys that it was added with and no others. */
static void a_token_is_known_under_its_keys_only(void **state)
{
    (void)state;
    uint8_t one[DIGEST_BYTES], other[DIGEST_BYTES];
    digest_of(1, one);
    digest_of(2, other);
    assert_false(verified_find(verified, one, 1));
    verified_add(verified, one, 1);
    assert_true(verified_find(verified, one, 1));
    assert_false(verified_find(verified, other, 1));
    assert_false(verified_find(verified, one, 2));
    assert_false(verified_find(verified, one, 0));
    verified_add(verified, one, 2);
    assert_true(verified_find(verified, one, 2));
}

/* However many tokens there are, the table stays as large as it is: old ones go, those in use stay.
 */
static void what_is_used_stays_and_the_rest_makes_room(void **state)
{
    (void)state;
    uint8_t digest[DIGEST_BYTES], kept[DIGEST_BYTES];
    size_t found = 0;
    digest_of(0, kept);
    verified_add(verified, kept, 1);
    for (unsigned i = 1; i <= 100000; i++) {
        digest_of(i, digest);
        verified_add(verified, digest, 1);
        assert_true(verified_find(verified, digest, 1));
        assert_true(verified_find(verified, kept, 1));
    }
    for (unsigned i = 1; i <= 100000; i++) {
        digest_of(i, digest);
        found += verified_find(verified, digest, 1);
    }
    assert_true(found > 3000 && found <= 4096);
}

static const char *verdict(struct verifier *verifier, const char *token, int64_t now_s)
{
    static struct problem problem;
    static uint8_t bytes[2 * TOKEN_BYTES_MAX];
    struct claims claims;
    struct writer room = writer_of(bytes, sizeof bytes);
    problem_clear(&problem);
    struct token_rules rules = {0};
    (void)!verifier_check(verifier, span_string(token), &rules, now_s, &room, &claims, &problem);
    return problem.text;
}

static void sign(const char *payload, char *out, size_t size)
{
    struct problem problem;
    struct writer room = writer_of(out, size - 1);
    if (token_sign(ED25519, payload, &room, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    *room.next = '\0';
}

static void write_key(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A token that is known expires all the same; one that differs in a bit is another; and other keys
 * know nothing of it. */
static void only_the_signature_is_remembered(void **state)
{
    (void)state;
    char path[] = "/tmp/penstock-key-XXXXXX", token[TOKEN_BYTES_MAX], wrong[TOKEN_BYTES_MAX];
    struct problem problem;
    struct verifier *verifier = NULL;
    close(mkstemp(path));
    write_key(path, ED25519);
    struct verifier_options options = {"", path, "", "", 0};
    assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_OK);
    sign("{\"sub\":\"u1\",\"exp\":1700000060}", token, sizeof token);
    assert_string_equal(verdict(verifier, token, NOW_S), "");
    assert_string_equal(verdict(verifier, token, NOW_S), "");
    assert_non_null(strstr(verdict(verifier, token, NOW_S + 100), "expired"));
    snprintf(wrong, sizeof wrong, "%s", token);
    char *signature = strrchr(wrong, '.') + 1;
    signature[3] = signature[3] == 'A' ? 'B' : 'A';
    for (int i = 0; i < 2; i++) { /* what is wrong is not remembered as anything else */
        assert_string_equal(verdict(verifier, wrong, NOW_S), "the token's signature is wrong");
    }
    write_key(path, "a secret that has nothing to do with the key before");
    assert_int_equal(verifier_reload(verifier, &problem), STATUS_OK);
    assert_string_not_equal(verdict(verifier, token, NOW_S), "");
    verifier_destroy(verifier);
    unlink(path);
}

/* What it is worth: printed, because machines differ. */
static void a_known_token_costs_little(void **state)
{
    (void)state;
    enum { TOKENS = 100 };
    static char tokens[TOKENS][512];
    struct problem problem;
    struct verifier *verifier = NULL;
    struct verifier_options options = {ED25519, "", "", "", 0};
    assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_OK);
    for (int i = 0; i < TOKENS; i++) {
        char payload[100];
        snprintf(payload, sizeof payload, "{\"sub\":\"u%d\",\"exp\":1700000060}", i);
        sign(payload, tokens[i], sizeof tokens[i]);
    }
    int64_t times_us[3];
    for (int round = 0; round < 2; round++) {
        times_us[round] = clock_monotonic_us();
        for (int i = 0; i < TOKENS; i++) {
            assert_string_equal(verdict(verifier, tokens[i], NOW_S), "");
        }
        times_us[round + 1] = clock_monotonic_us();
    }
    print_message("a token by EdDSA: %.1f us the first time, %.1f us after that\n",
                  (double)(times_us[1] - times_us[0]) / TOKENS,
                  (double)(times_us[2] - times_us[1]) / TOKENS);
    verifier_destroy(verifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_known_under_its_keys_only, open_table,
                                        close_table),
        cmocka_unit_test_setup_teardown(what_is_used_stays_and_the_rest_makes_room, open_table,
                                        close_table),
        cmocka_unit_test(only_the_signature_is_remembered),
        cmocka_unit_test(a_known_token_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
