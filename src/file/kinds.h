/* The kinds of model files behind model_load; private to src/file. */
#ifndef FILE_KINDS_H
#define FILE_KINDS_H

#include "file/model.h"

enum status model_load_folder(const char *path, bool train, struct model *model,
                              struct error *error);
enum status model_load_gguf(const char *path, bool train, struct model *model, struct error *error);

#endif
