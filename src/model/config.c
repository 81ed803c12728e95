/* See config.h. */
#include "model/config.h"

#include <math.h>
#include <stdio.h>

#include "tensor/attention.h"

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
        .rope_base = 10000.0,
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

static enum status check_range(const char *name, const char *what, int64_t value, int64_t least,
                               int64_t most, struct error *error)
{
    if (value >= least && value <= most)
        return STATUS_OK;
    return error_set(error, STATUS_FAILED, "%s: %s is %lld, must lie between %lld and %lld", name,
                     what, (long long)value, (long long)least, (long long)most);
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
        {"number of layers", config->layers, 1, 1 << 12},
        {"number of heads", config->heads, 1, 1 << 12},
        {"number of key/value heads", config->kv_heads, 1, config->heads},
        {"head width", config->head_width, 1, ATTENTION_HEAD_WIDTH_MOST},
        {"feed-forward width", config->hidden, 1, 1 << 20},
        {"id of the token that begins a text", config->bos_token, -1, config->vocabulary - 1},
        {"id of the token that ends a text", config->eos_token, -1, config->vocabulary - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        enum status status = check_range(name, ranges[i].what, ranges[i].value, ranges[i].least,
                                         ranges[i].most, error);
        if (status != STATUS_OK)
            return status;
    }
    if (config->heads % config->kv_heads != 0)
        return error_set(error, STATUS_FAILED,
                         "%s: %lld query heads cannot share %lld key/value heads evenly", name,
                         (long long)config->heads, (long long)config->kv_heads);
    if (config->positions == MODEL_POSITIONS_ROTARY && config->head_width % 2 != 0)
        return error_set(error, STATUS_FAILED,
                         "%s: rotary positions need an even head width, "
                         "not %lld",
                         name, (long long)config->head_width);
    if (!(config->norm_epsilon > 0 && config->norm_epsilon < 1))
        return error_set(error, STATUS_FAILED, "%s: norm epsilon %g must lie between 0 and 1", name,
                         config->norm_epsilon);
    if (config->positions == MODEL_POSITIONS_ROTARY &&
        !(config->rope_base > 1 && isfinite(config->rope_base)))
        return error_set(error, STATUS_FAILED, "%s: rope base %g must be a number above 1", name,
                         config->rope_base);
    if (!(config->dropout >= 0 && config->dropout < 1))
        return error_set(error, STATUS_FAILED, "%s: dropout %g must lie in [0, 1)", name,
                         config->dropout);
    return STATUS_OK;
}

struct decoder_size decoder_count(const struct decoder_config *config)
{
    int64_t queries = config->heads * config->head_width;
    int64_t keys = config->kv_heads * config->head_width;
    int64_t inputs = config->mlp == MODEL_MLP_SWIGLU ? 2 : 1;
    int64_t matrices =
        config->width * (2 * queries + 2 * keys) + (inputs + 1) * config->width * config->hidden;
    int64_t norm = config->width * (config->norm == MODEL_NORM_LAYER ? 2 : 1);
    int64_t biases = (config->attention_bias ? queries + 2 * keys : 0) +
                     (config->output_bias ? config->width : 0) +
                     (config->mlp_bias ? inputs * config->hidden + config->width : 0);
    int64_t table = config->vocabulary * config->width;
    int64_t positions =
        config->positions == MODEL_POSITIONS_LEARNED ? config->context * config->width : 0;
    struct decoder_size size;
    size.embedding = table * (config->tied ? 1 : 2) + positions;
    size.matrices = config->layers * matrices + table;
    size.parameters = config->layers * (matrices + 2 * norm + biases) + norm + size.embedding;
    return size;
}

double decoder_training_flops(const struct decoder_config *config, int64_t window)
{
    double matrices = (double)decoder_count(config).matrices;
    double attention = 2.0 * (double)config->layers * (double)window *
                       (double)(config->heads * config->head_width);
    return 6.0 * matrices + 3.0 * attention;
}
