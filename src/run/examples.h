/* Examples to tune on: plain text, records with a prompt and a completion, and conversations, which
 * go through the model's own chat template. Only what the model is to say is learned: completions,
 * the assistant's turns. */
#ifndef RUN_EXAMPLES_H
#define RUN_EXAMPLES_H

#include "base/buffer.h"
#include "data/corpus.h"
#include "file/model.h"
#include "text/chat.h"

struct examples {
    const struct tokenizer *tokenizer;
    const char *field; /* of records that are plain text */
    struct jinja template;
    bool has_template;
    const char *names[4]; /* of bos, eos, unknown, pad, as templates get them; may be NULL */
};

/* Parses the model's template, when it has one; a broken one is an error only once a conversation
 * asks for it. The model must outlive it. Free with examples_free. */
enum status examples_create(const struct model *model, const char *field, struct examples *examples,
                            struct error *error);
void examples_free(struct examples *examples);

/* Appends the ids of a document (a text, or a whole record), and to `stretches` each struct stretch
 * (data/shard.h) of them that is to be learned, none empty. Fails with STATUS_FAILED and the cause
 * when a record is no example. */
enum status example_encode(const struct examples *examples, struct tok_scratch *scratch,
                           const struct document *document, struct tok_ids *ids,
                           struct buffer *stretches, struct error *error);

#endif
