/*
 * vectors_test.c - the published examples: RFC 7515 appendix A.1 to A.3, RFC 8037 appendix A.4.
 * What others sign we verify, and one flipped bit of it not.
 */
#include "base64url.h"
#include "key.h"
#include "token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAYLOAD                                                                            \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290" \
    "Ijp0cnVlfQ"
#define EXPIRES_S 1300819380

struct vector {
    const char *name, *key, *token;
};

static const struct vector vectors[] = {
    {"RFC 7515 A.1, HS256",
     "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4h"
     "cgUuTwjAzZr1Z9CAow\"}",
     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD
     ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    {"RFC 7515 A.2, RS256",
     "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Va"
     "w-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OM"
     "g0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5"
     "ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpo"
     "Q\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiJ9." PAYLOAD
     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
     "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
     "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
     "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {"RFC 7515 A.3, ES256",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":"
     "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     "eyJhbGciOiJFUzI1NiJ9." PAYLOAD
     ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
    /* Its payload is a sentence, no claims. */
    {"RFC 8037 A.4, EdDSA",
     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
     ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};
enum { VECTOR_COUNT = sizeof vectors / sizeof vectors[0] };

static struct key_set *keys_of(const char *text)
{
    struct key_set *keys = NULL;
    struct problem problem;
    problem_clear(&problem);
    if (key_set_parse(text, "the test", &keys, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    return keys;
}

static bool is_signed_by(const char *key, const struct token *token)
{
    struct key_set *keys = keys_of(key);
    struct span signature = span_of(token->signature, token->signature_bytes);
    bool is = key_verify(&keys->keys[0], token->algorithm, token->text, signature);
    key_set_drop(keys);
    return is;
}

/* Each published signature is verified by its key, and by no other of the published ones. */
static void test_published_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        struct token token;
        struct problem problem;
        assert_int_equal(token_read(span_string(vectors[i].token), &token, &problem), STATUS_OK);
        for (size_t j = 0; j < VECTOR_COUNT; j++) {
            if (is_signed_by(vectors[j].key, &token) != (i == j)) {
                fail_msg("%s against the key of %s", vectors[i].name, vectors[j].name);
            }
        }
    }
}

/* A signature with one bit flipped, anywhere, and a signed text with one, is wrong. */
static void test_flipped_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        struct token token;
        struct problem problem;
        char text[2048];
        strcpy(text, vectors[i].token);
        assert_int_equal(token_read(span_string(text), &token, &problem), STATUS_OK);
        for (size_t at = 0; at < token.signature_bytes; at += 7) {
            token.signature[at] ^= (uint8_t)(1 << at % 8);
            assert_false(is_signed_by(vectors[i].key, &token));
            token.signature[at] ^= (uint8_t)(1 << at % 8);
        }
        text[token.text.size - 3] ^= 1;
        assert_false(is_signed_by(vectors[i].key, &token));
    }
}

/* The first three are tokens with claims: valid in the second before they expire, and not in it. */
static void test_published_claims(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct verifier *verifier = NULL;
        struct problem problem;
        struct claims claims;
        uint8_t bytes[TOKEN_BYTES_MAX];
        struct writer room = writer_of(bytes, sizeof bytes);
        struct verifier_options options = {.key = vectors[i].key, .key_file = "", .jwks_url = ""};
        struct token_rules rules = {.issuer = span_string("joe")};
        struct span token = span_string(vectors[i].token);
        assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_OK);
        assert_int_equal(
            verifier_check(verifier, token, &rules, EXPIRES_S - 1, &room, &claims, &problem),
            STATUS_OK);
        assert_int_equal(claims.expires_s, EXPIRES_S);
        assert_int_equal(
            verifier_check(verifier, token, &rules, EXPIRES_S, &room, &claims, &problem),
            STATUS_UNAUTHORIZED);
        assert_string_equal(problem.text, "the token has expired");
        verifier_destroy(verifier);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_signatures),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_published_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
