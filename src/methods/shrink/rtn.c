/* See rtn.h. Norms, biases and learned positions stay f32. The embedding and the output projection
 * may have a format of their own: they suffer most from few bits. */
#include "methods/shrink/rtn.h"

#include <math.h>
#include <string.h>

#include "weight/formats.h"

struct rtn_options {
    const char *format, *table_format;
};

static const struct option options[] = {
    {"format", 'f', OPTION_CHOICE, offsetof(struct rtn_options, format), "q8_0", 0, 0,
     "f16|bf16|q8_0|q4_0", NULL, "storage format of the matrices"},
    {"table-format", 0, OPTION_CHOICE, offsetof(struct rtn_options, table_format), NULL, 0, 0,
     "f16|bf16|q8_0|q4_0", NULL,
     "of embedding and output projection; default: q8_0 with q4_0, else as the matrices"},
    {.name = NULL},
};

static const struct weight_format *table_format(const struct rtn_options *o)
{
    if (o->table_format)
        return weight_format_by_name(o->table_format);
    return strcmp(o->format, "q4_0") == 0 ? &weight_q8_0 : weight_format_by_name(o->format);
}

static enum status run(struct model *model, const struct compute *compute, const void *opaque,
                       struct shrink_result *result, struct error *error)
{
    const struct rtn_options *o = opaque;
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
            table ? table_format(o) : weight_format_by_name(o->format);
        if (p->weight.columns % format->block != 0) {
            result->kept++;
            continue;
        }
        enum status status =
            shrink_pack(model, compute, p, format, &squared_error, &squared_sum, error);
        if (status != STATUS_OK)
            return status;
        result->packed++;
    }
    result->bytes_after = shrink_bytes(model);
    result->bits_per_weight = 8.0 * (double)result->bytes_after / (double)result->parameters;
    result->relative_error = squared_sum > 0 ? sqrt(squared_error / squared_sum) : 0;
    return STATUS_OK;
}

const struct shrink_method shrink_rtn = {
    .name = "rtn",
    .title = "Round to nearest in blocks: q8_0, q4_0, f16, bf16",
    .citation = "the formats are GGUF's",
    .options = options,
    .options_size = sizeof(struct rtn_options),
    .run = run,
};
