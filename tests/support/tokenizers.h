/* The tokenizers of tests/golden/tokenizers, and the ids that other programs give with them. */
#ifndef SUPPORT_TOKENIZERS_H
#define SUPPORT_TOKENIZERS_H

#include <jansson.h>

#include "base/buffer.h"
#include "text/tokenizer.h"

/* Appends what tests/golden/tokenizers/NAME.gz holds. */
void golden_read(const char *name, struct buffer *bytes);
/* golden.json; release with json_decref. */
json_t *golden_json(void);
void golden_tokenizer(const char *name, const json_t *golden, struct tokenizer *tokenizer);

/* Fails unless the tokenizer gives the golden ids for every text. `name` is for messages. */
void golden_check(const struct tokenizer *tokenizer, const json_t *golden, const char *name);

/* A tokenizer for conversations: the bytes, and <s>, <|im_start|>, <|im_end|>, <|eom|> and </s>.
 * Texts begin with <s>, and </s> ends them. Free with tok_free. */
enum {
    TALK_BOS = 256,
    TALK_START,
    TALK_END,
    TALK_CALL_END,
    TALK_FINAL,
    TALK_TOKENS,
};
void talking_tokenizer(struct tokenizer *tokenizer);

#endif
