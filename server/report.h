/*
 * report.h - what a check has found: as lines for a person, or as one JSON object for a program.
 *
 *   ok    PostgreSQL: connected
 *   note  role app: app may UPDATE on public."Order"
 *         mend: REVOKE UPDATE ON public."Order" FROM app
 *   FAIL  …
 *
 *   {"findings":[{"level":"ok","what":"PostgreSQL","detail":"connected"},
 *     {"level":"fail","what":…,"detail":…,"mend":"GRANT …"}],"ok":false}
 *
 * Thread: main.
 */
#ifndef SERVER_REPORT_H
#define SERVER_REPORT_H

#include "penstock/status.h"

enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_FAIL };

struct report {
    bool as_json;
    bool is_strict; /* notes fail, too */
    unsigned findings, failed;
};

/* What a finding may say of itself beyond level, subject and sentence. */
struct finding {
    enum finding_level level;
    const char *what, *detail;
    const char *mend;                      /* as below */
    const char *id, *kind, *place, *where; /* for programs; NULL: not said */
    const char *plan;                      /* on several lines; NULL: none */
};

void report_open(struct report *report, bool as_json, bool is_strict);
/* `mend` is the statement or change that mends it, or NULL. */
void report_add(struct report *report, enum finding_level level, const char *what,
                const char *detail, const char *mend);
void report_finding(struct report *report, const struct finding *finding);
/* OK with `detail`, or FAIL with the problem's text, which is emptied for the next. */
bool report_status(struct report *report, enum status status, const char *what, const char *detail,
                   struct problem *problem);
/* The last line; returns the process's exit code. */
int report_close(struct report *report);

#endif
