/* Hugging Face folders: the input is config.json up to the first zero byte, then model.safetensors.
 * Whatever loads must run. */
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"
#include "fuzz/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    if (!end)
        return 0;
    char folder[64];
    snprintf(folder, sizeof folder, "/dev/shm/adze-fuzz-%d", (int)getpid());
    mkdir(folder, 0700);
    fuzz_file(data, (size_t)(end - data), "/config.json");
    fuzz_file(end + 1, size - (size_t)(end - data) - 1, "/model.safetensors");
    struct model model;
    struct error error;
    if (model_load(folder, size % 2, &model, &error) != STATUS_OK)
        return 0;
    fuzz_model(&model);
    model_free(&model);
    return 0;
}
