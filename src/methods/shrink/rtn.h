/* Round to nearest: each block of a matrix on its own, no data needed. */
#ifndef METHODS_SHRINK_RTN_H
#define METHODS_SHRINK_RTN_H

#include "methods/shrink/shrink.h"
#include "model/mixes.h"

extern const struct shrink_method shrink_rtn;

/* Packs all matrices as the mix says; tables in `tables` unless that is NULL. */
enum status rtn_pack(struct model *model, const struct compute *compute, const struct mix *mix,
                     const struct weight_format *tables, struct shrink_result *result,
                     struct error *error);

#endif
