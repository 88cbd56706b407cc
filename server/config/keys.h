/*
 * keys.h - the one table of settings, and a value's way from text into it. Private to config/.
 *
 * Whatever is said about a key, in the file, in the environment, as a flag, in --help or in the
 * reference file, comes from its row in keys_AREA.c. A new setting is one row, and one field of
 * struct settings, which has the key's name.
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

enum { FIXED = false, LIVE = true }; /* is_live, as a row says it */

/*
 * A row, by the type of its key. It says the name, also that of its field in struct settings; LIVE
 * or FIXED; what stands for the value, where the type does not say it; the default; the bounds (a
 * text's is its bytes); the help. What else there is of a key follows that: `.is_secret = true`.
 */
#define TEXT(name, change, unit, value, most_, ...) \
    KEY(name, change, KEY_TEXT, unit, value, .most = (most_), .help = __VA_ARGS__)
#define NUMBER(name, change, unit, value, least_, most_, ...)                      \
    KEY(name, change, KEY_NUMBER, unit, value, .least = (least_), .most = (most_), \
        .help = __VA_ARGS__)
#define SIZE(name, change, value, least_, most_, ...)                              \
    KEY(name, change, KEY_SIZE, "SIZE", value, .least = (least_), .most = (most_), \
        .help = __VA_ARGS__)
#define SWITCH(name, change, value, ...) \
    KEY(name, change, KEY_SWITCH, "BOOL", value, .help = __VA_ARGS__)
#define CHOICE(name, change, unit, value, ...) \
    KEY(name, change, KEY_CHOICE, unit, value, .help = __VA_ARGS__)
#define KEY(name_, change, type_, unit_, value_, ...)                                             \
    {                                                                                             \
        .name = #name_, .is_live = (change), .type = (type_), .unit = (unit_), .value = (value_), \
        .offset = offsetof(struct settings, name_), __VA_ARGS__                                   \
    }

/* The keys under one heading, in keys_AREA.c. */
struct key_group {
    const struct key *keys;
    size_t count;
};
extern const struct key_group keys_network, keys_auth, keys_limits, keys_rates, keys_postgres,
    keys_journal, keys_operators, keys_logging;

/* The whole table, group after group. */
size_t key_count(void);
/* Its row at a place below key_count(). */
const struct key *key_at(size_t place);
/* The heading above that row; NULL unless it is the first of its group. */
const char *key_heading(size_t place);
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
