/*
 * options.c - see options.h. The help is what the manual page is made of (deploy/pages/make.sh).
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "penstock-bench - load for a Penstock server, and what it makes of it\n"
    "\n"
    "usage: penstock-bench [OPTION...] [URL]\n"
    "\n"
    "URL is ws://HOST:PORT/v1/ws, or wss:// with TLS; default ws://127.0.0.1:8080/v1/ws. Events "
    "are\n"
    "really stored: use a stream and a table made for it. A token is read from PENSTOCK_TOKEN or\n"
    "--token-file.\n"
    "\n"
    "  --file FILE          events to send, JSON, one a line; without ids they can be sent again\n"
    "  --event JSON         instead of a file: one event, again and again\n"
    "  --stream NAME        where to; default behavior\n"
    "  --batch N            events a message; default 100\n"
    "  --encoding WORD\n"
    "        json or msgpack; default json\n"
    "  --ack WORD           what an answer means:\n"
    "        durable or committed; default committed\n"
    "  --connections N      default 8\n"
    "  --inflight N         closed loop: messages unanswered on each connection; default 16\n"
    "  --rate N             open loop: events a second, however slow the answers are; a latency\n"
    "                       counts from when its message was due, not from when it could be sent\n"
    "  --events N           how many; default 100000, or as many as --seconds take\n"
    "  --seconds N          for how long\n"
    "  --open-only          send nothing: open the connections and say how long it took\n"
    "  --channel NAME       with --open-only: subscribe each to it; {n} is the connection's "
    "number\n"
    "  --hold               with --open-only: keep them open until standard input ends\n"
    "  --alone              instead of URL: a server inside that answers and does nothing else, "
    "to\n"
    "                       see what the generator itself can do on this machine\n"
    "  --token-file FILE    the token to show\n"
    "  --trust-any          with wss://: take any certificate\n"
    "  --json               tell as JSON\n"
    "  --help, --version\n"
    "\n"
    "One thread does it all; frames are made before the clock starts. \"own CPU\" says what share "
    "of a\n"
    "processor it took: near 100 % it is the generator that is measured, and more of them are "
    "needed.\n";

enum {
    OPTION_FIRST = 256,
    O_FILE,
    O_EVENT,
    O_STREAM,
    O_BATCH,
    O_ENCODING,
    O_ACK,
    O_CONNECTIONS,
    O_INFLIGHT,
    O_RATE,
    O_EVENTS,
    O_SECONDS,
    O_OPEN_ONLY,
    O_CHANNEL,
    O_HOLD,
    O_ALONE,
    O_TOKEN_FILE,
    O_TRUST_ANY,
    O_JSON,
    O_HELP,
    O_VERSION
};

static const struct option flags[] = {
    {"file", required_argument, NULL, O_FILE},
    {"event", required_argument, NULL, O_EVENT},
    {"stream", required_argument, NULL, O_STREAM},
    {"batch", required_argument, NULL, O_BATCH},
    {"encoding", required_argument, NULL, O_ENCODING},
    {"ack", required_argument, NULL, O_ACK},
    {"connections", required_argument, NULL, O_CONNECTIONS},
    {"inflight", required_argument, NULL, O_INFLIGHT},
    {"rate", required_argument, NULL, O_RATE},
    {"events", required_argument, NULL, O_EVENTS},
    {"seconds", required_argument, NULL, O_SECONDS},
    {"open-only", no_argument, NULL, O_OPEN_ONLY},
    {"channel", required_argument, NULL, O_CHANNEL},
    {"hold", no_argument, NULL, O_HOLD},
    {"alone", no_argument, NULL, O_ALONE},
    {"token-file", required_argument, NULL, O_TOKEN_FILE},
    {"trust-any", no_argument, NULL, O_TRUST_ANY},
    {"json", no_argument, NULL, O_JSON},
    {"help", no_argument, NULL, O_HELP},
    {"version", no_argument, NULL, O_VERSION},
    {NULL, 0, NULL, 0},
};

_Noreturn static void refuse(const char *sentence)
{
    fprintf(stderr, "penstock-bench: %s; see penstock-bench --help\n", sentence);
    exit(2);
}

static double number_of(const char *text, double least, double most, const char *sentence)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most)) {
        refuse(sentence);
    }
    return value;
}

static void read_words(int flag, struct options *out)
{
    switch (flag) {
    case O_FILE:
        out->frames.file = optarg;
        break;
    case O_EVENT:
        out->frames.event = optarg;
        break;
    case O_STREAM:
        out->frames.stream = optarg;
        break;
    case O_ENCODING:
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "msgpack") != 0) {
            refuse("--encoding is json or msgpack");
        }
        out->encoding = strcmp(optarg, "json") == 0 ? ENCODING_JSON : ENCODING_MSGPACK;
        break;
    case O_ACK:
        if (strcmp(optarg, "durable") != 0 && strcmp(optarg, "committed") != 0) {
            refuse("--ack is durable or committed");
        }
        out->frames.ack = optarg;
        break;
    case O_CHANNEL:
        out->channel = optarg;
        break;
    case O_TOKEN_FILE:
        out->token_file = optarg;
        break;
    case O_HELP:
        fputs(help, stdout);
        exit(0);
    case O_VERSION:
        puts("penstock-bench " PENSTOCK_VERSION);
        exit(0);
    default:
        exit(2); /* getopt_long() has said why */
    }
}

static void read_flag(int flag, struct options *out)
{
    switch (flag) {
    case O_BATCH:
        out->frames.events_per_frame =
            (unsigned)number_of(optarg, 1, 100000, "--batch is a number of events, at least 1");
        break;
    case O_CONNECTIONS:
        out->connections =
            (unsigned)number_of(optarg, 1, 1e6, "--connections is a number, at least 1");
        break;
    case O_INFLIGHT:
        out->inflight =
            (unsigned)number_of(optarg, 1, INFLIGHT_MAX, "--inflight is a number from 1 to 4096");
        break;
    case O_RATE:
        out->rate = number_of(optarg, 0.001, 1e9, "--rate is a number of events a second");
        break;
    case O_EVENTS:
        out->events = (uint64_t)number_of(optarg, 1, 1e15, "--events is a number, at least 1");
        break;
    case O_SECONDS:
        out->seconds = number_of(optarg, 0.001, 1e9, "--seconds is a number above 0");
        break;
    case O_OPEN_ONLY:
        out->open_only = true;
        break;
    case O_HOLD:
        out->hold = true;
        break;
    case O_ALONE:
        out->alone = true;
        break;
    case O_TRUST_ANY:
        out->trust_any = true;
        break;
    case O_JSON:
        out->as_json = true;
        break;
    default:
        read_words(flag, out);
    }
}

void options_read(int argc, char **argv, struct options *out)
{
    *out = (struct options){
        .url = "ws://127.0.0.1:8080/v1/ws",
        .connections = 8,
        .inflight = 16,
        .frames = {.stream = "behavior", .ack = "committed", .events_per_frame = 100}};
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        read_flag(flag, out);
    }
    if (optind < argc - 1) {
        refuse("more than one URL");
    }
    if (optind < argc) {
        out->url = argv[optind];
    }
    if (!out->open_only && (out->frames.file == NULL) == (out->frames.event == NULL)) {
        refuse("give --file or --event: what is to be sent");
    }
    if (!out->open_only && (out->channel != NULL || out->hold)) {
        refuse("--channel and --hold belong to --open-only");
    }
    if (out->open_only && out->alone) {
        refuse("--alone measures sending, not opening");
    }
    if (out->events == 0 && out->seconds == 0) {
        out->events = 100000;
    }
    out->frames.encoding = out->encoding;
}
