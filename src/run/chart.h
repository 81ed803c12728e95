/* Line charts as SVG text, for pages that need no script. */
#ifndef RUN_CHART_H
#define RUN_CHART_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buffer.h"

#define CHART_SERIES 12

struct chart_series {
    const char *name;
    const json_t *points; /* [[x, y], ...] */
    int color;            /* class s0 .. s7 of the page's style */
    bool dashed;
};

/* Appends an <svg>; the vertical axis spans all values, unless the first tenths of the curves would
 * flatten the rest: then these are cut off at the top, and the chart says so. */
void chart_lines(struct buffer *out, const struct chart_series *series, int count,
                 const char *x_title, const char *y_title);

/* Text with &, <, > and " escaped for HTML. */
void chart_escape(struct buffer *out, const char *text);

#endif
