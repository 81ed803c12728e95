/* Adapters of a whole decoder (LoRA): for each chosen linear layer a pair A (r, I), B (O, r). Their
 * values and gradients lie in flat arrays of their own, of the same kind as a model's parameters,
 * so the trainer, checkpoints and the norm of the gradient walk them as they walk a model, while
 * the base stays mapped and frozen. */
#ifndef MODEL_ADAPTERS_H
#define MODEL_ADAPTERS_H

#include <signal.h>

#include "base/arena.h"
#include "model/decoder.h"

/* The linear layers of a decoder layer. */
enum decoder_linear {
    LINEAR_QUERY,
    LINEAR_KEY,
    LINEAR_VALUE,
    LINEAR_OUTPUT,
    LINEAR_GATE,
    LINEAR_UP,
    LINEAR_DOWN,
    LINEARS,
};

/* As in the decoder's parameters: "attention.query", "mlp.down". */
extern const char *const decoder_linear_names[LINEARS];
/* NULL when the model has no such layer. */
struct linear *decoder_linear(const struct decoder *decoder, int64_t layer,
                              enum decoder_linear which);

struct adapter_settings {
    int64_t rank;
    double alpha;         /* the product is scaled by alpha / rank, */
    bool rank_stabilized; /* or by alpha / sqrt(rank) (Kalajdzievski 2023) */
    double dropout;
    uint32_t targets; /* bit 1 << enum decoder_linear */
};

struct adapter_item {
    struct adapter adapter;
    int64_t layer;
    enum decoder_linear which;
};

struct adapters {
    struct adapter_settings settings;
    struct parameters parameters; /* A and B of each item, in order */
    struct adapter_item *items;
    int count, capacity;
};

/* "query,value" or "all-linear": which layers get adapters. */
enum status adapters_parse_targets(const char *text, uint32_t *targets, struct error *error);
/* alpha / rank or what stands for it. */
double adapters_scale(const struct adapter_settings *settings, int64_t rank);

/* An empty set for this decoder; free with adapters_free. */
enum status adapters_create(const struct adapter_settings *settings, const struct decoder *decoder,
                            struct adapters *adapters, struct error *error);
void adapters_free(struct adapters *adapters);
/* Declares the pair of one layer. Fails when the layer has one or is not there. */
enum status adapters_declare(struct adapters *adapters, struct decoder *decoder, int64_t layer,
                             enum decoder_linear which, int64_t rank, struct error *error);
/* Declares pairs for all targets of the settings. Fails when there are none. */
enum status adapters_declare_all(struct adapters *adapters, struct decoder *decoder,
                                 struct error *error);
/* Takes memory for what was declared; all values are 0. */
enum status adapters_allocate(struct adapters *adapters, struct error *error);
/* A uniform in +-1 / sqrt(I) and B 0, as in PEFT: at first nothing changes. */
void adapters_draw(struct adapters *adapters, uint64_t seed);

/* Puts the adapters on the decoder's layers, `strength` times as strong; several sets add up. The
 * set must outlive the decoder's use, and must be allocated. */
void adapters_attach(struct adapters *adapters, struct decoder *decoder, double strength);
/* Takes all adapters off. */
void adapters_detach(struct decoder *decoder);

/* Folds all adapters that are attached into the weights, W + scale B A, and takes them off. Each
 * changed matrix is packed in `format`, or in its own when that is NULL; its memory is `owner`'s.
 * When *stop (NULL: never) is not 0 it ends with STATUS_INTERRUPTED. */
enum status adapters_merge(struct decoder *decoder, const struct weight_format *format,
                           struct arena *owner, const volatile sig_atomic_t *stop,
                           struct error *error);

/* The first of the adapters that are attached to the layer of this weight; NULL when there are
 * none.
 */
const struct adapter *adapters_on(const struct decoder *decoder, const struct weight *weight);
/* Row `row` of a weight with adapters folded in, as adapters_merge makes it, in f32 and not packed;
 * `values` and `sums` hold a row each, the latter is scratch. */
void adapters_fold_row(const struct weight *weight, const struct adapter *first, int64_t row,
                       float *values, double *sums);

/* Values that adapters of these settings have. */
int64_t adapters_values(const struct adapter_settings *settings,
                        const struct decoder_config *config);

#endif
