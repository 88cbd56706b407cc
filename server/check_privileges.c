/* check_privileges.c - see check_privileges.h; what is needed, store/privileges.c knows. */
#include "check_privileges.h"

struct privilege_check {
    struct report *report;
    const char *what;
    enum finding_level level;
};

static enum status on_privilege(void *owner, const char *what, const char *mend,
                                struct problem *problem)
{
    (void)problem;
    struct privilege_check *check = owner;
    report_add(check->report, check->level, check->what, what, mend);
    return STATUS_OK;
}

void check_privileges(struct report *report, const struct settings *settings, const char *role,
                      struct store *store, const char *what, enum privilege_kind last)
{
    static const enum finding_level levels[] = {
        [PRIVILEGE_MISSING] = FINDING_FAIL,
        [PRIVILEGE_ROW_SECURITY] = FINDING_FAIL,
        [PRIVILEGE_SURPLUS] = FINDING_NOTE,
    };
    const char *tables[STREAMS_MAX];
    for (size_t i = 0; i < settings->stream_count; i++) {
        tables[i] = settings->streams[i].table;
    }
    unsigned failed = report->failed;
    for (int kind = PRIVILEGE_MISSING; kind <= (int)last; kind++) {
        struct privilege_check check = {report, what, levels[kind]};
        struct problem problem;
        problem_clear(&problem);
        if (store_compare_privileges(store, (enum privilege_kind)kind, role, tables,
                                     settings->stream_count, on_privilege, &check,
                                     &problem) != STATUS_OK) {
            report_add(report, FINDING_FAIL, what, problem.text, NULL);
        }
    }
    if (report->failed == failed) {
        report_add(report, FINDING_OK, what, "all that is needed", NULL);
    }
}
