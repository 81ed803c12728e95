/* Recipes: parsed and checked, not run. */
#include "cli/recipe.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    recipe_check(fuzz_file(data, size, ".yaml"), &error);
    return 0;
}
