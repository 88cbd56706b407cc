/* options.c - see options.h. */
#include "options.h"

#include "penstock/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool option_number(const char *flag, const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < least ||
        number > most) {
        fprintf(stderr, "penstock: --%s \"%s\": give a whole number from %llu to %llu\n", flag,
                text, (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *out = number;
    return true;
}

static bool read_all(const struct options *options, int argc, char **argv, void *owner,
                     int *out_exit)
{
    int option;
    optind = 0; /* GNU: begin anew */
    while ((option = getopt_long(argc, argv, "h", options->known, NULL)) != -1) {
        if (option == 'h') {
            fputs(options->help, stdout);
            *out_exit = CLIENT_DONE;
            return false;
        }
        if (!options->read_option(option, optarg, owner)) {
            return false;
        }
    }
    return options->read_names(argc - optind, argv + optind, owner);
}

bool options_read(const struct options *options, int argc, char **argv, void *owner, int *out_exit)
{
    char **named = calloc((size_t)argc + 2, sizeof *named);
    if (named == NULL) {
        fprintf(stderr, "penstock: no memory for the arguments\n");
        *out_exit = CLIENT_FAILED;
        return false;
    }
    named[0] = (char *)options->command; /* getopt_long() wants a name there, and only prints it */
    for (int i = 0; i < argc; i++) {
        named[i + 1] = argv[i];
    }
    *out_exit = CLIENT_USAGE;
    bool ok = read_all(options, argc + 1, named, owner, out_exit);
    free(named);
    return ok;
}
