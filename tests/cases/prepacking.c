/* Adapter of the prepacking case. */
#include "run/packing.h"

#include <math.h>
#include <stdlib.h>

#include "cases/cases.h"
#include "tensor/ops.h"
#include "weight/ops.h"

/* A batch of lengths; *longest receives the capacity. */
static int64_t *read_lengths(const json_t *list, int64_t *longest)
{
    int64_t *values = malloc((json_array_size(list) + 1) * sizeof *values);
    *longest = 1;
    for (size_t i = 0; values && i < json_array_size(list); i++) {
        values[i] = json_integer_value(json_array_get(list, i));
        *longest = values[i] > *longest ? values[i] : *longest;
    }
    return values;
}

static json_t *integers(const int64_t *values, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

static json_t *pack_batch(const json_t *list, struct error *error)
{
    int64_t count = (int64_t)json_array_size(list), longest, real = 0;
    int64_t *lengths = read_lengths(list, &longest);
    struct packing packing = {0}, exact = {0};
    json_t *out = NULL;
    if (lengths &&
        packing_make(lengths, count, longest, PACKING_EMPTIEST, &packing, error) == STATUS_OK &&
        packing_make(lengths, count, longest, PACKING_EXACT, &exact, error) == STATUS_OK) {
        json_t *bins = json_array();
        for (int64_t r = 0; r < packing.rows; r++) {
            json_array_append_new(bins, integers(packing.order + packing.begin[r],
                                                 packing.begin[r + 1] - packing.begin[r]));
            real += packing.loads[r];
        }
        out = json_pack("{s:o,s:o,s:I,s:I,s:I,s:o}", "bins", bins, "loads",
                        integers(packing.loads, packing.rows), "padded_tokens",
                        (json_int_t)(count * longest), "packed_tokens",
                        (json_int_t)(packing.rows * longest), "real_tokens", (json_int_t)real,
                        "optimal_bins", count <= 12 ? json_integer(exact.rows) : json_null());
    }
    packing_free(&packing);
    packing_free(&exact);
    free(lengths);
    return out;
}

/* One attention head over packed rows. */
struct head {
    struct compute compute;
    struct tape tape;
    int64_t width;
    double base;
    const json_t *input;
};

static struct tensor *project(struct head *h, struct tensor *x, const char *name)
{
    const json_t *rows = json_object_get(h->input, name);
    float *values = tape_alloc(&h->tape, (size_t)(h->width * h->width) * sizeof *values);
    struct weight *weight = tape_alloc(&h->tape, sizeof *weight);
    if (!values || !weight)
        return NULL;
    for (int64_t i = 0; i < h->width * h->width; i++)
        values[i] = (float)json_number_value(
            json_array_get(json_array_get(rows, (size_t)(i / h->width)), (size_t)(i % h->width)));
    *weight = weight_over_f32(values, h->width, h->width);
    struct linear linear = {.weight = weight};
    return op_linear(&h->tape, x, &linear, NULL);
}

static struct tensor *rotate(struct head *h, struct tensor *x, const int32_t *positions,
                             int64_t count)
{
    int64_t half = h->width / 2;
    float *cosines = tape_alloc(&h->tape, (size_t)(2 * count * half) * sizeof *cosines);
    struct rope_table *table = tape_alloc(&h->tape, sizeof *table);
    if (!cosines || !table)
        return NULL;
    for (int64_t i = 0; i < count * half; i++) {
        double speed = pow(h->base, -(double)(i % half) / (double)half);
        cosines[i] = (float)cos((double)(i / half) * speed);
        cosines[count * half + i] = (float)sin((double)(i / half) * speed);
    }
    *table = (struct rope_table){cosines, cosines + count * half, count, h->width, h->width};
    return op_rope(&h->tape, x, 1, positions, table);
}

static json_t *matrix(const struct tensor *t)
{
    json_t *rows = json_array();
    for (int64_t i = 0; i < tensor_rows(t); i++) {
        json_t *row = json_array();
        for (int64_t j = 0; j < tensor_columns(t); j++)
            json_array_append_new(row, json_real((double)t->data[i * tensor_columns(t) + j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* A row of packed prompts: each attends to itself alone, at positions from 0. */
static json_t *attend_row(struct head *h, const int64_t *prompts, int64_t count, int64_t load)
{
    const json_t *all = json_object_get(h->input, "prompts");
    int64_t shape[] = {1, load, h->width}, row = 0;
    struct tensor *x = tape_tensor(&h->tape, 3, shape);
    int32_t *positions = tape_alloc(&h->tape, (size_t)(2 * load) * sizeof *positions);
    int32_t *segment_start = positions ? positions + load : NULL;
    json_t *places = json_array(), *segments = json_array(), *starts = json_array();
    json_array_append_new(starts, json_integer(0));
    for (int64_t p = 0; x && positions && p < count; p++) {
        const json_t *prompt = json_array_get(all, (size_t)prompts[p]);
        int64_t first = row;
        for (size_t t = 0; t < json_array_size(prompt); t++, row++) {
            for (int64_t j = 0; j < h->width; j++)
                x->data[row * h->width + j] =
                    (float)json_number_value(json_array_get(json_array_get(prompt, t), (size_t)j));
            positions[row] = (int32_t)t;
            segment_start[row] = (int32_t)first;
            json_array_append_new(places, json_integer((json_int_t)t));
            json_array_append_new(segments, json_integer(prompts[p]));
        }
        json_array_append_new(starts, json_integer(row));
    }
    struct tensor *q = rotate(h, project(h, x, "Wq"), positions, load);
    struct tensor *k = rotate(h, project(h, x, "Wk"), positions, load);
    struct tensor *v = project(h, x, "Wv");
    struct attention_shape attention = {
        .batch = 1,
        .queries = load,
        .keys = load,
        .heads = 1,
        .kv_heads = 1,
        .head_width = h->width,
        .scale = (float)(1 / sqrt((double)h->width)),
        .causal = true,
        .segment_start = segment_start,
    };
    struct tensor *out = op_attention(&h->tape, q, k, v, &attention);
    json_t *layout = json_pack("{s:o,s:o,s:o,s:o}", "prompts", integers(prompts, count),
                               "positions", places, "segment", segments, "starts", starts);
    if (!out) {
        json_decref(layout);
        return NULL;
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "layout", layout, "output", matrix(out), "k", matrix(k),
                     "v", matrix(v));
}

static json_t *attend_all(const json_t *input, struct error *error)
{
    struct head h = {.input = input,
                     .width = (int64_t)json_array_size(json_object_get(input, "Wq")),
                     .base = json_number_value(json_object_get(input, "rope_base"))};
    const json_t *list = json_object_get(input, "prompt_lengths");
    int64_t count = (int64_t)json_array_size(list), longest;
    int64_t *lengths = read_lengths(list, &longest);
    struct packing packing = {0};
    json_t *rows = json_array();
    if (compute_create(1, MATMUL_F32, &h.compute, error) != STATUS_OK) {
        free(lengths);
        return rows;
    }
    tape_init(&h.tape, &h.compute);
    if (lengths &&
        packing_make(lengths, count, longest, PACKING_EMPTIEST, &packing, error) == STATUS_OK)
        for (int64_t r = 0; r < packing.rows; r++)
            json_array_append_new(rows, attend_row(&h, packing.order + packing.begin[r],
                                                   packing.begin[r + 1] - packing.begin[r],
                                                   packing.loads[r]));
    packing_free(&packing);
    tape_free(&h.tape);
    compute_free(&h.compute);
    free(lengths);
    return rows;
}

json_t *case_prepacking(const json_t *input, struct error *error)
{
    const json_t *batches = json_object_get(input, "lengths");
    json_t *packed = json_array();
    for (size_t i = 0; i < json_array_size(batches); i++)
        json_array_append_new(packed, pack_batch(json_array_get(batches, i), error));
    return json_pack("{s:o,s:o}", "packing", packed, "attention", attend_all(input, error));
}
