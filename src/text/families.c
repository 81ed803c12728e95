/* See families.h. The patterns are those of the families' own tokenizer.json files; llama.cpp,
 * which has given the names, writes some of them in longer words. Names of its that need more than
 * patterns (Kimi K2, AFMoE, SuperBPE, Gemma 4) are not known here. */
#include "text/families.h"

#include <stdlib.h>
#include <string.h>

static const struct tok_family families[] = {
    {.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de",
               "a.x-4.0", "mellum", "exaone4"},
     .patterns = {SPLIT_GPT2}},
    {.names = {"roberta-bpe", "jina-v1-en", "jina-v2-code", "jais", "trillion", "granite-docling"},
     .patterns = {SPLIT_GPT2}},
    {.names = {"olmo", "mpt", "modern-bert", "gpt-neox", "pythia", "stablelm"},
     .patterns = {SPLIT_GPT2},
     .nfc = true},
    {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
               "lfm2", "jina-v5-nano"},
     .patterns = {SPLIT_LLAMA3},
     .whole_words = true,
     .bos = true},
    {.names = {"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, .patterns = {SPLIT_LLAMA3}},
    {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"},
     .patterns = {SPLIT_QWEN2},
     .nfc = true},
    {.names = {"stablelm2", "hunyuan", "solar-open", "grok-2"}, .patterns = {SPLIT_QWEN2}},
    {.names = {"qwen35"},
     .patterns = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^"
                  "\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .nfc = true},
    {.names = {"smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2",
               "granite"},
     .patterns = {SPLIT_DIGIT, SPLIT_GPT2}},
    {.names = {"command-r"}, .patterns = {SPLIT_DIGIT, SPLIT_GPT2}, .nfc = true},
    {.names = {"deepseek-llm"},
     .patterns = {"[\r\n]",
                  "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵ"
                  "Ϸ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕ"
                  "Ἐ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ"
                  "-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴ"
                  "ℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-"
                  "ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-"
                  "𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
                  "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+",
                  SPLIT_DIGIT}},
    {.names = {"deepseek-coder"},
     .patterns = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", SPLIT_DIGIT}},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
     .patterns = {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}"
                  "]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"spark2_5"},
     .patterns = {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}"
                  "]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+",
                  SPLIT_DIGIT}},
    {.names = {"youtu"},
     .patterns = {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|["
                  "一-龥぀-ゟ゠-ヿ]+",
                  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
                  "Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}"
                  "\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'"
                  "d)?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .whole_words = true},
    {.names = {"tekken"},
     .patterns = {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
                  "Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll"
                  "}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|"
                  "\\s+(?!\\S)|\\s+"},
     .whole_words = true,
     .bos = true},
    {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"},
     .patterns =
         {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
          "Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}"
          "\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'"
          "d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"tiny_aya", "cohere2moe"},
     .patterns =
         {"\\d{1,3}(?=(?:\\d{3})*\\b)",
          "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
          "Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}"
          "\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'"
          "d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"falcon"},
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", SPLIT_GPT2, "[0-9][0-9][0-9]"}},
    {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .patterns = {" ?[^(\\s|.,!?…。，、।۔،)]+"}},
    {.names = {"viking"}, .patterns = {" ?[^(\\s|.,!?…。，、।۔،)]+", SPLIT_DIGIT}},
    {.names = {"chameleon"},
     .patterns = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )",
                  SPLIT_DIGIT, "[\\p{P}!-/:-@\\[-`{-~]", SPLIT_GPT2},
     .bos = true},
    {.names = {"jais-2"},
     .patterns = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s"
                  "\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}"
                  "(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\"
                  "S)|\\s{1,2}(?!\\S)|\\s{1}"}},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
     .patterns = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N"
                  "}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {.names = {"seed-coder"},
     .patterns = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{"
                  "L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"ufakzeka"},
     .patterns = {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\"
                  "n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"exaone-moe"},
     .patterns = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}"
                  "\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\"
                  "s+"}},
    {.names = {"minicpm5"},
     .patterns = {"\\p{N}{1,3}",
                  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{"
                  "L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .whole_words = true},
    {.names = {"laguna"}, .patterns = {"[^\\n]+|[\\n]+", SPLIT_QWEN2}},
    {.names = {"default"},
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", SPLIT_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

#define FAMILIES (sizeof families / sizeof *families)

const struct tok_family *tok_family_find(const char *name)
{
    for (size_t i = 0; i < FAMILIES; i++)
        for (int j = 0; j < 10 && families[i].names[j]; j++)
            if (strcmp(families[i].names[j], name) == 0)
                return &families[i];
    return NULL;
}

/* The section "pre_tokenizer". GPT-2's pattern is part of its last step. */
static json_t *family_steps(const struct tok_family *family)
{
    json_t *steps = json_array();
    bool gpt2 = false;
    for (int i = 0; i < FAMILY_PATTERNS && family->patterns[i]; i++) {
        const char *pattern = family->patterns[i];
        bool last = i + 1 == FAMILY_PATTERNS || !family->patterns[i + 1];
        gpt2 = last && strcmp(pattern, SPLIT_GPT2) == 0;
        if (!gpt2)
            json_array_append_new(steps,
                                  json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern",
                                            "Regex", pattern, "behavior", "Isolated", "invert", 0));
    }
    json_array_append_new(steps,
                          json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                                    "trim_offsets", 1, "use_regex", gpt2));
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", steps);
}

static bool has_nfc(const struct tokenizer *t)
{
    return t->sections[TOK_NORMALIZER] &&
           strcmp(t->sections[TOK_NORMALIZER], "{\"type\":\"NFC\"}") == 0;
}

static bool cuts_alike(const struct tok_family *family, const struct pre_tokenizer *pre)
{
    json_t *json = family_steps(family);
    struct pre_tokenizer *own = NULL;
    bool alike = pre_create(json, family->names[0], &own, NULL) == STATUS_OK && pre_equal(own, pre);
    pre_free(own);
    json_decref(json);
    return alike;
}

const struct tok_family *tok_family_of(const struct tokenizer *t, bool bos)
{
    const struct tok_family *best = NULL;
    for (size_t i = 0; i < FAMILIES; i++) {
        const struct tok_family *family = &families[i];
        if (family->nfc != has_nfc(t) || family->whole_words != t->whole_words ||
            (t->normalizer && !family->nfc) || !cuts_alike(family, t->pre))
            continue;
        if (family->bos == bos)
            return family;
        best = best ? best : family;
    }
    return best;
}

enum status tok_set_family(struct tokenizer *t, const struct tok_family *family,
                           struct error *error)
{
    enum status status = tok_set_gpt2(t, error);
    t->whole_words = family->whole_words;
    if (status == STATUS_OK && family->nfc)
        status = tok_set_section(t, TOK_NORMALIZER, "{\"type\":\"NFC\"}", error);
    if (status != STATUS_OK || (strcmp(family->patterns[0], SPLIT_GPT2) == 0))
        return status;
    json_t *json = family_steps(family);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    status =
        text ? tok_set_section(t, TOK_PRE_TOKENIZER, text, error) : error_no_memory(error, 1024);
    free(text);
    json_decref(json);
    return status;
}
