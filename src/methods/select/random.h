/* Random selection: the baseline that every selector has to beat. */
#ifndef METHODS_SELECT_RANDOM_H
#define METHODS_SELECT_RANDOM_H

#include "methods/select/select.h"

extern const struct select_method select_random;

#endif
