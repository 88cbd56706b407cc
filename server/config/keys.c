/*
 * keys.c - the table, put together from its areas in the order in which they are shown. value.c
 * reads a value into its field, reference.c prints what is said in the rows.
 */
#include "keys.h"

static const struct key_area *const areas[] = {&keys_network, &keys_auth, &keys_limits,
                                               &keys_postgres, &keys_node};
#define AREA_COUNT (sizeof areas / sizeof areas[0])

size_t key_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < AREA_COUNT; i++) {
        count += areas[i]->count;
    }
    return count;
}

const struct key *key_at(size_t place)
{
    for (size_t i = 0; i < AREA_COUNT; i++) {
        if (place < areas[i]->count) {
            return &areas[i]->keys[place];
        }
        place -= areas[i]->count;
    }
    return NULL;
}

size_t key_place(const struct key *key)
{
    size_t place = 0;
    while (key_at(place) != key) {
        place++;
    }
    return place;
}

const struct key *key_find(const char *name, size_t size)
{
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        size_t at = 0;
        while (at < size && key->name[at] == (name[at] == '-' ? '_' : name[at])) {
            at++;
        }
        if (at == size && key->name[at] == '\0') {
            return key;
        }
    }
    return NULL;
}
