/*
 * send.c - `penstock send`: lines of a file into a stream, each exactly once.
 *
 * Life of a line:
 *   1. it is read when there is room for a message under way (fill.c), gets its id (run.c);
 *   2. its message is sent, and sent again after a lost connection or when the server asked for
 *      time;
 *   3. the server answers (answer.c); when all messages before are answered too, the line is done,
 *      and within a second the state file says so (state.c).
 *
 * Killed at any point, the next run passes what is done and sends the rest, with the same ids: what
 * the server had stored meanwhile is a duplicate and comes back as such.
 */
#include "send.h"

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t)16 << 20)
#define SAVE_US        1000000
#define LATE_FACTOR    2 /* answered messages are remembered, to name lines of late errors */

/* ---- stopping -------------------------------------------------------------------------------- */

void send_stop(struct send *send, int exit_code)
{
    send->is_stopping = true;
    if (send->exit_code == CLIENT_DONE) {
        send->exit_code = exit_code;
    }
}

bool send_refuse(struct send *send, uint64_t line, const char *field, const char *reason)
{
    bool is_named = field[0] == '\0' || strstr(reason, field) != NULL;
    progress_say(&send->progress, "line %llu: %s%s%s", (unsigned long long)line,
                 is_named ? "" : field, is_named ? "" : ": ", reason);
    if (send->options.skips_invalid) {
        send->skipped++;
        return true;
    }
    send_stop(send, CLIENT_FAILED);
    return false;
}

/* ---- the state ------------------------------------------------------------------------------- */

enum status send_save(struct send *send, struct problem *problem)
{
    struct state_subject subject = {send->options.stream, send->options.id_field};
    if (send->options.state_file == NULL) {
        return STATUS_OK;
    }
    enum status status = state_save(send->options.state_file, &subject, &send->run, problem);
    send->saved_us = clock_monotonic_us();
    if (status == STATUS_OK) {
        send->saved = send->run.done;
    }
    return status;
}

static void save_when_due(struct send *send)
{
    struct problem problem;
    if (send->saved.bytes == send->run.done.bytes ||
        clock_monotonic_us() - send->saved_us < SAVE_US) {
        return;
    }
    if (send_save(send, &problem) != STATUS_OK) {
        progress_say(&send->progress, "%s", problem.text);
        send_stop(send, CLIENT_FAILED);
    }
}

/* ---- the link's events ----------------------------------------------------------------------- */

static void on_up(void *owner)
{
    struct send *send = owner;
    send->answered_us = clock_monotonic_us();
}

static void on_down(void *owner, const char *reason)
{
    struct send *send = owner;
    send->message_bytes = 0; /* until the next welcome */
    for (uint64_t id = send->first; id < send->next; id++) {
        struct flight *flight = send_flight(send, id);
        if (flight->state == FLIGHT_SENT) {
            flight->state = FLIGHT_READY;
        }
    }
    if (reason != NULL) {
        progress_say(&send->progress, "no connection to %s: %s; trying again", send->options.url,
                     reason);
    }
}

static void on_message(void *owner, struct span json)
{
    struct send *send = owner;
    send_take_reply(send, json);
}

static bool on_write(void *owner, struct writer *out)
{
    struct send *send = owner;
    struct flight *flight = send_next_flight(send);
    if (flight == NULL) {
        return false;
    }
    flight_write(flight, &send->header, out);
    if (out->full) { /* a server with smaller messages than the one before */
        progress_say(&send->progress, "lines from %llu on no longer fit the server's messages",
                     (unsigned long long)flight_line(flight, 0));
        flight->state = FLIGHT_REFUSED;
        send_stop(send, CLIENT_FAILED);
        return false;
    }
    flight->state = FLIGHT_SENT;
    return true;
}

static bool is_waiting(const struct send *send)
{
    for (uint64_t id = send->first; id < send->next; id++) {
        enum flight_state state = send_flight(send, id)->state;
        if (state == FLIGHT_SENT || state == FLIGHT_READY) {
            return true;
        }
    }
    return false;
}

static bool is_finished(const struct send *send)
{
    bool reads_no_more = send->input_ended || send->is_stopping;
    bool is_cut_off = signals_came() && !link_is_up(send->link);
    return is_cut_off || (reads_no_more && !is_waiting(send));
}

static void show(struct send *send)
{
    struct progress_figures figures = {.lines = send->run.done.line,
                                       .bytes = send->run.done.bytes,
                                       .bytes_total = send->input_bytes,
                                       .duplicates = send->duplicates};
    if (send->input_ended) {
        figures.lines_total = send->lines.place.line;
    }
    progress_show(&send->progress, &figures);
}

/* The server is there and does not answer. */
static void check_patience(struct send *send)
{
    int64_t now_us = clock_monotonic_us();
    if (!link_is_up(send->link) || (send->message_bytes > 0 && !is_waiting(send))) {
        send->answered_us = now_us;
    } else if (send->options.wait_s > 0 &&
               now_us - send->answered_us > (int64_t)send->options.wait_s * 1000000) {
        progress_say(&send->progress, "the server has not answered for %u s", send->options.wait_s);
        send_stop(send, CLIENT_FAILED);
        link_stop(send->link);
    }
}

static void on_tick(void *owner)
{
    struct send *send = owner;
    if (signals_came() && send->exit_code == CLIENT_DONE) {
        send_stop(send, CLIENT_INTERRUPTED);
        progress_say(&send->progress, "stopping: waiting for what is under way");
    }
    save_when_due(send);
    show(send);
    check_patience(send);
    if (is_finished(send)) {
        link_stop(send->link);
    } else {
        link_wake(send->link); /* a pause may be over, a pipe may have lines */
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static enum status open_input(struct send *send, struct problem *problem)
{
    const char *file = send->options.file;
    struct stat about;
    send->fd = file == NULL ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (send->fd < 0 || fstat(send->fd, &about) != 0) {
        return problem_set(problem, STATUS_IO, "cannot open \"%s\": %s", file, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        return problem_set(problem, STATUS_IO, "\"%s\" is a folder, not a file of lines", file);
    }
    send->input_bytes = S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0;
    return lines_init(&send->lines, send->fd, LINE_BYTES_MAX, problem);
}

static enum status open_run(struct send *send, struct problem *problem)
{
    struct state_subject subject = {send->options.stream, send->options.id_field};
    bool is_found = false;
    if (send->options.state_file != NULL) {
        enum status status =
            state_load(send->options.state_file, &subject, &send->run, &is_found, problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (!is_found) {
        run_begin(&send->run);
        return send_save(send, problem);
    }
    send->saved = send->run.done;
    enum status status = lines_pass(&send->lines, &send->run.done, problem);
    if (status == STATUS_OK && send->run.done.line > 0) {
        progress_say(&send->progress, "going on behind line %llu, as \"%s\" says",
                     (unsigned long long)send->run.done.line, send->options.state_file);
    }
    return status;
}

static enum status open_messages(struct send *send, struct problem *problem)
{
    size_t scratch_bytes = LINE_BYTES_MAX + EVENT_ID_BYTES_MAX;
    send->flight_count = send->options.inflight * LATE_FACTOR;
    send->flights = calloc(send->flight_count, sizeof *send->flights);
    send->scratch = malloc(scratch_bytes); /* untouched pages cost nothing */
    if (send->flights == NULL || send->scratch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %u messages",
                           send->flight_count);
    }
    for (uint32_t i = 0; i < send->flight_count; i++) {
        enum status status = flight_init(&send->flights[i], send->options.batch, problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    send->first = send->next = 1;
    send->header =
        (struct flight_header){send->options.stream, send->options.ack, send->options.encoding};
    send->maker = (struct event_maker){.run = &send->run,
                                       .id_field = send->options.id_field,
                                       .encoding = send->options.encoding,
                                       .scratch = writer_of(send->scratch, scratch_bytes)};
    return STATUS_OK;
}

static enum status open_link(struct send *send, struct problem *problem)
{
    char producer[40];
    snprintf(producer, sizeof producer, "send-%011llx", (unsigned long long)send->run.seed);
    enum status status = url_read(send->options.url, producer, &send->url, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct link_options options = {.url = &send->url,
                                   .token_file = send->options.token_file,
                                   .encoding = send->options.encoding,
                                   .wait_s = send->options.wait_s,
                                   .on_up = on_up,
                                   .on_down = on_down,
                                   .on_message = on_message,
                                   .on_write = on_write,
                                   .on_tick = on_tick,
                                   .owner = send};
    return link_open(&options, &send->link, problem);
}

static enum status open_send(struct send *send, struct problem *problem)
{
    enum status status = open_input(send, problem);
    if (status == STATUS_OK) {
        status = open_run(send, problem);
    }
    if (status == STATUS_OK) {
        status = open_messages(send, problem);
    }
    return status == STATUS_OK ? open_link(send, problem) : status;
}

static void close_send(struct send *send)
{
    link_close(send->link);
    for (uint32_t i = 0; send->flights != NULL && i < send->flight_count; i++) {
        flight_fini(&send->flights[i]);
    }
    free(send->flights);
    free(send->scratch);
    lines_fini(&send->lines);
    if (send->fd > STDIN_FILENO) {
        close(send->fd);
    }
    send_options_fini(&send->options);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void sum_up(struct send *send)
{
    double seconds = (double)(clock_monotonic_us() - send->progress.begun_us) / 1e6;
    progress_say(
        &send->progress,
        "%llu events acknowledged (%s) in %.1f s, %.0f/s; %llu of them were stored before, "
        "%llu skipped, %llu rejected by the database; %llu lines done",
        (unsigned long long)send->acknowledged, send->options.ack, seconds,
        seconds > 0 ? (double)send->acknowledged / seconds : 0.0,
        (unsigned long long)send->duplicates, (unsigned long long)send->skipped,
        (unsigned long long)send->rejected, (unsigned long long)send->run.done.line);
    if (send->exit_code != CLIENT_DONE && send->options.state_file != NULL) {
        progress_say(&send->progress, "give the same command again to go on behind line %llu",
                     (unsigned long long)send->run.done.line);
    }
}

static int run_send(struct send *send)
{
    struct problem problem;
    if (link_run(send->link, &problem) != STATUS_OK) {
        progress_say(&send->progress, "gave up: %s", problem.text);
        send_stop(send, CLIENT_FAILED);
    }
    if (send_save(send, &problem) != STATUS_OK) {
        progress_say(&send->progress, "%s", problem.text);
        send_stop(send, CLIENT_FAILED);
    }
    if (send->run.epoch[0] != '\0') { /* we have met the server at least once */
        sum_up(send);
    }
    return send->exit_code;
}

int client_send_command(int argc, char **argv)
{
    struct send send = {.fd = -1};
    struct problem problem;
    int exit_code;
    if (!send_options_read(argc, argv, &send.options, &exit_code)) {
        return exit_code;
    }
    signals_catch();
    progress_begin(&send.progress, 0);
    if (open_send(&send, &problem) != STATUS_OK) {
        progress_say(&send.progress, "%s", problem.text);
        exit_code = problem.status == STATUS_BAD_CONFIG ? CLIENT_USAGE : CLIENT_FAILED;
    } else {
        progress_begin(&send.progress, send.run.done.line);
        exit_code = run_send(&send);
    }
    close_send(&send);
    return exit_code;
}
