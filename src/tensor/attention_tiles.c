/* See attention_tiles.h. */
#include "tensor/attention_tiles.h"

#include <string.h>

void attention_visible(const struct attention_shape *shape, int64_t b, int64_t t, int64_t *begin,
                       int64_t *end)
{
    int64_t position = t + shape->offset, first = 0, last = shape->keys;
    if (shape->lengths && shape->lengths[b] < last)
        last = shape->lengths[b];
    if (shape->causal && position + 1 < last)
        last = position + 1;
    if (shape->window > 0 && position + 1 - shape->window > first)
        first = position + 1 - shape->window;
    if (shape->window > 0 && !shape->causal && position + shape->window < last)
        last = position + shape->window;
    if (shape->segment_start && shape->segment_start[b * shape->queries + t] > first)
        first = shape->segment_start[b * shape->queries + t];
    *begin = first;
    *end = last > first ? last : first;
}

void attention_tile_range(const struct attention_shape *shape, int64_t b, int64_t first,
                          int64_t last, int64_t slab, int64_t count, int64_t unit, int64_t *begin,
                          int64_t *end)
{
    int64_t low = count, high = 0;
    for (int64_t t = first; t < last; t++) {
        int64_t from, to;
        attention_visible(shape, b, t, &from, &to);
        from = from > slab ? from - slab : 0;
        to = to - slab < count ? to - slab : count;
        if (from >= to)
            continue;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    *begin = low < high ? low / unit * unit : 0;
    *end = low < high ? high : 0;
}

void attention_cap(const struct compute *compute, const struct attention_shape *shape,
                   int64_t count, float *scores)
{
    if (shape->softcap <= 0)
        return;
    compute->kernels->scale(count, shape->scale, scores, scores);
    compute->kernels->softcap(count, shape->softcap, scores, scores);
}

void attention_pack_across(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                           int64_t count, int64_t width, float *panels)
{
    for (int64_t i = 0; i < count; i += kernels->columns) {
        int part = (int)(count - i < kernels->columns ? count - i : kernels->columns);
        kernels->transpose(rows + i * stride, stride, part, width, panels + i * width);
    }
}

void attention_pack_along(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                          int64_t count, int64_t width, float *panels)
{
    int64_t columns = kernels->columns;
    for (int64_t j = 0; j < width; j += columns) {
        int64_t part = width - j < columns ? width - j : columns;
        float *to = panels + j * count;
        for (int64_t i = 0; i < count; i++, to += columns) {
            gemm_copy(to, rows + i * stride + j, part);
            if (part < columns)
                memset(to + part, 0, (size_t)(columns - part) * sizeof *to);
        }
    }
}

void attention_pack_left(const float *rows, int64_t stride, int64_t count, int64_t width,
                         float *block)
{
    for (int64_t i = 0; i < count; i++)
        gemm_copy(block + i * GEMM_STRIDE, rows + i * stride, width);
}

void attention_multiply(const struct gemm_kernels *kernels, const struct attention_product *p)
{
    struct gemm_tile tile = {.units = p->units,
                             .a_step = GEMM_STRIDE,
                             .b_step = kernels->columns,
                             .c_stride = p->c_stride,
                             .add_stride = p->c_stride,
                             .a_transposed = p->a_transposed};
    for (int64_t j = p->first_column; j < p->columns; j += kernels->columns) {
        int64_t wide = p->columns - j;
        tile.columns = (int)(wide < kernels->columns ? wide : kernels->columns);
        tile.b = p->b + j * p->panel_units + p->first_unit * kernels->columns;
        for (int64_t i = 0; i < p->rows; i += kernels->rows) {
            tile.rows = (int)(p->rows - i < kernels->rows ? p->rows - i : kernels->rows);
            tile.a = p->a + i * (p->a_transposed ? 1 : GEMM_STRIDE);
            tile.c = p->c + i * p->c_stride + j;
            tile.add = p->add ? tile.c : NULL;
            kernels->multiply(&tile);
        }
    }
}
