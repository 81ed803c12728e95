/* From what a client writes, texts, token ids or a chat, to the tokens of a prompt. The command
 * line's batches take the same way. */
#ifndef SERVE_PROMPT_H
#define SERVE_PROMPT_H

#include "file/model.h"
#include "serve/request.h"

/* Whether the model knows how chats are written. */
bool serve_can_chat(const struct model *model);
/* Whether the template that a request's messages are rendered by takes the tools that come with
 * them, if any do. */
bool serve_takes_tools(const struct model *model, const struct serve_request *request);
/* What stands around a text: nothing; what a model expects before a text that it continues; or what
 * it expects on both sides. */
enum serve_around { AROUND_NOTHING, AROUND_OPEN, AROUND_WHOLE };

/* Appends the tokens of a text. */
enum status serve_encode_text(const struct model *model, const struct serve_prompt *prompt,
                              enum serve_around around, struct tok_ids *ids, struct error *error);
/* The same for any prompt. An empty text begins a document: behind what stands before texts, or
 * the end of another document. */
enum status serve_encode(const struct model *model, const struct serve_prompt *prompt,
                         enum serve_around around, struct tok_ids *ids, struct error *error);
/* The tokens of prompt `index` of a request: of a chat, its messages in the model's template; then
 * fills in what is needed to find calls of tools in the answer. */
enum status serve_encode_request(const struct model *model, struct serve_request *request,
                                 int64_t index, struct tok_ids *ids, struct error *error);

#endif
