/* Work on texts that methods and filters of Jinja share; private to src/text/jinja*. */
#ifndef TEXT_JINJA_WORDS_H
#define TEXT_JINJA_WORDS_H

#include "text/jinja_value.h"

enum jinja_letters {
    JINJA_UPPER,
    JINJA_LOWER,
    JINJA_TITLE,        /* str.title: every stretch of letters */
    JINJA_TITLE_FILTER, /* the filter: behind white space, hyphens and opening brackets */
    JINJA_CAPITALIZED,
    JINJA_SWAPPED,
};

/* Letter by letter; of the mappings to several letters only that of U+00DF is known. */
struct jinja_value jinja_change_case(struct jinja_run *run, struct jinja_value text,
                                     enum jinja_letters letters);
/* Without characters of `set` (none: white space) at its ends. */
struct jinja_value jinja_strip(struct jinja_run *run, struct jinja_value text,
                               struct jinja_value set, bool left, bool right);
/* The lines, with their ends if they are to be kept. */
struct jinja_list jinja_lines(struct jinja_run *run, struct jinja_value text, bool keep);
/* At most `most` times; below 0: everywhere. */
struct jinja_value jinja_replace(struct jinja_run *run, struct jinja_value text,
                                 struct jinja_value old, struct jinja_value new, int64_t most);
struct jinja_value jinja_center(struct jinja_run *run, struct jinja_value text,
                                const struct jinja_arguments *arguments);

#endif
