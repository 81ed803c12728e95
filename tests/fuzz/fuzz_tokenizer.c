/* tokenizer.json: whatever is accepted must encode and decode any text without loss. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer t;
    struct error error;
    if (tok_parse((const char *)data, size, "input", &t, &error) != STATUS_OK)
        return 0;
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    struct buffer text = {0};
    const char sample[] = " The cat's 12 \n\n naïve 東京 \xff mats";
    if (tok_encode(&t, &scratch, sample, sizeof sample - 1, true, &ids, &error) == STATUS_OK)
        tok_decode(&t, ids.items, ids.count, true, &text);
    if (t.kind == TOK_BYTE_BPE && !t.normalizer &&
        (text.length != sizeof sample - 1 || memcmp(text.data, sample, text.length) != 0))
        abort();
    buffer_free(&text);
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
    tok_free(&t);
    return 0;
}
