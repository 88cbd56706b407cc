/*
 * token_fuzz.c - tokens of strangers, and what stands in those that are signed. The first byte says
 * what the others are:
 *
 *   0  a whole token: taken only if its last part is the HMAC of what stands before it;
 *   1  a payload, which is signed here: taken only with a time ahead and a subject in bounds. Then
 *      the rule "user:{sub}" allows "user:" and the subject, if that has no separator, and no other
 *      of the names that are made of it;
 *   2  a header, signed here, before a good payload: taken only if it names HS256;
 *   3  a rule, and behind a NUL a name: nobody knows what is right, but nothing may break, and a
 *      rule without places and star allows its own name only.
 */
#include "base64url.h"
#include "access/grant.h"

#include "../fuzz.h"

#include "penstock/auth.h"
#include "penstock/wire.h"

#include <gnutls/crypto.h>

#define NOW_S  1700000000
#define SECRET "the secret of the fuzzer, which has more than thirty-two bytes"
#define HEADER "{\"alg\":\"HS256\"}"
#define GOOD   "{\"exp\":1700000100,\"sub\":\"u\",\"groups\":[\"a\",\"b\"]}"

unsigned long fuzz_taken;

static struct verifier *verifier(void)
{
    static struct verifier *made;
    struct problem problem;
    struct verifier_options options = {SECRET, "", "", "", 0};
    if (made == NULL) {
        check(verifier_create(&options, &made, &problem) == STATUS_OK);
    }
    return made;
}

static void write_mac(struct span text, uint8_t out[32])
{
    check(gnutls_hmac_fast(GNUTLS_MAC_SHA256, SECRET, sizeof SECRET - 1, text.data, text.size,
                           out) == 0);
}

/* A token of these parts, rightly signed. */
static struct span sign(struct span header, struct span payload, struct writer *out)
{
    uint8_t mac[32];
    base64url_encode(header, out);
    writer_u8(out, '.');
    base64url_encode(payload, out);
    write_mac(writer_span(out), mac);
    writer_u8(out, '.');
    base64url_encode(span_of(mac, sizeof mac), out);
    return writer_span(out);
}

static bool is_taken(struct span token, struct writer *room, struct claims *out)
{
    struct problem problem;
    problem_clear(&problem);
    struct token_rules rules = {0};
    enum status status = verifier_check(verifier(), token, &rules, NOW_S, room, out, &problem);
    check(status == STATUS_OK || (status == STATUS_UNAUTHORIZED && problem.text[0] != '\0'));
    if (status == STATUS_OK) {
        check(!room->full);
        check(out->expires_s > NOW_S);
        check(out->json.size >= 2 && out->json.data[0] == '{');
        check(out->subject.size <= SUBJECT_BYTES_MAX && utf8_valid(out->subject));
        fuzz_taken++;
    }
    return status == STATUS_OK;
}

static void check_token(struct span token)
{
    uint8_t bytes[TOKEN_BYTES_MAX + SUBJECT_BYTES_MAX], mac[32], given[64];
    struct writer room = writer_of(bytes, sizeof bytes), signature = writer_of(given, sizeof given);
    struct claims claims;
    if (!is_taken(token, &room, &claims)) {
        return;
    }
    const uint8_t *dot = memrchr(token.data, '.', token.size);
    check(dot != NULL);
    write_mac(span_of(token.data, (size_t)(dot - token.data)), mac);
    check(base64url_decode(span_of(dot + 1, (size_t)(token.data + token.size - dot - 1)),
                           &signature));
    check(span_equals(writer_span(&signature), span_of(mac, sizeof mac)));
}

static bool has_separator(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f || strchr("*:/", c) != NULL) {
            return true;
        }
    }
    return false;
}

/* "user:", the subject, and what stands behind it. */
static bool allows(const struct claims *claims, const char *behind)
{
    uint8_t bytes[SUBJECT_BYTES_MAX + 32];
    struct writer name = writer_of(bytes, sizeof bytes);
    writer_string(&name, "user:");
    writer_put(&name, claims->subject);
    writer_string(&name, behind);
    return rule_allows(span_string("user:{sub}"), claims, writer_span(&name));
}

static void check_payload(struct span payload)
{
    static uint8_t text[4 * TOKEN_BYTES_MAX];
    uint8_t bytes[TOKEN_BYTES_MAX + SUBJECT_BYTES_MAX];
    struct writer out = writer_of(text, sizeof text), room = writer_of(bytes, sizeof bytes);
    struct claims claims;
    struct span token = sign(span_string(HEADER), payload, &out);
    if (out.full || !is_taken(token, &room, &claims)) {
        return;
    }
    check(memmem(payload.data, payload.size, claims.json.data, claims.json.size) != NULL);
    check(allows(&claims, "") == (claims.subject.size > 0 && !has_separator(claims.subject)));
    check(!allows(&claims, ":private") && !allows(&claims, "2") && !allows(&claims, "*"));
    (void)claim_allows(span_string("subscribe"), &claims, span_string("user:u"));
    (void)rule_list_allows("g:{groups}, {sub}:*", &claims, span_string("g:a"));
}

static void check_header(struct span header)
{
    static uint8_t text[4 * TOKEN_BYTES_MAX];
    uint8_t bytes[TOKEN_BYTES_MAX + SUBJECT_BYTES_MAX];
    struct writer out = writer_of(text, sizeof text), room = writer_of(bytes, sizeof bytes);
    struct claims claims;
    struct span token = sign(header, span_string(GOOD), &out);
    if (!out.full && is_taken(token, &room, &claims)) {
        check(memmem(header.data, header.size, "HS256", 5) != NULL);
        check(utf8_valid(header));
    }
}

static void check_rule(struct span both)
{
    struct claims claims = {.json = span_string(GOOD)};
    const uint8_t *end = both.size == 0 ? NULL : memchr(both.data, '\0', both.size);
    if (end == NULL) {
        return;
    }
    struct span rule = span_of(both.data, (size_t)(end - both.data));
    struct span name = span_of(end + 1, both.size - rule.size - 1);
    bool is_plain = rule.size > 0 && memchr(rule.data, '{', rule.size) == NULL &&
                    rule.data[rule.size - 1] != '*';
    bool is_allowed = rule_allows(rule, &claims, name);
    check(!is_plain || is_allowed == span_equals(rule, name));
    check(rule.size > 0 || !is_allowed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FUZZ_BYTES_MAX) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        check_token(rest);
        break;
    case 1:
        check_payload(rest);
        break;
    case 2:
        check_header(rest);
        break;
    default:
        check_rule(rest);
        break;
    }
    return 0;
}
