/* GGUF: whatever loads as a model must run, and its tokenizer must encode any text. */
#include "fuzz/fuzz.h"
#include "fuzz/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model model;
    struct error error;
    bool train = size > 0 && data[size - 1] % 2;
    if (model_load(fuzz_file(data, size, ".gguf"), train, &model, &error) != STATUS_OK)
        return 0;
    fuzz_model(&model);
    model_free(&model);
    return 0;
}
