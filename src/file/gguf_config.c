/* The decoder's configuration in GGUF's keys, in both directions. To write, the keys are listed
 * first; a configuration that reading the list does not give again cannot be said in GGUF and is
 * refused before anything is written. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/families.h"
#include "file/kinds.h"
#include "weight/formats.h"

#define KEYS_MOST 48

struct config_key {
    char name[64]; /* without the architecture in front */
    enum { KEY_COUNT, KEY_REAL, KEY_FLAG, KEY_TEXT } kind;
    double number;
    const char *text;
};

struct config_keys {
    struct config_key items[KEYS_MOST];
    int count;
};

/* Where a configuration is read from: an open file, or a list of keys with the configuration that
 * they were made of, which tells what tensors there would be. */
struct config_source {
    struct gguf *file;
    const struct config_keys *keys;
    const struct decoder_config *made_of;
    const char *arch;
};

static bool get_number(const struct config_source *s, const char *key, double *value)
{
    char name[128];
    if (s->file) {
        bool flag;
        int64_t integer;
        snprintf(name, sizeof name, "%s.%s", s->arch, key);
        if (gguf_get_bool(s->file, name, &flag)) {
            *value = flag;
            return true;
        }
        if (gguf_get_int(s->file, name, &integer)) {
            *value = (double)integer;
            return true;
        }
        if (gguf_get_real(s->file, name, value))
            return true;
        *value = (double)NAN; /* what is there and no number is refused later */
        return gguf_find(s->file, name) != NULL;
    }
    for (int i = 0; i < s->keys->count; i++)
        if (strcmp(s->keys->items[i].name, key) == 0 && s->keys->items[i].kind != KEY_TEXT) {
            *value = s->keys->items[i].number;
            return true;
        }
    return false;
}

static double real_or(const struct config_source *s, const char *key, double fallback)
{
    double value;
    return get_number(s, key, &value) ? value : fallback;
}

/* A count; what is none, or too large for one, becomes -1, which is refused later. */
static int64_t count_or(const struct config_source *s, const char *key, int64_t fallback)
{
    double value;
    if (!get_number(s, key, &value))
        return fallback;
    return value >= 0 && value < 1e15 ? (int64_t)value : -1;
}

static const char *get_text(const struct config_source *s, const char *key)
{
    char name[128];
    if (s->file) {
        snprintf(name, sizeof name, "%s.%s", s->arch, key);
        return gguf_get_text(s->file, name);
    }
    for (int i = 0; i < s->keys->count; i++)
        if (strcmp(s->keys->items[i].name, key) == 0 && s->keys->items[i].kind == KEY_TEXT)
            return s->keys->items[i].text;
    return NULL;
}

static bool is_list(const struct config_source *s, const char *key)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", s->arch, key);
    const struct gguf_value *value = s->file ? gguf_find(s->file, name) : NULL;
    return value && value->type == GGUF_ARRAY;
}

static bool has_tensor(const struct config_source *s, const char *name)
{
    return gguf_tensor_find(s->file, name) != NULL;
}

/* What the presence of tensors says. */
static void read_presence(const struct config_source *s, struct decoder_config *c)
{
    if (!s->file) {
        c->tied = s->made_of->tied;
        c->token_types = s->made_of->token_types;
        c->attention_bias = s->made_of->attention_bias;
        c->output_bias = s->made_of->output_bias;
        c->mlp_bias = s->made_of->mlp_bias;
        return;
    }
    c->tied = !has_tensor(s, "output.weight");
    const struct gguf_tensor *types = gguf_tensor_find(s->file, "token_types.weight");
    c->token_types = types ? types->shape[1] : 0;
    c->attention_bias = has_tensor(s, "blk.0.attn_q.bias") || has_tensor(s, "blk.0.attn_qkv.bias");
    c->output_bias = has_tensor(s, "blk.0.attn_output.bias");
    c->mlp_bias = has_tensor(s, "blk.0.ffn_up.bias");
}

/* Rotations. */

static void base_speeds(const struct decoder_config *c, double *speeds)
{
    struct decoder_config plain = *c;
    double magnitude;
    plain.rope.scaling = ROPE_SCALING_NONE;
    decoder_rope_speeds(&plain, false, false, speeds, &magnitude);
}

int gguf_rope_tensors(const struct decoder_config *c, struct gguf_rope_tensor out[2])
{
    double usual[ROPE_PAIRS_MOST], speeds[ROPE_PAIRS_MOST], magnitude;
    int64_t pairs = decoder_rope_width(c) / 2;
    bool long_rope = c->rope.scaling == ROPE_SCALING_LONG;
    if (c->positions != MODEL_POSITIONS_ROTARY ||
        (!long_rope && c->rope.scaling != ROPE_SCALING_LLAMA3))
        return 0;
    int count = long_rope && strcmp(c->family, "phi3") == 0 ? 2 : 1;
    base_speeds(c, usual);
    for (int which = 0; which < count; which++) {
        struct gguf_rope_tensor *tensor = &out[which];
        tensor->name = count == 1   ? "rope_freqs.weight"
                       : which == 0 ? "rope_factors_long.weight"
                                    : "rope_factors_short.weight";
        tensor->count = pairs;
        decoder_rope_speeds(c, false, count == 2 && which == 0, speeds, &magnitude);
        for (int64_t j = 0; j < pairs; j++)
            tensor->values[j] = (float)(usual[j] / speeds[j]);
    }
    return count;
}

static bool read_factors(const struct config_source *s, const char *name, int64_t pairs, float *out)
{
    const struct gguf_tensor *tensor = gguf_tensor_find(s->file, name);
    if (!tensor || tensor->format != &weight_f32 || tensor->shape[0] != pairs ||
        tensor->bytes != (size_t)pairs * sizeof(float) || pairs > ROPE_PAIRS_MOST)
        return false;
    memcpy(out, tensor->data, tensor->bytes);
    return true;
}

/* GGUF keeps of Llama 3's scaling the factor of each pair. The values that all published models use
 * are tried; if they give these factors they are meant, and else the factors are kept as they are.
 */
static void recognize_llama3(struct decoder_config *c)
{
    struct rope_config factors = c->rope;
    double usual[ROPE_PAIRS_MOST], speeds[ROPE_PAIRS_MOST], magnitude, most = 0;
    int64_t pairs = decoder_rope_width(c) / 2;
    for (int64_t j = 0; j < pairs; j++)
        most = fmax(most, (double)factors.short_factors[j]);
    c->rope.scaling = ROPE_SCALING_LLAMA3;
    c->rope.factor = most;
    c->rope.low = 1;
    c->rope.high = 4;
    c->rope.first_context = 8192;
    base_speeds(c, usual);
    decoder_rope_speeds(c, false, false, speeds, &magnitude);
    for (int64_t j = 0; j < pairs; j++)
        if (!(fabs(usual[j] / speeds[j] - (double)factors.short_factors[j]) <=
              1e-5 * (double)factors.short_factors[j])) {
            c->rope = factors;
            return;
        }
}

/* Factors of pairs, which are tensors. */
static enum status read_rope_factors(const struct config_source *s, const char *path,
                                     struct decoder_config *c, struct error *error)
{
    int64_t pairs = decoder_rope_width(c) / 2;
    struct rope_config *r = &c->rope;
    if (!s->file) {
        if (s->made_of->rope.scaling == ROPE_SCALING_LLAMA3)
            *r = s->made_of->rope;
        if (s->made_of->rope.scaling == ROPE_SCALING_LONG) {
            memcpy(r->short_factors, s->made_of->rope.short_factors, sizeof r->short_factors);
            memcpy(r->long_factors, s->made_of->rope.long_factors, sizeof r->long_factors);
            r->scaling = ROPE_SCALING_LONG;
        }
    } else if (has_tensor(s, "rope_freqs.weight")) {
        if (!read_factors(s, "rope_freqs.weight", pairs, r->short_factors))
            return error_set(error, STATUS_FAILED, "%s: tensor 'rope_freqs.weight' is malformed",
                             path);
        memcpy(r->long_factors, r->short_factors, sizeof r->long_factors);
        r->scaling = ROPE_SCALING_LONG;
        r->first_context = c->context;
        recognize_llama3(c);
    } else if (has_tensor(s, "rope_factors_short.weight")) {
        if (!read_factors(s, "rope_factors_short.weight", pairs, r->short_factors) ||
            !read_factors(s, "rope_factors_long.weight", pairs, r->long_factors))
            return error_set(error, STATUS_FAILED, "%s: tensors 'rope_factors_*' are malformed",
                             path);
        r->scaling = ROPE_SCALING_LONG;
    }
    return STATUS_OK;
}

static enum status read_rope(const struct config_source *s, const char *path,
                             struct decoder_config *c, struct error *error)
{
    struct rope_config *r = &c->rope;
    const char *type = get_text(s, "rope.scaling.type");
    r->base = real_or(s, "rope.freq_base", 10000);
    if (r->local_base > 0)
        r->local_base = real_or(s, "rope.freq_base_swa", r->local_base);
    int64_t width = count_or(s, "rope.dimension_count", c->head_width);
    r->width = width == c->head_width ? 0 : width;
    r->factor = real_or(s, "rope.scaling.factor", real_or(s, "rope.scale_linear", 1));
    r->first_context = count_or(s, "rope.scaling.original_context_length", 0);
    r->magnitude = real_or(s, "rope.scaling.attn_factor", 0);
    if (type && strcmp(type, "yarn") == 0) {
        r->scaling = ROPE_SCALING_YARN;
        r->low = real_or(s, "rope.scaling.yarn_beta_slow", 1);
        r->high = real_or(s, "rope.scaling.yarn_beta_fast", 32);
        r->magnitude =
            (r->magnitude > 0 ? r->magnitude : 1) * (r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1);
    } else if ((!type || strcmp(type, "linear") == 0) && r->factor != 1) {
        r->scaling = ROPE_SCALING_LINEAR;
    } else if (type && strcmp(type, "none") != 0 && strcmp(type, "linear") != 0 &&
               strcmp(type, "longrope") != 0) {
        return error_set(error, STATUS_FAILED,
                         "%s: scaled rotary positions ('%.40s'): not supported", path, type);
    }
    return STATUS_OK;
}

static void read_delta(const struct config_source *s, struct decoder_config *c)
{
    int64_t every = count_or(s, "full_attention_interval", 4);
    int64_t heads = count_or(s, "ssm.time_step_rank", 0), values = count_or(s, "ssm.inner_size", 0);
    c->layers -= count_or(s, "nextn_predict_layers", 0); /* those are left aside */
    c->delta.attention = (struct layer_pattern){every, every - 1};
    c->delta.key_heads = count_or(s, "ssm.group_count", 0);
    c->delta.value_heads = heads;
    c->delta.key_width = count_or(s, "ssm.state_size", 0);
    c->delta.value_width = heads > 0 && values % heads == 0 ? values / heads : -1;
    c->delta.kernel = count_or(s, "ssm.conv_kernel", 0);
}

/* What single families say beside the common keys. */
static void read_special(const struct config_source *s, struct decoder_config *c)
{
    if (strncmp(c->family, "gemma", 5) == 0) {
        bool largest = (strcmp(c->family, "gemma2") == 0 && c->layers == 46) ||
                       (strcmp(c->family, "gemma3") == 0 && c->layers == 62);
        c->attention_scale =
            largest && c->heads > 0 ? 1 / sqrt((double)c->width / (double)c->heads) : 0;
        c->attention_softcap = real_or(s, "attn_logit_softcapping", 0);
        c->logit_softcap = real_or(s, "final_logit_softcapping", 0);
    } else if (strcmp(c->family, "granite") == 0) {
        c->attention_scale = real_or(s, "attention.scale", 0);
        c->embedding_scale = real_or(s, "embedding_scale", 0);
        c->residual_scale = real_or(s, "residual_scale", 0);
        double divisor = real_or(s, "logit_scale", 0);
        c->logit_scale = divisor != 0 ? 1 / divisor : 0;
    } else if (strcmp(c->family, "qwen35") == 0) {
        read_delta(s, c);
    } else if (strcmp(c->family, "modernbert") == 0) {
        const char *activation = get_text(s, "hidden_activation");
        bool silu = activation && strcmp(activation, "silu") == 0;
        c->mlp = silu ? MODEL_MLP_SWIGLU : MODEL_MLP_GEGLU;
        c->global = (struct layer_pattern){count_or(s, "attention.sliding_window_pattern", 3), 0};
        c->window = c->window > 0 ? c->window / 2 + 1 : c->window; /* both sides, there */
    } else if (strcmp(c->family, "gptneox") == 0) {
        c->block =
            real_or(s, "use_parallel_residual", 1) != 0 ? MODEL_BLOCK_PARALLEL : MODEL_BLOCK_PRE;
    }
}

static const char *unsupported(const struct config_source *s, const struct decoder_config *c)
{
    const char *activation = get_text(s, "hidden_activation");
    if (count_or(s, "attention.value_length", c->head_width) != c->head_width ||
        (c->delta.value_heads > 0 && c->delta.value_width != c->delta.key_width))
        return "values of another width than keys";
    if (strcmp(c->family, "olmoe") == 0 &&
        (c->kv_heads != c->heads || c->heads * c->head_width != c->width))
        return "OLMoE with shared keys, or with heads wider than the stream";
    if (strcmp(c->family, "qwen35") == 0 && c->delta.value_heads < 1)
        return "Qwen3.5 without the delta rule";
    if (is_list(s, "attention.recurrent_layers") || is_list(s, "attention.sliding_window_pattern"))
        return "a list of the kinds of layers";
    if (strcmp(c->family, "modernbert") == 0 && activation && strcmp(activation, "gelu") != 0 &&
        strcmp(activation, "silu") != 0)
        return "another activation than gelu and silu";
    if (count_or(s, "expert_shared_count", 0) > 0 || count_or(s, "expert_group_count", 0) > 1)
        return "experts that all tokens share, or in groups";
    return NULL;
}

static enum status read_config(const struct config_source *s, const struct family *family,
                               int64_t vocabulary, const char *path, struct decoder_config *c,
                               struct error *error)
{
    int64_t heads = count_or(s, "attention.head_count", 0);
    *c = family_config(family, vocabulary, count_or(s, "context_length", 0),
                       count_or(s, "embedding_length", 0), count_or(s, "block_count", 0), heads);
    c->hidden = count_or(s, "feed_forward_length", 0);
    c->kv_heads = family->grouped ? count_or(s, "attention.head_count_kv", heads) : heads;
    c->head_width = count_or(s, "attention.key_length", c->head_width);
    c->norm_epsilon = c->norm != MODEL_NORM_RMS
                          ? real_or(s, "attention.layer_norm_epsilon", 1e-5)
                          : real_or(s, "attention.layer_norm_rms_epsilon", 1e-5);
    c->window = count_or(s, "attention.sliding_window", 0);
    c->experts = count_or(s, "expert_count", 0);
    if (c->experts > 0) {
        c->experts_used = count_or(s, "expert_used_count", 0);
        c->hidden = count_or(s, "expert_feed_forward_length", c->hidden);
        c->experts_whole = strcmp(c->family, "olmoe") != 0;
    }
    read_presence(s, c);
    read_special(s, c);
    enum status status = STATUS_OK;
    if (c->positions == MODEL_POSITIONS_ROTARY)
        status = read_rope(s, path, c, error);
    if (status == STATUS_OK)
        status = decoder_config_check(c, path, error);
    if (status == STATUS_OK && c->positions == MODEL_POSITIONS_ROTARY) {
        status = read_rope_factors(s, path, c, error);
        if (status == STATUS_OK) /* once more, with the factors */
            status = decoder_config_check(c, path, error);
    }
    const char *problem = status == STATUS_OK ? unsupported(s, c) : NULL;
    if (problem)
        return error_set(error, STATUS_FAILED, "%s: %s: not supported", path, problem);
    return status;
}

static int64_t token_id(const struct gguf *file, const char *key)
{
    int64_t id;
    return gguf_get_int(file, key, &id) && id >= 0 && id <= INT32_MAX ? id : -1;
}

enum status gguf_read_config(struct gguf *file, struct decoder_config *c, struct error *error)
{
    const char *arch = gguf_get_text(file, "general.architecture");
    const struct family *family = family_by_arch(arch);
    if (!family)
        return error_set(error, STATUS_FAILED, "%s: architecture '%.40s' is not supported",
                         file->path, arch ? arch : "");
    const struct gguf_tensor *table = gguf_tensor_find(file, "token_embd.weight");
    if (!table)
        return error_set(error, STATUS_FAILED, "%s: tensor 'token_embd.weight' is missing",
                         file->path);
    struct config_source source = {.file = file, .arch = arch};
    int64_t experts;
    if (strcmp(arch, "llama") == 0 && gguf_get_int(file, "llama.expert_count", &experts) &&
        experts > 0)
        family = family_by_name("mixtral"); /* Llama's files with experts */
    enum status status = read_config(&source, family, table->shape[1], file->path, c, error);
    if (status != STATUS_OK)
        return status;
    c->bos_token = token_id(file, "tokenizer.ggml.bos_token_id");
    c->eos_token = token_id(file, "tokenizer.ggml.eos_token_id");
    return decoder_config_check(c, file->path, error);
}

/* Writing. */

static void add(struct config_keys *keys, int kind, const char *name, double number,
                const char *text)
{
    struct config_key *key = &keys->items[keys->count++];
    snprintf(key->name, sizeof key->name, "%s", name);
    key->kind = kind;
    key->number = number;
    key->text = text;
}

static void add_count(struct config_keys *keys, const char *name, int64_t value)
{
    add(keys, KEY_COUNT, name, (double)value, NULL);
}

static void add_real(struct config_keys *keys, const char *name, double value)
{
    add(keys, KEY_REAL, name, value, NULL);
}

static void list_rope(struct config_keys *keys, const struct decoder_config *c)
{
    const struct rope_config *r = &c->rope;
    add_count(keys, "rope.dimension_count", decoder_rope_width(c));
    add_real(keys, "rope.freq_base", r->base);
    if (r->local_base > 0)
        add_real(keys, "rope.freq_base_swa", r->local_base);
    if (r->scaling == ROPE_SCALING_LINEAR || r->scaling == ROPE_SCALING_YARN) {
        add(keys, KEY_TEXT, "rope.scaling.type", 0,
            r->scaling == ROPE_SCALING_YARN ? "yarn" : "linear");
        add_real(keys, "rope.scaling.factor", r->factor);
    }
    bool long_rope = r->scaling == ROPE_SCALING_LONG;
    if (r->scaling == ROPE_SCALING_YARN || long_rope)
        add_count(keys, "rope.scaling.original_context_length", r->first_context);
    if (r->scaling == ROPE_SCALING_YARN) {
        add_real(keys, "rope.scaling.yarn_beta_slow", r->low);
        add_real(keys, "rope.scaling.yarn_beta_fast", r->high);
        double usual = r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1;
        add_real(keys, "rope.scaling.attn_factor", r->magnitude / usual);
    } else if (long_rope && r->magnitude > 0) {
        add_real(keys, "rope.scaling.attn_factor", r->magnitude);
    }
}

static void list_special(struct config_keys *keys, const struct decoder_config *c)
{
    bool modernbert = strcmp(c->family, "modernbert") == 0;
    if (c->bidirectional) {
        add(keys, KEY_FLAG, "attention.causal", 0, NULL);
        add_count(keys, "pooling_type", 1); /* mean */
    }
    if (c->window > 0)
        add_count(keys, "attention.sliding_window", modernbert ? 2 * (c->window - 1) : c->window);
    if (modernbert) {
        add_count(keys, "attention.sliding_window_pattern", c->global.every);
        add(keys, KEY_TEXT, "hidden_activation", 0, c->mlp == MODEL_MLP_SWIGLU ? "silu" : "gelu");
    }
    if (strcmp(c->family, "qwen35") == 0) {
        add_count(keys, "full_attention_interval", c->delta.attention.every);
        add_count(keys, "ssm.group_count", c->delta.key_heads);
        add_count(keys, "ssm.time_step_rank", c->delta.value_heads);
        add_count(keys, "ssm.state_size", c->delta.key_width);
        add_count(keys, "ssm.inner_size", c->delta.value_heads * c->delta.value_width);
        add_count(keys, "ssm.conv_kernel", c->delta.kernel);
    }
    if (c->attention_softcap > 0)
        add_real(keys, "attn_logit_softcapping", c->attention_softcap);
    if (c->logit_softcap > 0)
        add_real(keys, "final_logit_softcapping", c->logit_softcap);
    if (strcmp(c->family, "granite") == 0) {
        add_real(keys, "attention.scale",
                 c->attention_scale > 0 ? c->attention_scale : 1 / sqrt((double)c->head_width));
        add_real(keys, "embedding_scale", c->embedding_scale > 0 ? c->embedding_scale : 1);
        add_real(keys, "residual_scale", c->residual_scale > 0 ? c->residual_scale : 1);
        add_real(keys, "logit_scale", c->logit_scale > 0 ? 1 / c->logit_scale : 1);
    }
    if (strcmp(c->family, "gptneox") == 0)
        add(keys, KEY_FLAG, "use_parallel_residual", c->block == MODEL_BLOCK_PARALLEL, NULL);
}

static void list_keys(struct config_keys *keys, const struct decoder_config *c)
{
    keys->count = 0;
    add_count(keys, "context_length", c->context);
    add_count(keys, "embedding_length", c->width);
    add_count(keys, "block_count", c->layers);
    add_count(keys, "feed_forward_length", c->hidden);
    add_count(keys, "attention.head_count", c->heads);
    add_count(keys, "attention.head_count_kv", c->kv_heads);
    add_real(keys,
             c->norm != MODEL_NORM_RMS ? "attention.layer_norm_epsilon"
                                       : "attention.layer_norm_rms_epsilon",
             c->norm_epsilon);
    if (c->experts > 0) {
        add_count(keys, "expert_count", c->experts);
        add_count(keys, "expert_used_count", c->experts_used);
        if (strcmp(c->family, "qwen3moe") == 0)
            add_count(keys, "expert_feed_forward_length", c->hidden);
    }
    if (c->positions == MODEL_POSITIONS_ROTARY) {
        add_count(keys, "vocab_size", c->vocabulary);
        add_count(keys, "attention.key_length", c->head_width);
        add_count(keys, "attention.value_length", c->head_width);
        list_rope(keys, c);
    }
    list_special(keys, c);
}

enum status gguf_check_config(const struct decoder_config *c, const char *path, struct error *error)
{
    const struct family *family = family_by_name(c->family);
    struct config_keys keys;
    struct decoder_config again;
    if (!family || !family->arch)
        return error_set(error, STATUS_FAILED, "%s: GGUF has no place for the family '%s'", path,
                         c->family);
    list_keys(&keys, c);
    struct config_source source = {.keys = &keys, .made_of = c, .arch = family->arch};
    bool read = read_config(&source, family, c->vocabulary, path, &again, NULL) == STATUS_OK;
    again.bos_token = c->bos_token;
    again.eos_token = c->eos_token;
    if (read && model_configs_agree(c, &again))
        return STATUS_OK;
    return error_set(error, STATUS_FAILED,
                     "%s: this mixture of options cannot be written as a %s model in GGUF", path,
                     family->class_name);
}

/* How many pairs turn by each of three axes of a picture, in turn; in text all axes have the same
 * position. */
static void put_sections(struct gguf_writer *writer, const char *arch, int64_t pairs)
{
    char full[64];
    snprintf(full, sizeof full, "%s.rope.dimension_sections", arch);
    gguf_put_array(writer, full, GGUF_I32, 4);
    for (int i = 0; i < 3; i++)
        gguf_item_i32(writer, (int32_t)((pairs + 2 - i) / 3));
    gguf_item_i32(writer, 0);
}

void gguf_put_config(struct gguf_writer *writer, const struct decoder_config *c, const char *name)
{
    const struct family *family = family_by_name(c->family);
    struct config_keys keys;
    list_keys(&keys, c);
    gguf_put_text(writer, "general.architecture", family->arch);
    gguf_put_text(writer, "general.type", "model");
    gguf_put_text(writer, "general.name", name);
    for (int i = 0; i < keys.count; i++) {
        const struct config_key *key = &keys.items[i];
        char full[128];
        snprintf(full, sizeof full, "%s.%s", family->arch, key->name);
        if (key->kind == KEY_COUNT)
            gguf_put_u32(writer, full, (uint32_t)key->number);
        else if (key->kind == KEY_REAL)
            gguf_put_f32(writer, full, (float)key->number);
        else if (key->kind == KEY_FLAG)
            gguf_put_bool(writer, full, key->number != 0);
        else
            gguf_put_text(writer, full, key->text);
    }
    if (strcmp(c->family, "qwen35") == 0)
        put_sections(writer, family->arch, decoder_rope_width(c) / 2);
    if (c->token_types > 0) /* llama.cpp loads no BERT without it */
        gguf_put_u32(writer, "tokenizer.ggml.token_type_count", (uint32_t)c->token_types);
}
