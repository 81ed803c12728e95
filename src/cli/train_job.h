/* What the commands that train share: data into shards, the trainer with its options, and the words
 * that are said about it. train makes models, tune changes them. */
#ifndef CLI_TRAIN_JOB_H
#define CLI_TRAIN_JOB_H

#include "cli/stages.h"
#include "run/prepare.h"
#include "run/training.h"

struct train_data {
    struct option_list data, held;
    const char *field, *tokenizer, *base, *output;
    double held_out;
    int64_t vocabulary;
    bool resume, strict;
};

struct train_shape {
    const char *family;
    int64_t layers, width, heads, kv_heads, hidden, context;
    bool tied;
    double dropout;
};

struct train_run {
    int64_t steps, tokens, batch, micro_batch, evaluate_every, evaluate_tokens;
    double minutes, rate, warmup, final_rate, decay_part, weight_decay, beta1, beta2, epsilon;
    double momentum, clip, checkpoint_every;
    const char *schedule, *optimizer, *precision;
    bool checkpoint_layers;
};

extern const struct option train_run_table[];

/* Everything that the command holds while it works. */
struct train {
    struct cli *cli;
    const struct train_data *data;
    const struct train_shape *shape;
    const struct train_run *run;
    struct model model;
    struct compute compute;
    struct mixture mixture;
    const char *names[MIXTURE_SOURCES];
    struct shard held[MIXTURE_SOURCES];
    int held_count;
    struct examples *examples;                /* NULL: documents are texts to learn as a whole */
    struct adapter_settings adapter_settings; /* rank 0: the model itself is trained */
    struct adapters adapters;
    bool checkpoints; /* of layers */
    struct training training;
    char *settings;
    int lock;     /* on the output folder; -1: none */
    bool fresh;   /* the output folder was not there before */
    bool began;   /* to train */
    bool resumes; /* from a checkpoint that is there; what lies beside it is its data */
    struct evaluation evaluation;
    double loss_sum;
    int64_t loss_count;
};

/* A path in the output folder, in the command's arena; NULL when out of memory. */
char *train_inside(struct train *t, const char *name);

/* One of --steps, --tokens and --minutes, and not --held beside --held-out. */
enum status train_check_budget(const struct train *t, struct error *error);
/* Holds the options to those of the checkpoint, if there is one, before anything is touched. */
enum status train_check_resume(struct train *t, struct error *error);
/* Of killed runs: what they were writing, when this one goes on from their checkpoint; and a
 * checkpoint, when it does not, lest this run, killed in turn, be taken up from there. */
void train_clear_away(struct train *t);
/* Tokenizes all data into the output folder, or opens what is there; sets the window. */
enum status train_get_data(struct train *t, struct error *error);
/* What the commands do otherwise: each in its turn, while the one before it succeeds. */
struct train_stages {
    enum status (*check)(struct train *t, struct error *error); /* options, before anything else */
    enum status (*prepare)(struct train *t, struct error *error); /* model and data */
    enum status (*save)(struct train *t, struct error *error);    /* the result */
    void (*conclude)(struct train *t);                            /* tells of it */
};

/* The whole command: checks, prepares, trains to the end, records figures, saves. The caller sets
 * cli, data, shape and run, and examples where there are any, which stay its own. */
enum status train_job(struct train *t, const struct train_stages *stages, struct error *error);

#endif
