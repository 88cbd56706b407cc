/* source.c - see source.h. */
#include "source.h"

#define PAUSE_MAX_US 5000000

void source_init(struct source *source, const struct settings *settings)
{
    const char *url = settings->listen_url;
    *source = (struct source){
        .options = {.url = url != NULL && url[0] != '\0' ? url : settings->database_url,
                    .role = "feed",
                    .connect_timeout_ms = settings->connect_timeout_ms,
                    .statement_timeout_ms = settings->statement_timeout_ms},
    };
}

void source_fini(struct source *source)
{
    listener_close(source->listener);
    source->listener = NULL;
}

bool source_connect(struct source *source, int64_t now_us)
{
    struct problem problem;
    if (source->listener != NULL || now_us < source->due_us) {
        return false;
    }
    if (listener_open(&source->options, &source->listener, &problem) != STATUS_OK) {
        source->listener = NULL;
        source_lost(source, clock_monotonic_us(), &problem);
        return false;
    }
    source->heard_us = clock_monotonic_us();
    return true;
}

void source_works(struct source *source, int64_t now_us)
{
    source->losses = 0;
    source->heard_us = now_us;
}

void source_lost(struct source *source, int64_t now_us, const struct problem *problem)
{
    listener_close(source->listener);
    source->listener = NULL;
    source->losses++;
    source->due_us = now_us + pause_after(source->losses, PAUSE_MAX_US, now_us);
    log_warn("feed",
             "%s; subscribers hear nothing of other nodes until the next attempt in %lld ms",
             problem->text, (long long)(source->due_us - now_us) / 1000);
}
