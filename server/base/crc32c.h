/* crc32c.h - the way for processors without a CRC instruction, named so that tests can compare.
 * Private to base/. */
#ifndef PENSTOCK_BASE_CRC32C_H
#define PENSTOCK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Works on the inverted register, as the instruction does. */
uint32_t crc32c_by_table(uint32_t state, const uint8_t *data, size_t size);

#endif
