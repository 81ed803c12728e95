/* Hugging Face folders: config.json and model.safetensors, for the Llama and GPT-2 classes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/kinds.h"
#include "weight/formats.h"

#define CONFIG_LIMIT ((uint64_t)16 << 20)

static enum status read_json(const char *path, json_t **root, struct error *error)
{
    struct buffer text = {0};
    *root = NULL;
    enum status status = file_read(path, CONFIG_LIMIT, &text, error);
    json_error_t problem;
    if (status == STATUS_OK) {
        *root = json_loadb(text.data ? text.data : "", text.length, 0, &problem);
        if (!json_is_object(*root)) {
            status = error_set(error, STATUS_FAILED, "%s:%d: %s", path, *root ? 1 : problem.line,
                               *root ? "not a JSON object" : problem.text);
            json_decref(*root);
            *root = NULL;
        }
    }
    buffer_free(&text);
    return status;
}

static int64_t get_int(const json_t *root, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(root, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

static double get_real(const json_t *root, const char *key, double fallback)
{
    const json_t *value = json_object_get(root, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

/* Ids may be given as a list, of which the first counts. */
static int64_t get_token(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* Rotations other than the plain ones would load and compute something else. `rope` is NULL or what
 * stands under rope_scaling or rope_parameters. */
static enum status check_rope(const json_t *root, const json_t *rope, const char *path,
                              struct error *error)
{
    const char *type = json_string_value(json_object_get(rope, "rope_type"));
    if (!type)
        type = json_string_value(json_object_get(rope, "type"));
    if (json_is_object(rope) && type && strcmp(type, "default") != 0)
        return error_set(error, STATUS_FAILED,
                         "%s: scaled rotary positions ('%.40s') are not supported", path, type);
    double part = get_real(rope, "partial_rotary_factor", 1);
    if (part != 1 || get_real(root, "partial_rotary_factor", 1) != 1)
        return error_set(error, STATUS_FAILED,
                         "%s: rotary positions on a part of a head are not supported", path);
    return STATUS_OK;
}

static enum status read_llama(const json_t *root, const char *path, struct decoder_config *c,
                              struct error *error)
{
    int64_t width = get_int(root, "hidden_size", 0),
            heads = get_int(root, "num_attention_heads", 0);
    *c = decoder_config_llama(get_int(root, "vocab_size", 0),
                              get_int(root, "max_position_embeddings", 2048), width,
                              get_int(root, "num_hidden_layers", 0), heads);
    c->kv_heads = get_int(root, "num_key_value_heads", heads);
    c->head_width = get_int(root, "head_dim", heads > 0 ? width / heads : 0);
    c->hidden = get_int(root, "intermediate_size", 0);
    c->norm_epsilon = get_real(root, "rms_norm_eps", 1e-6);
    const json_t *rope = json_object_get(root, "rope_parameters");
    c->rope_base = get_real(root, "rope_theta", get_real(rope, "rope_theta", 10000.0));
    c->tied = json_is_true(json_object_get(root, "tie_word_embeddings"));
    c->attention_bias = c->output_bias = json_is_true(json_object_get(root, "attention_bias"));
    c->mlp_bias = json_is_true(json_object_get(root, "mlp_bias"));
    enum status status = check_rope(root, rope, path, error);
    if (status == STATUS_OK)
        status = check_rope(root, json_object_get(root, "rope_scaling"), path, error);
    if (status != STATUS_OK)
        return status;
    const char *act = json_string_value(json_object_get(root, "hidden_act"));
    if (act && strcmp(act, "silu") != 0)
        return error_set(error, STATUS_FAILED, "%s: activation '%s' is not supported", path, act);
    return STATUS_OK;
}

static enum status read_gpt2(const json_t *root, const char *path, struct decoder_config *c,
                             struct error *error)
{
    *c = decoder_config_gpt2(get_int(root, "vocab_size", 0), get_int(root, "n_positions", 1024),
                             get_int(root, "n_embd", 0), get_int(root, "n_layer", 0),
                             get_int(root, "n_head", 0));
    c->hidden = get_int(root, "n_inner", 4 * c->width);
    c->norm_epsilon = get_real(root, "layer_norm_epsilon", 1e-5);
    c->tied = !json_is_false(json_object_get(root, "tie_word_embeddings"));
    if (json_is_false(json_object_get(root, "scale_attn_weights")) ||
        json_is_true(json_object_get(root, "scale_attn_by_inverse_layer_idx")) ||
        json_is_true(json_object_get(root, "add_cross_attention")))
        return error_set(error, STATUS_FAILED,
                         "%s: GPT-2 with another attention than the usual is not supported", path);
    const char *act = json_string_value(json_object_get(root, "activation_function"));
    if (act && strcmp(act, "gelu") == 0)
        c->mlp = MODEL_MLP_GELU;
    else if (act && strcmp(act, "gelu_new") != 0 && strcmp(act, "gelu_pytorch_tanh") != 0)
        return error_set(error, STATUS_FAILED, "%s: activation '%s' is not supported", path, act);
    return STATUS_OK;
}

enum status huggingface_read_config(const char *path, struct decoder_config *config,
                                    struct error *error)
{
    json_t *root;
    enum status status = read_json(path, &root, error);
    if (status != STATUS_OK)
        return status;
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type && strcmp(type, "llama") == 0)
        status = read_llama(root, path, config, error);
    else if (type && strcmp(type, "gpt2") == 0)
        status = read_gpt2(root, path, config, error);
    else
        status = error_set(error, STATUS_FAILED, "%s: model type '%.40s' is not supported", path,
                           type ? type : "");
    if (status == STATUS_OK) {
        config->bos_token = get_token(root, "bos_token_id");
        config->eos_token = get_token(root, "eos_token_id");
        status = decoder_config_check(config, path, error);
    }
    json_decref(root);
    return status;
}

static json_t *token_or_null(int64_t id)
{
    return id >= 0 ? json_integer(id) : json_null();
}

static json_t *llama_config(const struct decoder_config *c)
{
    return json_pack(
        "{s:[s],s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:f,s:f,s:b,s:b,s:b,s:f,s:s}",
        "architectures", "LlamaForCausalLM", "model_type", "llama", "vocab_size",
        (json_int_t)c->vocabulary, "hidden_size", (json_int_t)c->width, "intermediate_size",
        (json_int_t)c->hidden, "num_hidden_layers", (json_int_t)c->layers, "num_attention_heads",
        (json_int_t)c->heads, "num_key_value_heads", (json_int_t)c->kv_heads, "head_dim",
        (json_int_t)c->head_width, "hidden_act", "silu", "max_position_embeddings",
        (json_int_t)c->context, "rms_norm_eps", c->norm_epsilon, "rope_theta", c->rope_base,
        "tie_word_embeddings", c->tied, "attention_bias", c->attention_bias, "mlp_bias",
        c->mlp_bias, "initializer_range", 0.02, "torch_dtype", "float32");
}

static json_t *gpt2_config(const struct decoder_config *c)
{
    const char *act = c->mlp == MODEL_MLP_GELU ? "gelu" : "gelu_new";
    return json_pack("{s:[s],s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:f,s:f,s:f,s:f,s:b,s:s}",
                     "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "vocab_size",
                     (json_int_t)c->vocabulary, "n_positions", (json_int_t)c->context, "n_ctx",
                     (json_int_t)c->context, "n_embd", (json_int_t)c->width, "n_layer",
                     (json_int_t)c->layers, "n_head", (json_int_t)c->heads, "n_inner",
                     (json_int_t)c->hidden, "activation_function", act, "layer_norm_epsilon",
                     c->norm_epsilon, "resid_pdrop", c->dropout, "embd_pdrop", c->dropout,
                     "attn_pdrop", 0.0, "tie_word_embeddings", c->tied, "torch_dtype", "float32");
}

static enum status write_json(json_t *root, const char *path, struct error *error)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!text)
        return error_no_memory(error, 4096);
    enum status status = file_write_atomic(path, text, strlen(text), error);
    free(text);
    return status;
}

enum status huggingface_check_config(const struct decoder_config *config, const char *path,
                                     struct error *error)
{
    return model_check_expressible(config, false, path, error);
}

enum status huggingface_write_config(const struct decoder_config *config, const char *path,
                                     struct error *error)
{
    enum status status = model_check_expressible(config, false, path, error);
    if (status != STATUS_OK)
        return status;
    bool gpt2 = strcmp(config->family, "gpt2") == 0;
    json_t *root = gpt2 ? gpt2_config(config) : llama_config(config);
    json_object_set_new(root, "bos_token_id", token_or_null(config->bos_token));
    json_object_set_new(root, "eos_token_id", token_or_null(config->eos_token));
    return write_json(root, path, error);
}

/* Loading. */

static enum status find_stored(const struct model *model, const struct parameter *parameter,
                               struct stored_tensor *stored, struct error *error)
{
    const struct name_table *table = names_huggingface(model->decoder.config.family);
    stored->rule = names_find(table, parameter->name, stored->name, sizeof stored->name);
    const char *name = stored->rule ? stored->name : parameter->name;
    const struct safetensors_entry *entry =
        stored->rule ? safetensors_find(&model->safetensors, name) : NULL;
    if (!entry && stored->rule && strncmp(name, "transformer.", 12) == 0)
        entry = safetensors_find(&model->safetensors, name + 12); /* GPT-2's own files */
    if (!entry)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing",
                         model->safetensors.path, name);
    if (entry->rank > 2)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has %d axes",
                         model->safetensors.path, name, entry->rank);
    snprintf(stored->name, sizeof stored->name, "%s", entry->name);
    stored->format = entry->format;
    stored->data = entry->data;
    stored->columns = entry->rank > 0 ? entry->shape[entry->rank - 1] : 1;
    stored->rows = entry->rank > 1 ? entry->shape[0] : 1;
    return STATUS_OK;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

/* What older files carry beside the parameters: causal masks, rotation frequencies, and a tied
 * output projection once more. */
static bool is_spare(const struct decoder_config *c, const char *name)
{
    if (strcmp(c->family, "gpt2") == 0 &&
        (ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias")))
        return true;
    return ends_with(name, ".rotary_emb.inv_freq") ||
           (c->tied && strcmp(name, "lm_head.weight") == 0);
}

static enum status bind_file(struct model *model, bool train, struct error *error)
{
    const struct safetensors *file = &model->safetensors;
    struct table used = {0};
    enum status status = model_bind_all(model, file->path, find_stored, train, &used, error);
    for (int64_t i = 0; i < file->count && status == STATUS_OK; i++) {
        const char *name = file->entries[i].name;
        if (!table_find(&used, name, strlen(name)) && !is_spare(&model->decoder.config, name))
            status = model_unused_tensor(file->path, name, error);
    }
    table_free(&used);
    return status;
}

static enum status load_tokenizer(struct model *model, const char *folder, struct error *error)
{
    char *path = file_join(folder, "tokenizer.json");
    enum status status = STATUS_OK;
    if (path && file_exists(path)) {
        status = tok_load(path, &model->tokenizer, error);
        model->has_tokenizer = status == STATUS_OK;
        const struct decoder_config *c = &model->decoder.config;
        if (status == STATUS_OK && model->tokenizer.count > c->vocabulary)
            status = error_set(error, STATUS_FAILED,
                               "%s: %d tokens, but the model's vocabulary has %lld", path,
                               (int)model->tokenizer.count, (long long)c->vocabulary);
        if (status == STATUS_OK && c->eos_token >= 0 && c->eos_token < model->tokenizer.count)
            model->tokenizer.eos = (int32_t)c->eos_token;
        if (status == STATUS_OK && c->bos_token >= 0 && c->bos_token < model->tokenizer.count)
            model->tokenizer.bos = (int32_t)c->bos_token;
    }
    free(path);
    return status;
}

enum status model_load_folder(const char *folder, bool train, struct model *model,
                              struct error *error)
{
    char *config_path = file_join(folder, "config.json");
    char *weights_path = file_join(folder, "model.safetensors");
    struct decoder_config config;
    enum status status = STATUS_OK;
    if (!config_path || !weights_path)
        status = error_no_memory(error, strlen(folder));
    if (status == STATUS_OK)
        status = huggingface_read_config(config_path, &config, error);
    if (status == STATUS_OK)
        status = safetensors_open(weights_path, &model->safetensors, error);
    if (status == STATUS_OK)
        status = decoder_create(&config, &model->decoder, error);
    if (status == STATUS_OK)
        status = bind_file(model, train, error);
    if (status == STATUS_OK)
        status = load_tokenizer(model, folder, error);
    free(config_path);
    free(weights_path);
    return status;
}

/* Saving. */

/* The stored form of the tensor that `first` is (the first part of): rows joined, transposed. */
static float *gather(const struct model *model, int first, const struct name_rule *rule,
                     int64_t *rows, int64_t *columns, struct arena *arena)
{
    const struct parameters *parameters = &model->decoder.parameters;
    const struct parameter *p = &parameters->items[first];
    int64_t in = p->weight.columns, out = p->weight.rows * rule->parts;
    bool vector = p->rank == 1, turned = rule->form == NAME_TRANSPOSED;
    float *values = arena_alloc(arena, (size_t)(in * out) * sizeof(float));
    float *row = arena_alloc(arena, (size_t)in * sizeof(float));
    if (!values || !row)
        return NULL;
    /* Query, key and value follow one another; between them lie their biases. */
    int step = rule->parts > 1 && model->decoder.config.attention_bias ? 2 : 1;
    for (int64_t r = 0; r < out; r++) {
        const struct parameter *part = &parameters->items[first + step * (int)(r / p->weight.rows)];
        weight_unpack_row(&part->weight, r % p->weight.rows, 0, in, row);
        for (int64_t j = 0; j < in; j++)
            values[turned ? j * out + r : r * in + j] = row[j];
    }
    *rows = vector ? 1 : turned ? in : out;
    *columns = vector ? in * rule->parts : turned ? out : in;
    return values;
}

static enum status save_weights(const struct model *model, const char *path, struct error *error)
{
    const struct parameters *parameters = &model->decoder.parameters;
    const struct name_table *table = names_huggingface(model->decoder.config.family);
    struct arena arena = {.block_bytes = (size_t)16 << 20};
    struct safetensors_entry *entries =
        arena_calloc(&arena, (size_t)parameters->count + 1, sizeof *entries);
    int64_t count = 0;
    enum status status = entries ? STATUS_OK : error_no_memory(error, sizeof *entries);
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        char name[128];
        const struct name_rule *rule =
            names_find(table, parameters->items[i].name, name, sizeof name);
        if (!rule || rule->part > 0)
            continue;
        struct safetensors_entry *entry = &entries[count++];
        const struct weight *weight = &parameters->items[i].weight;
        int64_t rows = weight->rows, columns = weight->columns;
        entry->name = arena_strdup(&arena, name);
        entry->format = &weight_f32;
        entry->data = weight->data;
        if (rule->form != NAME_PLAIN || rule->parts > 1 || weight->format != &weight_f32)
            entry->data = gather(model, i, rule, &rows, &columns, &arena);
        entry->rank = parameters->items[i].rank;
        entry->shape[0] = entry->rank == 1 ? columns : rows;
        entry->shape[1] = columns;
        if (!entry->data || !entry->name)
            status = error_no_memory(error, (size_t)(rows * columns) * sizeof(float));
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (status == STATUS_OK)
        status = safetensors_write(path, entries, count, metadata, error);
    json_decref(metadata);
    arena_free(&arena);
    return status;
}

static enum status save_part(const struct model *model, const char *folder, const char *name,
                             struct error *error)
{
    const struct decoder_config *c = &model->decoder.config;
    char *path = file_join(folder, name);
    if (!path)
        return error_no_memory(error, strlen(folder));
    enum status status = STATUS_OK;
    if (strcmp(name, "config.json") == 0)
        status = huggingface_write_config(c, path, error);
    else if (strcmp(name, "model.safetensors") == 0)
        status = save_weights(model, path, error);
    else if (strcmp(name, "tokenizer.json") == 0)
        status = model->has_tokenizer ? tok_save(&model->tokenizer, path, error) : STATUS_OK;
    else
        status = write_json(json_pack("{s:o,s:o,s:b}", "bos_token_id", token_or_null(c->bos_token),
                                      "eos_token_id", token_or_null(c->eos_token), "do_sample", 1),
                            path, error);
    free(path);
    return status;
}

enum status model_save_folder(const struct model *model, const char *folder, struct error *error)
{
    const char *const parts[] = {"config.json", "generation_config.json", "tokenizer.json",
                                 "model.safetensors"};
    enum status status = file_make_folders(folder, error);
    for (int i = 0; i < 4 && status == STATUS_OK; i++)
        status = save_part(model, folder, parts[i], error);
    return status;
}
