/* See examples.h. */
#include "run/examples.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/shard.h"

enum status examples_create(const struct model *model, const char *field, struct examples *e,
                            struct error *error)
{
    const struct model_chat *chat = &model->chat;
    *e = (struct examples){.tokenizer = &model->tokenizer,
                           .field = field ? field : "text",
                           .names = {chat->bos, chat->eos, chat->unknown, chat->pad}};
    if (!model_chat_template(model, NULL))
        return STATUS_OK;
    enum status status =
        jinja_parse(model_chat_template(model, NULL), strlen(model_chat_template(model, NULL)),
                    "chat template", &e->template, error);
    e->has_template = status == STATUS_OK;
    return status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

void examples_free(struct examples *e)
{
    jinja_free(&e->template);
    *e = (struct examples){0};
}

static enum status add_stretch(struct buffer *list, int64_t begin, int64_t end, struct error *error)
{
    const struct stretch stretch = {begin, end};
    if (end > begin)
        buffer_add(list, &stretch, sizeof stretch);
    return buffer_check(list, error);
}

static enum status add_end(const struct tokenizer *t, struct tok_ids *ids, struct error *error)
{
    return t->eos >= 0 ? tok_ids_add(ids, &t->eos, 1, error) : STATUS_OK;
}

/* All of a text is learned, but what the model expects in front of every text. */
static enum status encode_text(const struct examples *e, struct tok_scratch *scratch,
                               const char *text, size_t length, struct tok_ids *ids,
                               struct buffer *stretches, struct error *error)
{
    const struct tok_around *before = &e->tokenizer->before;
    int64_t begin = ids->count;
    enum status status =
        tok_encode_model(e->tokenizer, scratch, text, length, false, true, ids, error);
    for (int i = 0; i < before->count && begin < ids->count; i++)
        begin += ids->items[begin] == before->ids[i];
    if (status == STATUS_OK)
        status = add_end(e->tokenizer, ids, error);
    return status == STATUS_OK ? add_stretch(stretches, begin, ids->count, error) : status;
}

static enum status encode_pair(const struct examples *e, struct tok_scratch *scratch,
                               const json_t *prompt, const json_t *completion, struct tok_ids *ids,
                               struct buffer *stretches, struct error *error)
{
    enum status status = tok_encode_model(e->tokenizer, scratch, json_string_value(prompt),
                                          json_string_length(prompt), false, true, ids, error);
    int64_t begin = ids->count;
    if (status == STATUS_OK)
        status = tok_encode(e->tokenizer, scratch, json_string_value(completion),
                            json_string_length(completion), false, ids, error);
    if (status == STATUS_OK)
        status = add_end(e->tokenizer, ids, error);
    return status == STATUS_OK ? add_stretch(stretches, begin, ids->count, error) : status;
}

/* Ids of a rendered text up to each bound. Where spaces belong to words, as in SentencePiece, a
 * piece cut off would be another text: there the whole is encoded, and a bound lies where the ids
 * of what stands before it cease to agree. Elsewhere the pieces are encoded alone, as they are when
 * the model is asked: with nothing around them but what the template puts there. */
static enum status encode_piece(const struct examples *e, struct tok_scratch *scratch,
                                const char *text, size_t begin, size_t end, struct tok_ids *ids,
                                struct error *error)
{
    if (end == begin)
        return STATUS_OK;
    return tok_encode(e->tokenizer, scratch, text + begin, end - begin, true, ids, error);
}

static enum status bound_by_prefix(const struct examples *e, struct tok_scratch *scratch,
                                   const char *text, size_t end, const struct tok_ids *ids,
                                   int64_t first, int64_t *bound, struct error *error)
{
    struct tok_ids part = {0};
    enum status status = tok_encode(e->tokenizer, scratch, text, end, true, &part, error);
    int64_t same = 0;
    while (same < part.count && first + same < ids->count &&
           part.items[same] == ids->items[first + same])
        same++;
    *bound = first + same;
    tok_ids_free(&part);
    return status;
}

static enum status encode_rendered(const struct examples *e, struct tok_scratch *scratch,
                                   const struct buffer *text, const struct jinja_ranges *answers,
                                   struct tok_ids *ids, struct buffer *stretches,
                                   struct error *error)
{
    bool whole = e->tokenizer->marked_spaces;
    int64_t first = ids->count;
    size_t at = 0;
    enum status status = STATUS_OK;
    if (whole)
        status = encode_piece(e, scratch, text->data, 0, text->length, ids, error);
    for (size_t i = 0; i < answers->count && status == STATUS_OK; i++) {
        const struct jinja_range *answer = &answers->items[i];
        int64_t bounds[2];
        for (int side = 0; side < 2 && status == STATUS_OK; side++) {
            size_t next = side ? answer->end : answer->begin;
            if (whole)
                status =
                    bound_by_prefix(e, scratch, text->data, next, ids, first, &bounds[side], error);
            else
                status = encode_piece(e, scratch, text->data, at, next, ids, error);
            bounds[side] = whole ? bounds[side] : ids->count;
            at = next;
        }
        if (status == STATUS_OK)
            status = add_stretch(stretches, bounds[0], bounds[1], error);
    }
    if (status == STATUS_OK && !whole && at < text->length)
        status = encode_piece(e, scratch, text->data, at, text->length, ids, error);
    return status;
}

static enum status encode_chat(const struct examples *e, struct tok_scratch *scratch,
                               const json_t *record, struct tok_ids *ids, struct buffer *stretches,
                               struct error *error)
{
    if (!e->has_template)
        return error_set(error, STATUS_FAILED,
                         "a conversation, but the model has no usable chat "
                         "template");
    struct chat_options options = {.tools = json_object_get(record, "tools"),
                                   .bos = e->names[0],
                                   .eos = e->names[1],
                                   .unknown = e->names[2],
                                   .pad = e->names[3],
                                   .now = (int64_t)time(NULL)};
    struct buffer text = {0};
    struct jinja_ranges answers = {0};
    enum status status = chat_render_answers(&e->template, json_object_get(record, "messages"),
                                             &options, &text, &answers, error);
    if (status == STATUS_OK)
        status = buffer_check(&text, error);
    if (status == STATUS_OK && answers.count == 0)
        status = error_set(error, STATUS_FAILED, "the assistant says nothing");
    if (status == STATUS_OK)
        status = encode_rendered(e, scratch, &text, &answers, ids, stretches, error);
    buffer_free(&text);
    free(answers.items);
    return status;
}

enum status example_encode(const struct examples *e, struct tok_scratch *scratch,
                           const struct document *document, struct tok_ids *ids,
                           struct buffer *stretches, struct error *error)
{
    if (!document->record)
        return encode_text(e, scratch, document->text, document->length, ids, stretches, error);
    json_t *record = json_loadb(document->text, document->length, 0, NULL);
    const json_t *prompt = json_object_get(record, "prompt");
    const json_t *completion = json_object_get(record, "completion");
    const json_t *text = json_object_get(record, e->field);
    enum status status;
    if (json_object_get(record, "messages"))
        status = encode_chat(e, scratch, record, ids, stretches, error);
    else if (json_is_string(prompt) && json_is_string(completion))
        status = encode_pair(e, scratch, prompt, completion, ids, stretches, error);
    else if (json_is_string(text))
        status = encode_text(e, scratch, json_string_value(text), json_string_length(text), ids,
                             stretches, error);
    else
        status =
            error_set(error, STATUS_FAILED,
                      "neither 'messages', nor 'prompt' and 'completion', nor '%.40s'", e->field);
    json_decref(record);
    return status;
}
