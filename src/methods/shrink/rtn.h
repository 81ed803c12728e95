/* Round to nearest: each block of a matrix on its own, no data needed. */
#ifndef METHODS_SHRINK_RTN_H
#define METHODS_SHRINK_RTN_H

#include "methods/shrink/shrink.h"

extern const struct shrink_method shrink_rtn;

#endif
