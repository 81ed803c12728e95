/* See mixture.h. */
#include "data/mixture.h"

#include <string.h>

#include "base/random.h"

static bool is_packed(const struct shard *shard, int64_t window)
{
    return shard->rows && shard->packed_window == window;
}

static int64_t window_count(const struct shard *shard, int64_t window)
{
    if (is_packed(shard, window))
        return shard->row_count;
    return shard->tokens < 2 ? 0 : (shard->tokens - 1 + window - 1) / window;
}

int64_t mixture_windows(const struct mixture *mixture, int source)
{
    return window_count(&mixture->sources[source].shard, mixture->window);
}

enum status mixture_check(const struct mixture *mixture, const char *const *names,
                          struct error *error)
{
    double first = 0, last = 0;
    for (int i = 0; i < mixture->count; i++) {
        const struct mixture_source *source = &mixture->sources[i];
        if (!(source->weight >= 0) || !(source->final_weight >= 0))
            return error_set(error, STATUS_USAGE, "%s: a weight must not be negative", names[i]);
        if (mixture_windows(mixture, i) < 1)
            return error_set(error, STATUS_FAILED,
                             "%s: only %lld tokens of training text, nothing to learn from",
                             names[i], (long long)source->shard.tokens);
        first += source->weight;
        last += source->final_weight;
    }
    if (mixture->count == 0 || first <= 0 || last <= 0)
        return error_set(error, STATUS_USAGE, "the weights of the data add up to nothing");
    return STATUS_OK;
}

static int choose_source(const struct mixture *m, int64_t row)
{
    if (m->count == 1)
        return 0;
    double progress = m->total_rows > 1 ? (double)row / (double)(m->total_rows - 1) : 0;
    progress = progress > 1 ? 1 : progress;
    double total = 0;
    for (int i = 0; i < m->count; i++)
        total += m->sources[i].weight * (1 - progress) + m->sources[i].final_weight * progress;
    double left = total * random_uniform((struct random_address){m->seed, RANDOM_MIXTURE, 0, 0},
                                         (uint64_t)row);
    int last = 0;
    for (int i = 0; i < m->count; i++) {
        double weight =
            m->sources[i].weight * (1 - progress) + m->sources[i].final_weight * progress;
        if (weight <= 0)
            continue;
        last = i;
        if (left < weight)
            return i;
        left -= weight;
    }
    return last;
}

/* One row: tokens [begin, begin + T), targets one further. Targets that
 * open another document have weight 0, so has what lies beyond the shard's end. */
static enum status cut_row(const struct shard *shard, int64_t window, int64_t begin, int64_t end,
                           int64_t row, const struct mixture_rows *rows, struct error *error)
{
    int32_t *tokens = rows->tokens + row * window, *targets = rows->targets + row * window;
    int64_t left = end - 1 - begin, count = left < window ? left : window;
    memset(tokens, 0, (size_t)window * sizeof *tokens);
    memset(targets, 0, (size_t)window * sizeof *targets);
    enum status status = shard_ids(shard, begin, count, tokens, error);
    if (status == STATUS_OK)
        status = shard_ids(shard, begin + 1, count, targets, error);
    int64_t start = shard_document_start(shard, begin), first = 0;
    for (int64_t t = 0; t < window; t++) {
        if (t > 0 && t < count) {
            int64_t here = start;
            if (shard->documents > 0)
                here = shard_document_start(shard, begin + t);
            if (here != start) {
                start = here;
                first = t;
                rows->weights[row * window + t - 1] = 0;
            }
        }
        rows->segment_start[row * window + t] = (int32_t)first;
        rows->positions[row * window + t] = (int32_t)(t - first);
        rows->weights[row * window + t] = t < count ? 1.0f : 0.0f;
    }
    if (count > 0 && shard_document_start(shard, begin + count) == begin + count)
        rows->weights[row * window + count - 1] = 0;
    shard_weigh(shard, begin + 1, count, rows->weights + row * window);
    return status;
}

static enum status read_window(const struct shard *shard, int64_t window, int64_t index,
                               int64_t row, const struct mixture_rows *rows, struct error *error)
{
    if (is_packed(shard, window))
        return cut_row(shard, window, shard->rows[2 * index], shard->rows[2 * index + 1], row, rows,
                       error);
    return cut_row(shard, window, index * window, shard->tokens, row, rows, error);
}

static int64_t all_windows(const struct shard *shard, const struct mixture_reading *reading)
{
    return reading->second_half ? shard->tokens / reading->window
                                : window_count(shard, reading->window);
}

int64_t mixture_reading_count(const struct shard *shard, const struct mixture_reading *reading)
{
    int64_t windows = all_windows(shard, reading), wanted = reading->most_tokens / reading->window;
    if (reading->most_tokens == 0 || wanted >= windows)
        return windows;
    return wanted > 0 ? wanted : 1;
}

enum status mixture_read(const struct shard *shard, const struct mixture_reading *reading,
                         int64_t index, int64_t row, const struct mixture_rows *rows,
                         struct error *error)
{
    const int64_t window = reading->window, windows = all_windows(shard, reading);
    const int64_t count = mixture_reading_count(shard, reading);
    if (count > 0 && count < windows)
        index = index * windows / count;
    enum status status = read_window(shard, window, index, row, rows, error);
    if (status != STATUS_OK || !reading->second_half)
        return status;
    memset(rows->weights + row * window, 0, (size_t)(window / 2) * sizeof *rows->weights);
    rows->weights[(row + 1) * window - 1] = 0;
    if (reading->begin >= 0)
        rows->tokens[row * window] = reading->begin;
    return status;
}

enum status mixture_next(struct mixture *m, int64_t count, const struct mixture_rows *rows,
                         struct error *error)
{
    for (int64_t i = 0; i < count; i++) {
        int chosen = choose_source(m, m->rows++);
        struct mixture_source *source = &m->sources[chosen];
        int64_t windows = mixture_windows(m, chosen);
        if (windows < 1)
            return error_set(error, STATUS_FAILED, "data source %d has no tokens to learn from",
                             chosen + 1);
        int64_t drawn = source->drawn++;
        struct random_address order = {m->seed, RANDOM_SHUFFLE, (uint32_t)(drawn / windows),
                                       (uint32_t)chosen};
        int64_t index =
            (int64_t)random_shuffle(order, (uint64_t)(drawn % windows), (uint64_t)windows);
        int64_t begin = index * m->window, latest = source->shard.tokens - 1 - m->window;
        begin = begin < latest ? begin : latest;
        enum status status = is_packed(&source->shard, m->window)
                                 ? read_window(&source->shard, m->window, index, i, rows, error)
                                 : cut_row(&source->shard, m->window, begin > 0 ? begin : 0,
                                           source->shard.tokens, i, rows, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

void mixture_seek(struct mixture *m, int64_t rows)
{
    for (int i = 0; i < m->count; i++)
        m->sources[i].drawn = 0;
    for (m->rows = 0; m->rows < rows; m->rows++)
        m->sources[choose_source(m, m->rows)].drawn++;
}
