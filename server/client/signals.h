/* signals.h - Ctrl-C asks once, and the second time the process ends at once. */
#ifndef PENSTOCK_CLIENT_SIGNALS_H
#define PENSTOCK_CLIENT_SIGNALS_H

#include <stdbool.h>

void signals_catch(void);
bool signals_came(void);

#endif
