/* The storage formats: what packing may lose, and what it must not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "weight/formats.h"

enum { ROWS = 3, COLUMNS = 256, COUNT = ROWS * COLUMNS };

static size_t bytes_for(const struct weight_format *format, int64_t count)
{
    return (size_t)(count / format->block) * format->block_bytes;
}

static void formats_are_found_by_name_and_number(void **state)
{
    (void)state;
    for (int i = 0; weight_formats[i]; i++) {
        const struct weight_format *format = weight_formats[i];
        assert_ptr_equal(weight_format_by_name(format->name), format);
        assert_ptr_equal(weight_format_by_gguf_type(format->gguf_type), format);
        assert_true(format->block <= WEIGHT_BLOCK_MOST);
    }
    assert_null(weight_format_by_name("q9"));
    assert_null(weight_format_by_gguf_type(-1));
}

static void rows_must_be_whole_blocks(void **state)
{
    (void)state;
    for (int i = 0; weight_formats[i]; i++) {
        const struct weight_format *format = weight_formats[i];
        size_t bytes;
        struct error error;
        assert_int_equal(weight_row_bytes(format, COLUMNS, &bytes, &error), STATUS_OK);
        assert_int_equal(bytes, bytes_for(format, COLUMNS));
        assert_int_equal(weight_row_bytes(format, -32, &bytes, &error), STATUS_FAILED);
        enum status odd = weight_row_bytes(format, 33, &bytes, &error);
        assert_int_equal(odd, format->block == 1 ? STATUS_OK : STATUS_FAILED);
        if (format->block_bytes > 1 && format->block == 1)
            assert_int_equal(weight_row_bytes(format, INT64_MAX, &bytes, &error),
                             format->block_bytes > 2 ? STATUS_FAILED : STATUS_OK);
    }
}

static void f32_keeps_every_bit(void **state)
{
    (void)state;
    uint32_t bits[COUNT], back[COUNT];
    float values[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        bits[i] = i * 0x9e3779b9u; /* infinities, NaN and subnormals among them */
    bits[0] = 0x7fc01234;
    bits[1] = 0xff800000;
    bits[2] = 0x80000001;
    memcpy(values, bits, sizeof values);
    weight_f32.pack(values, COUNT, back);
    assert_memory_equal(back, bits, sizeof bits);
    weight_f32.unpack(back, COUNT, values);
    assert_memory_equal(values, bits, sizeof bits);
}

/* Every 16-bit code but NaN comes back as itself, and NaN stays NaN. */
static void half_codes_survive(void **state)
{
    (void)state;
    const struct weight_format *const formats[] = {&weight_f16, &weight_bf16};
    for (int f = 0; f < 2; f++)
        for (uint32_t code = 0; code < 65536; code++) {
            uint16_t in = (uint16_t)code, out;
            float value;
            formats[f]->unpack(&in, 1, &value);
            formats[f]->pack(&value, 1, &out);
            if (isnan(value)) {
                formats[f]->unpack(&out, 1, &value);
                assert_true(isnan(value));
            } else {
                assert_int_equal(out, in);
            }
        }
}

/* No neighbor of the chosen code is nearer, and ties go to the even code. */
static void half_formats_round_to_nearest_even(void **state)
{
    (void)state;
    const struct weight_format *const formats[] = {&weight_f16, &weight_bf16};
    for (int f = 0; f < 2; f++)
        for (uint32_t i = 0; i < 400000; i++) {
            uint32_t bits = i * 0x9e3779b9u;
            if (i % 3 == 0) /* exact ties */
                bits = f ? (bits & 0xffff0000u) | 0x8000u : (bits & 0xffffe000u) | 0x1000u;
            float value;
            memcpy(&value, &bits, sizeof value);
            uint16_t code;
            formats[f]->pack(&value, 1, &code);
            if (isnan(value) || fabsf(value) > (f ? 3.3e38f : 65504.0f) || (code & 0x7fff) == 0)
                continue;
            uint16_t near[3] = {(uint16_t)(code - 1), code, (uint16_t)(code + 1)};
            float back[3];
            formats[f]->unpack(near, 3, back);
            double error = fabs((double)back[1] - (double)value);
            for (int k = 0; k < 3; k += 2) {
                double other = fabs((double)back[k] - (double)value);
                if (error > other || (error == other && code % 2 != 0))
                    fail_msg("%s: %.9g became %.9g", formats[f]->name, (double)value,
                             (double)back[1]);
            }
        }
}

static void f16_overflows_to_infinity(void **state)
{
    (void)state;
    const float values[] = {65504.0f, 65519.9f, 65520.0f, -1e9f, 1e-9f, 0x1p-24f};
    const uint16_t want[] = {0x7bff, 0x7bff, 0x7c00, 0xfc00, 0, 1};
    uint16_t codes[6];
    weight_f16.pack(values, 6, codes);
    assert_memory_equal(codes, want, sizeof want);
}

/* q8_0: half a step; q4_0: half a step, but a whole one on the side that has only 7 steps. The f16
 * scale adds a part in 2048 of the value. */
static void block_formats_keep_their_error_bounds(void **state)
{
    (void)state;
    const double scales[] = {1, 1e-3, 1e3, 3e-5};
    for (int s = 0; s < 4; s++)
        for (int f = 0; f < 2; f++) {
            const struct weight_format *format = f ? &weight_q4_0 : &weight_q8_0;
            float *values = check_normal((uint32_t)(50 + s), COUNT, scales[s]), back[COUNT];
            unsigned char blocks[COUNT * 2];
            format->pack(values, COUNT, blocks);
            format->unpack(blocks, COUNT, back);
            for (int b = 0; b < COUNT; b += 32) {
                double most = 0, sign = 1;
                for (int i = b; i < b + 32; i++)
                    if (fabs((double)values[i]) > most) {
                        most = fabs((double)values[i]);
                        sign = values[i] < 0 ? -1 : 1;
                    }
                double step = most / (f ? 8 : 127);
                for (int i = b; i < b + 32; i++) {
                    bool short_side = f && sign * (double)values[i] < -7.5 * step;
                    double bound =
                        step * (short_side ? 1 : 0.5) + most * (1.0 / 2048 + 1e-6) + 127 * 0x1p-25;
                    assert_true(fabs((double)back[i] - (double)values[i]) <= bound);
                }
            }
            free(values);
        }
}

static void block_formats_are_exact_on_what_they_can_hold(void **state)
{
    (void)state;
    float values[32], back[32];
    unsigned char block[34];
    for (int i = 0; i < 32; i++)
        values[i] = (float)(i * 8 - 127) * 0.25f; /* -127 .. 121 steps */
    weight_q8_0.pack(values, 32, block);
    weight_q8_0.unpack(block, 32, back);
    assert_memory_equal(back, values, sizeof values);
    for (int i = 0; i < 32; i++)
        values[i] = (float)(i % 16 - 8) * 0.125f;
    weight_q4_0.pack(values, 32, block);
    weight_q4_0.unpack(block, 32, back);
    assert_memory_equal(back, values, sizeof values);
    /* Packing what was unpacked changes nothing. */
    float *normal = check_normal(60, 32, 1), again[32];
    weight_q4_0.pack(normal, 32, block);
    weight_q4_0.unpack(block, 32, back);
    weight_q4_0.pack(back, 32, block);
    weight_q4_0.unpack(block, 32, again);
    assert_memory_equal(again, back, sizeof back);
    free(normal);
}

static void zero_and_tiny_blocks_become_zero(void **state)
{
    (void)state;
    const float tiny[] = {0.0f, -0.0f, 1e-45f, -1e-40f, 1e-38f, 1e-12f};
    for (int f = 0; f < 2; f++)
        for (size_t k = 0; k < sizeof tiny / sizeof *tiny; k++) {
            const struct weight_format *format = f ? &weight_q4_0 : &weight_q8_0;
            float values[32], back[32];
            unsigned char block[34];
            for (int i = 0; i < 32; i++)
                values[i] = i % 3 ? tiny[k] : -tiny[k];
            format->pack(values, 32, block);
            format->unpack(block, 32, back);
            for (int i = 0; i < 32; i++)
                assert_true(back[i] == 0);
        }
}

static void a_broken_value_breaks_its_block_only(void **state)
{
    (void)state;
    const float broken[] = {NAN, INFINITY, -INFINITY};
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 3; k++)
            for (int at = 32; at < 64; at += 31) {
                const struct weight_format *format = f ? &weight_q4_0 : &weight_q8_0;
                float *values = check_normal(61, 96, 1), back[96], want[96];
                unsigned char blocks[3 * 34];
                format->pack(values, 96, blocks);
                format->unpack(blocks, 96, want);
                values[at] = broken[k];
                format->pack(values, 96, blocks);
                format->unpack(blocks, 96, back);
                for (int i = 0; i < 96; i++)
                    assert_true(i / 32 == 1 ? isnan(back[i]) : back[i] == want[i]);
                free(values);
            }
}

/* Any piece of a row is that piece of the whole row, also from odd addresses: a file may place its
 * tensors anywhere. */
static void pieces_of_rows_equal_the_whole(void **state)
{
    (void)state;
    float *values = check_normal(62, COUNT, 1);
    for (int f = 0; weight_formats[f]; f++) {
        const struct weight_format *format = weight_formats[f];
        unsigned char *memory = malloc(bytes_for(format, COUNT) + 1), *blocks = memory + 1;
        unsigned char *aligned = malloc(bytes_for(format, COUNT));
        format->pack(values, COUNT, aligned);
        memcpy(blocks, aligned, bytes_for(format, COUNT));
        float whole[COUNT], piece[COLUMNS];
        format->unpack(aligned, COUNT, whole);
        struct weight weight = {.format = format, .rows = ROWS, .columns = COLUMNS, .data = blocks};
        for (int row = 0; row < ROWS; row++)
            for (int begin = 0; begin < COLUMNS; begin += 5)
                for (int count = 0; begin + count <= COLUMNS; count += 7) {
                    weight_unpack_row(&weight, row, begin, count, piece);
                    assert_memory_equal(piece, whole + row * COLUMNS + begin,
                                        (size_t)count * sizeof(float));
                }
        free(memory);
        free(aligned);
    }
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_found_by_name_and_number),
        cmocka_unit_test(rows_must_be_whole_blocks),
        cmocka_unit_test(f32_keeps_every_bit),
        cmocka_unit_test(half_codes_survive),
        cmocka_unit_test(half_formats_round_to_nearest_even),
        cmocka_unit_test(f16_overflows_to_infinity),
        cmocka_unit_test(block_formats_keep_their_error_bounds),
        cmocka_unit_test(block_formats_are_exact_on_what_they_can_hold),
        cmocka_unit_test(zero_and_tiny_blocks_become_zero),
        cmocka_unit_test(a_broken_value_breaks_its_block_only),
        cmocka_unit_test(pieces_of_rows_equal_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
