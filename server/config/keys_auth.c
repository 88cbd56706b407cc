/*
 * keys_auth.c - whose token counts, and what it allows.
 */
#include "keys.h"

static const struct key auth[] = {
    TEXT(auth_key, FIXED, "KEY", "", 65536,
         "What verifies clients' tokens (JSON Web Tokens): a secret of 32 bytes or more, or a "
         "JWK, JWKS or PEM; the log says at the start what was read. Best given in the "
         "environment. With this, auth_key_file or auth_jwks_url, nobody does anything without a "
         "token.",
         .is_secret = true, .is_multiline = true, .no_flag = true),
    TEXT(auth_key_file, FIXED, "FILE", "", 3000, "A file with the same. Read again on SIGHUP."),
    TEXT(auth_jwks_url, FIXED, "URL", "", 4096,
         "Where the issuer of tokens publishes its keys, as in "
         "https://login.example/.well-known/jwks.json. Asked again for keys that are not known."),
    TEXT(auth_jwks_authority, FIXED, "FILE", "", 3000,
         "Certificates, as PEM, of the authorities that may vouch for the server of "
         "auth_jwks_url. Empty: those that this machine trusts."),
    NUMBER(auth_jwks_refresh_s, FIXED, "SECONDS", "600", 10, 86400,
           "How often auth_jwks_url is asked."),
    TEXT(auth_issuer, LIVE, "NAME", "", 1000,
         "Tokens must be from this issuer (`iss`). Empty: from any that has a key."),
    TEXT(auth_audience, LIVE, "NAME", "", 1000,
         "Tokens must be for this audience (`aud`). Empty: for any."),
    NUMBER(auth_leeway_s, LIVE, "SECONDS", "30", 0, 600,
           "By how much the issuer's clock may differ from ours."),
    NUMBER(auth_grace_s, LIVE, "SECONDS", "30", 0, 86400,
           "How long a connection goes on when its token has expired, so that it can send "
           "another one."),
    NUMBER(auth_deadline_s, LIVE, "SECONDS", "10", 1, 300,
           "A connection that brought no token must send one within this time."),
    TEXT(auth_publish_claim, LIVE, "NAME", "publish", 200,
         "The claim that lists the streams its owner may publish to, as in [\"behavior\"]; \"*\" "
         "stands for all. Empty: no claim does."),
    TEXT(auth_subscribe_claim, LIVE, "NAME", "subscribe", 200,
         "The claim that lists the channels its owner may subscribe to, as in [\"user:{sub}\", "
         "\"group:*\"]. Empty: no claim does."),
    TEXT(auth_operator_claim, LIVE, "NAME", "penstock_operator", 200,
         "The claim that makes its owner an operator where it is true: may read /metrics, "
         "/v1/publishers, /v1/refusals and /v1/channels, and so sees the server's part of the "
         "page at /. Empty: no claim does, only metrics_token_file."),
    TEXT(allow_publish, LIVE, "LIST", "", 8000,
         "Streams that everybody with a valid token may publish to, between commas. A name may "
         "end with *."),
    TEXT(allow_subscribe, LIVE, "LIST", "", 8000,
         "Channels that everybody with a valid token may subscribe to, as in user:{sub}, news:*; "
         "{name} stands for a claim of the token. What a reload allows no more is ended on open "
         "connections, too."),
    TEXT(metrics_token_file, FIXED, "FILE", "", 3000,
         "A file with a password of 16 bytes or more: who sends it as a bearer token may read "
         "/metrics, /v1/streams and the operator's pages. Where clients need tokens, nobody else "
         "does but owners of auth_operator_claim. Read again on SIGHUP."),
};
const struct key_group keys_auth = {auth, sizeof auth / sizeof auth[0]};
