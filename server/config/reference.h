/* reference.h - what --help, the reference file and the manual page say alike. Private to config/.
 */
#ifndef PENSTOCK_CONFIG_REFERENCE_H
#define PENSTOCK_CONFIG_REFERENCE_H

#include "keys.h"

/* "1 to 100", "1KB to 1GB", "auto, uring or epoll" … */
void bounds_format(const struct key *key, char *out, size_t size);

#endif
