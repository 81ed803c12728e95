/* What adze chat and adze generate --chat share: the options of a conversation, the sampling that a
 * model suggests, and the text of an answer as it comes. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include "cli/cli.h"
#include "run/conversation.h"
#include "run/engine.h"
#include "run/suggestion.h"

struct talk_options {
    bool chat;
    const char *system, *template;
    struct option_list values;
};
/* The first is --chat, which generate has alone; the last, at TALK_TEMPLATE, --chat-template, which
 * the server has alone. */
#define TALK_TEMPLATE 3
extern const struct option talk_table[];
extern const struct option sampling_table[];

/* Opens the template that the options name, and reads their values for it into *extra, a new
 * reference. */
enum status talk_open(const struct model *model, const struct talk_options *options,
                      struct conversation *conversation, json_t **extra, struct error *error);

/* Lets the model talk by the template of --chat-template alone; NULL leaves it as it is. */
enum status talk_put_template(struct model *model, const char *name, struct error *error);

/* Sampling from the options, where they were not given as the model suggests it. */
struct sampling_options talk_sampling(struct cli *cli, const struct sampling_options *given,
                                      const struct model *model);

/* What is being made: printed as it comes, and kept for the result. Zero-initialize; talk_clear
 * keeps `print`. */
struct made {
    bool print;
    struct tok_ids ids;
    struct buffer text;
    struct engine_result result;
};
bool talk_token(void *context, const struct engine_token *token); /* a struct made */
void talk_end(void *context, const struct engine_result *result);
void talk_clear(struct made *made);
void talk_free(struct made *made);
/* Tokens made a second, the first one aside. */
double talk_rate(const struct engine_result *result);

#endif
