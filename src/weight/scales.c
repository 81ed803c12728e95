/* See scales.h. The order of operations is llama.cpp's, since a last bit decides which candidate
 * wins. */
#include "weight/scales.h"

#include "weight/blocks.h"

#define TINY 1e-15f /* a sub-block below is all zero */
#define SUBS 8
#define SUB 32
#define SHORT_SUB 16

struct line {
    float scale, minimum;
};

static float line_error(const struct scale_search *search, int count, const float *values,
                        const float *weights, const uint8_t *codes, struct line line)
{
    float error = 0;
    for (int i = 0; i < count; i++) {
        float difference = line.scale * (float)codes[i] + line.minimum - values[i];
        difference = search->absolute ? fabsf(difference) : difference * difference;
        error += weights[i] * difference;
    }
    return error;
}

static void assign(int count, int most, const float *values, float inverse, float minimum,
                   uint8_t *codes)
{
    for (int i = 0; i < count; i++)
        codes[i] = (uint8_t)block_nearest(inverse * (values[i] - minimum), 0, most);
}

/* The weighted least-squares line through given codes, with a minimum of at most 0. False when
 * there is none, or one that falls: a negative scale cannot be stored. */
static bool fit(int count, const float *values, const float *weights, const uint8_t *codes,
                struct line *line)
{
    float w = weights[0], x = w * values[0], l = 0, ll = 0, xl = 0;
    for (int i = 1; i < count; i++) {
        w += weights[i];
        x += weights[i] * values[i];
    }
    for (int i = 0; i < count; i++) {
        float code = (float)codes[i], product = weights[i] * code;
        l += product;
        ll += product * code;
        xl += product * values[i];
    }
    float determinant = w * ll - l * l;
    if (!(determinant > 0))
        return false;
    line->scale = (w * xl - x * l) / determinant;
    line->minimum = (ll * x - l * xl) / determinant;
    if (line->minimum > 0) {
        line->minimum = 0;
        line->scale = xl / ll;
    }
    return line->scale > 0;
}

float scales_search(const struct scale_search *search, int count, const float *values,
                    const float *weights, uint8_t *codes, float *minimum)
{
    float low = values[0], high = values[0];
    for (int i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    low = low > 0 ? 0 : low;
    *minimum = -low;
    memset(codes, 0, (size_t)count);
    if (high == low)
        return 0;
    float inverse = (float)search->most / (high - low);
    struct line best = {1 / inverse, low};
    assign(count, search->most, values, inverse, low, codes);
    float error = line_error(search, count, values, weights, codes, best);
    for (int step = 0; step <= search->steps; step++) {
        uint8_t tried[SUB];
        struct line line;
        /* The range, and the codes, are counted from where the best line so far starts. */
        inverse =
            (search->first + 0.1f * (float)step + (float)search->most) / (high - best.minimum);
        assign(count, search->most, values, inverse, best.minimum, tried);
        if (!fit(count, values, weights, tried, &line))
            continue;
        float tried_error = line_error(search, count, values, weights, tried, line);
        if (tried_error < error) {
            memcpy(codes, tried, (size_t)count);
            error = tried_error;
            best = line;
        }
    }
    *minimum = -best.minimum;
    return best.scale;
}

void scales_put_6(const float *scales, const float *minima, unsigned char *head)
{
    float most_scale = 0, most_minimum = 0;
    for (int j = 0; j < SUBS; j++) {
        most_scale = scales[j] > most_scale ? scales[j] : most_scale;
        most_minimum = minima[j] > most_minimum ? minima[j] : most_minimum;
    }
    float inverse_scale = most_scale > 0 ? 63.0f / most_scale : 0;
    float inverse_minimum = most_minimum > 0 ? 63.0f / most_minimum : 0;
    unsigned char *at = head + 4;
    for (int j = 0; j < SUBS; j++) {
        int scale = block_nearest(inverse_scale * scales[j], 0, 63);
        int minimum = block_nearest(inverse_minimum * minima[j], 0, 63);
        if (j < 4) {
            at[j] = (unsigned char)scale;
            at[j + 4] = (unsigned char)minimum;
        } else {
            at[j + 4] = (unsigned char)((scale & 15) | (minimum & 15) << 4);
            at[j - 4] |= (unsigned char)(scale >> 4 << 6);
            at[j] |= (unsigned char)(minimum >> 4 << 6);
        }
    }
    block_put_half(head, most_scale / 63.0f);
    block_put_half(head + 2, most_minimum / 63.0f);
}

void scales_pack_6(const struct scale_search *search, const float *values, unsigned char *head,
                   uint8_t *codes)
{
    float scales[SUBS], minima[SUBS], weights[SUB];
    for (int j = 0; j < SUBS; j++) {
        const float *x = values + SUB * j;
        float squares = 0;
        for (int i = 0; i < SUB; i++)
            squares += x[i] * x[i];
        float level = sqrtf(squares / SUB);
        for (int i = 0; i < SUB; i++)
            weights[i] = level + fabsf(x[i]);
        scales[j] = scales_search(search, SUB, x, weights, codes + SUB * j, &minima[j]);
    }
    scales_put_6(scales, minima, head);
    float scale = block_half(head), low = block_half(head + 2);
    for (int j = 0; j < SUBS; j++) { /* the codes that suit the scales as they are stored */
        int sub, minimum;
        scales_get_6(head + 4, j, &sub, &minimum);
        float step = scale * (float)sub, least = low * (float)minimum;
        if (step == 0)
            continue;
        for (int i = 0; i < SUB; i++)
            codes[SUB * j + i] =
                (uint8_t)block_nearest((values[SUB * j + i] + least) / step, 0, search->most);
    }
}

float scales_search_signed(int most, const float *values, uint8_t *codes)
{
    float largest = block_extreme(values, SHORT_SUB), scale = 0, best = 0;
    memset(codes, 0, SHORT_SUB);
    if (fabsf(largest) < TINY)
        return 0;
    /* The plain scale first, then its neighbors. */
    for (int step = 0; step <= 18; step++) {
        int shift = step == 0 ? 0 : step <= 9 ? step - 10 : step - 9;
        float inverse = -((float)most + 0.1f * (float)shift) / largest;
        float xl = 0, ll = 0;
        for (int i = 0; i < SHORT_SUB; i++) {
            float code = (float)block_nearest(inverse * values[i], -most, most - 1);
            float weight = values[i] * values[i];
            xl += weight * values[i] * code;
            ll += weight * code * code;
        }
        if (step > 0 && !(ll > 0 && xl * xl > best * ll))
            continue;
        scale = ll != 0 ? xl / ll : 0;
        best = scale * xl;
        for (int i = 0; i < SHORT_SUB; i++)
            codes[i] = (uint8_t)(block_nearest(inverse * values[i], -most, most - 1) + most);
    }
    return scale;
}

float scales_search_moves(int most, const float *values, uint8_t *codes)
{
    float largest = block_extreme(values, SHORT_SUB), xl = 0, ll = 0;
    memset(codes, 0, SHORT_SUB);
    if (fabsf(largest) < TINY)
        return 0;
    float inverse = -(float)most / largest;
    int moved[SUB];
    for (int i = 0; i < SHORT_SUB; i++) {
        float weight = values[i] * values[i];
        moved[i] = block_nearest(inverse * values[i], -most, most - 1);
        xl += weight * values[i] * (float)moved[i];
        ll += weight * (float)moved[i] * (float)moved[i];
    }
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < SHORT_SUB; i++) {
            float weight = values[i] * values[i], code = (float)moved[i];
            float other_xl = xl - weight * values[i] * code;
            float other_ll = ll - weight * code * code;
            if (!(other_xl > 0))
                continue;
            int to = block_nearest(values[i] * other_ll / other_xl, -most, most - 1);
            if (to == moved[i])
                continue;
            other_xl += weight * values[i] * (float)to;
            other_ll += weight * (float)to * (float)to;
            if (other_ll > 0 && other_xl * other_xl * ll > xl * xl * other_ll) {
                moved[i] = to;
                xl = other_xl;
                ll = other_ll;
                changed = true;
            }
        }
    }
    for (int i = 0; i < SHORT_SUB; i++)
        codes[i] = (uint8_t)(moved[i] + most);
    return ll > 0 ? xl / ll : 0;
}
