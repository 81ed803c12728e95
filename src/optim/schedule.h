/* Learning-rate schedules: a pure function of the update index, so that a resumed run continues the
 * very same curve with nothing but its step number. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <stdint.h>

enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE, /* half a cosine from the peak to the floor */
    SCHEDULE_LINEAR, /* straight line from the peak to the floor */
    SCHEDULE_WSD,    /* warm-up, stable, then linear decay over the last part */
};

struct schedule {
    enum schedule_kind kind;
    double peak;           /* rate after warm-up */
    double floor_ratio;    /* final rate / peak */
    double warmup;         /* updates of linear warm-up from peak / warmup */
    double decay_fraction; /* part of the whole run that WSD decays over */
    double total;          /* updates in the whole run */
};

/* Rate of the update with index `step` (from 0). A fractional total is allowed: a run on a time
 * budget learns its length only after the first steps. */
double schedule_rate(const struct schedule *schedule, double step);

/* "constant", "cosine", "linear", "wsd"; -1 when unknown. */
int schedule_kind_by_name(const char *name);

#endif
