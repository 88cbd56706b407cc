/* members_test.c - who is where, by channel and by node. */
#include "members.h"

#include "penstock/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST 1000

static struct members members;
static struct roster rosters[3]; /* members_fini() still takes what is left out of them */
static struct problem problem;

static int start(void **state)
{
    (void)state;
    memset(rosters, 0, sizeof rosters);
    assert_int_equal(members_init(&members, MOST, &problem), STATUS_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    members_fini(&members);
    return 0;
}

static const uint8_t *session(unsigned number)
{
    static uint8_t id[BUS_SESSION_BYTES];
    memcpy(id, &number, sizeof number);
    return id;
}

static struct span channel(unsigned number)
{
    static char name[32];
    snprintf(name, sizeof name, "room:%u", number);
    return span_string(name);
}

static struct member *add(struct roster *roster, unsigned room, unsigned who)
{
    return members_add(&members, roster, channel(room), session(who), span_string("ann"));
}

/* A session may be on several channels, a channel may have members of several nodes; each is found
 * by both names, and gone when it is removed. */
static void members_are_found(void **state)
{
    (void)state;
    struct roster *left = &rosters[0], *right = &rosters[1];
    assert_non_null(add(left, 1, 7));
    assert_non_null(add(left, 2, 7));
    assert_non_null(add(right, 1, 8));
    struct member *found = members_find(&members, channel(1), session(8));
    assert_ptr_equal(found->roster, right);
    assert_true(span_is(member_user(found), "ann"));
    assert_null(members_find(&members, channel(2), session(8)));
    assert_null(members_find(&members, channel(3), session(7)));
    assert_int_equal(members_at(&members, channel(1))->count, 2);
    assert_int_equal(left->count, 2);
    members_remove(&members, found);
    assert_null(members_find(&members, channel(1), session(8)));
    assert_int_equal(members_at(&members, channel(1))->count, 1);
    assert_int_equal(right->count, 0);
    members_remove(&members, members_find(&members, channel(1), session(7)));
    assert_null(members_at(&members, channel(1)));
    assert_int_equal(members.count, 1);
}

/* The digest says which members a roster has, and not how it came to them. */
static void equal_rosters_have_equal_digests(void **state)
{
    (void)state;
    struct roster *one = &rosters[0], *other = &rosters[1];
    for (unsigned i = 0; i < 100; i++) {
        assert_non_null(add(one, i % 10, i));
    }
    uint64_t digest = one->digest;
    assert_int_not_equal(digest, 0);
    members_remove(&members, members_find(&members, channel(3), session(33)));
    assert_int_not_equal(one->digest, digest);
    while (one->all.first != NULL) {
        members_remove(&members, one->all.first);
    }
    assert_int_equal(one->digest, 0);
    for (unsigned i = 100; i-- > 0;) {
        assert_non_null(add(other, i % 10, i));
    }
    assert_int_equal(other->digest, digest);
    assert_int_equal(other->count, 100);
}

/* There are never more than so many, and there is room again when some have gone. */
static void members_are_bounded(void **state)
{
    (void)state;
    struct roster *roster = &rosters[0];
    for (unsigned i = 0; i < MOST; i++) {
        assert_non_null(add(roster, i, i));
    }
    assert_null(add(roster, MOST, MOST));
    assert_null(members_at(&members, channel(MOST)));
    members_remove(&members, roster->all.first);
    assert_non_null(add(roster, MOST, MOST));
    assert_int_equal(members.count, MOST);
}

/* Any order of joins and leaves leaves the tables with those who have joined last and not left. */
static void random_changes_keep_the_tables_right(void **state)
{
    (void)state;
    static bool is_there[20][40];
    uint32_t seed = (uint32_t)clock_unix_us();
    print_message("seed %u\n", seed);
    srand(seed);
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        unsigned room = (unsigned)rand() % 20, who = (unsigned)rand() % 40;
        struct member *member = members_find(&members, channel(room), session(who));
        assert_int_equal(member != NULL, is_there[room][who]);
        if (member != NULL) {
            members_remove(&members, member);
            count--;
        } else {
            assert_non_null(add(&rosters[who % 3], room, who));
            count++;
        }
        is_there[room][who] = !is_there[room][who];
    }
    assert_int_equal(members.count, count);
    assert_int_equal(rosters[0].count + rosters[1].count + rosters[2].count, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_are_found, start, end),
        cmocka_unit_test_setup_teardown(equal_rosters_have_equal_digests, start, end),
        cmocka_unit_test_setup_teardown(members_are_bounded, start, end),
        cmocka_unit_test_setup_teardown(random_changes_keep_the_tables_right, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
