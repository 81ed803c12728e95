/* The one decoder's configuration. GPT-2, Llama and their relatives are values of this struct, not
 * code of their own. Parameter counts, work and memory follow from it before anything is built. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum model_norm { MODEL_NORM_RMS, MODEL_NORM_LAYER };
enum model_positions { MODEL_POSITIONS_ROTARY, MODEL_POSITIONS_LEARNED };
enum model_mlp { MODEL_MLP_SWIGLU, MODEL_MLP_GELU, MODEL_MLP_GELU_TANH };

struct decoder_config {
    char family[16];    /* "llama" or "gpt2": the layout that files are written in */
    int64_t vocabulary; /* V: rows of the embedding */
    int64_t context;    /* T: longest sequence, in tokens */
    int64_t width;      /* C: residual stream */
    int64_t layers;
    int64_t heads;      /* query heads */
    int64_t kv_heads;   /* key/value heads; divides heads */
    int64_t head_width; /* D; usually width / heads */
    int64_t hidden;     /* F: width inside the feed-forward layer */
    enum model_norm norm;
    double norm_epsilon;
    enum model_positions positions;
    double rope_base;
    enum model_mlp mlp;
    bool tied;           /* output projection shares the embedding's matrix */
    bool attention_bias; /* on query, key, value */
    bool output_bias;    /* on the attention's output projection */
    bool mlp_bias;
    double dropout; /* on embeddings and on both branches of a layer, while training */
    int64_t bos_token, eos_token; /* -1: none */
};

/* A Llama-style (RMS norm, rotary, SwiGLU, untied, no biases) or GPT-2-style (layer norm, learned
 * positions, tanh GELU, tied, biases) configuration; F = 8/3 C rounded up to 64, or 4 C. */
struct decoder_config decoder_config_llama(int64_t vocabulary, int64_t context, int64_t width,
                                           int64_t layers, int64_t heads);
struct decoder_config decoder_config_gpt2(int64_t vocabulary, int64_t context, int64_t width,
                                          int64_t layers, int64_t heads);

/* Checks ranges and divisibility; also bounds every size, so that products cannot overflow. `name`
 * is the file or command that the values came from. */
enum status decoder_config_check(const struct decoder_config *config, const char *name,
                                 struct error *error);

struct decoder_size {
    int64_t parameters; /* all */
    int64_t embedding;  /* token and position tables, and an untied output matrix */
    int64_t matrices;   /* parameters in matrices that every token is multiplied with, the
                           output projection included, look-up tables not */
};
struct decoder_size decoder_count(const struct decoder_config *config);

/* Floating-point operations of training on one token in windows of `window` tokens: 6 for every
 * matrix parameter plus causal attention (forward and backward = 3 times the forward's 2 T C for
 * scores and values each, halved by causality). */
double decoder_training_flops(const struct decoder_config *config, int64_t window);

#endif
