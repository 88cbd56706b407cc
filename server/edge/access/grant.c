/* grant.c - see grant.h. */
#include "access/grant.h"

#include "penstock/config.h"

#include <inttypes.h>
#include <stdio.h>

#define VALUE_BYTES_MAX 512 /* longer ones cannot stand in a channel's name */

/* What is left of a rule and of the name that it is held against, and the byte before both. */
struct match {
    const struct claims *claims;
    struct span rule, name;
    uint8_t before;
};

static bool matches(struct match match);

static struct span skip(struct span span, size_t size)
{
    return span_of(span.data + size, span.size - size);
}

static bool is_separator(uint8_t c)
{
    return c < 0x20 || c == 0x7f || c == '*' || c == ':' || c == '/';
}

/* May this value stand between these two? 0: nothing is there. */
static bool is_contained(struct span value, uint8_t before, uint8_t after)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (is_separator(c) || c == before || c == after) {
            return false;
        }
    }
    return value.size > 0;
}

/* Letters and digits beside a place separate nothing: "u{sub}". */
static uint8_t punctuation(uint8_t c)
{
    bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   c >= 0x80 || c == '{';
    return is_word ? 0 : c;
}

/* The rest of the name, behind one value put in. `match` stands behind the placeholder. */
static bool value_matches(struct match match, const struct value *value)
{
    uint8_t bytes[VALUE_BYTES_MAX];
    struct writer room = writer_of(bytes, sizeof bytes);
    struct span text;
    int64_t whole;
    uint8_t after = match.rule.size > 0 ? punctuation(match.rule.data[0]) : 0;
    if (value->kind == VALUE_STRING) {
        if ((value->flaws & (FLAW_NUL | FLAW_LONE_SURROGATE)) != 0 ||
            !value_text_slice(value, &room, &text)) {
            return false;
        }
    } else if (value_int64(value, &whole)) {
        text = span_of(bytes, (size_t)snprintf((char *)bytes, sizeof bytes, "%" PRId64, whole));
    } else {
        return false;
    }
    if (!is_contained(text, punctuation(match.before), after) || text.size > match.name.size ||
        memcmp(text.data, match.name.data, text.size) != 0) {
        return false;
    }
    match.before = text.data[text.size - 1];
    match.name = skip(match.name, text.size);
    return matches(match);
}

/* `match.rule` begins with a placeholder. */
static bool placeholder_matches(struct match match)
{
    const uint8_t *close = memchr(match.rule.data, '}', match.rule.size);
    struct array_cursor cursor;
    struct value claim, item;
    if (close == NULL) {
        return false;
    }
    size_t size = (size_t)(close - match.rule.data);
    struct span name = span_of(match.rule.data + 1, size - 1);
    match.rule = skip(match.rule, size + 1);
    if (!claims_find(match.claims, name, &claim)) {
        return false;
    }
    if (claim.kind != VALUE_ARRAY) {
        return value_matches(match, &claim);
    }
    array_begin(&claim, &cursor);
    while (array_next(&cursor, &item)) {
        if (value_matches(match, &item)) {
            return true;
        }
    }
    return false;
}

/* Recursion is as deep as the rule has placeholders. */
static bool matches(struct match match)
{
    while (match.rule.size > 0) {
        uint8_t c = match.rule.data[0];
        if (c == '*' && match.rule.size == 1) {
            return true;
        }
        if (c == '{') {
            return placeholder_matches(match);
        }
        if (match.name.size == 0 || match.name.data[0] != c) {
            return false;
        }
        match.before = c;
        match.rule = skip(match.rule, 1);
        match.name = skip(match.name, 1);
    }
    return match.name.size == 0;
}

bool rule_allows(struct span rule, const struct claims *claims, struct span name)
{
    return rule.size > 0 && matches((struct match){claims, rule, name, 0});
}

bool rule_list_allows(const char *list, const struct claims *claims, struct span name)
{
    struct span rule;
    while (settings_list_next(&list, &rule)) {
        if (rule_allows(rule, claims, name)) {
            return true;
        }
    }
    return false;
}

static bool item_allows(const struct value *item, const struct claims *claims, struct span name)
{
    uint8_t bytes[VALUE_BYTES_MAX];
    struct writer room = writer_of(bytes, sizeof bytes);
    struct span rule;
    return item->kind == VALUE_STRING && (item->flaws & (FLAW_NUL | FLAW_LONE_SURROGATE)) == 0 &&
           value_text_slice(item, &room, &rule) && rule_allows(rule, claims, name);
}

bool claim_allows(struct span claim, const struct claims *claims, struct span name)
{
    struct array_cursor cursor;
    struct value value, item;
    if (claim.size == 0 || !claims_find(claims, claim, &value)) {
        return false;
    }
    if (value.kind != VALUE_ARRAY) {
        return item_allows(&value, claims, name);
    }
    array_begin(&value, &cursor);
    while (array_next(&cursor, &item)) {
        if (item_allows(&item, claims, name)) {
            return true;
        }
    }
    return false;
}

bool claim_is_true(struct span claim, const struct claims *claims)
{
    struct value value;
    return claim.size > 0 && claims_find(claims, claim, &value) && value.kind == VALUE_BOOL &&
           value.boolean;
}
