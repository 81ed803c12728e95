/* adze chat: a conversation in the terminal. One engine serves all of it: the beginnings of prompts
 * stay in its cache, so a turn computes what is new. The last answer becomes such a beginning while
 * its reader reads it. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "cli/talk.h"

struct turn_options {
    int64_t tokens, context;
};

static const struct option turn_table[] = {
    {"tokens", 'n', OPTION_INT, offsetof(struct turn_options, tokens), "2048", 1, 1e9, NULL, NULL,
     "most tokens of an answer"},
    {"context", 'c', OPTION_INT, offsetof(struct turn_options, context), "8192", 0, 1 << 24, NULL,
     "TOKENS", "longest conversation; 0: the model's context"},
    {.name = NULL},
};

struct session {
    struct cli *cli;
    const struct turn_options *options;
    struct loaded loaded;
    struct conversation talk;
    json_t *extra;
    struct sampling_options sampling;
    struct engine *engine;
    struct made made;
    json_t *messages;
    json_t *turns; /* figures, for --json */
    bool terminal; /* people read and write */
};

/* Messages. */

static bool is_role(const json_t *message, const char *role)
{
    const char *own = json_string_value(json_object_get(message, "role"));
    return own && strcmp(own, role) == 0;
}

static const json_t *last_message(const struct session *s)
{
    size_t count = json_array_size(s->messages);
    return count ? json_array_get(s->messages, count - 1) : NULL;
}

static void drop_last(struct session *s)
{
    json_array_remove(s->messages, json_array_size(s->messages) - 1);
}

/* Forgets the conversation, and sets the system prompt, unless it is NULL or empty. */
static void begin_again(struct session *s, const char *system)
{
    json_array_clear(s->messages);
    if (system && *system)
        json_array_append_new(s->messages, conversation_message("system", system, strlen(system)));
}

/* Answers. */

static void record_turn(struct session *s)
{
    const struct engine_result *r = &s->made.result;
    static const char *const ends[] = {"stop", "length", "canceled", "failed"};
    json_t *ids = json_array();
    for (int64_t i = 0; i < s->made.ids.count; i++)
        json_array_append_new(ids, json_integer(s->made.ids.items[i]));
    json_array_append_new(
        s->turns, json_pack("{s:s, s:I, s:I, s:I, s:f, s:o}", "finish_reason", ends[r->end],
                            "prompt_tokens", (json_int_t)r->prompt_tokens, "cached_tokens",
                            (json_int_t)r->shared_tokens, "made_tokens", (json_int_t)r->made_tokens,
                            "tokens_per_second", talk_rate(r), "token_ids", ids));
    if (s->made.print)
        putchar('\n');
    fflush(stdout);
    cli_say(s->cli, "%lld tokens, %.1f a second; %lld of the prompt's %lld were known%s",
            (long long)r->made_tokens, talk_rate(r), (long long)r->shared_tokens,
            (long long)r->prompt_tokens,
            r->end == ENGINE_LENGTH     ? "; cut at the longest length"
            : r->end == ENGINE_CANCELED ? "; stopped"
                                        : "");
}

/* Lets the model answer the messages. An answer that was stopped is kept as far as it came. */
static enum status answer(struct session *s, struct error *error)
{
    struct chat_options chat = {.extra = s->extra, .add_generation_prompt = true};
    struct tok_ids ids = {0};
    struct engine_request request = {.sampling = s->sampling,
                                     .most_tokens = s->options->tokens,
                                     .keep = true,
                                     .on_token = talk_token,
                                     .on_end = talk_end,
                                     .context = &s->made};
    talk_clear(&s->made);
    conversation_options(&s->talk, &chat);
    enum status status = conversation_encode(&s->talk, s->messages, &chat, &ids, NULL, error);
    request.prompt = ids.items;
    request.prompt_count = ids.count;
    if (status == STATUS_OK)
        status = engine_submit(s->engine, &request, NULL, error);
    int64_t ended = engine_count(s->engine).ended;
    while (status == STATUS_OK && engine_count(s->engine).ended == ended)
        engine_step(s->engine);
    if (status == STATUS_OK)
        status = buffer_check(&s->made.text, error);
    if (status == STATUS_OK && s->made.result.end == ENGINE_FAILED)
        status = error_set(error, STATUS_FAILED, "the answer could not be computed");
    tok_ids_free(&ids);
    if (status != STATUS_OK)
        return status;
    record_turn(s);
    s->sampling.seed++; /* so that the same question may be answered in another way */
    json_t *message = conversation_message("assistant", s->made.text.data ? s->made.text.data : "",
                                           s->made.text.length);
    return json_array_append_new(s->messages, message) == 0 ? STATUS_OK
                                                            : error_no_memory(error, 256);
}

/* Answers; a conversation that cannot be answered loses its last message and goes on, if people are
 * there to go on with it. */
static enum status answer_or_say(struct session *s, struct error *error)
{
    enum status status = answer(s, error);
    if (status == STATUS_OK || !s->terminal || status == STATUS_NO_MEMORY)
        return status;
    cli_warn(s->cli, "%s", error->message);
    if (is_role(last_message(s), "user"))
        drop_last(s);
    return STATUS_OK;
}

/* Commands. */

static const char help_text[] = "/system TEXT   begin again with this system prompt\n"
                                "/clear         begin again\n"
                                "/regenerate    another answer to the last question\n"
                                "/save FILE     write the messages as JSON\n"
                                "/quit          end, as Ctrl-D does\n"
                                "A backslash at the end of a line goes on in the next one.\n"
                                "Ctrl-C stops an answer.";

static enum status save(struct session *s, const char *path, struct error *error)
{
    if (!*path)
        return error_set(error, STATUS_USAGE, "/save wants the name of a file");
    if (file_exists(path) && !s->cli->common->force)
        return error_set(error, STATUS_FAILED, "%s exists; --force lets /save replace it", path);
    char *text = json_dumps(s->messages, JSON_INDENT(2));
    if (!text)
        return error_no_memory(error, 4096);
    enum status status = file_write_atomic(path, text, strlen(text), error);
    free(text);
    if (status == STATUS_OK)
        cli_say(s->cli, "written: %s", path);
    return status;
}

static enum status regenerate(struct session *s, struct error *error)
{
    if (is_role(last_message(s), "assistant"))
        drop_last(s);
    if (!is_role(last_message(s), "user"))
        return error_set(error, STATUS_USAGE, "there is no question to answer again");
    return answer(s, error);
}

/* The rest of the line when it is this command, or NULL. */
static const char *after_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(line, word, length) != 0 || (line[length] && line[length] != ' '))
        return NULL;
    line += length;
    return line + strspn(line, " ");
}

static enum status obey(struct session *s, const char *line, bool *done, struct error *error)
{
    const char *rest;
    if (after_word(line, "/quit") || after_word(line, "/exit")) {
        *done = true;
    } else if (after_word(line, "/help")) {
        fprintf(stderr, "%s\n", help_text);
    } else if (after_word(line, "/clear")) {
        const json_t *first = json_array_get(s->messages, 0);
        char *system = is_role(first, "system")
                           ? strdup(json_string_value(json_object_get(first, "content")))
                           : NULL;
        begin_again(s, system);
        free(system);
    } else if ((rest = after_word(line, "/system"))) {
        begin_again(s, rest);
    } else if (after_word(line, "/regenerate")) {
        return regenerate(s, error);
    } else if ((rest = after_word(line, "/save"))) {
        return save(s, rest, error);
    } else {
        return error_set(error, STATUS_USAGE, "there is no %.40s; /help lists the commands", line);
    }
    return STATUS_OK;
}

/* Lines. */

/* Lets the engine do what it has left, until there is something to read. */
static void work_until_input(struct session *s)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!cli_stop && poll(&input, 1, 0) == 0 && engine_step(s->engine))
        continue;
}

/* A message: lines up to one that does not end in a backslash. False at the end of the input. */
static bool read_message(struct session *s, struct buffer *text)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool more = true, any = false;
    buffer_clear(text);
    while (more && !text->failed) {
        if (s->terminal)
            fputs(any ? "... " : "> ", stderr);
        work_until_input(s);
        length = getline(&line, &room, stdin);
        if (length < 0)
            break;
        any = true;
        length -= length > 0 && line[length - 1] == '\n';
        length -= length > 0 && line[length - 1] == '\r';
        more = length > 0 && line[length - 1] == '\\';
        buffer_add(text, line, (size_t)(length - more));
        if (more)
            buffer_add(text, "\n", 1);
    }
    free(line);
    return any;
}

/* After Ctrl-C while nothing was being answered: says how to end, and goes on. */
static bool goes_on(const struct session *s)
{
    if (cli_stop != SIGINT || !s->terminal || feof(stdin))
        return false;
    clearerr(stdin);
    fputs("\nCtrl-C again, Ctrl-D or /quit ends\n", stderr);
    return true;
}

static enum status converse(struct session *s, struct error *error)
{
    struct buffer text = {0};
    enum status status = STATUS_OK;
    bool done = false;
    while (!done && status == STATUS_OK && (!cli_stop || cli_stop == SIGINT)) {
        if (!read_message(s, &text)) {
            done = !goes_on(s);
            continue;
        }
        if (cli_stop == SIGINT) /* that answer has been stopped */
            cli_stop = 0;
        if (text.failed)
            break;
        const char *line = text.data ? text.data : "";
        if (text.length == 0)
            continue;
        if (line[0] == '/') {
            status = obey(s, line, &done, error);
            if (status != STATUS_OK && s->terminal) {
                cli_warn(s->cli, "%s", error->message);
                status = STATUS_OK;
            }
            continue;
        }
        json_array_append_new(s->messages, conversation_message("user", line, text.length));
        status = answer_or_say(s, error);
    }
    if (s->terminal && status == STATUS_OK)
        fputc('\n', stderr);
    bool told = cli_stop && (cli_stop != SIGINT || (!s->terminal && !feof(stdin)));
    if (status == STATUS_OK && told)
        status = error_set(error, STATUS_INTERRUPTED, "interrupted");
    if (status == STATUS_OK)
        status = buffer_check(&text, error);
    buffer_free(&text);
    return status;
}

static enum status prepare(struct session *s, const struct talk_options *talk, struct error *error)
{
    enum status status = talk_open(&s->loaded.model, talk, &s->talk, &s->extra, error);
    int64_t context = s->options->context;
    struct engine_options options = {.slots = 1, .context = context, .share_prefixes = true};
    if (status == STATUS_OK)
        status = engine_create(&s->loaded.model, &s->loaded.compute, &options, &s->engine, error);
    s->sampling = talk_sampling(s->cli, cli_values(s->cli, 2), &s->loaded.model);
    s->messages = json_array();
    s->turns = json_array();
    if (status == STATUS_OK && (!s->messages || !s->turns))
        status = error_no_memory(error, 64);
    if (status == STATUS_OK)
        begin_again(s, talk->system);
    return status;
}

static enum status run_chat(struct cli *cli, struct error *error)
{
    struct session s = {.cli = cli,
                        .options = cli_values(cli, 1),
                        .terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO)};
    enum status status = loaded_open(cli, cli_values(cli, 0), false, &s.loaded, error);
    if (status != STATUS_OK)
        return status;
    s.made.print = !cli->common->json;
    status = prepare(&s, cli_values(cli, 3), error);
    if (status == STATUS_OK && s.terminal)
        cli_say(cli, "/help lists the commands");
    if (status == STATUS_OK)
        status = converse(&s, error);
    if (status == STATUS_OK) {
        json_object_set(cli->result, "messages", s.messages);
        json_object_set(cli->result, "turns", s.turns);
    }
    engine_free(s.engine);
    conversation_free(&s.talk);
    talk_free(&s.made);
    json_decref(s.extra);
    json_decref(s.messages);
    json_decref(s.turns);
    loaded_close(&s.loaded);
    return status;
}

const struct command command_chat = {
    .name = "chat",
    .arguments = "",
    .summary = "Talk with a model",
    .detail = "Reads messages from standard input, one a line, and writes the answers. /help lists "
              "what\nelse can be said. Sampling that is not given is as the model suggests it.",
    .example = "adze chat -m model.gguf --system 'Answer briefly.'",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Answers", turn_table, sizeof(struct turn_options)},
               {"Sampling", sampling_table, sizeof(struct sampling_options)},
               {"Chat", talk_table + 1, sizeof(struct talk_options)}},
    .run = run_chat,
};
