/* Chat templates: messages as JSON to the text that a model was trained on, as transformers'
 * apply_chat_template makes it; and which stretches of that text the assistant says, for training
 * on them alone. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <jansson.h>
#include <stdbool.h>

#include "text/jinja.h"

struct chat_options {
    const json_t *tools;     /* a list of JSON schemas, or NULL */
    const json_t *documents; /* a list of objects, or NULL */
    const json_t *extra;     /* an object of further variables, such as enable_thinking, or NULL */
    bool add_generation_prompt;            /* end with what the assistant's answer begins with */
    bool continue_final_message;           /* end within the last message, to be gone on with */
    const char *bos, *eos, *unknown, *pad; /* names of tokens; NULL: the model has none */
    int64_t now;                           /* for strftime_now, seconds since 1970 */
};

/* Appends the conversation as text. Members that are null are left out of messages, and reasoning
 * under one of its names (reasoning_content, thinking, reasoning) is given under the others that
 * transformers fills. Fails when the template refuses the conversation. */
enum status chat_render(const struct jinja *template, const json_t *messages,
                        const struct chat_options *options, struct buffer *text,
                        struct error *error);

/* The same for a whole conversation, and the stretches of what was appended that are the
 * assistant's: its answer with the token that ends it. They are
 *
 * - what {% generation %} marks, when the template has that, else found so: an answer begins where
 *   the messages before it, rendered with the generation prompt, end, if that is how the whole
 *   begins; else where a mark put before its content appears; else as far as that prompt goes along
 *   with the whole. It ends behind its content, which a
 *   mark behind the content finds, or behind its tool calls, with the text that the template puts
 *   behind answers (chat_turn_end) taken along.
 *
 * Fails when an answer is not found, rather than to train on the wrong words. */
enum status chat_render_answers(const struct jinja *template, const json_t *messages,
                                const struct chat_options *options, struct buffer *text,
                                struct jinja_ranges *answers, struct error *error);

/* Appends what the template puts behind an answer whatever follows, such as "<|im_end|>", without
 * white space at its end; nothing when that cannot be told. */
enum status chat_turn_end(const struct jinja *template, const struct chat_options *options,
                          struct buffer *text, struct error *error);

#endif
