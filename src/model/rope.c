/* The speeds of rotary positions and their many ways of reaching beyond the context that a model
 * was first trained on; see rope_config in config.h. Everything is in double precision: a table of
 * cosines is made once. */
#include <math.h>

#include "model/config.h"

#define TURN 6.283185307179586

int64_t decoder_rope_width(const struct decoder_config *config)
{
    return config->rope.width > 0 ? config->rope.width : config->head_width;
}

/* Llama 3.1: wavelengths below first_context / high stay, those above first_context / low are
 * stretched, between them the two are blended. */
static double llama3_speed(const struct rope_config *rope, double speed)
{
    double context = (double)rope->first_context, wavelength = TURN / speed;
    if (wavelength < context / rope->high)
        return speed;
    if (wavelength > context / rope->low)
        return speed / rope->factor;
    double share = (context / wavelength - rope->low) / (rope->high - rope->low);
    return (1 - share) * speed / rope->factor + share * speed;
}

/* The pair that makes `turns` turns in the first context. */
static double yarn_pair(const struct rope_config *rope, double width, double turns)
{
    return width * log((double)rope->first_context / (turns * TURN)) / (2 * log(rope->base));
}

/* Yarn: pairs of many turns keep their speed, those of few are stretched (Peng et al. 2023, eq. 23
 * and its ramp over pair numbers, whose ends are rounded outwards). */
static double yarn_speed(const struct rope_config *rope, double width, double pair, double speed)
{
    double first = fmax(floor(yarn_pair(rope, width, rope->high)), 0);
    double last = fmin(ceil(yarn_pair(rope, width, rope->low)), width - 1);
    last = last == first ? last + 0.001 : last;
    double stretched = fmin(fmax((pair - first) / (last - first), 0), 1);
    return speed / rope->factor * stretched + speed * (1 - stretched);
}

static double scaled_speed(const struct rope_config *rope, double width, int64_t pair, bool beyond,
                           double speed)
{
    switch (rope->scaling) {
    case ROPE_SCALING_LINEAR:
        return speed / rope->factor;
    case ROPE_SCALING_LLAMA3:
        return llama3_speed(rope, speed);
    case ROPE_SCALING_LONG:
        return speed / (double)(beyond ? rope->long_factors : rope->short_factors)[pair];
    case ROPE_SCALING_YARN:
        return yarn_speed(rope, width, (double)pair, speed);
    case ROPE_SCALING_NONE:
        break;
    }
    return speed;
}

void decoder_rope_speeds(const struct decoder_config *config, bool local, bool beyond,
                         double *speeds, double *magnitude)
{
    const struct rope_config *rope = &config->rope;
    int64_t width = decoder_rope_width(config);
    bool own = local && rope->local_base > 0; /* a base of their own is never scaled */
    double base = own ? rope->local_base : rope->base;
    for (int64_t j = 0; j < width / 2; j++) {
        speeds[j] = pow(base, -2.0 * (double)j / (double)width);
        if (!own)
            speeds[j] = scaled_speed(rope, (double)width, j, beyond, speeds[j]);
    }
    *magnitude = own || rope->magnitude == 0 ? 1 : rope->magnitude;
}
