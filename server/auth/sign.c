/* sign.c - makes tokens for development: `penstock token`. Main's thread. */
#include "jwk.h"

static jwa_alg preferred(unsigned algorithms)
{
    return (algorithms & ALGORITHM_HS256) != 0   ? R_JWA_ALG_HS256
           : (algorithms & ALGORITHM_HS384) != 0 ? R_JWA_ALG_HS384
           : (algorithms & ALGORITHM_HS512) != 0 ? R_JWA_ALG_HS512
           : (algorithms & ALGORITHM_RS256) != 0 ? R_JWA_ALG_RS256
           : (algorithms & ALGORITHM_ES256) != 0 ? R_JWA_ALG_ES256
                                                 : R_JWA_ALG_EDDSA;
}

/* The library's own string, or NULL. */
static char *serialize(jwk_t *key, jwa_alg algorithm, const char *payload)
{
    jws_t *jws = NULL;
    char *text = NULL;
    if (r_jws_init(&jws) == RHN_OK && r_jws_set_alg(jws, algorithm) == RHN_OK &&
        r_jws_set_header_str_value(jws, "typ", "JWT") == RHN_OK &&
        r_jws_set_payload(jws, (const unsigned char *)payload, strlen(payload)) == RHN_OK) {
        text = r_jws_serialize(jws, key, R_FLAG_IGNORE_REMOTE);
    }
    r_jws_free(jws);
    return text;
}

enum status token_sign(const char *key, const char *payload, struct writer *out,
                       struct problem *problem)
{
    jwk_t *jwk = NULL;
    unsigned algorithms;
    if (r_global_init() != RHN_OK) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to sign a token");
    }
    enum status status = key_parse_private(key, &jwk, &algorithms, problem);
    if (status == STATUS_OK) {
        char *text = serialize(jwk, preferred(algorithms), payload);
        if (text == NULL) {
            status = problem_set(problem, STATUS_INTERNAL, "the token could not be signed");
        } else {
            writer_string(out, text);
        }
        r_free(text);
        r_jwk_free(jwk);
    }
    r_global_close();
    return status;
}
