/* Values of Jinja templates, and the state of a rendering; private to src/text/jinja*. They are a
 * type of their own and not jansson's, because templates also handle tuples, undefined values,
 * dicts with any keys, macros and slices of text, and because they can then live in one arena:
 * whatever a template does, its memory is counted, bounded, and given back at once. Values do not
 * change once made (namespaces aside), so they are shared freely, and none contains itself. */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/jinja.h"

enum jinja_type {
    JINJA_UNDEFINED, /* text: what is missing */
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_REAL,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_MAP,
    JINJA_VIEW, /* what Python gives as a view of a dict, a range, or a generator */
    JINJA_NAMESPACE,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_LOOP,
};

struct jinja_value {
    uint8_t type; /* enum jinja_type */
    uint8_t mark; /* of TEXT: already escaped; of UNDEFINED: enum jinja_missing */
    uint32_t length;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *text; /* UTF-8, `length` bytes, not terminated */
        struct jinja_list *list;
        struct jinja_map *map;
        struct jinja_view *view;
        struct jinja_macro *macro;
        const struct jinja_function *function;
        struct jinja_method *method;
        struct jinja_loop *loop;
    };
};

enum jinja_missing { JINJA_NO_NAME, JINJA_NO_MEMBER, JINJA_NO_REASON };

struct jinja_list {
    struct jinja_value *items;
    size_t count, capacity;
};

struct jinja_map {
    struct jinja_value *keys, *values;
    size_t count, capacity;
};

enum jinja_view_kind { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS, JINJA_RANGE, JINJA_GENERATOR };

struct jinja_view {
    enum jinja_view_kind kind;
    struct jinja_list list;
    bool spent; /* a generator gives its items once */
    int64_t start, stop, step;
};

struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_map names;
};

struct jinja_macro {
    const struct jinja_node *node;
    struct jinja_scope *scope; /* that it was defined in */
};

struct jinja_loop {
    struct jinja_list list;
    size_t index;
    int64_t depth;
    const struct jinja_node *node;
    struct jinja_scope *scope;
    struct jinja_list *told; /* last arguments of changed() */
};

/* Arguments of a call, behind the input of a filter, test or method. */
struct jinja_arguments {
    struct jinja_list items;
    struct jinja_map named;
};

struct jinja_run;

struct jinja_function {
    const char *name;
    /* `input` is undefined for plain functions. */
    struct jinja_value (*call)(struct jinja_run *run, struct jinja_value input,
                               const struct jinja_arguments *arguments);
};

struct jinja_method {
    const struct jinja_function *function;
    struct jinja_value object;
};

enum jinja_flow { JINJA_GO_ON, JINJA_BREAKS, JINJA_CONTINUES };

struct jinja_run {
    const char *name;
    struct arena arena;
    char *free; /* rest of the piece of the arena that values are taken from */
    size_t left;
    size_t memory, steps;
    int depth, line;
    struct jinja_scope *scope;
    struct buffer *out, *root; /* `root` is the rendered text itself */
    size_t start;              /* bytes of `root` from before */
    struct jinja_ranges *ranges;
    enum jinja_flow flow;
    int64_t now;
    char *growing; /* end of the text that was joined last; room behind it */
    size_t growing_left;
    bool failed;
    enum status status;
    struct error *error;
};

/* Failing. All evaluation is checked by `failed`; what is returned then does not matter. */
struct jinja_value jinja_fail(struct jinja_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Counts work; false when there has been too much. */
bool jinja_charge(struct jinja_run *run, size_t steps);
/* One level deeper; false, and failed, when that is too deep. Leave with run->depth--. */
bool jinja_enter(struct jinja_run *run);

/* Memory, 8-byte aligned; NULL, and failed, when there is none. */
void *jinja_alloc(struct jinja_run *run, size_t bytes);

/* Making values. */
struct jinja_value jinja_undefined(const char *name, size_t length, enum jinja_missing missing);
struct jinja_value jinja_none(void);
struct jinja_value jinja_bool(bool value);
struct jinja_value jinja_int(int64_t value);
struct jinja_value jinja_real(double value);
struct jinja_value jinja_literal(const char *text);                 /* not copied */
struct jinja_value jinja_slice_of(const char *text, size_t length); /* not copied */
struct jinja_value jinja_text(struct jinja_run *run, const char *text, size_t length);
/* Takes the buffer's text and frees it. */
struct jinja_value jinja_take(struct jinja_run *run, struct buffer *buffer);
/* Both texts as one; joining to the text that was joined last does not copy it again. */
struct jinja_value jinja_join(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
struct jinja_value jinja_list_value(struct jinja_run *run, enum jinja_type type,
                                    struct jinja_list list);
struct jinja_value jinja_view_value(struct jinja_run *run, enum jinja_view_kind kind,
                                    struct jinja_list list);
struct jinja_value jinja_map_value(struct jinja_run *run, struct jinja_map map);
bool jinja_list_add(struct jinja_run *run, struct jinja_list *list, struct jinja_value item);
/* Sets a key; equal keys are one. */
bool jinja_map_set(struct jinja_run *run, struct jinja_map *map, struct jinja_value key,
                   struct jinja_value value);
/* NULL when there is none. */
struct jinja_value *jinja_map_find(struct jinja_run *run, const struct jinja_map *map,
                                   struct jinja_value key);
struct jinja_value *jinja_map_text(struct jinja_run *run, const struct jinja_map *map,
                                   const char *key);
struct jinja_value jinja_of_json(struct jinja_run *run, const json_t *json);

/* Asking values. */
bool jinja_is_text(struct jinja_value value, const char *text);
bool jinja_is_number(struct jinja_value value); /* bool, int, real */
double jinja_number(struct jinja_value value);
int64_t jinja_integer(struct jinja_value value); /* of bool and int */
/* A number without its fraction; fails for what no integer of 64 bits is. */
int64_t jinja_truncated(struct jinja_run *run, struct jinja_value value);
bool jinja_truth(struct jinja_run *run, struct jinja_value value);
bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
/* Below, at or above 0; fails for values without an order. */
int jinja_compare(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
bool jinja_contains(struct jinja_run *run, struct jinja_value container, struct jinja_value item);
/* What goes through the value gives, as a list; fails when nothing does. A list of its own memory
 * is not promised. */
bool jinja_items(struct jinja_run *run, struct jinja_value value, struct jinja_list *list);
/* Length as Python's len(); -1 when it has none. */
int64_t jinja_length(const struct jinja_run *run, struct jinja_value value);
/* "dict", "str", ...: Python's name of the type. */
const char *jinja_type_name(struct jinja_value value);
/* "'x' is undefined" */
struct jinja_value jinja_fail_undefined(struct jinja_run *run, struct jinja_value value);

/* Text. */
#define JINJA_SPACES_MOST 4
bool jinja_is_space(uint32_t point);
size_t jinja_characters(const char *text, size_t length);
/* Byte offset of character `index` (at most the number of characters). */
size_t jinja_offset(const char *text, size_t length, size_t index);
/* str() and repr(), appended. */
void jinja_print(struct jinja_run *run, struct jinja_value value, struct buffer *out);
void jinja_repr(struct jinja_run *run, struct jinja_value value, struct buffer *out);
/* The value as a text: itself when it is one. */
struct jinja_value jinja_string(struct jinja_run *run, struct jinja_value value);
/* A number as Python writes it. */
void jinja_print_real(double value, struct buffer *out);

struct jinja_json_style {
    struct jinja_value indent; /* none, a number or a text */
    const char *item, *pair;   /* separators */
    size_t item_length, pair_length;
    bool ascii, sort;
};
void jinja_to_json(struct jinja_run *run, struct jinja_value value,
                   const struct jinja_json_style *style, int level, struct buffer *out);

/* Evaluation. */
struct jinja_value jinja_eval(struct jinja_run *run, const struct jinja_node *node);
void jinja_exec(struct jinja_run *run, const struct jinja_node *list);
/* Runs statements and gives their output as a text. */
struct jinja_value jinja_capture(struct jinja_run *run, const struct jinja_node *list);
struct jinja_value jinja_call(struct jinja_run *run, struct jinja_value callee,
                              const struct jinja_arguments *arguments);
struct jinja_value jinja_call_macro(struct jinja_run *run, struct jinja_macro *macro,
                                    const struct jinja_arguments *arguments);
struct jinja_value jinja_run_loop(struct jinja_run *run, const struct jinja_node *node,
                                  struct jinja_value iterable, struct jinja_scope *scope,
                                  int64_t depth);
bool jinja_eval_arguments(struct jinja_run *run, const struct jinja_node *list,
                          struct jinja_arguments *arguments);
struct jinja_value jinja_binary(struct jinja_run *run, int op, struct jinja_value a,
                                struct jinja_value b);
/* a.name and a[index]; undefined when there is none. */
struct jinja_value jinja_attribute(struct jinja_run *run, struct jinja_value object,
                                   struct jinja_value name);
struct jinja_value jinja_item(struct jinja_run *run, struct jinja_value object,
                              struct jinja_value index);
struct jinja_value jinja_slice(struct jinja_run *run, struct jinja_value object,
                               struct jinja_value begin, struct jinja_value end,
                               struct jinja_value step);
struct jinja_value jinja_apply_filter(struct jinja_run *run, struct jinja_value name,
                                      struct jinja_value input,
                                      const struct jinja_arguments *arguments);
bool jinja_apply_test(struct jinja_run *run, struct jinja_value name, struct jinja_value input,
                      const struct jinja_arguments *arguments);
/* "%s and %d" % values, and '{} and {name}'.format(values). */
struct jinja_value jinja_percent(struct jinja_run *run, struct jinja_value format,
                                 struct jinja_value values);
struct jinja_value jinja_format(struct jinja_run *run, struct jinja_value format,
                                const struct jinja_arguments *arguments);

/* Tables, ended by a NULL name. */
extern const struct jinja_function jinja_text_filters[], jinja_list_filters[], jinja_globals[],
    jinja_text_methods[], jinja_more_text_methods[], jinja_map_methods[], jinja_list_methods[],
    jinja_loop_methods[];
const struct jinja_function *jinja_find_function(const struct jinja_function *table,
                                                 struct jinja_value name);
/* Argument `index`, also by its name; undefined when it is not given. */
struct jinja_value jinja_argument(struct jinja_run *run, const struct jinja_arguments *arguments,
                                  size_t index, const char *name);
/* The same as an integer, a truth or a text, with a fallback; fails for other types. */
int64_t jinja_argument_int(struct jinja_run *run, const struct jinja_arguments *arguments,
                           size_t index, const char *name, int64_t fallback);
bool jinja_argument_bool(struct jinja_run *run, const struct jinja_arguments *arguments,
                         size_t index, const char *name, bool fallback);
/* Fails when more arguments came than `most`, or one whose name is not in `names` ("a b c"). */
bool jinja_check_arguments(struct jinja_run *run, const char *what,
                           const struct jinja_arguments *arguments, size_t least, size_t most,
                           const char *names);

#endif
