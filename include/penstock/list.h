/*
 * list.h - doubly linked lists through their items: joining and leaving take neither memory nor a
 * search.
 *
 * A list is any struct with `first` and `last`, and an item has, for each list that it may be in, a
 * member with `previous` and `next`; all zero is an empty list:
 *
 *     struct { struct session *first, *last; } due;
 *     struct session { struct { struct session *previous, *next; } due; … };
 *     list_append(&edge->due, session, due);
 *
 * Macros, so that both keep the type of the items. They look at their arguments more than once. Who
 * has left a list still has the links of then.
 */
#ifndef PENSTOCK_LIST_H
#define PENSTOCK_LIST_H

#include <stddef.h>

#define list_append(list, item, link)         \
    do {                                      \
        (item)->link.previous = (list)->last; \
        (item)->link.next = NULL;             \
        if ((list)->last != NULL) {           \
            (list)->last->link.next = (item); \
        } else {                              \
            (list)->first = (item);           \
        }                                     \
        (list)->last = (item);                \
    } while (0)

#define list_prepend(list, item, link)             \
    do {                                           \
        (item)->link.previous = NULL;              \
        (item)->link.next = (list)->first;         \
        if ((list)->first != NULL) {               \
            (list)->first->link.previous = (item); \
        } else {                                   \
            (list)->last = (item);                 \
        }                                          \
        (list)->first = (item);                    \
    } while (0)

#define list_remove(list, item, link)                                 \
    do {                                                              \
        if ((item)->link.previous != NULL) {                          \
            (item)->link.previous->link.next = (item)->link.next;     \
        } else {                                                      \
            (list)->first = (item)->link.next;                        \
        }                                                             \
        if ((item)->link.next != NULL) {                              \
            (item)->link.next->link.previous = (item)->link.previous; \
        } else {                                                      \
            (list)->last = (item)->link.previous;                     \
        }                                                             \
    } while (0)

#endif
