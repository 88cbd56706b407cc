/*
 * reference.c - what people read about the settings, made from the table: --help, and the commented
 * configuration file (deploy/penstock.conf.example is its output, and a test compares the two).
 */
#include "reference.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_COLUMNS = 96 };

/* Prints sentences wrapped at TEXT_COLUMNS, each line behind `prefix`. */
static void print_wrapped(FILE *out, const char *prefix, const char *text)
{
    size_t room = TEXT_COLUMNS - strlen(prefix);
    while (*text != '\0') {
        size_t size = strlen(text);
        if (size > room) {
            size = room;
            while (size > 0 && text[size] != ' ') {
                size--;
            }
        }
        fprintf(out, "%s%.*s\n", prefix, (int)size, text);
        text += size;
        text += *text == ' ';
    }
}

void bounds_format(const struct key *key, char *out, size_t size)
{
    char least[32], most[32];
    int length = 0;
    switch (key->type) {
    case KEY_TEXT:
        snprintf(out, size, "text");
        break;
    case KEY_SWITCH:
        snprintf(out, size, "true or false");
        break;
    case KEY_CHOICE:
        for (size_t i = 0; i < 4 && key->choices[i] != NULL; i++) {
            bool is_last = i == 3 || key->choices[i + 1] == NULL;
            length += snprintf(out + length, size - (size_t)length, "%s%s",
                               i == 0    ? ""
                               : is_last ? " or "
                                         : ", ",
                               key->choices[i]);
        }
        break;
    case KEY_NUMBER:
        snprintf(out, size, "%" PRIu64 " to %" PRIu64, key->least, key->most);
        break;
    case KEY_SIZE:
        size_format(key->least, least);
        size_format(key->most, most);
        snprintf(out, size, "%s to %s%s", least, most,
                 key->is_power_of_two ? ", a power of two" : "");
        break;
    }
}

static void print_flag(FILE *out, const struct key *key)
{
    fprintf(out, "  --");
    for (const char *at = key->name; *at != '\0'; at++) {
        fputc(*at == '_' ? '-' : *at, out);
    }
    fprintf(out, " %s\n", key->unit);
}

void settings_print_help(void *stdio_file)
{
    FILE *out = stdio_file;
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        char bounds[128];
        bounds_format(key, bounds, sizeof bounds);
        if (key_heading(i) != NULL) {
            fprintf(out, "%s%s:\n", i == 0 ? "" : "\n", key_heading(i));
        }
        if (key->no_flag) {
            fprintf(out, "  %s %s (no flag: a secret)\n", key->name, key->unit);
        } else {
            print_flag(out, key);
        }
        print_wrapped(out, "        ", key->help);
        fprintf(out, "        %s; default %s\n", bounds,
                *key->value == '\0' ? "empty" : key->value);
    }
    fprintf(out,
            "\nEach can also be set in the file, as in batch_rows = 5000, and in the environment, "
            "as in\nPENSTOCK_BATCH_ROWS=5000. A flag goes before the environment, and that before "
            "the file.\nSizes take KB, MB, GB and TB, which count in 1024s.\n");
}

static const char reference_head[] =
    "# Penstock: every setting, with its default. A line that begins with '#' is a comment: take "
    "the\n"
    "# '#' away and change the value.\n"
    "#\n"
    "# penstock --config FILE reads this. The environment goes before it (PENSTOCK_BATCH_ROWS for\n"
    "# batch_rows), a flag before both (--batch-rows). \"${NAME}\" in a quoted value stands for "
    "an\n"
    "# environment variable. Sizes take KB, MB, GB and TB, which count in 1024s.\n";

static const char reference_streams[] = "\n# ---- Streams ----\n"
                                        "\n# A stream is a name for a table, and at least one is "
                                        "needed. Columns, types, defaults and rules are\n"
                                        "# read from the database. `channels` say who hears of an "
                                        "event; {name} is one of its columns. `set`\n"
                                        "# fills columns from the publisher's token, whatever the "
                                        "event says.\n"
                                        "#stream \"behavior\" {\n"
                                        "#    table = \"BehaviorLog\"\n"
                                        "#    channels = {\"user:{userId}\", \"stream:behavior\"}\n"
                                        "#    set = {\"userId = claim sub\"}\n"
                                        "#}\n";

void settings_print_reference(void *stdio_file)
{
    FILE *out = stdio_file;
    fputs(reference_head, out);
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        char bounds[128];
        bounds_format(key, bounds, sizeof bounds);
        if (key_heading(i) != NULL) {
            fprintf(out, "\n# ---- %s ----\n", key_heading(i));
        }
        fputc('\n', out);
        print_wrapped(out, "# ", key->help);
        const char *quote = key->type == KEY_TEXT ? "\"" : "";
        if (key->type != KEY_TEXT) {
            fprintf(out, "# (%s)\n", bounds);
        }
        fprintf(out, "#%s = %s%s%s\n", key->name, quote, key->value, quote);
    }
    fputs(reference_streams, out);
}
