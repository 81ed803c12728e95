/* Writes a model with random weights of the Llama shape with 1.1e9 parameters as a GGUF file, so
 * that speed can be measured on a size for which no file is at hand: the time of a step does not
 * depend on the values.
 *
 *   bench_random_model TOKENIZER.json OUTPUT.gguf */
#include <stdio.h>

#include "file/model.h"
#include "support.h"
#include "weight/formats.h"

#define WIDTH 2048
#define CONTEXT 4096

int main(int count, char **words)
{
    static struct model model;
    struct error error;
    if (count != 3) {
        fprintf(stderr, "usage: bench_random_model TOKENIZER.json OUTPUT.gguf\n");
        return 2;
    }
    bench_require(model_load_tokenizer(words[1], &model.tokenizer, &error), &error);
    model.has_tokenizer = true;
    struct decoder_config config =
        decoder_config_llama(model.tokenizer.count, CONTEXT, WIDTH, 22, 32);
    config.kv_heads = 4;
    config.hidden = 5632;
    bench_require(decoder_create_random(&config, 1, &model.decoder, &error), &error);
    bench_require(model_save_gguf(&model, words[2], weight_format_by_name("f16"), "random", &error),
                  &error);
    model_free(&model);
    return 0;
}
