/* See support.h. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/options.h"
#include "data/corpus.h"

#define READ_THREADS_MOST 64

double bench_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double bench_peak_mebibytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kibibytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kibibytes = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return kibibytes / 1024;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

int64_t bench_number(const char *text, const char *name, int64_t least)
{
    int64_t value;
    if (option_parse_int(text, &value) && value >= least)
        return value;
    fprintf(stderr, "%s: expected a whole number of at least %lld, got \"%s\"\n", name,
            (long long)least, text);
    exit(2);
}

void bench_require(enum status status, const struct error *error)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s\n", error->message);
    exit(1);
}

#define READ_PIECE ((int64_t)1 << 18)

/* What one thread has seen, on a line of its own. */
struct read_job {
    const struct bench_span *spans; /* each of no more than READ_PIECE bytes */
    _Alignas(64) uint64_t seen[READ_THREADS_MOST][8];
};

/* Two streams at once, as a processor asks ahead for each: no other order that was tried (one to
 * eight streams, asking ahead by hand over 1 to 32 KB) was faster. */
static void read_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    typedef uint64_t lanes __attribute__((vector_size(64), aligned(1), may_alias));
    struct read_job *job = context;
    lanes sums[4] = {0};
    for (int64_t piece = begin; piece < end; piece++) {
        const unsigned char *first = job->spans[piece].memory;
        int64_t half = job->spans[piece].bytes / 512 * 256;
        for (int64_t at = 0; at < half; at += 256)
            for (int i = 0; i < 4; i++) {
                sums[i] += *(const lanes *)(first + at + 64 * i);
                sums[i] += *(const lanes *)(first + half + at + 64 * i);
            }
    }
    sums[0] += sums[1] + sums[2] + sums[3];
    memcpy(job->seen[thread % READ_THREADS_MOST], &sums[0], 64); /* so that nothing is left out */
}

double bench_read_rate(struct thread_pool *pool, const struct bench_span *spans, int count)
{
    static struct read_job job;
    int64_t pieces = 0, bytes = 0;
    for (int i = 0; i < count; i++)
        pieces += (spans[i].bytes + READ_PIECE - 1) / READ_PIECE;
    struct bench_span *cut = malloc((size_t)pieces * sizeof *cut);
    if (!cut) {
        struct error error;
        bench_require(error_no_memory(&error, (size_t)pieces * sizeof *cut), &error);
        return 0;
    }
    pieces = 0;
    for (int i = 0; i < count; i++)
        for (int64_t at = 0; at < spans[i].bytes; at += READ_PIECE) {
            int64_t left = spans[i].bytes - at;
            cut[pieces].memory = (const char *)spans[i].memory + at;
            cut[pieces].bytes = left < READ_PIECE ? left : READ_PIECE;
            bytes += cut[pieces++].bytes;
        }
    job.spans = cut;
    double begin = bench_seconds();
    thread_pool_for(pool, pieces, 1, read_pieces, &job);
    double rate = (double)bytes / (bench_seconds() - begin);
    free(cut);
    return rate;
}

void bench_corpus_read(const char *path, struct bench_corpus *corpus)
{
    *corpus = (struct bench_corpus){0};
    struct error error;
    struct corpus *reader;
    bench_require(corpus_open(&path, 1, &(struct corpus_options){.strict = true}, &reader, &error),
                  &error);
    for (;;) {
        const struct document *documents;
        int64_t count;
        bench_require(corpus_next(reader, NULL, &documents, &count, &error), &error);
        if (count == 0)
            break;
        size_t bytes = (size_t)(corpus->count + count + 1) * sizeof *corpus->offsets;
        int64_t *offsets = realloc(corpus->offsets, bytes);
        if (!offsets)
            bench_require(error_no_memory(&error, bytes), &error);
        corpus->offsets = offsets;
        for (int64_t i = 0; i < count; i++) {
            offsets[corpus->count++] = (int64_t)corpus->text.length;
            buffer_add(&corpus->text, documents[i].text, documents[i].length);
        }
        offsets[corpus->count] = (int64_t)corpus->text.length;
    }
    bench_require(buffer_check(&corpus->text, &error), &error);
    corpus_close(reader);
}

void bench_corpus_free(struct bench_corpus *corpus)
{
    buffer_free(&corpus->text);
    free(corpus->offsets);
}
