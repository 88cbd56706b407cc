/*
 * forwarded.c - see forwarded.h.
 */
#include "arrive/forwarded.h"

/* Takes the last element off a comma-separated list. */
static struct span take_last(struct span *list)
{
    const uint8_t *comma = list->size == 0 ? NULL : memrchr(list->data, ',', list->size);
    size_t start = comma == NULL ? 0 : (size_t)(comma + 1 - list->data);
    struct span last = span_of(list->data + start, list->size - start);
    list->size = comma == NULL ? 0 : start - 1;
    return span_trim(last);
}

struct address forwarded_client(const struct address *peer, struct span header,
                                const struct network_list *trusted)
{
    struct address client = *peer, next;
    while (header.size > 0 && network_list_contains(trusted, &client) &&
           address_parse_host(take_last(&header), &next)) {
        client = next;
    }
    return client;
}
