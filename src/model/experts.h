/* The feed-forward layer as a mixture of experts: a router gives each token to a few of many. */
#ifndef MODEL_EXPERTS_H
#define MODEL_EXPERTS_H

#include "model/decoder.h"

/* The weighted sum of what the experts of layer `layer` make of x (..., C), of x's shape. Rows of
 * an expert are computed together; in generation, single tokens and pieces of prompts each by their
 * own kernels, so that a row's result does not depend on the others. NULL on failure. */
struct tensor *experts_feed(struct decoder *decoder, struct tape *tape, int64_t layer,
                            struct tensor *x);

#endif
