/* Options are data: a command or a method declares each option once, and the command line, recipe
 * files, checks, --help, man pages, completions and ledger columns all read that declaration. An
 * option writes straight into a field of the caller's struct, so that code reads typed values. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

enum option_type {
    OPTION_FLAG,   /* bool; takes no value; --no-NAME switches off */
    OPTION_INT,    /* int64_t; 4k, 2M, 1G mean powers of 1000 */
    OPTION_REAL,   /* double */
    OPTION_TEXT,   /* const char *, NULL when not given */
    OPTION_PATH,   /* const char *, completed as a file name */
    OPTION_CHOICE, /* const char *, one of `choices` */
    OPTION_LIST,   /* struct option_list; may be given several times */
};

struct option_list {
    const char **items;
    int64_t count;
};

struct option {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short name, or 0 */
    enum option_type type;
    size_t offset;        /* of the field in the target struct */
    const char *fallback; /* default value as text; NULL: 0, false, NULL or empty */
    double least, most;   /* allowed range of INT and REAL when least < most */
    const char *choices;  /* "a|b|c" for CHOICE */
    const char *unit;     /* value's name in help: "tokens", "FILE"; NULL: by type */
    const char *help;     /* one line, without a final dot */
};

/* One table bound to the struct that it fills. */
struct option_group {
    const char *title; /* heading in --help, or NULL */
    const struct option *table;
    void *target;
    bool *given; /* per option of the table; in the set's arena */
    int length;  /* options in the table */
};

struct option_set {
    struct option_group groups[8];
    int count;
    struct arena *arena; /* owns every text that is stored */
};

/* Adds a table and fills `target` with its defaults. A table beyond the eighth is refused. */
enum status option_add(struct option_set *set, const char *title, const struct option *table,
                       void *target, struct error *error);

/* Sets one option by its long name from text, as a recipe does. `where` names the place for
 * messages ("recipe.yaml:7", "command line"). An unknown name suggests the nearest known one. */
enum status option_assign(struct option_set *set, const char *name, const char *value,
                          const char *where, struct error *error);

/* Reads a command line (without program and command): --name value, --name=value, -x value,
 * -xVALUE, flags; "--" ends options. Everything else goes to `positional`, in order. */
enum status option_parse(struct option_set *set, int count, char **arguments,
                         struct option_list *positional, struct error *error);

/* True when the option was set by option_assign or option_parse rather than left at its default. */
bool option_given(const struct option_set *set, const char *name);

/* Option lines for --help, grouped, with defaults and ranges, wrapped at 80 columns. */
void option_help(const struct option_set *set, struct buffer *out);

/* All values as a JSON object {name: value}; new reference, NULL when out of memory. */
json_t *option_values(const struct option_set *set);

/* The candidate nearest to `word` by edit distance, or NULL when none is close enough to suggest.
 * `next` yields candidates until NULL. */
const char *option_nearest(const char *word, const char *(*next)(void *context, int index),
                           void *context);

/* Text to numbers with the rules of OPTION_INT and OPTION_REAL; false when malformed. */
bool option_parse_int(const char *text, int64_t *value);
bool option_parse_real(const char *text, double *value);

#endif
