/* See select.h. */
#include "methods/select/select.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "methods/select/dsir.h"
#include "methods/select/random.h"

const struct select_method *const select_methods[] = {&select_dsir, &select_random, NULL};

const struct select_method *select_method_by_name(const char *name)
{
    for (int i = 0; select_methods[i]; i++)
        if (strcmp(select_methods[i]->name, name) == 0)
            return select_methods[i];
    return NULL;
}

void select_result_free(struct select_result *result)
{
    topk_free(&result->chosen);
    json_decref(result->metrics);
    *result = (struct select_result){0};
}

enum status select_budget(const struct select_job *job, int64_t eligible, int64_t documents,
                          int64_t *wanted, struct error *error)
{
    *wanted = job->count > 0 ? job->count : (int64_t)(job->share * (double)documents);
    if (*wanted < 1)
        *wanted = 1;
    if (*wanted <= eligible)
        return STATUS_OK;
    return error_set(error, STATUS_FAILED,
                     "%lld documents are wanted, but only %lld of the pool's %lld are eligible",
                     (long long)*wanted, (long long)eligible, (long long)documents);
}

static int by_index(const void *a, const void *b)
{
    const struct topk_item *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static enum status write_document(FILE *out, const struct document *document, double score,
                                  struct error *error)
{
    json_t *line = json_pack("{s:o,s:I,s:f}", "text", json_text(document->text, document->length),
                             "index", (json_int_t)document->index, "score", score);
    int failed = !line || json_dumpf(line, out, JSON_COMPACT) != 0;
    fputc('\n', out);
    json_decref(line);
    return failed && !ferror(out) ? error_no_memory(error, document->length) : STATUS_OK;
}

static enum status write_chosen(const struct select_job *job, const struct select_result *result,
                                const char *output, struct error *error)
{
    struct topk_item *items = malloc((size_t)(result->chosen.count + 1) * sizeof *items);
    if (!items)
        return error_no_memory(error, (size_t)result->chosen.count * sizeof *items);
    memcpy(items, result->chosen.items, (size_t)result->chosen.count * sizeof *items);
    qsort(items, (size_t)result->chosen.count, sizeof *items, by_index);
    struct file_writer writer;
    struct chunks chunks = {0};
    enum status status = file_writer_open(&writer, output, error);
    if (status != STATUS_OK) {
        free(items);
        return status;
    }
    status = chunks_open(job->pool_paths, job->pool_count, &job->chunks, &chunks, error);
    int64_t next = 0;
    while (status == STATUS_OK && next < result->chosen.count) {
        const struct document *documents;
        int64_t count;
        status = chunks_next(&chunks, job->threads, &documents, &count, error);
        if (status == STATUS_OK && count == 0)
            status = error_set(error, STATUS_FAILED, "the pool has changed while it was read");
        for (int64_t i = 0; i < count && status == STATUS_OK && next < result->chosen.count; i++)
            if (documents[i].index == items[next].index)
                status = write_document(writer.stream, &documents[i], items[next++].key, error);
        if (job->progress)
            job->progress(job->context, "writing", corpus_progress(chunks.corpus));
    }
    chunks_close(&chunks);
    free(items);
    if (status == STATUS_OK)
        return file_writer_commit(&writer, error);
    file_writer_abort(&writer);
    return status;
}

enum status select_run(const struct select_method *method, const struct select_job *job,
                       const void *options, const char *output, struct select_result *result,
                       struct error *error)
{
    *result = (struct select_result){0};
    enum status status = method->run(job, options, result, error);
    if (status == STATUS_OK && output)
        status = write_chosen(job, result, output, error);
    if (status != STATUS_OK)
        select_result_free(result);
    return status;
}
