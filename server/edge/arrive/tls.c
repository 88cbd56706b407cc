/*
 * tls.c - TLS 1.2 and up, by a certificate and a key that are files.
 *
 * libwebsockets makes the vhost's SSL_CTX and lends it to us
 * (LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX, LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS).
 * The files are read as a whole and held against each other first, and then put in by one call
 * (SSL_CTX_use_cert_and_key(3)), so that a reload takes both or none. SSL_new(3) copies what it
 * finds there: a connection keeps the certificate it began with, and nothing is closed by a reload.
 */
#include "arrive/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

struct material {
    X509 *certificate;      /* owns */
    STACK_OF(X509) * chain; /* owns: those between it and its authority */
    EVP_PKEY *key;          /* owns */
};

/* ---- files ----------------------------------------------------------------------------------- */

static void release(struct material *material)
{
    X509_free(material->certificate);
    sk_X509_pop_free(material->chain, X509_free);
    EVP_PKEY_free(material->key);
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

static enum status read_certificates(const char *file, struct material *out,
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

static enum status read_key(const char *file, struct material *out, struct problem *problem)
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

static enum status read_files(const struct settings *settings, struct material *out,
                              struct problem *problem)
{
    *out = (struct material){0};
    enum status status = read_certificates(settings->tls_certificate, out, problem);
    if (status == STATUS_OK) {
        status = read_key(settings->tls_key, out, problem);
    }
    if (status == STATUS_OK && X509_check_private_key(out->certificate, out->key) != 1) {
        status = refuse("tls_key", settings->tls_key, "is not the key of tls_certificate", problem);
    }
    return status;
}

enum status tls_check(const struct settings *settings, struct problem *problem)
{
    struct material material;
    enum status status = read_files(settings, &material, problem);
    release(&material);
    return status;
}

/* ---- the context ----------------------------------------------------------------------------- */

enum status tls_load(const struct settings *settings, SSL_CTX *context, struct problem *problem)
{
    struct material material;
    enum status status = read_files(settings, &material, problem);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (status == STATUS_OK && (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
                                SSL_CTX_use_cert_and_key(context, material.certificate,
                                                         material.key, material.chain, 1) != 1)) {
        status = refuse("tls_certificate", settings->tls_certificate,
                        "cannot be used: is its key too weak?", problem);
    }
    release(&material);
    return status;
}
