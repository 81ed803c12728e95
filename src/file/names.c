/* See names.h. */
#include "file/names.h"

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

static const struct name_rule *find_rule(const struct name_table *table, const char *rest,
                                         bool inside)
{
    for (const struct name_rule *rule = table->rules; rule->ours; rule++) {
        bool starred = rule->ours[0] == '*';
        if (starred == inside && strcmp(rule->ours + starred, rest) == 0)
            return rule;
    }
    return NULL;
}

static void stored_name(const struct name_table *table, const struct name_rule *rule, int layer,
                        char *out)
{
    char prefix[40] = "";
    if (layer >= 0) /* "%d" replaced by hand: the format is data */
        snprintf(prefix, sizeof prefix, "%.*s%d.", (int)strcspn(table->layer, "%"), table->layer,
                 layer);
    snprintf(out, NAME_LENGTH, "%s%s", prefix, rule->theirs + (rule->theirs[0] == '*'));
}

bool names_find(const struct name_table *table, const struct decoder *decoder,
                const struct parameter *parameter, struct name_group *group)
{
    int layer;
    const char *rest = in_layer(parameter->name, &layer);
    *group = (struct name_group){.table = table, .head_width = decoder->config.head_width};
    group->rule = find_rule(table, rest, layer >= 0);
    if (!group->rule)
        return false;
    stored_name(table, group->rule, layer, group->stored);
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

int64_t names_stored_outputs(const struct name_group *group)
{
    int64_t sum = 0;
    for (int i = 0; i < group->count; i++)
        sum += names_outputs(group->parts[i]);
    return sum;
}

static bool interleaves(const struct name_group *group)
{
    return group->rule->form == NAME_ROTATED && group->table->interleaved;
}

int64_t names_place(const struct name_group *group, int part, int64_t output)
{
    int64_t width = group->head_width, head = output / width, at = output % width;
    if (group->rule->form == NAME_BY_HEAD)
        return (head * group->count + part) * width + at;
    int64_t before = 0;
    for (int i = 0; i < part; i++)
        before += names_outputs(group->parts[i]);
    if (!interleaves(group))
        return before + output;
    int64_t half = width / 2;
    return before + head * width + (at < half ? 2 * at : 2 * (at - half) + 1);
}

bool names_contiguous(const struct name_group *group)
{
    return group->rule->form != NAME_BY_HEAD && group->rule->form != NAME_TRANSPOSED &&
           !interleaves(group);
}
