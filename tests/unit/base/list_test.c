/*
 * list_test.c - items join at either end, leave from anywhere, and the list agrees with itself.
 */
#include "penstock/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct item {
    char name;
    struct {
        struct item *previous, *next;
    } line, other;
};

struct items {
    struct item *first, *last;
};

/* The names, forwards; backwards it is the same. */
static void expect(const struct items *items, const char *names)
{
    size_t count = strlen(names), at = 0;
    for (const struct item *item = items->first; item != NULL; item = item->line.next) {
        assert_true(at < count && item->name == names[at++]);
    }
    assert_int_equal(at, count);
    for (const struct item *item = items->last; item != NULL; item = item->line.previous) {
        assert_true(at > 0 && item->name == names[--at]);
    }
    assert_int_equal(at, 0);
}

/* Who appends is last, who prepends is first. */
static void items_join_at_both_ends(void **state)
{
    (void)state;
    struct items items = {0};
    struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    expect(&items, "");
    list_append(&items, &b, line);
    expect(&items, "b");
    list_append(&items, &c, line);
    list_prepend(&items, &a, line);
    expect(&items, "abc");
}

/* From the front, the middle, the back, and the only one; who left may come again. */
static void items_leave_from_anywhere(void **state)
{
    (void)state;
    struct items items = {0};
    struct item all[4];
    for (unsigned i = 0; i < 4; i++) {
        all[i].name = (char)('a' + i);
        list_append(&items, &all[i], line);
    }
    list_remove(&items, &all[1], line);
    expect(&items, "acd");
    list_remove(&items, &all[3], line);
    expect(&items, "ac");
    list_remove(&items, &all[0], line);
    expect(&items, "c");
    list_prepend(&items, &all[3], line);
    expect(&items, "dc");
    list_remove(&items, &all[3], line);
    list_remove(&items, &all[2], line);
    expect(&items, "");
    list_prepend(&items, &all[1], line);
    expect(&items, "b");
}

/* An item may be in several lists, by a link for each. */
static void lists_do_not_meddle(void **state)
{
    (void)state;
    struct items items = {0}, others = {0};
    struct item a = {.name = 'a'}, b = {.name = 'b'};
    list_append(&items, &a, line);
    list_append(&items, &b, line);
    list_prepend(&others, &a, other);
    list_prepend(&others, &b, other);
    list_remove(&others, &a, other);
    expect(&items, "ab");
    assert_ptr_equal(others.first, &b);
    assert_ptr_equal(others.last, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_join_at_both_ends),
        cmocka_unit_test(items_leave_from_anywhere),
        cmocka_unit_test(lists_do_not_meddle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
