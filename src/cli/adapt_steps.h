/* The steps of adapt: command lines put together and run as this command's own, each a run on the
 * ledger. Shared by the chain from nothing and the chain from a base. */
#ifndef CLI_ADAPT_STEPS_H
#define CLI_ADAPT_STEPS_H

#include <jansson.h>

#include "cli/cli.h"

struct adapt_options {
    struct option_list domain, pool, also;
    const char *output, *method, *format, *base, *field;
    double minutes, share;
    int64_t chunk, seeds, steps;
};

struct adapt_shape {
    int64_t layers, width, heads, context, vocabulary, batch;
};

struct adapt {
    struct cli *cli;
    const struct adapt_options *o;
    const struct adapt_shape *shape;
    struct error *error;
    int64_t steps;  /* of each run of the comparison; 0 until the first has been timed */
    double minutes; /* for that first one */
    json_t *trials, *formats, *samples, *selections, *stages;
};

/* A command line that is put together word by word. */
struct line {
    struct arena *arena;
    char *words[256];
    int count;
};

void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* --name=item for each item. */
void line_add_list(struct line *line, const char *name, const struct option_list *list);

/* A path in the output folder, in the command's arena. */
char *adapt_at(struct adapt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What the user's own domain is called: its file or folder, or "your domain" when that does not
 * name it. In the command's arena. */
const char *adapt_domain_name(struct adapt *a);
/* "domain 'docs'", of the user's own ("domain") or of another one, for what people read. */
const char *adapt_domain(struct adapt *a, const char *name);
/* A line that begins with the command's words. */
struct line adapt_start(struct adapt *a, const char *command);
/* Runs a step; its result, which may be NULL, is a new reference. Outputs of earlier attempts are
 * overwritten: they are in this command's own folder. */
enum status adapt_step(struct adapt *a, struct line *line, const char *what, json_t **result);
/* A step that makes `output`, unless an unchanged earlier run has made it. */
enum status adapt_make(struct adapt *a, struct line *line, const char *output, const char *what,
                       json_t **result);
double adapt_real_of(const json_t *object, const char *key);
/* Splits a domain into the sample that selection and training see, and the held-out part. */
enum status adapt_split_domain(struct adapt *a, const char *name, const struct option_list *paths,
                               char **sample, char **held);
/* Three texts of model.gguf. */
enum status adapt_sample_texts(struct adapt *a);
/* The chain from a base without a pool: tune, merge, export, measure before and after. */
enum status adapt_base_chain(struct adapt *a);
void adapt_base_show(struct cli *cli);

#endif
