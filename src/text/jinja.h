/* Jinja templates, as far as models' chat templates go: a parser to a tree and an evaluator, with
 * the settings and additions of Hugging Face's transformers (trim_blocks, lstrip_blocks, break and
 * continue, {% generation %}, tojson, raise_exception, strftime_now, and the immutable sandbox: no
 * method changes a list or a dict). Templates come from strangers, so steps, memory, depth and
 * output are bounded by the constants below; reaching one is an error like any other.
 *
 * Source of the language: the documentation of Jinja 3.1 and of transformers' chat templates. */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

#define JINJA_SOURCE_MOST ((size_t)1 << 20)   /* bytes of a template */
#define JINJA_STEPS_MOST 5000000              /* nodes visited, and work in proportion to data */
#define JINJA_MEMORY_MOST ((size_t)128 << 20) /* bytes of values made by one rendering */
#define JINJA_OUTPUT_MOST ((size_t)32 << 20)  /* bytes of text under construction at any place */
#define JINJA_DEPTH_MOST 500                  /* nested calls, expressions and values */
#define JINJA_PARSE_DEPTH_MOST 200            /* nested brackets and blocks of the source */
#define JINJA_RANGE_MOST 100000               /* items of a range(), as in Jinja's sandbox */

struct jinja_node;

/* A parsed template; what it points to lies in its arena. */
struct jinja {
    struct arena arena;
    const char *name; /* for messages */
    struct jinja_node *body;
    int generation; /* it has {% generation %} blocks */
};

/* A stretch of the rendered text, in bytes. */
struct jinja_range {
    size_t begin, end;
};

/* The texts of {% generation %} blocks. Zero-initialize; free `items`. */
struct jinja_ranges {
    struct jinja_range *items;
    size_t count, capacity;
    int lost; /* a block stood in a macro or a captured text, so its place is not known */
};

/* Parses `length` bytes; `name` is for messages and is copied. Free with jinja_free, which also
 * takes a zeroed struct. */
enum status jinja_parse(const char *source, size_t length, const char *name, struct jinja *jinja,
                        struct error *error);
void jinja_free(struct jinja *jinja);

/* Appends the text that the template gives with the members of `variables` (an object) as its
 * variables. `now` is the time of strftime_now, in local time. `ranges` may be NULL. Fails with
 * "NAME: line N: cause"; several threads may render one template at a time. */
enum status jinja_render(const struct jinja *jinja, const json_t *variables, int64_t now,
                         struct buffer *text, struct jinja_ranges *ranges, struct error *error);

#endif
