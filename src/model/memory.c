/* What a training step keeps in memory, counted the way the tape hands it out. */
#include "model/decoder.h"

/* Of the tape per layer and token, in values: everything that ops leave behind for backward. */
static int64_t layer_values(const struct decoder_config *c)
{
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width;
    int64_t norm = c->width + (c->norm == MODEL_NORM_RMS ? 1 : 2);
    int64_t norms = (c->block == MODEL_BLOCK_SANDWICH ? 4 : 2) * norm;
    int64_t attention = 2 * queries + 2 * keys + c->heads + c->width;
    if (c->query_norm != MODEL_QUERY_NORM_NONE)
        attention += queries + keys + c->heads + c->kv_heads;
    int64_t mlp = (model_mlp_is_gated(c->mlp) ? 3 : 2) * c->hidden + c->width;
    if (c->experts > 0) /* rows there and back, the router's logits and shares, three lists */
        mlp = c->experts_used * (3 * c->hidden + 2 * c->width + 4) + 2 * c->experts + 2 * c->width;
    int64_t dropped = c->dropout > 0 ? 2 * c->width : 0;
    int64_t scaled = c->residual_scale > 0 ? 2 * c->width : 0;
    bool apart = c->dropout > 0 || scaled || c->block == MODEL_BLOCK_SANDWICH;
    return norms + attention + mlp + dropped + scaled + (apart ? 2 * c->width : 0);
}

int64_t decoder_activation_bytes(const struct decoder_config *c, int64_t batch, int64_t length)
{
    int64_t tokens = batch * length, queries = c->heads * c->head_width;
    int64_t embeddings = c->width * (c->positions == MODEL_POSITIONS_LEARNED ? 2 : 1) + c->width +
                         3 + (c->embedding_scale > 0 ? c->width : 0);
    int64_t forward = tokens * (c->layers * layer_values(c) + embeddings);
    /* Backward holds the gradients around one layer: of the stream twice, and of either branch. */
    int64_t widest = (model_mlp_is_gated(c->mlp) ? 3 : 2) * c->hidden;
    if (c->experts > 0) /* all rows of results, and what is around one expert */
        widest = c->experts_used * c->width + c->width + 3 * c->hidden;
    int64_t mixing = 2 * queries + 2 * c->kv_heads * c->head_width;
    int64_t gradients = tokens * (2 * c->width + (widest > mixing ? widest : mixing));
    int64_t rows = ((int64_t)8 << 20) / c->vocabulary;
    rows = rows < 64 ? 64 : rows;
    int64_t room = 1;
    while (room < (rows < tokens ? rows : tokens))
        room *= 2;
    int64_t logits = room * c->vocabulary;
    return 4 * (forward + gradients + logits);
}
