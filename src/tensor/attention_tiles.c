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
                           int64_t count, int64_t width, uint32_t *panels, uint32_t *space)
{
    int64_t units = attention_units(kernels, width);
    for (int64_t i = 0; i < count; i += kernels->columns) {
        int part = (int)(count - i < kernels->columns ? count - i : kernels->columns);
        attention_pack_left(kernels, rows + i * stride, stride, part, width, space);
        kernels->transpose(space, GEMM_STRIDE, part, units, panels + i * units);
    }
}

void attention_pack_along(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                          int64_t count, int64_t width, uint32_t *panels, uint32_t *space)
{
    int64_t columns = kernels->columns, units = attention_units(kernels, count);
    for (int64_t unit = 0; unit < units; unit++) {
        attention_pack_turned(kernels, rows + unit * kernels->pair * stride, stride,
                              count - unit * kernels->pair < kernels->pair ? 1 : kernels->pair,
                              width, space);
        for (int64_t j = 0; j < width; j += columns) {
            int64_t part = width - j < columns ? width - j : columns;
            uint32_t *to = panels + j * units + unit * columns;
            gemm_copy(to, space + j, part);
            if (part < columns)
                memset(to + part, 0, (size_t)(columns - part) * sizeof *to);
        }
    }
}

void attention_pack_left(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                         int64_t count, int64_t width, uint32_t *block)
{
    for (int64_t i = 0; i < count; i++)
        kernels->pack_row(rows + i * stride, width, block + i * GEMM_STRIDE);
}

void attention_pack_turned(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                           int64_t count, int64_t width, uint32_t *block)
{
    for (int64_t i = 0; i < count; i += kernels->pair, block += GEMM_STRIDE)
        if (kernels->pair == 2)
            kernels->pack_pair(rows + i * stride, i + 1 < count ? rows + (i + 1) * stride : NULL,
                               width, block);
        else
            kernels->pack_row(rows + i * stride, width, block);
}

const uint32_t *attention_left(const struct compute *compute, const float *scores, int64_t count,
                               int64_t width, bool turned, uint32_t *space)
{
    const struct gemm_kernels *kernels = attention_kernels(compute);
    if (kernels == compute->gemm_f32)
        return (const uint32_t *)(const void *)scores;
    if (turned)
        attention_pack_turned(kernels, scores, GEMM_STRIDE, count, width, space);
    else
        attention_pack_left(kernels, scores, GEMM_STRIDE, count, width, space);
    return space;
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
