/*
 * keys.h - the one table of settings, and a value's way from text into it. Private to config/.
 *
 * Whatever is said about a key, in the file, in the environment, as a flag, in --help or in the
 * reference file, comes from its row in keys_AREA.c. A new setting is one row, and one field of
 * struct settings.
 */
#ifndef PENSTOCK_CONFIG_KEYS_H
#define PENSTOCK_CONFIG_KEYS_H

#include "penstock/config.h"

#include <stddef.h>

#define KB (UINT64_C(1) << 10)
#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)
#define TB (UINT64_C(1) << 40)

enum key_type {
    KEY_TEXT,   /* char *, owned by the settings */
    KEY_SWITCH, /* bool: true, false, on, off, yes, no */
    KEY_NUMBER, /* uint64_t */
    KEY_SIZE,   /* uint64_t, bytes; KB, MB, GB count in 1024s, with or without an i */
    KEY_CHOICE, /* int: the place of a word in `choices`, which are in the order of an enum */
};

struct key {
    const char *group; /* set on the first key of a group: the heading above it */
    const char *name;
    enum key_type type;
    const char *unit;  /* shown in --help: what stands for the value */
    const char *value; /* the default, as one would write it */
    uint64_t least, most;
    uint64_t multiple_of;   /* 0: any */
    bool is_power_of_two;   /* must be one */
    bool is_secret;         /* may hold a password: never shown, and then refused as a flag */
    bool is_multiline;      /* may contain line ends */
    bool no_flag;           /* refused as a flag: everybody on the machine can read those */
    bool is_live;           /* a reload changes it; otherwise it takes a restart */
    const char *choices[4]; /* ends with NULL */
    const char *help;       /* sentences */
    size_t offset;          /* in struct settings */
};

/* A key's field, as the end of its row. */
#define AT(field) .offset = offsetof(struct settings, field)

/* The rows of keys_AREA.c. */
struct key_area {
    const struct key *keys;
    size_t count;
};
extern const struct key_area keys_network, keys_auth, keys_limits, keys_postgres, keys_node;

/* The whole table, area after area. */
size_t key_count(void);
/* Its row at a place below key_count(). */
const struct key *key_at(size_t place);
/* The place of a row. */
size_t key_place(const struct key *key);

/* By name, with '-' and '_' alike; NULL when there is none. */
const struct key *key_find(const char *name, size_t size);

/* Reads `text` into the key's field. BAD_CONFIG: a sentence that begins with the key's name. */
enum status key_set(struct settings *settings, const struct key *key, const char *text,
                    struct problem *problem) must_use;

/* "64 KB" for 65536: the shortest whole way to say a size. */
void size_format(uint64_t bytes, char out[32]);

/* Reads the file (libconfuse) into the settings. */
enum status file_load(struct settings *settings, const char *file,
                      struct problem *problem) must_use;

/* What one row cannot say: rules between keys, the shape of an address. */
enum status settings_check(const struct settings *settings, struct problem *problem) must_use;
/* The names in `presence`. */
enum status presence_check(const struct settings *settings, struct problem *problem) must_use;
/* One stream of the file, by itself and among those before it. */
enum status stream_check(const struct stream_settings *stream, struct problem *problem) must_use;

#endif
