/* See config.h. */
#include "model/config.h"

#include <math.h>
#include <stdio.h>

#include "tensor/attention.h"
#include "tensor/delta.h"

#define WIDTH_MOST ((int64_t)1 << 17)

struct decoder_config decoder_config_llama(int64_t vocabulary, int64_t context, int64_t width,
                                           int64_t layers, int64_t heads)
{
    /* A width from a damaged file may be anything; it is refused later, by decoder_config_check. */
    bool usable = width >= 0 && width <= WIDTH_MOST;
    struct decoder_config config = {
        .family = "llama",
        .vocabulary = vocabulary,
        .context = context,
        .width = width,
        .layers = layers,
        .heads = heads,
        .kv_heads = heads,
        .head_width = heads > 0 ? width / heads : 0,
        .hidden = usable ? (width * 8 / 3 + 63) / 64 * 64 : 0,
        .norm = MODEL_NORM_RMS,
        .norm_epsilon = 1e-5,
        .positions = MODEL_POSITIONS_ROTARY,
        .rope = {.base = 10000.0},
        .mlp = MODEL_MLP_SWIGLU,
        .bos_token = -1,
        .eos_token = -1,
    };
    return config;
}

struct decoder_config decoder_config_gpt2(int64_t vocabulary, int64_t context, int64_t width,
                                          int64_t layers, int64_t heads)
{
    struct decoder_config config = decoder_config_llama(vocabulary, context, width, layers, heads);
    snprintf(config.family, sizeof config.family, "gpt2");
    config.hidden = width >= 0 && width <= WIDTH_MOST ? 4 * width : 0;
    config.norm = MODEL_NORM_LAYER;
    config.positions = MODEL_POSITIONS_LEARNED;
    config.mlp = MODEL_MLP_GELU_TANH;
    config.tied = config.attention_bias = config.output_bias = config.mlp_bias = true;
    return config;
}

bool model_mlp_is_gated(enum model_mlp mlp)
{
    return mlp <= MODEL_MLP_GEGLU;
}

bool layer_pattern_has(const struct layer_pattern *pattern, int64_t layer)
{
    return pattern->every > 0 && layer % pattern->every == pattern->at;
}

int64_t decoder_layer_window(const struct decoder_config *config, int64_t layer)
{
    return layer_pattern_has(&config->global, layer) ? 0 : config->window;
}

bool decoder_layer_is_delta(const struct decoder_config *config, int64_t layer)
{
    return config->delta.value_heads > 0 && !layer_pattern_has(&config->delta.attention, layer);
}

int64_t decoder_attention_layers(const struct decoder_config *config, int64_t before)
{
    int64_t count = 0;
    for (int64_t i = 0; i < before; i++)
        count += !decoder_layer_is_delta(config, i);
    return count;
}

int64_t decoder_embedding_width(const struct decoder_config *config)
{
    return config->embedding_width > 0 ? config->embedding_width : config->width;
}

int64_t decoder_delta_columns(const struct decoder_config *config)
{
    const struct delta_config *d = &config->delta;
    return 2 * d->key_heads * d->key_width + d->value_heads * d->value_width;
}

/* Of one layer: first the convolution's, then the rule's. */
static int64_t layer_state_values(const struct decoder_config *config)
{
    const struct delta_config *d = &config->delta;
    return (d->kernel - 1) * decoder_delta_columns(config) +
           d->value_heads * d->key_width * d->value_width;
}

int64_t decoder_state_values(const struct decoder_config *config)
{
    int64_t attention = decoder_attention_layers(config, config->layers);
    return config->delta.value_heads > 0 ? (config->layers - attention) * layer_state_values(config)
                                         : 0;
}

static enum status check_range(const char *name, const char *what, int64_t value, int64_t least,
                               int64_t most, struct error *error)
{
    if (value >= least && value <= most)
        return STATUS_OK;
    return error_set(error, STATUS_FAILED, "%s: %s is %lld, must lie between %lld and %lld", name,
                     what, (long long)value, (long long)least, (long long)most);
}

static enum status check_factors(const struct decoder_config *config, const char *name,
                                 struct error *error)
{
    for (int64_t j = 0; j < decoder_rope_width(config) / 2; j++) {
        float near = config->rope.short_factors[j], far = config->rope.long_factors[j];
        if (!(near > 0 && far > 0 && isfinite(near) && isfinite(far)))
            return error_set(error, STATUS_FAILED, "%s: rope factor %lld is not a positive number",
                             name, (long long)j);
    }
    return STATUS_OK;
}

static enum status check_rope(const struct decoder_config *config, const char *name,
                              struct error *error)
{
    const struct rope_config *rope = &config->rope;
    int64_t width = decoder_rope_width(config);
    if (width % 2 != 0 || width > config->head_width || width < 2)
        return error_set(error, STATUS_FAILED,
                         "%s: rotary positions need an even width within a head's %lld, not %lld",
                         name, (long long)config->head_width, (long long)width);
    const double bases[] = {rope->base, rope->local_base != 0 ? rope->local_base : rope->base};
    for (int i = 0; i < 2; i++)
        if (!(bases[i] > 1 && isfinite(bases[i])))
            return error_set(error, STATUS_FAILED, "%s: rope base %g must be a number above 1",
                             name, bases[i]);
    bool scaled = rope->scaling != ROPE_SCALING_NONE && rope->scaling != ROPE_SCALING_LONG;
    if (scaled && !(rope->factor > 0 && isfinite(rope->factor)))
        return error_set(error, STATUS_FAILED, "%s: rope factor %g must be a positive number", name,
                         rope->factor);
    bool blended = rope->scaling == ROPE_SCALING_LLAMA3 || rope->scaling == ROPE_SCALING_YARN;
    if (blended && !(rope->low > 0 && rope->high > rope->low && isfinite(rope->high) &&
                     rope->first_context > 0))
        return error_set(error, STATUS_FAILED,
                         "%s: rope scaling from %g to %g in a first context of %lld makes no sense",
                         name, rope->low, rope->high, (long long)rope->first_context);
    return rope->scaling == ROPE_SCALING_LONG ? check_factors(config, name, error) : STATUS_OK;
}

static enum status check_scales(const struct decoder_config *config, const char *name,
                                struct error *error)
{
    const struct {
        const char *what;
        double value;
    } scales[] = {
        {"attention scale", config->attention_scale},
        {"attention softcap", config->attention_softcap},
        {"embedding scale", config->embedding_scale},
        {"residual scale", config->residual_scale},
        {"logit scale", config->logit_scale},
        {"logit softcap", config->logit_softcap},
        {"rope magnitude", config->rope.magnitude},
    };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (!(scales[i].value >= 0 && scales[i].value <= 1e6))
            return error_set(error, STATUS_FAILED, "%s: %s %g must lie between 0 and 1e6", name,
                             scales[i].what, scales[i].value);
    const struct layer_pattern *patterns[] = {&config->global, &config->unrotated,
                                              &config->delta.attention};
    for (int i = 0; i < 3; i++)
        if (patterns[i]->every != 0 && !(patterns[i]->every > 0 && patterns[i]->at >= 0 &&
                                         patterns[i]->at < patterns[i]->every))
            return error_set(error, STATUS_FAILED, "%s: every %lld-th layer from %lld on?", name,
                             (long long)patterns[i]->every, (long long)patterns[i]->at);
    return STATUS_OK;
}

enum status decoder_config_check(const struct decoder_config *config, const char *name,
                                 struct error *error)
{
    const struct {
        const char *what;
        int64_t value, least, most;
    } ranges[] = {
        {"vocabulary size", config->vocabulary, 1, 1 << 24},
        {"context length", config->context, 1, 1 << 20},
        {"width", config->width, 1, WIDTH_MOST},
        {"width of embeddings", config->embedding_width, 0, WIDTH_MOST},
        {"number of layers", config->layers, 1, 1 << 12},
        {"number of heads", config->heads, 1, 1 << 12},
        {"number of key/value heads", config->kv_heads, 1, config->heads},
        {"head width", config->head_width, 1, ATTENTION_HEAD_WIDTH_MOST},
        {"feed-forward width", config->hidden, 1, 1 << 20},
        {"attention window", config->window, 0, 1 << 24},
        {"number of experts", config->experts, 0, MODEL_EXPERTS_MOST},
        {"number of experts used", config->experts_used, config->experts > 0, config->experts},
        {"width of rotations", config->rope.width, 0, config->head_width},
        {"first context", config->rope.first_context, 0, 1 << 24},
        {"number of token types", config->token_types, 0, 1 << 10},
        {"offset of positions", config->position_offset, 0, 1 << 10},
        {"id of the token that begins a text", config->bos_token, -1, config->vocabulary - 1},
        {"id of the token that ends a text", config->eos_token, -1, config->vocabulary - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        enum status status = check_range(name, ranges[i].what, ranges[i].value, ranges[i].least,
                                         ranges[i].most, error);
        if (status != STATUS_OK)
            return status;
    }
    const struct delta_config *d = &config->delta;
    if (d->value_heads > 0 &&
        !(d->key_heads > 0 && d->value_heads <= 1 << 12 && d->value_heads % d->key_heads == 0 &&
          d->key_width > 0 && d->key_width <= DELTA_WIDTH_MOST && d->value_width > 0 &&
          d->value_width <= DELTA_WIDTH_MOST && d->kernel > 0 && d->kernel <= 64))
        return error_set(error, STATUS_FAILED,
                         "%s: %lld value heads of %lld values over %lld key heads of %lld make no "
                         "delta rule",
                         name, (long long)d->value_heads, (long long)d->value_width,
                         (long long)d->key_heads, (long long)d->key_width);
    if (config->heads % config->kv_heads != 0)
        return error_set(error, STATUS_FAILED,
                         "%s: %lld query heads cannot share %lld key/value heads evenly", name,
                         (long long)config->heads, (long long)config->kv_heads);
    if (!(config->norm_epsilon > 0 && config->norm_epsilon < 1))
        return error_set(error, STATUS_FAILED, "%s: norm epsilon %g must lie between 0 and 1", name,
                         config->norm_epsilon);
    enum status status = check_scales(config, name, error);
    if (status == STATUS_OK && config->positions == MODEL_POSITIONS_ROTARY)
        status = check_rope(config, name, error);
    if (status != STATUS_OK)
        return status;
    if (!(config->dropout >= 0 && config->dropout < 1))
        return error_set(error, STATUS_FAILED, "%s: dropout %g must lie in [0, 1)", name,
                         config->dropout);
    return STATUS_OK;
}

/* Parameters of all mixers: matrices, and the rest. */
static void count_mixers(const struct decoder_config *config, int64_t *matrices, int64_t *others)
{
    const struct delta_config *d = &config->delta;
    int64_t queries = config->heads * config->head_width;
    int64_t keys = config->kv_heads * config->head_width, values = d->value_heads * d->value_width;
    int64_t attention = decoder_attention_layers(config, config->layers);
    int64_t deltas = config->layers - attention, norms = 0;
    int64_t gates = (1 + config->attention_gate) * queries;
    if (config->query_norm == MODEL_QUERY_NORM_HEAD)
        norms = 2 * config->head_width;
    else if (config->query_norm == MODEL_QUERY_NORM_WHOLE)
        norms = queries + keys;
    *matrices =
        attention * config->width * ((2 + config->attention_gate) * queries + 2 * keys) +
        deltas * config->width * (decoder_delta_columns(config) + 2 * values + 2 * d->value_heads);
    *others =
        attention * (norms + (config->attention_bias ? gates + 2 * keys : 0) +
                     (config->output_bias ? config->width : 0)) +
        deltas * (decoder_delta_columns(config) * d->kernel + 2 * d->value_heads + d->value_width);
}

struct decoder_size decoder_count(const struct decoder_config *config)
{
    int64_t mixing, beside;
    count_mixers(config, &mixing, &beside);
    int64_t inputs = model_mlp_is_gated(config->mlp) ? 2 : 1;
    int64_t feed = (inputs + 1) * config->width * config->hidden;
    int64_t router = config->experts * config->width;
    int64_t used = config->experts > 0 ? config->experts_used * feed + router : feed;
    int64_t stored = config->experts > 0 ? config->experts * feed + router : feed;
    int64_t norm = config->width * (config->norm == MODEL_NORM_LAYER ? 2 : 1);
    int64_t single = (config->block != MODEL_BLOCK_POST) + config->embedding_norm; /* norms */
    int64_t biases = config->mlp_bias ? inputs * config->hidden + config->width : 0;
    int64_t norms = config->block == MODEL_BLOCK_SANDWICH ? 4 : 2;
    int64_t table = config->vocabulary * decoder_embedding_width(config);
    int64_t bridges = 2 * config->embedding_width * config->width;
    int64_t positions = config->positions == MODEL_POSITIONS_LEARNED
                            ? (config->context + config->position_offset) * config->width
                            : 0;
    struct decoder_size size;
    size.embedding =
        table * (config->tied ? 1 : 2) + positions + config->token_types * config->width;
    size.matrices = mixing + config->layers * used + table + bridges;
    size.parameters = mixing + beside + config->layers * (stored + norms * norm + biases) +
                      single * norm - (config->first_bare ? norm : 0) + bridges + size.embedding;
    return size;
}

double decoder_training_flops(const struct decoder_config *config, int64_t window)
{
    double matrices = (double)decoder_count(config).matrices;
    double attention = 2.0 * (double)config->layers * (double)window *
                       (double)(config->heads * config->head_width);
    return 6.0 * matrices + 3.0 * attention;
}
