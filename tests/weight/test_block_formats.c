/* The block formats against other programs' figures: what blocks hold, on every CPU level, and
 * which blocks values become; and what holds for all of them alike. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "support/check.h"
#include "weight/formats.h"

#define FIRST_BLOCK_FORMAT 3 /* in weight_formats: those before store single values */

/* A record of tests/golden/formats/blocks.bin; see make_golden.py there. */
struct record {
    char name[8];
    bool pack;
    uint32_t values, bytes;
    const unsigned char *blocks, *floats;
};

static struct file_map open_golden(void)
{
    struct file_map map;
    struct error error;
    assert_int_equal(file_map_open(TEST_ROOT "/golden/formats/blocks.bin", &map, &error),
                     STATUS_OK);
    return map;
}

static bool next_record(const struct file_map *map, size_t *at, struct record *record)
{
    if (*at >= map->length)
        return false;
    const unsigned char *head = map->data + *at;
    memcpy(record->name, head, 7);
    record->name[7] = 0;
    record->pack = head[7] == 'p';
    memcpy(&record->values, head + 8, 4);
    memcpy(&record->bytes, head + 12, 4);
    const unsigned char *body = head + 16;
    record->floats = record->pack ? body : body + record->bytes;
    record->blocks = record->pack ? body + record->values * sizeof(float) : body;
    *at += 16 + record->bytes + record->values * sizeof(float);
    assert_true(*at <= map->length);
    return true;
}

static const struct weight_format *format_of(const struct record *record)
{
    for (int i = 0; weight_formats[i]; i++)
        if (strcasecmp(weight_formats[i]->name, record->name) == 0)
            return weight_formats[i];
    fail_msg("no format %s", record->name);
    return NULL;
}

static void blocks_hold_what_gguf_says(struct compute *compute)
{
    struct file_map map = open_golden();
    struct record record;
    int records = 0;
    for (size_t at = 0; next_record(&map, &at, &record);) {
        if (record.pack)
            continue;
        const struct weight_format *format = format_of(&record);
        assert_int_equal(record.values / format->block * format->block_bytes, record.bytes);
        float *got = malloc(record.values * sizeof *got), want;
        format->unpack_at[compute->cpu.level](record.blocks, record.values, got);
        for (uint32_t i = 0; i < record.values; i++) {
            memcpy(&want, record.floats + i * sizeof want, sizeof want);
            if (got[i] != want)
                fail_msg("%s, value %u: %.9g instead of %.9g", record.name, i, (double)got[i],
                         (double)want);
        }
        free(got);
        records++;
    }
    assert_int_equal(records, 10);
    file_map_close(&map);
}

static void blocks_hold_what_gguf_says_on_every_level(void **state)
{
    (void)state;
    check_levels(blocks_hold_what_gguf_says);
}

static double block_error(const struct weight_format *format, const unsigned char *block,
                          const float *values)
{
    float back[WEIGHT_BLOCK_MOST];
    double error = 0;
    format->unpack(block, format->block, back);
    for (int64_t i = 0; i < format->block; i++)
        error += pow((double)back[i] - (double)values[i], 2);
    return error;
}

/* The same blocks as ggml's, but for the one in which it stores a scale below zero, wrapped around;
 * the error over all is no larger to speak of. */
static void values_become_the_blocks_that_ggml_makes(void **state)
{
    (void)state;
    struct file_map map = open_golden();
    struct record record;
    int records = 0;
    for (size_t at = 0; next_record(&map, &at, &record);) {
        if (!record.pack)
            continue;
        const struct weight_format *format = format_of(&record);
        float *values = malloc(record.values * sizeof *values);
        unsigned char *blocks = malloc(record.bytes);
        int different = 0;
        double error = 0, their_error = 0;
        memcpy(values, record.floats, record.values * sizeof *values);
        format->pack(values, record.values, blocks);
        for (uint32_t b = 0; b < record.values / format->block; b++) {
            const unsigned char *ours = blocks + b * format->block_bytes;
            const unsigned char *theirs = record.blocks + b * format->block_bytes;
            const float *from = values + b * format->block;
            different += memcmp(ours, theirs, format->block_bytes) != 0;
            error += block_error(format, ours, from);
            their_error += block_error(format, theirs, from);
        }
        if (different > (format == &weight_q2_k) || !(error <= 1.001 * their_error))
            fail_msg("%s: %d blocks differ, error %g, theirs %g", record.name, different, error,
                     their_error);
        free(values);
        free(blocks);
        records++;
    }
    assert_int_equal(records, 10);
    file_map_close(&map);
}

enum { BLOCK = 256, COUNT = 3 * BLOCK };

static unsigned char *pack_some(const struct weight_format *format, const float *values,
                                float *back)
{
    unsigned char *blocks = malloc((size_t)(COUNT / format->block) * format->block_bytes);
    format->pack(values, COUNT, blocks);
    format->unpack(blocks, COUNT, back);
    return blocks;
}

static void a_broken_value_breaks_its_block_only(void **state)
{
    (void)state;
    const float broken[] = {NAN, INFINITY, -INFINITY};
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++)
        for (int k = 0; k < 3; k++)
            for (int at = BLOCK; at < 2 * BLOCK; at += BLOCK - 1) {
                const struct weight_format *format = weight_formats[f];
                float *values = check_normal(61, COUNT, 1), back[COUNT], want[COUNT];
                free(pack_some(format, values, want));
                values[at] = broken[k];
                free(pack_some(format, values, back));
                for (int i = 0; i < COUNT; i++)
                    assert_true(i / format->block == at / format->block ? isnan(back[i])
                                                                        : back[i] == want[i]);
                free(values);
            }
}

static void tiny_blocks_become_zero_and_huge_ones_do_not_crash(void **state)
{
    (void)state;
    const float sizes[] = {0.0f, 1e-45f, 1e-40f, 1e-38f, 1e-12f, 1e4f, 1e30f, 3e38f};
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            float values[COUNT], back[COUNT];
            for (int i = 0; i < COUNT; i++)
                values[i] = (float)(i % 5 - 2) * 0.5f * sizes[k];
            free(pack_some(weight_formats[f], values, back));
            for (int i = 0; i < COUNT && sizes[k] < 1e-10f; i++)
                assert_true(fabsf(back[i]) < 1e-7f); /* the least f16 above zero */
            for (int i = 0; i < COUNT && sizes[k] == 1e4f; i++)
                assert_true(fabsf(back[i] - values[i]) < 0.5f * sizes[k]);
        }
}

/* More bits, less error; and a constant block is held to the precision of its scale. */
static void more_bits_mean_less_error(void **state)
{
    (void)state;
    const struct weight_format *const order[] = {
        &weight_q2_k, &weight_q3_k, &weight_q4_0, &weight_q4_k,
        &weight_q5_0, &weight_q5_k, &weight_q6_k, &weight_q8_0,
    };
    float *values = check_normal(7, COUNT, 0.05), back[COUNT];
    double last = INFINITY;
    for (size_t f = 0; f < sizeof order / sizeof *order; f++) {
        free(pack_some(order[f], values, back));
        double error = 0;
        for (int i = 0; i < COUNT; i++)
            error += pow((double)back[i] - (double)values[i], 2);
        if (!(error < last))
            fail_msg("%s: %g after %g", order[f]->name, error, last);
        last = error;
    }
    free(values);
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++) {
        float same[COUNT];
        for (int i = 0; i < COUNT; i++)
            same[i] = 0.3f;
        free(pack_some(weight_formats[f], same, back));
        for (int i = 0; i < COUNT; i++)
            assert_true(fabsf(back[i] - 0.3f) < 0.3f / 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_hold_what_gguf_says_on_every_level),
        cmocka_unit_test(values_become_the_blocks_that_ggml_makes),
        cmocka_unit_test(a_broken_value_breaks_its_block_only),
        cmocka_unit_test(tiny_blocks_become_zero_and_huge_ones_do_not_crash),
        cmocka_unit_test(more_bits_mean_less_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
