/* Checkpoints: values and moments as flat arrays in a safetensors file, the rest of the state as
 * text in its metadata. Written under another name and moved into place, so that there is always a
 * whole one. */
#include <stdlib.h>
#include <string.h>

#include "run/training.h"
#include "weight/formats.h"

enum status training_checkpoint(const struct training *t, struct error *error)
{
    const struct parameters *p = t->parameters;
    struct safetensors_entry entries[3] = {
        {.name = "values",
         .format = &weight_f32,
         .rank = 1,
         .shape = {p->total},
         .data = p->values},
        {.name = "first",
         .format = &weight_f32,
         .rank = 1,
         .shape = {p->total},
         .data = t->optimizer.first},
        {.name = "second",
         .format = &weight_f32,
         .rank = 1,
         .shape = {p->total},
         .data = t->optimizer.second},
    };
    char step[32], total[32];
    snprintf(step, sizeof step, "%lld", (long long)t->step);
    snprintf(total, sizeof total, "%lld", (long long)t->total_steps);
    json_t *metadata =
        json_pack("{s:s,s:s,s:s,s:s}", "format", "adze checkpoint 1", "step", step, "total_steps",
                  total, "settings", t->options.settings ? t->options.settings : "");
    if (!metadata)
        return error_no_memory(error, 4096);
    enum status status = safetensors_write(t->checkpoint, entries, t->optimizer.second ? 3 : 2,
                                           metadata, NULL, error);
    json_decref(metadata);
    return status;
}

static const char *text_of(const struct safetensors *file, const char *key)
{
    const char *text = json_string_value(json_object_get(file->metadata, key));
    return text ? text : "";
}

static enum status read_array(const struct safetensors *file, const char *name, float *out,
                              int64_t total, struct error *error)
{
    const struct safetensors_entry *entry = safetensors_find(file, name);
    if (!entry || entry->format != &weight_f32 || entry->rank != 1 || entry->shape[0] != total)
        return error_set(error, STATUS_FAILED, "%s: its '%s' do not fit this model", file->path,
                         name);
    memcpy(out, entry->data, (size_t)total * sizeof *out);
    return STATUS_OK;
}

/* Names the first of our settings that differs from the file's. */
static enum status compare_settings(const struct safetensors *file, const char *ours,
                                    struct error *error)
{
    json_t *before = json_loads(text_of(file, "settings"), 0, NULL);
    json_t *after = json_loads(ours ? ours : "", 0, NULL);
    const char *key;
    json_t *value;
    enum status status = STATUS_OK;
    json_object_foreach(after, key, value)
    {
        const json_t *old = json_object_get(before, key);
        if (old && json_equal(old, value))
            continue;
        char *was = json_dumps(old, JSON_ENCODE_ANY), *is = json_dumps(value, JSON_ENCODE_ANY);
        status = error_set(error, STATUS_USAGE,
                           "%s: the run was started with another '%s' (%.100s, now %.100s)",
                           file->path, key, was ? was : "none", is ? is : "none");
        free(was);
        free(is);
        break;
    }
    json_decref(before);
    json_decref(after);
    return status;
}

static enum status check_format(const struct safetensors *file, struct error *error)
{
    if (strcmp(text_of(file, "format"), "adze checkpoint 1") != 0)
        return error_set(error, STATUS_FAILED, "%s: not a checkpoint", file->path);
    return STATUS_OK;
}

static enum status read_progress(const struct safetensors *file, int64_t *step, int64_t *total,
                                 struct error *error)
{
    char *end;
    const char *text = text_of(file, "step");
    *step = strtoll(text, &end, 10);
    *total = strtoll(text_of(file, "total_steps"), NULL, 10);
    if (end == text || *step < 0 || *total < *step)
        return error_set(error, STATUS_FAILED, "%s: damaged: step %lld of %lld", file->path,
                         (long long)*step, (long long)*total);
    return STATUS_OK;
}

/* Close it afterwards, unless this fails. */
static enum status open_checkpoint(const char *path, struct safetensors *file, struct error *error)
{
    enum status status = safetensors_open(path, file, error);
    if (status != STATUS_OK)
        return status;
    status = check_format(file, error);
    if (status != STATUS_OK)
        safetensors_close(file);
    return status;
}

enum status training_checkpoint_progress(const char *path, int64_t *step, int64_t *total,
                                         struct error *error)
{
    struct safetensors file;
    enum status status = open_checkpoint(path, &file, error);
    if (status != STATUS_OK)
        return status;
    status = read_progress(&file, step, total, error);
    safetensors_close(&file);
    return status;
}

enum status training_checkpoint_fits(const char *path, const char *settings, struct error *error)
{
    struct safetensors file;
    enum status status = open_checkpoint(path, &file, error);
    if (status != STATUS_OK)
        return status;
    status = compare_settings(&file, settings, error);
    safetensors_close(&file);
    return status;
}

static enum status restore(struct training *t, const struct safetensors *file, struct error *error)
{
    struct parameters *p = t->parameters;
    enum status status = STATUS_OK;
    if (t->options.settings && strcmp(text_of(file, "settings"), t->options.settings) != 0) {
        status = compare_settings(file, t->options.settings, error);
        if (status == STATUS_OK)
            status = error_set(error, STATUS_USAGE, "%s: the run was started with other settings",
                               file->path);
    }
    if (status != STATUS_OK)
        return status;
    int64_t step, total;
    status = read_progress(file, &step, &total, error);
    if (status != STATUS_OK)
        return status;
    status = read_array(file, "values", p->values, p->total, error);
    if (status == STATUS_OK)
        status = read_array(file, "first", t->optimizer.first, p->total, error);
    if (status == STATUS_OK && t->optimizer.second)
        status = read_array(file, "second", t->optimizer.second, p->total, error);
    if (status != STATUS_OK)
        return status;
    t->step = t->optimizer.updates = step;
    t->total_steps = total;
    t->mixture->total_rows = total * t->options.batch;
    mixture_seek(t->mixture, step * t->options.batch);
    return STATUS_OK;
}

enum status training_resume(struct training *t, struct error *error)
{
    struct safetensors file;
    enum status status = open_checkpoint(t->checkpoint, &file, error);
    if (status != STATUS_OK)
        return status;
    status = restore(t, &file, error);
    safetensors_close(&file);
    return status;
}
