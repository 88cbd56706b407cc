/* metrics_text.c - see metrics_text.h. */
#include "http/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_BYTES_MAX 500

static void line(struct writer *out, const char *format, ...) printf_like(2, 3);

static void line(struct writer *out, const char *format, ...)
{
    char text[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    writer_bytes(out, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

void metrics_head(struct writer *out, const struct family *family)
{
    line(out, "# HELP penstock_%s %s\n# TYPE penstock_%s %s\n", family->name, family->help,
         family->name, family->type);
}

static const char *opening(const char *labels)
{
    return labels[0] == '\0' ? "" : "{";
}

static const char *closing(const char *labels)
{
    return labels[0] == '\0' ? "" : "}";
}

void metrics_line(struct writer *out, const char *name, const char *labels, uint64_t value)
{
    line(out, "penstock_%s%s%s%s %" PRIu64 "\n", name, opening(labels), labels, closing(labels),
         value);
}

void metrics_line_scaled(struct writer *out, const char *name, const char *labels, uint64_t value,
                         uint64_t divisor)
{
    line(out, "penstock_%s%s%s%s %.15g\n", name, opening(labels), labels, closing(labels),
         (double)value / (double)divisor);
}

void metrics_single(struct writer *out, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    struct family family = {name, type, help};
    metrics_head(out, &family);
    metrics_line(out, name, "", value);
}

/* ---- histograms ------------------------------------------------------------------------------ */

struct sums {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t sum;
};

static void sum_up(struct sums *sums, const struct histogram *first, size_t stride, size_t count)
{
    *sums = (struct sums){0};
    for (size_t i = 0; i < count; i++) {
        const struct histogram *one =
            (const void *)((const uint8_t *)(const void *)first + i * stride);
        for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
            sums->buckets[bucket] += counter_read(&one->buckets[bucket]);
        }
        sums->sum += counter_read(&one->sum);
    }
}

void metrics_histogram(struct writer *out, const struct histogram_view *view,
                       const struct histogram *first, size_t stride, size_t count)
{
    struct sums sums;
    const char *name = view->family.name;
    uint64_t total = 0;
    sum_up(&sums, first, stride, count);
    metrics_head(out, &view->family);
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        total += sums.buckets[bucket];
        if (bucket >= view->first && bucket <= view->last) {
            line(out, "penstock_%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
                 (double)histogram_bound(bucket) / (double)view->divisor, total);
        }
    }
    line(out, "penstock_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
    line(out, "penstock_%s_sum %.15g\n", name, (double)sums.sum / (double)view->divisor);
    line(out, "penstock_%s_count %" PRIu64 "\n", name, total);
}

_Static_assert(sizeof(counter) == sizeof(uint64_t), "plain sums are read as counters, too");

uint64_t metrics_value_at(const void *object, size_t at)
{
    return counter_read((const counter *)(const void *)((const uint8_t *)object + at));
}

void metrics_numbered(struct writer *out, const char *family, const char *name, unsigned number,
                      uint64_t value)
{
    char labels[LABEL_BYTES_MAX];
    snprintf(labels, sizeof labels, "%s=\"%u\"", name, number);
    metrics_line(out, family, labels, value);
}

void metrics_columns(struct writer *out, const struct column *columns, size_t count,
                     const char *name, const void *objects, size_t stride, unsigned object_count)
{
    for (size_t i = 0; i < count; i++) {
        metrics_head(out, &columns[i].family);
        for (unsigned n = 0; n < object_count; n++) {
            const void *object = (const uint8_t *)objects + n * stride;
            metrics_numbered(out, columns[i].family.name, name, n,
                             metrics_value_at(object, columns[i].at));
        }
    }
}
