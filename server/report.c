/* report.c - see report.h. */
#include "report.h"

#include "commands.h"

#include <stdio.h>

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

static void print_json(const struct report *report, enum finding_level level, const char *what,
                       const char *detail, const char *mend)
{
    printf("%s\n{\"level\":\"%s\",\"what\":", report->findings == 0 ? "" : ",", levels[level].json);
    print_string(what);
    fputs(",\"detail\":", stdout);
    print_string(detail);
    if (mend != NULL) {
        fputs(",\"mend\":", stdout);
        print_string(mend);
    }
    putchar('}');
}

void report_add(struct report *report, enum finding_level level, const char *what,
                const char *detail, const char *mend)
{
    if (level == FINDING_FAIL || (level == FINDING_NOTE && report->is_strict)) {
        report->failed++;
    }
    if (report->as_json) {
        print_json(report, level, what, detail, mend);
    } else {
        printf("%-4s  %s%s%s\n", levels[level].word, what, *detail == '\0' ? "" : ": ", detail);
        if (mend != NULL) {
            printf("      mend: %s\n", mend);
        }
    }
    report->findings++;
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
