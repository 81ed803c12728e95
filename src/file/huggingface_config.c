/* config.json of Hugging Face folders, in both directions. Whatever a file asks for and adze does
 * not compute is refused: such a model would load and be wrong. A configuration is written and read
 * back in memory first; one that does not survive cannot be said in its family's files. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "file/families.h"
#include "file/kinds.h"

#define CONFIG_LIMIT ((uint64_t)16 << 20)

enum status huggingface_read_json(const char *path, json_t **root, struct error *error)
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

/* What is there and is no such number becomes -1 or NAN, which decoder_config_check refuses: with
 * the fallback the model would load and be wrong. */
static int64_t get_int(const json_t *root, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value))
        return fallback;
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static double get_real(const json_t *root, const char *key, double fallback)
{
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value))
        return fallback;
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* Ids may be given as a list, of which the first counts. */
static int64_t get_token(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const char *get_text(const json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static bool get_bool(const json_t *root, const char *key, bool fallback)
{
    const json_t *value = json_object_get(root, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static enum status refuse(const char *path, const char *what, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: %s: not supported", path, what);
}

/* Rotations. */

static enum status read_factors(const json_t *rope, const char *key, int64_t count,
                                const char *path, float *out, struct error *error)
{
    const json_t *list = json_object_get(rope, key);
    if (!json_is_array(list) || (int64_t)json_array_size(list) != count || count > ROPE_PAIRS_MOST)
        return error_set(error, STATUS_FAILED, "%s: %s must list %lld numbers", path, key,
                         (long long)count);
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return STATUS_OK;
}

static enum status read_long_rope(const json_t *root, const json_t *rope, const char *path,
                                  struct decoder_config *c, struct error *error)
{
    struct rope_config *r = &c->rope;
    r->scaling = ROPE_SCALING_LONG;
    r->first_context = get_int(root, "original_max_position_embeddings",
                               get_int(rope, "original_max_position_embeddings", c->context));
    double ratio = get_real(rope, "factor", (double)c->context / (double)r->first_context);
    double usual = ratio > 1 ? sqrt(1 + log(ratio) / log((double)r->first_context)) : 1;
    r->magnitude = get_real(rope, "attention_factor", usual);
    int64_t pairs = decoder_rope_width(c) / 2;
    enum status status = read_factors(rope, "short_factor", pairs, path, r->short_factors, error);
    return status == STATUS_OK
               ? read_factors(rope, "long_factor", pairs, path, r->long_factors, error)
               : status;
}

static void read_yarn(const json_t *rope, struct decoder_config *c)
{
    struct rope_config *r = &c->rope;
    r->scaling = ROPE_SCALING_YARN;
    r->low = get_real(rope, "beta_slow", 1);
    r->high = get_real(rope, "beta_fast", 32);
    r->magnitude = get_real(rope, "attention_factor", r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1);
}

/* `rope` is NULL or what stands under rope_scaling or rope_parameters. */
static enum status read_scaling(const json_t *root, const json_t *rope, const char *path,
                                struct decoder_config *c, struct error *error)
{
    const char *type = get_text(rope, "rope_type");
    type = type ? type : get_text(rope, "type");
    if (!type || strcmp(type, "default") == 0)
        return STATUS_OK;
    struct rope_config *r = &c->rope;
    r->factor = get_real(rope, "factor", 0);
    r->first_context = get_int(rope, "original_max_position_embeddings", c->context);
    if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0)
        return read_long_rope(root, rope, path, c, error);
    if (strcmp(type, "linear") == 0) {
        r->scaling = ROPE_SCALING_LINEAR;
        r->first_context = 0;
    } else if (strcmp(type, "llama3") == 0) {
        r->scaling = ROPE_SCALING_LLAMA3;
        r->low = get_real(rope, "low_freq_factor", 0);
        r->high = get_real(rope, "high_freq_factor", 0);
    } else if (strcmp(type, "yarn") == 0 && !json_object_get(rope, "mscale") &&
               get_bool(rope, "truncate", true)) {
        read_yarn(rope, c);
    } else {
        return error_set(error, STATUS_FAILED,
                         "%s: scaled rotary positions ('%.40s') are not supported", path, type);
    }
    return STATUS_OK;
}

static enum status read_rope(const json_t *root, const char *path, struct decoder_config *c,
                             struct error *error)
{
    const json_t *rope = json_object_get(root, "rope_parameters");
    const json_t *local = json_object_get(rope, "sliding_attention");
    if (json_is_object(json_object_get(rope, "full_attention")))
        rope = json_object_get(rope, "full_attention");
    if (json_is_object(json_object_get(root, "rope_scaling")))
        rope = json_object_get(root, "rope_scaling");
    double base = strcmp(c->family, "modernbert") == 0 ? 160000 : 10000;
    base = get_real(root, "global_rope_theta", get_real(rope, "rope_theta", base));
    c->rope.base = get_real(root, "rope_theta", get_real(root, "rotary_emb_base", base));
    if (c->rope.local_base > 0)
        c->rope.local_base =
            get_real(root, "rope_local_base_freq",
                     get_real(root, "local_rope_theta", get_real(local, "rope_theta", 10000)));
    bool quarter = strcmp(c->family, "gptneox") == 0 || strcmp(c->family, "qwen35") == 0;
    double usual = quarter ? 0.25 : 1;
    double part =
        get_real(root, "partial_rotary_factor",
                 get_real(root, "rotary_pct", get_real(rope, "partial_rotary_factor", usual)));
    if (!(part > 0 && part <= 1))
        return error_set(error, STATUS_FAILED, "%s: rotary share %g must lie between 0 and 1", path,
                         part);
    c->rope.width = part < 1 ? (int64_t)((double)c->head_width * part) : 0;
    return read_scaling(root, rope, path, c, error);
}

/* Patterns of layers. */

/* A list of one mark a layer, true where `yes` says so, as every n-th layer. */
static enum status read_pattern(const json_t *list, bool (*yes)(const json_t *item), int64_t layers,
                                const char *path, struct layer_pattern *pattern,
                                struct error *error)
{
    struct layer_pattern found = {0, 0};
    int64_t count = (int64_t)json_array_size(list), first = -1;
    for (int64_t i = 0; i < count && found.every == 0; i++) {
        if (!yes(json_array_get(list, (size_t)i)))
            continue;
        if (first >= 0)
            found.every = i - first;
        first = first < 0 ? i : first;
    }
    if (first >= 0 && found.every == 0) /* once only */
        found.every = first < count - first ? count - first : first + 1;
    found.at = found.every > 0 ? first % found.every : 0;
    bool fits = count == layers && (first < 0 || first < found.every);
    for (int64_t i = 0; i < count && fits; i++)
        fits = yes(json_array_get(list, (size_t)i)) == layer_pattern_has(&found, i);
    if (!fits)
        return refuse(path, "layers of different kinds in no regular order", error);
    *pattern = found;
    return STATUS_OK;
}

static bool sees_all(const json_t *item)
{
    const char *text = json_string_value(item);
    return text && strcmp(text, "full_attention") == 0;
}

static bool is_window(const json_t *item)
{
    const char *text = json_string_value(item);
    return text && strcmp(text, "sliding_attention") == 0;
}

static bool is_zero(const json_t *item)
{
    return json_is_integer(item) && json_integer_value(item) == 0;
}

/* Windows: which layers have one. */
static enum status read_windows(const json_t *root, const char *path, struct decoder_config *c,
                                struct error *error)
{
    const json_t *types = json_object_get(root, "layer_types");
    c->window = get_int(root, "sliding_window", 0);
    if (strcmp(c->family, "modernbert") == 0) { /* half to either side, and the token itself */
        int64_t every = get_int(root, "global_attn_every_n_layers", 3);
        c->window = get_int(root, "local_attention", 128);
        c->window = c->window > 0 ? c->window / 2 + 1 : c->window;
        c->global = (struct layer_pattern){every, 0};
    }
    if (!get_bool(root, "use_sliding_window", true))
        c->window = 0;
    if (c->window == 0) {
        c->global = (struct layer_pattern){0, 0};
        return STATUS_OK;
    }
    int64_t every = get_int(root, "sliding_window_pattern", 0);
    if (every > 0)
        c->global = (struct layer_pattern){every, every - 1};
    int64_t from = get_int(root, "max_window_layers", 0); /* Qwen: those below see all */
    if (!types && from > 0 && from < c->layers)
        return refuse(path, "windows on the upper layers only", error);
    if (!types && from >= c->layers)
        c->window = 0;
    for (size_t i = 0; i < json_array_size(types); i++)
        if (!sees_all(json_array_get(types, i)) && !is_window(json_array_get(types, i)))
            return refuse(path, "a layer of an unknown kind", error);
    enum status status = STATUS_OK;
    if (types)
        status = read_pattern(types, sees_all, c->layers, path, &c->global, error);
    if (status == STATUS_OK && c->global.every == 1) { /* all of them */
        c->window = 0;
        c->global = (struct layer_pattern){0, 0};
    }
    return status;
}

/* Families. */

static enum status read_activation(const json_t *root, const char *key, const char *path,
                                   struct decoder_config *c, struct error *error)
{
    static const struct {
        const char *name;
        enum model_mlp gated, plain;
    } kinds[] = {
        {"silu", MODEL_MLP_SWIGLU, MODEL_MLP_GELU},
        {"gelu_pytorch_tanh", MODEL_MLP_GEGLU_TANH, MODEL_MLP_GELU_TANH},
        {"gelu_new", MODEL_MLP_GEGLU_TANH, MODEL_MLP_GELU_TANH},
        {"gelu", MODEL_MLP_GEGLU, MODEL_MLP_GELU},
        {"relu", MODEL_MLP_SWIGLU, MODEL_MLP_RELU},
    };
    const char *name = get_text(root, key);
    bool gated = model_mlp_is_gated(c->mlp);
    if (!name)
        return STATUS_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool known = strcmp(kinds[i].name, name) == 0;
        if (known && i != (gated ? 4 : 0)) { /* no gate by ReLU, no SiLU without a gate */
            c->mlp = gated ? kinds[i].gated : kinds[i].plain;
            return STATUS_OK;
        }
    }
    return error_set(error, STATUS_FAILED, "%s: activation '%.40s' is not supported", path, name);
}

/* What single families say beside the common keys. */
static enum status read_special(const json_t *root, const char *path, struct decoder_config *c,
                                struct error *error)
{
    bool gemma = strncmp(c->family, "gemma", 5) == 0;
    if (gemma) {
        double scalar = get_real(root, "query_pre_attn_scalar", 256);
        c->attention_scale = scalar > 0 ? 1 / sqrt(scalar) : -1;
        c->attention_softcap = get_real(root, "attn_logit_softcapping", 0);
        c->logit_softcap = get_real(root, "final_logit_softcapping", 0);
        if (get_bool(root, "use_bidirectional_attention", false))
            return refuse(path, "attention in both directions", error);
    } else if (strcmp(c->family, "granite") == 0) {
        c->embedding_scale = get_real(root, "embedding_multiplier", 1);
        c->attention_scale = get_real(root, "attention_multiplier", 1);
        c->residual_scale = get_real(root, "residual_multiplier", 1);
        c->logit_scale = 1 / get_real(root, "logits_scaling", 1);
    } else if (strcmp(c->family, "smollm3") == 0) {
        const json_t *list = json_object_get(root, "no_rope_layers");
        int64_t every = get_int(root, "no_rope_layer_interval", 4);
        c->unrotated = (struct layer_pattern){every, every - 1};
        if (list)
            return read_pattern(list, is_zero, c->layers, path, &c->unrotated, error);
    } else if (strcmp(c->family, "qwen35") == 0) {
        const json_t *types = json_object_get(root, "layer_types");
        c->delta.key_heads = get_int(root, "linear_num_key_heads", 16);
        c->delta.value_heads = get_int(root, "linear_num_value_heads", 32);
        c->delta.key_width = get_int(root, "linear_key_head_dim", 128);
        c->delta.value_width = get_int(root, "linear_value_head_dim", 128);
        c->delta.kernel = get_int(root, "linear_conv_kernel_dim", 4);
        if (types)
            return read_pattern(types, sees_all, c->layers, path, &c->delta.attention, error);
    } else if (strcmp(c->family, "bert") == 0) {
        const char *positions = get_text(root, "position_embedding_type");
        c->token_types = get_int(root, "type_vocab_size", 2);
        if (positions && strcmp(positions, "absolute") != 0)
            return refuse(path, "BERT with relative positions", error);
    } else if (strcmp(c->family, "modernbert") == 0) {
        if (get_bool(root, "norm_bias", false) || c->attention_bias || c->mlp_bias)
            return refuse(path, "ModernBERT with biases", error);
    } else if (strcmp(c->family, "olmoe") == 0) {
        if (json_is_number(json_object_get(root, "clip_qkv")))
            return refuse(path, "clipped queries, keys and values", error);
    } else if (strcmp(c->family, "qwen3moe") == 0) {
        if (get_int(root, "decoder_sparse_step", 1) != 1 ||
            json_array_size(json_object_get(root, "mlp_only_layers")) > 0)
            return refuse(path, "experts in some layers only", error);
    } else if (strcmp(c->family, "gptneox") == 0) {
        if (!get_bool(root, "use_parallel_residual", true))
            c->block = MODEL_BLOCK_PRE;
    } else if (strcmp(c->family, "opt") == 0) {
        int64_t row = get_int(root, "word_embed_proj_dim", c->width);
        c->embedding_width = row != c->width ? row : 0;
        if (!get_bool(root, "do_layer_norm_before", true))
            c->block = MODEL_BLOCK_POST;
        if (!get_bool(root, "enable_bias", true) ||
            !get_bool(root, "layer_norm_elementwise_affine", true) ||
            get_bool(root, "_remove_final_layer_norm", false))
            return refuse(path, "OPT without biases, or with norms left out", error);
    }
    return STATUS_OK;
}

/* A mixture of experts; `hidden` is then an expert's width. */
static void read_experts(const json_t *root, struct decoder_config *c)
{
    static const char *const mixtures[] = {"mixtral", "olmoe", "qwen3moe"};
    for (int i = 0; i < 3; i++)
        if (strcmp(c->family, mixtures[i]) == 0) {
            c->experts = get_int(root, "num_local_experts", get_int(root, "num_experts", 0));
            c->experts_used = get_int(root, "num_experts_per_tok", 0);
            c->hidden = get_int(root, "moe_intermediate_size", c->hidden);
            c->experts_whole = i == 0 || get_bool(root, "norm_topk_prob", false);
            c->experts = c->experts > 0 ? c->experts : -1; /* refused later */
        }
}

static enum status read_common(const struct family *family, const json_t *root, const char *path,
                               struct decoder_config *c, struct error *error)
{
    int64_t width = get_int(root, "hidden_size", 0),
            heads = get_int(root, "num_attention_heads", 0);
    *c = family_config(family, get_int(root, "vocab_size", 0),
                       get_int(root, "max_position_embeddings", 2048), width,
                       get_int(root, "num_hidden_layers", 0), heads);
    c->kv_heads = family->grouped ? get_int(root, "num_key_value_heads", heads) : heads;
    c->head_width = get_int(root, "head_dim", heads > 0 ? width / heads : 0);
    c->hidden = get_int(root, "intermediate_size", get_int(root, "ffn_dim", 0));
    double usual = strcmp(c->family, "bert") == 0 ? 1e-12 : 1e-5;
    c->norm_epsilon = c->norm == MODEL_NORM_RMS
                          ? get_real(root, "rms_norm_eps", 1e-6)
                          : get_real(root, "layer_norm_eps", get_real(root, "norm_eps", usual));
    c->tied = get_bool(root, "tie_word_embeddings", c->tied);
    if (strcmp(c->family, "qwen2") != 0) {
        c->attention_bias = get_bool(root, "attention_bias", c->attention_bias);
        c->output_bias = get_bool(root, "attention_bias", c->output_bias);
    }
    c->mlp_bias = get_bool(root, "mlp_bias", c->mlp_bias);
    read_experts(root, c);
    enum status status = STATUS_OK;
    if (c->positions == MODEL_POSITIONS_ROTARY) /* needs sizes that may be anything yet */
        status = decoder_config_check(c, path, error);
    if (status == STATUS_OK && c->positions == MODEL_POSITIONS_ROTARY)
        status = read_rope(root, path, c, error);
    if (status == STATUS_OK)
        status = read_windows(root, path, c, error);
    if (status == STATUS_OK)
        status = read_activation(root, "hidden_act", path, c, error);
    if (status == STATUS_OK)
        status = read_activation(root, "hidden_activation", path, c, error);
    if (status == STATUS_OK)
        status = read_activation(root, "activation_function", path, c, error);
    return status == STATUS_OK ? read_special(root, path, c, error) : status;
}

static enum status read_gpt2(const struct family *family, const json_t *root, const char *path,
                             struct decoder_config *c, struct error *error)
{
    *c = family_config(family, get_int(root, "vocab_size", 0), get_int(root, "n_positions", 1024),
                       get_int(root, "n_embd", 0), get_int(root, "n_layer", 0),
                       get_int(root, "n_head", 0));
    c->hidden = get_int(root, "n_inner", c->hidden);
    c->norm_epsilon = get_real(root, "layer_norm_epsilon", 1e-5);
    c->tied = get_bool(root, "tie_word_embeddings", true);
    if (!get_bool(root, "scale_attn_weights", true) ||
        get_bool(root, "scale_attn_by_inverse_layer_idx", false) ||
        get_bool(root, "add_cross_attention", false))
        return refuse(path, "GPT-2 with another attention than the usual", error);
    return read_activation(root, "activation_function", path, c, error);
}

static enum status read_config(const json_t *root, const char *path, struct decoder_config *config,
                               struct error *error)
{
    const char *type = get_text(root, "model_type");
    const struct family *family = family_by_model_type(type);
    if (!family)
        return error_set(error, STATUS_FAILED, "%s: model type '%.40s' is not supported", path,
                         type ? type : "");
    enum status status = strcmp(family->name, "gpt2") == 0
                             ? read_gpt2(family, root, path, config, error)
                             : read_common(family, root, path, config, error);
    if (status != STATUS_OK)
        return status;
    config->bos_token = get_token(root, "bos_token_id");
    config->eos_token = get_token(root, "eos_token_id");
    return decoder_config_check(config, path, error);
}

enum status huggingface_read_config(const char *path, struct decoder_config *config,
                                    struct error *error)
{
    json_t *root;
    enum status status = huggingface_read_json(path, &root, error);
    if (status != STATUS_OK)
        return status;
    status = read_config(root, path, config, error);
    json_decref(root);
    return status;
}

/* Writing. */

enum status huggingface_write_json(json_t *root, const char *path, struct error *error)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text)
        return error_no_memory(error, 4096);
    enum status status = file_write_atomic(path, text, strlen(text), error);
    free(text);
    return status;
}

static json_t *token_or_null(int64_t id)
{
    return id >= 0 ? json_integer(id) : json_null();
}

static void set_int(json_t *root, const char *key, int64_t value)
{
    json_object_set_new(root, key, json_integer(value));
}

static void set_real(json_t *root, const char *key, double value)
{
    json_object_set_new(root, key, json_real(value));
}

static void set_text(json_t *root, const char *key, const char *value)
{
    json_object_set_new(root, key, json_string(value));
}

static const char *activation_name(enum model_mlp mlp)
{
    static const char *const names[] = {
        [MODEL_MLP_SWIGLU] = "silu",        [MODEL_MLP_GEGLU_TANH] = "gelu_pytorch_tanh",
        [MODEL_MLP_GEGLU] = "gelu",         [MODEL_MLP_GELU] = "gelu",
        [MODEL_MLP_GELU_TANH] = "gelu_new", [MODEL_MLP_RELU] = "relu",
    };
    return names[mlp];
}

static json_t *list_factors(const float *factors, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, json_real((double)factors[i]));
    return list;
}

/* What rope_scaling says; NULL when nothing is scaled. */
static json_t *scaling_object(const struct decoder_config *c)
{
    const struct rope_config *r = &c->rope;
    int64_t pairs = decoder_rope_width(c) / 2;
    json_t *rope = json_object();
    switch (r->scaling) {
    case ROPE_SCALING_NONE:
        json_decref(rope);
        return NULL;
    case ROPE_SCALING_LINEAR:
        set_text(rope, "rope_type", "linear");
        set_real(rope, "factor", r->factor);
        return rope;
    case ROPE_SCALING_LLAMA3:
        set_text(rope, "rope_type", "llama3");
        set_real(rope, "factor", r->factor);
        set_real(rope, "low_freq_factor", r->low);
        set_real(rope, "high_freq_factor", r->high);
        break;
    case ROPE_SCALING_YARN:
        set_text(rope, "rope_type", "yarn");
        set_real(rope, "factor", r->factor);
        set_real(rope, "beta_slow", r->low);
        set_real(rope, "beta_fast", r->high);
        set_real(rope, "attention_factor", r->magnitude);
        break;
    case ROPE_SCALING_LONG:
        set_text(rope, "rope_type", "longrope");
        set_real(rope, "attention_factor", r->magnitude);
        json_object_set_new(rope, "short_factor", list_factors(r->short_factors, pairs));
        json_object_set_new(rope, "long_factor", list_factors(r->long_factors, pairs));
        break;
    }
    set_int(rope, "original_max_position_embeddings", r->first_context);
    return rope;
}

static void write_rope(json_t *root, const struct decoder_config *c)
{
    bool modernbert = strcmp(c->family, "modernbert") == 0;
    set_real(root,
             modernbert                          ? "global_rope_theta"
             : strcmp(c->family, "gptneox") == 0 ? "rotary_emb_base"
                                                 : "rope_theta",
             c->rope.base);
    if (c->rope.local_base > 0)
        set_real(root, modernbert ? "local_rope_theta" : "rope_local_base_freq",
                 c->rope.local_base);
    double part = (double)decoder_rope_width(c) / (double)c->head_width;
    if (strcmp(c->family, "gptneox") == 0)
        set_real(root, "rotary_pct", part);
    else if (part < 1)
        set_real(root, "partial_rotary_factor", part);
    json_t *rope = scaling_object(c);
    if (rope)
        json_object_set_new(root, "rope_scaling", rope);
    if (c->rope.scaling == ROPE_SCALING_LONG)
        set_int(root, "original_max_position_embeddings", c->rope.first_context);
}

static void write_windows(json_t *root, const struct decoder_config *c)
{
    if (strcmp(c->family, "modernbert") == 0) {
        set_int(root, "local_attention", 2 * (c->window - 1));
        set_int(root, "global_attn_every_n_layers", c->global.every);
        return;
    }
    bool qwen = strncmp(c->family, "qwen", 4) == 0 || strcmp(c->family, "smollm3") == 0;
    if (qwen)
        json_object_set_new(root, "use_sliding_window", json_boolean(c->window > 0));
    json_object_set_new(root, "sliding_window",
                        c->window > 0 ? json_integer(c->window) : json_null());
    if (c->window == 0 || strcmp(c->family, "mistral") == 0 || strcmp(c->family, "phi3") == 0)
        return;
    json_t *types = json_array();
    for (int64_t i = 0; i < c->layers; i++)
        json_array_append_new(
            types,
            json_string(decoder_layer_window(c, i) > 0 ? "sliding_attention" : "full_attention"));
    json_object_set_new(root, "layer_types", types);
}

static void write_special(json_t *root, const struct decoder_config *c)
{
    if (strncmp(c->family, "gemma", 5) == 0) {
        set_text(root, "hidden_activation", activation_name(c->mlp));
        double scale = c->attention_scale;
        set_real(root, "query_pre_attn_scalar",
                 scale > 0 ? 1 / (scale * scale) : (double)c->head_width);
        if (c->attention_softcap > 0 || strcmp(c->family, "gemma2") == 0)
            json_object_set_new(root, "attn_logit_softcapping",
                                c->attention_softcap > 0 ? json_real(c->attention_softcap)
                                                         : json_null());
        json_object_set_new(root, "final_logit_softcapping",
                            c->logit_softcap > 0 ? json_real(c->logit_softcap) : json_null());
    } else if (strcmp(c->family, "granite") == 0) {
        set_real(root, "embedding_multiplier", c->embedding_scale > 0 ? c->embedding_scale : 1);
        set_real(root, "attention_multiplier",
                 c->attention_scale > 0 ? c->attention_scale : 1 / sqrt((double)c->head_width));
        set_real(root, "residual_multiplier", c->residual_scale > 0 ? c->residual_scale : 1);
        set_real(root, "logits_scaling", c->logit_scale > 0 ? 1 / c->logit_scale : 1);
    } else if (strcmp(c->family, "smollm3") == 0) {
        json_t *list = json_array();
        for (int64_t i = 0; i < c->layers; i++)
            json_array_append_new(list, json_integer(!layer_pattern_has(&c->unrotated, i)));
        json_object_set_new(root, "no_rope_layers", list);
    } else if (strcmp(c->family, "gptneox") == 0) {
        json_object_set_new(root, "use_parallel_residual",
                            json_boolean(c->block == MODEL_BLOCK_PARALLEL));
    } else if (strcmp(c->family, "qwen35") == 0) {
        json_t *types = json_array();
        for (int64_t i = 0; i < c->layers; i++)
            json_array_append_new(
                types,
                json_string(decoder_layer_is_delta(c, i) ? "linear_attention" : "full_attention"));
        json_object_set_new(root, "layer_types", types);
        set_int(root, "linear_num_key_heads", c->delta.key_heads);
        set_int(root, "linear_num_value_heads", c->delta.value_heads);
        set_int(root, "linear_key_head_dim", c->delta.key_width);
        set_int(root, "linear_value_head_dim", c->delta.value_width);
        set_int(root, "linear_conv_kernel_dim", c->delta.kernel);
    } else if (strcmp(c->family, "bert") == 0) {
        set_int(root, "type_vocab_size", c->token_types);
    } else if (strcmp(c->family, "modernbert") == 0) {
        set_text(root, "hidden_activation", activation_name(c->mlp));
    } else if (strcmp(c->family, "opt") == 0) {
        set_text(root, "activation_function", activation_name(c->mlp));
        json_object_set_new(root, "do_layer_norm_before",
                            json_boolean(c->block != MODEL_BLOCK_POST));
        set_int(root, "word_embed_proj_dim", decoder_embedding_width(c));
        set_int(root, "ffn_dim", c->hidden);
        set_real(root, "dropout", c->dropout);
        set_real(root, "attention_dropout", 0);
    }
}

static json_t *common_config(const struct decoder_config *c)
{
    json_t *root = json_object();
    set_int(root, "vocab_size", c->vocabulary);
    set_int(root, "hidden_size", c->width);
    set_int(root, "intermediate_size", c->hidden);
    set_int(root, "num_hidden_layers", c->layers);
    set_int(root, "num_attention_heads", c->heads);
    if (c->kv_heads != c->heads || family_by_name(c->family)->grouped)
        set_int(root, "num_key_value_heads", c->kv_heads);
    set_int(root, "head_dim", c->head_width);
    set_text(root, "hidden_act", activation_name(c->mlp));
    set_int(root, "max_position_embeddings", c->context);
    set_real(root,
             c->norm == MODEL_NORM_RMS     ? "rms_norm_eps"
             : c->norm == MODEL_NORM_LAYER ? "layer_norm_eps"
                                           : "norm_eps",
             c->norm_epsilon);
    if (strcmp(c->family, "qwen2") != 0 && strcmp(c->family, "opt") != 0 &&
        strcmp(c->family, "bert") != 0)
        json_object_set_new(root, "attention_bias", json_boolean(c->attention_bias));
    if (strcmp(c->family, "llama") == 0 || strcmp(c->family, "granite") == 0 ||
        strcmp(c->family, "smollm3") == 0)
        json_object_set_new(root, "mlp_bias", json_boolean(c->mlp_bias));
    if (c->experts > 0) {
        bool mixtral = strcmp(c->family, "mixtral") == 0;
        set_int(root, mixtral ? "num_local_experts" : "num_experts", c->experts);
        set_int(root, "num_experts_per_tok", c->experts_used);
        if (!mixtral)
            json_object_set_new(root, "norm_topk_prob", json_boolean(c->experts_whole));
        if (strcmp(c->family, "qwen3moe") == 0)
            set_int(root, "moe_intermediate_size", c->hidden);
    }
    if (c->positions == MODEL_POSITIONS_ROTARY) {
        write_rope(root, c);
        write_windows(root, c);
    }
    write_special(root, c);
    return root;
}

static json_t *gpt2_config(const struct decoder_config *c)
{
    json_t *root = json_object();
    set_int(root, "vocab_size", c->vocabulary);
    set_int(root, "n_positions", c->context);
    set_int(root, "n_ctx", c->context);
    set_int(root, "n_embd", c->width);
    set_int(root, "n_layer", c->layers);
    set_int(root, "n_head", c->heads);
    set_int(root, "n_inner", c->hidden);
    set_text(root, "activation_function", activation_name(c->mlp));
    set_real(root, "layer_norm_epsilon", c->norm_epsilon);
    set_real(root, "resid_pdrop", c->dropout);
    set_real(root, "embd_pdrop", c->dropout);
    set_real(root, "attn_pdrop", 0);
    return root;
}

/* Whether reading the file would give this configuration again. Dropout is of no family. */
static bool survives(const json_t *root, const struct decoder_config *config)
{
    struct decoder_config again;
    if (read_config(root, "", &again, NULL) != STATUS_OK)
        return false;
    return model_configs_agree(config, &again);
}

/* config.json as an object; fails when the family has no class, or its files cannot say this. */
static enum status make_config(const struct decoder_config *config, const char *path,
                               json_t **result, struct error *error)
{
    const struct family *family = family_by_name(config->family);
    *result = NULL;
    if (!family)
        return error_set(error, STATUS_FAILED, "%s: family '%s' has no Hugging Face class", path,
                         config->family);
    json_t *root = strcmp(family->name, "gpt2") == 0 ? gpt2_config(config) : common_config(config);
    json_object_set_new(root, "architectures", json_pack("[s]", family->class_name));
    set_text(root, "model_type", family->model_type);
    json_object_set_new(root, "tie_word_embeddings", json_boolean(config->tied));
    set_text(root, "torch_dtype", "float32");
    json_object_set_new(root, "bos_token_id", token_or_null(config->bos_token));
    json_object_set_new(root, "eos_token_id", token_or_null(config->eos_token));
    if (survives(root, config)) {
        *result = root;
        return STATUS_OK;
    }
    json_decref(root);
    return error_set(error, STATUS_FAILED,
                     "%s: this mixture of options cannot be written as a %s model", path,
                     family->class_name);
}

enum status huggingface_check_config(const struct decoder_config *config, const char *path,
                                     struct error *error)
{
    json_t *root;
    enum status status = make_config(config, path, &root, error);
    json_decref(root);
    return status;
}

enum status huggingface_write_config(const struct decoder_config *config, const char *path,
                                     struct error *error)
{
    json_t *root;
    enum status status = make_config(config, path, &root, error);
    return status == STATUS_OK ? huggingface_write_json(root, path, error) : status;
}
