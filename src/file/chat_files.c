/* How a model talks: its chat templates, the names of the tokens in them, and the tokens that end
 * an answer. Files say it in many places, and a model that is told too few of its ends does not
 * stop: so all of them are read, and the token that the template itself puts behind answers is
 * taken, too. What is read is written again. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "file/kinds.h"
#include "text/chat.h"

#define TEMPLATES_MOST 64
#define GENERATION_KEY "adze.generation_config" /* own, see docs/formats.md */

bool model_is_end(const struct model *model, int32_t token)
{
    bool found = token == model->tokenizer.eos && token >= 0;
    for (int i = 0; i < model->chat.end_count; i++)
        found |= token == model->chat.ends[i];
    return found;
}

const char *model_chat_template(const struct model *model, const char *name)
{
    const struct model_chat *chat = &model->chat;
    for (int i = 0; i < chat->template_count; i++)
        if (strcmp(chat->templates[i].name, name ? name : "default") == 0)
            return chat->templates[i].text;
    return NULL;
}

/* Adding. */

static void add_end(struct model *model, int64_t token)
{
    struct model_chat *chat = &model->chat;
    if (token < 0 || token >= model->decoder.config.vocabulary ||
        model_is_end(model, (int32_t)token))
        return;
    if (chat->end_count < MODEL_ENDS_MOST)
        chat->ends[chat->end_count++] = (int32_t)token;
}

/* An id, or a list of them. */
static void add_ends(struct model *model, const json_t *ids)
{
    if (json_is_integer(ids))
        add_end(model, json_integer_value(ids));
    for (size_t i = 0; json_is_array(ids) && i < json_array_size(ids); i++)
        if (json_is_integer(json_array_get(ids, i)))
            add_end(model, json_integer_value(json_array_get(ids, i)));
}

/* Adds a template, or replaces the one of its name. */
static enum status add_template(struct model *model, const char *name, const char *text,
                                size_t length, struct error *error)
{
    struct model_chat *chat = &model->chat;
    int at = 0;
    if (!chat->templates)
        chat->templates = arena_calloc(&model->owned, TEMPLATES_MOST, sizeof *chat->templates);
    while (at < chat->template_count && strcmp(chat->templates[at].name, name) != 0)
        at++;
    if (at == TEMPLATES_MOST)
        return STATUS_OK; /* nobody has as many */
    char *copy = arena_strndup(&model->owned, text, length);
    char *label = arena_strdup(&model->owned, name);
    if (!chat->templates || !copy || !label)
        return error_no_memory(error, length);
    chat->templates[at] = (struct model_template){label, copy};
    if (at == chat->template_count)
        chat->template_count++;
    if (at > 0 && strcmp(name, "default") == 0) {
        struct model_template first = chat->templates[0];
        chat->templates[0] = chat->templates[at];
        chat->templates[at] = first;
    }
    return STATUS_OK;
}

static const char *piece_name(struct model *model, int32_t id)
{
    const struct tokenizer *t = &model->tokenizer;
    if (!model->has_tokenizer || id < 0 || id >= t->count || !t->pieces[id].defined)
        return NULL;
    return arena_strndup(&model->owned, t->pieces[id].bytes, t->pieces[id].length);
}

/* The token that the default template puts behind answers. A template that cannot be read or
 * refuses to be tried says nothing here; it is told to whoever renders it. */
static void add_turn_end(struct model *model)
{
    const char *source = model_chat_template(model, NULL);
    const struct model_chat *chat = &model->chat;
    struct chat_options options = {
        .bos = chat->bos, .eos = chat->eos, .unknown = chat->unknown, .pad = chat->pad};
    struct jinja template;
    struct buffer text = {0};
    struct error ignored;
    if (!source || !model->has_tokenizer ||
        jinja_parse(source, strlen(source), "template", &template, &ignored) != STATUS_OK)
        return;
    if (chat_turn_end(&template, &options, &text, &ignored) == STATUS_OK && text.data) {
        int32_t token = -1;
        for (size_t begin = 0; token < 0 && begin < text.length && begin < 64; begin++)
            for (size_t length = text.length; token < 0 && length > begin; length--) {
                text.data[length] = 0; /* cut more and more off */
                token = tok_special(&model->tokenizer, text.data + begin);
            }
        add_end(model, token);
    }
    buffer_free(&text);
    jinja_free(&template);
}

enum status model_put_chat_template(struct model *model, const char *text, struct error *error)
{
    model->chat.template_count = 0;
    enum status status = add_template(model, "default", text, strlen(text), error);
    if (status == STATUS_OK)
        add_turn_end(model);
    return status;
}

/* What follows once all files and keys have been read. */
static void finish(struct model *model)
{
    struct model_chat *chat = &model->chat;
    const struct tokenizer *t = &model->tokenizer;
    if (!chat->tokenizer) {
        chat->bos = piece_name(model, t->bos);
        chat->eos = piece_name(model, t->eos);
        chat->unknown = piece_name(model, t->unknown);
        chat->pad = piece_name(model, t->pad);
    }
    add_ends(model, json_object_get(chat->generation, "eos_token_id"));
    add_turn_end(model);
}

/* Folders. */

/* A JSON object of the folder; NULL, without an error, when there is no such file. */
static enum status read_json(const char *folder, const char *name, json_t **root,
                             struct error *error)
{
    char *path = file_join(folder, name);
    enum status status = path ? STATUS_OK : error_no_memory(error, strlen(folder));
    *root = NULL;
    if (status == STATUS_OK && file_exists(path))
        status = huggingface_read_json(path, root, error);
    free(path);
    return status;
}

/* "chat_template": a text, or a list of names and texts. */
static enum status add_templates(struct model *model, const json_t *value, struct error *error)
{
    enum status status = STATUS_OK;
    if (json_is_string(value))
        return add_template(model, "default", json_string_value(value), json_string_length(value),
                            error);
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value) && status == STATUS_OK;
         i++) {
        const json_t *one = json_array_get(value, i), *text = json_object_get(one, "template");
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && json_is_string(text))
            status =
                add_template(model, name, json_string_value(text), json_string_length(text), error);
    }
    return status;
}

static enum status add_template_file(struct model *model, const char *folder, struct error *error)
{
    char *path = file_join(folder, "chat_template.jinja");
    struct buffer text = {0};
    enum status status = path ? STATUS_OK : error_no_memory(error, strlen(folder));
    if (status == STATUS_OK && file_exists(path)) {
        status = file_read(path, JINJA_SOURCE_MOST, &text, error);
        if (status == STATUS_OK)
            status = add_template(model, "default", text.data ? text.data : "", text.length, error);
    }
    buffer_free(&text);
    free(path);
    return status;
}

/* The name of a token in tokenizer_config.json: a text, or an object with one as its content. */
static const char *token_name(struct model *model, const char *key)
{
    const json_t *value = json_object_get(model->chat.tokenizer, key);
    const char *name =
        json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return name ? arena_strdup(&model->owned, name) : NULL;
}

/* The id of a special token of that name, or `other`. */
static int32_t named_token(const struct model *model, const char *name, int32_t other)
{
    int32_t token = name && model->has_tokenizer ? tok_special(&model->tokenizer, name) : -1;
    return token >= 0 ? token : other;
}

/* What tokenizer_config.json says. Its template is taken out: it is kept by itself. The tokens that
 * it names count before those of config.json, since templates mean them. */
static enum status read_tokenizer_config(struct model *model, const char *folder,
                                         struct error *error)
{
    struct model_chat *chat = &model->chat;
    enum status status = read_json(folder, "tokenizer_config.json", &chat->tokenizer, error);
    if (status != STATUS_OK || !chat->tokenizer)
        return status;
    status = add_templates(model, json_object_get(chat->tokenizer, "chat_template"), error);
    json_object_del(chat->tokenizer, "chat_template");
    chat->bos = token_name(model, "bos_token");
    chat->eos = token_name(model, "eos_token");
    chat->unknown = token_name(model, "unk_token");
    chat->pad = token_name(model, "pad_token");
    model->tokenizer.bos = named_token(model, chat->bos, model->tokenizer.bos);
    model->tokenizer.eos = named_token(model, chat->eos, model->tokenizer.eos);
    return status;
}

enum status chat_load_folder(struct model *model, const char *folder, struct error *error)
{
    json_t *config = NULL, *processor = NULL;
    enum status status = read_tokenizer_config(model, folder, error);
    if (status == STATUS_OK)
        status = read_json(folder, "chat_template.json", &processor, error);
    if (status == STATUS_OK)
        status = add_templates(model, json_object_get(processor, "chat_template"), error);
    if (status == STATUS_OK) /* counts before the others */
        status = add_template_file(model, folder, error);
    if (status == STATUS_OK)
        status = read_json(folder, "generation_config.json", &model->chat.generation, error);
    if (status == STATUS_OK)
        status = read_json(folder, "config.json", &config, error);
    if (status == STATUS_OK) {
        add_ends(model, json_object_get(config, "eos_token_id"));
        finish(model);
    }
    json_decref(config);
    json_decref(processor);
    return status;
}

static void list_end(json_t *list, int64_t token)
{
    size_t index;
    json_t *one;
    json_array_foreach(list, index, one)
    {
        if (json_integer_value(one) == token)
            return;
    }
    if (token >= 0)
        json_array_append_new(list, json_integer(token));
}

/* All ends: the configuration's, the tokenizer's, the others. */
static json_t *list_of_ends(const struct model *model)
{
    json_t *list = json_array();
    list_end(list, model->decoder.config.eos_token);
    if (model->has_tokenizer)
        list_end(list, model->tokenizer.eos);
    for (int i = 0; i < model->chat.end_count; i++)
        list_end(list, model->chat.ends[i]);
    if (json_array_size(list) > 1)
        return list;
    json_t *one = json_array_size(list) ? json_incref(json_array_get(list, 0)) : json_null();
    json_decref(list);
    return one;
}

/* generation_config.json: what there was, with all ends. New reference. */
static json_t *make_generation(const struct model *model)
{
    int64_t bos = model->decoder.config.bos_token;
    json_t *root = json_deep_copy(model->chat.generation);
    if (!root && (root = json_object()))
        json_object_set_new(root, "do_sample", json_true());
    if (root && !json_object_get(root, "bos_token_id"))
        json_object_set_new(root, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null());
    if (root)
        json_object_set_new(root, "eos_token_id", list_of_ends(model));
    return root;
}

enum status chat_save_generation(const struct model *model, const char *path, struct error *error)
{
    return huggingface_write_json(make_generation(model), path, error);
}

/* tokenizer_config.json of a model that came without one. New reference. */
static json_t *make_tokenizer(const struct model *model)
{
    const struct tokenizer *t = &model->tokenizer;
    const struct {
        const char *key;
        int32_t id;
    } tokens[] = {{"bos_token", t->bos},
                  {"eos_token", t->eos},
                  {"unk_token", t->unknown},
                  {"pad_token", t->pad}};
    json_t *root = json_object();
    if (!root)
        return NULL;
    json_object_set_new(root, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    json_object_set_new(root, "clean_up_tokenization_spaces", json_false());
    json_object_set_new(root, "model_max_length", json_integer(model->decoder.config.context));
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        int32_t id = tokens[i].id;
        if (id >= 0 && id < t->count && t->pieces[id].defined)
            json_object_set_new(root, tokens[i].key,
                                json_text(t->pieces[id].bytes, t->pieces[id].length));
    }
    return root;
}

enum status chat_save_tokenizer(const struct model *model, const char *path, struct error *error)
{
    const struct model_chat *chat = &model->chat;
    if (!model->has_tokenizer)
        return STATUS_OK;
    json_t *root = chat->tokenizer ? json_deep_copy(chat->tokenizer) : make_tokenizer(model);
    json_t *templates = chat->template_count > 1 ? json_array() : NULL;
    for (int i = 0; templates && i < chat->template_count; i++)
        json_array_append_new(templates, json_pack("{s:s, s:s}", "name", chat->templates[i].name,
                                                   "template", chat->templates[i].text));
    if (chat->template_count == 1)
        templates = json_string(chat->templates[0].text);
    if (root && templates)
        json_object_set_new(root, "chat_template", templates);
    return huggingface_write_json(root, path, error);
}

enum status chat_save_template(const struct model *model, const char *path, struct error *error)
{
    const char *text = model_chat_template(model, NULL);
    if (text && model->has_tokenizer)
        return file_write_atomic(path, text, strlen(text), error);
    return file_remove_tree(path, error); /* one that was there is another model's */
}

/* GGUF. */

#define TEMPLATE_KEY "tokenizer.chat_template"
#define NAMES_KEY "tokenizer.chat_templates"

static enum status add_named(struct model *model, const char *name, struct error *error)
{
    char key[256];
    snprintf(key, sizeof key, TEMPLATE_KEY ".%s", name);
    const char *text = gguf_get_text(&model->gguf, key);
    return text ? add_template(model, name, text, strlen(text), error) : STATUS_OK;
}

/* Sampling that a model suggests, under the names of generation_config.json and of GGUF. */
static const struct {
    const char *name, *key;
    bool whole;
} suggestions[] = {{"temperature", "general.sampling.temp", false},
                   {"top_k", "general.sampling.top_k", true},
                   {"top_p", "general.sampling.top_p", false},
                   {"min_p", "general.sampling.min_p", false},
                   {"repetition_penalty", "general.sampling.penalty_repeat", false}};

/* Keys of files that come without their generation_config.json. Numbers are f32 there, and become
 * the shortest ones that give these. */
static void take_suggestions(struct model *model)
{
    for (size_t i = 0; i < sizeof suggestions / sizeof *suggestions; i++) {
        int64_t integer = 0;
        double real = 0;
        char text[32];
        if (suggestions[i].whole ? !gguf_get_int(&model->gguf, suggestions[i].key, &integer)
                                 : !gguf_get_real(&model->gguf, suggestions[i].key, &real))
            continue;
        snprintf(text, sizeof text, "%.7g", real);
        if (!model->chat.generation)
            model->chat.generation = json_object();
        if (!json_object_get(model->chat.generation, suggestions[i].name))
            json_object_set_new(model->chat.generation, suggestions[i].name,
                                suggestions[i].whole ? json_integer(integer)
                                                     : json_real(strtod(text, NULL)));
    }
}

static enum status add_listed(struct model *model, struct error *error)
{
    const struct gguf_value *names = gguf_find(&model->gguf, NAMES_KEY);
    enum status status = STATUS_OK;
    if (!names || names->type != GGUF_ARRAY || names->item_type != GGUF_STRING)
        return STATUS_OK;
    for (uint64_t i = 0; i < names->count && i < TEMPLATES_MOST && status == STATUS_OK; i++) {
        char name[128];
        const struct gguf_string *one = &names->strings[i];
        if (one->length >= sizeof name)
            continue;
        memcpy(name, one->bytes, one->length);
        name[one->length] = 0;
        status = add_named(model, name, error);
    }
    return status;
}

/* The first of its ends is the configuration's. */
static void read_generation(struct model *model)
{
    const char *text = gguf_get_text(&model->gguf, GENERATION_KEY);
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *end = json_object_get(root, "eos_token_id");
    if (json_is_array(end))
        end = json_array_get(end, 0);
    json_int_t id = json_is_integer(end) ? json_integer_value(end) : -1;
    if (id >= 0 && id < model->decoder.config.vocabulary)
        model->decoder.config.eos_token = id;
    if (json_is_object(root))
        model->chat.generation = root;
    else
        json_decref(root);
}

enum status chat_load_gguf(struct model *model, struct error *error)
{
    static const char *const ends[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                                       "tokenizer.ggml.eos_token_id"};
    const char *text = gguf_get_text(&model->gguf, TEMPLATE_KEY);
    enum status status = STATUS_OK;
    if (text)
        status = add_template(model, "default", text, strlen(text), error);
    if (status == STATUS_OK)
        status = add_listed(model, error);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int64_t id;
        if (gguf_get_int(&model->gguf, ends[i], &id))
            add_end(model, id);
    }
    read_generation(model);
    take_suggestions(model);
    if (status == STATUS_OK)
        finish(model);
    return status;
}

static void put_suggestions(const struct model *model, struct gguf_writer *writer)
{
    for (size_t i = 0; i < sizeof suggestions / sizeof *suggestions; i++) {
        const json_t *value = json_object_get(model->chat.generation, suggestions[i].name);
        int64_t integer = json_integer_value(value);
        if (!suggestions[i].whole && json_is_number(value))
            gguf_put_f32(writer, suggestions[i].key, (float)json_number_value(value));
        else if (json_is_integer(value) && integer >= 0 && integer <= INT32_MAX)
            gguf_put_u32(writer, suggestions[i].key, (uint32_t)integer);
    }
}

/* llama.cpp knows two ends beside eos; all of them are in the generation's configuration. */
static void put_ends(const struct model *model, struct gguf_writer *writer)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    size_t used = 0;
    for (int i = 0; i < model->chat.end_count && used < 2; i++)
        if (model->chat.ends[i] != model->tokenizer.eos)
            gguf_put_u32(writer, keys[used++], (uint32_t)model->chat.ends[i]);
}

void chat_put_gguf(const struct model *model, struct gguf_writer *writer)
{
    const struct model_chat *chat = &model->chat;
    char key[256];
    uint64_t named = 0;
    if (!model->has_tokenizer)
        return;
    for (int i = 0; i < chat->template_count; i++) {
        bool usual = strcmp(chat->templates[i].name, "default") == 0;
        bool fits = strlen(chat->templates[i].name) < 128;
        snprintf(key, sizeof key, TEMPLATE_KEY ".%s", chat->templates[i].name);
        if (usual || fits)
            gguf_put_text(writer, usual ? TEMPLATE_KEY : key, chat->templates[i].text);
        named += !usual && fits;
    }
    if (named > 0)
        gguf_put_array(writer, NAMES_KEY, GGUF_STRING, named);
    for (int i = 0; i < chat->template_count && named > 0; i++) {
        const char *name = chat->templates[i].name;
        if (strcmp(name, "default") != 0 && strlen(name) < 128)
            gguf_item_text(writer, name, strlen(name));
    }
    put_ends(model, writer);
    put_suggestions(model, writer);
    int64_t eos = model->decoder.config.eos_token;
    bool more = chat->end_count > 2 || (eos >= 0 && eos != model->tokenizer.eos);
    json_t *generation = chat->generation || more ? make_generation(model) : NULL;
    char *text = generation ? json_dumps(generation, JSON_COMPACT) : NULL;
    if (text)
        gguf_put_text(writer, GENERATION_KEY, text);
    free(text);
    json_decref(generation);
}
