/*
 * jwk.h - what of librhonabwy the files of auth/ share. Its header brings jansson's, whose names
 * meet ours (json_string): no file includes this one and wire.h. In the binary they do not meet,
 * because nothing of ours is visible to shared libraries (cmake/penstock.cmake).
 */
#ifndef PENSTOCK_AUTH_JWK_H
#define PENSTOCK_AUTH_JWK_H

#include "key.h"

#include <rhonabwy.h>

/* The text of one key that can sign, which the caller frees with r_jwk_free(). */
enum status key_parse_private(const char *text, jwk_t **out, unsigned *out_algorithms,
                              struct problem *problem) must_use;

#endif
