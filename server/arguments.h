/* arguments.h - a command's own flags, taken out before the rest is read as settings. */
#ifndef SERVER_ARGUMENTS_H
#define SERVER_ARGUMENTS_H

#include <stdbool.h>

/* Takes every "--name" out of the arguments; was there one? */
bool take_switch(int *argc, char **argv, const char *name);
/* Takes "--name VALUE" and "--name=VALUE" out; the last one counts, and without any `*out` stays as
 * it is. False, after it was said, when the value is missing. */
bool take_value(int *argc, char **argv, const char *name, const char **out);
bool wants_help(int argc, char **argv); /* --help or -h */

#endif
