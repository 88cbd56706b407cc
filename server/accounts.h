/*
 * accounts.h - what is counted for each stream, by its name: a stream that a reload takes away and
 * another brings back counts on. An account stays where it is until accounts_destroy(), because
 * lanes still commit what a stream took before it went.
 *
 * Thread: one at a time; what is in an account is anybody's.
 */
#ifndef SERVER_ACCOUNTS_H
#define SERVER_ACCOUNTS_H

#include "penstock/base.h"

/* Names in the life of a process: beyond it, a reload with yet another stream is refused. */
#define ACCOUNTS_MAX 1024

struct accounts;
struct accounts *accounts_create(void); /* NULL: no memory */
void accounts_destroy(struct accounts *accounts);
/* The account of this name, made when there is none; NULL: no memory, or ACCOUNTS_MAX are there. */
struct stream_account *accounts_find(struct accounts *accounts, const char *name);

#endif
