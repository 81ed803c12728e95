/* Conversations with a model: its chat template over messages, to the tokens that it continues. */
#ifndef RUN_CONVERSATION_H
#define RUN_CONVERSATION_H

#include <jansson.h>

#include "file/model.h"
#include "text/chat.h"

/* Over a model, which must outlive it. Free with conversation_free. */
struct conversation {
    const struct model *model;
    struct jinja template;
    struct tok_scratch scratch;
};

/* With the template of that name (NULL: the default one), or with `source`, unless NULL. Fails when
 * the model has no tokenizer or no such template. */
enum status conversation_open(const struct model *model, const char *name, const char *source,
                              struct conversation *conversation, struct error *error);
void conversation_free(struct conversation *conversation);

/* Fills in the names of the model's tokens and the time. */
void conversation_options(const struct conversation *conversation, struct chat_options *options);

/* Appends the tokens of a list of messages. The text is the whole prompt, with what begins it: the
 * tokenizer puts nothing around it, as in transformers, so no token can come twice. Names of
 * special tokens in it are these tokens. `text` receives the text; it may be NULL. */
enum status conversation_encode(struct conversation *conversation, const json_t *messages,
                                const struct chat_options *options, struct tok_ids *ids,
                                struct buffer *text, struct error *error);

/* One message, {"role": ..., "content": ...}; bytes that are not UTF-8 become U+FFFD. New
 * reference, NULL when out of memory. */
json_t *conversation_message(const char *role, const char *content, size_t length);

#endif
