/* See corpus.h. */
#include "data/corpus.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/json_field.h"
#include "base/random.h"
#include "data/stream.h"

#define BATCH_BYTES ((size_t)2 << 20)
#define BATCH_RECORDS 65536
#define LINE_LIMIT ((size_t)64 << 20)
#define TEXT_PIECE ((size_t)4 << 20) /* longer text files are cut, at the end of a paragraph */

struct record {
    size_t offset, length; /* in the batch's bytes */
    int64_t file, line;    /* line 0: a text file */
    enum corpus_problem problem;
    const char *text; /* of a parsed JSON record, in the batch's texts */
};

struct corpus {
    struct corpus_options options;
    struct file_list files;
    uint64_t *file_bytes, total_bytes, done_bytes;
    int64_t file, line, index;
    struct stream *stream;
    bool json;
    struct buffer bytes, carry;
    char *texts; /* room for the texts of the batch's JSON records, record i at its offset + i */
    size_t texts_capacity;
    struct record *records;
    struct document *documents;
    int64_t record_count;
    struct corpus_counts counts;
    const char *parse_field;
};

static const char *const problem_names[] = {
    "bad JSON", "without the text field", "too long", "binary", "empty", "unreadable"};

void corpus_close(struct corpus *corpus)
{
    if (!corpus)
        return;
    stream_close(corpus->stream);
    file_list_free(&corpus->files);
    free(corpus->texts);
    free(corpus->file_bytes);
    free(corpus->records);
    free(corpus->documents);
    buffer_free(&corpus->bytes);
    buffer_free(&corpus->carry);
    free(corpus);
}

static enum status add_path(struct corpus *corpus, const char *path, struct error *error)
{
    struct file_list list = {0};
    bool folder = file_is_folder(path);
    if (folder) {
        enum status status = file_list_folder(path, &list, error);
        if (status == STATUS_OK && list.count == 0)
            status = error_set(error, STATUS_FAILED, "%s: the folder holds no files", path);
        if (status != STATUS_OK)
            return status;
    }
    size_t count = folder ? list.count : 1;
    char **grown =
        realloc(corpus->files.paths, (corpus->files.count + count) * sizeof *corpus->files.paths);
    if (!grown) {
        file_list_free(&list);
        return error_no_memory(error, count * sizeof *grown);
    }
    corpus->files.paths = grown;
    for (size_t i = 0; i < count; i++) {
        char *name = list.paths ? list.paths[i] : strdup(path);
        if (!name)
            return error_no_memory(error, strlen(path));
        corpus->files.paths[corpus->files.count++] = name;
    }
    free(list.paths);
    return STATUS_OK;
}

static enum status measure_files(struct corpus *corpus, struct error *error)
{
    corpus->file_bytes = calloc(corpus->files.count + 1, sizeof *corpus->file_bytes);
    if (!corpus->file_bytes)
        return error_no_memory(error, corpus->files.count * sizeof *corpus->file_bytes);
    for (size_t i = 0; i < corpus->files.count; i++) {
        enum status status = file_size(corpus->files.paths[i], &corpus->file_bytes[i], error);
        if (status != STATUS_OK)
            return status;
        corpus->total_bytes += corpus->file_bytes[i];
    }
    return STATUS_OK;
}

enum status corpus_open(const char *const *paths, int64_t count,
                        const struct corpus_options *options, struct corpus **result,
                        struct error *error)
{
    *result = NULL;
    if (count == 0)
        return error_set(error, STATUS_USAGE, "no data was given");
    struct corpus *corpus = calloc(1, sizeof *corpus);
    if (!corpus)
        return error_no_memory(error, sizeof *corpus);
    corpus->options = *options;
    corpus->parse_field = options->field ? options->field : "text";
    corpus->records = malloc(BATCH_RECORDS * sizeof *corpus->records);
    corpus->documents = malloc(BATCH_RECORDS * sizeof *corpus->documents);
    enum status status = STATUS_OK;
    if (!corpus->records || !corpus->documents)
        status = error_no_memory(error, BATCH_RECORDS * sizeof *corpus->records);
    for (int64_t i = 0; i < count && status == STATUS_OK; i++)
        status = add_path(corpus, paths[i], error);
    if (status == STATUS_OK)
        status = measure_files(corpus, error);
    if (status != STATUS_OK) {
        corpus_close(corpus);
        return status;
    }
    *result = corpus;
    return STATUS_OK;
}

/* Reading records. */

static bool has_end(const char *path, size_t length, const char *end)
{
    size_t width = strlen(end);
    return length >= width && strncmp(path + length - width, end, width) == 0;
}

static bool is_json(const char *path)
{
    size_t length = strlen(path);
    if (has_end(path, length, ".gz"))
        length -= 3;
    else if (has_end(path, length, ".zst"))
        length -= 4;
    return has_end(path, length, ".jsonl") || has_end(path, length, ".ndjson") ||
           has_end(path, length, ".json");
}

static void add_record(struct corpus *corpus, size_t offset, size_t length, int problem)
{
    struct record *record = &corpus->records[corpus->record_count++];
    *record =
        (struct record){.offset = offset,
                        .length = length,
                        .file = corpus->file,
                        .line = corpus->json ? corpus->line : 0,
                        .problem = problem < 0 ? CORPUS_PROBLEMS : (enum corpus_problem)problem};
}

static void end_file(struct corpus *corpus)
{
    stream_close(corpus->stream);
    corpus->stream = NULL;
    corpus->done_bytes += corpus->file_bytes[corpus->file];
    corpus->file++;
    corpus->counts.files++;
}

/* A file that cannot be read on is counted once; what came before it counts as usual. */
static enum status give_up_file(struct corpus *corpus, enum status status, struct error *error)
{
    if (status == STATUS_NO_MEMORY || corpus->options.strict)
        return status;
    if (!corpus->counts.first_bad[0] && error)
        snprintf(corpus->counts.first_bad, sizeof corpus->counts.first_bad, "%.255s",
                 error->message);
    add_record(corpus, 0, 0, CORPUS_UNREADABLE);
    end_file(corpus);
    return STATUS_OK;
}

static enum status read_json_line(struct corpus *corpus, struct error *error)
{
    size_t offset = corpus->bytes.length, length;
    bool ended;
    enum status status =
        stream_line(corpus->stream, LINE_LIMIT, &corpus->bytes, &length, &ended, error);
    if (status != STATUS_OK)
        return give_up_file(corpus, status, error);
    if (ended) {
        end_file(corpus);
        return STATUS_OK;
    }
    corpus->line++;
    if (corpus->line == 1 && length >= 3 && length != SIZE_MAX &&
        memcmp(corpus->bytes.data + offset, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        offset += 3;
        length -= 3;
    }
    if (length == SIZE_MAX)
        add_record(corpus, offset, 0, CORPUS_TOO_LONG);
    else if (length > 0)
        add_record(corpus, offset, length, -1);
    return STATUS_OK;
}

/* Where to cut a piece of a long text: behind its last blank line, line, or at its end. */
static size_t cut_point(const char *text, size_t length)
{
    for (size_t i = length; i > length / 2; i--)
        if (text[i - 1] == '\n' && text[i - 2] == '\n')
            return i;
    for (size_t i = length; i > length / 2; i--)
        if (text[i - 1] == '\n')
            return i;
    return length;
}

static enum status read_text(struct corpus *corpus, struct error *error)
{
    size_t offset = corpus->bytes.length;
    bool ended;
    if (corpus->carry.length > 0)
        buffer_add(&corpus->bytes, corpus->carry.data, corpus->carry.length);
    size_t want = TEXT_PIECE - corpus->carry.length;
    buffer_clear(&corpus->carry);
    enum status status = stream_read(corpus->stream, want, &corpus->bytes, &ended, error);
    if (status != STATUS_OK)
        return give_up_file(corpus, status, error);
    size_t length = corpus->bytes.length - offset;
    const char *text = corpus->bytes.data ? corpus->bytes.data + offset : "";
    if (length > 0 && memchr(text, 0, length)) {
        add_record(corpus, offset, 0, CORPUS_BINARY);
        end_file(corpus);
        return STATUS_OK;
    }
    if (!ended) {
        size_t cut = cut_point(text, length);
        buffer_add(&corpus->carry, text + cut, length - cut);
        corpus->bytes.length -= length - cut;
        length = cut;
    }
    buffer_add(&corpus->bytes, "", 1); /* the text's terminating 0 */
    add_record(corpus, offset, length, length == 0 ? CORPUS_EMPTY : -1);
    if (ended)
        end_file(corpus);
    return STATUS_OK;
}

static enum status read_batch(struct corpus *corpus, struct error *error)
{
    enum status status = STATUS_OK;
    buffer_clear(&corpus->bytes);
    while (status == STATUS_OK && corpus->bytes.length < BATCH_BYTES &&
           corpus->record_count < BATCH_RECORDS && (size_t)corpus->file < corpus->files.count) {
        if (!corpus->stream) {
            const char *path = corpus->files.paths[corpus->file];
            corpus->json = is_json(path);
            corpus->line = 0;
            buffer_clear(&corpus->carry);
            status = stream_open(path, &corpus->stream, error);
            if (status != STATUS_OK) {
                status = give_up_file(corpus, status, error);
                continue;
            }
        }
        status = corpus->json ? read_json_line(corpus, error) : read_text(corpus, error);
    }
    return status;
}

/* Parsing. */

static void parse_records(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct corpus *corpus = context;
    for (int64_t i = begin; i < end; i++) {
        struct record *record = &corpus->records[i];
        if (record->line == 0 || record->problem != CORPUS_PROBLEMS)
            continue;
        char *text = corpus->texts + record->offset + i;
        size_t length = 0;
        const char *line = corpus->bytes.data + record->offset;
        bool whole = !*corpus->parse_field;
        enum json_field found =
            json_field_text(line, record->length, corpus->parse_field, text, &length);
        if (whole && found == JSON_FIELD_MISSING) {
            found = JSON_FIELD_FOUND;
            length = record->length;
            memcpy(text, line, length);
            text[length] = 0;
        }
        record->text = text;
        record->length = length;
        if (found != JSON_FIELD_FOUND)
            record->problem = found == JSON_FIELD_BROKEN ? CORPUS_BAD_JSON : CORPUS_NO_FIELD;
        else if (length == 0)
            record->problem = CORPUS_EMPTY;
    }
}

static enum status make_room(struct corpus *corpus, struct error *error)
{
    size_t wanted = corpus->bytes.length + BATCH_RECORDS;
    if (wanted <= corpus->texts_capacity)
        return STATUS_OK;
    free(corpus->texts);
    corpus->texts_capacity = 0;
    corpus->texts = malloc(wanted + wanted / 4);
    if (!corpus->texts)
        return error_no_memory(error, wanted);
    corpus->texts_capacity = wanted + wanted / 4;
    return STATUS_OK;
}

static enum status note_problem(struct corpus *corpus, const struct record *record,
                                struct error *error)
{
    char where[256];
    const char *path = corpus->files.paths[record->file];
    if (record->line > 0)
        snprintf(where, sizeof where, "%.180s:%lld: %s", path, (long long)record->line,
                 problem_names[record->problem]);
    else
        snprintf(where, sizeof where, "%.180s: %s", path, problem_names[record->problem]);
    corpus->counts.bad[record->problem]++;
    if (!corpus->counts.first_bad[0])
        memcpy(corpus->counts.first_bad, where, sizeof where);
    if (corpus->options.strict)
        return error_set(error, STATUS_FAILED, "%s", where);
    return STATUS_OK;
}

static enum status collect(struct corpus *corpus, int64_t *count, struct error *error)
{
    *count = 0;
    for (int64_t i = 0; i < corpus->record_count; i++) {
        const struct record *record = &corpus->records[i];
        int64_t index = corpus->index++;
        if (record->problem != CORPUS_PROBLEMS) {
            enum status status = note_problem(corpus, record, error);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        const char *text = record->text ? record->text : corpus->bytes.data + record->offset;
        corpus->documents[(*count)++] =
            (struct document){.text = text,
                              .length = record->length,
                              .index = index,
                              .record = record->text && !*corpus->parse_field};
        corpus->counts.documents++;
        corpus->counts.bytes += (int64_t)record->length;
    }
    return STATUS_OK;
}

enum status corpus_next(struct corpus *corpus, struct thread_pool *pool,
                        const struct document **documents, int64_t *count, struct error *error)
{
    *documents = corpus->documents;
    *count = 0;
    while (*count == 0) {
        corpus->record_count = 0;
        if (corpus->options.stop && *corpus->options.stop)
            return error_set(error, STATUS_INTERRUPTED, "stopped while reading text");
        if ((size_t)corpus->file >= corpus->files.count)
            return STATUS_OK;
        enum status status = read_batch(corpus, error);
        if (status != STATUS_OK)
            return status;
        status = make_room(corpus, error);
        if (status != STATUS_OK)
            return status;
        thread_pool_for(pool, corpus->record_count, 64, parse_records, corpus);
        status = collect(corpus, count, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

const struct corpus_counts *corpus_counts(const struct corpus *corpus)
{
    return &corpus->counts;
}

double corpus_progress(const struct corpus *corpus)
{
    return corpus->total_bytes ? (double)corpus->done_bytes / (double)corpus->total_bytes : 1.0;
}

void corpus_describe_bad(const struct corpus_counts *counts, struct buffer *out)
{
    int64_t total = 0;
    for (int i = 0; i < CORPUS_PROBLEMS; i++)
        total += counts->bad[i];
    if (total == 0)
        return;
    buffer_printf(out, "%lld bad record%s (", (long long)total, total == 1 ? "" : "s");
    const char *gap = "";
    for (int i = 0; i < CORPUS_PROBLEMS; i++) {
        if (counts->bad[i] == 0)
            continue;
        buffer_printf(out, "%s%lld %s", gap, (long long)counts->bad[i], problem_names[i]);
        gap = ", ";
    }
    buffer_printf(out, "); first: %s", counts->first_bad);
}

uint64_t document_hash(const char *text, size_t length)
{
    return XXH3_64bits(text, length);
}

bool document_held_out(uint64_t hash, double share, uint64_t seed)
{
    struct random_address address = {seed, RANDOM_SPLIT, (uint32_t)(hash >> 32), (uint32_t)hash};
    return random_uniform(address, 0) < share;
}
