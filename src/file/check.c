/* Whether a model is intact beyond what loading checks: that every value is a number. */
#include <math.h>
#include <stdlib.h>

#include "file/model.h"

enum status model_check_finite(const struct model *model, struct error *error)
{
    const struct parameters *parameters = &model->decoder.parameters;
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        const struct parameter *p = &parameters->items[i];
        float *row = malloc((size_t)p->weight.columns * sizeof *row);
        if (!row)
            return error_no_memory(error, (size_t)p->weight.columns * sizeof *row);
        for (int64_t r = 0; r < p->weight.rows && status == STATUS_OK; r++) {
            weight_unpack_row(&p->weight, r, 0, p->weight.columns, row);
            float sum = 0; /* of zeros, unless a value is infinite or no number */
            for (int64_t j = 0; j < p->weight.columns; j++)
                sum += row[j] * 0.0f;
            if (sum != 0)
                status = error_set(error, STATUS_FAILED,
                                   "%s: '%s' holds values that are no numbers, in row %lld",
                                   model->path, p->name, (long long)r);
        }
        free(row);
    }
    return status;
}
