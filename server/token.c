/*
 * token.c - `penstock token`: a token for development and tests, signed with the configured secret
 * or private key. In production, tokens come from whoever knows the users.
 *
 * The key is the server's own setting (auth_key, auth_key_file) and never an argument: arguments
 * can be read by everybody on the machine. Standard output has the token and nothing else.
 */
#include "commands.h"

#include "penstock/auth.h"
#include "penstock/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX      32
#define PAYLOAD_BYTES (TOKEN_BYTES_MAX / 4 * 3)
#define EXPIRES_S     3600

struct wishes {
    const char *subject, *expires;
    const char *publish[LIST_MAX], *subscribe[LIST_MAX];
    size_t publish_count, subscribe_count;
    bool is_operator;
    bool is_wrong;
};

static const char usage[] =
    "usage: penstock token [--sub USER] [--publish STREAM]… [--subscribe CHANNEL]… [--expires 1h]\n"
    "                      [--operator] [--config FILE] [--key VALUE…]\n\n"
    "Prints a token, signed with auth_key or auth_key_file of the configuration.\n\n"
    "  --sub USER           who it is for (`sub`)\n"
    "  --publish STREAM     a stream to publish to; \"*\" stands for all; may be repeated\n"
    "  --subscribe CHANNEL  a channel to subscribe to, as in user:{sub} or \"news:*\"; may be "
    "repeated\n"
    "  --operator           may read /metrics and the operator's pages (auth_operator_claim)\n"
    "  --expires TIME       how long it is valid: 90s, 15m, 1h (default), 7d\n";

/* ---- arguments ------------------------------------------------------------------------------- */

static void add(const char **list, size_t *count, const char *value, struct wishes *wishes)
{
    if (*count == LIST_MAX) {
        wishes->is_wrong = true;
        return;
    }
    list[(*count)++] = value;
}

static bool take(const char *name, size_t size, const char *value, struct wishes *wishes)
{
    struct span flag = span_of(name, size);
    if (span_is(flag, "--sub")) {
        wishes->subject = value;
    } else if (span_is(flag, "--expires")) {
        wishes->expires = value;
    } else if (span_is(flag, "--publish")) {
        add(wishes->publish, &wishes->publish_count, value, wishes);
    } else if (span_is(flag, "--subscribe")) {
        add(wishes->subscribe, &wishes->subscribe_count, value, wishes);
    } else {
        return false;
    }
    wishes->is_wrong = wishes->is_wrong || value == NULL || *value == '\0';
    return true;
}

/* Takes our flags out of the arguments; the others are settings. */
static void take_flags(int *argc, char **argv, struct wishes *wishes)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        size_t size = strcspn(argv[i], "=");
        bool has_value = argv[i][size] == '=';
        if (strcmp(argv[i], "--operator") == 0) {
            wishes->is_operator = true;
            continue;
        }
        const char *next = i + 1 < *argc ? argv[i + 1] : NULL;
        if (!take(argv[i], size, has_value ? argv[i] + size + 1 : next, wishes)) {
            argv[kept++] = argv[i];
        } else if (!has_value) {
            i++;
        }
    }
    *argc = kept;
}

/* 90, 90s, 15m, 1h, 7d; 0: something else. */
static int64_t read_seconds(const char *text)
{
    char *unit;
    long number = strtol(text, &unit, 10);
    int64_t factor = strcmp(unit, "d") == 0                    ? 86400
                     : strcmp(unit, "h") == 0                  ? 3600
                     : strcmp(unit, "m") == 0                  ? 60
                     : strcmp(unit, "s") == 0 || *unit == '\0' ? 1
                                                               : 0;
    return number > 0 && number <= 3650 * 86400L ? number * factor : 0;
}

/* ---- the token ------------------------------------------------------------------------------- */

static void write_text_claim(struct writer *out, const char *name, const char *value)
{
    writer_u8(out, ',');
    json_string(out, span_string(name));
    writer_u8(out, ':');
    json_string(out, span_string(value));
}

static void write_list_claim(struct writer *out, const char *name, const char *const *list,
                             size_t count)
{
    if (count == 0 || *name == '\0') {
        return;
    }
    writer_u8(out, ',');
    json_string(out, span_string(name));
    writer_string(out, ":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            writer_u8(out, ',');
        }
        json_string(out, span_string(list[i]));
    }
    writer_u8(out, ']');
}

static void write_payload(const struct settings *settings, const struct wishes *wishes,
                          int64_t valid_s, struct writer *out)
{
    char times[80];
    int64_t now_s = clock_unix_us() / 1000000;
    snprintf(times, sizeof times, "{\"iat\":%lld,\"exp\":%lld", (long long)now_s,
             (long long)(now_s + valid_s));
    writer_string(out, times);
    if (wishes->subject != NULL) {
        write_text_claim(out, "sub", wishes->subject);
    }
    if (*settings->auth_issuer != '\0') {
        write_text_claim(out, "iss", settings->auth_issuer);
    }
    if (*settings->auth_audience != '\0') {
        write_text_claim(out, "aud", settings->auth_audience);
    }
    write_list_claim(out, settings->auth_publish_claim, wishes->publish, wishes->publish_count);
    write_list_claim(out, settings->auth_subscribe_claim, wishes->subscribe,
                     wishes->subscribe_count);
    if (wishes->is_operator && *settings->auth_operator_claim != '\0') {
        writer_u8(out, ',');
        json_string(out, span_string(settings->auth_operator_claim));
        writer_string(out, ":true");
    }
    writer_string(out, "}");
    writer_u8(out, '\0');
}

static enum status sign(const struct settings *settings, const char *payload, struct writer *out,
                        struct problem *problem)
{
    char *text = NULL;
    if (*settings->auth_key != '\0') {
        return token_sign(settings->auth_key, payload, out, problem);
    }
    if (*settings->auth_key_file == '\0') {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "no key signs tokens: set auth_key_file, or PENSTOCK_AUTH_KEY in the "
                           "environment");
    }
    enum status status = key_text_read(settings->auth_key_file, &text, problem);
    if (status == STATUS_OK) {
        status = token_sign(text, payload, out, problem);
    }
    key_text_free(text);
    return status;
}

static int print_token(const struct settings *settings, const struct wishes *wishes,
                       int64_t valid_s)
{
    struct problem problem;
    char payload[PAYLOAD_BYTES], token[2 * TOKEN_BYTES_MAX];
    struct writer room = writer_of(payload, sizeof payload);
    struct writer out = writer_of(token, sizeof token);
    problem_clear(&problem);
    write_payload(settings, wishes, valid_s, &room);
    if (!room.full && sign(settings, payload, &out, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    if (room.full || out.full || writer_size(&out) > TOKEN_BYTES_MAX) {
        (void)problem_set(&problem, STATUS_TOO_LARGE, "the token would be longer than %d bytes",
                          TOKEN_BYTES_MAX);
        return command_fail(&problem);
    }
    printf("%.*s\n", SPAN_PRINT(writer_span(&out)));
    return 0;
}

int token_command(int argc, char **argv)
{
    struct settings settings;
    struct wishes wishes = {0};
    int exit_code;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        }
    }
    take_flags(&argc, argv, &wishes);
    int64_t valid_s = wishes.expires == NULL ? EXPIRES_S : read_seconds(wishes.expires);
    if (wishes.is_wrong || valid_s == 0) {
        fprintf(stderr, "penstock: a flag has no value, or --expires is no time such as 15m: "
                        "penstock token --help says how\n");
        return EXIT_USAGE;
    }
    if (!command_settings(argc, argv, "penstock token", &settings, &exit_code)) {
        return exit_code;
    }
    exit_code = print_token(&settings, &wishes, valid_s);
    settings_fini(&settings);
    return exit_code;
}
