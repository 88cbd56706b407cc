/* reference.c - `penstock reference`: every setting, as a configuration file or a manual page. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

static const char HELP[] =
    "usage: penstock reference [--man]\n"
    "\n"
    "Prints every setting with its unit, bounds and default, as a configuration file in which all\n"
    "lines are comments.\n"
    "\n"
    "  --man   as the manual page penstock.conf(5), for man -l\n";

int reference_command(int argc, char **argv)
{
    if (argc == 0) {
        settings_print_reference(stdout);
        return 0;
    }
    if (argc == 1 && strcmp(argv[0], "--man") == 0) {
        settings_print_manual(stdout);
        return 0;
    }
    bool is_help = strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0;
    fputs(is_help ? HELP : "penstock: reference takes --man, or nothing\n",
          is_help ? stdout : stderr);
    return is_help ? 0 : EXIT_USAGE;
}
