/* See rtn.h. Norms, biases and learned positions stay f32. The embedding and the output projection
 * may have a format of their own: they suffer most from few bits. A matrix whose rows are no whole
 * blocks of any format stays as it is. */
#include "methods/shrink/rtn.h"

#include <math.h>
#include <string.h>

#include "weight/formats.h"

struct rtn_options {
    const char *format, *table_format;
};

static const struct option options[] = {
    {"format", 'f', OPTION_CHOICE, offsetof(struct rtn_options, format), "q8_0", 0, 0, MIX_NAMES,
     NULL, "storage format of the matrices, or a mix that gives some of them more bits"},
    {"table-format", 0, OPTION_CHOICE, offsetof(struct rtn_options, table_format), NULL, 0, 0,
     "f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q4_K|q5_K|q6_K", NULL,
     "of embedding and output projection; default: what the mix says, q8_0 with q4_0 to q5_1, else "
     "as the matrices"},
    {.name = NULL},
};

enum status rtn_pack(struct model *model, const struct compute *compute, const struct mix *mix,
                     const struct weight_format *tables, struct shrink_result *result,
                     struct error *error)
{
    struct parameters *parameters = &model->decoder.parameters;
    double squared_error = 0, squared_sum = 0;
    *result = (struct shrink_result){.bytes_before = shrink_bytes(model)};
    for (int i = 0; i < parameters->count; i++) {
        struct parameter *p = &parameters->items[i];
        result->parameters += p->weight.rows * p->weight.columns;
        if (p->rank == 1 || strcmp(p->name, "positions") == 0)
            continue;
        bool table = p->kind == PARAMETER_EMBEDDING || strcmp(p->name, "head.weight") == 0;
        const struct weight_format *format =
            table && tables ? tables : mix_format(mix, &model->decoder.config, p);
        if (p->weight.columns % format->block != 0 ||
            (format == &weight_f16 && mix->base != &weight_f16 && tables != &weight_f16)) {
            result->kept++;
            continue;
        }
        enum status status =
            shrink_pack(model, compute, p, format, &squared_error, &squared_sum, error);
        if (status == STATUS_OK && model_is_stopped(model))
            status =
                error_set(error, STATUS_INTERRUPTED, "stopped while packing: nothing is written");
        if (status != STATUS_OK)
            return status;
        result->packed++;
    }
    result->bytes_after = shrink_bytes(model);
    result->bits_per_weight = 8.0 * (double)result->bytes_after / (double)result->parameters;
    result->relative_error = squared_sum > 0 ? sqrt(squared_error / squared_sum) : 0;
    return STATUS_OK;
}

static enum status run(struct model *model, const struct compute *compute, const void *opaque,
                       struct shrink_result *result, struct error *error)
{
    const struct rtn_options *o = opaque;
    return rtn_pack(model, compute, mix_by_name(o->format),
                    o->table_format ? weight_format_by_name(o->table_format) : NULL, result, error);
}

const struct shrink_method shrink_rtn = {
    .name = "rtn",
    .title = "Round to nearest in blocks: q8_0, q4_0, q4_K_M and others, f16, bf16",
    .citation = "the formats are GGUF's",
    .options = options,
    .options_size = sizeof(struct rtn_options),
    .run = run,
};
