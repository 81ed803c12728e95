/* See chart.h. */
#include "run/chart.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define WIDTH 720.0
#define HEIGHT 300.0
#define LEFT 56.0
#define BOTTOM 40.0
#define TOP 12.0
#define RIGHT 16.0

#define STEEP 4 /* times the height of the rest that a curve's beginning may add */

struct range {
    double x_low, x_high, y_low, y_high;
    double top; /* the highest value; above y_high when it does not fit */
};

void chart_escape(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            buffer_add_text(out, "&amp;");
            break;
        case '<':
            buffer_add_text(out, "&lt;");
            break;
        case '>':
            buffer_add_text(out, "&gt;");
            break;
        case '"':
            buffer_add_text(out, "&quot;");
            break;
        default:
            buffer_add(out, text, 1);
        }
    }
}

/* False for a value that is no number, which the ledger keeps as null. */
static bool point_at(const json_t *points, size_t i, double *x, double *y)
{
    const json_t *value = json_array_get(json_array_get(points, i), 1);
    *x = json_number_value(json_array_get(json_array_get(points, i), 0));
    *y = json_number_value(value);
    return json_is_number(value);
}

/* Everything fits, unless the first tenth of a curve, where a loss falls steeply or leaps, would
 * flatten the rest: then it comes in from above. */
static struct range find_range(const struct chart_series *series, int count)
{
    struct range r = {INFINITY, -INFINITY, INFINITY, -INFINITY, -INFINITY};
    double bottom = INFINITY;
    for (int s = 0; s < count; s++) {
        size_t points = json_array_size(series[s].points);
        for (size_t i = 0; i < points; i++) {
            double x, y;
            if (!point_at(series[s].points, i, &x, &y))
                continue;
            r.x_low = fmin(r.x_low, x);
            r.x_high = fmax(r.x_high, x);
            r.top = fmax(r.top, y);
            bottom = fmin(bottom, y);
            if (points > 20 && i < points / 10)
                continue;
            r.y_low = fmin(r.y_low, y);
            r.y_high = fmax(r.y_high, y);
        }
    }
    if (r.top - bottom <= (1 + STEEP) * (r.y_high - r.y_low)) {
        r.y_low = bottom;
        r.y_high = r.top;
    }
    if (!(r.y_high - r.y_low > 1e-9 * fabs(r.y_high))) { /* hardly a range: all the same value */
        double room = fmax(0.5, 0.1 * fabs(r.y_high));
        r.y_low -= room;
        r.y_high += room;
    }
    if (!(r.x_high > r.x_low))
        r.x_high = r.x_low + 1;
    double margin = 0.05 * (r.y_high - r.y_low);
    r.y_low -= margin;
    r.y_high += margin;
    return r;
}

static double place_x(const struct range *r, double x)
{
    return LEFT + (x - r->x_low) / (r->x_high - r->x_low) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct range *r, double y)
{
    double share = (y - r->y_low) / (r->y_high - r->y_low);
    share = share < -1 ? -1 : share > 10 ? 10 : share; /* the chart's edge cuts what is outside */
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
}

/* 1, 2 or 5 times a power of ten, so that about five fit the span. */
static double tick_step(double span)
{
    double step = pow(10, floor(log10(span / 5)));
    if (span / step > 12)
        step *= 5;
    else if (span / step > 6)
        step *= 2;
    return step;
}

static void draw_axes(struct buffer *out, const struct range *r, const char *x_title,
                      const char *y_title)
{
    double step = tick_step(r->y_high - r->y_low);
    for (int64_t i = (int64_t)ceil(r->y_low / step); (double)i * step <= r->y_high; i++) {
        double y = (double)i * step;
        buffer_printf(out,
                      "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                      LEFT, WIDTH - RIGHT, place_y(r, y), place_y(r, y), LEFT - 6,
                      place_y(r, y) + 4, y);
    }
    step = tick_step(r->x_high - r->x_low);
    for (int64_t i = (int64_t)ceil(r->x_low / step); (double)i * step <= r->x_high; i++) {
        double x = (double)i * step;
        buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n",
                      place_x(r, x), HEIGHT - BOTTOM + 18, x);
    }
    if (r->top > r->y_high)
        buffer_printf(out,
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">the beginning lies higher, "
                      "up to %.4g</text>\n",
                      WIDTH - RIGHT, TOP + 10, r->top);
    buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (WIDTH + LEFT) / 2,
                  HEIGHT - 4);
    chart_escape(out, x_title);
    buffer_printf(out,
                  "</text><text transform=\"translate(13 %.1f) rotate(-90)\" "
                  "text-anchor=\"middle\">",
                  (HEIGHT - BOTTOM) / 2);
    chart_escape(out, y_title);
    buffer_add_text(out, "</text>\n");
}

void chart_lines(struct buffer *out, const struct chart_series *series, int count,
                 const char *x_title, const char *y_title)
{
    struct range range = find_range(series, count);
    buffer_printf(out, "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n", WIDTH,
                  HEIGHT);
    draw_axes(out, &range, x_title, y_title);
    buffer_printf(out,
                  "<svg overflow=\"hidden\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" "
                  "viewBox=\"%.0f %.0f "
                  "%.0f %.0f\">\n",
                  LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP, LEFT, TOP,
                  WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP);
    for (int s = 0; s < count; s++) {
        size_t points = json_array_size(series[s].points);
        buffer_printf(out, "<polyline class=\"s%d%s\" points=\"", series[s].color,
                      series[s].dashed ? " dashed" : "");
        for (size_t i = 0; i < points; i++) {
            double x, y;
            if (!point_at(series[s].points, i, &x, &y))
                continue;
            for (int times = points == 1 ? 2 : 1; times > 0; times--) /* twice: a dot is seen */
                buffer_printf(out, "%.1f,%.1f ", place_x(&range, x), place_y(&range, y));
        }
        buffer_add_text(out, "\"/>\n");
    }
    buffer_add_text(out, "</svg>\n</svg>\n<p class=\"legend\">");
    for (int s = 0; s < count; s++) {
        buffer_printf(out, "<span class=\"k%d%s\"></span>", series[s].color,
                      series[s].dashed ? " dashed" : "");
        chart_escape(out, series[s].name);
        buffer_add_text(out, " ");
    }
    buffer_add_text(out, "</p>\n");
}
