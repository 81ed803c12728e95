/* The trainer: updates a model on batches from a mixture until its steps, tokens or minutes are
 * used up. A step is a pure function of the state that checkpoints hold, so a run that was killed
 * goes on bit for bit. */
#ifndef RUN_TRAINING_H
#define RUN_TRAINING_H

#include <signal.h>
#include <stdint.h>

#include "data/mixture.h"
#include "file/model.h"
#include "model/adapters.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "run/evaluate.h"

struct training_options {
    int64_t batch;       /* rows of an update */
    int64_t micro_batch; /* rows on the tape at a time; 0: about 1024 tokens */
    int64_t window;      /* tokens in a row */
    int64_t steps;       /* updates; or: */
    int64_t tokens;      /* in all; or: */
    double minutes;      /* of time, turned into steps by timing some */
    struct optimizer_options optimizer;
    struct schedule schedule; /* warmup and total are set from the steps */
    double warmup_share;      /* of all steps */
    uint64_t seed;
    int64_t evaluate_every;    /* steps; 0: only at the end */
    int64_t evaluate_tokens;   /* of held-out text at a time; 0: all */
    double checkpoint_seconds; /* between checkpoints */
    bool checkpoints;          /* of layers: only their inputs are kept, the rest is made again */
    double learned; /* part of the tokens that has a loss, for the estimate of memory; 0: all */
    struct adapter_settings adapters; /* rank 0: the model itself is trained */
    const char *settings; /* JSON of everything that shapes the result: must be the same on
                             resuming */
};

/* What is told after every step. */
struct training_report {
    int64_t step, total_steps; /* step counts updates done */
    int64_t tokens;
    double loss, norm, rate;
    double tokens_per_second; /* over the last steps */
    double seconds_left;
};

struct training {
    struct model *model;
    struct parameters *parameters; /* what is trained; NULL: the model's own. Allocated, f32 */
    struct compute *compute;
    struct mixture *mixture;
    const struct shard *held_out; /* evaluated together */
    int held_count;               /* 0: no evaluation */
    struct training_options options;
    const char *checkpoint;            /* path; NULL: none are written */
    const volatile sig_atomic_t *stop; /* not 0: checkpoint and return STATUS_INTERRUPTED */
    void (*on_step)(void *context, const struct training_report *report);
    void (*on_evaluation)(void *context, int64_t step, const struct evaluation *evaluation);
    void *context;

    /* State and result. */
    struct tape tape;
    struct optimizer optimizer;
    struct mixture_rows rows;
    int64_t step, total_steps;
    struct evaluation last_evaluation;
    double seconds; /* of this process in steps */
    int64_t steps_here;
};

/* Bytes that training will need at its peak, beside what the process holds with the model's values
 * in memory. */
int64_t training_memory(const struct decoder_config *config, const struct training_options *options,
                        int threads);

/* Sets up state: gradients, moments, batch arrays. */
enum status training_create(struct training *training, struct error *error);
void training_free(struct training *training);

/* Whether a checkpoint may be continued with these settings (JSON, as in training_options; those
 * that are not named here are not compared): to know before anything beside it is touched. */
enum status training_checkpoint_fits(const char *path, const char *settings, struct error *error);

/* How far the run of a checkpoint has come. */
enum status training_checkpoint_progress(const char *path, int64_t *step, int64_t *total,
                                         struct error *error);
/* Continues from the checkpoint; fails when its settings differ. */
enum status training_resume(struct training *training, struct error *error);

/* Runs to the end. A loss that is no number ends it with advice; the last checkpoint stays. */
enum status training_run(struct training *training, struct error *error);

/* Writes the checkpoint now. */
enum status training_checkpoint(const struct training *training, struct error *error);

/* Loss and gradients of one batch of rows, added to the parameters' gradients: the mean over the
 * batch's weighted targets. STATUS_INTERRUPTED when it was stopped, with gradients of a part. */
enum status training_gradients(struct training *training, double *loss, struct error *error);

#endif
