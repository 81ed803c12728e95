/* What lies beside a model's weights and makes the difference in use: the chat template and the
 * defaults of generation. Both are carried along, so that a model that goes through adze is still
 * spoken to as its makers meant it. */
#include <stdlib.h>
#include <string.h>

#include "file/kinds.h"

#define TEMPLATE_KEY "tokenizer.chat_template"
#define GENERATION_KEY "adze.generation_config"
#define TEMPLATE_MOST ((uint64_t)1 << 20)

/* Names in generation_config.json, and of llama.cpp. */
static const struct {
    const char *ours, *key;
    bool whole;
} sampling[] = {
    {"temperature", "general.sampling.temp", false},
    {"top_k", "general.sampling.top_k", true},
    {"top_p", "general.sampling.top_p", false},
    {"min_p", "general.sampling.min_p", false},
    {"repetition_penalty", "general.sampling.penalty_repeat", false},
};
#define SAMPLING_COUNT (sizeof sampling / sizeof *sampling)

/* Of a list of named templates, the usual one. */
static const char *pick_template(const json_t *value)
{
    size_t index;
    const json_t *item;
    if (json_is_string(value))
        return json_string_value(value);
    json_array_foreach(value, index, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(item, "template"));
    }
    return NULL;
}

static enum status keep_template(struct model *model, const char *text, struct error *error)
{
    if (!text)
        return STATUS_OK;
    model->chat_template = strdup(text);
    return model->chat_template ? STATUS_OK : error_no_memory(error, strlen(text));
}

/* chat_template.jinja, or the template in tokenizer_config.json. */
static enum status read_template(struct model *model, const char *folder, struct error *error)
{
    char *alone = file_join(folder, "chat_template.jinja");
    char *config = file_join(folder, "tokenizer_config.json");
    struct buffer text = {0};
    json_t *root = NULL;
    enum status status = alone && config ? STATUS_OK : error_no_memory(error, strlen(folder));
    if (status == STATUS_OK && file_exists(alone)) {
        status = file_read(alone, TEMPLATE_MOST, &text, error);
        buffer_add(&text, "", 1);
        if (status == STATUS_OK)
            status = buffer_check(&text, error);
        if (status == STATUS_OK)
            status = keep_template(model, text.data, error);
    } else if (status == STATUS_OK && file_exists(config)) {
        status = huggingface_read_json(config, &root, error);
        if (status == STATUS_OK)
            status =
                keep_template(model, pick_template(json_object_get(root, "chat_template")), error);
    }
    json_decref(root);
    buffer_free(&text);
    free(alone);
    free(config);
    return status;
}

enum status model_read_folder_extras(struct model *model, const char *folder, struct error *error)
{
    char *generation = file_join(folder, "generation_config.json");
    enum status status = read_template(model, folder, error);
    if (!generation)
        status = error_no_memory(error, strlen(folder));
    if (status == STATUS_OK && file_exists(generation))
        status = huggingface_read_json(generation, &model->generation, error);
    free(generation);
    return status;
}

static json_t *read_sampling(struct gguf *file)
{
    json_t *found = NULL;
    for (size_t i = 0; i < SAMPLING_COUNT; i++) {
        double value;
        if (!gguf_get_real(file, sampling[i].key, &value))
            continue;
        found = found ? found : json_object();
        json_object_set_new(found, sampling[i].ours,
                            sampling[i].whole ? json_integer((json_int_t)value) : json_real(value));
    }
    return found;
}

enum status model_read_gguf_extras(struct model *model, struct error *error)
{
    const char *whole = gguf_get_text(&model->gguf, GENERATION_KEY);
    model->generation = whole ? json_loads(whole, 0, NULL) : NULL;
    if (!json_is_object(model->generation)) {
        json_decref(model->generation);
        model->generation = read_sampling(&model->gguf);
    }
    return keep_template(model, gguf_get_text(&model->gguf, TEMPLATE_KEY), error);
}

enum status model_put_gguf_extras(const struct model *model, struct gguf_writer *writer,
                                  struct error *error)
{
    if (model->chat_template)
        gguf_put_text(writer, TEMPLATE_KEY, model->chat_template);
    if (!model->generation)
        return STATUS_OK;
    for (size_t i = 0; i < SAMPLING_COUNT; i++) {
        const json_t *value = json_object_get(model->generation, sampling[i].ours);
        if (json_is_number(value) && sampling[i].whole)
            gguf_put_u32(writer, sampling[i].key, (uint32_t)json_number_value(value));
        else if (json_is_number(value))
            gguf_put_f32(writer, sampling[i].key, (float)json_number_value(value));
    }
    char *text = json_dumps(model->generation, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return error_no_memory(error, 4096);
    gguf_put_text(writer, GENERATION_KEY, text);
    free(text);
    return STATUS_OK;
}

static void set_token(json_t *root, const char *key, const struct tokenizer *t, int32_t id)
{
    if (id < 0 || id >= t->count)
        return;
    const struct tok_piece *piece = &t->pieces[id];
    json_object_set_new(root, key, json_stringn(piece->bytes, piece->length));
}

static enum status write_tokenizer_config(const struct model *model, const char *path,
                                          struct error *error)
{
    const struct tokenizer *t = &model->tokenizer;
    json_t *root = json_pack("{s:s,s:b,s:b,s:b,s:I}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "add_bos_token", t->before.count > 0, "add_eos_token",
                             t->behind.count > 0, "clean_up_tokenization_spaces", t->clean_up,
                             "model_max_length", (json_int_t)model->decoder.config.context);
    if (!root)
        return error_no_memory(error, 4096);
    set_token(root, "bos_token", t, t->bos);
    set_token(root, "eos_token", t, t->eos);
    set_token(root, "unk_token", t, t->unknown);
    set_token(root, "pad_token", t, t->pad);
    if (model->chat_template)
        json_object_set_new(root, "chat_template", json_string(model->chat_template));
    return huggingface_write_json(root, path, error);
}

/* The model's own defaults, with the tokens that its configuration names now: an end that is one of
 * several stays among them. */
static enum status write_generation(const struct model *model, const char *path,
                                    struct error *error)
{
    const struct decoder_config *c = &model->decoder.config;
    if (!model->generation)
        return huggingface_write_generation(c, path, error);
    json_t *root = json_deep_copy(model->generation);
    json_t *ends = json_object_get(root, "eos_token_id");
    bool among = false;
    size_t index;
    json_t *value;
    json_array_foreach(ends, index, value)
    {
        among = among || json_integer_value(value) == c->eos_token;
    }
    if (c->eos_token >= 0 && !among)
        json_object_set_new(root, "eos_token_id", json_integer(c->eos_token));
    if (c->bos_token >= 0)
        json_object_set_new(root, "bos_token_id", json_integer(c->bos_token));
    return huggingface_write_json(root, path, error);
}

enum status model_save_folder_extras(const struct model *model, const char *folder,
                                     struct error *error)
{
    char *generation = file_join(folder, "generation_config.json");
    char *config = file_join(folder, "tokenizer_config.json");
    char *alone = file_join(folder, "chat_template.jinja");
    enum status status = STATUS_OK;
    if (!generation || !config || !alone)
        status = error_no_memory(error, strlen(folder));
    if (status == STATUS_OK)
        status = write_generation(model, generation, error);
    if (status == STATUS_OK && model->has_tokenizer)
        status = write_tokenizer_config(model, config, error);
    if (status == STATUS_OK && model->chat_template)
        status =
            file_write_atomic(alone, model->chat_template, strlen(model->chat_template), error);
    free(generation);
    free(config);
    free(alone);
    return status;
}
