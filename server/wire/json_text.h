/*
 * json_text.h - strings as JSON has them, and the text they mean.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_WIRE_JSON_TEXT_H
#define PENSTOCK_WIRE_JSON_TEXT_H

#include "penstock/bytes.h"

/* Writes what `raw`, which stands between the quotes of a valid JSON string, means. Half a
 * surrogate pair becomes U+FFFD: whoever minds has asked for FLAW_LONE_SURROGATE before. */
void json_text_resolve(struct writer *out, struct span raw);

/* Copies `text`, with U+FFFD for each byte that is not UTF-8. */
void json_text_mend(struct writer *out, struct span text);

#endif
