/* tokenizer.json: whatever is accepted must encode and decode any text; byte-level tokenizers that
 * have all bytes do it without loss. */
#include "fuzz/tokenizer.h"

static bool has_all_bytes(const struct tokenizer *t)
{
    bool all = t->kind == TOK_BYTE_BPE && !t->normalizer && t->added.count == 0;
    for (int byte = 0; byte < 256; byte++)
        all = all && t->byte_ids[byte] >= 0;
    return all && pre_single(t->pre);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer t;
    struct error error;
    if (tok_parse((const char *)data, size, "input", &t, &error) != STATUS_OK)
        return 0;
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    struct buffer text = {0};
    static const char sample[] = " The cat's 12 \n\n naïve 東京 \xff mats";
    if (tok_encode(&t, &scratch, sample, sizeof sample - 1, true, &ids, &error) == STATUS_OK)
        tok_decode(&t, ids.items, ids.count, true, &text);
    if (has_all_bytes(&t) &&
        (text.length != sizeof sample - 1 || memcmp(text.data, sample, text.length) != 0))
        abort();
    buffer_free(&text);
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
    use_tokenizer(&t);
    return 0;
}
