/* The one decoder. Families differ in configuration only (config.h). It runs on a tape: with
 * recording on for training, without for evaluation and generation, where keys and values go
 * through a cache. */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include <stdint.h>

#include "model/config.h"
#include "model/kv_cache.h"
#include "model/parameters.h"
#include "tensor/ops.h"
#include "weight/ops.h"

struct decoder_norm {
    struct tensor *weight, *bias; /* bias NULL for RMS norm */
};

/* What a configuration does not ask for has no weight. */
struct decoder_layer {
    struct decoder_norm attention_norm, mlp_norm;
    struct decoder_norm attention_after, mlp_after; /* of a sandwich: on the branches' results */
    struct linear query, key, value, output;
    struct decoder_norm query_norm, key_norm;
    struct linear gate, up, down;
    struct linear attention_gate;
    /* Of the delta rule, which such layers have instead of query, key and value. */
    struct linear delta_input, delta_gate, delta_beta, delta_decay;
    struct tensor *delta_kernel, *delta_rate, *delta_bias;
    struct decoder_norm delta_norm;
    struct linear router; /* of a mixture of experts, which has these instead */
    struct linear *expert_gates, *expert_ups, *expert_downs;
};

/* Tables of rotations; they grow with the positions that are asked for. */
enum decoder_rotation { ROTATION_USUAL, ROTATION_LOCAL, ROTATION_BEYOND, ROTATIONS };

struct decoder {
    struct decoder_config config;
    struct parameters parameters;
    struct weight *embedding;
    struct linear embedding_in,
        embedding_out;          /* into the stream, and back; as a rule there are none */
    struct weight *positions;   /* NULL with rotary positions */
    struct weight *token_types; /* NULL as a rule */
    struct decoder_norm embedding_norm;
    struct decoder_layer *layers;
    struct linear *experts; /* of all layers, NULL without */
    struct decoder_norm final_norm;
    struct logit_head head; /* shares the embedding's weight when tied */
    struct rope_table rope[ROTATIONS];
    float *rope_values[ROTATIONS]; /* backing of the tables */
    bool checkpoints; /* training keeps each layer's input only, and computes the rest again */
};

/* Builds the structure with parameters declared but without values. */
enum status decoder_create(const struct decoder_config *config, struct decoder *decoder,
                           struct error *error);
/* decoder_create, values allocated and drawn: normal with deviation 0.02, the projections into the
 * residual stream scaled by 1 / sqrt(2 layers) (Radford et al. 2019), norms 1, biases 0. */
enum status decoder_create_random(const struct decoder_config *config, uint64_t seed,
                                  struct decoder *decoder, struct error *error);
void decoder_free(struct decoder *decoder);

/* A batch of token windows. All arrays live until backward. */
struct decoder_batch {
    int64_t batch, length;        /* B, T */
    const int32_t *tokens;        /* (B, T) */
    const int32_t *positions;     /* (B, T), or NULL: 0..T-1 in each row */
    const int32_t *segment_start; /* (B, T): first token that token t may attend to; or NULL */
};

/* Final-norm hidden states (B, T, C), or (B, T, E) where the stream has another width than the
 * embedding; those of an encoder are its result. */
struct tensor *decoder_hidden(struct decoder *decoder, struct tape *tape,
                              const struct decoder_batch *batch);
/* Loss of a batch; see op_cross_entropy. */
struct tensor *decoder_loss(struct decoder *decoder, struct tape *tape,
                            const struct decoder_batch *batch, const struct loss_target *target);

/* What one sequence adds in a step of generation. */
struct decoder_run {
    struct kv_sequence *sequence; /* grows by `count`; pages must have been reserved */
    const int32_t *tokens;
    int64_t count;
    bool single;     /* one token that the model has made: its arithmetic is that of single rows,
                        which no company changes. A prompt's last token is none. */
    int64_t outputs; /* of its last tokens: 0, 1, ..., count */
    bool beyond;     /* the sequence may outgrow the first context (LongRoPE) */
};

/* Runs further tokens of several sequences at once, without padding: their rows stand behind one
 * another, single tokens first, and each run attends to its own sequence. `logits` receives a row
 * (V), `hidden` a final hidden state, for each wanted output, in order; either may be NULL.
 * Each run's result is the same bits whatever the other runs are. Rewinds the tape to where it was.
 * Runs with `single` come first; positions must lie within the model's context. */
enum status decoder_step(struct decoder *decoder, struct tape *tape, struct kv_cache *cache,
                         const struct decoder_run *runs, int64_t run_count, float *logits,
                         float *hidden, struct error *error);

/* The function inside a feed-forward layer. */
enum activation decoder_activation(enum model_mlp mlp);

/* How a training step works, for what it keeps. */
struct decoder_work {
    int64_t batch, length;
    bool checkpoints;     /* as in struct decoder */
    int64_t adapter_rank; /* 0: the model itself is trained */
    uint32_t targets;     /* of the adapters; bits as in model/adapters.h */
    bool adapter_dropout;
    double learned; /* part of the tokens that has a loss; 0: all */
};

/* Bytes that a training step keeps at its peak: activations and gradients on the tape, beside
 * parameters (values, gradients, optimizer state). */
int64_t decoder_activation_bytes(const struct decoder_config *config,
                                 const struct decoder_work *work);

#endif
