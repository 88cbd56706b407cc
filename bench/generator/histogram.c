/*
 * histogram.c - see histogram.h.
 *
 * Row 0 holds 0 to 127 us, one a step; row n holds 128 << (n - 1) up to 128 << n, in steps of
 * 1 << (n - 1).
 */
#include "histogram.h"

#include <inttypes.h>

static size_t place_of(uint64_t us)
{
    if (us < HISTOGRAM_STEPS) {
        return us;
    }
    unsigned row = 63u - (unsigned)__builtin_clzll(us) - 6; /* 128 to 255 are row 1 */
    size_t step = (size_t)(us >> (row - 1)) - HISTOGRAM_STEPS;
    return row < HISTOGRAM_POWERS ? row * HISTOGRAM_STEPS + step
                                  : HISTOGRAM_POWERS * HISTOGRAM_STEPS - 1;
}

static uint64_t value_at(size_t place)
{
    size_t row = place / HISTOGRAM_STEPS, step = place % HISTOGRAM_STEPS;
    return row == 0 ? step : (uint64_t)(HISTOGRAM_STEPS + step) << (row - 1);
}

void histogram_add(struct histogram *histogram, int64_t us)
{
    uint64_t value = us < 0 ? 0 : (uint64_t)us;
    histogram->counts[place_of(value)]++;
    histogram->count++;
    histogram->most_us = value > histogram->most_us ? value : histogram->most_us;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_POWERS * HISTOGRAM_STEPS; i++) {
        histogram->counts[i] += from->counts[i];
    }
    histogram->count += from->count;
    histogram->most_us = from->most_us > histogram->most_us ? from->most_us : histogram->most_us;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_POWERS * HISTOGRAM_STEPS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted) {
            return value_at(i);
        }
    }
    return histogram->most_us;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    fprintf(out,
            "\"count\": %" PRIu64 ", \"p50_us\": %" PRIu64 ", \"p90_us\": %" PRIu64
            ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64 ", \"most_us\": %" PRIu64,
            histogram->count, histogram_at(histogram, 0.5), histogram_at(histogram, 0.9),
            histogram_at(histogram, 0.99), histogram_at(histogram, 0.999), histogram->most_us);
}
