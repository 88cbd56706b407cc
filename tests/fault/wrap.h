/*
 * wrap.h - one wrapper a line.
 *
 * The linker's --wrap=X sends our objects' calls of X to __wrap_X, and __real_X to X itself
 * (ld(1)). The names to redirect are listed in CMakeLists.txt.
 */
#ifndef PENSTOCK_TESTS_WRAP_H
#define PENSTOCK_TESTS_WRAP_H

#include "fault.h"

#include <errno.h>

/* A function that answers `failed`, with errno, when the call is to fail. */
#define WRAP(kind, type, failed, name, parameters, arguments) \
    type __real_##name parameters;                            \
    type __wrap_##name parameters;                            \
    type __wrap_##name parameters                             \
    {                                                         \
        int error = fault_now(kind, #name);                   \
        if (error != 0) {                                     \
            errno = error;                                    \
            return failed;                                    \
        }                                                     \
        return __real_##name arguments;                       \
    }

#endif
