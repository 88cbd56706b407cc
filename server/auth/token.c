/*
 * token.c - what stands in a token, and whether it is for us, and for now.
 *
 *   header . payload . signature       each in base64url
 *
 *   1. the header is read before anything is known of its author: a small map, of which `alg` and
 *      `kid` are looked at. `crit`, `b64` and `zip` change what the rest means (RFC 7515 section
 *      4.1.11, RFC 7797, RFC 7516 section 4.1.3) and are refused. Keys and addresses of keys in a
 *      header (`jwk`, `jku`, `x5u`, `x5c`) are nobody's word: they are not looked at;
 *   2. the caller verifies the signature;
 *   3. the payload is a map without a name twice. `exp` must be there.
 *
 * The reasons are told to clients: they name the rule, never a value.
 */
#include "token.h"

#include "base64url.h"

#include "penstock/wire.h"

#include <math.h>
#include <stdlib.h>

#define HEADER_BYTES_MAX 1024
#define NUMBER_BYTES_MAX 40

static enum status refuse(struct problem *problem, const char *reason)
{
    return problem_set(problem, STATUS_UNAUTHORIZED, "the token %s", reason);
}

/* ---- the header ------------------------------------------------------------------------------ */

/* A string without escapes; false: something else. */
static bool plain_text(const struct value *value, struct span *out)
{
    *out = value->raw;
    return value->kind == VALUE_STRING && !value->escaped;
}

static enum status take_id(const struct value *value, struct token *out, struct problem *problem)
{
    struct span id;
    if (!plain_text(value, &id) || id.size > KEY_ID_BYTES_MAX) {
        return refuse(problem, "names a key (`kid`) that is no short text");
    }
    memcpy(out->id, id.data, id.size);
    out->id[id.size] = '\0';
    return STATUS_OK;
}

static enum status take_header_field(struct span name, const struct value *value, struct token *out,
                                     struct problem *problem)
{
    struct span algorithm;
    if (span_is(name, "kid")) {
        return out->id[0] == '\0' ? take_id(value, out, problem)
                                  : refuse(problem, "has `kid` twice");
    }
    if (span_is(name, "alg")) {
        if (out->algorithm != ALGORITHM_NONE || !plain_text(value, &algorithm)) {
            return refuse(problem, "has `alg` twice, or not as text");
        }
        out->algorithm = algorithm_find(algorithm);
        return out->algorithm != ALGORITHM_NONE
                   ? STATUS_OK
                   : refuse(problem, "is signed in a way that is not taken here: HS256, HS384, "
                                     "HS512, RS256, ES256 and EdDSA are");
    }
    if (span_is(name, "crit") || span_is(name, "b64") || span_is(name, "zip")) {
        return refuse(problem, "has a header that is not understood here (crit, b64 or zip)");
    }
    return memchr(name.data, '\\', name.size) == NULL
               ? STATUS_OK
               : refuse(problem, "has a header with an escaped name");
}

static enum status read_header(struct span part, struct token *out, struct problem *problem)
{
    uint8_t bytes[HEADER_BYTES_MAX];
    struct writer header = writer_of(bytes, sizeof bytes);
    struct map_cursor cursor;
    struct value map, value;
    struct span name;
    if (!base64url_decode(part, &header)) {
        return refuse(problem, "has a header that is no base64url, or too long");
    }
    if (json_parse(writer_span(&header), &map, problem) != STATUS_OK || map.kind != VALUE_MAP) {
        return refuse(problem, "has a header that is no JSON object");
    }
    enum status status = STATUS_OK;
    map_begin(&map, &cursor);
    while (status == STATUS_OK && map_next(&cursor, &name, &value)) {
        status = take_header_field(name, &value, out, problem);
    }
    if (status == STATUS_OK && out->algorithm == ALGORITHM_NONE) {
        status = refuse(problem, "does not say how it is signed (`alg`)");
    }
    return status;
}

enum status token_read(struct span token, struct token *out, struct problem *problem)
{
    if (token.size == 0 || token.size > TOKEN_BYTES_MAX) {
        return problem_set(problem, STATUS_UNAUTHORIZED, "a token has 1 to %d bytes",
                           TOKEN_BYTES_MAX);
    }
    const uint8_t *end = token.data + token.size;
    const uint8_t *first = memchr(token.data, '.', token.size);
    const uint8_t *second =
        first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return refuse(problem, "is no signed JSON Web Token: it must have three parts");
    }
    out->algorithm = ALGORITHM_NONE;
    out->id[0] = '\0';
    out->payload = span_of(first + 1, (size_t)(second - first - 1));
    out->text = span_of(token.data, (size_t)(second - token.data));
    struct writer signature = writer_of(out->signature, sizeof out->signature);
    if (!base64url_decode(span_of(second + 1, (size_t)(end - second - 1)), &signature) ||
        writer_size(&signature) == 0) {
        return refuse(problem, "has a signature that is no base64url, empty, or too long");
    }
    out->signature_bytes = writer_size(&signature);
    return read_header(span_of(token.data, (size_t)(first - token.data)), out, problem);
}

/* ---- claims ---------------------------------------------------------------------------------- */

bool claims_find(const struct claims *claims, struct span name, struct value *out)
{
    struct span at;
    struct map_cursor cursor;
    struct value map = {.kind = VALUE_MAP, .encoding = ENCODING_JSON, .raw = claims->json};
    map_begin(&map, &cursor);
    while (map_next(&cursor, &at, out)) {
        if (span_equals(at, name)) {
            return true;
        }
    }
    return false;
}

/* Which of two equal names counts is a matter of taste among parsers: none does. */
static enum status check_names(const struct value *map, struct problem *problem)
{
    struct span names[CLAIMS_MAX];
    size_t count = 0;
    struct map_cursor cursor;
    struct value value;
    map_begin(map, &cursor);
    for (; count < CLAIMS_MAX && map_next(&cursor, &names[count], &value); count++) {
        for (size_t i = 0; i < count; i++) {
            if (span_equals(names[i], names[count])) {
                return refuse(problem, "has a claim twice");
            }
        }
    }
    struct span next;
    return count < CLAIMS_MAX || !map_next(&cursor, &next, &value)
               ? STATUS_OK
               : refuse(problem, "has too many claims");
}

/* NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction. */
static bool read_time(const struct value *value, int64_t *out)
{
    char text[NUMBER_BYTES_MAX + 1];
    if (value->kind != VALUE_NUMBER || value->raw.size > NUMBER_BYTES_MAX) {
        return false;
    }
    memcpy(text, value->raw.data, value->raw.size);
    text[value->raw.size] = '\0';
    double seconds = floor(strtod(text, NULL));
    if (!(seconds >= 0 && seconds < 0x1p53)) {
        return false;
    }
    *out = (int64_t)seconds;
    return true;
}

static enum status check_time(const struct token_rules *rules, int64_t now_s, struct claims *claims,
                              struct problem *problem)
{
    struct value value;
    int64_t from_s;
    if (!claims_find(claims, span_string("exp"), &value) ||
        !read_time(&value, &claims->expires_s)) {
        return refuse(problem, "must say when it expires (`exp`, in seconds since 1970)");
    }
    if (now_s - rules->leeway_s >= claims->expires_s) {
        return refuse(problem, "has expired");
    }
    if (!claims_find(claims, span_string("nbf"), &value)) {
        return STATUS_OK;
    }
    if (!read_time(&value, &from_s)) {
        return refuse(problem, "has an `nbf` that is no time in seconds since 1970");
    }
    return now_s + rules->leeway_s >= from_s ? STATUS_OK
                                             : refuse(problem, "is not valid yet (`nbf`)");
}

/* The string, with its escapes resolved behind what is in `room`. */
static bool read_text(const struct value *value, struct writer *room, struct span *out)
{
    return value->kind == VALUE_STRING && (value->flaws & (FLAW_NUL | FLAW_LONE_SURROGATE)) == 0 &&
           value_text_slice(value, room, out);
}

static bool equals(const struct value *value, struct span wanted)
{
    uint8_t bytes[SUBJECT_BYTES_MAX * 4];
    struct writer room = writer_of(bytes, sizeof bytes);
    struct span text;
    return read_text(value, &room, &text) && span_equals(text, wanted);
}

/* `aud` is one name or an array of them (RFC 7519 section 4.1.3). */
static bool names_audience(const struct value *value, struct span audience)
{
    struct array_cursor cursor;
    struct value item;
    if (value->kind != VALUE_ARRAY) {
        return equals(value, audience);
    }
    array_begin(value, &cursor);
    while (array_next(&cursor, &item)) {
        if (equals(&item, audience)) {
            return true;
        }
    }
    return false;
}

static enum status check_parties(const struct token_rules *rules, const struct claims *claims,
                                 struct problem *problem)
{
    struct value value;
    if (rules->issuer.size > 0 &&
        !(claims_find(claims, span_string("iss"), &value) && equals(&value, rules->issuer))) {
        return refuse(problem, "is from another issuer (`iss`)");
    }
    if (rules->audience.size > 0 && !(claims_find(claims, span_string("aud"), &value) &&
                                      names_audience(&value, rules->audience))) {
        return refuse(problem, "is for another audience (`aud`)");
    }
    return STATUS_OK;
}

static enum status take_subject(struct writer *room, struct claims *out, struct problem *problem)
{
    struct value value;
    out->subject = span_of(NULL, 0);
    if (!claims_find(out, span_string("sub"), &value)) {
        return STATUS_OK;
    }
    if (!read_text(&value, room, &out->subject) || out->subject.size == 0 ||
        out->subject.size > SUBJECT_BYTES_MAX) {
        return refuse(problem, "has a subject (`sub`) that is no text of 1 to 256 bytes");
    }
    return STATUS_OK;
}

enum status token_read_claims(const struct token *token, const struct token_rules *rules,
                              int64_t now_s, struct writer *room, struct claims *out,
                              struct problem *problem)
{
    struct value map;
    uint8_t *start = room->next;
    if (!base64url_decode(token->payload, room)) {
        return refuse(problem, "has a payload that is no base64url");
    }
    out->json = span_of(start, (size_t)(room->next - start));
    if (json_parse(out->json, &map, problem) != STATUS_OK || map.kind != VALUE_MAP) {
        return refuse(problem, "has a payload that is no JSON object");
    }
    out->json = map.raw;
    enum status status = check_names(&map, problem);
    if (status == STATUS_OK) {
        status = check_time(rules, now_s, out, problem);
    }
    if (status == STATUS_OK) {
        status = check_parties(rules, out, problem);
    }
    return status == STATUS_OK ? take_subject(room, out, problem) : status;
}
