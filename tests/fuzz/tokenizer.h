/* What targets do with a tokenizer that was accepted: encode, decode, write and read again. */
#ifndef FUZZ_TOKENIZER_H
#define FUZZ_TOKENIZER_H

#include <string.h>

#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

static inline void use_tokenizer(struct tokenizer *t)
{
    static const char sample[] = " The cat's 12 \n\n naïve 東京 \xff mats <s> e\xcc\x81 ▁x";
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    struct buffer text = {0}, json = {0};
    for (int i = 0; i < 2; i++)
        if (tok_encode_model(t, &scratch, sample, sizeof sample - 1, i == 0, false, &ids, NULL) ==
            STATUS_OK)
            tok_decode(t, ids.items, ids.count, true, &text);
    for (int64_t i = 0; i < ids.count; i++)
        if (ids.items[i] < 0 || ids.items[i] >= t->count)
            abort();
    (void)tok_write(t, &json, NULL); /* texts that are no UTF-8 cannot be written */
    buffer_free(&text);
    buffer_free(&json);
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
    tok_free(t);
}

#endif
