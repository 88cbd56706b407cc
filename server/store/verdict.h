/*
 * verdict.h - what an error of PostgreSQL means for a batch. Pure. Private to store/.
 *
 * SQLSTATEs are those of the PostgreSQL manual, appendix A.
 */
#ifndef PENSTOCK_STORE_VERDICT_H
#define PENSTOCK_STORE_VERDICT_H

#include <stdbool.h>

enum verdict {
    VERDICT_DATA,     /* a row is at fault: set it apart, store the others */
    VERDICT_DRIFT,    /* the table is not what the rows were made for; each row may be at fault */
    VERDICT_OPERATOR, /* a table or a privilege is missing: may be mended any moment; wait a while
                       */
    VERDICT_RETRY,    /* nothing to do with the rows: the same again, a little later */
};

/* `sqlstate`: five characters, or "" where libpq has none (the connection broke). */
enum verdict verdict_of(const char *sqlstate);

/* Is this about the server as a whole (resources, its files, its end) rather than one statement? */
bool verdict_is_of_server(const char *sqlstate);

#endif
