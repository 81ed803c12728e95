/* See pretokenize.h. */
#include "text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

#define STEPS_MOST 16

/* Characters of words in the regular expressions of Rust, which this one step uses. */
#define RUST_WORD "\\w\\x{200c}\\x{200d}"

enum step_kind {
    STEP_CUT,      /* at the matches of a pattern */
    STEP_SPACE,    /* puts a space before, unless there is one */
    STEP_METASPACE /* puts marks for spaces, and one before */
};

enum behavior { CUT_ISOLATED, CUT_REMOVED, CUT_WITH_PREVIOUS, CUT_WITH_NEXT, CUT_CONTIGUOUS };

enum prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS };

struct step {
    enum step_kind kind;
    struct split_pattern *pattern;
    enum behavior behavior;
    bool invert; /* what lies between the matches is what matches */
    enum prefix prefix;
};

struct pre_tokenizer {
    struct step steps[STEPS_MOST];
    int count;
    bool bytes, marks;
};

struct reader {
    struct pre_tokenizer *pre;
    const char *name;
    bool after_bytes;
    struct error *error;
};

static enum status add_step(struct reader *r, struct step step)
{
    if (r->after_bytes) {
        split_free(step.pattern);
        return error_set(r->error, STATUS_FAILED,
                         "%s: a pre-tokenizer that cuts behind ByteLevel is not supported",
                         r->name);
    }
    if (r->pre->count == STEPS_MOST) {
        split_free(step.pattern);
        return error_set(r->error, STATUS_FAILED, "%s: the pre-tokenizer has more than %d steps",
                         r->name, STEPS_MOST);
    }
    r->pre->steps[r->pre->count++] = step;
    return STATUS_OK;
}

static enum status add_cut(struct reader *r, const char *pattern, bool literal,
                           enum behavior behavior, bool invert)
{
    struct step step = {STEP_CUT, NULL, behavior, invert, PREFIX_NEVER};
    enum status status = split_create(pattern, literal, true, &step.pattern, r->error);
    if (status != STATUS_OK)
        return error_prefix(r->error, "%s", r->name);
    return add_step(r, step);
}

static enum status read_behavior(const struct reader *r, const json_t *step, const char *key,
                                 enum behavior *behavior)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *name = json_string_value(json_object_get(step, key));
    for (int i = 0; name && i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *behavior = (enum behavior)i;
            return STATUS_OK;
        }
    return error_set(r->error, STATUS_FAILED, "%s: pre-tokenizer behavior '%.40s' is not known",
                     r->name, name ? name : "");
}

static enum status read_split(struct reader *r, const json_t *step)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *plain = json_string_value(json_object_get(pattern, "String"));
    enum behavior behavior = CUT_ISOLATED;
    if (!regex && !plain)
        return error_set(r->error, STATUS_FAILED, "%s: a Split pre-tokenizer has no pattern",
                         r->name);
    enum status status = read_behavior(r, step, "behavior", &behavior);
    if (status != STATUS_OK)
        return status;
    return add_cut(r, regex ? regex : plain, !regex, behavior,
                   json_is_true(json_object_get(step, "invert")));
}

static enum status read_metaspace(struct reader *r, const json_t *step)
{
    const char *mark = json_string_value(json_object_get(step, "replacement"));
    const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    const json_t *old = json_object_get(step, "add_prefix_space");
    if (mark && strcmp(mark, UNICODE_SPACE_MARK) != 0)
        return error_set(r->error, STATUS_FAILED, "%s: spaces written as '%.8s' are not supported",
                         r->name, mark);
    struct step meta = {.kind = STEP_METASPACE, .prefix = PREFIX_ALWAYS};
    if (scheme)
        meta.prefix = strcmp(scheme, "never") == 0   ? PREFIX_NEVER
                      : strcmp(scheme, "first") == 0 ? PREFIX_FIRST
                                                     : PREFIX_ALWAYS;
    else if (json_is_false(old))
        meta.prefix = PREFIX_NEVER;
    r->pre->marks = true;
    enum status status = add_step(r, meta);
    if (status == STATUS_OK && !json_is_false(json_object_get(step, "split")))
        status = add_cut(r, UNICODE_SPACE_MARK, true, CUT_WITH_NEXT, false);
    return status;
}

static enum status read_byte_level(struct reader *r, const json_t *step)
{
    enum status status = STATUS_OK;
    r->pre->bytes = true;
    const json_t *space = json_object_get(step, "add_prefix_space");
    if (json_is_true(space))
        status = add_step(r, (struct step){.kind = STEP_SPACE});
    if (status == STATUS_OK && !json_is_false(json_object_get(step, "use_regex")))
        status = add_cut(r, SPLIT_GPT2, false, CUT_ISOLATED, false);
    r->after_bytes = true;
    return status;
}

/* Those without settings, as the cuts that they are. */
static enum status read_plain(struct reader *r, const char *type)
{
    if (strcmp(type, "BertPreTokenizer") == 0) {
        enum status status = add_cut(r, "\\s+", false, CUT_REMOVED, false);
        return status == STATUS_OK
                   ? add_cut(r, "[!-/:-@\\[-`{-~\\p{P}]", false, CUT_ISOLATED, false)
                   : status;
    }
    if (strcmp(type, "Whitespace") == 0)
        return add_cut(r, "[" RUST_WORD "]+|[^" RUST_WORD "\\s]+", false, CUT_REMOVED, true);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return add_cut(r, "\\s+", false, CUT_REMOVED, false);
    return error_set(r->error, STATUS_FAILED, "%s: pre-tokenizer '%.40s' is not supported", r->name,
                     type);
}

static enum status read_step(struct reader *r, const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    type = type ? type : "";
    if (strcmp(type, "Split") == 0)
        return read_split(r, step);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(r, step);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(r, step);
    if (strcmp(type, "Digits") == 0)
        return add_cut(r, SPLIT_DIGIT, false,
                       json_is_true(json_object_get(step, "individual_digits")) ? CUT_ISOLATED
                                                                                : CUT_CONTIGUOUS,
                       false);
    if (strcmp(type, "Punctuation") == 0) {
        enum behavior behavior = CUT_ISOLATED;
        enum status status = json_object_get(step, "behavior")
                                 ? read_behavior(r, step, "behavior", &behavior)
                                 : STATUS_OK;
        return status == STATUS_OK ? add_cut(r, "[!-/:-@\\[-`{-~\\p{P}]", false, behavior, false)
                                   : status;
    }
    if (strcmp(type, "CharDelimiterSplit") == 0) {
        const char *mark = json_string_value(json_object_get(step, "delimiter"));
        if (mark)
            return add_cut(r, mark, true, CUT_REMOVED, false);
    }
    return read_plain(r, type);
}

enum status pre_create(const json_t *section, const char *name, struct pre_tokenizer **result,
                       struct error *error)
{
    *result = NULL;
    struct pre_tokenizer *pre = calloc(1, sizeof *pre);
    if (!pre)
        return error_no_memory(error, sizeof *pre);
    struct reader reader = {pre, name, false, error};
    enum status status = STATUS_OK;
    const json_t *list = json_object_get(section, "pretokenizers");
    if (json_is_array(list)) {
        for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++)
            status = read_step(&reader, json_array_get(list, i));
    } else if (section && !json_is_null(section)) {
        status = read_step(&reader, section);
    }
    if (status != STATUS_OK) {
        pre_free(pre);
        return status;
    }
    *result = pre;
    return STATUS_OK;
}

void pre_free(struct pre_tokenizer *pre)
{
    if (!pre)
        return;
    for (int i = 0; i < pre->count; i++)
        split_free(pre->steps[i].pattern);
    free(pre);
}

bool pre_is_byte_level(const struct pre_tokenizer *pre)
{
    return pre->bytes;
}

bool pre_marks_spaces(const struct pre_tokenizer *pre)
{
    return pre->marks;
}

const struct split_pattern *pre_single(const struct pre_tokenizer *pre)
{
    const struct step *step = &pre->steps[0];
    bool single = pre->count == 1 && step->kind == STEP_CUT && step->behavior == CUT_ISOLATED &&
                  !step->invert;
    return single ? step->pattern : NULL;
}

bool pre_equal(const struct pre_tokenizer *a, const struct pre_tokenizer *b)
{
    bool equal = a->count == b->count && a->bytes == b->bytes;
    for (int i = 0; equal && i < a->count; i++) {
        const struct step *x = &a->steps[i], *y = &b->steps[i];
        equal = x->kind == y->kind && x->behavior == y->behavior && x->invert == y->invert &&
                x->prefix == y->prefix && !x->pattern == !y->pattern;
        if (equal && x->pattern)
            equal = split_is_literal(x->pattern) == split_is_literal(y->pattern) &&
                    strcmp(split_text(x->pattern), split_text(y->pattern)) == 0;
    }
    return equal;
}

/* Running. */

struct walk {
    const struct pre_tokenizer *pre;
    const struct split_room *room;
    bool first;
    pre_word_function *function;
    void *context;
    struct error *error;
};

static enum status run_step(const struct walk *w, int index, const char *text, size_t length,
                            bool first);

static enum status changed_text(const struct walk *w, int index, const char *text, size_t length,
                                bool first)
{
    const struct step *step = &w->pre->steps[index];
    const char *mark = UNICODE_SPACE_MARK;
    size_t width = strlen(mark);
    struct buffer changed = {0};
    if (step->kind == STEP_SPACE) {
        if (text[0] != ' ')
            buffer_add(&changed, " ", 1);
        buffer_add(&changed, text, length);
    } else {
        bool wanted = step->prefix == PREFIX_ALWAYS || (step->prefix == PREFIX_FIRST && first);
        bool there = text[0] == ' ' || (length >= width && memcmp(text, mark, width) == 0);
        if (wanted && !there)
            buffer_add(&changed, mark, width);
        unicode_mark_spaces(text, length, &changed);
    }
    enum status status = buffer_check(&changed, w->error);
    if (status == STATUS_OK)
        status = run_step(w, index + 1, changed.data, changed.length, first);
    buffer_free(&changed);
    return status;
}

/* Cuts by stretches that match and stretches that do not, in turn. */
static enum status cut(const struct walk *w, int index, const char *text, size_t length, bool first)
{
    const struct step *step = &w->pre->steps[index];
    size_t pending = 0, at = 0, begin = 0, end = 0; /* text[pending .. at) waits for what follows */
    bool before = false;                            /* the stretch before was a match */
    enum status status = STATUS_OK;
    bool found = split_find(step->pattern, w->room, text, length, 0, &begin, &end);
    while (at < length && status == STATUS_OK) {
        bool inside = found && begin == at;
        size_t stop = inside ? end : found ? begin : length;
        bool match = inside != step->invert;
        bool joins = (step->behavior == CUT_WITH_PREVIOUS && match && !before) ||
                     (step->behavior == CUT_WITH_NEXT && before && !match) ||
                     (step->behavior == CUT_CONTIGUOUS && match == before && at > 0);
        if (!joins && at > pending && !(step->behavior == CUT_REMOVED && before))
            status = run_step(w, index + 1, text + pending, at - pending, first && pending == 0);
        if (!joins)
            pending = at;
        before = match;
        at = stop;
        if (inside)
            found = split_find(step->pattern, w->room, text, length, at, &begin, &end);
    }
    if (status == STATUS_OK && at > pending && !(step->behavior == CUT_REMOVED && before))
        status = run_step(w, index + 1, text + pending, at - pending, first && pending == 0);
    return status;
}

static enum status run_step(const struct walk *w, int index, const char *text, size_t length,
                            bool first)
{
    if (index == w->pre->count)
        return w->function(w->context, text, length, w->error);
    if (w->pre->steps[index].kind != STEP_CUT)
        return changed_text(w, index, text, length, first);
    return cut(w, index, text, length, first);
}

enum status pre_words(const struct pre_tokenizer *pre, const struct split_room *room,
                      const char *text, size_t length, bool first, pre_word_function *function,
                      void *context, struct error *error)
{
    struct walk walk = {pre, room, first, function, context, error};
    return length ? run_step(&walk, 0, text, length, first) : STATUS_OK;
}
