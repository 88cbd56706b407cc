/*
 * grant.h - does a rule, with the claims of a token put in, allow a name?
 *
 *   user:{sub}     user:u1 for the token whose `sub` is "u1", and nothing else
 *   group:{groups} one for each element, where the claim is an array
 *   news:*         whatever begins so; * stands for the rest, at the end only
 *
 * What is put in is compared as it stands and is never a pattern. A value that could reach into
 * another name is not put in at all: one with a control character, `*`, `:` or `/`, or with the
 * character that stands beside its place. So of "user:{sub}", no `sub` makes "user:u1:private" or
 * "user:*". Only texts and whole numbers are put in.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_GRANT_H
#define PENSTOCK_EDGE_GRANT_H

#include "penstock/auth.h"
#include "penstock/wire.h"

bool rule_allows(struct span rule, const struct claims *claims, struct span name);
/* Rules between commas, of the configuration. */
bool rule_list_allows(const char *list, const struct claims *claims, struct span name);
/* Rules that the token brings: the claim is a text, or an array of them. */
bool claim_allows(struct span claim, const struct claims *claims, struct span name);
/* The claim is there and `true`, as JSON has it: no text, no number. */
bool claim_is_true(struct span claim, const struct claims *claims);

#endif
