/* See names.h. */
#include "file/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What follows the layer's number in "layers.3.mlp_norm.weight", and the number; -1 outside of
 * layers. */
static const char *in_layer(const char *ours, int *layer)
{
    bool inside = strncmp(ours, "layers.", 7) == 0;
    *layer = inside ? atoi(ours + 7) : -1;
    return inside ? strchr(ours + 7, '.') + 1 : ours;
}

/* Whether the name is the pattern's, in which '#' stands for a number; *number receives it. */
static bool matches(const char *pattern, const char *name, int *number)
{
    const char *hash = strchr(pattern, '#');
    if (!hash)
        return strcmp(pattern, name) == 0;
    size_t before = (size_t)(hash - pattern);
    char *end;
    if (strncmp(pattern, name, before) != 0 || name[before] < '0' || name[before] > '9')
        return false;
    *number = (int)strtol(name + before, &end, 10);
    return strcmp(hash + 1, end) == 0;
}

static const struct name_rule *find_rule(const struct name_table *table, const char *rest,
                                         bool inside, int *expert)
{
    for (const struct name_rule *rule = table->rules; rule->ours; rule++) {
        bool starred = rule->ours[0] == '*';
        if (starred == inside && matches(rule->ours + starred, rest, expert))
            return rule;
    }
    return NULL;
}

static void stored_name(const struct name_table *table, const struct name_rule *rule, int layer,
                        int expert, char *out)
{
    char prefix[40] = "";
    if (layer >= 0) /* "%d" replaced by hand: the format is data */
        snprintf(prefix, sizeof prefix, "%.*s%d.", (int)strcspn(table->layer, "%"), table->layer,
                 layer);
    const char *theirs = rule->theirs + (rule->theirs[0] == '*'), *hash = strchr(theirs, '#');
    if (hash)
        snprintf(out, NAME_LENGTH, "%s%.*s%d%s", prefix, (int)(hash - theirs), theirs, expert,
                 hash + 1);
    else
        snprintf(out, NAME_LENGTH, "%s%s", prefix, theirs);
}

bool names_find(const struct name_table *table, const struct decoder *decoder,
                const struct parameter *parameter, struct name_group *group)
{
    int layer, expert = 0;
    const char *rest = in_layer(parameter->name, &layer);
    *group = (struct name_group){.table = table, .head_width = decoder->config.head_width};
    group->rule = find_rule(table, rest, layer >= 0, &expert);
    if (!group->rule)
        return false;
    stored_name(table, group->rule, layer, expert, group->stored);
    group->delta = &decoder->config.delta;
    group->channels = decoder_delta_columns(&decoder->config);
    if (group->rule->form == NAME_STACKED) { /* experts of a kind are declared one after another */
        group->experts = decoder->config.experts;
        group->parts[group->count++] = (struct parameter *)(uintptr_t)(parameter - expert);
        group->index = expert;
        return true;
    }
    for (const struct name_rule *rule = table->rules; rule->ours; rule++) {
        if (strcmp(rule->theirs, group->rule->theirs) != 0)
            continue;
        struct parameter *part = (struct parameter *)(uintptr_t)parameter;
        if (rule != group->rule) {
            char ours[80];
            if (layer >= 0)
                snprintf(ours, sizeof ours, "layers.%d.%s", layer, rule->ours + 1);
            else
                snprintf(ours, sizeof ours, "%s", rule->ours);
            part = parameters_find(&decoder->parameters, ours);
        }
        if (!part || group->count == NAME_PARTS_MOST)
            continue;
        if (rule == group->rule)
            group->index = group->count;
        group->parts[group->count++] = part;
    }
    return true;
}

int64_t names_outputs(const struct parameter *parameter)
{
    return parameter->rank == 1 ? parameter->weight.columns : parameter->weight.rows;
}

const struct parameter *names_part(const struct name_group *group, int part)
{
    return group->experts > 0 ? group->parts[0] + part : group->parts[part];
}

int names_part_count(const struct name_group *group)
{
    return group->experts > 0 ? (int)group->experts : group->count;
}

int64_t names_stored_outputs(const struct name_group *group)
{
    int64_t sum = 0;
    for (int i = 0; i < names_part_count(group); i++)
        sum += names_outputs(names_part(group, i));
    return sum;
}

static bool interleaves(const struct name_group *group)
{
    return group->rule->form == NAME_ROTATED && group->table->interleaved;
}

/* Where value `at` of `count` that are value heads lies when those of a key head stand together. */
static int64_t by_key_head(const struct delta_config *d, int64_t count, int64_t at)
{
    int64_t width = count / d->value_heads, head = at / width;
    int64_t shared = d->value_heads / d->key_heads;
    return (head % d->key_heads * shared + head / d->key_heads) * width + at % width;
}

/* Leading outputs that are no value heads; -1 when there are no value heads to reorder. */
static int64_t before_values(const struct name_group *group)
{
    const struct delta_config *d = group->delta;
    enum name_form form = group->rule->form;
    if (form == NAME_VALUE_HEADS)
        return 0;
    if (form != NAME_MIXED_HEADS && form != NAME_CHANNELS)
        return -1;
    return names_outputs(group->parts[0]) / group->channels * 2 * d->key_heads * d->key_width;
}

int64_t names_place(const struct name_group *group, int part, int64_t output)
{
    int64_t width = group->head_width, head = output / width, at = output % width;
    if (group->rule->form == NAME_BY_HEAD)
        return (head * group->count + part) * width + at;
    int64_t before = 0;
    int64_t first = before_values(group);
    if (first >= 0 && output >= first)
        return first +
               by_key_head(group->delta, names_outputs(group->parts[0]) - first, output - first);
    if (group->experts > 0)
        return part * names_outputs(group->parts[0]) + output;
    for (int i = 0; i < part; i++)
        before += names_outputs(group->parts[i]);
    if (!interleaves(group))
        return before + output;
    int64_t half = width / 2;
    return before + head * width + (at < half ? 2 * at : 2 * (at - half) + 1);
}

bool names_contiguous(const struct name_group *group)
{
    bool reordered =
        before_values(group) >= 0 && group->delta->key_heads != group->delta->value_heads;
    return group->rule->form != NAME_BY_HEAD && group->rule->form != NAME_TRANSPOSED &&
           !interleaves(group) && !reordered;
}

int64_t names_input_run(const struct name_group *group)
{
    const struct delta_config *d = group->delta;
    if (group->rule->form == NAME_VALUE_INPUTS && d->key_heads != d->value_heads)
        return d->value_width;
    return group->parts[0]->weight.columns;
}

int64_t names_input_place(const struct name_group *group, int64_t input)
{
    if (group->rule->form != NAME_VALUE_INPUTS)
        return input;
    return by_key_head(group->delta, group->parts[0]->weight.columns, input);
}

float names_to_stored(const struct name_group *group, float value)
{
    switch (group->rule->form) {
    case NAME_LESS_ONE:
        return value - 1.0f;
    case NAME_NEGATED_EXP:
        return -expf(value);
    default:
        return value;
    }
}

float names_from_stored(const struct name_group *group, float value)
{
    switch (group->rule->form) {
    case NAME_LESS_ONE:
        return value + 1.0f;
    case NAME_NEGATED_EXP:
        return logf(-value);
    default:
        return value;
    }
}
