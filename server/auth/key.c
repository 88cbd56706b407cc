/*
 * key.c - a key's life: JWK, PEM or plain bytes → what it allows → verdicts on signatures.
 *
 * librhonabwy reads the keys (RFC 7517, 7518, 8037; PEM), once, and GnuTLS, on which it stands,
 * verifies with them. Tokens that come in are never given to librhonabwy: its parser can inflate
 * what a header calls compressed and follow keys that a header names, and the library of Debian 12
 * (1.1.11) has no comparison in constant time: it imports o_strcmp and inflate, not gnutls_memcmp.
 */
#include "jwk.h"

#include <gnutls/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_LEAST 2048
#define ES256_BYTES    64 /* R and S, 32 each (RFC 7518 section 3.4) */
#define HMAC_BYTES_MAX 64

static const struct {
    enum algorithm algorithm;
    gnutls_mac_algorithm_t mac;
    size_t bytes;
} macs[] = {
    {ALGORITHM_HS256, GNUTLS_MAC_SHA256, 32},
    {ALGORITHM_HS384, GNUTLS_MAC_SHA384, 48},
    {ALGORITHM_HS512, GNUTLS_MAC_SHA512, 64},
};
enum { MAC_COUNT = sizeof macs / sizeof macs[0] };

static const struct {
    const char *name;
    enum algorithm algorithm;
} names[] = {
    {"HS256", ALGORITHM_HS256}, {"HS384", ALGORITHM_HS384}, {"HS512", ALGORITHM_HS512},
    {"RS256", ALGORITHM_RS256}, {"ES256", ALGORITHM_ES256}, {"EdDSA", ALGORITHM_EDDSA},
};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

enum algorithm algorithm_find(struct span name)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (span_is(name, names[i].name)) {
            return names[i].algorithm;
        }
    }
    return ALGORITHM_NONE;
}

/* ---- one key --------------------------------------------------------------------------------- */

static enum status no_memory(struct problem *problem)
{
    return problem_set(problem, STATUS_NO_MEMORY, "no memory for the keys of tokens");
}

static unsigned secret_algorithms(size_t bytes)
{
    unsigned algorithms = 0;
    for (size_t i = 0; i < MAC_COUNT; i++) {
        algorithms |= bytes >= macs[i].bytes ? (unsigned)macs[i].algorithm : 0;
    }
    return algorithms;
}

/* What the key's kind allows; 0: a kind or size that we do not take. */
static unsigned kind_algorithms(jwk_t *jwk)
{
    unsigned bits = 0;
    int type = r_jwk_key_type(jwk, &bits, R_FLAG_IGNORE_REMOTE);
    const char *curve = r_jwk_get_property_str(jwk, "crv");
    if ((type & R_KEY_TYPE_SYMMETRIC) != 0) {
        return secret_algorithms(bits / 8);
    }
    if ((type & R_KEY_TYPE_RSA) != 0) {
        return bits >= RSA_BITS_LEAST ? ALGORITHM_RS256 : 0;
    }
    if (curve == NULL) {
        return 0;
    }
    if ((type & R_KEY_TYPE_EC) != 0 && strcmp(curve, "P-256") == 0) {
        return ALGORITHM_ES256;
    }
    return (type & R_KEY_TYPE_EDDSA) != 0 && strcmp(curve, "Ed25519") == 0 ? ALGORITHM_EDDSA : 0;
}

static bool is_for_signatures(jwk_t *jwk)
{
    const char *use = r_jwk_get_property_str(jwk, "use");
    return use == NULL || strcmp(use, "sig") == 0;
}

/* Its kind's, narrowed by its own `alg`. */
static unsigned allowed_algorithms(jwk_t *jwk)
{
    const char *name = r_jwk_get_property_str(jwk, "alg");
    unsigned allowed = is_for_signatures(jwk) ? kind_algorithms(jwk) : 0;
    return name == NULL ? allowed : allowed & (unsigned)algorithm_find(span_string(name));
}

/* False: it has no form that can verify. */
static bool take_material(jwk_t *jwk, struct key *out)
{
    if ((r_jwk_key_type(jwk, NULL, R_FLAG_IGNORE_REMOTE) & R_KEY_TYPE_SYMMETRIC) != 0) {
        out->secret_bytes = sizeof out->secret;
        return r_jwk_export_to_symmetric_key(jwk, out->secret, &out->secret_bytes) == RHN_OK;
    }
    jwk_t *public = NULL;
    if ((r_jwk_key_type(jwk, NULL, R_FLAG_IGNORE_REMOTE) & R_KEY_TYPE_PRIVATE) == 0) {
        out->public = r_jwk_export_to_gnutls_pubkey(jwk, R_FLAG_IGNORE_REMOTE);
    } else if (r_jwk_init(&public) == RHN_OK &&
               r_jwk_extract_pubkey(jwk, public, R_FLAG_IGNORE_REMOTE) == RHN_OK) {
        out->public = r_jwk_export_to_gnutls_pubkey(public, R_FLAG_IGNORE_REMOTE);
    }
    r_jwk_free(public);
    return out->public != NULL;
}

/* False: not a key for us. */
static bool take_key(jwk_t *jwk, struct key *out)
{
    const char *id = r_jwk_get_property_str(jwk, "kid");
    out->algorithms = allowed_algorithms(jwk);
    if (out->algorithms == 0 || (id != NULL && strlen(id) > KEY_ID_BYTES_MAX)) {
        return false;
    }
    strcpy(out->id, id == NULL ? "" : id);
    return take_material(jwk, out);
}

/* ---- text to keys ---------------------------------------------------------------------------- */

static bool import_pem(jwk_t *jwk, const char *text)
{
    int type = strstr(text, "PRIVATE KEY") != NULL   ? R_X509_TYPE_PRIVKEY
               : strstr(text, "CERTIFICATE") != NULL ? R_X509_TYPE_CERTIFICATE
                                                     : R_X509_TYPE_PUBKEY;
    return r_jwk_import_from_pem_der(jwk, type, R_FORMAT_PEM, (const unsigned char *)text,
                                     strlen(text)) == RHN_OK;
}

static bool is_json(const char *text)
{
    return *text == '{';
}

static bool is_pem(const char *text)
{
    return strstr(text, "-----BEGIN ") != NULL;
}

/* A JSON text that is one key, PEM, or bytes. */
static bool import_one(jwk_t *jwk, const char *text)
{
    if (is_json(text)) {
        return r_jwk_import_from_json_str(jwk, text) == RHN_OK;
    }
    if (is_pem(text)) {
        return import_pem(jwk, text);
    }
    size_t bytes = strlen(text);
    return bytes > 0 && bytes <= SECRET_BYTES_MAX &&
           r_jwk_import_from_symmetric_key(jwk, (const unsigned char *)text, bytes) == RHN_OK;
}

static bool is_set(const char *text)
{
    return is_json(text) && strstr(text, "\"keys\"") != NULL;
}

/* Blanks and line ends around a text are no part of it: editors and `echo` leave them. Nor is a
 * byte order mark, before which JSON would not be seen to be JSON. */
static char *trimmed(const char *text)
{
    static const char mark[] = "\xef\xbb\xbf";
    text += strncmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    return strndup(text, size);
}

/* Plain bytes are a secret, unless others can read them. */
static enum status check_form(const char *text, const char *source, bool is_published,
                              struct problem *problem)
{
    if (is_json(text) || is_pem(text) || *text == '\0') {
        return STATUS_OK;
    }
    if (is_published) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%s is neither a JWKS nor a JWK nor PEM, and no secret is published",
                           source);
    }
    return secret_check(text, source, problem);
}

static enum status refuse(const char *source, struct problem *problem)
{
    return problem_set(
        problem, STATUS_BAD_CONFIG,
        "%s has no key that verifies tokens: needed is a secret of 32 bytes or more, an RSA key of "
        "2048 bits or more, an EC key on P-256 or an Ed25519 key, as PEM, JWK or JWKS",
        source);
}

static enum status set_create(size_t count, struct key_set **out, struct problem *problem)
{
    struct key_set *set = calloc(1, sizeof *set + count * sizeof set->keys[0]);
    if (set == NULL) {
        return no_memory(problem);
    }
    atomic_init(&set->shares, 1);
    *out = set;
    return STATUS_OK;
}

static void take_all(jwks_t *jwks, size_t count, struct key_set *set)
{
    for (size_t i = 0; i < count; i++) {
        jwk_t *jwk = r_jwks_get_at(jwks, i);
        if (jwk != NULL && take_key(jwk, &set->keys[set->count])) {
            set->count++;
        } else {
            memset(&set->keys[set->count], 0, sizeof set->keys[0]);
        }
        r_jwk_free(jwk);
    }
}

static enum status parse_set(const char *text, struct key_set **out, struct problem *problem)
{
    jwks_t *jwks = NULL;
    if (r_jwks_init(&jwks) != RHN_OK) {
        return no_memory(problem);
    }
    /* One bad key makes it answer with an error, and keep the good ones. */
    (void)r_jwks_import_from_json_str(jwks, text);
    size_t count = r_jwks_size(jwks);
    count = count < KEYS_OF_SET_MAX ? count : KEYS_OF_SET_MAX;
    enum status status = set_create(count, out, problem);
    if (status == STATUS_OK) {
        take_all(jwks, count, *out);
    }
    r_jwks_free(jwks);
    return status;
}

static enum status parse_one(const char *text, struct key_set **out, struct problem *problem)
{
    jwk_t *jwk = NULL;
    if (r_jwk_init(&jwk) != RHN_OK) {
        return no_memory(problem);
    }
    enum status status = set_create(1, out, problem);
    if (status == STATUS_OK && import_one(jwk, text) && take_key(jwk, &(*out)->keys[0])) {
        (*out)->count = 1;
    }
    r_jwk_free(jwk);
    return status;
}

static enum status parse(const char *text, const char *source, bool is_published,
                         struct key_set **out, struct problem *problem)
{
    struct key_set *set = NULL;
    char *copy = trimmed(text);
    if (copy == NULL) {
        return no_memory(problem);
    }
    enum status status = check_form(copy, source, is_published, problem);
    if (status == STATUS_OK) {
        status = is_set(copy) ? parse_set(copy, &set, problem) : parse_one(copy, &set, problem);
    }
    key_text_free(copy);
    if (status == STATUS_OK && set->count == 0) {
        status = refuse(source, problem);
    }
    if (status != STATUS_OK) {
        key_set_drop(set);
        return status;
    }
    *out = set;
    return STATUS_OK;
}

enum status key_set_parse(const char *text, const char *source, struct key_set **out,
                          struct problem *problem)
{
    return parse(text, source, false, out, problem);
}

enum status key_set_parse_published(const char *text, const char *source, struct key_set **out,
                                    struct problem *problem)
{
    return parse(text, source, true, out, problem);
}

enum status key_parse_private(const char *text, jwk_t **out, unsigned *out_algorithms,
                              struct problem *problem)
{
    jwk_t *jwk = NULL;
    char *copy = trimmed(text);
    enum status status =
        copy == NULL ? no_memory(problem) : check_form(copy, "the key", false, problem);
    bool is_read = status == STATUS_OK && r_jwk_init(&jwk) == RHN_OK && import_one(jwk, copy);
    key_text_free(copy);
    if (status != STATUS_OK) {
        return status;
    }
    int type = is_read ? r_jwk_key_type(jwk, NULL, R_FLAG_IGNORE_REMOTE) : 0;
    *out_algorithms = is_read ? allowed_algorithms(jwk) : 0;
    if ((type & (R_KEY_TYPE_PRIVATE | R_KEY_TYPE_SYMMETRIC)) == 0 || *out_algorithms == 0) {
        r_jwk_free(jwk);
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the key cannot sign: needed is one secret of 32 bytes or more, or one "
                           "private key (RSA, P-256 or Ed25519)");
    }
    *out = jwk;
    return STATUS_OK;
}

/* ---- sets ------------------------------------------------------------------------------------ */

struct key_set *key_set_share(struct key_set *set)
{
    if (set != NULL) {
        atomic_fetch_add_explicit(&set->shares, 1, memory_order_relaxed);
    }
    return set;
}

static size_t write_count(char *out, size_t size, size_t count, const char *noun)
{
    return (size_t)snprintf(out, size, "%zu %s%s", count, noun, count == 1 ? "" : "s");
}

void key_set_describe(const struct key_set *set, char out[KEYS_TEXT_BYTES])
{
    size_t secrets = 0, size = 0;
    unsigned algorithms = 0;
    const char *before = " (";
    for (size_t i = 0; i < set->count; i++) {
        secrets += set->keys[i].public == NULL;
        algorithms |= set->keys[i].algorithms;
    }
    if (secrets > 0) {
        size = write_count(out, KEYS_TEXT_BYTES, secrets, "secret");
    }
    if (secrets < set->count) {
        size += (size_t)snprintf(out + size, KEYS_TEXT_BYTES - size, secrets > 0 ? " and " : "");
        size += write_count(out + size, KEYS_TEXT_BYTES - size, set->count - secrets, "public key");
    }
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if ((algorithms & (unsigned)names[i].algorithm) != 0) {
            size +=
                (size_t)snprintf(out + size, KEYS_TEXT_BYTES - size, "%s%s", before, names[i].name);
            before = ", ";
        }
    }
    (void)snprintf(out + size, KEYS_TEXT_BYTES - size, ")");
}

void key_set_drop(struct key_set *set)
{
    /* Release pairs with the acquire of whoever drops the last share and frees. */
    if (set == NULL || atomic_fetch_sub_explicit(&set->shares, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (set->keys[i].public != NULL) {
            gnutls_pubkey_deinit(set->keys[i].public);
        }
        gnutls_memset(set->keys[i].secret, 0, sizeof set->keys[i].secret);
    }
    free(set);
}

/* ---- signatures ------------------------------------------------------------------------------ */

static bool verify_mac(const struct key *key, enum algorithm algorithm, struct span text,
                       struct span signature)
{
    uint8_t expected[HMAC_BYTES_MAX];
    for (size_t i = 0; i < MAC_COUNT; i++) {
        if (macs[i].algorithm == algorithm) {
            return signature.size == macs[i].bytes &&
                   gnutls_hmac_fast(macs[i].mac, key->secret, key->secret_bytes, text.data,
                                    text.size, expected) == 0 &&
                   gnutls_memcmp(expected, signature.data, signature.size) == 0;
        }
    }
    return false;
}

static gnutls_datum_t datum(struct span span)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)span.data, (unsigned)span.size};
}

/* R and S as they stand in a token become what GnuTLS verifies: a DER sequence. */
static bool verify_es256(const struct key *key, struct span text, struct span signature)
{
    gnutls_datum_t message = datum(text), der = {NULL, 0};
    if (signature.size != ES256_BYTES) {
        return false;
    }
    gnutls_datum_t r = datum(span_of(signature.data, ES256_BYTES / 2));
    gnutls_datum_t s = datum(span_of(signature.data + ES256_BYTES / 2, ES256_BYTES / 2));
    bool is_valid =
        gnutls_encode_rs_value(&der, &r, &s) == 0 &&
        gnutls_pubkey_verify_data2(key->public, GNUTLS_SIGN_ECDSA_SHA256, 0, &message, &der) >= 0;
    gnutls_free(der.data);
    return is_valid;
}

bool key_verify(const struct key *key, enum algorithm algorithm, struct span text,
                struct span signature)
{
    gnutls_datum_t message = datum(text), given = datum(signature);
    if ((key->algorithms & (unsigned)algorithm) == 0) {
        return false;
    }
    if (key->public == NULL) {
        return verify_mac(key, algorithm, text, signature);
    }
    switch (algorithm) {
    case ALGORITHM_RS256:
        return gnutls_pubkey_verify_data2(key->public, GNUTLS_SIGN_RSA_SHA256, 0, &message,
                                          &given) >= 0;
    case ALGORITHM_ES256:
        return verify_es256(key, text, signature);
    case ALGORITHM_EDDSA:
        return gnutls_pubkey_verify_data2(key->public, GNUTLS_SIGN_EDDSA_ED25519, 0, &message,
                                          &given) >= 0;
    default:
        return false;
    }
}
