/*
 * verifier_test.c - which tokens are taken, and why the others are not. Every refusal is asserted
 * by its reason, so that a token that is wrong in one way is not refused for another.
 */
#include "base64url.h"
#include "key.h"

#include "penstock/auth.h"
#include "penstock/wire.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S   1700000000
#define SECRET  "a secret of more than sixty-four bytes, so that it serves all three HMACs."
#define ANOTHER "another secret of the right length, that signs what nobody here has asked for"
#define GOOD    "{\"sub\":\"u1\",\"exp\":1700000060}"

/* RFC 7515 appendix A.2: a public key that everybody may have. */
#define RSA_PUBLIC                                                                              \
    "{\"kty\":\"RSA\",\"kid\":\"r1\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_" \
    "wWJcy"                                                                                     \
    "QoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"         \
    "YpRPEwOWvG6b"                                                                              \
    "32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"                 \
    "UTo7WTBEMa2R2CapHg665"                                                                     \
    "xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"                    \
    "h9iaGNj8q2ethFkMLs91kzk2"                                                                  \
    "PAcDTW9gb54h4FRWyuXpoQ\"}"

/* What stands between the lines of PEM (RFC 7468), as some issuers show it; whose keys these are,
 * nobody knows. */
#define SPKI_RSA                                                                       \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsLYpV8e3wQ1qLtp4u8v7M7tjJM9woU6Zgiih" \
    "02JuBqKQV4PhcGmoqxWptSfVGdDghuh8R0cBeOT2Mb4iTu+I/cl5x1rGy+zjL2ErTZ0dhyth0wAPLAu+" \
    "bc8E6Nz7+BI/HEttYMdjf0mBVaAqGynMVR8t8tKkMD9y2dy3gzV3MjaMESokGgpk8CWxXXbCkD/MtQwV" \
    "h+6zrtrxLMY9iuGo+mLWkbJDSPVgqEHy28nQJIhWmbSMBiQCiNBgCEROUBnEhqCz44Ep69vU+fnJ0u7m" \
    "vy1XqS+Q4C4nS41BVRkeG+tNjXQ50VC0SxDoIe4VvW5UnA1jsoCcqHym6SzTkQT/CQIDAQAB"
#define SPKI_P256                                                                      \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWXaUIiIP4PUAIPx7D0WEeVVMHYqqnVm2tBe34PKanikl" \
    "GtuTLi4i74FyzFA2bp8Zfa7OXZue59NzqPLK3iFDdg=="
#define SPKI_P256_LINES                                                  \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWXaUIiIP4PUAIPx7D0WEeVVMHYqq\n" \
    "nVm2tBe34PKaniklGtuTLi4i74FyzFA2bp8Zfa7OXZue59NzqPLK3iFDdg=="

static struct token_rules rules; /* of the verifier that was made last */

static struct verifier *verifier_of(const char *key)
{
    struct verifier *verifier = NULL;
    struct problem problem;
    bool is_for_us = strstr(key, "between two parties") != NULL;
    struct verifier_options options = {.key = key, .key_file = "", .jwks_url = ""};
    rules = (struct token_rules){.leeway_s = 5};
    if (is_for_us) {
        rules.issuer = span_string("us");
        rules.audience = span_string("penstock");
    }
    problem_clear(&problem);
    if (verifier_create(&options, &verifier, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    return verifier;
}

/* "": the token is taken; else the reason. */
static const char *verdict(struct verifier *verifier, const char *token, struct claims *claims)
{
    static struct problem problem;
    static uint8_t bytes[TOKEN_BYTES_MAX * 2];
    struct writer room = writer_of(bytes, sizeof bytes);
    problem_clear(&problem);
    enum status status =
        verifier_check(verifier, span_string(token), &rules, NOW_S, &room, claims, &problem);
    assert_true(status == STATUS_OK || status == STATUS_UNAUTHORIZED);
    assert_true((status == STATUS_OK) == (problem.text[0] == '\0'));
    return problem.text;
}

/* A token as its owner would sign it. */
static const char *signed_with(const char *key, const char *payload)
{
    static char text[2 * TOKEN_BYTES_MAX];
    struct problem problem;
    struct writer out = writer_of(text, sizeof text - 1);
    if (token_sign(key, payload, &out, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    *out.next = '\0';
    return text;
}

/* A token with any header, signed by HMAC-SHA-256 whatever the header says. */
static const char *forged(const char *header, const char *payload, const char *secret)
{
    static char text[2 * TOKEN_BYTES_MAX];
    uint8_t mac[32];
    struct writer out = writer_of(text, sizeof text - 1);
    base64url_encode(span_string(header), &out);
    writer_u8(&out, '.');
    base64url_encode(span_string(payload), &out);
    gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, strlen(secret), text, writer_size(&out), mac);
    writer_u8(&out, '.');
    base64url_encode(span_of(mac, sizeof mac), &out);
    *out.next = '\0';
    return text;
}

static void assert_refused(const char *key, const char *token, const char *reason)
{
    struct claims claims;
    struct verifier *verifier = verifier_of(key);
    assert_string_equal(verdict(verifier, token, &claims), reason);
    verifier_destroy(verifier);
}

static void assert_taken(const char *key, const char *token)
{
    assert_refused(key, token, "");
}

/* What was signed with a key is taken, and its claims are there as they were written. */
static void test_good_token(void **state)
{
    (void)state;
    struct claims claims;
    struct value value;
    struct verifier *verifier = verifier_of(SECRET);
    const char *token = signed_with(SECRET, "{\"sub\":\"\\u00fcn\",\"exp\":1700000060.9,\"n\":7}");
    assert_string_equal(verdict(verifier, token, &claims), "");
    assert_true(span_is(claims.subject, "\xc3\xbcn"));
    assert_int_equal(claims.expires_s, 1700000060);
    assert_true(claims_find(&claims, span_string("n"), &value));
    assert_true(span_is(value.raw, "7"));
    assert_false(claims_find(&claims, span_string("m"), &value));
    verifier_destroy(verifier);
}

/* A token of somebody else's key, one whose payload was changed, and `alg: none` with or without a
 * signature are refused. */
static void test_forged(void **state)
{
    (void)state;
    char changed[TOKEN_BYTES_MAX];
    assert_refused(SECRET, signed_with(ANOTHER, GOOD), "the token's signature is wrong");
    strcpy(changed, signed_with(SECRET, GOOD));
    strchr(changed, '.')[9] ^= 1;
    assert_refused(SECRET, changed, "the token's signature is wrong");
    static const char *const nones[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}",
                                        "{\"alg\":\"hs256\"}", "{\"alg\":\"HS256 \"}"};
    for (size_t i = 0; i < sizeof nones / sizeof nones[0]; i++) {
        assert_refused(SECRET, forged(nones[i], GOOD, SECRET),
                       "the token is signed in a way that is not taken here: HS256, HS384, HS512, "
                       "RS256, ES256 and EdDSA are");
    }
    strcpy(changed, forged("{\"alg\":\"none\"}", GOOD, SECRET));
    strrchr(changed, '.')[1] = '\0';
    assert_refused(SECRET, changed,
                   "the token has a signature that is no base64url, empty, or too long");
}

/* Key confusion: an HMAC under the bytes of a public key is valid as an HMAC, and refused, because
 * the key says which algorithms it allows, and not the token. */
static void test_key_confusion(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"HS256\"}",
                                          "{\"alg\":\"HS256\",\"kid\":\"r1\"}"};
    for (size_t i = 0; i < 2; i++) {
        assert_refused(RSA_PUBLIC, forged(headers[i], GOOD, RSA_PUBLIC),
                       "the token's `alg` is not one of its key's");
    }
    assert_refused(SECRET, forged("{\"alg\":\"RS256\"}", GOOD, SECRET),
                   "the token's `alg` is not one of its key's");
}

/* A JWK's own `alg` narrows what it verifies; `use: enc` leaves nothing. */
static void test_keys_narrow(void **state)
{
    (void)state;
    static const char *const jwk = "{\"kty\":\"oct\",\"alg\":\"%s\",\"use\":\"%s\",\"k\":"
                                   "\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVph"
                                   "YmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3ODlBQkNE\"}";
    static const char *const secret =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ABCD";
    char key[400];
    snprintf(key, sizeof key, jwk, "HS256", "sig");
    assert_taken(key, forged("{\"alg\":\"HS256\"}", GOOD, secret));
    snprintf(key, sizeof key, jwk, "HS512", "sig");
    assert_refused(key, forged("{\"alg\":\"HS256\"}", GOOD, secret),
                   "the token's `alg` is not one of its key's");
    struct verifier *verifier = NULL;
    struct problem problem;
    struct verifier_options options = {key, "", "", "", 0};
    snprintf(key, sizeof key, jwk, "HS256", "enc");
    assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_BAD_CONFIG);
}

/* A secret that can be guessed is no key: 32 bytes for HS256, 48 and 64 for the others. */
static void test_weak_secrets(void **state)
{
    (void)state;
    struct verifier *verifier = NULL;
    struct problem problem;
    struct verifier_options options = {"only 31 bytes are not enough...", "", "", "", 0};
    assert_int_equal(strlen(options.key), 31);
    assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_BAD_CONFIG);
    assert_null(strstr(problem.text, "only 31"));
    static const char *const exact = "exactly thirty-two bytes of it..";
    assert_int_equal(strlen(exact), 32);
    assert_taken(exact, signed_with(exact, GOOD));
    assert_refused(exact, forged("{\"alg\":\"HS512\"}", GOOD, exact),
                   "the token's `alg` is not one of its key's");
}

/* What others can read is no secret: public keys in forms that are not read, and names of files and
 * pages. The reason says what it looks like. */
static void test_public_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *looks;
    } cases[] = {
        {"[" RSA_PUBLIC "]", "a list in JSON"},
        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here",
         "a public key of SSH"},
        {"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBK", "SSH"},
        {"---- BEGIN SSH2 PUBLIC KEY ---- AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6",
         "not read here"},
        {SPKI_RSA, "a key or certificate in base64"},
        {SPKI_P256, "a key or certificate in base64"},
        {SPKI_P256_LINES, "a key or certificate in base64"},
        {"https://login.example/.well-known/jwks.json", "an address"},
        {"/etc/penstock/keys/production.pem", "the name of a file"},
        {"/etc/penstock/keys/production/secret", "the name of a file"},
        {"../penstock/keys/production/secret/K2", "the name of a file"},
        {"KEY=a secret of more than thirty-two bytes\nOTHER=1", "several lines"},
        {"a secret of more than\tthirty-two bytes", "control characters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct verifier *verifier = NULL;
        struct problem problem;
        struct verifier_options options = {cases[i].text, "", "", "", 0};
        assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_BAD_CONFIG);
        if (strstr(problem.text, "auth_key is not taken for a secret") == NULL ||
            strstr(problem.text, cases[i].looks) == NULL) {
            fail_msg("case %zu: %s", i, problem.text);
        }
    }
}

/* Secrets that begin or end as those do are taken: base64 of random bytes may begin with a slash,
 * and with the bytes that DER begins with. */
static void test_secrets_that_look_odd(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "/x3Kp0aTq9Zb7Vw2Lm5Nc8Rd1Sf4Tg6Yh+Uj/IkOlPz=\n",
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA", /* a length that is not its own */
        "MEQx3Kp0aTq9Zb7Vw2Lm5Nc8Rd1Sf4Tg6YhUjIkOlPzx",
        "a [bracket], a {brace}, an ssh-key and a/path",
    };
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        assert_taken(secrets[i], signed_with(secrets[i], GOOD));
    }
}

/* A byte order mark before JSON or PEM changes nothing: the text would be a secret, else. */
static void test_byte_order_mark(void **state)
{
    (void)state;
    static const char *const marked = "\xef\xbb\xbf{\"keys\":[" RSA_PUBLIC "]}";
    assert_refused(marked, forged("{\"alg\":\"HS256\"}", GOOD, marked),
                   "the token's `alg` is not one of its key's");
}

/* What an issuer answers is never taken for the bytes of a secret, and JSON or PEM is taken. */
static void test_published_texts(void **state)
{
    (void)state;
    struct key_set *keys = NULL;
    struct problem problem;
    static const char *const page = "We are sorry: this page is away for maintenance";
    assert_int_equal(key_set_parse_published(page, "the answer", &keys, &problem),
                     STATUS_BAD_CONFIG);
    assert_non_null(strstr(problem.text, "the answer is neither a JWKS"));
    assert_int_equal(key_set_parse_published(RSA_PUBLIC, "the answer", &keys, &problem), STATUS_OK);
    key_set_drop(keys);
}

/* The log tells secrets and public keys apart, and what they verify. */
static void test_keys_are_described(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *text;
    } cases[] = {
        {"exactly thirty-two bytes of it..", "1 secret (HS256)"},
        {SECRET, "1 secret (HS256, HS384, HS512)"},
        {RSA_PUBLIC, "1 public key (RS256)"},
        {"{\"keys\":[" RSA_PUBLIC "," RSA_PUBLIC "]}", "2 public keys (RS256)"},
        {"{\"keys\":[" RSA_PUBLIC ",{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":"
         "\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaA\"}]}",
         "1 secret and 1 public key (HS256, RS256)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[KEYS_TEXT_BYTES];
        struct key_set *keys = NULL;
        struct problem problem;
        assert_int_equal(key_set_parse(cases[i].keys, "it", &keys, &problem), STATUS_OK);
        key_set_describe(keys, text);
        assert_string_equal(text, cases[i].text);
        key_set_drop(keys);
    }
}

/* `exp` must be there and ahead, `nbf` behind, both within the leeway of five seconds. */
static void test_times(void **state)
{
    (void)state;
    static const char *const no_time =
        "the token must say when it expires (`exp`, in seconds since 1970)";
    static const struct {
        const char *payload, *reason;
    } cases[] = {
        {"{\"exp\":1699999996}", ""},
        {"{\"exp\":1699999995}", "the token has expired"},
        {"{\"exp\":0}", "the token has expired"},
        {"{}", no_time},
        {"{\"exp\":\"1700000060\"}", no_time},
        {"{\"exp\":-1}", no_time},
        {"{\"exp\":1e300}", no_time},
        {"{\"exp\":null}", no_time},
        {"{\"exp\":1700000060,\"nbf\":1700000005}", ""},
        {"{\"exp\":1700000060,\"nbf\":1700000006}", "the token is not valid yet (`nbf`)"},
        {"{\"exp\":1700000060,\"nbf\":true}",
         "the token has an `nbf` that is no time in seconds since 1970"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(SECRET, signed_with(SECRET, cases[i].payload), cases[i].reason);
    }
}

/* Where issuer and audience are configured, a token must name them; `aud` may be a list. */
static void test_parties(void **state)
{
    (void)state;
    static const char *const key = "a secret between two parties, which has enough bytes";
    static const char *const issuer = "the token is from another issuer (`iss`)";
    static const char *const audience = "the token is for another audience (`aud`)";
    static const struct {
        const char *payload, *reason;
    } cases[] = {
        {"{\"exp\":1700000060,\"iss\":\"us\",\"aud\":\"penstock\"}", ""},
        {"{\"exp\":1700000060,\"iss\":\"\\u0075s\",\"aud\":[\"a\",\"penstock\"]}", ""},
        {"{\"exp\":1700000060,\"iss\":\"them\",\"aud\":\"penstock\"}", issuer},
        {"{\"exp\":1700000060,\"aud\":\"penstock\"}", issuer},
        {"{\"exp\":1700000060,\"iss\":[\"us\"],\"aud\":\"penstock\"}", issuer},
        {"{\"exp\":1700000060,\"iss\":\"us\"}", audience},
        {"{\"exp\":1700000060,\"iss\":\"us\",\"aud\":\"penstock2\"}", audience},
        {"{\"exp\":1700000060,\"iss\":\"us\",\"aud\":[\"penstoc\",\"\",7]}", audience},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(key, signed_with(key, cases[i].payload), cases[i].reason);
    }
}

/* Headers that change what the rest means, and those that parsers read in two ways, are refused;
 * keys and addresses of keys in a header are not looked at. */
static void test_headers(void **state)
{
    (void)state;
    static const char *const changing =
        "the token has a header that is not understood here (crit, b64 or zip)";
    static const struct {
        const char *header, *reason;
    } cases[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"any\"}", ""},
        {"{\"alg\":\"HS256\",\"jku\":\"https://evil.example/\",\"jwk\":{\"kty\":\"oct\"}}", ""},
        {"{\"alg\":\"HS256\",\"zip\":\"DEF\"}", changing},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", changing},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", changing},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "the token has `alg` twice, or not as text"},
        {"{\"alg\":[\"HS256\"]}", "the token has `alg` twice, or not as text"},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
         "the token has a header with an escaped name"},
        {"{\"alg\":\"HS256\",\"kid\":7}", "the token names a key (`kid`) that is no short text"},
        {"{\"typ\":\"JWT\"}", "the token does not say how it is signed (`alg`)"},
        {"[\"HS256\"]", "the token has a header that is no JSON object"},
        {"{\"alg\":\"HS256\"", "the token has a header that is no JSON object"},
        {"", "the token has a header that is no JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(SECRET, forged(cases[i].header, GOOD, SECRET), cases[i].reason);
    }
}

/* A payload that is no object, has a name twice, or a subject that is none, is refused although its
 * signature is right. */
static void test_payloads(void **state)
{
    (void)state;
    static const char *const no_object = "the token has a payload that is no JSON object";
    static const char *const subject =
        "the token has a subject (`sub`) that is no text of 1 to 256 bytes";
    static const struct {
        const char *payload, *reason;
    } cases[] = {
        {"[]", no_object},
        {"{\"exp\":1700000060", no_object},
        {"{\"exp\":1700000060}x", no_object},
        {"{\"exp\":1700000060,\"sub\":\"\xff\"}", no_object},
        {"{\"exp\":1700000060,\"exp\":1800000000}", "the token has a claim twice"},
        {"{\"exp\":1700000060,\"sub\":7}", subject},
        {"{\"exp\":1700000060,\"sub\":\"\"}", subject},
        {"{\"exp\":1700000060,\"sub\":\"a\\u0000b\"}", subject},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(SECRET, forged("{\"alg\":\"HS256\"}", cases[i].payload, SECRET),
                       cases[i].reason);
    }
}

/* What is no token at all is refused before anything is decoded. */
static void test_no_tokens(void **state)
{
    (void)state;
    static const char *const parts =
        "the token is no signed JSON Web Token: it must have three parts";
    static const struct {
        const char *token, *reason;
    } cases[] = {
        {"", "a token has 1 to 8192 bytes"},
        {"abc", parts},
        {"a.b", parts},
        {"a.b.c.d", parts},
        {"a.b.c.d.e", parts},
        {"..", "the token has a signature that is no base64url, empty, or too long"},
        {"e30.e30.!", "the token has a signature that is no base64url, empty, or too long"},
        {"!.e30.AAAA", "the token has a header that is no base64url, or too long"},
        {"e30=.e30.AAAA", "the token has a header that is no base64url, or too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(SECRET, cases[i].token, cases[i].reason);
    }
}

/* A token one byte past the limit is refused, and so are a header and a signature past theirs. */
static void test_huge(void **state)
{
    (void)state;
    char *token = malloc(TOKEN_BYTES_MAX + 2);
    assert_non_null(token);
    memset(token, 'A', TOKEN_BYTES_MAX + 1);
    token[TOKEN_BYTES_MAX + 1] = '\0';
    assert_refused(SECRET, token, "a token has 1 to 8192 bytes");
    token[TOKEN_BYTES_MAX] = '\0';
    memcpy(token + 4000, ".e30.", 5);
    assert_refused(SECRET, token,
                   "the token has a signature that is no base64url, empty, or too long");
    strcpy(token + 4000, ".e30.AAAA");
    assert_refused(SECRET, token, "the token has a header that is no base64url, or too long");
    free(token);
}

/* A JWKS: `kid` chooses among its keys, what is of another kind is passed over. */
static void test_key_sets(void **state)
{
    (void)state;
    static const char *const keys =
        "{\"keys\":[" RSA_PUBLIC ",{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"},"
        "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY\"},"
        "{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"QkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWmFiY2RlZmc\"}]}";
    static const char *const a = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    static const char *const b = "BCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";
    assert_taken(keys, forged("{\"alg\":\"HS256\",\"kid\":\"a\"}", GOOD, a));
    assert_taken(keys, forged("{\"alg\":\"HS256\",\"kid\":\"b\"}", GOOD, b));
    assert_taken(keys, forged("{\"alg\":\"HS256\"}", GOOD, b));
    assert_refused(keys, forged("{\"alg\":\"HS256\",\"kid\":\"a\"}", GOOD, b),
                   "the token's signature is wrong");
    assert_refused(keys, forged("{\"alg\":\"HS256\",\"kid\":\"c\"}", GOOD, b),
                   "the token is signed by a key that is not known here");
    assert_refused(keys, forged("{\"alg\":\"HS256\",\"kid\":\"r1\"}", GOOD, b),
                   "the token's `alg` is not one of its key's");
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A key file that was rotated counts from the reload on; one that cannot be read leaves the keys as
 * they were. */
static void test_reload(void **state)
{
    (void)state;
    char path[] = "/tmp/penstock-key-XXXXXX";
    close(mkstemp(path));
    write_file(path, SECRET "\n");
    struct claims claims;
    struct problem problem;
    struct verifier *verifier = NULL;
    struct verifier_options options = {"", path, "", "", 0};
    rules = (struct token_rules){0};
    assert_int_equal(verifier_create(&options, &verifier, &problem), STATUS_OK);
    assert_string_equal(verdict(verifier, signed_with(SECRET, GOOD), &claims), "");
    write_file(path, "short");
    assert_int_equal(verifier_reload(verifier, &problem), STATUS_BAD_CONFIG);
    assert_null(strstr(problem.text, "short"));
    assert_string_equal(verdict(verifier, signed_with(SECRET, GOOD), &claims), "");
    write_file(path, ANOTHER);
    assert_int_equal(verifier_reload(verifier, &problem), STATUS_OK);
    assert_string_equal(verdict(verifier, signed_with(SECRET, GOOD), &claims),
                        "the token's signature is wrong");
    assert_string_equal(verdict(verifier, signed_with(ANOTHER, GOOD), &claims), "");
    verifier_destroy(verifier);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_token),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_key_confusion),
        cmocka_unit_test(test_keys_narrow),
        cmocka_unit_test(test_weak_secrets),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_parties),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_no_tokens),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_key_sets),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_public_texts),
        cmocka_unit_test(test_secrets_that_look_odd),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_published_texts),
        cmocka_unit_test(test_keys_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
