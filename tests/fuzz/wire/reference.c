/*
 * reference.c - readers written to be right at a glance: one byte at a time, straight from the
 * grammars. They share nothing with server/wire but utf8_valid(), which has a test of its own.
 */
#include "reference.h"

#include "penstock/wire.h"

/* ---- JSON: each function passes what it is named for, or returns NULL --------------------------
 */

struct text {
    const uint8_t *end;
    unsigned depth_max;
};

static int byte_at(const struct text *t, const uint8_t *p)
{
    return p < t->end ? *p : -1;
}

static const uint8_t *spaces(const struct text *t, const uint8_t *p)
{
    while (byte_at(t, p) == ' ' || byte_at(t, p) == '\t' || byte_at(t, p) == '\n' ||
           byte_at(t, p) == '\r') {
        p++;
    }
    return p;
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_hex(int byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static const uint8_t *digits(const struct text *t, const uint8_t *p)
{
    if (!is_digit(byte_at(t, p))) {
        return NULL;
    }
    while (is_digit(byte_at(t, p))) {
        p++;
    }
    return p;
}

static const uint8_t *number(const struct text *t, const uint8_t *p)
{
    p += byte_at(t, p) == '-';
    p = byte_at(t, p) == '0' ? p + 1 : digits(t, p);
    if (p != NULL && byte_at(t, p) == '.') {
        p = digits(t, p + 1);
    }
    if (p != NULL && (byte_at(t, p) == 'e' || byte_at(t, p) == 'E')) {
        p++;
        p += byte_at(t, p) == '+' || byte_at(t, p) == '-';
        p = digits(t, p);
    }
    return p;
}

static const uint8_t *string(const struct text *t, const uint8_t *p)
{
    if (byte_at(t, p) != '"') {
        return NULL;
    }
    const uint8_t *start = ++p;
    while (byte_at(t, p) != '"') {
        if (byte_at(t, p) < 0x20) { /* a control, or the end */
            return NULL;
        }
        if (*p != '\\') {
            p++;
            continue;
        }
        int escape = byte_at(t, p + 1);
        p += 2;
        if (escape == 'u') {
            for (int i = 0; i < 4; i++) {
                if (!is_hex(byte_at(t, p))) {
                    return NULL;
                }
                p++;
            }
        } else if (escape <= 0 || strchr("\"\\/bfnrt", escape) == NULL) {
            return NULL;
        }
    }
    return utf8_valid(span_of(start, (size_t)(p - start))) ? p + 1 : NULL;
}

static const uint8_t *word(const struct text *t, const uint8_t *p, const char *letters)
{
    for (; *letters != '\0'; letters++, p++) {
        if (byte_at(t, p) != *letters) {
            return NULL;
        }
    }
    return p;
}

static const uint8_t *value(const struct text *t, const uint8_t *p, unsigned depth)
{
    int first = byte_at(t, p);
    if (first != '{' && first != '[') {
        return first == '"'   ? string(t, p)
               : first == 't' ? word(t, p, "true")
               : first == 'f' ? word(t, p, "false")
               : first == 'n' ? word(t, p, "null")
                              : number(t, p);
    }
    int close = first == '{' ? '}' : ']';
    if (depth == t->depth_max) {
        return NULL;
    }
    p = spaces(t, p + 1);
    if (byte_at(t, p) == close) {
        return p + 1;
    }
    for (;;) {
        if (first == '{') {
            p = string(t, spaces(t, p));
            p = p != NULL ? spaces(t, p) : NULL;
            if (p == NULL || byte_at(t, p) != ':') {
                return NULL;
            }
            p++;
        }
        p = value(t, spaces(t, p), depth + 1);
        if (p == NULL) {
            return NULL;
        }
        p = spaces(t, p);
        if (byte_at(t, p) == close) {
            return p + 1;
        }
        if (byte_at(t, p) != ',') {
            return NULL;
        }
        p = spaces(t, p + 1);
    }
}

bool reference_json(struct span bytes, unsigned depth_max)
{
    struct text t = {bytes.data + bytes.size, depth_max};
    const uint8_t *p = value(&t, spaces(&t, bytes.data), 0);
    return p != NULL && spaces(&t, p) == t.end;
}

/* ---- MessagePack: bytes left over, or -1 -------------------------------------------------------
 */

static uint64_t big_endian(const uint8_t *p, size_t size)
{
    uint64_t number = 0;
    while (size-- > 0) {
        number = number << 8 | *p++;
    }
    return number;
}

static bool is_timestamp(const uint8_t *p, uint64_t size)
{
    switch (size) {
    case 4:
        return true;
    case 8:
        return big_endian(p, 8) >> 34 <= 999999999;
    case 12:
        return big_endian(p, 4) <= 999999999;
    default:
        return false;
    }
}

struct form {
    size_t length_bytes; /* of the size or count behind the first byte */
    uint64_t fixed;      /* the size or count, when there are none */
    char kind;           /* n plain bytes, s string, e extension, a array, m map */
};

static bool form_of(uint8_t first, struct form *out)
{
    static const struct form FORMS[] = {
        /* c0 */ {0, 0, 'n'}, {0, 0, 0},   {0, 0, 'n'}, {0, 0, 'n'},
        /* c4 */ {1, 0, 'n'}, {2, 0, 'n'}, {4, 0, 'n'},
        /* c7 */ {1, 0, 'e'}, {2, 0, 'e'}, {4, 0, 'e'},
        /* ca */ {0, 4, 'n'}, {0, 8, 'n'},
        /* cc */ {0, 1, 'n'}, {0, 2, 'n'}, {0, 4, 'n'}, {0, 8, 'n'},
        /* d0 */ {0, 1, 'n'}, {0, 2, 'n'}, {0, 4, 'n'}, {0, 8, 'n'},
        /* d4 */ {0, 1, 'e'}, {0, 2, 'e'}, {0, 4, 'e'}, {0, 8, 'e'}, {0, 16, 'e'},
        /* d9 */ {1, 0, 's'}, {2, 0, 's'}, {4, 0, 's'},
        /* dc */ {2, 0, 'a'}, {4, 0, 'a'},
        /* de */ {2, 0, 'm'}, {4, 0, 'm'},
    };
    if (first < 0x80 || first >= 0xe0) {
        *out = (struct form){0, 0, 'n'};
    } else if (first < 0x90) {
        *out = (struct form){0, first & 15u, 'm'};
    } else if (first < 0xa0) {
        *out = (struct form){0, first & 15u, 'a'};
    } else if (first < 0xc0) {
        *out = (struct form){0, first & 31u, 's'};
    } else {
        *out = FORMS[first - 0xc0];
    }
    return out->kind != 0;
}

static const uint8_t *pass(const uint8_t *p, const uint8_t *end, unsigned depth)
{
    struct form form;
    if (p == end || !form_of(*p++, &form) || (size_t)(end - p) < form.length_bytes) {
        return NULL;
    }
    uint64_t count = form.length_bytes > 0 ? big_endian(p, form.length_bytes) : form.fixed;
    p += form.length_bytes;
    if (form.kind == 'a' || form.kind == 'm') {
        if (depth == 0) {
            return NULL;
        }
        count = form.kind == 'm' ? 2 * count : count;
        while (p != NULL && count-- > 0) {
            p = pass(p, end, depth - 1);
        }
        return p;
    }
    uint64_t size = form.kind == 'e' ? count + 1 : count;
    if ((uint64_t)(end - p) < size || (form.kind == 's' && !utf8_valid(span_of(p, size))) ||
        (form.kind == 'e' && *p == 0xff && !is_timestamp(p + 1, count))) {
        return NULL;
    }
    return p + size;
}

bool reference_msgpack(struct span bytes, unsigned depth_max)
{
    const uint8_t *end = bytes.data + bytes.size;
    return pass(bytes.data, end, depth_max) == end;
}
