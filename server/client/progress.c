/* progress.c - see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#define TERMINAL_US INT64_C(200000)
#define LOG_US      INT64_C(5000000)
#define CLEAR_LINE  "\r\033[K"

void progress_begin(struct progress *progress, uint64_t lines)
{
    int64_t now_us = clock_monotonic_us();
    *progress = (struct progress){.is_terminal = isatty(STDERR_FILENO) == 1,
                                  .begun_us = now_us,
                                  .shown_us = now_us,
                                  .shown_lines = lines};
}

static void print_share(const struct progress_figures *f)
{
    if (f->lines_total > 0) {
        fprintf(stderr, "/%llu", (unsigned long long)f->lines_total);
    }
    fprintf(stderr, " lines acknowledged");
    if (f->lines_total == 0 && f->bytes_total > 0) {
        fprintf(stderr, " (%.0f %%)", 100.0 * (double)f->bytes / (double)f->bytes_total);
    }
}

void progress_show(struct progress *progress, const struct progress_figures *f)
{
    int64_t now_us = clock_monotonic_us();
    int64_t passed_us = now_us - progress->shown_us;
    if (passed_us < (progress->is_terminal ? TERMINAL_US : LOG_US)) {
        return;
    }
    double rate = (double)(f->lines - progress->shown_lines) * 1e6 / (double)passed_us;
    /* On a terminal the figure would flicker: half of it is what was shown before. */
    bool is_first = progress->rate <= 0.0 || !progress->is_terminal;
    progress->rate = is_first ? rate : (rate + progress->rate) / 2;
    progress->shown_us = now_us;
    progress->shown_lines = f->lines;
    fprintf(stderr, "%s%llu", progress->is_terminal ? CLEAR_LINE : "",
            (unsigned long long)f->lines);
    print_share(f);
    if (f->duplicates > 0) {
        fprintf(stderr, ", %llu stored before", (unsigned long long)f->duplicates);
    }
    fprintf(stderr, ", %.0f/s%s", progress->rate, progress->is_terminal ? "" : "\n");
    fflush(stderr);
    progress->is_shown = progress->is_terminal;
}

void progress_say(struct progress *progress, const char *format, ...)
{
    va_list arguments;
    fputs(progress->is_shown ? CLEAR_LINE "penstock: " : "penstock: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    progress->is_shown = false;
}
