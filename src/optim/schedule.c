/* See schedule.h. */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

static double decayed(const struct schedule *s, double progress)
{
    if (progress < 0)
        progress = 0;
    if (progress > 1)
        progress = 1;
    double shape = s->kind == SCHEDULE_COSINE ? 0.5 * (1 + cos(3.14159265358979323846 * progress))
                                              : 1 - progress;
    return s->peak * (s->floor_ratio + (1 - s->floor_ratio) * shape);
}

double schedule_rate(const struct schedule *s, double step)
{
    if (step < s->warmup)
        return s->peak * (step + 1) / s->warmup;
    double start = s->warmup;
    if (s->kind == SCHEDULE_CONSTANT)
        return s->peak;
    if (s->kind == SCHEDULE_WSD) {
        start = s->total * (1 - s->decay_fraction);
        if (start < s->warmup)
            start = s->warmup;
        if (step < start)
            return s->peak;
    }
    return s->total > start ? decayed(s, (step - start) / (s->total - start)) : s->peak;
}

int schedule_kind_by_name(const char *name)
{
    const char *const names[] = {"constant", "cosine", "linear", "wsd"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}
