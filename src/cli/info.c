/* adze info and adze diff: what a model is, what it needs, whether it is intact; and how two
 * models, tokenizers or templates differ. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/shrink/shrink.h"
#include "run/difference.h"
#include "run/training.h"

struct info_options {
    const char *model;
    bool hash;
};

static const struct option info_table[] = {
    {"model", 'm', OPTION_PATH, offsetof(struct info_options, model), NULL, 0, 0, NULL, "MODEL",
     "the model, as the word behind info names it, too"},
    {"hash", 0, OPTION_FLAG, offsetof(struct info_options, hash), NULL, 0, 0, NULL, NULL,
     "hash the weights' values: equal for equal models, whatever file they are in"},
    {.name = NULL},
};

/* Formats by share: {name: {tensors, bytes}}. */
static void describe_formats(struct cli *cli, const struct model *model)
{
    json_t *counts = json_object(), *shares = json_object();
    int64_t bytes = shrink_bytes(model);
    for (int i = 0; i < model->decoder.parameters.count; i++) {
        const struct weight *w = &model->decoder.parameters.items[i].weight;
        const char *name = w->format->name;
        json_int_t count = json_integer_value(json_object_get(counts, name));
        double share = json_number_value(json_object_get(shares, name));
        json_object_set_new(counts, name, json_integer(count + 1));
        json_object_set_new(shares, name,
                            json_real(share + (double)weight_bytes(w) / (double)bytes));
    }
    json_object_set_new(cli->result, "tensors", counts);
    json_object_set_new(cli->result, "byte_shares", shares);
    cli_result_int(cli, "weight_bytes", bytes);
}

static void describe_sizes(struct cli *cli, const struct decoder_config *c)
{
    cli_result_text(cli, "family", c->family);
    cli_result_int(cli, "parameters", decoder_count(c).parameters);
    cli_result_int(cli, "layers", c->layers);
    cli_result_int(cli, "width", c->width);
    cli_result_int(cli, "heads", c->heads);
    cli_result_int(cli, "kv_heads", c->kv_heads);
    cli_result_int(cli, "head_width", c->head_width);
    cli_result_int(cli, "hidden", c->hidden);
    cli_result_int(cli, "context", c->context);
    cli_result_int(cli, "vocabulary", c->vocabulary);
    json_object_set_new(cli->result, "tied", json_boolean(c->tied));
}

static void describe_token(struct cli *cli, const char *key, const struct tokenizer *t, int32_t id)
{
    if (id >= 0 && id < t->count) {
        char *name = strndup(t->pieces[id].bytes, t->pieces[id].length);
        cli_result_text(cli, key, name ? name : "");
        free(name);
    }
}

/* How it talks: templates by name, and the tokens that end an answer. */
static void describe_chat(struct cli *cli, const struct model *model)
{
    const struct model_chat *chat = &model->chat;
    json_t *names = json_array(), *ends = json_array();
    for (int i = 0; i < chat->template_count; i++)
        json_array_append_new(names, json_name(chat->templates[i].name));
    for (int32_t id = 0; model->has_tokenizer && id < model->tokenizer.count; id++)
        if (model_is_end(model, id))
            json_array_append_new(ends, json_integer(id));
    json_object_set_new(cli->result, "chat_templates", names);
    json_object_set_new(cli->result, "end_tokens", ends);
    if (chat->generation)
        json_object_set(cli->result, "generation", chat->generation);
}

static void describe_text(struct cli *cli, const struct model *model)
{
    const struct tokenizer *t = &model->tokenizer;
    json_object_set_new(cli->result, "tokenizer", json_boolean(model->has_tokenizer));
    json_object_set_new(cli->result, "chat_template",
                        json_boolean(model_chat_template(model, NULL) != NULL));
    describe_chat(cli, model);
    if (!model->has_tokenizer)
        return;
    int64_t specials = 0;
    for (int32_t i = 0; i < t->count; i++)
        specials += t->pieces[i].special;
    cli_result_int(cli, "tokens", t->count);
    cli_result_int(cli, "special_tokens", specials);
    describe_token(cli, "bos", t, t->bos);
    describe_token(cli, "eos", t, t->eos);
    json_object_set_new(cli->result, "begins_texts", json_boolean(t->before.count > 0));
}

/* Memory to run it, with a whole context of keys and values in f16, and to tune it. */
static void describe_needs(struct cli *cli, const struct model *model, int threads)
{
    const struct decoder_config *c = &model->decoder.config;
    int64_t weights = json_integer_value(json_object_get(cli->result, "weight_bytes"));
    int64_t cache = (int64_t)kv_token_bytes(c, KV_F16) * c->context;
    struct training_options o = {.batch = 4,
                                 .window = c->context < 512 ? c->context : 512,
                                 .optimizer = {.kind = OPTIMIZER_ADAMW}};
    int64_t values = 4 * decoder_count(c).parameters;
    cli_result_int(cli, "memory_to_run", weights + cache);
    cli_result_int(cli, "memory_to_tune_fully", values + training_memory(c, &o, threads));
    o.adapters = (struct adapter_settings){.rank = 8, .targets = (1U << LINEARS) - 1};
    cli_result_int(cli, "memory_to_tune_adapters",
                   weights + 4 * adapters_values(&o.adapters, c) + training_memory(c, &o, threads));
}

static enum status hash_values(struct cli *cli, const struct model *model, struct error *error)
{
    const struct parameters *parameters = &model->decoder.parameters;
    XXH3_state_t *state = XXH3_createState();
    char text[17];
    if (!state)
        return error_no_memory(error, 576);
    XXH3_64bits_reset(state);
    for (int i = 0; i < parameters->count; i++) {
        const struct weight *w = &parameters->items[i].weight;
        float *row = malloc((size_t)w->columns * sizeof *row);
        for (int64_t r = 0; row && r < w->rows; r++) {
            weight_unpack_row(w, r, 0, w->columns, row);
            XXH3_64bits_update(state, row, (size_t)w->columns * sizeof *row);
        }
        bool done = row != NULL;
        free(row);
        if (!done) {
            XXH3_freeState(state);
            return error_no_memory(error, (size_t)w->columns * sizeof *row);
        }
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
    XXH3_freeState(state);
    cli_result_text(cli, "value_hash", text);
    return STATUS_OK;
}

static const char *text_of(const struct cli *cli, const char *key)
{
    const char *text = json_string_value(json_object_get(cli->result, key));
    return text ? text : "none";
}

static double real_of(const struct cli *cli, const char *key)
{
    return json_number_value(json_object_get(cli->result, key));
}

static void show_info(struct cli *cli, const char *path)
{
    char a[16], b[16], c[16];
    const json_t *r = cli->result;
    const char *name;
    json_t *value;
    if (cli->common->json)
        return;
    printf("%s: %s decoder, %s parameters, %s of weights\n", path, text_of(cli, "family"),
           cli_count(real_of(cli, "parameters"), a), cli_bytes(real_of(cli, "weight_bytes"), b));
    printf("  %.0f layers, width %.0f, %.0f heads (%.0f for keys and values), feed-forward %.0f\n",
           real_of(cli, "layers"), real_of(cli, "width"), real_of(cli, "heads"),
           real_of(cli, "kv_heads"), real_of(cli, "hidden"));
    printf("  context %.0f, vocabulary %.0f%s\n  formats:", real_of(cli, "context"),
           real_of(cli, "vocabulary"), json_is_true(json_object_get(r, "tied")) ? " (tied)" : "");
    json_object_foreach(json_object_get(r, "byte_shares"), name, value)
    {
        printf(" %s %.1f %%", name, 100 * json_number_value(value));
    }
    if (json_is_true(json_object_get(r, "tokenizer")))
        printf("\n  tokenizer: %.0f tokens, %.0f special, begin %s%s, end %s; %s chat template\n",
               real_of(cli, "tokens"), real_of(cli, "special_tokens"), text_of(cli, "bos"),
               json_is_true(json_object_get(r, "begins_texts")) ? " (put before texts)" : "",
               text_of(cli, "eos"),
               json_is_true(json_object_get(r, "chat_template")) ? "with a" : "no");
    else
        printf("\n  no tokenizer\n");
    printf("  memory: %s to run a whole context, %s to tune adapters, %s to tune fully\n",
           cli_bytes(real_of(cli, "memory_to_run"), a),
           cli_bytes(real_of(cli, "memory_to_tune_adapters"), b),
           cli_bytes(real_of(cli, "memory_to_tune_fully"), c));
    printf("  intact: all values are numbers");
    if (json_object_get(r, "value_hash"))
        printf("; hash of the values %s", text_of(cli, "value_hash"));
    putchar('\n');
}

static enum status run_info(struct cli *cli, struct error *error)
{
    const struct info_options *o = cli_values(cli, 0);
    bool word = cli->arguments.count > 0;
    struct model_options options = {.model = word ? cli->arguments.items[0] : o->model,
                                    .precision = "f32"};
    struct loaded loaded;
    if (word && o->model)
        return error_set(error, STATUS_USAGE, "info: one model at a time, not %s and %s", o->model,
                         options.model);
    enum status status = loaded_open(cli, &options, false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    describe_sizes(cli, &loaded.model.decoder.config);
    describe_text(cli, &loaded.model);
    describe_formats(cli, &loaded.model);
    describe_needs(cli, &loaded.model, thread_pool_size(loaded.compute.pool));
    status = model_check_finite(&loaded.model, error);
    if (status == STATUS_OK && o->hash)
        status = hash_values(cli, &loaded.model, error);
    json_object_set_new(cli->result, "intact", json_boolean(status == STATUS_OK));
    if (status == STATUS_OK)
        show_info(cli, options.model);
    loaded_close(&loaded);
    return status;
}

const struct command command_info = {
    .name = "info",
    .arguments = "[MODEL]",
    .summary = "Say what a model is, what it needs, and whether it is intact",
    .example = "adze info model.gguf",
    .tables = {{"Options", info_table, sizeof(struct info_options)}},
    .least = 0,
    .most = 1,
    .run = run_info,
};

/* diff. */

static bool is_model(const char *path)
{
    char *config = file_join(path, "config.json");
    bool found = file_is_folder(path) ? config && file_exists(config) : stage_is_gguf(path);
    free(config);
    return found;
}

static bool is_template(const char *path)
{
    size_t length = strlen(path);
    return length > 6 && strcmp(path + length - 6, ".jinja") == 0;
}

static void show_list(const json_t *list, const char *title)
{
    size_t index;
    json_t *item;
    if (json_array_size(list) == 0)
        return;
    printf("%s:\n", title);
    json_array_foreach(list, index, item)
    {
        const char *key = json_string_value(json_object_get(item, "field"));
        key = key ? key : json_string_value(json_object_get(item, "tensor"));
        char *a = json_dumps(json_object_get(item, "a"), JSON_ENCODE_ANY);
        char *b = json_dumps(json_object_get(item, "b"), JSON_ENCODE_ANY);
        if (key)
            printf("  %s: ", key);
        else
            printf("  line %lld: ", json_integer_value(json_object_get(item, "line")));
        printf("%.200s | %.200s", a ? a : "?", b ? b : "?");
        if (json_object_get(item, "relative"))
            printf("  largest %.3g, mean %.3g, relative %.3g",
                   json_number_value(json_object_get(item, "largest")),
                   json_number_value(json_object_get(item, "mean")),
                   json_number_value(json_object_get(item, "relative")));
        putchar('\n');
        free(a);
        free(b);
    }
}

static json_t *new_list(struct cli *cli, const char *key)
{
    json_t *list = json_array();
    json_object_set_new(cli->result, key, list);
    return list;
}

static enum status diff_models(struct cli *cli, char *const *paths, struct error *error)
{
    struct model a, b;
    enum status status = model_load(paths[0], false, &a, error);
    if (status != STATUS_OK)
        return status;
    status = model_load(paths[1], false, &b, error);
    if (status == STATUS_OK) {
        difference_configs(&a.decoder.config, &b.decoder.config, new_list(cli, "configuration"));
        json_t *tokenizer = new_list(cli, "tokenizer");
        if (a.has_tokenizer && b.has_tokenizer)
            difference_tokenizers(&a.tokenizer, &b.tokenizer, tokenizer);
        difference_texts(model_chat_template(&a, NULL), model_chat_template(&b, NULL),
                         new_list(cli, "template"));
        status = difference_in_use(&a, &b, new_list(cli, "in_use"), error);
        if (status == STATUS_OK)
            status = difference_tensors(&a.decoder, &b.decoder, &cli_stop, new_list(cli, "tensors"),
                                        error);
        model_free(&b);
    }
    model_free(&a);
    return status;
}

static enum status diff_tokenizers(struct cli *cli, char *const *paths, struct error *error)
{
    struct tokenizer a, b;
    enum status status = model_load_tokenizer(paths[0], &a, error);
    if (status != STATUS_OK)
        return status;
    status = model_load_tokenizer(paths[1], &b, error);
    if (status == STATUS_OK) {
        difference_tokenizers(&a, &b, new_list(cli, "tokenizer"));
        tok_free(&b);
    }
    tok_free(&a);
    return status;
}

static enum status diff_templates(struct cli *cli, char *const *paths, struct error *error)
{
    struct buffer texts[2] = {{0}, {0}};
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        status = file_read(paths[i], (uint64_t)1 << 20, &texts[i], error);
        buffer_add(&texts[i], "", 1);
        if (status == STATUS_OK)
            status = buffer_check(&texts[i], error);
    }
    if (status == STATUS_OK)
        difference_texts(texts[0].data, texts[1].data, new_list(cli, "template"));
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
    return status;
}

static enum status run_diff(struct cli *cli, struct error *error)
{
    static const char *const parts[][2] = {{"configuration", "configuration"},
                                           {"tokenizer", "tokenizer"},
                                           {"template", "chat template"},
                                           {"in_use", "in use"},
                                           {"tensors", "tensors"}};
    char *paths[2] = {(char *)(uintptr_t)cli->arguments.items[0],
                      (char *)(uintptr_t)cli->arguments.items[1]};
    size_t differences = 0;
    enum status status;
    if (is_template(paths[0]) && is_template(paths[1]))
        status = diff_templates(cli, paths, error);
    else if (is_model(paths[0]) && is_model(paths[1]))
        status = diff_models(cli, paths, error);
    else
        status = diff_tokenizers(cli, paths, error);
    for (size_t i = 0; i < 5 && status == STATUS_OK; i++) {
        const json_t *list = json_object_get(cli->result, parts[i][0]);
        differences += json_array_size(list);
        if (!cli->common->json)
            show_list(list, parts[i][1]);
    }
    json_object_set_new(cli->result, "same", json_boolean(differences == 0));
    if (status == STATUS_OK && differences == 0 && !cli->common->json)
        printf("no difference\n");
    return status;
}

static const struct option no_options[] = {{.name = NULL}};

const struct command command_diff = {
    .name = "diff",
    .arguments = "A B",
    .summary = "Say how two models, tokenizers or chat templates differ",
    .detail = "Models are compared in configuration, tokenizer, template, use and weights, "
              "whatever files\nthey are in; tensors of equal values count as equal whatever their "
              "formats. What differs\nis printed, and \"same\" of --json says whether anything "
              "does; the exit code is 0 either way,\nand 1 when the comparison could not be made.",
    .example = "adze diff model.gguf tuned.gguf",
    .tables = {{NULL, no_options, 1}},
    .least = 2,
    .most = 2,
    .run = run_diff,
};
