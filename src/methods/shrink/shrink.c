/* See shrink.h. */
#include "methods/shrink/shrink.h"

#include <stdlib.h>
#include <string.h>

#include "methods/shrink/rtn.h"
#include "weight/formats.h"

#define ROW_BLOCKS 64 /* fixed, so that error sums do not depend on the threads */

const struct shrink_method *const shrink_methods[] = {&shrink_rtn, NULL};

const struct shrink_method *shrink_method_by_name(const char *name)
{
    for (int i = 0; shrink_methods[i]; i++)
        if (strcmp(shrink_methods[i]->name, name) == 0)
            return shrink_methods[i];
    return NULL;
}

int64_t shrink_bytes(const struct model *model)
{
    const struct parameters *parameters = &model->decoder.parameters;
    int64_t total = 0;
    for (int i = 0; i < parameters->count; i++)
        total += weight_bytes(&parameters->items[i].weight);
    return total;
}

struct pack_job {
    const struct weight *weight;
    const struct weight_format *format;
    unsigned char *blocks;
    size_t row_bytes;
    double error[ROW_BLOCKS], sum[ROW_BLOCKS];
    bool failed;
};

static void pack_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct pack_job *job = context;
    int64_t columns = job->weight->columns;
    float *values = malloc((size_t)columns * 2 * sizeof *values);
    if (!values) {
        job->failed = true;
        return;
    }
    for (int64_t block = begin; block < end; block++) {
        int64_t last = job->weight->rows * (block + 1) / ROW_BLOCKS;
        for (int64_t row = job->weight->rows * block / ROW_BLOCKS; row < last; row++) {
            unsigned char *at = job->blocks + (size_t)row * job->row_bytes;
            weight_unpack_row(job->weight, row, 0, columns, values);
            job->format->pack(values, columns, at);
            job->format->unpack(at, columns, values + columns);
            for (int64_t j = 0; j < columns; j++) {
                double difference = (double)values[j] - (double)values[columns + j];
                job->error[block] += difference * difference;
                job->sum[block] += (double)values[j] * (double)values[j];
            }
        }
    }
    free(values);
}

enum status shrink_pack(struct model *model, const struct compute *compute,
                        struct parameter *parameter, const struct weight_format *format,
                        double *squared_error, double *squared_sum, struct error *error)
{
    struct weight *weight = &parameter->weight;
    struct pack_job job = {.weight = weight, .format = format};
    enum status status = weight_row_bytes(format, weight->columns, &job.row_bytes, error);
    if (status != STATUS_OK)
        return status;
    size_t bytes = (size_t)weight->rows * job.row_bytes;
    job.blocks = arena_alloc(&model->owned, bytes);
    if (!job.blocks)
        return error_no_memory(error, bytes);
    thread_pool_for(compute->pool, ROW_BLOCKS, 1, pack_rows, &job);
    if (job.failed)
        return error_no_memory(error, (size_t)weight->columns * 2 * sizeof(float));
    for (int i = 0; i < ROW_BLOCKS; i++) {
        *squared_error += job.error[i];
        *squared_sum += job.sum[i];
    }
    weight->format = format;
    weight->data = job.blocks;
    weight->tensor.data = NULL;
    return STATUS_OK;
}
