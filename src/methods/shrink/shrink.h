/* The shrink stage: a model's weights in fewer bits. A method replaces weights in memory by packed
 * ones; what is then evaluated and what is written to a file are the same weights. */
#ifndef METHODS_SHRINK_SHRINK_H
#define METHODS_SHRINK_SHRINK_H

#include <stdint.h>

#include "base/options.h"
#include "file/model.h"
#include "tensor/compute.h"

struct shrink_result {
    int64_t parameters;                /* all */
    int64_t bytes_before, bytes_after; /* of weights, side data included */
    double bits_per_weight;            /* over all parameters */
    double relative_error; /* root of summed squared errors over summed squares of packed ones */
    int64_t packed, kept;  /* matrices packed, and left because their rows are no whole blocks */
};

struct shrink_method {
    const char *name, *title, *citation;
    const struct option *options;
    size_t options_size;
    enum status (*run)(struct model *model, const struct compute *compute, const void *options,
                       struct shrink_result *result, struct error *error);
};

extern const struct shrink_method *const shrink_methods[]; /* ended by NULL */
const struct shrink_method *shrink_method_by_name(const char *name);

/* Bytes of all weights as they are stored now. */
int64_t shrink_bytes(const struct model *model);

/* Packs one matrix into `format`, in the model's own memory; adds to the squared sums. */
enum status shrink_pack(struct model *model, const struct compute *compute,
                        struct parameter *parameter, const struct weight_format *format,
                        double *squared_error, double *squared_sum, struct error *error);

#endif
