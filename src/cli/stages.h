/* What several commands need of the stages: models with their compute, corpora from options. */
#ifndef CLI_STAGES_H
#define CLI_STAGES_H

#include "cli/cli.h"
#include "data/corpus.h"
#include "file/adapters.h"
#include "file/model.h"
#include "run/difference.h"
#include "run/evaluate.h"
#include "tensor/tape.h"

/* -m MODEL and how to compute with it. */
struct model_options {
    const char *model, *precision;
    struct option_list adapters; /* PATH or PATH=strength */
};
extern const struct option model_table[];
/* The same for commands that do not compute with the model. */
extern const struct option model_path_table[];

/* A loaded model, ready to run. */
struct loaded {
    struct model model;
    struct compute compute;
    struct tape tape;
    struct adapters *adapters; /* on the model's layers */
    int64_t adapter_count;
};
enum status loaded_open(struct cli *cli, const struct model_options *options, bool train,
                        struct loaded *loaded, struct error *error);
/* Puts adapters on the model, of --adapter or the like. */
enum status loaded_put_adapters(struct loaded *loaded, const struct option_list *list,
                                struct error *error);
void loaded_close(struct loaded *loaded);

/* Whether a path names a GGUF file to write, rather than a folder. */
bool stage_is_gguf(const char *path);

/* Says what was bad in a corpus, when anything was. */
void stage_report_bad(struct cli *cli, const struct corpus_counts *counts);

/* Evaluates a model on text files, tokenized into a scratch file. A window of 0 in `reading` is the
 * model's context, and the token that begins a text for the model is put in. With a reference
 * model, the divergence of the model's predictions from the reference's is measured, too. */
enum status stage_evaluate(struct cli *cli, struct loaded *loaded, const struct option_list *paths,
                           const struct corpus_options *corpus, struct mixture_reading reading,
                           struct model *reference, struct evaluation *result,
                           struct divergence *divergence, struct error *error);

/* Adds loss, perplexity, bits per byte to the result and the ledger. */
void stage_record_evaluation(struct cli *cli, const struct evaluation *evaluation);

/* Bytes of memory that are free for use, that this process has, and the most that it has had since
 * the start or the last stage_memory_reset, which also gives back what earlier work has left
 * unused.
 */
double stage_memory_available(void);
double stage_memory_peak(void);
double stage_memory_resident(void);
void stage_memory_reset(void);

#endif
