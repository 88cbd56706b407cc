/* accounts.c - see accounts.h. */
#include "accounts.h"

#include "penstock/stream.h"

#include <stdio.h>
#include <stdlib.h>

struct named_account {
    char name[NAME_BYTES_MAX + 1];
    struct stream_account account;
};

struct accounts {
    struct named_account *all[ACCOUNTS_MAX]; /* owns */
    size_t count;
};

struct accounts *accounts_create(void)
{
    return calloc(1, sizeof(struct accounts));
}

void accounts_destroy(struct accounts *accounts)
{
    if (accounts == NULL) {
        return;
    }
    while (accounts->count > 0) {
        free(accounts->all[--accounts->count]);
    }
    free(accounts);
}

struct stream_account *accounts_find(struct accounts *accounts, const char *name)
{
    for (size_t i = 0; i < accounts->count; i++) {
        if (strcmp(accounts->all[i]->name, name) == 0) {
            return &accounts->all[i]->account;
        }
    }
    if (accounts->count == ACCOUNTS_MAX) {
        return NULL;
    }
    struct named_account *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    snprintf(made->name, sizeof made->name, "%s", name);
    accounts->all[accounts->count++] = made;
    return &made->account;
}
