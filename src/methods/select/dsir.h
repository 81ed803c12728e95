/* DSIR: Data Selection for Language Models via Importance Resampling (Xie et al. 2023). Documents
 * are drawn in proportion to how much likelier a bag-of-n-grams model of the target finds them than
 * one of the pool. */
#ifndef METHODS_SELECT_DSIR_H
#define METHODS_SELECT_DSIR_H

#include "methods/select/select.h"
#include "text/ngrams.h"

extern const struct select_method select_dsir;

/* Counts of n-grams by bucket, of the target and of the pool, and what follows from them. */
struct dsir_model {
    int64_t buckets;
    double *target, *pool; /* counts */
    double *difference;    /* ln(p + floor) - ln(q + floor) by bucket */
    double target_total, pool_total;
};

enum status dsir_create(struct dsir_model *model, int64_t buckets, struct error *error);
void dsir_free(struct dsir_model *model);

/* Sets `difference` from the counts: p smoothed by lambda, the floor added after normalizing. */
void dsir_fit(struct dsir_model *model, double lambda, double floor);

/* ln w of a document: the sum of differences over its n-grams. */
double dsir_log_weight(const struct dsir_model *model, const uint32_t *buckets, int64_t count);

/* Words of a document from its number of n-grams of 1 .. most words. */
int64_t dsir_length(int64_t ngrams, int most);

/* KL(p || r) in nats between the unsmoothed target and counts summing to `total`. */
double dsir_divergence(const struct dsir_model *model, const double *counts, double total,
                       double floor);

#endif
