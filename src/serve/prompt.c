/* See prompt.h. */
#include "serve/prompt.h"

bool serve_can_chat(const struct model *model)
{
    return false;
}

enum status serve_render(const struct model *model, const struct serve_request *request,
                         struct buffer *text, struct error *error)
{
    return error_set(error, STATUS_FAILED, "the model comes without a chat template");
}

enum status serve_render_prompt(const struct model *model, struct serve_request *q,
                                struct error *error)
{
    struct buffer text = {0};
    enum status status = serve_render(model, q, &text, error);
    if (status == STATUS_OK)
        status = buffer_check(&text, error);
    char *copy = NULL;
    if (status == STATUS_OK) {
        q->prompts = arena_calloc(&q->arena, 1, sizeof *q->prompts);
        copy = arena_strndup(&q->arena, text.data ? text.data : "", text.length);
        if (!q->prompts || !copy)
            status = error_no_memory(error, text.length + 1);
    }
    if (status == STATUS_OK)
        q->prompts[q->prompt_count++] = (struct serve_prompt){.text = copy, .length = text.length};
    buffer_free(&text);
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
