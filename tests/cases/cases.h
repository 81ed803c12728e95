/* The case driver: an adapter parses a case's input, calls the very functions of the method, and
 * gives the outputs under the names of the expected file. */
#ifndef CASES_CASES_H
#define CASES_CASES_H

#include <jansson.h>

#include "base/error.h"

/* Returns the output as a new object, or NULL with the error set. */
typedef json_t *case_adapter(const json_t *input, struct error *error);

case_adapter case_dsir, case_flover, case_prepacking;

/* Reading inputs: an array of numbers, allocated. NULL when it is no such array. */
double *case_reals(const json_t *array, size_t *count);
json_t *case_list(const double *values, size_t count);

#endif
