/* See report.h. All figures stand in elements with a data-figure attribute, so that a program can
 * read them back. */
#include "run/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/threads.h"
#include "run/chart.h"

/* By this tag, near its beginning, a page is known again. */
#define MARK "<meta name=\"generator\" content=\"adze report\">"

static const char style[] =
    ":root{--ink:#1b1f24;--soft:#5b6570;--line:#d9dee3;--page:#fff;--card:#f6f8fa;--good:#1a7f37;"
    "--bad:#b35900;--c0:#0969da;--c1:#bc4c00;--c2:#1a7f37;--c3:#8250df}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--line:#30363d;"
    "--page:#0d1117;--card:#161b22;--good:#3fb950;--bad:#f0883e;--c0:#58a6ff;--c1:#f0883e;"
    "--c2:#3fb950;--c3:#bc8cff}}"
    "body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);"
    "max-width:780px;margin:2.5rem auto;padding:0 1.2rem}"
    "h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}"
    "p{margin:.5rem 0;overflow-wrap:anywhere}.scroll{overflow-x:auto}.lead{font-size:1.1rem}"
    ".soft,.legend{color:var(--soft);font-size:.9rem}"
    "table{border-collapse:collapse;width:100%;margin:.8rem 0;font-variant-numeric:tabular-nums}"
    "th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line)}"
    "th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft);"
    "font-size:.88rem}.good{color:var(--good)}.bad{color:var(--bad)}"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;"
    "white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}"
    ".cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}.card{flex:1 1 150px;"
    "background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem 1rem}"
    ".card b{display:block;font-size:1.45rem}.card span{color:var(--soft);font-size:.85rem}"
    ".chart{width:100%;height:auto}.chart text{font-size:12px;fill:var(--soft)}"
    ".grid{stroke:var(--line)}"
    "polyline{fill:none;stroke-width:2;stroke-linecap:round}.dashed{stroke-dasharray:5 4}"
    ".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}"
    ".legend span{display:inline-block;width:1.6em;height:0;border-top:3px solid;margin:0 .4em "
    ".25em "
    "1em}.legend .dashed{border-top-style:dashed}.k0{color:var(--c0)}.k1{color:var(--c1)}"
    ".k2{color:var(--c2)}.k3{color:var(--c3)}code{font-size:.88em}";

struct page {
    struct ledger *ledger;
    struct buffer out;
    json_t *run, *result;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* <td> with a figure that can be read back by its name. */
static void cell(struct page *p, const char *figure, const char *format, double value)
{
    char text[64];
    if (isnan(value)) {
        buffer_add_text(&p->out, "<td>–</td>");
        return;
    }
    snprintf(text, sizeof text, format, value);
    buffer_printf(&p->out, "<td data-figure=\"%s\" data-value=\"%.9g\">%s</td>", figure, value,
                  text);
}

static void escaped(struct page *p, const char *text)
{
    chart_escape(&p->out, text);
}

/* What people call a domain: the user's own has a name of its own. */
static const char *domain_name(const struct page *p, const char *domain)
{
    const char *own = text_of(p->result, "domain_name");
    return strcmp(domain, "domain") != 0 ? domain : *own ? own : "your domain";
}

/* Mean and half the range of a method's runs on a domain. */
struct spread {
    double mean, low, high;
    int count;
};

static struct spread spread_of(const json_t *trials, const char *domain, const char *method)
{
    struct spread s = {0, INFINITY, -INFINITY, 0};
    for (size_t i = 0; i < json_array_size(trials); i++) {
        const json_t *t = json_array_get(trials, i);
        if (strcmp(text_of(t, "domain"), domain) != 0 || strcmp(text_of(t, "method"), method) != 0)
            continue;
        double value = real_of(t, "bits_per_byte");
        s.mean += value;
        s.low = fmin(s.low, value);
        s.high = fmax(s.high, value);
        s.count++;
    }
    s.mean = s.count > 0 ? s.mean / s.count : NAN;
    return s;
}

static void card(struct page *p, const char *figure, double value, const char *shown,
                 const char *label)
{
    buffer_printf(&p->out,
                  "<div class=\"card\"><b data-figure=\"%s\" data-value=\"%.9g\">%s</b>"
                  "<span>%s</span></div>\n",
                  figure, value, shown, label);
}

static const json_t *find_format(const json_t *formats, const char *name)
{
    for (size_t i = 0; i < json_array_size(formats); i++)
        if (strcmp(text_of(json_array_get(formats, i), "format"), name) == 0)
            return json_array_get(formats, i);
    return NULL;
}

static void write_cards(struct page *p)
{
    const json_t *trials = json_object_get(p->result, "trials");
    const json_t *format =
        find_format(json_object_get(p->result, "formats"), text_of(p->result, "chosen_format"));
    struct spread chosen = spread_of(trials, "domain", text_of(p->result, "method"));
    struct spread random = spread_of(trials, "domain", "random");
    char text[64];
    buffer_add_text(&p->out, "<div class=\"cards\">\n");
    double bits = real_of(format, "bits_per_byte");
    snprintf(text, sizeof text, "%.3f", bits);
    card(p, "model.bits_per_byte", bits, text,
         "bits per byte of the shipped model on held-out text");
    double gain = 100 * (1 - chosen.mean / random.mean);
    snprintf(text, sizeof text, "%.1f %%", fabs(gain));
    card(p, "selection.gain_percent", gain, text,
         gain < 0 ? "more bits by selected instead of random text: it did not help"
                  : "fewer bits by selected instead of random text");
    double bytes = real_of(format, "file_bytes");
    snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
    card(p, "model.file_bytes", bytes, text, "model.gguf");
    double speed = real_of(format, "tokens_per_second");
    snprintf(text, sizeof text, "%.0f", speed);
    card(p, "model.tokens_per_second", speed, text, "tokens generated a second");
    buffer_add_text(&p->out, "</div>\n");
}

static void domain_row(struct page *p, const char *domain)
{
    const json_t *trials = json_object_get(p->result, "trials");
    const json_t *selections = json_object_get(p->result, "selections");
    const char *method = text_of(p->result, "method");
    struct spread chosen = spread_of(trials, domain, method);
    struct spread random = spread_of(trials, domain, "random");
    double reduction = NAN, gain = 100 * (chosen.mean / random.mean - 1);
    for (size_t i = 0; i < json_array_size(selections); i++)
        if (strcmp(text_of(json_array_get(selections, i), "domain"), domain) == 0)
            reduction = real_of(json_array_get(selections, i), "kl_reduction");
    char figure[128];
    buffer_add_text(&p->out, "<tr><td>");
    escaped(p, domain_name(p, domain));
    buffer_add_text(&p->out, "</td>");
    snprintf(figure, sizeof figure, "trial.%.60s.random", domain);
    cell(p, figure, "%.3f", random.mean);
    snprintf(figure, sizeof figure, "trial.%.60s.selected", domain);
    cell(p, figure, "%.3f", chosen.mean);
    buffer_printf(&p->out, "<td class=\"%s\">%+.1f %%</td><td>", gain < 0 ? "good" : "bad", gain);
    if (random.count > 1)
        buffer_printf(&p->out, "%.3f–%.3f / %.3f–%.3f", random.low, random.high, chosen.low,
                      chosen.high);
    else
        buffer_add_text(&p->out, "one seed");
    buffer_add_text(&p->out, "</td>");
    snprintf(figure, sizeof figure, "trial.%.60s.kl_reduction", domain);
    cell(p, figure, "%.3f", reduction);
    buffer_add_text(&p->out, "</tr>\n");
}

static void write_selection(struct page *p)
{
    const json_t *trials = json_object_get(p->result, "trials");
    const json_t *first = json_array_get(trials, 0);
    buffer_printf(
        &p->out,
        "<h2>Does selecting help?</h2>\n<p>Small models of the same shape were trained on "
        "%.2f million tokens each, once on text that <b>",
        real_of(first, "tokens") / 1e6);
    escaped(p, text_of(p->result, "method"));
    buffer_add_text(&p->out,
                    "</b> selected from the pool and once on random text from the same pool, and "
                    "measured on held-out text of the domain, in bits per byte (lower is "
                    "better).</p>\n<div class=\"scroll\"><table><tr><th>held-out text "
                    "of</th><th>random</th><th>selected"
                    "</th><th>change</th><th>range over seeds</th><th>KL reduction</th></tr>\n");
    domain_row(p, "domain");
    for (size_t i = 0; i < json_array_size(trials); i++) {
        const char *domain = text_of(json_array_get(trials, i), "domain");
        bool random = strcmp(text_of(json_array_get(trials, i), "method"), "random") == 0;
        if (!random && strcmp(domain, "domain") != 0)
            domain_row(p, domain);
    }
    buffer_add_text(&p->out,
                    "</table></div>\n<p class=\"soft\">KL reduction: by how many nats the word "
                    "statistics of the selection are nearer to the domain than those of "
                    "the pool. Near zero, selecting cannot help much.</p>\n");
}

static void write_formats(struct page *p)
{
    const json_t *formats = json_object_get(p->result, "formats");
    buffer_add_text(&p->out, "<h2>Before and after shrinking</h2>\n<div "
                             "class=\"scroll\"><table><tr><th>weights</th><th>bits "
                             "per weight</th><th>file</th><th>bits per byte</th><th>perplexity</th>"
                             "<th>tokens/s</th></tr>\n");
    for (size_t i = 0; i < json_array_size(formats); i++) {
        const json_t *f = json_array_get(formats, i);
        const char *name = text_of(f, "format");
        char figure[64];
        bool chosen = strcmp(name, text_of(p->result, "chosen_format")) == 0;
        buffer_printf(&p->out, "<tr><td>%s%s</td>", name, chosen ? " (model.gguf)" : "");
        snprintf(figure, sizeof figure, "format.%s.bits_per_weight", name);
        cell(p, figure, "%.2f", real_of(f, "bits_per_weight"));
        snprintf(figure, sizeof figure, "format.%s.megabytes", name);
        cell(p, figure, "%.2f MB", real_of(f, "file_bytes") / 1e6);
        snprintf(figure, sizeof figure, "format.%s.bits_per_byte", name);
        cell(p, figure, "%.4f", real_of(f, "bits_per_byte"));
        snprintf(figure, sizeof figure, "format.%s.perplexity", name);
        cell(p, figure, "%.2f", real_of(f, "perplexity"));
        snprintf(figure, sizeof figure, "format.%s.tokens_per_second", name);
        cell(p, figure, "%.0f", real_of(f, "tokens_per_second"));
        buffer_add_text(&p->out, "</tr>\n");
    }
    buffer_add_text(&p->out,
                    "</table></div>\n<p class=\"soft\">Bits per weight are the mean over the whole "
                    "model: with q4_0, embedding and output projection take 8 bits, which "
                    "weighs most in small models. Tokens/s: of generation.</p>\n");
}

/* Curves of the comparison's runs; the runs' figures are read from the ledger and kept in `runs`
 * until the page is written. */
static void write_curves(struct page *p, json_t *runs)
{
    const json_t *trials = json_object_get(p->result, "trials");
    struct chart_series series[CHART_SERIES];
    char names[CHART_SERIES][64];
    int count = 0, seen[2] = {0, 0};
    for (size_t i = 0; i < json_array_size(trials) && count < CHART_SERIES; i++) {
        const json_t *t = json_array_get(trials, i);
        json_t *run = NULL;
        if (strcmp(text_of(t, "domain"), "domain") != 0 ||
            ledger_read(p->ledger, json_integer_value(json_object_get(t, "run")), &run, NULL) !=
                STATUS_OK)
            continue;
        json_array_append_new(runs, run);
        const json_t *points = json_object_get(json_object_get(run, "metrics"), "loss");
        int random = strcmp(text_of(t, "method"), "random") == 0;
        snprintf(names[count], sizeof names[count], "%.40s, seed %.0f", text_of(t, "method"),
                 real_of(t, "seed"));
        series[count] = (struct chart_series){names[count], points, random, seen[random]++ > 0};
        count++;
    }
    if (count > 0) {
        buffer_add_text(&p->out, "<h2>Training loss of the comparison</h2>\n");
        chart_lines(&p->out, series, count, "step", "nats per token");
        buffer_add_text(&p->out, "<p class=\"soft\">The curves show the loss on what each run was "
                                 "trained on, so they do not compare; the table above does.</p>\n");
    }
}

/* A figure's points without the result of the whole run, which has step -1. New reference. */
static json_t *points_of_steps(const json_t *points)
{
    json_t *kept = json_array();
    for (size_t i = 0; i < json_array_size(points); i++)
        if (json_integer_value(json_array_get(json_array_get(points, i), 0)) >= 0)
            json_array_append(kept, json_array_get(points, i));
    return kept;
}

static void write_final_curve(struct page *p, json_t *runs)
{
    json_t *run = NULL;
    const json_t *final = json_object_get(p->result, "final");
    if (!final || ledger_read(p->ledger, json_integer_value(json_object_get(final, "run")), &run,
                              NULL) != STATUS_OK)
        return;
    json_array_append_new(runs, run);
    const json_t *metrics = json_object_get(run, "metrics");
    json_t *held = points_of_steps(json_object_get(metrics, "held-out loss"));
    struct chart_series series[2] = {{"training text", json_object_get(metrics, "loss"), 0, false},
                                     {"held-out text of the domain", held, 2, false}};
    char text[256];
    snprintf(text, sizeof text,
             "<h2>The model</h2>\n<p>%.2f million parameters, trained on %.2f million tokens in "
             "%.0f s at %.0f tokens a second.</p>\n",
             real_of(final, "parameters") / 1e6, real_of(final, "tokens") / 1e6,
             real_of(final, "seconds"), real_of(final, "tokens_per_second"));
    buffer_add_text(&p->out, text);
    chart_lines(&p->out, series, 2, "step", "nats per token");
    json_array_append_new(runs, held);
}

static void write_samples(struct page *p)
{
    const json_t *samples = json_object_get(p->result, "samples");
    if (json_array_size(samples) > 0)
        buffer_add_text(&p->out,
                        "<h2>What it writes</h2>\n<p class=\"soft\">From an empty prompt, at "
                        "temperature 0.8; not chosen.</p>\n");
    for (size_t i = 0; i < json_array_size(samples); i++) {
        const char *text = json_string_value(json_array_get(samples, i));
        buffer_printf(&p->out, "<pre data-sample=\"%llu\">", (unsigned long long)i);
        escaped(p, text ? text : "");
        buffer_add_text(&p->out, "</pre>\n");
    }
}

static void write_options(struct page *p)
{
    const char *key;
    json_t *value;
    buffer_add_text(&p->out, "<h2>What was asked</h2>\n<div "
                             "class=\"scroll\"><table><tr><th>option</th><th>value</th></tr>\n");
    json_object_foreach(json_object_get(p->run, "options"), key, value)
    {
        bool empty = json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        if (!empty && text) {
            buffer_add_text(&p->out, "<tr><td><code>");
            escaped(p, key);
            buffer_add_text(&p->out, "</code></td><td><code>");
            escaped(p, text);
            buffer_add_text(&p->out, "</code></td></tr>\n");
        }
        free(text);
    }
    buffer_add_text(&p->out, "</table></div>\n");
}

static void write_stages(struct page *p)
{
    const json_t *stages = json_object_get(p->result, "stages");
    if (json_array_size(stages) == 0)
        return;
    buffer_add_text(
        &p->out,
        "<h2>What was run</h2>\n<div class=\"scroll\"><table><tr><th>step</th><th>run</th></tr>\n");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const json_t *s = json_array_get(stages, i);
        buffer_add_text(&p->out, "<tr><td>");
        escaped(p, text_of(s, "what"));
        double run = real_of(s, "run"); /* 0: it leaves no record */
        if (run > 0)
            buffer_printf(&p->out, "</td><td>%.0f</td></tr>\n", run);
        else
            buffer_add_text(&p->out, "</td><td>–</td></tr>\n");
    }
    buffer_add_text(
        &p->out, "</table></div>\n<p class=\"soft\"><code>adze runs show N</code> tells all about "
                 "a run.</p>\n");
}

/* Any run: its result and its curves. */
static void write_plain(struct page *p)
{
    const char *key;
    json_t *value;
    buffer_add_text(
        &p->out,
        "<h2>Result</h2>\n<div class=\"scroll\"><table><tr><th>figure</th><th>value</th></tr>\n");
    json_object_foreach(p->result, key, value)
    {
        if (!json_is_number(value))
            continue;
        buffer_add_text(&p->out, "<tr><td>");
        escaped(p, key);
        buffer_add_text(&p->out, "</td>");
        double number = json_number_value(value);
        cell(p, key, number == floor(number) && fabs(number) < 1e15 ? "%.0f" : "%.6g", number);
        buffer_add_text(&p->out, "</tr>\n");
    }
    buffer_add_text(&p->out, "</table></div>\n");
    json_object_foreach(json_object_get(p->run, "metrics"), key, value)
    {
        json_t *points = points_of_steps(value);
        struct chart_series series = {key, points, 0, false};
        if (json_array_size(points) > 1) {
            buffer_add_text(&p->out, "<h2>");
            escaped(p, key);
            buffer_add_text(&p->out, "</h2>\n");
            chart_lines(&p->out, &series, 1, "step", key);
        }
        json_decref(points);
    }
}

/* "Made for the text in A, B, with what was chosen from C." */
static void write_sources(struct page *p)
{
    const char *const names[] = {"domain", "pool"};
    const char *const before[] = {"<p class=\"lead\">Made for the text in ",
                                  ", with what was chosen from "};
    for (int n = 0; n < 2; n++) {
        const json_t *paths = json_object_get(json_object_get(p->run, "options"), names[n]);
        buffer_add_text(&p->out, before[n]);
        for (size_t i = 0; i < json_array_size(paths); i++) {
            const char *path = json_string_value(json_array_get(paths, i));
            buffer_add_text(&p->out, i > 0 ? ", <code>" : "<code>");
            escaped(p, path ? path : "?");
            buffer_add_text(&p->out, "</code>");
        }
    }
    buffer_add_text(&p->out, ".</p>\n");
}

/* A base that was tuned: before and after, on the domain and elsewhere. */
static void write_texts(struct page *p)
{
    const json_t *texts = json_object_get(p->result, "texts");
    buffer_add_text(
        &p->out,
        "<h2>Before and after tuning</h2>\n<div class=\"scroll\"><table><tr><th>held-out text</th>"
        "<th>bits per byte before</th><th>after</th><th>change</th></tr>\n");
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *t = json_array_get(texts, i);
        double before = real_of(t, "before"), after = real_of(t, "after");
        const char *name = text_of(t, "name");
        char figure[128];
        buffer_add_text(&p->out, "<tr><td>");
        escaped(p, domain_name(p, name));
        buffer_add_text(&p->out, "</td>");
        snprintf(figure, sizeof figure, "text.%.60s.before", name);
        cell(p, figure, "%.4f", before);
        snprintf(figure, sizeof figure, "text.%.60s.after", name);
        cell(p, figure, "%.4f", after);
        snprintf(figure, sizeof figure, "text.%.60s.change_percent", name);
        cell(p, figure, "%+.1f %%", 100 * (after / before - 1));
        buffer_add_text(&p->out, "</tr>\n");
    }
    buffer_add_text(&p->out,
                    "</table></div>\n<p class=\"soft\">Less is better. What rises on other text "
                    "was lost by tuning. The model after is model.gguf, as it is "
                    "shipped.</p>\n");
}

static void write_page(struct page *p)
{
    struct cpu cpu = cpu_detect();
    bool tuned = json_object_get(p->result, "texts") != NULL;
    bool adapted = tuned || json_object_get(p->result, "trials") != NULL;
    json_t *runs = json_array();
    buffer_printf(
        &p->out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">" MARK "<meta "
        "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>adze: "
        "run %.0f</title>\n<style>%s</style></head><body>\n",
        real_of(p->run, "id"), style);
    buffer_add_text(&p->out, adapted ? "<h1>A model for your domain</h1>\n" : "<h1>adze ");
    if (!adapted) {
        escaped(p, text_of(p->run, "command"));
        buffer_add_text(&p->out, "</h1>\n");
    }
    const char *started = text_of(p->run, "started"); /* 2026-01-31T12:34:56Z */
    if (adapted)
        write_sources(p);
    buffer_printf(&p->out,
                  "<p class=\"soft\">Run %.0f, started %.10s %.5s UTC, on %s (%s), %d cores.</p>\n",
                  real_of(p->run, "id"), started, strlen(started) > 11 ? started + 11 : "",
                  cpu.name, cpu_describe(&cpu), thread_cores());
    if (tuned) {
        write_texts(p);
        write_final_curve(p, runs);
        write_samples(p);
    } else if (adapted) {
        write_cards(p);
        write_selection(p);
        write_curves(p, runs);
        write_final_curve(p, runs);
        write_formats(p);
        write_samples(p);
    } else {
        write_plain(p);
    }
    write_stages(p);
    write_options(p);
    buffer_add_text(&p->out, "</body></html>\n");
    json_decref(runs);
}

enum status report_write(struct ledger *ledger, int64_t id, const char *path, struct error *error)
{
    struct page page = {.ledger = ledger};
    enum status status = ledger_read(ledger, id, &page.run, error);
    if (status != STATUS_OK)
        return status;
    page.result = json_object_get(page.run, "result");
    write_page(&page);
    status = buffer_check(&page.out, error);
    if (status == STATUS_OK)
        status = file_write_atomic(path, page.out.data, page.out.length, error);
    buffer_free(&page.out);
    json_decref(page.run);
    return status;
}

bool report_is_page(const char *path)
{
    char start[256];
    FILE *file = file_is_folder(path) ? NULL : fopen(path, "rb");
    if (!file)
        return false;
    start[fread(start, 1, sizeof start - 1, file)] = 0;
    fclose(file);
    return strstr(start, MARK) != NULL;
}
