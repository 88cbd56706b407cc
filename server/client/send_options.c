/* send_options.c - see send_options.h. */
#include "send_options.h"

#include "events.h"
#include "options.h"

#include "penstock/client.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_MAX    100000
#define INFLIGHT_MAX 1024
#define WAIT_MAX_S   86400

static const char HELP[] =
    "usage: penstock send STREAM [FILE] [OPTION…]\n"
    "\n"
    "Publishes NDJSON, one event a line, from FILE or standard input.\n"
    "\n"
    "  --url URL             the server (default " DEFAULT_URL "; wss:// with TLS)\n"
    "  --token-file FILE     the token for it (default: PENSTOCK_TOKEN in the environment)\n"
    "  --batch N             events a message at most (default 100; less where the server says "
    "so)\n"
    "  --inflight N          messages that wait for their answer at a time (default 16; 1 keeps "
    "the\n"
    "                        lines' order even when the server asks to send one again)\n"
    "  --ack LEVEL           durable (default): in the server's journal; what the table refuses "
    "after\n"
    "                        the run has ended is not told, and lies in penstock.dead_letter;\n"
    "                        committed: in the table\n"
    "  --encoding ENCODING   json (default) or msgpack (numbers beyond 64 bits and floats become\n"
    "                        64-bit floats)\n"
    "  --id-field NAME       gets an id where an event has none (default id); \"\": no ids, and "
    "what\n"
    "                        is sent again after an interruption may then be stored twice\n"
    "  --state FILE          remembers what was acknowledged (default FILE.penstock; standard "
    "input:\n"
    "                        only when given)\n"
    "  --skip-invalid        goes on without events that are refused, and says how many\n"
    "  --wait SECONDS        gives up when there was no connection or answer for so long (default "
    "60;\n"
    "                        0: never)\n"
    "\n"
    "After a lost connection it goes on with the token that --token-file has by then; one that is\n"
    "late is waited for like the server.\n"
    "\n"
    "An interrupted run goes on where it was when the same command is given again: acknowledged\n"
    "lines are passed, lines in doubt are sent again with the same ids, and are not stored twice.\n"
    "\n"
    "Exit codes: 0 every line is acknowledged; 1 an event was refused, the server stayed away, or\n"
    "a file could not be read or written; 2 wrong usage or the state of another run;\n"
    "130 interrupted.\n";

static bool is_one_of(const char *flag, const char *text, const char *a, const char *b)
{
    if (strcmp(text, a) == 0 || strcmp(text, b) == 0) {
        return true;
    }
    fprintf(stderr, "penstock: --%s \"%s\": give %s or %s\n", flag, text, a, b);
    return false;
}

static bool read_id_field(const char *text, struct send_options *out)
{
    if (strlen(text) > ID_FIELD_BYTES_MAX || !utf8_valid(span_string(text))) {
        fprintf(stderr, "penstock: --id-field \"%s\": a column's name has at most %d bytes\n", text,
                ID_FIELD_BYTES_MAX);
        return false;
    }
    out->id_field = text;
    return true;
}

static bool read_option(int option, const char *text, void *owner)
{
    struct send_options *out = owner;
    uint64_t number = 0;
    bool ok = true;
    switch (option) {
    case 'u':
        out->url = text;
        return true;
    case 't':
        out->token_file = text;
        return true;
    case 'b':
        ok = option_number("batch", text, 1, BATCH_MAX, &number);
        out->batch = (uint32_t)number;
        return ok;
    case 'n':
        ok = option_number("inflight", text, 1, INFLIGHT_MAX, &number);
        out->inflight = (uint32_t)number;
        return ok;
    case 'a':
        out->ack = text;
        return is_one_of("ack", text, "durable", "committed");
    case 'e':
        out->encoding = strcmp(text, "msgpack") == 0 ? ENCODING_MSGPACK : ENCODING_JSON;
        return is_one_of("encoding", text, "json", "msgpack");
    case 'i':
        return read_id_field(text, out);
    case 's':
        free(out->state_file);
        out->state_file = strdup(text);
        return out->state_file != NULL;
    case 'k':
        out->skips_invalid = true;
        return true;
    case 'w':
        ok = option_number("wait", text, 0, WAIT_MAX_S, &number);
        out->wait_s = (unsigned)number;
        return ok;
    default:
        return false; /* getopt_long() has said why */
    }
}

/* STREAM and FILE, and the state file that follows from FILE. */
static bool read_names(int count, char **names, void *owner)
{
    struct send_options *out = owner;
    if (count < 1 || count > 2) {
        fprintf(stderr, "penstock: send STREAM [FILE]: %s; `penstock send --help` tells more\n",
                count < 1 ? "the stream is missing" : "there are too many arguments");
        return false;
    }
    out->stream = names[0];
    if (names[0][0] == '\0' || strlen(names[0]) > 63 || !utf8_valid(span_string(names[0]))) {
        fprintf(stderr, "penstock: \"%s\": a stream's name has 1 to 63 letters\n", names[0]);
        return false;
    }
    bool has_file = count == 2 && strcmp(names[1], "-") != 0;
    out->file = has_file ? names[1] : NULL;
    if (has_file && out->state_file == NULL &&
        asprintf(&out->state_file, "%s.penstock", names[1]) < 0) {
        out->state_file = NULL;
        return false;
    }
    return true;
}

bool send_options_read(int argc, char **argv, struct send_options *out, int *out_exit)
{
    static const struct option known[] = {
        {"url", required_argument, NULL, 'u'},      {"token-file", required_argument, NULL, 't'},
        {"batch", required_argument, NULL, 'b'},    {"inflight", required_argument, NULL, 'n'},
        {"ack", required_argument, NULL, 'a'},      {"encoding", required_argument, NULL, 'e'},
        {"id-field", required_argument, NULL, 'i'}, {"state", required_argument, NULL, 's'},
        {"skip-invalid", no_argument, NULL, 'k'},   {"wait", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},           {0},
    };
    static const struct options options = {"penstock send", HELP, known, read_option, read_names};
    *out = (struct send_options){.url = DEFAULT_URL,
                                 .ack = "durable",
                                 .id_field = "id",
                                 .batch = 100,
                                 .inflight = 16,
                                 .wait_s = 60};
    bool ok = options_read(&options, argc, argv, out, out_exit);
    if (!ok) {
        send_options_fini(out);
    }
    return ok;
}

void send_options_fini(struct send_options *options)
{
    free(options->state_file);
    options->state_file = NULL;
}
