/* See evaluate.h. */
#include "run/evaluate.h"

#include <math.h>
#include <stdlib.h>

#define ROW_TOKENS 1024 /* tokens evaluated together: no more than in a training step */

void evaluation_finish(struct evaluation *e)
{
    e->loss = e->tokens > 0 ? e->nats / (double)e->tokens : 0;
    e->perplexity = exp(e->loss);
    e->bits_per_byte = e->bytes > 0 ? e->nats / log(2) / (double)e->bytes : 0;
}

struct rows {
    struct mixture_rows mixture;
    float *losses;
    void *memory;
};

static enum status rows_create(int64_t count, struct rows *rows, struct error *error)
{
    int32_t *memory = malloc((size_t)count * 6 * sizeof *memory);
    *rows = (struct rows){.memory = memory};
    if (!memory)
        return error_no_memory(error, (size_t)count * 6 * sizeof *memory);
    rows->mixture = (struct mixture_rows){memory, memory + count, memory + 2 * count,
                                          memory + 3 * count, (float *)(memory + 4 * count)};
    rows->losses = (float *)(memory + 5 * count);
    return STATUS_OK;
}

static void add_row_losses(const struct rows *rows, const struct tokenizer *tokenizer,
                           int64_t count, struct evaluation *result)
{
    for (int64_t i = 0; i < count; i++) {
        if (rows->mixture.weights[i] == 0)
            continue;
        int32_t id = rows->mixture.targets[i];
        result->nats += (double)rows->losses[i];
        result->tokens++;
        if (tokenizer && id < tokenizer->count && !tokenizer->pieces[id].special)
            result->bytes += tokenizer->pieces[id].length;
    }
}

enum status evaluate_shard(struct decoder *decoder, const struct tokenizer *tokenizer,
                           struct tape *tape, const struct shard *shard,
                           const struct mixture_reading *reading, const volatile sig_atomic_t *stop,
                           struct evaluation *result, struct error *error)
{
    *result = (struct evaluation){0};
    const int64_t window = reading->window, wanted = mixture_reading_count(shard, reading);
    int64_t batch = ROW_TOKENS / window > 0 ? ROW_TOKENS / window : 1;
    struct rows rows;
    enum status status = rows_create(batch * window, &rows, error);
    bool recording = tape->recording, training = tape->training;
    tape->recording = tape->training = false;
    for (int64_t done = 0; done < wanted && status == STATUS_OK; done += batch) {
        int64_t count = wanted - done < batch ? wanted - done : batch;
        for (int64_t i = 0; i < count && status == STATUS_OK; i++)
            status = mixture_read(shard, reading, done + i, i, &rows.mixture, error);
        struct decoder_batch input = {count, window, rows.mixture.tokens, rows.mixture.positions,
                                      rows.mixture.segment_start};
        struct loss_target target = {.ids = rows.mixture.targets,
                                     .weights = rows.mixture.weights,
                                     .scale = 1,
                                     .losses = rows.losses};
        tape_reset(tape);
        if (status == STATUS_OK && stop && *stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped while evaluating");
        if (status == STATUS_OK)
            decoder_loss(decoder, tape, &input, &target);
        if (status == STATUS_OK)
            status = tape_check(tape, error);
        if (status == STATUS_OK)
            add_row_losses(&rows, tokenizer, count * window, result);
    }
    tape_reset(tape);
    tape->recording = recording;
    tape->training = training;
    free(rows.memory);
    evaluation_finish(result);
    return status;
}
