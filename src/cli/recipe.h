/* Recipes as data: what 'adze run' reads before it runs anything. */
#ifndef CLI_RECIPE_H
#define CLI_RECIPE_H

#include "base/error.h"

/* Reads a recipe and tries every step's options on its command, without running any. */
enum status recipe_check(const char *path, struct error *error);

#endif
