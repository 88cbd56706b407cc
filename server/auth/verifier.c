/*
 * verifier.c - which keys are in force, and which of them a token is held against.
 *
 * There are two sets: those of the configuration (auth_key, auth_key_file), which main replaces,
 * and those of the JWKS, which its thread replaces. A token that names a key (`kid`) is held
 * against the keys of that name, and, where keys have no name (a secret, a PEM), against those; one
 * that names none is held against all that allow its algorithm, of which there are few.
 *
 * A name that no key has may be one that the issuer has just begun to use: the JWKS is asked for.
 * The client is refused for now and told why; its next attempt finds the key.
 */
#include "jwk.h"
#include "jwks.h"
#include "token.h"
#include "verified.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS_TRIED_MAX 8 /* for a token that names none */

/* An HMAC takes no longer than the digest by which it would be found again. */
#define HMACS (ALGORITHM_HS256 | ALGORITHM_HS384 | ALGORITHM_HS512)

struct verifier {
    char *key_file;                       /* own */
    pthread_mutex_t lock;                 /* of the two pointers, not of what they point to */
    struct key_set *configured, *fetched; /* own a share each; NULL: none */
    uint64_t keys;                        /* counts the sets there were, from 1 */
    struct verified *verified;
    struct jwks *jwks; /* NULL: no URL */
};

/* ---- key sets -------------------------------------------------------------------------------- */

static void replace(struct verifier *verifier, struct key_set **at, struct key_set *keys)
{
    pthread_mutex_lock(&verifier->lock);
    struct key_set *former = *at;
    *at = keys;
    verifier->keys++; /* what the former ones had signed is to be verified anew */
    pthread_mutex_unlock(&verifier->lock);
    key_set_drop(former);
}

/* Whoever meant to give a public key sees whether a secret was taken. */
static void say_keys(enum log_level level, const char *key, const struct key_set *keys)
{
    char text[KEYS_TEXT_BYTES];
    key_set_describe(keys, text);
    log_at(level, "auth", "%s: %s", key, text);
}

static void on_keys(void *owner, struct key_set *keys)
{
    struct verifier *verifier = owner;
    say_keys(verifier->fetched == NULL ? LOG_INFO : LOG_DEBUG, "auth_jwks_url", keys);
    replace(verifier, &verifier->fetched, keys);
}

static enum status load_file(const char *file, struct key_set **out, struct problem *problem)
{
    char *text = NULL;
    char source[300];
    snprintf(source, sizeof source, "the key file %.200s", file);
    enum status status = key_text_read(file, &text, problem);
    if (status == STATUS_OK) {
        status = key_set_parse(text, source, out, problem);
    }
    key_text_free(text);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum status load(struct verifier *verifier, const struct verifier_options *options,
                        struct problem *problem)
{
    enum status status = STATUS_OK;
    verifier->key_file = strdup(options->key_file);
    if (verifier->key_file == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to verify tokens");
    }
    if (*options->key != '\0') {
        status = key_set_parse(options->key, "auth_key", &verifier->configured, problem);
    } else if (*options->key_file != '\0') {
        status = load_file(options->key_file, &verifier->configured, problem);
    }
    if (verifier->configured != NULL) {
        say_keys(LOG_INFO, *options->key != '\0' ? "auth_key" : "auth_key_file",
                 verifier->configured);
    }
    if (status == STATUS_OK && *options->jwks_url != '\0') {
        struct jwks_options jwks = {options->jwks_url, options->jwks_authority, options->refresh_s,
                                    on_keys, verifier};
        status = jwks_start(&jwks, &verifier->jwks, problem);
    }
    return status;
}

enum status verifier_create(const struct verifier_options *options, struct verifier **out,
                            struct problem *problem)
{
    struct verifier *verifier = calloc(1, sizeof *verifier);
    if (verifier == NULL || r_global_init() != RHN_OK) {
        free(verifier);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to verify tokens");
    }
    pthread_mutex_init(&verifier->lock, NULL);
    verifier->keys = 1;
    verifier->verified = verified_create();
    enum status status = verifier->verified == NULL
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory to verify tokens")
                             : load(verifier, options, problem);
    if (status != STATUS_OK) {
        verifier_destroy(verifier);
        return status;
    }
    *out = verifier;
    return STATUS_OK;
}

enum status verifier_reload(struct verifier *verifier, struct problem *problem)
{
    struct key_set *keys = NULL;
    if (verifier->jwks != NULL) {
        jwks_ask(verifier->jwks);
    }
    if (*verifier->key_file == '\0') {
        return STATUS_OK;
    }
    enum status status = load_file(verifier->key_file, &keys, problem);
    if (status == STATUS_OK) {
        say_keys(LOG_INFO, "auth_key_file", keys);
        replace(verifier, &verifier->configured, keys);
    }
    return status;
}

bool verifier_lacks_jwks(const struct verifier *verifier)
{
    return verifier != NULL && verifier->jwks != NULL && jwks_fails(verifier->jwks);
}

void verifier_destroy(struct verifier *verifier)
{
    if (verifier == NULL) {
        return;
    }
    jwks_stop(verifier->jwks);
    key_set_drop(verifier->configured);
    key_set_drop(verifier->fetched);
    pthread_mutex_destroy(&verifier->lock);
    verified_destroy(verifier->verified);
    free(verifier->key_file);
    free(verifier);
    r_global_close();
}

/* ---- one token ------------------------------------------------------------------------------- */

enum finding { KEY_UNKNOWN, KEY_UNFIT, SIGNATURE_WRONG, SIGNATURE_RIGHT };

/* KEY_UNKNOWN: no key of the token's name; KEY_UNFIT: none of those allows its algorithm. */
static enum finding try_keys(const struct key_set *keys, const struct token *token)
{
    enum finding finding = KEY_UNKNOWN;
    unsigned tried = 0;
    struct span signature = span_of(token->signature, token->signature_bytes);
    for (size_t i = 0; keys != NULL && i < keys->count && tried < KEYS_TRIED_MAX; i++) {
        const struct key *key = &keys->keys[i];
        if (token->id[0] != '\0' && key->id[0] != '\0' && strcmp(token->id, key->id) != 0) {
            continue;
        }
        if ((key->algorithms & (unsigned)token->algorithm) == 0) {
            finding = finding == KEY_UNKNOWN ? KEY_UNFIT : finding;
            continue;
        }
        tried++;
        if (key_verify(key, token->algorithm, token->text, signature)) {
            return SIGNATURE_RIGHT;
        }
        finding = SIGNATURE_WRONG;
    }
    return finding;
}

static enum status say(enum finding finding, struct problem *problem)
{
    switch (finding) {
    case SIGNATURE_RIGHT:
        return STATUS_OK;
    case SIGNATURE_WRONG:
        return problem_set(problem, STATUS_UNAUTHORIZED, "the token's signature is wrong");
    case KEY_UNFIT:
        return problem_set(problem, STATUS_UNAUTHORIZED,
                           "the token's `alg` is not one of its key's");
    case KEY_UNKNOWN:
        break;
    }
    return problem_set(problem, STATUS_UNAUTHORIZED,
                       "the token is signed by a key that is not known here");
}

/* Holds the token against the keys of now, which `*out_keys` counts. */
static enum finding find_key(struct verifier *verifier, const struct token *token,
                             uint64_t *out_keys)
{
    pthread_mutex_lock(&verifier->lock);
    struct key_set *configured = key_set_share(verifier->configured);
    struct key_set *fetched = key_set_share(verifier->fetched);
    *out_keys = verifier->keys;
    pthread_mutex_unlock(&verifier->lock);
    enum finding finding = try_keys(configured, token);
    enum finding other = finding == SIGNATURE_RIGHT ? finding : try_keys(fetched, token);
    finding = other > finding ? other : finding;
    bool may_be_new = finding == KEY_UNKNOWN || (finding != SIGNATURE_RIGHT && fetched == NULL);
    key_set_drop(configured);
    key_set_drop(fetched);
    if (may_be_new && verifier->jwks != NULL) {
        jwks_ask(verifier->jwks);
    }
    return finding;
}

static uint64_t keys_now(struct verifier *verifier)
{
    pthread_mutex_lock(&verifier->lock);
    uint64_t keys = verifier->keys;
    pthread_mutex_unlock(&verifier->lock);
    return keys;
}

static enum status check_signature(struct verifier *verifier, struct span whole,
                                   const struct token *token, struct problem *problem)
{
    uint8_t digest[DIGEST_BYTES];
    uint64_t keys;
    bool is_dear = ((unsigned)token->algorithm & HMACS) == 0 && verified_digest(whole, digest);
    if (is_dear && verified_find(verifier->verified, digest, keys_now(verifier))) {
        return STATUS_OK;
    }
    enum finding finding = find_key(verifier, token, &keys);
    if (is_dear && finding == SIGNATURE_RIGHT) {
        verified_add(verifier->verified, digest, keys);
    }
    return say(finding, problem);
}

enum status verifier_check(struct verifier *verifier, struct span token,
                           const struct token_rules *rules, int64_t now_s, struct writer *room,
                           struct claims *out, struct problem *problem)
{
    struct token parts;
    enum status status = token_read(token, &parts, problem);
    if (status == STATUS_OK) {
        status = check_signature(verifier, token, &parts, problem);
    }
    return status == STATUS_OK ? token_read_claims(&parts, rules, now_s, room, out, problem)
                               : status;
}
