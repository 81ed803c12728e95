/* The one decoder's configuration. GPT-2, Llama and their relatives are values of this struct, not
 * code of their own. Parameter counts, work and memory follow from it before anything is built. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* The last is layer norm without a bias. */
enum model_norm { MODEL_NORM_RMS, MODEL_NORM_LAYER, MODEL_NORM_LAYER_PLAIN };
enum model_positions { MODEL_POSITIONS_ROTARY, MODEL_POSITIONS_LEARNED };
/* The first three have a gate beside the activated branch, the others none. */
enum model_mlp {
    MODEL_MLP_SWIGLU,
    MODEL_MLP_GEGLU_TANH,
    MODEL_MLP_GEGLU,
    MODEL_MLP_GELU,
    MODEL_MLP_GELU_TANH,
    MODEL_MLP_RELU,
};
/* How a layer's two branches, f (mixing tokens) and g (feed-forward), join the stream x. */
enum model_block {
    MODEL_BLOCK_PRE,      /* x += f(norm x); x += g(norm x) */
    MODEL_BLOCK_SANDWICH, /* x += norm f(norm x); x += norm g(norm x): Gemma 2 and 3 */
    MODEL_BLOCK_PARALLEL, /* x += f(norm x) + g(norm' x): GPT-NeoX */
    MODEL_BLOCK_POST,     /* x = norm(x + f(x)); x = norm(x + g(x)): BERT, without a final norm */
};
/* Norms on queries and keys before they are rotated: over each head, or over all heads at once. */
enum model_query_norm { MODEL_QUERY_NORM_NONE, MODEL_QUERY_NORM_HEAD, MODEL_QUERY_NORM_WHOLE };

/* The layers i with i % every == at; none when every is 0. */
struct layer_pattern {
    int64_t every, at;
};

/* Rotary positions beyond the context that a model was first trained on. The speed of pair j,
 * base^(-2j/width) radians a position, is divided by `factor`: */
enum rope_scaling {
    ROPE_SCALING_NONE,
    ROPE_SCALING_LINEAR, /* for all pairs ("position interpolation", Chen et al. 2023) */
    ROPE_SCALING_LLAMA3, /* for slow pairs; fast ones stay, those between are blended */
    ROPE_SCALING_LONG,   /* by a factor for each pair ("LongRoPE", Ding et al. 2024) */
    ROPE_SCALING_YARN,   /* blended over pairs by their turns in the first context (Peng 2023) */
};

#define ROPE_PAIRS_MOST 256
#define MODEL_EXPERTS_MOST 1024

struct rope_config {
    double base;
    double local_base; /* of layers with a window; 0: the same */
    int64_t width;     /* leading values of a head that are rotated; 0: all of them */
    enum rope_scaling scaling;
    double factor;
    double low, high; /* llama3: wavelengths per first context; yarn: turns (beta slow, fast) */
    int64_t first_context;
    double magnitude; /* cosines and sines are multiplied with it; 0: 1 */
    float short_factors[ROPE_PAIRS_MOST], long_factors[ROPE_PAIRS_MOST]; /* long only: the latter
                                   count for sequences longer than the first context */
};

/* The gated delta rule (tensor/delta.h), which mixes tokens in all layers but some. */
struct delta_config {
    int64_t key_heads, value_heads; /* value_heads 0: there is none */
    int64_t key_width, value_width;
    int64_t kernel;                 /* tokens that the convolution before it sees */
    struct layer_pattern attention; /* layers with attention instead */
};

struct decoder_config {
    char family[16];         /* "llama", "gpt2", ...: how files are laid out (file/families.h) */
    int64_t vocabulary;      /* V: rows of the embedding */
    int64_t context;         /* T: longest sequence, in tokens */
    int64_t width;           /* C: residual stream */
    int64_t embedding_width; /* E: of the embedding and the output projection, where matrices lead
                                from it into the stream and back (OPT-350M); 0: width */
    int64_t layers;
    int64_t heads;      /* query heads */
    int64_t kv_heads;   /* key/value heads; divides heads */
    int64_t head_width; /* D; usually width / heads */
    int64_t hidden;     /* F: width inside the feed-forward layer */
    enum model_norm norm;
    double norm_epsilon;
    enum model_positions positions;
    int64_t position_offset; /* learned positions: row of the first position */
    struct rope_config rope;
    struct layer_pattern unrotated; /* layers without rotary positions */
    int64_t window;                 /* a token sees at most so many, itself included; 0: all */
    struct layer_pattern global;    /* layers that see everything in spite of a window */
    enum model_block block;
    bool bidirectional;  /* an encoder: tokens see those behind them, too, and nothing is predicted;
                            a window then reaches as far to either side */
    bool embedding_norm; /* the stream begins with a norm */
    bool first_bare;     /* the first layer has no norm before its attention: ModernBERT */
    int64_t token_types; /* rows of a table of which the first is added to every token; 0: none */
    enum model_query_norm query_norm;
    bool attention_gate; /* attention's result is multiplied with the sigmoid of a gate */
    struct delta_config delta;
    double attention_scale;                 /* of query-key products; 0: 1 / sqrt(head_width) */
    double attention_softcap;               /* c tanh(score / c) instead of the score; 0: off */
    double embedding_scale, residual_scale; /* of embeddings; of each branch. 0: 1 */
    double logit_scale, logit_softcap;      /* in this order; 0: off */
    enum model_mlp mlp;
    int64_t experts; /* feed-forward layers of width `hidden`, of which a router chooses; 0: one */
    int64_t experts_used; /* for each token */
    bool experts_whole;   /* the weights of those used are scaled to sum up to 1 */
    bool tied;            /* output projection shares the embedding's matrix */
    bool attention_bias;  /* on query, key, value */
    bool output_bias;     /* on the attention's output projection */
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

bool model_mlp_is_gated(enum model_mlp mlp);
bool layer_pattern_has(const struct layer_pattern *pattern, int64_t layer);
/* How many tokens a query of this layer sees at most; 0: all. */
int64_t decoder_layer_window(const struct decoder_config *config, int64_t layer);
/* Whether a layer mixes tokens by the delta rule; and how many layers before it do not. */
bool decoder_layer_is_delta(const struct decoder_config *config, int64_t layer);
int64_t decoder_attention_layers(const struct decoder_config *config, int64_t before);
/* Columns of queries, keys and values of the delta rule. */
int64_t decoder_delta_columns(const struct decoder_config *config);
/* Values of a sequence's memory in all layers of the delta rule, convolutions included. */
int64_t decoder_state_values(const struct decoder_config *config);
/* Values of a row of the embedding, and of a final hidden state. */
int64_t decoder_embedding_width(const struct decoder_config *config);
/* Values of a head that are rotated. */
int64_t decoder_rope_width(const struct decoder_config *config);
/* Radians per position of each rotated pair (width / 2 of them), in a layer with or without a
 * window, for sequences within or beyond the first context; *magnitude receives the factor of
 * cosines and sines. */
void decoder_rope_speeds(const struct decoder_config *config, bool local, bool beyond,
                         double *speeds, double *magnitude);

/* Checks ranges and divisibility; also bounds every size, so that products cannot overflow. `name`
 * is the file or command that the values came from. */
enum status decoder_config_check(const struct decoder_config *config, const char *name,
                                 struct error *error);

struct decoder_size {
    int64_t parameters; /* all */
    int64_t embedding;  /* token and position tables, and an untied output matrix */
    int64_t matrices;   /* parameters in matrices that a token is multiplied with, the output
                           projection included, look-up tables and unused experts not */
};
struct decoder_size decoder_count(const struct decoder_config *config);

/* Floating-point operations of training on one token in windows of `window` tokens: 6 for every
 * matrix parameter plus causal attention (forward and backward = 3 times the forward's 2 T C for
 * scores and values each, halved by causality). */
double decoder_training_flops(const struct decoder_config *config, int64_t window);

#endif
