/* Super-blocks of 256 values in the int8 kernels; a part of int8_template.h. All formats are read
 * in four steps of 64 values, each four groups of 16: registers of four codes of every lane. */

INLINE int64_t super_bytes(enum weight_code format)
{
    return format == WEIGHT_Q2_K   ? 84
           : format == WEIGHT_Q3_K ? 110
           : format == WEIGHT_Q4_K ? 144
           : format == WEIGHT_Q5_K ? 176
                                   : 210;
}

/* Scales of a super-block: f32 ones, and those of its sub-blocks as bytes, four to a lane. */
struct super_head {
    lanes_f32 scale, minimum;
    lanes_i32 subs[4], lows[4];
};

INLINE lanes_i32 collect_words(const unsigned char *at, int64_t stride, bool half)
{
    uint32_t words[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        words[lane] = 0;
        memcpy(&words[lane], at + lane * stride, half ? 2 : 4);
    }
    return load_i32(words);
}

/* q3_K: 16 scales of 6 bits; the last two bytes of codes are read along, as the block is read from
 * 94 so as to end where it ends. */
INLINE void head_q3(const unsigned char *at, int64_t stride, struct super_head *head)
{
    lanes_i32 words[4], whole[4];
    read_16(at + 94, stride, words);
    for (int i = 0; i < 3; i++)
        whole[i] = shift_right(words[i], 16) | words[i + 1] << 16;
    for (int i = 0; i < 4; i++) {
        lanes_i32 low = shift_right(whole[i % 2], i / 2 * 4) & 0x0f0f0f0f;
        lanes_i32 code = low | (shift_right(whole[2], 2 * i) & 0x03030303) << 4;
        /* Less 32, in each byte by itself: the sign bits are put in where bit 5 is clear. */
        lanes_i32 below = ~code & 0x20202020;
        head->subs[i] = (code & 0x1f1f1f1f) | below | below << 1 | below << 2;
    }
    head->scale = widen_halves(shift_right(words[3], 16));
}

INLINE void super_head(enum weight_code format, const unsigned char *at, int64_t stride,
                       struct super_head *head)
{
    lanes_i32 words[4];
    if (format == WEIGHT_Q3_K) {
        head_q3(at, stride, head);
        return;
    }
    if (format == WEIGHT_Q6_K) {
        read_16(at + 192, stride, head->subs);
        head->scale = widen_halves(collect_words(at + 208, stride, true));
        return;
    }
    read_16(at, stride, words);
    lanes_i32 scales = words[0];
    if (format == WEIGHT_Q2_K) {
        scales = collect_words(at + 80, stride, false);
        for (int i = 0; i < 4; i++) {
            head->subs[i] = words[i] & 0x0f0f0f0f;
            head->lows[i] = shift_right(words[i], 4) & 0x0f0f0f0f;
        }
    } else {
        head->subs[0] = words[1] & 0x3f3f3f3f;
        head->lows[0] = words[2] & 0x3f3f3f3f;
        head->subs[1] = (words[3] & 0x0f0f0f0f) | (shift_right(words[1], 2) & 0x30303030);
        head->lows[1] =
            (shift_right(words[3], 4) & 0x0f0f0f0f) | (shift_right(words[2], 2) & 0x30303030);
    }
    head->scale = widen_halves(scales);
    head->minimum = widen_halves(shift_right(scales, 16));
}

/* The sub-scale of sub-block j in every lane; those of q3_K and q6_K are signed. */
INLINE lanes_i32 sub_scale(enum weight_code format, const struct super_head *head, int j)
{
    if (format == WEIGHT_Q3_K || format == WEIGHT_Q6_K)
        return head->subs[j / 4] << (24 - 8 * (j % 4)) >> 24;
    return shift_right(head->subs[j / 4], 8 * (j % 4)) & 255;
}

/* Minima of sub-blocks 2 j and 2 j + 1 as 16-bit pairs. */
INLINE lanes_i32 low_pair(const struct super_head *head, int j)
{
    lanes_i32 pair = shift_right(head->lows[j / 2], 16 * (j % 2));
    return (pair & 255) | (pair & 0xff00) << 8;
}

/* The group of 16 values that group `t` of a step is. */
INLINE int group_of(enum weight_code format, int step, int t)
{
    if (format == WEIGHT_Q4_K || format == WEIGHT_Q5_K)
        return 4 * step + t;
    return 8 * (step / 2) + 2 * t + step % 2;
}

/* q4_K and q5_K: 32 bytes of nibbles are a sub-block of 32 below another. */
INLINE void step_nibbles(enum weight_code format, const unsigned char *at, int64_t stride, int step,
                         lanes_i32 (*codes)[4])
{
    for (int half = 0; half < 2; half++) {
        lanes_i32 nibbles[4], high[4];
        read_16(at + (format == WEIGHT_Q4_K ? 16 : 48) + 32 * step + 16 * half, stride, nibbles);
        if (format == WEIGHT_Q5_K)
            read_16(at + 16 + 16 * half, stride, high);
        for (int i = 0; i < 4; i++) {
            codes[half][i] = nibbles[i] & 0x0f0f0f0f;
            codes[half + 2][i] = shift_right(nibbles[i], 4) & 0x0f0f0f0f;
            if (format == WEIGHT_Q5_K) {
                lanes_i32 bits = shift_right(high[i], 2 * step);
                codes[half][i] |= (bits & 0x01010101) << 4;
                codes[half + 2][i] |= (bits & 0x02020202) << 3;
            }
        }
    }
}

INLINE void step_codes(enum weight_code format, const unsigned char *at, int64_t stride, int step,
                       lanes_i32 (*codes)[4])
{
    int part = step / 2, half = step % 2; /* of 128 values, of 32 bytes */
    if (format == WEIGHT_Q4_K || format == WEIGHT_Q5_K) {
        step_nibbles(format, at, stride, step, codes);
        return;
    }
    lanes_i32 pairs[4], low[4], high[4];
    if (format == WEIGHT_Q6_K) {
        read_16(at + 64 * part + 16 * half, stride, low);
        read_16(at + 64 * part + 32 + 16 * half, stride, high);
        read_16(at + 128 + 32 * part + 16 * half, stride, pairs);
    } else {
        read_16(at + (format == WEIGHT_Q2_K ? 16 : 32) + 32 * part + 16 * half, stride, pairs);
        if (format == WEIGHT_Q3_K)
            read_16(at + 16 * half, stride, high);
    }
    for (int i = 0; i < 4; i++)
        for (int t = 0; t < 4; t++) {
            codes[t][i] = shift_right(pairs[i], 2 * t) & 0x03030303;
            if (format == WEIGHT_Q3_K)
                codes[t][i] |= (shift_right(high[i], 4 * part + t) & 0x01010101) << 2;
            if (format == WEIGHT_Q6_K)
                codes[t][i] = codes[t][i] << 4 |
                              (shift_right(t % 2 ? high[i] : low[i], t / 2 * 4) & 0x0f0f0f0f);
        }
}

/* A step's products with one row, times sub-scales. Meanwhile the block that lies ahead, when it is
 * not 0, is prefetched. */
INLINE lanes_i32 step_sum(enum weight_code format, const struct super_head *head, int step,
                          lanes_i32 (*codes)[4], const unsigned char *a,
                          const unsigned char *starts, uintptr_t ahead)
{
    const struct int8_layout layout = layouts[format];
    lanes_i32 sum = zero_i32(), dots = sum;
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) {
        int group = group_of(format, step, t);
        if (layout.sub == 16 || t % 2 == 0)
            dots = layout.offset ? broadcast_i32(starts + 4 * group) : zero_i32();
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            dots = dot(false, dots, codes[t][i], broadcast_i32(a + 16 * group + 4 * i));
            if (ahead)
                prefetch_part(ahead, super_bytes(format) * LANES, 16 * step + 4 * t + i, 64);
        }
        if (layout.sub == 16 || t % 2 == 1)
            sum += dots * sub_scale(format, head, group * 16 / layout.sub);
    }
    return sum;
}

INLINE void few_super(enum weight_code format, int rows, const struct int8_few *call)
{
    const struct int8_layout layout = layouts[format];
    const int64_t bytes = super_bytes(format), blocks = call->depth / 256;
    const unsigned char *at = call->weights;
    uintptr_t ahead = (uintptr_t)at + (uintptr_t)(LANES * call->stride);
    lanes_f32 sums[INT8_FEW] = {0};
    for (int64_t b = 0; b < blocks; b++, at += bytes, ahead += (uintptr_t)bytes * LANES) {
        struct super_head head;
        super_head(format, at, call->stride, &head);
        lanes_i32 integers[INT8_FEW] = {0};
#pragma GCC unroll 4
        for (int step = 0; step < 4; step++) {
            lanes_i32 codes[4][4];
            step_codes(format, at, call->stride, step, codes);
            for (int r = 0; r < rows; r++) {
                const unsigned char *row = call->rows + r * call->row_stride;
                integers[r] += step_sum(format, &head, step, codes, row + 256 * b,
                                        row + call->depth + 4 * blocks + 1024 / layout.sub * b,
                                        r == 0 ? ahead : 0);
            }
        }
        for (int r = 0; r < rows; r++) {
            const unsigned char *scales = call->rows + r * call->row_stride + call->depth;
            lanes_f32 scale = broadcast_f32(scales + 4 * b);
            sums[r] = add_product(sums[r], to_float(integers[r]), head.scale * scale);
            if (!layout.minima)
                continue;
            lanes_i32 lows = zero_i32();
            for (int j = 0; j < 128 / layout.sub; j++)
                lows = dot_pairs(lows, low_pair(&head, j),
                                 broadcast_i32(scales + 4 * blocks + 512 / layout.sub * b + 4 * j));
            sums[r] = add_product(sums[r], -to_float(lows), head.minimum * scale);
        }
    }
    for (int r = 0; r < rows; r++)
        store_f32(call->out + r * LANES, sums[r]);
}

/* A panel's record: codes, sub-scales as int32, pairs of sub-minima, scales, minima. */
INLINE void pack_super(enum weight_code format, const unsigned char *at, int64_t stride,
                       int64_t depth, unsigned char *panel)
{
    const struct int8_layout layout = layouts[format];
    const int subs = 256 / layout.sub;
    for (int64_t b = 0; b < depth / 256; b++, at += super_bytes(format)) {
        struct super_head head;
        super_head(format, at, stride, &head);
#pragma GCC unroll 4
        for (int step = 0; step < 4; step++) {
            lanes_i32 codes[4][4];
            step_codes(format, at, stride, step, codes);
            for (int t = 0; t < 4; t++)
                for (int i = 0; i < 4; i++)
                    store_i32(panel + (group_of(format, step, t) * 4 + i) * 4 * LANES, codes[t][i]);
        }
        panel += 256 * LANES;
        for (int j = 0; j < subs; j++, panel += 4 * LANES)
            store_i32(panel, sub_scale(format, &head, j));
        for (int j = 0; j < subs / 2 && layout.minima; j++, panel += 4 * LANES)
            store_i32(panel, low_pair(&head, j));
        store_f32((float *)panel, head.scale);
        panel += 4 * LANES;
        if (layout.minima) {
            store_f32((float *)panel, head.minimum);
            panel += 4 * LANES;
        }
    }
}

/* Integer sums of one super-block: products of codes times sub-scales, and of minima. */
INLINE void tile_integers(enum weight_code format, int rows, const unsigned char *const *rows_at,
                          int64_t sides, const unsigned char *const *panels_at,
                          lanes_i32 (*integers)[2])
{
    const struct int8_layout layout = layouts[format];
    const int subs = 256 / layout.sub;
    const unsigned char *a[ROWS], *panels[2] = {panels_at[0], panels_at[1]};
    const unsigned char *scales[2] = {panels[0] + 256 * LANES, panels[1] + 256 * LANES};
    for (int r = 0; r < rows; r++)
        a[r] = rows_at[r];
    for (int j = 0; j < subs; j++) {
        lanes_i32 dots[ROWS][2];
        for (int r = 0; r < rows; r++)
            dots[r][0] = dots[r][1] =
                layout.offset ? broadcast_i32(rows_at[r] + sides + 4 * j) : zero_i32();
        tile_dots(false, rows, a, panels, layout.sub / 4, dots);
        lanes_i32 low = load_i32(scales[0]), high = load_i32(scales[1]);
        for (int r = 0; r < rows; r++) {
            integers[r][0] += dots[r][0] * low;
            integers[r][1] += dots[r][1] * high;
            a[r] += layout.sub;
        }
        for (int p = 0; p < 2; p++) {
            panels[p] += layout.sub * LANES;
            scales[p] += 4 * LANES;
        }
    }
}

INLINE void tile_super(enum weight_code format, int rows, const struct int8_tile *tile)
{
    const struct int8_layout layout = layouts[format];
    const int64_t record = int8_record_bytes(&layout, LANES), blocks = tile->depth / 256;
    const int subs = 256 / layout.sub, pairs = layout.minima ? subs / 2 : 0;
    for (int64_t b = tile->begin / 256; b < tile->end / 256; b++) {
        const unsigned char *panels[2] = {tile->panels[0] + b * record,
                                          tile->panels[1] + b * record};
        const unsigned char *a[ROWS];
        lanes_i32 integers[ROWS][2] = {0}, lows[ROWS][2] = {0};
        for (int r = 0; r < rows; r++)
            a[r] = tile->rows + r * tile->row_stride + 256 * b;
        /* From a[r] to the block's scale, and to what its sub-blocks add up to. */
        int64_t scales = tile->depth - 252 * b;
        int64_t sides = tile->depth + 4 * blocks + (layout.minima ? 2 : 4) * subs * b - 256 * b;
        tile_integers(format, rows, a, sides, panels, integers);
        for (int p = 0; p < 2; p++) {
            const unsigned char *at = panels[p] + (256 + 4 * subs) * LANES;
            for (int j = 0; j < pairs; j++)
                for (int r = 0; r < rows; r++)
                    lows[r][p] = dot_pairs(lows[r][p], load_i32(at + 4 * LANES * j),
                                           broadcast_i32(a[r] + sides + 4 * j));
            lanes_f32 scale = load_f32(at + 4 * LANES * pairs);
            for (int r = 0; r < rows; r++) {
                float *to = tile->sums + (2 * r + p) * LANES;
                lanes_f32 sum = b > 0 ? load_f32(to) : (lanes_f32){0};
                lanes_f32 own = broadcast_f32(a[r] + scales);
                sum = add_product(sum, to_float(integers[r][p]), scale * own);
                if (layout.minima)
                    sum = add_product(sum, -to_float(lows[r][p]),
                                      load_f32(at + 4 * LANES * (pairs + 1)) * own);
                store_f32(to, sum);
            }
        }
    }
    if (tile->end == tile->depth)
        finish_tile(rows, tile);
}
