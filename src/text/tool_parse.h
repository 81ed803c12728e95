/* The inside of tool calls, for text/tool_calls.c; private to it. */
#ifndef TEXT_TOOL_PARSE_H
#define TEXT_TOOL_PARSE_H

#include "text/tool_calls.h"

/* What is being read of a call, and the calls that were read. */
struct tool_text {
    const char *at, *end;
    const json_t *tools;
    json_t *calls;
    bool known_only; /* names must be among the tools */
    bool failed;     /* out of memory */
};

/* Reads all of a call's text, which ends at `end`, and appends its calls to `calls`. False, with
 * `calls` perhaps longer, when it is not in the form. */
bool tool_parse(enum tool_form form, struct tool_text *text);

#endif
