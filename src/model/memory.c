/* What a training step keeps in memory, counted the way the tape hands it out. */
#include "model/adapters.h"
#include "model/delta_mixer.h"

/* Of the tape per layer and token, in values: everything that ops leave behind for backward. */
static int64_t layer_values(const struct decoder_config *c)
{
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width;
    int64_t norm = c->width + (c->norm == MODEL_NORM_RMS ? 1 : 2);
    int64_t norms = (c->block == MODEL_BLOCK_SANDWICH ? 4 : 2) * norm;
    int64_t attention = 2 * queries + 2 * keys + c->heads + c->width;
    if (c->query_norm != MODEL_QUERY_NORM_NONE)
        attention += queries + keys + c->heads + c->kv_heads;
    attention += c->attention_gate ? 2 * queries : 0;
    if (c->delta.value_heads > 0) { /* the mean over the layers */
        int64_t rest = decoder_attention_layers(c, c->layers);
        attention = (attention * rest + delta_mixer_values(c) * (c->layers - rest)) / c->layers;
    }
    int64_t mlp = (model_mlp_is_gated(c->mlp) ? 3 : 2) * c->hidden + c->width;
    if (c->experts > 0) /* rows there and back, the router's logits and shares, three lists */
        mlp = c->experts_used * (3 * c->hidden + 2 * c->width + 4) + 2 * c->experts + 2 * c->width;
    int64_t dropped = c->dropout > 0 ? 2 * c->width : 0;
    int64_t scaled = c->residual_scale > 0 ? 2 * c->width : 0;
    bool apart = c->dropout > 0 || scaled || c->block == MODEL_BLOCK_SANDWICH;
    return norms + attention + mlp + dropped + scaled + (apart ? 2 * c->width : 0);
}

/* Of adapters per layer and token: the products x A', and inputs that dropout has changed. */
static int64_t adapter_values(const struct decoder_config *c, const struct decoder_work *work)
{
    int64_t inputs[LINEARS] = {c->width, c->width, c->width, c->heads * c->head_width,
                               c->width, c->width, c->hidden};
    int64_t sum = 0;
    for (int i = 0; work->adapter_rank > 0 && i < LINEARS; i++)
        if (work->targets >> i & 1 && (i != LINEAR_GATE || model_mlp_is_gated(c->mlp)))
            sum += work->adapter_rank + (work->adapter_dropout ? inputs[i] : 0);
    return sum;
}

int64_t decoder_activation_bytes(const struct decoder_config *c, const struct decoder_work *work)
{
    int64_t tokens = work->batch * work->length, queries = c->heads * c->head_width;
    int64_t embeddings = c->width * (c->positions == MODEL_POSITIONS_LEARNED ? 2 : 1) + c->width +
                         3 + (c->embedding_scale > 0 ? c->width : 0);
    embeddings += 2 * c->embedding_width;
    int64_t layer = layer_values(c) + adapter_values(c, work);
    int64_t kept = work->checkpoints ? c->layers * c->width + layer : c->layers * layer;
    int64_t forward = tokens * (kept + embeddings);
    /* Backward holds the gradients around one layer: of the stream twice, and of either branch. */
    int64_t widest = (model_mlp_is_gated(c->mlp) ? 3 : 2) * c->hidden;
    if (c->experts > 0) /* all rows of results, and what is around one expert */
        widest = c->experts_used * c->width + c->width + 3 * c->hidden;
    int64_t mixing = 2 * queries + 2 * c->kv_heads * c->head_width;
    int64_t gradients = tokens * (2 * c->width + (widest > mixing ? widest : mixing));
    int64_t chunk = cross_entropy_chunk(tokens, c->vocabulary);
    bool all = work->learned <= 0 || work->learned >= 1;
    int64_t rows = all ? tokens : (int64_t)(work->learned * (double)tokens);
    rows = chunk < rows ? chunk : rows;
    int64_t logits = rows * (c->vocabulary + (all ? 0 : 2 * c->width));
    return 4 * (forward + gradients + logits);
}
