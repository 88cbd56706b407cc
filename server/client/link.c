/*
 * link.c - the client side of libwebsockets, fenced.
 *
 *       connect() ──► CONNECTING ──established──► UP ──broken──► DOWN ──pause over──► connect()
 *                         └────────────refused────────────────────┘
 *
 * One timer (a tick) does all that has to do with time: reconnecting, giving up, and the owner's
 * own.
 */
#include "link.h"

#include "bearer.h"
#include "unpack.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>

#define PAUSE_MAX_US      5000000
#define WRITE_BYTES_FIRST 4096
#define RECEIVE_BYTES_MAX ((size_t)64 << 20)
#define RECEIVE_FIRST     ((size_t)64 << 10)
#define CLOSE_PATIENCE_US 1000000
#define CONNECT_SECONDS   10
#define SERVICE_BYTES     (16 << 10) /* a handshake with a token in it */
#define JSON_BYTES_FACTOR \
    3 /* text of a reply against its MessagePack form, at most: see receive() */

enum link_state {
    LINK_DOWN,       /* waits until due_us */
    LINK_CONNECTING, /* until established or refused */
    LINK_UP,
    LINK_ENDED, /* link_run() returns */
};

struct link {
    struct link_options options;
    struct lws_context *context;
    struct lws *wsi; /* libwebsockets'; NULL while down */
    lws_sorted_usec_list_t tick;
    enum link_state state;
    bool is_stopping, is_refused;
    bool was_up;                      /* at least once */
    bool lacks_token;                 /* that is what broke or refused the last one */
    bool is_loss_said, is_token_said; /* once an outage each */
    unsigned losses;                  /* in a row */
    int64_t due_us, down_since_us, stopping_since_us;
    char reason[200];
    char token_room[BEARER_BYTES_MAX + 1];
    struct span token;     /* for this connection; size 0: none */
    uint8_t *write_buffer; /* owns LWS_PRE + write_room */
    size_t write_room;
    uint8_t *received; /* owns; one message in the making */
    size_t received_size, received_room;
    uint8_t *json; /* owns; a MessagePack message as text */
    size_t json_room;
};

/* ---- the token ------------------------------------------------------------------------------- */

/* A token was refused, or there is none to show. The first one is told at once: it is a mistake.
 * Later the file may be late, or half written: another one may be in it the next time. */
static void note_token(struct link *link)
{
    link->lacks_token = true;
    link->is_refused = link->options.token_file == NULL || !link->was_up;
}

static bool read_token(struct link *link)
{
    struct problem problem;
    if (bearer_read(link->options.token_file, link->token_room, &link->token, &problem) ==
        STATUS_OK) {
        return true;
    }
    snprintf(link->reason, sizeof link->reason, "%.190s", problem.text);
    note_token(link);
    return false;
}

/* Adds `Authorization: Bearer …` to the request that libwebsockets is writing. */
static int add_token(struct link *link, struct lws *wsi, unsigned char **at, size_t room)
{
    char value[BEARER_BYTES_MAX + 16];
    if (link->token.size == 0) {
        return 0;
    }
    int size = snprintf(value, sizeof value, "Bearer %.*s", SPAN_PRINT(link->token));
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)value,
                                        size, at, *at + room) != 0
               ? -1
               : 0;
}

/* ---- states ---------------------------------------------------------------------------------- */

static void go_down(struct link *link, const char *reason)
{
    bool was_up = link->state == LINK_UP;
    if (link->state == LINK_DOWN || link->state == LINK_ENDED) {
        return;
    }
    int64_t now_us = clock_monotonic_us();
    link->state = link->is_stopping ? LINK_ENDED : LINK_DOWN;
    link->wsi = NULL;
    link->received_size = 0;
    link->losses++;
    link->due_us = now_us + pause_after(link->losses, PAUSE_MAX_US, now_us);
    if (was_up) {
        link->down_since_us = now_us;
    }
    if (link->reason[0] == '\0') {
        snprintf(link->reason, sizeof link->reason, "%s", reason);
    }
    if (!link->is_stopping && !link->is_refused) {
        bool *is_said = link->lacks_token ? &link->is_token_said : &link->is_loss_said;
        link->options.on_down(link->options.owner, *is_said ? NULL : link->reason);
        *is_said = true;
    }
}

static void connect_now(struct link *link)
{
    static const lws_retry_bo_t idle = {.secs_since_valid_ping = 15, .secs_since_valid_hangup = 30};
    static const char *const protocols[] = {"penstock.v1.json", "penstock.v1.msgpack"};
    const struct url *url = link->options.url;
    struct lws_client_connect_info info = {
        .context = link->context,
        .address = url->host,
        .port = url->port,
        .ssl_connection = url->is_secure ? LCCSCF_USE_SSL : 0,
        .path = url->path,
        .host = url->host_header,
        .protocol = protocols[link->options.encoding],
        .local_protocol_name = "penstock",
        .alpn = "http/1.1",
        .pwsi = &link->wsi,
        .retry_and_idle_policy = &idle,
    };
    link->state = LINK_CONNECTING;
    link->lacks_token = false;
    link->reason[0] = '\0';
    if (!read_token(link)) {
        go_down(link, "no token");
        return;
    }
    if (lws_client_connect_via_info(&info) == NULL && link->state == LINK_CONNECTING) {
        go_down(link, "the connection could not be begun");
    }
}

static void on_tick(lws_sorted_usec_list_t *tick)
{
    struct link *link = lws_container_of(tick, struct link, tick);
    int64_t now_us = clock_monotonic_us();
    lws_sul_schedule(link->context, 0, tick, on_tick, LINK_TICK_MS * 1000);
    link->options.on_tick(link->options.owner);
    if (link->is_stopping) {
        bool is_overdue = now_us - link->stopping_since_us > CLOSE_PATIENCE_US;
        link->state = is_overdue || link->state != LINK_UP ? LINK_ENDED : link->state;
        return;
    }
    int64_t patience_us = (int64_t)link->options.wait_s * 1000000;
    bool is_too_long = patience_us > 0 && now_us - link->down_since_us > patience_us;
    if (link->state != LINK_UP && (link->is_refused || is_too_long)) {
        link->state = LINK_ENDED;
    } else if (link->state == LINK_DOWN && now_us >= link->due_us) {
        connect_now(link);
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool grow(uint8_t **buffer, size_t *room, size_t least)
{
    size_t wanted = *room > 0 ? *room : RECEIVE_FIRST;
    while (wanted < least) {
        wanted *= 2;
    }
    if (wanted == *room) {
        return true;
    }
    uint8_t *larger = realloc(*buffer, wanted);
    if (larger == NULL) {
        return false;
    }
    *buffer = larger;
    *room = wanted;
    return true;
}

/* Hands over one whole message. An integer of one byte can become three digits ("127"), and no
 * value grows more; quotes, commas and escapes of a server's texts stay below that. When they do
 * not, the room is doubled. */
static bool receive(struct link *link)
{
    struct span message = span_of(link->received, link->received_size);
    const struct link_options *options = &link->options;
    link->received_size = 0;
    link->is_loss_said = link->is_token_said = false;
    if (options->encoding == ENCODING_JSON) {
        options->on_message(options->owner, message);
        return true;
    }
    for (size_t room = message.size * JSON_BYTES_FACTOR; room < RECEIVE_BYTES_MAX * 8; room *= 2) {
        if (!grow(&link->json, &link->json_room, room)) {
            return false;
        }
        struct writer json = writer_of(link->json, link->json_room);
        if (!unpack_to_json(message, &json)) {
            return false;
        }
        if (!json.full) {
            options->on_message(options->owner, writer_span(&json));
            return true;
        }
    }
    return false;
}

static int on_bytes(struct link *link, struct lws *wsi, const void *in, size_t size)
{
    size_t needed = link->received_size + size;
    if (needed > RECEIVE_BYTES_MAX || !grow(&link->received, &link->received_room, needed + 1)) {
        snprintf(link->reason, sizeof link->reason, "the server sent a message that is too large");
        return -1;
    }
    memcpy(link->received + link->received_size, in, size);
    link->received_size = needed;
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0) {
        return 0;
    }
    if (!receive(link)) {
        snprintf(link->reason, sizeof link->reason, "the server sent a message we cannot read");
        return -1;
    }
    return 0;
}

static int on_writable(struct link *link)
{
    if (link->is_stopping) {
        lws_close_reason(link->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    const struct link_options *options = &link->options;
    struct writer out = writer_of(link->write_buffer + LWS_PRE, link->write_room);
    if (!options->on_write(options->owner, &out) || out.full) {
        return 0;
    }
    enum lws_write_protocol kind =
        options->encoding == ENCODING_JSON ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;
    if (lws_write(link->wsi, out.start, writer_size(&out), kind) < 0) {
        return -1;
    }
    lws_callback_on_writable(link->wsi);
    return 0;
}

/* ---- libwebsockets' events ------------------------------------------------------------------- */

static void note_refusal(struct link *link, struct lws *wsi, const char *text, size_t size)
{
    unsigned status = lws_http_client_http_response(wsi);
    if (status >= 400 && status < 500 && status != 401 && status != 408 && status != 429) {
        link->is_refused = true; /* asking again would not help */
    }
    if (status == 401) {
        note_token(link);
        snprintf(
            link->reason, sizeof link->reason,
            "the server wants a valid token (HTTP status 401): --token-file or PENSTOCK_TOKEN");
    } else if (link->reason[0] != '\0') {
        /* said before */
    } else if (status >= 300) {
        snprintf(link->reason, sizeof link->reason, "the server answered with HTTP status %u",
                 status);
    } else {
        snprintf(link->reason, sizeof link->reason, "%.*s", (int)size, text != NULL ? text : "");
    }
    go_down(link, "refused");
}

/* 1008 is said of many things that pass, such as being idle; but without a token file nobody can
 * bring the token that it asks for. */
static bool wants_what_we_lack(const struct link *link, struct span reason)
{
    return link->options.token_file == NULL &&
           (span_is(reason, "the token has expired") || span_is(reason, "no token came in time"));
}

/* Codes that say "you", not "now": RFC 6455 section 7.4.1, and proto/README.md for 1008, and for
 * 4000 and up. */
static bool is_final_close(const struct link *link, unsigned code, struct span reason)
{
    if (code == 1008) {
        return wants_what_we_lack(link, reason);
    }
    return code == 1002 || code == 1003 || code == 1007 || code == 1009 || code == 1010 ||
           code >= 4000;
}

static void note_close(struct link *link, const uint8_t *in, size_t size)
{
    if (size < 2) {
        return;
    }
    unsigned code = read_be16(in);
    link->is_refused = is_final_close(link, code, span_of(in + 2, size - 2));
    snprintf(link->reason, sizeof link->reason, "the server closed with %u %.*s", code,
             (int)(size - 2), (const char *)in + 2);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons event, void *user, void *in,
                    size_t size)
{
    (void)user;
    struct link *link = lws_context_user(lws_get_context(wsi));
    switch (event) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        link->state = LINK_UP;
        link->was_up = true;
        link->losses = 0;
        link->options.on_up(link->options.owner);
        return 0;
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_token(link, wsi, in, size);
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_bytes(link, wsi, in, size);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(link);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        note_close(link, in, size);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        note_refusal(link, wsi, in, in != NULL ? size : 0);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        go_down(link, "the connection was lost");
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "penstock", .callback = on_event, .rx_buffer_size = 65536},
    {0},
};

/* ---- opening and running --------------------------------------------------------------------- */

enum status link_open(const struct link_options *options, struct link **out,
                      struct problem *problem)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a connection");
    }
    link->options = *options;
    link->down_since_us = clock_monotonic_us();
    if (link_set_room(link, WRITE_BYTES_FIRST, problem) != STATUS_OK) {
        link_close(link);
        return STATUS_NO_MEMORY;
    }
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = options->url->is_secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .timeout_secs = CONNECT_SECONDS,
        .pt_serv_buf_size = SERVICE_BYTES,
        .user = link,
    };
    lws_set_log_level(0, NULL); /* what matters comes as a reason */
    link->context = lws_create_context(&info);
    if (link->context == NULL) {
        link_close(link);
        return problem_set(problem, STATUS_INTERNAL, "libwebsockets could not be started");
    }
    lws_sul_schedule(link->context, 0, &link->tick, on_tick, 1);
    *out = link;
    return STATUS_OK;
}

void link_close(struct link *link)
{
    if (link == NULL) {
        return;
    }
    link->state = LINK_ENDED;
    if (link->context != NULL) {
        lws_sul_schedule(link->context, 0, &link->tick, on_tick, LWS_SET_TIMER_USEC_CANCEL);
        lws_context_destroy(link->context);
    }
    free(link->write_buffer);
    free(link->received);
    free(link->json);
    free(link);
}

enum status link_set_room(struct link *link, size_t message_bytes, struct problem *problem)
{
    uint8_t *buffer = realloc(link->write_buffer, LWS_PRE + message_bytes);
    if (buffer == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for messages of %zu bytes",
                           message_bytes);
    }
    link->write_buffer = buffer;
    link->write_room = message_bytes;
    return STATUS_OK;
}

void link_wake(struct link *link)
{
    if (link->state == LINK_UP) {
        lws_callback_on_writable(link->wsi);
    }
}

bool link_is_up(const struct link *link)
{
    return link->state == LINK_UP;
}

void link_stop(struct link *link)
{
    if (!link->is_stopping) {
        link->is_stopping = true;
        link->stopping_since_us = clock_monotonic_us();
        link_wake(link);
    }
}

enum status link_run(struct link *link, struct problem *problem)
{
    while (link->state != LINK_ENDED && lws_service(link->context, 0) >= 0) {
    }
    if (link->is_stopping) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_UNAVAILABLE, "%s: %s", link->options.url->host_header,
                       link->reason[0] != '\0' ? link->reason : "no answer");
}
