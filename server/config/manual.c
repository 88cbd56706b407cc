/*
 * manual.c - the manual page penstock.conf(5), made from the table: roff source (man(7)), which the
 * build writes to a file and installs.
 */
#include "reference.h"

#include <ctype.h>
#include <stdio.h>

/* Text as roff takes it: '\' and '-' have meanings of their own, and so have '.' and ''' where a
 * line begins (groff_char(7)). */
static void print_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'') {
        fputs("\\&", out);
    }
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
    }
}

static void print_heading(FILE *out, const char *group)
{
    fputs(".SH ", out);
    fputc('"', out);
    for (; *group != '\0'; group++) {
        fputc(toupper((unsigned char)*group), out);
    }
    fputs("\"\n", out);
}

static void print_key(FILE *out, const struct key *key)
{
    char bounds[128];
    bounds_format(key, bounds, sizeof bounds);
    fprintf(out, ".TP\n.B %s\n", key->name);
    print_roff(out, key->help);
    fputs("\n.br\n", out);
    print_roff(out, bounds);
    fputs("; default ", out);
    print_roff(out, *key->value == '\0' ? "empty" : key->value);
    fputs(key->is_live ? "; changes on reload.\n" : ".\n", out);
}

static const char head[] =
    ".TH PENSTOCK.CONF 5 \"\" \"Penstock " PENSTOCK_VERSION "\" \"Penstock\"\n"
    ".SH NAME\n"
    "penstock.conf \\- settings and streams of the Penstock server\n"
    ".SH DESCRIPTION\n"
    "A file of\n.IR key \" = \" value\nlines and of streams. A line that begins with # is a "
    "comment.\n"
    "A key\n.B batch_rows\nis also\n.B PENSTOCK_BATCH_ROWS\nin the environment, which goes before "
    "the file, and the flag\n.BR \\-\\-batch\\-rows ,\nwhich goes before both.\n"
    "Texts stand in double quotes, where \"${NAME}\" is replaced by an environment variable.\n"
    "Sizes take KB, MB, GB and TB, which count in 1024s.\n"
    ".PP\n"
    "An unknown key, a value out of its bounds and a syntax error are reported with file and "
    "line,\nand the server does not start.\n"
    "On SIGHUP the file is read again: all of it is taken, or, when anything is wrong with it, "
    "nothing.\n";

static const char streams[] =
    ".SH STREAMS\n"
    "A stream is a name for a table, and at least one is needed. Columns, types, defaults and "
    "rules\nare read from the database.\n"
    ".PP\n.RS\n.nf\n"
    "stream \"behavior\" {\n"
    "    table = \"BehaviorLog\"\n"
    "    channels = {\"user:{userId}\", \"stream:behavior\"}\n"
    "}\n"
    ".fi\n.RE\n"
    ".TP\n.B table\nThe table, as schema.Name or Name, exactly as the catalog has it.\n"
    ".TP\n.B channels\nWho hears of an event; {name} is replaced by the event's column. A channel "
    "whose column\nis null is left out for that event.\n"
    ".SH SEE ALSO\n.BR penstock (1)\n";

void settings_print_manual(void *stdio_file)
{
    FILE *out = stdio_file;
    fputs(head, out);
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        if (key_heading(i) != NULL) {
            print_heading(out, key_heading(i));
        }
        print_key(out, key);
    }
    fputs(streams, out);
}
