/*
 * json.c - JSON that did not come as a client's message: NOTIFY payloads, rows of penstock.payload,
 * what a server says to our own command line.
 */
#include "json_value.h"

/* A walk goes over text that was scanned before, so it fails only if the bytes changed meanwhile;
 * then it ends. */

enum status json_parse(struct span text, struct value *out, struct problem *problem)
{
    struct json_scan scan = json_scan_of(text, JSON_DEPTH_MAX);
    const uint8_t *p = json_skip_space(scan.start, scan.end);
    p = json_read_value(&scan, p, 0, out);
    if (p != NULL) {
        p = json_skip_space(p, scan.end);
        if (p == scan.end) {
            return STATUS_OK;
        }
        json_fail(&scan, p, "the text should end here");
    }
    return problem_set(problem, STATUS_MALFORMED, "not JSON at byte %zu: %s",
                       (size_t)(scan.failed_at - scan.start), scan.reason);
}

void map_begin(const struct value *map, struct map_cursor *out)
{
    out->next = map->raw.data + 1;
    out->end = map->raw.data + map->raw.size;
}

bool map_next(struct map_cursor *cursor, struct span *out_name, struct value *out)
{
    struct json_scan scan = {
        .start = cursor->next, .end = cursor->end, .depth_max = JSON_DEPTH_MAX};
    const uint8_t *p = json_skip_space(cursor->next, cursor->end);
    if (p < cursor->end && *p == ',') {
        p = json_skip_space(p + 1, cursor->end);
    }
    if (p == cursor->end || *p != '"') {
        return false;
    }
    p = json_scan_name(&scan, p, out_name);
    if (p != NULL) {
        p = json_read_value(&scan, p, 0, out);
    }
    if (p == NULL) {
        return false;
    }
    cursor->next = p;
    return true;
}
