/* key_file.c - a key file's text, in memory that is wiped. */
#include "key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static enum status read_open(FILE *stream, const char *file, char *out, struct problem *problem)
{
    size_t size = fread(out, 1, KEY_TEXT_BYTES + 1, stream);
    if (ferror(stream)) {
        return problem_set(problem, STATUS_BAD_CONFIG, "cannot read the key file %.200s: %s", file,
                           strerror(errno));
    }
    if (size > KEY_TEXT_BYTES) {
        return problem_set(problem, STATUS_BAD_CONFIG, "the key file %.200s is larger than 256 KB",
                           file);
    }
    out[size] = '\0';
    if (strlen(out) != size) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the key file %.200s contains a NUL byte: write a secret of any bytes "
                           "as a JWK, {\"kty\":\"oct\",\"k\":…}",
                           file);
    }
    return STATUS_OK;
}

enum status key_text_read(const char *file, char **out, struct problem *problem)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return problem_set(problem, STATUS_BAD_CONFIG, "cannot open the key file %.200s: %s", file,
                           strerror(errno));
    }
    enum status status;
    char *text = calloc(1, KEY_TEXT_BYTES + 2);
    setbuf(stream, NULL); /* no second copy in memory that nobody wipes */
    if (text == NULL) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory to read %.200s", file);
    } else {
        status = read_open(stream, file, text, problem);
    }
    fclose(stream);
    if (status != STATUS_OK) {
        key_text_free(text);
        return status;
    }
    *out = text;
    return STATUS_OK;
}

void key_text_free(char *text)
{
    if (text != NULL) {
        gnutls_memset(text, 0, strlen(text));
        free(text);
    }
}
