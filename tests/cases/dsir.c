/* Adapter of the dsir case. */
#include "methods/select/dsir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/topk.h"
#include "cases/cases.h"

struct dsir_case {
    struct dsir_model model;
    struct ngram_hasher hasher;
    struct ngram_list *lists; /* of the raw documents */
    int64_t documents, most;
    double floor;
};

static enum status hash_text(struct dsir_case *c, const json_t *text, struct ngram_list *list,
                             struct error *error)
{
    int64_t words;
    return ngram_hash(&c->hasher, json_string_value(text), json_string_length(text), list, &words,
                      error);
}

static enum status count_all(struct dsir_case *c, const json_t *raw, const json_t *target,
                             struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < c->documents && status == STATUS_OK; i++) {
        status = hash_text(c, json_array_get(raw, (size_t)i), &c->lists[i], error);
        for (int64_t j = 0; j < c->lists[i].count; j++)
            c->model.pool[c->lists[i].items[j]]++;
        c->model.pool_total += (double)c->lists[i].count;
    }
    for (size_t i = 0; i < json_array_size(target) && status == STATUS_OK; i++) {
        struct ngram_list list = {0};
        status = hash_text(c, json_array_get(target, i), &list, error);
        for (int64_t j = 0; j < list.count; j++)
            c->model.target[list.items[j]]++;
        c->model.target_total += (double)list.count;
        free(list.items);
    }
    return status;
}

static json_t *weigh(struct dsir_case *c, double lambda, double *weights)
{
    dsir_fit(&c->model, lambda, c->floor);
    for (int64_t i = 0; i < c->documents; i++)
        weights[i] = dsir_log_weight(&c->model, c->lists[i].items, c->lists[i].count);
    return case_list(weights, (size_t)c->documents);
}

/* Indices of the k largest keys among documents that are long enough. `u` NULL: no noise. */
static json_t *choose(const struct dsir_case *c, const double *weights, const double *u, int64_t k,
                      int64_t least, double *counts)
{
    struct topk top;
    json_t *list = json_array();
    if (topk_create(&top, k, NULL) != STATUS_OK)
        return list;
    for (int64_t i = 0; i < c->documents; i++)
        if (dsir_length(c->lists[i].count, (int)c->most) >= least)
            topk_offer(&top, weights[i] + (u ? -log(-log(u[i])) : 0), i);
    topk_sort(&top);
    for (int64_t j = 0; j < top.count; j++) {
        int64_t index = top.items[j].index;
        json_array_append_new(list, json_integer(index));
        for (int64_t n = 0; counts && n < c->lists[index].count; n++)
            counts[c->lists[index].items[n]]++;
    }
    topk_free(&top);
    return list;
}

static json_t *outputs(struct dsir_case *c, const json_t *input)
{
    size_t uniforms;
    double *weights = malloc((size_t)(c->documents + 1) * sizeof *weights);
    double *counts = calloc((size_t)c->model.buckets, sizeof *counts), total = 0;
    double *u = case_reals(json_object_get(input, "u"), &uniforms);
    const json_t *laplace = json_object_get(input, "laplace");
    int64_t k = json_integer_value(json_object_get(input, "k"));
    int64_t least = json_integer_value(json_object_get(input, "min_tokens"));
    json_t *out = json_object(), *lengths = json_array();
    char name[64], *lambda = json_dumps(laplace, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    if (weights && counts && u && lambda && (int64_t)uniforms == c->documents) {
        snprintf(name, sizeof name, "logw_lap%s", lambda);
        json_object_set_new(out, "logw_lap0", weigh(c, 0, weights));
        json_object_set_new(out, name, weigh(c, json_number_value(laplace), weights));
        json_object_set_new(out, "gumbel_topk", choose(c, weights, u, k, least, NULL));
        json_object_set_new(out, "topk", choose(c, weights, NULL, k, least, counts));
        for (int64_t b = 0; b < c->model.buckets; b++)
            total += counts[b];
        double before = dsir_divergence(&c->model, c->model.pool, c->model.pool_total, c->floor);
        double after = dsir_divergence(&c->model, counts, total, c->floor);
        json_object_set_new(out, "kl_raw", json_real(before));
        json_object_set_new(out, "kl_topk", json_real(after));
        json_object_set_new(out, "kl_reduction_topk", json_real(before - after));
    }
    for (int64_t i = 0; i < c->documents; i++)
        json_array_append_new(lengths, json_integer(dsir_length(c->lists[i].count, (int)c->most)));
    json_object_set_new(out, "lengths", lengths);
    free(weights);
    free(counts);
    free(u);
    free(lambda);
    return out;
}

json_t *case_dsir(const json_t *input, struct error *error)
{
    const json_t *raw = json_object_get(input, "raw");
    struct dsir_case c = {.documents = (int64_t)json_array_size(raw)};
    int64_t buckets = json_integer_value(json_object_get(input, "buckets"));
    c.most = json_integer_value(json_object_get(input, "ngrams"));
    c.floor = json_number_value(json_object_get(input, "floor"));
    c.lists = calloc((size_t)c.documents + 1, sizeof *c.lists);
    if (!c.lists || buckets < 1 || c.most < 1) {
        free(c.lists);
        error_set(error, STATUS_FAILED, "no usable input");
        return NULL;
    }
    json_t *out = NULL;
    enum status status = dsir_create(&c.model, buckets, error);
    ngram_hasher_init(&c.hasher, (int)c.most, buckets);
    if (status == STATUS_OK)
        status = count_all(&c, raw, json_object_get(input, "target"), error);
    if (status == STATUS_OK)
        out = outputs(&c, input);
    for (int64_t i = 0; i < c.documents; i++)
        free(c.lists[i].items);
    free(c.lists);
    ngram_hasher_free(&c.hasher);
    dsir_free(&c.model);
    return out;
}
