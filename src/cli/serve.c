/* adze serve: a model behind an HTTP API and a web page. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "cli/talk.h"
#include "serve/server.h"

#define KEYS_MOST 1024
#define KEY_FILE_MOST (1 << 20)

struct listen_options {
    const char *host, *alias, *key_file, *sampling;
    struct option_list keys;
    int64_t port;
};

struct limit_options {
    int64_t slots, queue, context, cache, body, bodies, prompt, connections, each;
    double timeout, patience, grace;
    const char *kv;
};

static const struct option listen_table[] = {
    {"host", 0, OPTION_TEXT, offsetof(struct listen_options, host), "127.0.0.1", 0, 0, NULL,
     "ADDRESS", "where to listen; 0.0.0.0: at all addresses of this machine"},
    {"port", 0, OPTION_INT, offsetof(struct listen_options, port), "8080", 0, 65535, NULL, NULL,
     "0: any that is free"},
    {"api-key", 0, OPTION_LIST, offsetof(struct listen_options, keys), NULL, 0, 0, NULL, "KEY",
     "clients must send it; may be given several times; others can see it in the list of "
     "processes"},
    {"api-key-file", 0, OPTION_TEXT, offsetof(struct listen_options, key_file), NULL, 0, 0, NULL,
     "FILE", "such keys, one a line"},
    {"alias", 0, OPTION_TEXT, offsetof(struct listen_options, alias), NULL, 0, 0, NULL, "NAME",
     "what the model is called; default: its file's name"},
    {"sampling", 0, OPTION_CHOICE, offsetof(struct listen_options, sampling), "model", 0, 0,
     "model|openai", NULL,
     "what requests leave out of it: as the model suggests, else as adze chat has it; or as OpenAI "
     "has it: temperature 1, no cuts"},
    {.name = NULL},
};

static const struct option limit_table[] = {
    {"slots", 0, OPTION_INT, offsetof(struct limit_options, slots), "8", 1, 4096, NULL, NULL,
     "sequences that are generated at once"},
    {"queue", 0, OPTION_INT, offsetof(struct limit_options, queue), "256", 0, 1e6, NULL, NULL,
     "sequences that may wait; beyond, requests are refused with 429"},
    {"context", 'c', OPTION_INT, offsetof(struct limit_options, context), "0", 0, 1 << 24, NULL,
     "TOKENS", "longest sequence; 0: the model's context"},
    {"cache", 0, OPTION_INT, offsetof(struct limit_options, cache), "0", 0, 1e9, NULL, "TOKENS",
     "room for keys and values of all sequences; 0: slots times context, at most 2^20"},
    {"kv", 0, OPTION_CHOICE, offsetof(struct limit_options, kv), "f16", 0, 0, "f16|q8_0|f32", NULL,
     "format of keys and values"},
    {"timeout", 0, OPTION_REAL, offsetof(struct limit_options, timeout), "600", 0, 1e9, NULL,
     "SECONDS", "longest time for a request; 0: none"},
    {"patience", 0, OPTION_REAL, offsetof(struct limit_options, patience), "30", 1, 1e9, NULL,
     "SECONDS", "for a client to send a request, or to take a part of its answer"},
    {"grace", 0, OPTION_REAL, offsetof(struct limit_options, grace), "30", 0, 1e9, NULL, "SECONDS",
     "after Ctrl-C or SIGTERM, for requests to come to their end"},
    {"body-limit", 0, OPTION_INT, offsetof(struct limit_options, body), "8M", 1, 1e12, NULL,
     "BYTES", "largest body of a request"},
    {"bodies-limit", 0, OPTION_INT, offsetof(struct limit_options, bodies), "256M", 1, 1e15, NULL,
     "BYTES", "of all requests that are being sent, wait or are at work; beyond: 503"},
    {"prompt-limit", 0, OPTION_INT, offsetof(struct limit_options, prompt), "0", 0, 1e9, NULL,
     "TOKENS", "longest prompt; 0: the context"},
    {"connections", 0, OPTION_INT, offsetof(struct limit_options, connections), "0", 0, 1e6, NULL,
     NULL, "open at once; 0: what slots and queue need"},
    {"connections-each", 0, OPTION_INT, offsetof(struct limit_options, each), "0", 0, 1e6, NULL,
     NULL, "open at once from one address; 0: no limit"},
    {.name = NULL},
};

/* Keys from the command line, then those of the file; empty lines are none. */
static enum status read_keys(const struct listen_options *o, struct arena *arena,
                             struct server_options *options, struct error *error)
{
    struct buffer text = {0};
    const char **keys = arena_calloc(arena, KEYS_MOST, sizeof *keys);
    enum status status = keys ? STATUS_OK : error_no_memory(error, KEYS_MOST * sizeof *keys);
    int64_t count = 0;
    for (int64_t i = 0; i < o->keys.count && status == STATUS_OK && count < KEYS_MOST; i++)
        keys[count++] = o->keys.items[i];
    if (status == STATUS_OK && o->key_file)
        status = file_read(o->key_file, KEY_FILE_MOST, &text, error);
    char *rest = NULL, *line = text.data ? strtok_r(text.data, "\r\n", &rest) : NULL;
    for (; line && status == STATUS_OK; line = strtok_r(NULL, "\r\n", &rest)) {
        if (count == KEYS_MOST)
            status = error_set(error, STATUS_USAGE, "more than %d keys", KEYS_MOST);
        else if (!(keys[count++] = arena_strdup(arena, line)))
            status = error_no_memory(error, strlen(line) + 1);
    }
    if (status == STATUS_OK && o->key_file && count == o->keys.count)
        status = error_set(error, STATUS_USAGE, "%s: no keys in it", o->key_file);
    buffer_free(&text);
    options->keys = keys;
    options->key_count = count;
    return status;
}

static struct server_options make_options(const struct listen_options *l,
                                          const struct limit_options *o)
{
    return (struct server_options){
        .host = l->host,
        .port = l->port,
        .alias = l->alias,
        .engine = {.slots = o->slots,
                   .context = o->context,
                   .cache_tokens = o->cache,
                   .kv_format = strcmp(o->kv, "q8_0") == 0  ? KV_Q8_0
                                : strcmp(o->kv, "f32") == 0 ? KV_F32
                                                            : KV_F16,
                   .share_prefixes = true},
        .queue = o->queue,
        .timeout = o->timeout,
        .patience = o->patience,
        .grace = o->grace,
        .body_limit = o->body,
        .bodies_limit = o->bodies,
        .prompt_limit = o->prompt,
        .connections = o->connections,
        .connections_each = o->each,
    };
}

static enum status run_serve(struct cli *cli, struct error *error)
{
    const struct model_options *m = cli_values(cli, 0);
    const struct talk_options *talk = cli_values(cli, 1);
    const struct listen_options *l = cli_values(cli, 2);
    struct server_options options = make_options(l, cli_values(cli, 3));
    struct loaded loaded;
    struct server *server = NULL;
    enum status status = read_keys(l, &cli->arena, &options, error);
    if (status == STATUS_OK)
        status = loaded_open(cli, m, false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    options.adapters = m->adapters.items;
    options.adapter_count = m->adapters.count;
    options.sampling = sampling_open;
    if (strcmp(l->sampling, "model") == 0) {
        options.sampling = sampling_usual;
        sampling_suggest(&loaded.model, &options.sampling);
    }
    signal(SIGPIPE, SIG_IGN); /* a client that is gone is no reason to end */
    status = talk_put_template(&loaded.model, talk->template, error);
    if (status == STATUS_OK)
        status = server_create(&loaded.model, &loaded.compute, &options, &server, error);
    if (status == STATUS_OK) {
        bool bare = strchr(l->host, ':') != NULL;
        cli_say(cli, "%s is served at http://%s%s%s:%d/; Ctrl-C ends it", loaded.model.path,
                bare ? "[" : "", l->host, bare ? "]" : "", server_port(server));
        server_run(server, &cli_stop);
        cli_say(cli, "the server has ended");
    }
    server_free(server);
    loaded_close(&loaded);
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "",
    .summary = "Serve a model: an API in OpenAI's form, and a page to chat",
    .example = "adze serve -m model.gguf --port 8080",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Chat", talk_table + TALK_TEMPLATE, sizeof(struct talk_options)},
               {"Service", listen_table, sizeof(struct listen_options)},
               {"Limits", limit_table, sizeof(struct limit_options)}},
    .run = run_serve,
};
