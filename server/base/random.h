/* random.h - bytes from the kernel, for seeds and keys. Private to base/. */
#ifndef PENSTOCK_BASE_RANDOM_H
#define PENSTOCK_BASE_RANDOM_H

#include <stddef.h>

/* Fills `out` from getrandom(2). Aborts where the kernel has none (before Linux 3.17): going on
 * with guessable keys would be worse. */
void random_fill(void *out, size_t size);

#endif
