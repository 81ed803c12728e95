/* What a training step keeps in memory, counted the way the tape hands it out. */
#include "model/decoder.h"

/* Of the tape per layer and token, in values: everything that ops leave behind for backward. */
static int64_t layer_values(const struct decoder_config *c)
{
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width;
    int64_t norms = 2 * (c->width + (c->norm == MODEL_NORM_LAYER ? 2 : 1));
    int64_t attention = 2 * queries + 2 * keys + c->heads + c->width;
    int64_t mlp = (c->mlp == MODEL_MLP_SWIGLU ? 3 : 2) * c->hidden + c->width;
    int64_t dropped = c->dropout > 0 ? 4 * c->width : 0;
    return norms + attention + mlp + dropped;
}

int64_t decoder_activation_bytes(const struct decoder_config *c, int64_t batch, int64_t length)
{
    int64_t tokens = batch * length, queries = c->heads * c->head_width;
    int64_t embeddings =
        c->width * (c->positions == MODEL_POSITIONS_LEARNED ? 2 : 1) + c->width + 3;
    int64_t forward = tokens * (c->layers * layer_values(c) + embeddings);
    /* Backward holds the gradients around one layer: of the stream twice, and of either branch. */
    int64_t widest = (c->mlp == MODEL_MLP_SWIGLU ? 3 : 2) * c->hidden;
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
