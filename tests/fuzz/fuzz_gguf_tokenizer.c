/* The tokenizer's keys of a GGUF file: whatever is accepted must encode and decode any text. */
#include "file/model.h"
#include "fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer t;
    const char *path = fuzz_file(data, size, ".gguf");
    if (model_load_tokenizer(path, &t, NULL) == STATUS_OK)
        use_tokenizer(&t);
    return 0;
}
