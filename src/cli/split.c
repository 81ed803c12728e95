/* adze split: a corpus into a training and a held-out part. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "data/chunks.h"

struct split_options {
    struct option_list data;
    const char *output, *field;
    double held_out;
    int64_t chunk, limit;
    bool keep_duplicates, strict;
};

static const struct option table[] = {
    {"data", 'd', OPTION_LIST, offsetof(struct split_options, data), NULL, 0, 0, NULL, "PATH",
     "text: files or folders"},
    {"output", 'o', OPTION_PATH, offsetof(struct split_options, output), NULL, 0, 0, NULL, "FOLDER",
     "gets train.jsonl and held-out.jsonl"},
    {"held-out", 0, OPTION_REAL, offsetof(struct split_options, held_out), "0.2", 0, 1, NULL,
     "SHARE", "part of the documents that is held out"},
    {"chunk", 0, OPTION_INT, offsetof(struct split_options, chunk), "0", 0, 1e9, NULL, "WORDS",
     "cut documents into pieces of that many words; a document stays on one side"},
    {"limit", 0, OPTION_INT, offsetof(struct split_options, limit), "0", 0, 1e12, NULL, "DOCUMENTS",
     "stop after that many pieces; 0: take all"},
    {"keep-duplicates", 0, OPTION_FLAG, offsetof(struct split_options, keep_duplicates), NULL, 0, 0,
     NULL, NULL, "do not drop exact duplicates"},
    {"field", 0, OPTION_TEXT, offsetof(struct split_options, field), "text", 0, 0, NULL, "NAME",
     "field of JSON records that holds the text"},
    {"strict", 0, OPTION_FLAG, offsetof(struct split_options, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad record"},
    {.name = NULL},
};

struct split {
    struct file_writer writers[2];
    int64_t documents[2], bytes[2];
    int64_t tail; /* pieces from this one on are held out; below 0: by documents */
};

static enum status write_text(struct split *s, int side, const char *text, size_t length,
                              struct error *error)
{
    json_t *line = json_pack("{s:o}", "text", json_text(text, length));
    int failed = !line || json_dumpf(line, s->writers[side].stream, JSON_COMPACT) != 0;
    fputc('\n', s->writers[side].stream);
    json_decref(line);
    s->documents[side]++;
    s->bytes[side] += (int64_t)length;
    return failed && !ferror(s->writers[side].stream) ? error_no_memory(error, length) : STATUS_OK;
}

/* Side by the whole document, so that pieces of one document never stand on both. */
static enum status write_all(struct cli *cli, const struct split_options *o, struct split *s,
                             struct thread_pool *threads, struct error *error)
{
    struct chunk_options options = {
        {o->field, o->strict, &cli_stop}, o->chunk, !o->keep_duplicates};
    struct chunks chunks = {0};
    enum status status = chunks_open(o->data.items, o->data.count, &options, &chunks, error);
    int64_t count = 1, total = 0;
    while (status == STATUS_OK && count > 0 && (o->limit == 0 || total < o->limit)) {
        const struct document *pieces;
        status = chunks_next(&chunks, threads, &pieces, &count, error);
        for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
            if (o->limit > 0 && total++ >= o->limit)
                break;
            int side = s->tail >= 0 ? s->documents[0] >= s->tail
                                    : document_held_out(pieces[i].origin, o->held_out,
                                                        (uint64_t)cli->common->seed);
            status = write_text(s, side, pieces[i].text, pieces[i].length, error);
        }
        cli_stage_progress(cli, "reading", corpus_progress(chunks.corpus));
    }
    if (chunks.corpus && s->tail < 0)
        stage_report_bad(cli, corpus_counts(chunks.corpus));
    chunks_close(&chunks);
    return status;
}

static enum status write_files(struct cli *cli, const struct split_options *o, struct split *s,
                               char *const paths[2], struct thread_pool *threads,
                               struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < 2; i++) {
        s->documents[i] = s->bytes[i] = 0;
        if (status == STATUS_OK)
            status = file_writer_open(&s->writers[i], paths[i], error);
    }
    return status == STATUS_OK ? write_all(cli, o, s, threads, error) : status;
}

/* Where there are so few documents that all fall on one side, above all when there is but one, the
 * text's end is held out instead. */
static enum status divide_tail(struct cli *cli, const struct split_options *o, struct split *s,
                               char *const paths[2], struct thread_pool *threads,
                               struct error *error)
{
    int64_t total = s->documents[0] + s->documents[1];
    if (total == 0)
        return error_set(error, STATUS_FAILED, "%s: no text to split", o->data.items[0]);
    if (o->held_out <= 0 || o->held_out >= 1 || (s->documents[0] > 0 && s->documents[1] > 0))
        return STATUS_OK;
    if (total < 2)
        return error_set(error, STATUS_FAILED,
                         "%s: a single piece of text cannot be split; more text, or a smaller "
                         "--chunk, can",
                         o->data.items[0]);
    for (int i = 0; i < 2; i++)
        file_writer_abort(&s->writers[i]);
    s->tail = (int64_t)((double)total * (1 - o->held_out));
    s->tail = s->tail < 1 ? 1 : s->tail;
    cli_warn(cli,
             "split: too few documents to hold out whole ones; the end of the text is held out");
    enum status status = write_files(cli, o, s, paths, threads, error);
    if (status == STATUS_OK && s->documents[0] + s->documents[1] != total)
        status =
            error_set(error, STATUS_FAILED, "%s: has changed while it was read", o->data.items[0]);
    return status;
}

static enum status run(struct cli *cli, struct error *error)
{
    const struct split_options *o = cli_values(cli, 0);
    const char *const names[] = {"train.jsonl", "held-out.jsonl"};
    struct split s = {.tail = -1};
    struct thread_pool *threads = NULL;
    char *paths[2] = {NULL, NULL};
    enum status status = STATUS_OK;
    if (!o->output)
        return error_set(error, STATUS_USAGE, "split: name the output folder with -o");
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        paths[i] = file_join(o->output, names[i]);
        status = paths[i] ? cli_check_output(cli, paths[i], error) : error_no_memory(error, 0);
    }
    if (status == STATUS_OK)
        status = file_make_folders(o->output, error);
    if (status == STATUS_OK)
        status = thread_pool_create((int)cli->common->threads, &threads, error);
    if (status == STATUS_OK)
        status = write_files(cli, o, &s, paths, threads, error);
    if (status == STATUS_OK)
        status = divide_tail(cli, o, &s, paths, threads, error);
    for (int i = 0; i < 2; i++) {
        if (status == STATUS_OK)
            status = file_writer_commit(&s.writers[i], error);
        else
            file_writer_abort(&s.writers[i]);
    }
    if (status == STATUS_OK) {
        cli_result_int(cli, "train_documents", s.documents[0]);
        cli_result_int(cli, "held_out_documents", s.documents[1]);
        cli_result_int(cli, "train_bytes", s.bytes[0]);
        cli_result_int(cli, "held_out_bytes", s.bytes[1]);
        cli_say(cli, "%lld documents to train on, %lld held out", (long long)s.documents[0],
                (long long)s.documents[1]);
        cli_output(cli, paths[0]);
        cli_output(cli, paths[1]);
    }
    free(paths[0]);
    free(paths[1]);
    thread_pool_free(threads);
    return status;
}

const struct command command_split = {
    .name = "split",
    .arguments = "",
    .summary = "Split text into a training and a held-out part, cut and deduplicated",
    .example = "adze split -d docs/ --chunk 120 -o parts",
    .tables = {{"Data", table, sizeof(struct split_options)}},
    .records = true,
    .run = run,
};
