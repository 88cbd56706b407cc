/* folder_test.c - folders that survive a power cut. */
#include "penstock/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder is made for its owner alone; one that is there is fine, also inside a folder that we may
 * not read. */
static void a_folder_is_made_once(void **state)
{
    (void)state;
    char parent[] = "/tmp/penstock-folder-XXXXXX", path[64];
    struct stat stat_of;
    assert_non_null(mkdtemp(parent));
    snprintf(path, sizeof path, "%s/one", parent);
    assert_int_equal(folder_create(path), 0);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
    assert_int_equal(folder_create(path), 0);
    assert_int_equal(chmod(parent, 0100), 0);
    assert_int_equal(folder_create(path), 0);
    assert_int_equal(chmod(parent, 0700), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(parent), 0);
}

/* What cannot be made says why. */
static void a_folder_that_cannot_be_made_says_why(void **state)
{
    (void)state;
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(folder_create("/proc/no-such-folder/one"), ENOENT);
    assert_int_equal(folder_create(longest), ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_made_once),
        cmocka_unit_test(a_folder_that_cannot_be_made_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
