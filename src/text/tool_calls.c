/* See tool_calls.h. A reader holds back what may yet be the mark of a call, and the space before
 * it, which goes with the call; inside a call it holds back everything until the call is whole.
 * Quotes are followed there, so that a mark within a JSON text ends nothing. */
#include "text/tool_calls.h"

#include <string.h>

#include "text/tool_parse.h"

#define MARKS_MOST 3
#define THOUGHT_OPEN "<think>"
#define THOUGHT_CLOSE "</think>"

/* What opens a call and what closes it; NULL: the end of the answer. `whole`: the mark is the
 * beginning of the call's text. */
struct mark {
    const char *open, *close;
    bool whole;
};

static const struct mark marks[][MARKS_MOST] = {
    [TOOL_FORM_NONE] = {{0}},
    [TOOL_FORM_TAGS] = {{"<tool_call>", "</tool_call>", false}},
    [TOOL_FORM_FUNCTIONS] = {{"<tool_call>", "</tool_call>", false},
                             {"<function=", "</function>", true}},
    [TOOL_FORM_BARE] = {{"<|python_tag|>", NULL, false}},
    [TOOL_FORM_MISTRAL] = {{"[TOOL_CALLS]", NULL, false}},
    [TOOL_FORM_LIST] = {{"<|tool_call|>", NULL, false},
                        {"<tool_call>", NULL, false},
                        {"functools[", NULL, true}},
    [TOOL_FORM_DEEPSEEK] = {{"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", false}},
};

static const char *const special_marks[][8] = {
    [TOOL_FORM_NONE] = {NULL},
    [TOOL_FORM_TAGS] = {"<tool_call>", "</tool_call>", "<think>", "</think>"},
    [TOOL_FORM_FUNCTIONS] = {"<tool_call>", "</tool_call>", "<think>", "</think>"},
    [TOOL_FORM_BARE] = {"<|python_tag|>"},
    [TOOL_FORM_MISTRAL] = {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"},
    [TOOL_FORM_LIST] = {"<|tool_call|>", "<|/tool_call|>", "<tool_call>", "</tool_call>"},
    [TOOL_FORM_DEEPSEEK] = {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
                            "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
                            "<think>", "</think>"},
};

const char *const *tool_form_marks(enum tool_form form)
{
    return special_marks[form];
}

bool tool_form_taken(const char *template)
{
    return strstr(template, "tools") != NULL;
}

enum tool_form tool_form_of(const char *template)
{
    static const struct {
        const char *word, *other;
        enum tool_form form;
    } hints[] = {
        {"<｜tool▁calls▁begin｜>", "", TOOL_FORM_DEEPSEEK},
        {"[TOOL_CALLS]", "", TOOL_FORM_MISTRAL},
        {"<function=", "", TOOL_FORM_FUNCTIONS},
        {"<|tool_call|>", "", TOOL_FORM_LIST},
        {"<tool_call>", "", TOOL_FORM_TAGS},
        {"<|python_tag|>", "", TOOL_FORM_BARE},
        {"{\"name\": ", "\"parameters\": ", TOOL_FORM_BARE},
        {"<|tool|>", "", TOOL_FORM_LIST},
        {"functools[", "", TOOL_FORM_LIST},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strstr(template, hints[i].word) && strstr(template, hints[i].other))
            return hints[i].form;
    return TOOL_FORM_NONE;
}

void tool_reader_free(struct tool_reader *r)
{
    json_decref(r->calls);
    buffer_free(&r->held);
    r->calls = NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Gives up `drop` held bytes, the first `tell` of them as text. */
static void give_up(struct tool_reader *r, size_t tell, size_t drop, struct buffer *text)
{
    if (drop == 0)
        return;
    buffer_add(text, r->held.data, tell);
    r->told |= tell > 0;
    r->held.length -= drop;
    memmove(r->held.data, r->held.data + drop, r->held.length);
    r->scanned = r->scanned > drop ? r->scanned - drop : 0;
    r->space = r->space > drop ? r->space - drop : 0;
}

/* Whether what is held has a word at `at`, or, when it ends there, the beginning of one. */
static bool stands(const struct tool_reader *r, size_t at, const char *word, bool *partly)
{
    size_t length = strlen(word), left = r->held.length - at;
    bool same = memcmp(r->held.data + at, word, left < length ? left : length) == 0;
    *partly = *partly || (same && left < length);
    return same && left >= length;
}

/* Text. */

static void open_call(struct tool_reader *r, size_t at, const struct mark *mark)
{
    r->state = TOOL_IN_CALL;
    r->mark = at;
    r->body = at + (mark->open && !mark->whole ? strlen(mark->open) : 0);
    r->scanned = at + (mark->open ? strlen(mark->open) : 0);
    r->close = mark->close;
    r->quoted = r->escaped = false;
    r->strings = !mark->whole;
}

/* The call that begins at `at`, if one does. */
static bool begins_call(struct tool_reader *r, size_t at, bool *partly)
{
    static const struct mark bare = {0};
    for (int i = 0; i < MARKS_MOST && marks[r->form][i].open; i++)
        if (stands(r, at, marks[r->form][i].open, partly)) {
            open_call(r, at, &marks[r->form][i]);
            return true;
        }
    if (r->form == TOOL_FORM_BARE && !r->begun && r->held.data[at] == '{') {
        open_call(r, at, &bare);
        return true;
    }
    return false;
}

/* Whether a call or a thought begins at `at`. */
static bool begins_other(struct tool_reader *r, size_t at, bool *partly)
{
    if (begins_call(r, at, partly))
        return true;
    if (!stands(r, at, THOUGHT_OPEN, partly))
        return false;
    r->state = TOOL_IN_THOUGHT;
    return true;
}

/* True when the state has changed and there is more to read. */
static bool read_text(struct tool_reader *r, struct buffer *text)
{
    bool partly = false, changed = false;
    size_t space = 0;
    while (json_array_size(r->calls) > 0 && !r->told && space < r->held.length &&
           is_space(r->held.data[space])) /* an answer that begins with calls begins so */
        space++;
    give_up(r, 0, space, text);
    size_t at = r->scanned;
    for (; at < r->held.length; at++) {
        if (is_space(r->held.data[at]))
            continue;
        changed = begins_other(r, at, &partly);
        r->begun = r->begun || !partly;
        if (partly || changed)
            break;
        r->space = at + 1;
    }
    if (!changed)
        r->scanned = at;
    else if (r->state == TOOL_IN_CALL) {
        r->mark -= r->space;
        r->body -= r->space;
    }
    give_up(r, r->space, r->space, text);
    return changed;
}

/* A thought is text, whatever it says. */
static bool read_thought(struct tool_reader *r, struct buffer *text)
{
    size_t at = r->scanned;
    bool partly = false, closed = false;
    for (; at < r->held.length; at++) {
        closed = stands(r, at, THOUGHT_CLOSE, &partly);
        if (closed || partly)
            break;
    }
    if (closed) {
        r->state = TOOL_IN_TEXT;
        at += strlen(THOUGHT_CLOSE);
    }
    r->scanned = at;
    give_up(r, at, at, text);
    return closed;
}

/* Calls. */

/* The call is whole: its text ends at `end`, and all of it at `next`. */
static void end_call(struct tool_reader *r, size_t end, size_t next, struct buffer *text)
{
    struct tool_text inside = {.at = r->held.data + r->body,
                               .end = r->held.data + end,
                               .tools = r->tools,
                               .calls = json_array(),
                               .known_only = r->body == r->mark && r->form == TOOL_FORM_BARE};
    bool fine = inside.calls && next - r->mark <= TOOL_TEXT_MOST && tool_parse(r->form, &inside);
    size_t count = json_array_size(inside.calls);
    fine = fine && json_array_size(r->calls) + count <= TOOL_CALLS_MOST;
    if (fine && !r->calls)
        r->calls = json_array();
    if (!inside.calls || inside.failed || (fine && json_array_extend(r->calls, inside.calls) != 0))
        r->failed = true;
    json_decref(inside.calls);
    r->state = TOOL_IN_TEXT;
    r->begun = true;
    r->scanned = next;
    give_up(r, fine ? 0 : next, next, text);
}

static bool read_call(struct tool_reader *r, struct buffer *text)
{
    if (!r->close)
        return false;
    for (; r->scanned < r->held.length; r->scanned++) {
        char c = r->held.data[r->scanned];
        bool partly = false;
        if (r->strings && r->scanned == r->body && is_space(c))
            r->body++;
        else if (r->strings && r->scanned == r->body && c == '<')
            r->strings = false; /* no JSON */
        if (r->quoted) {
            r->quoted = r->escaped || c != '"';
            r->escaped = !r->escaped && c == '\\';
            continue;
        }
        if (stands(r, r->scanned, r->close, &partly)) {
            size_t next = r->scanned + strlen(r->close);
            bool own = r->body == r->mark; /* the mark that closes it is part of it */
            end_call(r, own ? next : r->scanned, next, text);
            return true;
        }
        if (partly)
            return false;
        r->quoted = r->strings && c == '"';
    }
    return false;
}

static bool read_on(struct tool_reader *r, struct buffer *text)
{
    if (r->held.failed) {
        r->failed = true;
        return false;
    }
    if (r->held.length == 0)
        return false;
    switch (r->state) {
    case TOOL_IN_THOUGHT:
        return read_thought(r, text);
    case TOOL_IN_CALL:
        return read_call(r, text);
    default:
        return read_text(r, text);
    }
}

void tool_reader_add(struct tool_reader *r, const char *bytes, size_t length, struct buffer *text)
{
    if (r->form == TOOL_FORM_NONE) {
        buffer_add(text, bytes, length);
        return;
    }
    if (r->thinking && !r->begun) {
        r->state = TOOL_IN_THOUGHT;
        r->begun = true;
    }
    buffer_add(&r->held, bytes, length);
    while (read_on(r, text))
        continue;
    if (r->state == TOOL_IN_CALL && r->held.length > TOOL_TEXT_MOST) { /* no call is so long */
        r->state = TOOL_IN_TEXT;
        r->begun = true;
        r->scanned = r->held.length;
        give_up(r, r->held.length, r->held.length, text);
    }
}

void tool_reader_finish(struct tool_reader *r, struct buffer *text)
{
    if (r->held.length == 0 || r->held.failed)
        return;
    if (r->state == TOOL_IN_CALL) /* some models end their answer instead */
        end_call(r, r->held.length, r->held.length, text);
    bool space = true;
    for (size_t i = 0; i < r->held.length; i++)
        space = space && is_space(r->held.data[i]);
    bool called = json_array_size(r->calls) > 0;
    give_up(r, space && called ? 0 : r->held.length, r->held.length, text);
}
