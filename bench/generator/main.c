/*
 * main.c - penstock-bench: reads its options, opens, sends, tells.
 */
#include "bearer.h"
#include "load.h"
#include "null.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void make_target(const struct options *options, struct target *out)
{
    static char token_room[BEARER_BYTES_MAX + 1];
    struct span token;
    struct problem problem;
    struct url url;
    if (options->alone) {
        target_plain("127.0.0.1", null_start(), "/v1/ws", subprotocol_of(options->encoding), out);
        return;
    }
    problem_clear(&problem);
    if (url_read(options->url, NULL, &url, &problem) != STATUS_OK ||
        bearer_read(options->token_file, token_room, &token, &problem) != STATUS_OK) {
        fail("%s", problem.text);
    }
    target_make(&url, subprotocol_of(options->encoding), token, !options->trust_any, out);
}

static void tell_opening(const struct load *load)
{
    double seconds = (double)load->open_us / 1e6;
    if (load->options->as_json) {
        printf("{\"connections\": %u, \"seconds\": %.6f, \"generator_cpu_s\": %.3f}\n", load->ready,
               seconds, own_cpu_seconds());
    } else {
        printf("%u connections open after %.2f s: %.0f a second\n", load->ready, seconds,
               (double)load->ready / seconds);
    }
    fflush(stdout);
}

static void tell_json(const struct load *load, uint64_t events, double seconds)
{
    printf("{\"events\": %llu, \"messages\": %llu, \"refused\": %llu, \"seconds\": %.6f, "
           "\"open_s\": %.6f, \"generator_cpu_s\": %.6f, ",
           (unsigned long long)events, (unsigned long long)load->answered,
           (unsigned long long)load->refused, seconds, (double)load->open_us / 1e6, load->cpu_s);
    histogram_print(&load->latencies, stdout);
    puts("}");
}

static void tell_text(const struct load *load, uint64_t events, double seconds)
{
    const struct options *options = load->options;
    const struct histogram *latencies = &load->latencies;
    printf("%llu events in %llu messages %s in %.2f s: %.0f events/s on %u connections\n",
           (unsigned long long)events, (unsigned long long)load->answered, options->frames.ack,
           seconds, (double)events / seconds, options->connections);
    printf("answered after p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, at most %.3f ms (%s)\n",
           (double)histogram_at(latencies, 0.5) / 1e3, (double)histogram_at(latencies, 0.9) / 1e3,
           (double)histogram_at(latencies, 0.99) / 1e3,
           (double)histogram_at(latencies, 0.999) / 1e3, (double)latencies->most_us / 1e3,
           options->rate > 0 ? "open loop, from when due" : "closed loop");
    printf("own CPU: %.0f %% of one processor, %.2f us an event\n", load->cpu_s / seconds * 100,
           events > 0 ? load->cpu_s * 1e6 / (double)events : 0);
}

static void tell_run(const struct load *load)
{
    uint64_t events = (load->answered - load->refused) * load->frames.events_per_frame;
    double seconds = (double)load->took_us / 1e6;
    (load->options->as_json ? tell_json : tell_text)(load, events, seconds);
    if (load->refused > 0) {
        fprintf(stderr, "penstock-bench: %llu messages were refused; the first: %s\n",
                (unsigned long long)load->refused, load->refusal);
    }
}

static void hold(void)
{
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
}

/* How many messages; UINT64_MAX: what a closed loop sends until the time is over. */
static uint64_t count_messages(const struct options *options)
{
    unsigned batch = options->frames.events_per_frame;
    uint64_t events = options->events;
    if (events == 0 && options->rate > 0) {
        events = (uint64_t)(options->rate * options->seconds) + 1;
    }
    return events == 0 ? UINT64_MAX : (events + batch - 1) / batch;
}

int main(int argc, char **argv)
{
    struct options options;
    static struct load load;
    options_read(argc, argv, &options);
    load.options = &options;
    if (!options.open_only) {
        frames_build(&options.frames, &load.frames);
        load.messages_max = count_messages(&options);
    }
    make_target(&options, &load.target);
    load_open(&load);
    if (options.open_only) {
        tell_opening(&load);
        if (options.hold) {
            hold();
        }
    } else {
        load_run(&load);
        tell_run(&load);
    }
    load_fini(&load);
    return load.refused > 0;
}
