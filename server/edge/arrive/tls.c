/*
 * tls.c - TLS 1.2 and up, by a certificate and a key that are files.
 *
 * libwebsockets makes the vhost's SSL_CTX and lends it to us
 * (LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX, LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS).
 * The files are read as a whole, held against each other, and tried, before they take the place of
 * those in force: a reload takes both or none.
 *
 * A handshake asks for them (SSL_CTX_set_cert_cb(3)), and its connection keeps what it got. They
 * are not put into the context itself, because that has a place for each kind of key, and no way to
 * empty one: where an RSA certificate follows one of ECDSA, it would go on offering the latter.
 */
#include "arrive/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <time.h>

struct identity {
    X509 *certificate;      /* owns */
    STACK_OF(X509) * chain; /* owns: those between it and its authority */
    EVP_PKEY *key;          /* owns */
};

/* ---- files ----------------------------------------------------------------------------------- */

void identity_free(struct identity *identity)
{
    if (identity == NULL) {
        return;
    }
    X509_free(identity->certificate);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key);
    free(identity);
}

/* An encrypted key would make OpenSSL ask on the terminal. */
static int no_password(char *out, int size, int is_writing, void *owner)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)owner;
    return -1;
}

static enum status refuse(const char *setting, const char *file, const char *what,
                          struct problem *problem)
{
    ERR_clear_error();
    return problem_set(problem, STATUS_BAD_CONFIG, "%s %.200s %s", setting, file, what);
}

static enum status read_certificates(const char *file, struct identity *out,
                                     struct problem *problem)
{
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL) {
        return refuse("tls_certificate", file, "cannot be opened", problem);
    }
    out->certificate = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    out->chain = sk_X509_new_null();
    X509 *next = NULL;
    while (out->certificate != NULL && out->chain != NULL &&
           (next = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(out->chain, next) == 0) {
            X509_free(next);
            break;
        }
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the file is one */
    return out->certificate != NULL && out->chain != NULL
               ? STATUS_OK
               : refuse("tls_certificate", file, "holds no certificate in PEM", problem);
}

static enum status read_key(const char *file, struct identity *out, struct problem *problem)
{
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL) {
        return refuse("tls_key", file, "cannot be opened", problem);
    }
    out->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return out->key != NULL
               ? STATUS_OK
               : refuse("tls_key", file, "holds no private key in PEM without a password", problem);
}

static enum status read_both(const struct settings *settings, struct identity *out,
                             struct problem *problem)
{
    enum status status = read_certificates(settings->tls_certificate, out, problem);
    if (status == STATUS_OK) {
        status = read_key(settings->tls_key, out, problem);
    }
    if (status == STATUS_OK && X509_check_private_key(out->certificate, out->key) != 1) {
        status = refuse("tls_key", settings->tls_key, "is not the key of tls_certificate", problem);
    }
    return status;
}

static enum status read_files(const struct settings *settings, struct identity **out,
                              struct problem *problem)
{
    struct identity *identity = calloc(1, sizeof *identity);
    enum status status = identity == NULL
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a certificate")
                             : read_both(settings, identity, problem);
    if (status != STATUS_OK) {
        identity_free(identity);
        return status;
    }
    *out = identity;
    return STATUS_OK;
}

enum status tls_check(const struct settings *settings, struct problem *problem)
{
    struct identity *identity;
    enum status status = read_files(settings, &identity, problem);
    if (status == STATUS_OK) {
        identity_free(identity);
    }
    return status;
}

static int64_t not_after(const X509 *certificate)
{
    struct tm end = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 ? timegm(&end) : 0;
}

int64_t identity_expires_s(const struct identity *identity)
{
    int64_t first = not_after(identity->certificate);
    for (int i = 0; i < sk_X509_num(identity->chain); i++) {
        int64_t end = not_after(sk_X509_value(identity->chain, i));
        first = end < first ? end : first;
    }
    return first;
}

/* ---- the context ----------------------------------------------------------------------------- */

static bool show(SSL *ssl, const struct identity *identity)
{
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1) == 1;
}

static int on_handshake(SSL *ssl, void *owner)
{
    struct identity **identity = owner;
    return show(ssl, *identity) ? 1 : 0;
}

/* Under the context's rules a key may be too weak. */
static bool is_usable(SSL_CTX *context, const struct identity *identity)
{
    SSL *trial = SSL_new(context);
    bool is_taken = trial != NULL && show(trial, identity);
    SSL_free(trial);
    return is_taken;
}

enum status tls_load(const struct settings *settings, SSL_CTX *context, struct identity **identity,
                     struct problem *problem)
{
    struct identity *read;
    enum status status = read_files(settings, &read, problem);
    if (status != STATUS_OK) {
        return status;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 || !is_usable(context, read)) {
        identity_free(read);
        return refuse("tls_certificate", settings->tls_certificate,
                      "cannot be used: is its key too weak?", problem);
    }
    identity_free(*identity);
    *identity = read;
    SSL_CTX_set_cert_cb(context, on_handshake, identity);
    return STATUS_OK;
}
