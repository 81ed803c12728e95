/* See options.h. */
#include "base/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

static void *field(const struct option_group *group, const struct option *option)
{
    return (char *)group->target + option->offset;
}

bool option_parse_real(const char *text, double *value)
{
    char *end;
    errno = 0;
    double parsed = strtod(text, &end);
    if (end == text || *end || errno == ERANGE || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool option_parse_int(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    if (end == text || errno == ERANGE)
        return false;
    if (*end == 0) {
        *value = whole;
        return true;
    }
    double parsed = strtod(text, &end);
    const char *suffixes = "kMG",
               *suffix = *end ? strchr(suffixes, *end == 'K' ? 'k' : *end) : NULL;
    if (suffix) {
        parsed *= pow(1000, (double)(suffix - suffixes + 1));
        end++;
    }
    if (*end || !isfinite(parsed) || fabs(parsed) >= 9e18 || parsed != floor(parsed))
        return false;
    *value = (int64_t)parsed;
    return true;
}

static const struct option *find_option(const struct option_set *set, const char *name,
                                        size_t length, char letter,
                                        const struct option_group **group)
{
    for (int g = 0; g < set->count; g++) {
        for (const struct option *o = set->groups[g].table; o->name; o++) {
            bool hit = name ? strncmp(o->name, name, length) == 0 && o->name[length] == 0
                            : letter && o->letter == letter;
            if (hit) {
                *group = &set->groups[g];
                return o;
            }
        }
    }
    return NULL;
}

static enum status bad_value(const struct option *option, const char *value, const char *where,
                             const char *expected, struct error *error)
{
    return error_set(error, STATUS_USAGE, "%s: --%s '%s': %s", where, option->name, value,
                     expected);
}

static enum status check_range(const struct option *option, double number, const char *value,
                               const char *where, struct error *error)
{
    if (option->least < option->most && (number < option->least || number > option->most)) {
        char expected[96];
        if (option->type == OPTION_INT && option->most < 1e15)
            snprintf(expected, sizeof expected, "must lie between %.0f and %.0f", option->least,
                     option->most);
        else if (isinf(option->most))
            snprintf(expected, sizeof expected, "must be at least %g", option->least);
        else
            snprintf(expected, sizeof expected, "must lie between %g and %g", option->least,
                     option->most);
        return bad_value(option, value, where, expected, error);
    }
    return STATUS_OK;
}

static enum status check_choice(const struct option *option, const char *value, const char *where,
                                struct error *error)
{
    size_t length = strlen(value);
    for (const char *at = option->choices; at;) {
        size_t width = strcspn(at, "|");
        if (width == length && strncmp(at, value, width) == 0)
            return STATUS_OK;
        at = at[width] ? at + width + 1 : NULL;
    }
    return error_set(error, STATUS_USAGE, "%s: --%s '%s': must be one of %s", where, option->name,
                     value, option->choices);
}

static enum status append(struct option_set *set, struct option_list *list, const char *value,
                          struct error *error)
{
    const char **items = arena_alloc(set->arena, ((size_t)list->count + 1) * sizeof *items);
    char *copy = arena_strdup(set->arena, value);
    if (!items || !copy)
        return error_no_memory(error, strlen(value));
    if (list->count)
        memcpy(items, list->items, (size_t)list->count * sizeof *items);
    items[list->count] = copy;
    list->items = items;
    list->count++;
    return STATUS_OK;
}

static enum status store(struct option_set *set, const struct option_group *group,
                         const struct option *option, const char *value, const char *where,
                         struct error *error)
{
    void *target = field(group, option);
    enum status status = STATUS_OK;
    switch (option->type) {
    case OPTION_FLAG:
        if (strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "1") == 0)
            *(bool *)target = true;
        else if (strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "0") == 0)
            *(bool *)target = false;
        else
            return bad_value(option, value, where, "must be true or false", error);
        return STATUS_OK;
    case OPTION_INT: {
        int64_t number;
        if (!option_parse_int(value, &number))
            return bad_value(option, value, where, "must be a whole number, e.g. 512 or 4k", error);
        status = check_range(option, (double)number, value, where, error);
        if (status == STATUS_OK)
            *(int64_t *)target = number;
        return status;
    }
    case OPTION_REAL: {
        double number;
        if (!option_parse_real(value, &number))
            return bad_value(option, value, where, "must be a number", error);
        status = check_range(option, number, value, where, error);
        if (status == STATUS_OK)
            *(double *)target = number;
        return status;
    }
    case OPTION_LIST:
        if (!*value)
            return bad_value(option, value, where, "must not be empty", error);
        return append(set, target, value, error);
    case OPTION_CHOICE:
        status = check_choice(option, value, where, error);
        if (status != STATUS_OK)
            return status;
        break;
    case OPTION_PATH:
        if (!*value)
            return bad_value(option, value, where, "must not be empty", error);
        break;
    case OPTION_TEXT:
        break;
    }
    char *copy = arena_strdup(set->arena, value);
    if (!copy)
        return error_no_memory(error, strlen(value));
    *(const char **)target = copy;
    return STATUS_OK;
}

static void clear_field(void *target, enum option_type type)
{
    switch (type) {
    case OPTION_FLAG:
        *(bool *)target = false;
        break;
    case OPTION_INT:
        *(int64_t *)target = 0;
        break;
    case OPTION_REAL:
        *(double *)target = 0;
        break;
    case OPTION_LIST:
        *(struct option_list *)target = (struct option_list){0};
        break;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_CHOICE:
        *(const char **)target = NULL;
        break;
    }
}

enum status option_add(struct option_set *set, const char *title, const struct option *table,
                       void *target, struct error *error)
{
    int limit = (int)(sizeof set->groups / sizeof *set->groups);
    if (set->count == limit)
        return error_set(error, STATUS_FAILED, "more than %d option tables", limit);
    struct option_group *group = &set->groups[set->count++];
    *group = (struct option_group){title, table, target, NULL, 0};
    for (const struct option *o = table; o->name; o++) {
        clear_field(field(group, o), o->type);
        if (o->fallback) {
            enum status status = store(set, group, o, o->fallback, "built-in default", error);
            if (status != STATUS_OK)
                return status;
        }
        group->length++;
    }
    group->given = arena_calloc(set->arena, (size_t)group->length + 1, sizeof *group->given);
    return group->given ? STATUS_OK : error_no_memory(error, (size_t)group->length);
}

static int distance(const char *a, const char *b)
{
    int row[65];
    int length = (int)strnlen(b, 64);
    for (int j = 0; j <= length; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[length];
}

const char *option_nearest(const char *word, const char *(*next)(void *, int), void *context)
{
    const char *best = NULL, *candidate;
    int least = (int)strlen(word) / 3 + 2;
    for (int i = 0; (candidate = next(context, i)); i++) {
        int here = distance(word, candidate);
        if (here < least) {
            least = here;
            best = candidate;
        }
    }
    return best;
}

static const char *next_name(void *context, int index)
{
    const struct option_set *set = context;
    for (int g = 0; g < set->count; g++) {
        if (index < set->groups[g].length)
            return set->groups[g].table[index].name;
        index -= set->groups[g].length;
    }
    return NULL;
}

static enum status unknown(struct option_set *set, const char *name, size_t length,
                           const char *where, struct error *error)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    const char *nearest = option_nearest(word, next_name, set);
    if (nearest)
        return error_set(error, STATUS_USAGE, "%s: unknown option --%s (did you mean --%s?)", where,
                         word, nearest);
    return error_set(error, STATUS_USAGE, "%s: unknown option --%s", where, word);
}

static enum status assign(struct option_set *set, const struct option_group *group,
                          const struct option *option, const char *value, const char *where,
                          struct error *error)
{
    bool *given = &group->given[option - group->table];
    if (option->type == OPTION_LIST && !*given)
        *(struct option_list *)field(group, option) = (struct option_list){0};
    enum status status = store(set, group, option, value, where, error);
    if (status == STATUS_OK)
        *given = true;
    return status;
}

enum status option_assign(struct option_set *set, const char *name, const char *value,
                          const char *where, struct error *error)
{
    const struct option_group *group;
    const struct option *option = find_option(set, name, strlen(name), 0, &group);
    if (!option)
        return unknown(set, name, strlen(name), where, error);
    return assign(set, group, option, value, where, error);
}

/* Handles one argument that starts with a dash; *used counts the arguments taken. */
static enum status parse_one(struct option_set *set, int left, char **arguments, int *used,
                             struct error *error)
{
    const char *where = "command line";
    const char *text = arguments[0];
    bool is_long = text[1] == '-';
    const char *name = is_long ? text + 2 : NULL;
    size_t length = is_long ? strcspn(name, "=") : 0;
    const char *value = NULL;
    const struct option_group *group = NULL;
    const struct option *option = find_option(set, name, length, text[1], &group);
    *used = 1;
    if (is_long) {
        if (name[length])
            value = name + length + 1;
        if (!option && length > 3 && strncmp(name, "no-", 3) == 0) {
            option = find_option(set, name + 3, length - 3, 0, &group);
            if (option && option->type == OPTION_FLAG && !value)
                return assign(set, group, option, "false", where, error);
            option = NULL;
        }
        if (!option)
            return unknown(set, name, length, where, error);
    } else {
        if (!option)
            return error_set(error, STATUS_USAGE, "%s: unknown option -%c", where, text[1]);
        if (text[2])
            value = text + 2;
        if (value && option->type == OPTION_FLAG)
            return error_set(error, STATUS_USAGE, "%s: -%c takes no value, but '%s' follows it",
                             where, text[1], value);
    }
    if (!value && option->type == OPTION_FLAG)
        value = "true";
    if (!value) {
        if (left < 2)
            return error_set(error, STATUS_USAGE, "%s: %s needs a value", where, text);
        value = arguments[1];
        *used = 2;
    }
    return assign(set, group, option, value, where, error);
}

enum status option_parse(struct option_set *set, int count, char **arguments,
                         struct option_list *positional, struct error *error)
{
    *positional = (struct option_list){0};
    bool only_positional = false;
    for (int i = 0; i < count;) {
        const char *text = arguments[i];
        enum status status;
        int used = 1;
        if (only_positional || text[0] != '-' || !text[1]) {
            status = append(set, positional, text, error);
        } else if (strcmp(text, "--") == 0) {
            only_positional = true;
            status = STATUS_OK;
        } else {
            status = parse_one(set, count - i, arguments + i, &used, error);
        }
        if (status != STATUS_OK)
            return status;
        i += used;
    }
    return STATUS_OK;
}

bool option_given(const struct option_set *set, const char *name)
{
    const struct option_group *group;
    const struct option *option = find_option(set, name, strlen(name), 0, &group);
    return option && group->given[option - group->table];
}

static const char *value_word(const struct option *option)
{
    if (option->unit)
        return option->unit;
    switch (option->type) {
    case OPTION_FLAG:
        return NULL;
    case OPTION_INT:
        return "N";
    case OPTION_REAL:
        return "X";
    case OPTION_PATH:
        return "PATH";
    case OPTION_CHOICE:
        return option->choices;
    case OPTION_TEXT:
    case OPTION_LIST:
        return "TEXT";
    }
    return NULL;
}

#define HELP_WIDTH 80
#define HELP_INDENT 30 /* of what is said about an option */

/* Adds `text`, broken at spaces so that no line passes HELP_WIDTH; it starts at column `indent`. */
static void add_wrapped(struct buffer *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text) {
        size_t width = strcspn(text, " ");
        if (column > indent && column + 1 + width > HELP_WIDTH) {
            buffer_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buffer_add_text(out, " ");
            column++;
        }
        buffer_add(out, text, width);
        column += width;
        text += width;
        text += strspn(text, " ");
    }
    buffer_add_text(out, "\n");
}

/* Adds what stands for a value, broken behind a '|' so that no line passes HELP_WIDTH. Returns the
 * column that it ends at, HELP_WIDTH when it took several lines. */
static size_t add_value_word(struct buffer *out, const char *word, size_t column)
{
    size_t indent = column + 1;
    bool broken = false;
    for (const char *lead = " "; *word; lead = "") {
        size_t width = strcspn(word, "|");
        width += word[width] == '|';
        if (column > indent && column + width > HELP_WIDTH) {
            buffer_printf(out, "\n%*s", (int)indent, "");
            column = indent;
            broken = true;
        }
        buffer_add_text(out, lead);
        buffer_add(out, word, width);
        column += strlen(lead) + width;
        word += width;
    }
    return broken ? HELP_WIDTH : column;
}

static void help_line(const struct option *option, struct buffer *out)
{
    const char *word = value_word(option);
    char letter[8] = "    ";
    size_t column = strlen("  -x, --") + strlen(option->name);
    struct buffer help = {0};
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    buffer_printf(out, "  %s--%s", letter, option->name);
    if (word)
        column = add_value_word(out, word, column);
    if (column + 2 > HELP_INDENT) {
        buffer_add_text(out, "\n");
        column = 0;
    }
    buffer_printf(out, "%*s", (int)(HELP_INDENT - column), "");
    buffer_add_text(&help, option->help);
    if (option->fallback && option->type != OPTION_FLAG && *option->fallback)
        buffer_printf(&help, " [%s]", option->fallback);
    if (help.data)
        add_wrapped(out, help.data, HELP_INDENT);
    out->failed |= help.failed;
    buffer_free(&help);
}

void option_help(const struct option_set *set, struct buffer *out)
{
    for (int g = 0; g < set->count; g++) {
        if (set->groups[g].title)
            buffer_printf(out, "\n%s\n", set->groups[g].title);
        for (const struct option *o = set->groups[g].table; o->name; o++)
            help_line(o, out);
    }
}

static json_t *value_json(const struct option_group *group, const struct option *option)
{
    const void *target = field(group, option);
    switch (option->type) {
    case OPTION_FLAG:
        return json_boolean(*(const bool *)target);
    case OPTION_INT:
        return json_integer(*(const int64_t *)target);
    case OPTION_REAL:
        return json_real(*(const double *)target);
    case OPTION_LIST: {
        const struct option_list *list = target;
        json_t *array = json_array();
        for (int64_t i = 0; i < list->count; i++)
            json_array_append_new(array, json_name(list->items[i]));
        return array;
    }
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_CHOICE:
        break;
    }
    const char *text = *(const char *const *)target;
    return json_name(text);
}

json_t *option_values(const struct option_set *set)
{
    json_t *object = json_object();
    for (int g = 0; object && g < set->count; g++)
        for (const struct option *o = set->groups[g].table; o->name; o++)
            json_object_set_new(object, o->name, value_json(&set->groups[g], o));
    return object;
}
