/* vectors.c - see vectors.h. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    bytes[size] = '\0';
    *out_size = size;
    return bytes;
}

void vectors_open(struct vectors *vectors, const char *name)
{
    char path[1024];
    const char *root = getenv("PENSTOCK_SOURCE_DIR");
    struct problem problem;
    struct value cases;
    size_t size;
    snprintf(path, sizeof path, "%s/proto/vectors/%s", root != NULL ? root : ".", name);
    vectors->bytes = read_file(path, &size);
    if (json_parse(span_of(vectors->bytes, size), &vectors->file, &problem) != STATUS_OK) {
        fail_msg("%s: %s", path, problem.text);
    }
    assert_true(member(&vectors->file, "cases", &cases));
    array_begin(&cases, &vectors->cases);
}

void vectors_close(struct vectors *vectors)
{
    free(vectors->bytes);
}

bool vectors_next(struct vectors *vectors, struct value *out_case)
{
    return array_next(&vectors->cases, out_case);
}

bool member(const struct value *map, const char *name, struct value *out)
{
    struct map_cursor cursor;
    struct span found;
    assert_int_equal(map->kind, VALUE_MAP);
    map_begin(map, &cursor);
    while (map_next(&cursor, &found, out)) {
        if (span_is(found, name)) {
            return true;
        }
    }
    return false;
}

static char *text_of(const struct value *string, size_t *out_size)
{
    assert_int_equal(string->kind, VALUE_STRING);
    char *text = malloc(string->raw.size + 1);
    assert_non_null(text);
    struct writer w = writer_of(text, string->raw.size);
    value_text(string, &w);
    assert_false(w.full);
    *out_size = writer_size(&w);
    text[*out_size] = '\0';
    return text;
}

char *member_text(const struct value *map, const char *name)
{
    struct value value;
    size_t size;
    return member(map, name, &value) ? text_of(&value, &size) : NULL;
}

uint8_t *exact_copy(struct span bytes)
{
    uint8_t *copy = malloc(bytes.size > 0 ? bytes.size : 1);
    assert_non_null(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return copy;
}

/* Appends `piece` to a buffer that grows. */
struct buffer {
    char *bytes;
    size_t size;
};

static void append(struct buffer *buffer, const char *piece, size_t size, int64_t times)
{
    buffer->bytes = realloc(buffer->bytes, buffer->size + size * (size_t)times + 1);
    assert_non_null(buffer->bytes);
    for (int64_t i = 0; i < times; i++) {
        memcpy(buffer->bytes + buffer->size, piece, size);
        buffer->size += size;
    }
}

static void append_pieces(struct buffer *buffer, const struct value *pieces)
{
    struct array_cursor cursor, pair_cursor;
    struct value pair, piece, times;
    int64_t count;
    array_begin(pieces, &cursor);
    while (array_next(&cursor, &pair)) {
        array_begin(&pair, &pair_cursor);
        assert_true(array_next(&pair_cursor, &piece));
        assert_true(array_next(&pair_cursor, &times));
        assert_true(value_int64(&times, &count));
        size_t size;
        char *text = text_of(&piece, &size);
        append(buffer, text, size, count);
        free(text);
    }
}

static void unhex(struct buffer *buffer)
{
    size_t size = buffer->size / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(buffer->bytes + 2 * i, "%2x", &byte), 1);
        buffer->bytes[i] = (char)byte;
    }
    buffer->size = size;
}

uint8_t *member_bytes(const struct value *map, const char *text, const char *hex, size_t *out_size)
{
    struct value value;
    struct buffer buffer = {0};
    bool is_text = text != NULL && member(map, text, &value);
    if (!is_text && !member(map, hex, &value)) {
        return NULL;
    }
    if (value.kind == VALUE_ARRAY) {
        append_pieces(&buffer, &value);
    } else {
        size_t size;
        char *all = text_of(&value, &size);
        append(&buffer, all, size, 1);
        free(all);
    }
    if (!is_text) {
        unhex(&buffer);
    }
    uint8_t *exact = exact_copy(span_of(buffer.bytes, buffer.size));
    *out_size = buffer.size;
    free(buffer.bytes);
    return exact;
}

unsigned member_flaws(const struct value *map, const char *name)
{
    static const struct {
        const char *word;
        unsigned flaw;
    } WORDS[] = {{"nul", FLAW_NUL},
                 {"lone_surrogate", FLAW_LONE_SURROGATE},
                 {"huge_number", FLAW_HUGE_NUMBER},
                 {"no_json_form", FLAW_NO_JSON_FORM}};
    struct value list, word;
    struct array_cursor cursor;
    unsigned flaws = 0;
    if (!member(map, name, &list)) {
        return 0;
    }
    array_begin(&list, &cursor);
    while (array_next(&cursor, &word)) {
        unsigned before = flaws;
        for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
            flaws |= span_is(word.raw, WORDS[i].word) ? WORDS[i].flaw : 0;
        }
        assert_int_not_equal(flaws, before); /* a word that we do not know */
    }
    return flaws;
}

/* In MessagePack there is one way to write each string, word and float. */
static bool same_scalar(struct span a, struct span b)
{
    size_t room = 2 * (a.size + b.size) + 64;
    uint8_t *bytes = malloc(2 * room);
    assert_non_null(bytes);
    struct writer packed_a = writer_of(bytes, room);
    struct writer packed_b = writer_of(bytes + room, room);
    json_to_msgpack(a, &packed_a);
    json_to_msgpack(b, &packed_b);
    assert_false(packed_a.full || packed_b.full);
    bool same = span_equals(writer_span(&packed_a), writer_span(&packed_b));
    free(bytes);
    return same;
}

/* The slice with its quotes. */
static struct span whole(const struct value *value)
{
    return value->kind == VALUE_STRING ? span_of(value->raw.data - 1, value->raw.size + 2)
                                       : value->raw;
}

static bool same(const struct value *a, const struct value *b);

static bool same_arrays(const struct value *a, const struct value *b)
{
    struct array_cursor cursor_a, cursor_b;
    struct value item_a, item_b;
    array_begin(a, &cursor_a);
    array_begin(b, &cursor_b);
    while (array_next(&cursor_a, &item_a)) {
        if (!array_next(&cursor_b, &item_b) || !same(&item_a, &item_b)) {
            return false;
        }
    }
    return !array_next(&cursor_b, &item_b);
}

static bool same_maps(const struct value *a, const struct value *b)
{
    struct map_cursor cursor_a, cursor_b;
    struct value item_a, item_b;
    struct span name_a, name_b;
    map_begin(a, &cursor_a);
    map_begin(b, &cursor_b);
    while (map_next(&cursor_a, &name_a, &item_a)) {
        if (!map_next(&cursor_b, &name_b, &item_b) ||
            !same_scalar(span_of(name_a.data - 1, name_a.size + 2),
                         span_of(name_b.data - 1, name_b.size + 2)) ||
            !same(&item_a, &item_b)) {
            return false;
        }
    }
    return !map_next(&cursor_b, &name_b, &item_b);
}

static bool same(const struct value *a, const struct value *b)
{
    int64_t integer_a, integer_b;
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case VALUE_ARRAY:
        return same_arrays(a, b);
    case VALUE_MAP:
        return same_maps(a, b);
    case VALUE_NUMBER: /* 2.0 and 2 are the same */
        if (value_int64(a, &integer_a) && value_int64(b, &integer_b)) {
            return integer_a == integer_b;
        }
        return same_scalar(a->raw, b->raw);
    default:
        return same_scalar(whole(a), whole(b));
    }
}

void assert_json_equal(struct span a, struct span b, const char *about)
{
    struct value value_a, value_b;
    struct problem problem;
    if (json_parse(a, &value_a, &problem) != STATUS_OK ||
        json_parse(b, &value_b, &problem) != STATUS_OK) {
        fail_msg("%s: %s", about, problem.text);
    }
    if (!same(&value_a, &value_b)) {
        fail_msg("%s: %.*s is not %.*s", about, SPAN_PRINT(a), SPAN_PRINT(b));
    }
}

struct decoder *decoder_new(size_t message_bytes_max)
{
    struct decoder *decoder;
    struct problem problem;
    if (decoder_create(message_bytes_max, &decoder, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    return decoder;
}
