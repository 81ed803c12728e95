/* See parameters.h. Each parameter starts at a multiple of 16 values, one cache line. */
#include "model/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status parameters_create(struct parameters *parameters, int capacity, struct error *error)
{
    *parameters = (struct parameters){.capacity = capacity};
    parameters->items = calloc((size_t)capacity, sizeof *parameters->items);
    if (!parameters->items)
        return error_no_memory(error, (size_t)capacity * sizeof *parameters->items);
    return STATUS_OK;
}

void parameters_free(struct parameters *parameters)
{
    free(parameters->items);
    free(parameters->values);
    free(parameters->gradients);
    *parameters = (struct parameters){0};
}

struct parameter *parameters_declare(struct parameters *parameters, const char *name,
                                     enum parameter_kind kind, int64_t rows, int64_t columns)
{
    struct parameter *parameter = &parameters->items[parameters->count++];
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
    parameter->kind = kind;
    parameter->rank = kind == PARAMETER_MATRIX || kind == PARAMETER_EMBEDDING ? 2 : 1;
    parameter->weight = weight_over_f32(NULL, rows, columns);
    parameter->offset = parameters->total;
    parameters->total += (rows * columns + 15) / 16 * 16;
    return parameter;
}

static float *allocate_flat(int64_t total)
{
    size_t bytes = (size_t)total * sizeof(float);
    float *values = aligned_alloc(ARENA_ALIGNMENT, bytes ? bytes : ARENA_ALIGNMENT);
    if (values)
        memset(values, 0, bytes);
    return values;
}

enum status parameters_allocate(struct parameters *parameters, struct error *error)
{
    parameters->values = allocate_flat(parameters->total);
    if (!parameters->values)
        return error_no_memory(error, (size_t)parameters->total * sizeof(float));
    for (int i = 0; i < parameters->count; i++) {
        struct parameter *p = &parameters->items[i];
        p->weight =
            weight_over_f32(parameters->values + p->offset, p->weight.rows, p->weight.columns);
    }
    return STATUS_OK;
}

enum status parameters_train(struct parameters *parameters, struct error *error)
{
    parameters->gradients = allocate_flat(parameters->total);
    if (!parameters->gradients)
        return error_no_memory(error, (size_t)parameters->total * sizeof(float));
    for (int i = 0; i < parameters->count; i++) {
        struct parameter *p = &parameters->items[i];
        if (!p->weight.tensor.data)
            continue;
        p->weight.tensor.gradient = parameters->gradients + p->offset;
        p->weight.tensor.trains = p->weight.tensor.parameter = true;
    }
    return STATUS_OK;
}

struct parameter *parameters_find(const struct parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->count; i++)
        if (strcmp(parameters->items[i].name, name) == 0)
            return &parameters->items[i];
    return NULL;
}
