/* arguments.c - see arguments.h. */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

bool take_switch(int *argc, char **argv, const char *name)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], name) != 0) {
            argv[kept++] = argv[i];
        }
    }
    bool found = kept < *argc;
    *argc = kept;
    return found;
}

bool take_value(int *argc, char **argv, const char *name, const char **out)
{
    size_t size = strlen(name);
    int kept = 0;
    bool whole = true;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            *out = argv[i] + size + 1;
        } else if (strcmp(argv[i], name) == 0) {
            whole = whole && i + 1 < *argc && strncmp(argv[i + 1], "--", 2) != 0;
            *out = whole ? argv[++i] : *out;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    if (!whole || (*out != NULL && **out == '\0')) {
        fprintf(stderr, "penstock: %s needs a value\n", name);
        return false;
    }
    return true;
}

bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}
