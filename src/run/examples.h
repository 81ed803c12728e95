/* Examples to tune on: plain text, records with a prompt and a completion, and conversations, which
 * go through the model's own chat template. Only what the model is to say is learned: completions,
 * the assistant's turns. */
#ifndef RUN_EXAMPLES_H
#define RUN_EXAMPLES_H

#include "data/corpus.h"
#include "file/model.h"
#include "text/chat.h"

struct examples {
    const struct tokenizer *tokenizer;
    const char *field; /* of records that are plain text */
    struct jinja template;
    bool has_template;
    char *names[4]; /* of bos, eos, unknown, pad, as templates get them */
};

/* Parses the model's template, when it has one; a broken one is an error only once a conversation
 * asks for it. The model must outlive it. Free with examples_free. */
enum status examples_create(const struct model *model, const char *field, struct examples *examples,
                            struct error *error);
void examples_free(struct examples *examples);

/* Stretches of ids to learn, pairs [begin, end). Zero-initialize; free `items`. */
struct example_stretches {
    int64_t *items;
    int64_t count, capacity;
};

/* Appends the ids of a document (a text, or a whole record) and where they are to be learned. Fails
 * with STATUS_FAILED and the cause when a record is no example. */
enum status example_encode(const struct examples *examples, struct tok_scratch *scratch,
                           const struct document *document, struct tok_ids *ids,
                           struct example_stretches *stretches, struct error *error);

#endif
