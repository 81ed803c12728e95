/* tokenizer.model: whatever is accepted must encode and decode any text, and be writable. */
#include "fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer t;
    if (tok_parse_sentencepiece(data, size, "input", &t, NULL) == STATUS_OK)
        use_tokenizer(&t);
    return 0;
}
