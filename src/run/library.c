/* The public interface of include/adze.h, over the rooms behind it. */
#include <stdlib.h>
#include <string.h>

#include "adze.h"
#include "file/model.h"
#include "run/engine.h"
#include "tensor/tape.h"

struct adze_model {
    struct model model;
    struct compute compute;
    struct tape tape;
    struct tok_scratch scratch;
};

static int give(enum status status, const struct error *from, struct adze_error *to)
{
    if (status != STATUS_OK && to)
        snprintf(to->message, sizeof to->message, "%s", from->message);
    return (int)status;
}

const char *adze_version(void)
{
    return "0.1.0";
}

void adze_close(struct adze_model *m)
{
    if (!m)
        return;
    tape_free(&m->tape);
    model_free(&m->model);
    tok_scratch_free(&m->scratch);
    compute_free(&m->compute);
    free(m);
}

int adze_open(const char *path, int threads, struct adze_model **result, struct adze_error *out)
{
    struct error error = {0};
    *result = NULL;
    struct adze_model *m = calloc(1, sizeof *m);
    if (!m)
        return give(error_no_memory(&error, sizeof *m), &error, out);
    enum status status = compute_create(threads, MATMUL_F32, &m->compute, &error);
    tape_init(&m->tape, &m->compute);
    if (status == STATUS_OK)
        status = model_load(path, false, &m->model, &error);
    if (status == STATUS_OK && !m->model.has_tokenizer)
        status = error_set(&error, STATUS_FAILED, "%s: the model comes without a tokenizer", path);
    if (status == STATUS_OK)
        *result = m;
    else
        adze_close(m);
    return give(status, &error, out);
}

int64_t adze_vocabulary(const struct adze_model *m)
{
    return m->model.decoder.config.vocabulary;
}

int64_t adze_context(const struct adze_model *m)
{
    return m->model.decoder.config.context;
}

int adze_tokenize(struct adze_model *m, const char *text, size_t length, int32_t **ids,
                  int64_t *count, struct adze_error *out)
{
    struct error error = {0};
    struct tok_ids list = {0};
    enum status status =
        tok_encode(&m->model.tokenizer, &m->scratch, text, length, true, &list, &error);
    if (status != STATUS_OK)
        tok_ids_free(&list);
    *ids = list.items;
    *count = list.count;
    return give(status, &error, out);
}

int adze_detokenize(struct adze_model *m, const int32_t *ids, int64_t count, char **text,
                    size_t *length, struct adze_error *out)
{
    struct error error = {0};
    struct buffer buffer = {0};
    buffer_add(&buffer, "", 0);
    tok_decode(&m->model.tokenizer, ids, count, true, &buffer);
    buffer_reserve(&buffer, 1);
    enum status status = buffer_check(&buffer, &error);
    if (status == STATUS_OK)
        buffer.data[buffer.length] = 0;
    else
        buffer_free(&buffer);
    *text = buffer.data;
    *length = buffer.length;
    return give(status, &error, out);
}

struct telling {
    int (*on_text)(void *context, const char *text, size_t length);
    void *context;
    bool stopped;
};

static bool tell(struct telling *t, const char *text, size_t length)
{
    if (length > 0 && t->on_text && !t->stopped)
        t->stopped = !t->on_text(t->context, text, length);
    return !t->stopped;
}

static bool tell_token(void *context, const struct engine_token *token)
{
    return tell(context, token->text, token->length);
}

static void tell_end(void *context, const struct engine_result *result)
{
    tell(context, result->text, result->length);
}

int adze_generate(struct adze_model *m, const char *prompt, int64_t tokens,
                  const struct adze_sampling *sampling,
                  int (*on_text)(void *context, const char *text, size_t length), void *context,
                  struct adze_error *out)
{
    struct error error = {0};
    struct telling telling = {on_text, context, false};
    struct engine_request request = {.most_tokens = tokens,
                                     .continues = true,
                                     .on_token = tell_token,
                                     .on_end = tell_end,
                                     .context = &telling};
    if (sampling)
        request.sampling = (struct sampling_options){
            .temperature = sampling->temperature,
            .top_k = sampling->top_k,
            .top_p = sampling->top_p,
            .min_p = sampling->min_p,
            .repetition_penalty = sampling->repetition_penalty,
            .repetition_window = 64,
            .seed = sampling->seed,
        };
    struct tok_ids ids = {0};
    struct engine_result result;
    enum status status = tok_encode_model(&m->model.tokenizer, &m->scratch, prompt, strlen(prompt),
                                          true, true, &ids, &error);
    request.prompt = ids.items;
    request.prompt_count = ids.count;
    if (status == STATUS_OK)
        status = engine_complete(&m->model, &m->compute, &request, &result, &error);
    if (status == STATUS_OK && telling.stopped)
        status = error_set(&error, STATUS_INTERRUPTED, "stopped by the caller");
    tok_ids_free(&ids);
    return give(status, &error, out);
}

int adze_score(struct adze_model *m, const int32_t *ids, int64_t count, double *out,
               struct adze_error *problem)
{
    struct error error = {0};
    if (count < 2 || count > adze_context(m))
        return give(error_set(&error, STATUS_USAGE, "%lld tokens; between 2 and %lld can be scored",
                              (long long)count, (long long)adze_context(m)),
                    &error, problem);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= adze_vocabulary(m))
            return give(error_set(&error, STATUS_USAGE, "token %lld is outside the vocabulary",
                                  (long long)ids[i]),
                        &error, problem);
    float *losses = malloc((size_t)count * sizeof *losses);
    if (!losses)
        return give(error_no_memory(&error, (size_t)count * sizeof *losses), &error, problem);
    struct decoder_batch batch = {.batch = 1, .length = count - 1, .tokens = ids};
    struct loss_target target = {.ids = ids + 1, .scale = 1, .losses = losses};
    decoder_loss(&m->model.decoder, &m->tape, &batch, &target);
    enum status status = tape_check(&m->tape, &error);
    for (int64_t i = 0; i + 1 < count && status == STATUS_OK; i++)
        out[i] = -(double)losses[i];
    tape_reset(&m->tape);
    free(losses);
    return give(status, &error, problem);
}
