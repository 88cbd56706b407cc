/* hash.h - SipHash-1-3 under a given key, named so that tests can compare. Private to base/. */
#ifndef PENSTOCK_BASE_HASH_H
#define PENSTOCK_BASE_HASH_H

#include "penstock/bytes.h"

uint64_t hash_siphash13(const uint64_t with_key[2], struct span bytes);

#endif
