/*
 * keys.c - the table, put together from its groups in the order in which they are shown. value.c
 * reads a value into its field, reference.c prints what is said in the rows.
 */
#include "keys.h"

static const struct {
    const char *heading;
    const struct key_group *keys;
} groups[] = {
    {"Network", &keys_network},           {"Authentication", &keys_auth},
    {"Limits for clients", &keys_limits}, {"Rates", &keys_rates},
    {"PostgreSQL", &keys_postgres},       {"Journal and memory", &keys_journal},
    {"For operators", &keys_operators},   {"Log", &keys_logging},
};

enum { GROUPS = sizeof groups / sizeof groups[0] };

size_t key_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        count += groups[i].keys->count;
    }
    return count;
}

const struct key *key_at(size_t place)
{
    for (size_t i = 0; i < GROUPS; i++) {
        if (place < groups[i].keys->count) {
            return &groups[i].keys->keys[place];
        }
        place -= groups[i].keys->count;
    }
    return NULL;
}

const char *key_heading(size_t place)
{
    size_t first = 0;
    for (size_t i = 0; i < GROUPS && first <= place; i++) {
        if (place == first) {
            return groups[i].heading;
        }
        first += groups[i].keys->count;
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
