/* Mixes against what llama-quantize gives each tensor; and rows that are no whole blocks. */
#include <stdio.h>
#include <string.h>

#include "model/mixes.h"
#include "support/check.h"
#include "weight/formats.h"

static const char *const names[][2] = {
    {"output.weight", "head.weight"},
    {"token_embd.weight", "embedding"},
    {"attn_q.weight", "attention.query.weight"},
    {"attn_k.weight", "attention.key.weight"},
    {"attn_v.weight", "attention.value.weight"},
    {"attn_qkv.weight", "attention.key.weight"},
    {"attn_output.weight", "attention.output.weight"},
    {"ffn_gate.weight", "mlp.gate.weight"},
    {"ffn_up.weight", "mlp.up.weight"},
    {"ffn_down.weight", "mlp.down.weight"},
};

static const char *own_name(const char *stored)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], stored) == 0)
            return names[i][1];
    fail_msg("no parameter for %s", stored);
    return NULL;
}

/* The k-quant of a number of bits. */
static const struct weight_format *of_bits(char digit)
{
    const struct weight_format *const formats[] = {&weight_q2_k, &weight_q3_k, &weight_q4_k,
                                                   &weight_q5_k, &weight_q6_k};
    assert_true(digit >= '2' && digit <= '6');
    return formats[digit - '2'];
}

static void mixes_are_those_of_llama_quantize(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_ROOT "/golden/formats/mixes.txt", "r");
    assert_non_null(file);
    char family[16], mix[16], tensor[32], digits[64];
    int lines = 0;
    for (; fscanf(file, "%15s %15s %31s %63s", family, mix, tensor, digits) == 4; lines++) {
        bool llama = strcmp(family, "llama") == 0;
        int64_t layers = 22;
        struct decoder_config c = llama ? decoder_config_llama(512, 64, 256, layers, 8)
                                        : decoder_config_gpt2(512, 64, 256, layers, 8);
        c.kv_heads = llama ? 2 : 8;
        assert_non_null(mix_by_name(mix));
        for (size_t i = 0; digits[i]; i++) {
            struct parameter p = {.rank = 2, .weight = {.columns = 512}};
            if (digits[1])
                snprintf(p.name, sizeof p.name, "layers.%zu.%s", i, own_name(tensor));
            else
                snprintf(p.name, sizeof p.name, "%s", own_name(tensor));
            p.kind = strcmp(p.name, "embedding") == 0 ? PARAMETER_EMBEDDING : PARAMETER_MATRIX;
            const struct weight_format *got = mix_format(mix_by_name(mix), &c, &p);
            if (got != of_bits(digits[i]))
                fail_msg("%s %s: %s is %s instead of %c bits", family, mix, p.name, got->name,
                         digits[i]);
        }
    }
    fclose(file);
    assert_true(lines > 100);
}

static void rows_of_other_lengths_get_near_formats(void **state)
{
    (void)state;
    struct decoder_config c = decoder_config_llama(512, 64, 96, 4, 4);
    const struct {
        const char *mix;
        int64_t columns;
        const struct weight_format *want;
    } cases[] = {
        {"q2_K", 96, &weight_q4_0},   {"q3_K_S", 96, &weight_q4_0}, {"q4_K_S", 96, &weight_q5_0},
        {"q5_K_S", 96, &weight_q5_1}, {"q6_K", 96, &weight_q8_0},   {"q4_K_S", 100, &weight_f16},
        {"q8_0", 100, &weight_f16},   {"bf16", 100, &weight_bf16},  {"q6_K", 768, &weight_q6_k},
        {"q4_1", 1024, &weight_q4_1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parameter p = {.name = "layers.3.mlp.up.weight", .rank = 2};
        p.weight.columns = cases[i].columns;
        assert_ptr_equal(mix_format(mix_by_name(cases[i].mix), &c, &p), cases[i].want);
        p.rank = 1;
        assert_ptr_equal(mix_format(mix_by_name(cases[i].mix), &c, &p), &weight_f32);
    }
}

static void every_name_of_the_options_is_a_mix(void **state)
{
    (void)state;
    char list[] = MIX_NAMES, *rest = NULL;
    int count = 0;
    for (char *name = strtok_r(list, "|", &rest); name; name = strtok_r(NULL, "|", &rest), count++)
        assert_string_equal(mixes[count].name, name);
    assert_null(mixes[count].name);
    assert_null(mix_by_name("q4_K_XXL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixes_are_those_of_llama_quantize),
        cmocka_unit_test(rows_of_other_lengths_get_near_formats),
        cmocka_unit_test(every_name_of_the_options_is_a_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
