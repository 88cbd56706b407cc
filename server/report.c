/* report.c - see report.h. */
#include "report.h"

#include "commands.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *word, *json;
} levels[] = {
    [FINDING_OK] = {"ok", "ok"},
    [FINDING_NOTE] = {"note", "note"},
    [FINDING_FAIL] = {"FAIL", "fail"},
};

static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            printf("\\%c", byte);
        } else if (byte < 0x20) {
            printf("\\u%04x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('"');
}

void report_open(struct report *report, bool as_json, bool is_strict)
{
    *report = (struct report){.as_json = as_json, .is_strict = is_strict};
    if (as_json) {
        fputs("{\"findings\":[", stdout);
    }
}

static void print_member(const char *key, const char *text)
{
    if (text != NULL) {
        printf(",\"%s\":", key);
        print_string(text);
    }
}

static void print_json(const struct report *report, const struct finding *finding)
{
    printf("%s\n{\"level\":\"%s\",\"what\":", report->findings == 0 ? "" : ",",
           levels[finding->level].json);
    print_string(finding->what);
    fputs(",\"detail\":", stdout);
    print_string(finding->detail);
    print_member("mend", finding->mend);
    print_member("id", finding->id);
    print_member("kind", finding->kind);
    print_member("place", finding->place);
    print_member("where", finding->where);
    print_member("plan", finding->plan);
    putchar('}');
}

static void print_plan(const char *plan)
{
    while (*plan != '\0') {
        size_t size = strcspn(plan, "\n");
        printf("      plan: %.*s\n", (int)size, plan);
        plan += size + (plan[size] == '\n');
    }
}

static void print_text(const struct finding *finding)
{
    printf("%-4s  %s%s%s\n", levels[finding->level].word, finding->what,
           *finding->detail == '\0' ? "" : ": ", finding->detail);
    if (finding->plan != NULL) {
        print_plan(finding->plan);
    }
    if (finding->mend != NULL) {
        printf("      mend: %s\n", finding->mend);
    }
}

void report_finding(struct report *report, const struct finding *finding)
{
    if (finding->level == FINDING_FAIL || (finding->level == FINDING_NOTE && report->is_strict)) {
        report->failed++;
    }
    if (report->as_json) {
        print_json(report, finding);
    } else {
        print_text(finding);
    }
    report->findings++;
}

void report_add(struct report *report, enum finding_level level, const char *what,
                const char *detail, const char *mend)
{
    struct finding finding = {.level = level, .what = what, .detail = detail, .mend = mend};
    report_finding(report, &finding);
}

bool report_status(struct report *report, enum status status, const char *what, const char *detail,
                   struct problem *problem)
{
    report_add(report, status == STATUS_OK ? FINDING_OK : FINDING_FAIL, what,
               status == STATUS_OK ? detail : problem->text, NULL);
    problem_clear(problem);
    return status == STATUS_OK;
}

int report_close(struct report *report)
{
    if (report->as_json) {
        printf("\n],\"ok\":%s}\n", report->failed == 0 ? "true" : "false");
    } else if (report->failed > 0) {
        printf("%u finding%s to mend\n", report->failed, report->failed == 1 ? "" : "s");
    } else {
        printf("all is well\n");
    }
    return report->failed > 0 ? EXIT_FAILED : 0;
}
