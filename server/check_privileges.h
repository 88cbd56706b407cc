/* check_privileges.h - what `penstock check` says of the role's privileges. */
#ifndef SERVER_CHECK_PRIVILEGES_H
#define SERVER_CHECK_PRIVILEGES_H

#include "report.h"

#include "penstock/config.h"
#include "penstock/store.h"

/* Adds findings of the kinds up to `last`, named `what`; one that says so when nothing fails.
 * `role` NULL: this connection's. */
void check_privileges(struct report *report, const struct settings *settings, const char *role,
                      struct store *store, const char *what, enum privilege_kind last);

#endif
