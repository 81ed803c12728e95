/* Calls of tools in what a model says. Every family of models writes them in a form of its own,
 * which its chat template shows; this finds them in an answer as it comes, piece by piece, and
 * takes them out of the text. What begins like a call and is none stays text, to the byte.
 *
 * Sources of the forms: the chat templates and model cards of the families named below. */
#ifndef TEXT_TOOL_CALLS_H
#define TEXT_TOOL_CALLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum tool_form {
    TOOL_FORM_NONE,
    TOOL_FORM_TAGS,      /* Qwen, Hermes, Granite 4: <tool_call>{"name", "arguments"}</tool_call> */
    TOOL_FORM_FUNCTIONS, /* Qwen Coder, Qwen3.5: <function=NAME><parameter=KEY>VALUE</parameter>...
                            </function>, in <tool_call> or bare */
    TOOL_FORM_BARE,      /* Llama 3: {"name", "parameters"} alone or behind <|python_tag|>, or
                            <|python_tag|>NAME.call(KEY="VALUE") */
    TOOL_FORM_MISTRAL,   /* [TOOL_CALLS][{"name", "arguments"}], [TOOL_CALLS]NAME[ARGS]{...} */
    TOOL_FORM_LIST,      /* Granite 3, Phi-4: <|tool_call|>[...], functools[...] */
    TOOL_FORM_DEEPSEEK,  /* tool calls begin, call begin, NAME, sep, JSON, call end, calls end */
};

#define TOOL_CALLS_MOST 128              /* of one answer; more stay text */
#define TOOL_TEXT_MOST ((size_t)1 << 20) /* bytes of a call; what is longer stays text */
#define TOOL_NAME_MOST 256               /* bytes of a function's name, likewise */

/* The form that a chat template asks the model for. */
enum tool_form tool_form_of(const char *template);
/* Whether the template takes tools at all. */
bool tool_form_taken(const char *template);
/* The marks of a form that may be special tokens of a model, ended by NULL: they have to be in the
 * text that is read. */
const char *const *tool_form_marks(enum tool_form form);

enum tool_state { TOOL_IN_TEXT, TOOL_IN_THOUGHT, TOOL_IN_CALL };

/* Zero-initialize, set what is above the line; free with tool_reader_free. */
struct tool_reader {
    enum tool_form form;
    const json_t *tools; /* those offered, in OpenAI's layout: types of values, names of BARE */
    bool thinking;       /* the prompt has begun a thought, which calls nothing until </think> */

    json_t *calls; /* found so far: {"name": text, "arguments": a JSON object as text}; or NULL */
    bool failed;   /* out of memory */
    enum tool_state state;
    struct buffer held;                /* not told yet */
    size_t scanned, space, mark, body; /* in `held`: space at its end begins at `space` */
    const char *close;
    bool begun, told, quoted, escaped, strings;
};
void tool_reader_free(struct tool_reader *reader);

/* Takes a piece of the answer; what is known to be text is appended to `text`, and calls to
 * `calls`. Time is linear in the bytes read, whatever they are. */
void tool_reader_add(struct tool_reader *reader, const char *bytes, size_t length,
                     struct buffer *text);
/* The answer has ended: what is held back is a call or text. */
void tool_reader_finish(struct tool_reader *reader, struct buffer *text);

#endif
