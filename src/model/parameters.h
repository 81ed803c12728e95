/* The parameters of a model: named weights, in a fixed order, whose trainable values lie in one
 * block and whose gradients lie in another of the same layout. So the optimizer, the gradient norm,
 * checkpoints and all-reduce each walk one flat array. */
#ifndef MODEL_PARAMETERS_H
#define MODEL_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "weight/weight.h"

enum parameter_kind {
    PARAMETER_MATRIX,
    PARAMETER_EMBEDDING,
    PARAMETER_NORM, /* never decayed */
    PARAMETER_BIAS, /* never decayed */
};

struct parameter {
    char name[80]; /* adze's own name: "layers.3.attention.query" */
    enum parameter_kind kind;
    int rank; /* 1 for norms and biases, stored as one row; 2 for matrices */
    struct weight weight;
    int64_t offset; /* of its values in the flat arrays; -1 when frozen */
};

struct parameters {
    struct parameter *items;
    int count, capacity;
    float *values;    /* flat f32 values of everything trainable, or NULL */
    float *gradients; /* same layout; NULL until parameters_train */
    int64_t total;    /* values in the flat arrays, padding included */
};

/* Room for `capacity` parameters. */
enum status parameters_create(struct parameters *parameters, int capacity, struct error *error);
void parameters_free(struct parameters *parameters);

/* Declares a parameter; the returned struct stays where it is. Never more than `capacity`. */
struct parameter *parameters_declare(struct parameters *parameters, const char *name,
                                     enum parameter_kind kind, int64_t rows, int64_t columns);

/* Allocates zeroed f32 values for all declared parameters and binds the weights to them. */
enum status parameters_allocate(struct parameters *parameters, struct error *error);

/* Allocates zeroed gradients and marks every f32 parameter as training. */
enum status parameters_train(struct parameters *parameters, struct error *error);

/* NULL when there is none of that name. */
struct parameter *parameters_find(const struct parameters *parameters, const char *name);

#endif
