/* Shards and mixtures: what training sees, token by token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/random.h"
#include "data/corpus.h"
#include "data/mixture.h"
#include "support/check.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/adze-data-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL) != STATUS_OK;
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* `tokens` ids from `first` on, in documents of 1, 2, 3, ... tokens. */
static void write_shard(const char *name, int64_t tokens, int32_t first)
{
    struct shard_writer writer;
    int32_t ids[256];
    assert_int_equal(shard_writer_open(&writer, in_folder(name), 70000, 5, NULL), STATUS_OK);
    int64_t written = 0;
    for (int64_t size = 1; written < tokens; size++) {
        int64_t count = tokens - written < size ? tokens - written : size;
        for (int64_t i = 0; i < count; i++)
            ids[i] = first + (int32_t)(written + i);
        assert_int_equal(shard_writer_add(&writer, ids, count, count * 3, NULL), STATUS_OK);
        written += count;
    }
    assert_int_equal(shard_writer_close(&writer, NULL), STATUS_OK);
}

static void shards_give_back_what_was_written(void **state)
{
    (void)state;
    struct shard shard;
    int32_t ids[1000];
    write_shard("a", 1000, 69000);
    assert_int_equal(shard_open(in_folder("a"), &shard, NULL), STATUS_OK);
    assert_int_equal(shard.tokens, 1000);
    assert_int_equal(shard.text_bytes, 3000);
    assert_int_equal(shard.id_bytes, 4);
    assert_int_equal(shard_ids(&shard, 0, 1000, ids, NULL), STATUS_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ids[i], 69000 + i);
    for (int64_t i = 0, start = 0, size = 1; i < 1000; i++) {
        if (i == start + size) {
            start = i;
            size++;
        }
        assert_int_equal(shard_document_start(&shard, i), start);
    }
    shard_close(&shard);
}

static uint64_t draw(uint64_t at, uint64_t below)
{
    return random_below((struct random_address){3, RANDOM_TEST, 0, 0}, at, below);
}

/* `documents` of 1 to `longest` tokens; of every second one or two stretches, perhaps touching, are
 * learned. `learned` and `starts` (tokens) receive which tokens are, and where documents start. */
static int64_t write_examples(const char *name, int64_t documents, int64_t longest, bool stretches,
                              bool *learned, bool *starts)
{
    struct shard_writer writer;
    int32_t ids[256] = {0};
    int64_t tokens = 0;
    assert_int_equal(shard_writer_open(&writer, in_folder(name), 300, 5, NULL), STATUS_OK);
    for (int64_t i = 0; i < documents; i++) {
        uint64_t at = 8 * (uint64_t)i;
        int64_t count = 1 + (int64_t)draw(at, (uint64_t)longest), end = 0;
        starts[tokens] = true;
        for (uint64_t s = 0; stretches && i % 2 == 0 && s < 1 + draw(at + 1, 2); s++) {
            int64_t begin = end + (int64_t)draw(at + 2 + 2 * s, 3);
            end = begin + 1 + (int64_t)draw(at + 3 + 2 * s, 5);
            if (end > count)
                break;
            assert_int_equal(shard_writer_stretch(&writer, (struct stretch){begin, end}, NULL),
                             STATUS_OK);
            for (int64_t t = begin; t < end; t++)
                learned[tokens + t] = true;
        }
        assert_int_equal(shard_writer_add(&writer, ids, count, count, NULL), STATUS_OK);
        tokens += count;
    }
    assert_int_equal(shard_writer_close(&writer, NULL), STATUS_OK);
    return tokens;
}

#define EXAMPLES 3000 /* more than any list holds at first */

static void only_stretches_have_weight(void **state)
{
    (void)state;
    static bool learned[EXAMPLES * 20], starts[EXAMPLES * 20];
    struct shard shard;
    int64_t tokens = write_examples("e", EXAMPLES, 20, true, learned, starts);
    assert_int_equal(shard_open(in_folder("e"), &shard, NULL), STATUS_OK);
    assert_int_equal(shard.tokens, tokens);
    assert_int_equal(shard.documents, EXAMPLES);
    assert_true(shard.stretches > EXAMPLES / 2);
    for (int64_t begin = 0, count; begin < tokens; begin += count) {
        float weights[40];
        count = 1 + (int64_t)draw(1000000 + (uint64_t)begin, 40);
        count = count < tokens - begin ? count : tokens - begin;
        for (int64_t i = 0; i < count; i++)
            weights[i] = 0.5f;
        shard_weigh(&shard, begin, count, weights);
        for (int64_t i = 0; i < count; i++)
            assert_true(weights[i] == (learned[begin + i] ? 0.5f : 0.0f));
    }
    shard_close(&shard);
    write_examples("e", 10, 20, false, learned, starts); /* no stretches: everything counts */
    float weight = 2;
    assert_int_equal(shard_open(in_folder("e"), &shard, NULL), STATUS_OK);
    shard_weigh(&shard, 3, 1, &weight);
    assert_true(weight == 2);
    shard_close(&shard);
}

static void damaged_stretches_are_refused(void **state)
{
    (void)state;
    static bool learned[200], starts[200];
    struct buffer whole = {0};
    struct shard shard;
    struct error error;
    write_examples("f", 8, 20, true, learned, starts);
    assert_int_equal(shard_open(in_folder("f"), &shard, NULL), STATUS_OK);
    size_t first = (size_t)((const char *)shard.stretch_bounds - (const char *)shard.map.data);
    int64_t bounds = 2 * shard.stretches, tokens = shard.tokens;
    assert_true(bounds >= 4);
    shard_close(&shard);
    assert_int_equal(file_read(in_folder("f"), 0, &whole, NULL), STATUS_OK);
    for (int64_t i = 0; i < bounds; i++)
        for (int kind = 0; kind < 3; kind++) {
            char *at = whole.data + first + 8 * (size_t)i;
            uint64_t kept, lies[] = {(uint64_t)tokens + 1, UINT64_MAX, 0};
            memcpy(&kept, at, 8);
            if (kind == 2 && (i == 0 || kept == 0)) /* the first may well begin at 0 */
                continue;
            memcpy(at, &lies[kind], 8);
            assert_int_equal(file_write_atomic(in_folder("g"), whole.data, whole.length, NULL),
                             STATUS_OK);
            assert_int_equal(shard_open(in_folder("g"), &shard, &error), STATUS_FAILED);
            assert_non_null(strstr(error.message, "stretches are out of order"));
            memcpy(at, &kept, 8);
        }
    buffer_free(&whole);
}

/* Whole documents in rows, as many as fit; each token is predicted once, but a document's first,
 * which is where it begins a row. */
static void packed_rows_hold_whole_documents(void **state)
{
    (void)state;
    static bool learned[500 * 70], starts[500 * 70];
    for (int64_t window = 1; window <= 64; window += 9) {
        struct shard shard;
        int64_t last = 0;
        memset(starts, 0, sizeof starts);
        int64_t tokens = write_examples("h", 500, 70, true, learned, starts);
        int *predicted = calloc((size_t)tokens, sizeof *predicted);
        assert_int_equal(shard_open(in_folder("h"), &shard, NULL), STATUS_OK);
        assert_int_equal(shard_pack(&shard, window, NULL), STATUS_OK);
        for (int64_t r = 0; r < shard.row_count; r++) {
            int64_t begin = shard.rows[2 * r], end = shard.rows[2 * r + 1];
            assert_true(end - begin >= 1 && end - begin <= window + 1 && end <= tokens);
            /* It begins with a document, or goes on with the last token of the row before. */
            assert_true(starts[begin] ? begin == last : begin == last - 1);
            /* It ends where a document ends, unless that is too long for one row. */
            int64_t start = shard_document_start(&shard, end - 1), stop = end;
            while (stop < tokens && !starts[stop])
                stop++;
            assert_true(stop == end || stop - start > window + 1);
            /* The next document would not have fitted. */
            int64_t next = end + 1;
            while (next < tokens && !starts[next])
                next++;
            assert_true(end == tokens || stop != end || next - begin > window + 1);
            for (int64_t t = begin + 1; t < end; t++)
                predicted[t]++;
            last = end;
        }
        for (int64_t t = 0; t < tokens; t++)
            assert_true(predicted[t] == 1 || (predicted[t] == 0 && starts[t]));
        free(predicted);
        shard_close(&shard);
    }
}

static void damaged_shards_are_refused(void **state)
{
    (void)state;
    struct buffer whole = {0};
    struct shard shard;
    struct error error;
    write_shard("b", 100, 0);
    assert_int_equal(file_read(in_folder("b"), 0, &whole, NULL), STATUS_OK);
    for (size_t length = 0; length < whole.length; length++) {
        assert_int_equal(file_write_atomic(in_folder("c"), whole.data, length, NULL), STATUS_OK);
        assert_int_equal(shard_open(in_folder("c"), &shard, &error), STATUS_FAILED);
        assert_non_null(strstr(error.message, "/c: "));
    }
    int opened = 0;
    for (size_t at = 0; at < whole.length; at++) { /* any byte turned around: refused or harmless */
        whole.data[at] = (char)~whole.data[at];
        assert_int_equal(file_write_atomic(in_folder("c"), whole.data, whole.length, NULL),
                         STATUS_OK);
        if (shard_open(in_folder("c"), &shard, &error) == STATUS_OK) {
            int32_t ids[100];
            opened++;
            if (shard.tokens == 100 && shard_ids(&shard, 0, 100, ids, &error) != STATUS_OK)
                assert_non_null(strstr(error.message, "outside the vocabulary"));
            shard_close(&shard);
        }
        whole.data[at] = (char)~whole.data[at];
    }
    assert_true(opened > 100); /* ids themselves carry no check */
    buffer_free(&whole);
}

struct rows {
    struct mixture_rows r;
    int32_t ints[4][4096];
    float weights[4096];
};

static struct rows *make_rows(void)
{
    struct rows *rows = calloc(1, sizeof *rows);
    rows->r = (struct mixture_rows){rows->ints[0], rows->ints[1], rows->ints[2], rows->ints[3],
                                    rows->weights};
    return rows;
}

static void make_mixture(struct mixture *m, int count, int64_t window)
{
    const char *const names[] = {"m0", "m1"};
    *m = (struct mixture){.count = count, .window = window, .seed = 11};
    for (int i = 0; i < count; i++) {
        write_shard(names[i], 1000, i * 10000);
        assert_int_equal(shard_open(in_folder(names[i]), &m->sources[i].shard, NULL), STATUS_OK);
        m->sources[i].weight = m->sources[i].final_weight = 1;
    }
    const char *const shown[] = {"first", "second"};
    assert_int_equal(mixture_check(m, shown, NULL), STATUS_OK);
}

static void an_epoch_visits_every_window_once_in_a_new_order(void **state)
{
    (void)state;
    struct mixture m;
    struct rows *rows = make_rows();
    make_mixture(&m, 1, 16);
    int64_t windows = mixture_windows(&m, 0);
    int64_t order[2][100];
    assert_int_equal(windows, 63);
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[1000] = {false};
        for (int64_t i = 0; i < windows; i++) {
            assert_int_equal(mixture_next(&m, 1, &rows->r, NULL), STATUS_OK);
            order[epoch][i] = rows->r.tokens[0];
            for (int t = 0; t < 16; t++)
                seen[rows->r.tokens[t]] = true;
        }
        for (int i = 0; i < 999; i++)
            assert_true(seen[i]);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    shard_close(&m.sources[0].shard);
    free(rows);
}

static void rows_know_their_documents(void **state)
{
    (void)state;
    struct mixture m;
    struct rows *rows = make_rows();
    make_mixture(&m, 1, 32);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(mixture_next(&m, 1, &rows->r, NULL), STATUS_OK);
        for (int t = 0; t < 32; t++) {
            int64_t token = rows->r.tokens[t]; /* ids count up: the id is the place */
            int64_t start = shard_document_start(&m.sources[0].shard, token);
            int64_t in_row = start - rows->r.tokens[0] > 0 ? start - rows->r.tokens[0] : 0;
            assert_int_equal(rows->r.segment_start[t], in_row);
            assert_int_equal(rows->r.positions[t], t - in_row);
            assert_int_equal(rows->r.targets[t], token + 1);
            bool crosses = shard_document_start(&m.sources[0].shard, token + 1) == token + 1;
            assert_true(rows->r.weights[t] == (crosses ? 0.0f : 1.0f));
        }
    }
    shard_close(&m.sources[0].shard);
    free(rows);
}

static void seeking_is_the_same_as_reading_on(void **state)
{
    (void)state;
    struct mixture a, b;
    struct rows *x = make_rows(), *y = make_rows();
    make_mixture(&a, 2, 16);
    a.total_rows = 500;
    a.sources[1].final_weight = 5;
    b = a;
    for (int i = 0; i < 137; i++)
        assert_int_equal(mixture_next(&a, 3, &x->r, NULL), STATUS_OK);
    mixture_seek(&b, 137 * 3);
    assert_int_equal(mixture_next(&a, 4, &x->r, NULL), STATUS_OK);
    assert_int_equal(mixture_next(&b, 4, &y->r, NULL), STATUS_OK);
    assert_memory_equal(x->ints, y->ints, sizeof x->ints);
    shard_close(&a.sources[0].shard);
    shard_close(&a.sources[1].shard);
    free(x);
    free(y);
}

static void weights_move_from_first_to_last(void **state)
{
    (void)state;
    struct mixture m;
    struct rows *rows = make_rows();
    make_mixture(&m, 2, 16);
    m.total_rows = 8000;
    m.sources[0].final_weight = 0; /* 1 : 1 at first, 0 : 1 at the end */
    int quarter[4] = {0};
    for (int i = 0; i < 8000; i++) {
        assert_int_equal(mixture_next(&m, 1, &rows->r, NULL), STATUS_OK);
        quarter[i / 2000] += rows->r.tokens[0] < 10000;
    }
    /* share at progress p: (1 - p) / (2 - p), averaged over each quarter */
    const double expected[] = {0.4657, 0.3840, 0.2744, 0.1211};
    for (int q = 0; q < 4; q++)
        if (quarter[q] / 2000.0 < expected[q] - 0.05 || quarter[q] / 2000.0 > expected[q] + 0.05)
            fail_msg("quarter %d: %.3f instead of %.3f", q, quarter[q] / 2000.0, expected[q]);
    shard_close(&m.sources[0].shard);
    shard_close(&m.sources[1].shard);
    free(rows);
}

static void evaluation_predicts_every_token_once(void **state)
{
    (void)state;
    struct mixture m;
    struct rows *rows = make_rows();
    int seen[1001] = {0};
    make_mixture(&m, 1, 48);
    const struct shard *shard = &m.sources[0].shard;
    const struct mixture_reading reading = {.window = 48};
    for (int64_t i = 0; i < mixture_reading_count(shard, &reading); i++) {
        assert_int_equal(mixture_read(shard, &reading, i, 0, &rows->r, NULL), STATUS_OK);
        for (int t = 0; t < 48; t++)
            if (rows->r.weights[t] > 0)
                seen[rows->r.targets[t]]++;
    }
    for (int64_t i = 1; i < 1000; i++)
        assert_int_equal(seen[i], shard_document_start(shard, i) == i ? 0 : 1);
    shard_close(&m.sources[0].shard);
    free(rows);
}

static void second_halves_count_tokens_that_have_half_a_window_before_them(void **state)
{
    (void)state;
    struct mixture m;
    struct rows *rows = make_rows();
    int64_t counted = 0;
    make_mixture(&m, 1, 48);
    const struct shard *shard = &m.sources[0].shard;
    const struct mixture_reading reading = {.window = 48, .second_half = true, .begin = 7};
    int64_t windows = mixture_reading_count(shard, &reading);
    assert_int_equal(windows, shard->tokens / 48);
    for (int64_t i = 0; i < windows; i++) {
        assert_int_equal(mixture_read(shard, &reading, i, 0, &rows->r, NULL), STATUS_OK);
        assert_int_equal(rows->r.tokens[0], 7);
        for (int t = 0; t < 48; t++) {
            bool starts = shard_document_start(shard, i * 48 + t + 1) == i * 48 + t + 1;
            bool counts = t >= 24 && t < 47 && !starts;
            assert_true((rows->r.weights[t] > 0) == counts);
            counted += counts;
        }
    }
    assert_true(counted > 0);
    shard_close(&m.sources[0].shard);
    free(rows);
}

static void useless_mixtures_are_refused(void **state)
{
    (void)state;
    struct mixture m;
    struct error error;
    const char *const names[] = {"first", "second"};
    make_mixture(&m, 2, 16);
    m.sources[0].weight = m.sources[1].weight = 0;
    assert_int_equal(mixture_check(&m, names, &error), STATUS_USAGE);
    m.sources[0].weight = -1;
    assert_int_equal(mixture_check(&m, names, &error), STATUS_USAGE);
    assert_non_null(strstr(error.message, "first"));
    shard_close(&m.sources[0].shard);
    shard_close(&m.sources[1].shard);
}

static void corpora_are_read_in_pieces_of_bounded_size(void **state)
{
    (void)state;
    FILE *file = fopen(in_folder("long.txt"), "w");
    for (int i = 0; i < 400000; i++) /* 30 MB of paragraphs */
        fprintf(file, "This is line %d of a text that is much longer than a batch.%s\n", i,
                i % 7 == 6 ? "\n" : "");
    fclose(file);
    const char *path = in_folder("long.txt");
    struct corpus *corpus;
    const struct document *documents;
    int64_t count, bytes = 0, most = 0, batches = 0;
    assert_int_equal(corpus_open(&path, 1, &(struct corpus_options){0}, &corpus, NULL), STATUS_OK);
    for (;; batches++) {
        assert_int_equal(corpus_next(corpus, NULL, &documents, &count, NULL), STATUS_OK);
        if (count == 0)
            break;
        int64_t together = 0;
        for (int64_t i = 0; i < count; i++) {
            together += (int64_t)documents[i].length;
            assert_int_equal(documents[i].text[documents[i].length], 0);
            assert_memory_equal(documents[i].text, "This is line", 12); /* cut between paragraphs */
        }
        bytes += together;
        most = together > most ? together : most;
    }
    uint64_t size;
    assert_int_equal(file_size(path, &size, NULL), STATUS_OK);
    assert_int_equal(bytes, size);
    assert_true(most <= 16 << 20 && batches > 1);
    corpus_close(corpus);
}

static char *read_all(const char *name)
{
    const char *path = in_folder(name);
    struct corpus *corpus;
    const struct document *documents;
    int64_t count;
    struct buffer text = {0};
    assert_int_equal(corpus_open(&path, 1, &(struct corpus_options){0}, &corpus, NULL), STATUS_OK);
    while (corpus_next(corpus, NULL, &documents, &count, NULL) == STATUS_OK && count > 0)
        for (int64_t i = 0; i < count; i++)
            buffer_printf(&text, "[%s]", documents[i].text);
    for (int i = 0; i < CORPUS_PROBLEMS; i++)
        if (corpus_counts(corpus)->bad[i])
            buffer_printf(&text, " %d bad of kind %d", (int)corpus_counts(corpus)->bad[i], i);
    corpus_close(corpus);
    return text.data;
}

static void compressed_files_read_like_plain_ones(void **state)
{
    (void)state;
    const char lines[] = "{\"text\": \"one\"}\n\n{\"text\": \"two\"}\r\n{\"text\": \"three\"}";
    char packed[400], twice[800];
    size_t size = ZSTD_compress(packed, sizeof packed, lines, sizeof lines - 1, 3);
    assert_false(ZSTD_isError(size));
    memcpy(twice, packed, size);
    memcpy(twice + size, packed, size); /* frames may follow one another */
    assert_int_equal(file_write_atomic(in_folder("z.jsonl.zst"), twice, 2 * size, NULL), STATUS_OK);
    char *text = read_all("z.jsonl.zst");
    /* the seam joins two records into a broken line */
    assert_string_equal(text, "[one][two][two][three] 1 bad of kind 0");
    free(text);
    assert_int_equal(file_write_atomic(in_folder("z.jsonl.zst"), packed, size, NULL), STATUS_OK);
    text = read_all("z.jsonl.zst");
    assert_string_equal(text, "[one][two][three]");
    free(text);
    assert_int_equal(file_write_atomic(in_folder("cut.jsonl.zst"), packed, size - 3, NULL),
                     STATUS_OK);
    text = read_all("cut.jsonl.zst");
    assert_non_null(strstr(text, "1 bad of kind 5"));
    free(text);
    gzFile file = gzopen(in_folder("g.jsonl.gz"), "wb");
    gzwrite(file, lines, sizeof lines - 1);
    gzclose(file);
    text = read_all("g.jsonl.gz");
    assert_string_equal(text, "[one][two][three]");
    free(text);
}

static void held_out_shares_are_kept(void **state)
{
    (void)state;
    int held = 0;
    for (int i = 0; i < 20000; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, "document %d", i);
        uint64_t hash = document_hash(text, (size_t)length);
        held += document_held_out(hash, 0.1, 7);
        assert_false(document_held_out(hash, 0, 7));
        assert_true(document_held_out(hash, 0.1, 7) <= document_held_out(hash, 0.5, 7));
    }
    assert_true(held > 1850 && held < 2150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_give_back_what_was_written),
        cmocka_unit_test(damaged_shards_are_refused),
        cmocka_unit_test(only_stretches_have_weight),
        cmocka_unit_test(damaged_stretches_are_refused),
        cmocka_unit_test(packed_rows_hold_whole_documents),
        cmocka_unit_test(an_epoch_visits_every_window_once_in_a_new_order),
        cmocka_unit_test(rows_know_their_documents),
        cmocka_unit_test(seeking_is_the_same_as_reading_on),
        cmocka_unit_test(weights_move_from_first_to_last),
        cmocka_unit_test(evaluation_predicts_every_token_once),
        cmocka_unit_test(second_halves_count_tokens_that_have_half_a_window_before_them),
        cmocka_unit_test(useless_mixtures_are_refused),
        cmocka_unit_test(corpora_are_read_in_pieces_of_bounded_size),
        cmocka_unit_test(compressed_files_read_like_plain_ones),
        cmocka_unit_test(held_out_shares_are_kept),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
