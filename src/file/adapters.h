/* Adapters on disk: a folder in PEFT's layout (adapter_config.json, adapter_model.safetensors), or
 * a GGUF file as llama.cpp's LoRA. In both, an adapter belongs to a stored tensor of the model's
 * family, with that tensor's order of outputs; where several of the decoder's layers lie in one
 * stored tensor, so do their adapters: A above A, B beside B. */
#ifndef FILE_ADAPTERS_H
#define FILE_ADAPTERS_H

#include "model/adapters.h"

/* Reads adapters for this decoder; free with adapters_free. What has no place in the decoder, or
 * what a low-rank product alone cannot say (other biases, DoRA), is an error. */
enum status adapters_load(const char *path, struct decoder *decoder, struct adapters *adapters,
                          struct error *error);

/* Writes a GGUF file when the path ends in .gguf, else a folder. `base` names the model that they
 * are for. */
enum status adapters_save(const struct adapters *adapters, struct decoder *decoder,
                          const char *base, const char *path, struct error *error);

#endif
