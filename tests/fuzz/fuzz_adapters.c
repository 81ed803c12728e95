/* Adapters, as a PEFT folder or as GGUF: whatever loads must run on its base, fold into it and be
 * written again. The first byte says which base (bit 0: Llama's or GPT-2's family) and which layout
 * (bit 1: a folder); then comes the GGUF file, or adapter_config.json up to the first zero byte and
 * adapter_model.safetensors. The seeds are what adapters_save writes of random adapters for these
 * bases. */
#include <string.h>
#include <sys/stat.h>

#include "file/adapters.h"
#include "fuzz/fuzz.h"
#include "fuzz/model.h"

static void make_base(bool gpt2, struct decoder *decoder)
{
    struct decoder_config c =
        gpt2 ? decoder_config_gpt2(12, 8, 8, 2, 2) : decoder_config_llama(12, 8, 8, 2, 2);
    c.kv_heads = gpt2 ? 2 : 1;
    c.hidden = 12;
    if (decoder_create_random(&c, 1, decoder, NULL) != STATUS_OK)
        abort();
}

static void save(const struct adapters *adapters, struct decoder *decoder, bool folder)
{
    struct adapters again;
    char path[80];
    snprintf(path, sizeof path, "/dev/shm/adze-fuzz-%d-again%s", (int)getpid(),
             folder ? "" : ".gguf");
    if (adapters_save(adapters, decoder, "base", path, NULL) != STATUS_OK)
        return; /* joint values may be too large */
    if (adapters_load(path, decoder, &again, NULL) != STATUS_OK || again.count < adapters->count)
        abort();
    adapters_free(&again);
}

static void use(struct adapters *adapters, struct decoder *decoder)
{
    struct arena owner = {0};
    adapters_attach(adapters, decoder, 0.5);
    fuzz_forward(decoder);
    adapters_merge(decoder, NULL, &owner, NULL, NULL);
    fuzz_forward(decoder);
    arena_free(&owner);
}

static const char *put_input(const uint8_t *data, size_t size, bool folder)
{
    static char path[64];
    if (!folder)
        return fuzz_file(data, size, ".gguf");
    const uint8_t *end = memchr(data, 0, size);
    if (!end)
        return NULL;
    snprintf(path, sizeof path, "/dev/shm/adze-fuzz-%d", (int)getpid());
    mkdir(path, 0700);
    fuzz_file(data, (size_t)(end - data), "/adapter_config.json");
    fuzz_file(end + 1, size - (size_t)(end - data) - 1, "/adapter_model.safetensors");
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool folder = data[0] >> 1 & 1;
    const char *path = put_input(data + 1, size - 1, folder);
    struct decoder decoder;
    struct adapters adapters;
    struct error error;
    if (!path)
        return 0;
    make_base(data[0] & 1, &decoder);
    if (adapters_load(path, &decoder, &adapters, &error) == STATUS_OK) {
        if (adapters.parameters.total < 1 << 16) {
            save(&adapters, &decoder, folder);
            use(&adapters, &decoder);
        }
        adapters_free(&adapters);
    }
    decoder_free(&decoder);
    return 0;
}
