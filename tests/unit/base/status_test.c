/* Statuses have words and classes; problems keep one sentence, whole and in UTF-8. */
#include "penstock/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

/* Every status has a word of its own, in the form that the protocol uses, and a class. */
static void every_status_has_its_word(void **state)
{
    (void)state;
    const char *words[64];
    int count = 0;
    for (; count <= STATUS_JOURNAL_FAILED; count++) {
        words[count] = status_word((enum status)count);
        assert_int_equal(strspn(words[count], "abcdefghijklmnopqrstuvwxyz_"), strlen(words[count]));
        for (int i = 0; i < count; i++) {
            assert_string_not_equal(words[i], words[count]);
        }
        assert_int_equal(status_class((enum status)count) == CLASS_SUCCESS, count == STATUS_OK);
    }
    assert_string_equal(status_word(STATUS_INVALID_EVENT), "invalid_event");
    assert_int_equal(status_class(STATUS_OVERLOADED), CLASS_WAIT);
    assert_int_equal(status_class(STATUS_JOURNAL_FAILED), CLASS_STOP);
}

/* A number that is no status (from a journal of a newer version, say) is answered, not looked up.
 */
static void a_foreign_number_is_internal(void **state)
{
    (void)state;
    assert_string_equal(status_word((enum status)200), "internal");
    assert_int_equal(status_class((enum status)200), CLASS_OURS);
}

/* Setting a problem forgets what an earlier one said about index, field and time. */
static void set_begins_anew(void **state)
{
    (void)state;
    struct problem p = {.index = 7, .retry_after_ms = 9, .field = "f", .text = "old"};
    assert_int_equal(problem_set(&p, STATUS_IO, "disk %d is %s", 3, "gone"), STATUS_IO);
    assert_int_equal(p.status, STATUS_IO);
    assert_int_equal(p.index, -1);
    assert_int_equal(p.retry_after_ms, 0);
    assert_string_equal(p.field, "");
    assert_string_equal(p.text, "disk 3 is gone");
    problem_clear(&p);
    assert_int_equal(p.status, STATUS_OK);
    assert_int_equal(p.index, -1);
    assert_string_equal(p.text, "");
}

/* The new sentence may quote the old one. */
static void set_may_quote_itself(void **state)
{
    (void)state;
    struct problem p;
    problem_set(&p, STATUS_IO, "inner");
    problem_set(&p, STATUS_INTERNAL, "outer (%s)", p.text);
    assert_string_equal(p.text, "outer (inner)");
}

/* Context goes before the text, level by level, and changes nothing else. */
static void context_goes_before(void **state)
{
    (void)state;
    struct problem p;
    problem_set(&p, STATUS_IO, "no space");
    p.index = 4;
    problem_context(&p, "segment %d", 12);
    problem_context(&p, "lane 0");
    assert_string_equal(p.text, "lane 0: segment 12: no space");
    assert_int_equal(p.status, STATUS_IO);
    assert_int_equal(p.index, 4);
}

static void expect_cut(const struct problem *p, const char *rune, size_t lead)
{
    size_t size = strlen(p->text), rune_size = strlen(rune);
    assert_true(size < sizeof p->text && size + rune_size >= sizeof p->text);
    assert_int_equal((size - lead) % rune_size, 0);
    for (size_t at = lead; at < size; at += rune_size) {
        assert_memory_equal(p->text + at, rune, rune_size);
    }
}

/* A sentence that is too long is cut between runes of any length, wherever the cut falls, by set as
 * by context: the text goes to clients as JSON. */
static void a_cut_never_splits_a_rune(void **state)
{
    (void)state;
    static const char *const runes[] = {"a", "é", "ừ", "😀"};
    for (size_t r = 0; r < 4; r++) {
        char text[900] = "";
        while (strlen(text) + strlen(runes[r]) < sizeof text) {
            strcat(text, runes[r]);
        }
        for (size_t lead = 0; lead < 5; lead++) {
            struct problem p;
            problem_set(&p, STATUS_IO, "%.*s%s", (int)lead, "-----", text);
            expect_cut(&p, runes[r], lead);
            problem_context(&p, "%.*s", (int)lead, "+++++");
            expect_cut(&p, runes[r], lead + lead + 2);
            problem_set(&p, STATUS_IO, "rest");
            problem_context(&p, "%.*s%s", (int)lead, "-----", text);
            p.text[strcspn(p.text, ":")] = '\0'; /* what is left of ": rest" */
            expect_cut(&p, runes[r], lead);
        }
    }
}

/* What just fits is not cut. */
static void what_fits_stays_whole(void **state)
{
    (void)state;
    struct problem p;
    char text[sizeof p.text];
    memset(text, 'x', sizeof text - 1);
    memcpy(text + sizeof text - 4, "ừ", 4);
    problem_set(&p, STATUS_IO, "%s", text);
    assert_string_equal(p.text, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_word), cmocka_unit_test(a_foreign_number_is_internal),
        cmocka_unit_test(set_begins_anew),           cmocka_unit_test(set_may_quote_itself),
        cmocka_unit_test(context_goes_before),       cmocka_unit_test(a_cut_never_splits_a_rune),
        cmocka_unit_test(what_fits_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
