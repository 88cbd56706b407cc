/*
 * secret.c - is a text that would be taken for a secret something that others can read?
 *
 * What is neither JSON nor PEM is a secret, byte for byte, and whoever knows it signs tokens. So a
 * public key in a form that we do not read, or the name of a file in place of the file, would let
 * everybody in who can read that. Such texts are known by their looks and refused. A secret that
 * looks like one by chance can be written as a JWK, of which nothing is guessed.
 */
#include "key.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define DER_INTEGER  0x02
#define DER_SEQUENCE 0x30

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A short or long definite length (X.690 section 8.1.3) that ends where the bytes do, or, inside of
 * another, before. The value's place, or NULL. */
static const uint8_t *der_value(const uint8_t *data, size_t size, bool fills, size_t *out_size)
{
    size_t length, header = 2;
    if (size < 2) {
        return NULL;
    }
    length = data[1];
    if (length > 0x80 && length <= 0x83) {
        header += length - 0x80;
        length = 0;
        for (size_t i = 2; i < header && i < size; i++) {
            length = length << 8 | data[i];
        }
    }
    if (header > size || length > size - header || (fills && length != size - header)) {
        return NULL;
    }
    *out_size = length;
    return data + header;
}

/* A sequence that begins with another, or with a number: so do public keys (RFC 5280
 * section 4.1.2.7, RFC 8017 appendix A.1.1), certificates and private keys. Random bytes do once in
 * 2^23. */
static bool is_der(const uint8_t *data, size_t size)
{
    size_t inner = 0, first;
    if (size == 0 || data[0] != DER_SEQUENCE) {
        return false;
    }
    const uint8_t *value = der_value(data, size, true, &inner);
    return value != NULL && inner > 0 && (value[0] == DER_SEQUENCE || value[0] == DER_INTEGER) &&
           der_value(value, inner, false, &first) != NULL;
}

/* PEM without its first and last line, which is how some issuers show their key. */
static bool is_naked_der(const char *text)
{
    gnutls_datum_t base64 = {(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
    gnutls_datum_t data = {NULL, 0};
    if (gnutls_base64_decode2(&base64, &data) != 0) {
        return false;
    }
    bool is = is_der(data.data, data.size);
    gnutls_memset(data.data, 0, data.size);
    gnutls_free(data.data);
    return is;
}

static bool has_one_of(const char *text, int (*is_of)(int))
{
    while (*text != '\0' && !is_of((unsigned char)*text)) {
        text++;
    }
    return *text != '\0';
}

/* One in 64 secrets in base64 begins with a slash, too; but those mix their letters, have nothing
 * else in them, and no file has their name. */
static bool is_path(const char *text)
{
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    if (begins_with(text, "./") || begins_with(text, "../") || begins_with(text, "~/")) {
        return true;
    }
    bool is_random = has_one_of(text, isupper) && has_one_of(text, islower) &&
                     has_one_of(text, isdigit) && text[strspn(text, base64)] == '\0';
    return *text == '/' && (!is_random || access(text, F_OK) == 0);
}

static bool is_ssh(const char *text)
{
    return begins_with(text, "ssh-") || begins_with(text, "ecdsa-") ||
           begins_with(text, "sk-ssh-") || begins_with(text, "sk-ecdsa-");
}

static bool has_control(const char *text)
{
    while (*text != '\0' && (unsigned char)*text >= ' ' && *text != 0x7f) {
        text++;
    }
    return *text != '\0';
}

/* What it looks like, and what to do; NULL: like a secret. */
static const char *find_looks(const char *text)
{
    if (*text == '[') {
        return "a list in JSON: a set of keys is written {\"keys\":[…]}";
    }
    if (is_ssh(text)) {
        return "a public key of SSH: `ssh-keygen -e -m PKCS8 -f FILE` writes it as PEM";
    }
    if (strstr(text, "BEGIN ") != NULL) {
        return "a key in a form that is not read here: PEM begins with -----BEGIN";
    }
    if (is_naked_der(text)) {
        return "a key or certificate in base64: put it between the lines -----BEGIN PUBLIC "
               "KEY----- "
               "(or CERTIFICATE) and -----END…";
    }
    if (strstr(text, "://") != NULL) {
        return "an address: where keys are published belongs into auth_jwks_url";
    }
    if (is_path(text)) {
        return "the name of a file, which belongs into auth_key_file";
    }
    return has_control(text) ? "something else: it has several lines or control characters" : NULL;
}

enum status secret_check(const char *text, const char *source, struct problem *problem)
{
    const char *looks = find_looks(text);
    if (looks == NULL) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "%s is not taken for a secret: it looks like %s. If it is a secret all the "
                       "same, write it as a JWK, {\"kty\":\"oct\",\"k\":\"…\"}",
                       source, looks);
}
