/* See prompt.h. */
#include "serve/prompt.h"

#include "run/conversation.h"

bool serve_can_chat(const struct model *model)
{
    return model_chat_template(model, NULL) != NULL;
}

/* The template is parsed for each request: that takes less than the tokenizer, and shares nothing
 * between threads. */
static enum status encode_chat(const struct model *model, const struct serve_request *q,
                               struct tok_ids *ids, struct error *error)
{
    struct conversation talk;
    struct chat_options options = {.tools = q->tools,
                                   .extra = q->template,
                                   .add_generation_prompt = q->open,
                                   .continue_final_message = q->goes_on};
    enum status status = conversation_open(model, NULL, NULL, &talk, error);
    if (status == STATUS_OK) {
        conversation_options(&talk, &options);
        status = conversation_encode(&talk, q->messages, &options, ids, NULL, error);
    }
    conversation_free(&talk);
    return status;
}

enum status serve_encode_text(const struct model *model, const struct serve_prompt *prompt,
                              enum serve_around around, struct tok_ids *ids, struct error *error)
{
    struct tok_scratch scratch = {0};
    const struct tokenizer *t = &model->tokenizer;
    enum status status =
        around == AROUND_NOTHING
            ? tok_encode(t, &scratch, prompt->text, prompt->length, true, ids, error)
            : tok_encode_model(t, &scratch, prompt->text, prompt->length, true,
                               around == AROUND_OPEN, ids, error);
    tok_scratch_free(&scratch);
    return status;
}

enum status serve_encode(const struct model *model, const struct serve_prompt *prompt,
                         enum serve_around around, struct tok_ids *ids, struct error *error)
{
    const struct tokenizer *t = &model->tokenizer;
    if (!prompt->text)
        return tok_ids_add(ids, prompt->ids, prompt->count, error);
    if (prompt->length == 0 && t->before.count == 0 && t->eos >= 0)
        return tok_ids_add(ids, &t->eos, 1, error);
    return serve_encode_text(model, prompt, around, ids, error);
}

enum status serve_encode_request(const struct model *model, const struct serve_request *q,
                                 int64_t index, struct tok_ids *ids, struct error *error)
{
    if (q->kind == SERVE_CHAT)
        return encode_chat(model, q, ids, error);
    enum serve_around around = q->kind == SERVE_EMBEDDING ? AROUND_WHOLE
                               : q->special               ? AROUND_OPEN
                                                          : AROUND_NOTHING;
    return serve_encode(model, &q->prompts[index], around, ids, error);
}
