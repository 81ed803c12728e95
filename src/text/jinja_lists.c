/* The filters of Jinja that work on lists and dicts, and the methods of these. None changes its
 * input: in the sandbox that transformers renders templates in, lists and dicts stay as they are.
 */
#include <string.h>

#include "text/jinja_tree.h"
#include "text/jinja_words.h"

#define FILTER(name)                                                                               \
    static struct jinja_value name(struct jinja_run *run, struct jinja_value input,                \
                                   const struct jinja_arguments *arguments)

static struct jinja_value empty(const char *what)
{
    return jinja_undefined(what, strlen(what), JINJA_NO_REASON);
}

/* The member that "a.b.0" names; at each step `fallback`, unless NULL, stands for what is missing.
 */
static struct jinja_value member_or(struct jinja_run *run, struct jinja_value item,
                                    struct jinja_value path, const struct jinja_value *fallback)
{
    if (path.type != JINJA_TEXT) {
        item = jinja_item(run, item, path);
        return fallback && item.type == JINJA_UNDEFINED ? *fallback : item;
    }
    const char *at = path.text, *end = at + path.length;
    while (at <= end && !run->failed) {
        const char *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
        size_t length = (size_t)((dot ? dot : end) - at);
        struct jinja_value part = jinja_slice_of(at, length);
        bool digits = length > 0 && length < 10;
        int64_t index = 0;
        for (size_t i = 0; i < length && digits; i++) {
            digits = at[i] >= '0' && at[i] <= '9';
            index = index * 10 + (at[i] - '0');
        }
        item = jinja_item(run, item, digits ? jinja_int(index) : part);
        if (fallback && item.type == JINJA_UNDEFINED)
            item = *fallback;
        at += length + 1;
    }
    return item;
}

static struct jinja_value member_at(struct jinja_run *run, struct jinja_value item,
                                    struct jinja_value path)
{
    return member_or(run, item, path, NULL);
}

/* Sorting by keys: items[i] goes with keys[i]; merges, so equal keys keep their order. */
struct keyed {
    struct jinja_value key, item;
};

static void merge_keyed(struct jinja_run *run, struct keyed *from, struct keyed *to, size_t low,
                        size_t middle, size_t high, bool reverse)
{
    size_t a = low, b = middle;
    for (size_t i = low; i < high && !run->failed; i++) {
        bool second = a == middle;
        if (!second && b < high) {
            int sign = jinja_compare(run, from[b].key, from[a].key);
            second = reverse ? sign > 0 : sign < 0;
        }
        to[i] = from[second ? b++ : a++];
        jinja_charge(run, 1);
    }
}

static void sort_keyed(struct jinja_run *run, struct keyed *items, size_t count, bool reverse)
{
    struct keyed *from = items, *to = jinja_alloc(run, count * sizeof *to);
    for (size_t width = 1; width < count && !run->failed; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = low + width < count ? low + width : count;
            size_t high = middle + width < count ? middle + width : count;
            merge_keyed(run, from, to, low, middle, high, reverse);
        }
        struct keyed *other = from;
        from = to;
        to = other;
    }
    if (from != items && !run->failed)
        memcpy(items, from, count * sizeof *items);
}

static struct jinja_value without_case(struct jinja_run *run, struct jinja_value value,
                                       bool sensitive)
{
    return !sensitive && value.type == JINJA_TEXT ? jinja_change_case(run, value, JINJA_LOWER)
                                                  : value;
}

/* The key of an item by "a,b" (undefined: the item itself), several as a tuple. */
static struct jinja_value sort_key(struct jinja_run *run, struct jinja_value item,
                                   struct jinja_value paths, bool sensitive)
{
    struct jinja_list keys = {0};
    if (paths.type == JINJA_UNDEFINED || paths.type == JINJA_NONE)
        return without_case(run, item, sensitive);
    if (paths.type != JINJA_TEXT || !memchr(paths.text, ',', paths.length))
        return without_case(run, member_at(run, item, paths), sensitive);
    for (size_t at = 0; at <= paths.length && !run->failed;) {
        const char *begin = paths.text + at, *comma = memchr(begin, ',', paths.length - at);
        size_t length = comma ? (size_t)(comma - begin) : paths.length - at;
        struct jinja_value part = member_at(run, item, jinja_slice_of(begin, length));
        jinja_list_add(run, &keys, without_case(run, part, sensitive));
        at += length + 1;
    }
    return jinja_list_value(run, JINJA_TUPLE, keys);
}

static struct keyed *key_items(struct jinja_run *run, const struct jinja_list *list,
                               struct jinja_value paths, bool sensitive)
{
    struct keyed *items = jinja_alloc(run, list->count * sizeof *items);
    for (size_t i = 0; items && i < list->count && !run->failed; i++) {
        items[i].item = list->items[i];
        items[i].key = sort_key(run, list->items[i], paths, sensitive);
    }
    return run->failed ? NULL : items;
}

FILTER(filter_sort)
{
    struct jinja_list list, sorted = {0};
    bool reverse = jinja_argument_bool(run, arguments, 0, "reverse", false);
    bool sensitive = jinja_argument_bool(run, arguments, 1, "case_sensitive", false);
    if (!jinja_items(run, input, &list))
        return jinja_none();
    struct keyed *items =
        key_items(run, &list, jinja_argument(run, arguments, 2, "attribute"), sensitive);
    if (items)
        sort_keyed(run, items, list.count, reverse);
    for (size_t i = 0; items && i < list.count && !run->failed; i++)
        jinja_list_add(run, &sorted, items[i].item);
    return jinja_list_value(run, JINJA_LIST, sorted);
}

static struct jinja_value pair_of(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    struct jinja_list pair = {0};
    jinja_list_add(run, &pair, a);
    jinja_list_add(run, &pair, b);
    return jinja_list_value(run, JINJA_TUPLE, pair);
}

static struct jinja_list map_pairs(struct jinja_run *run, const struct jinja_map *map)
{
    struct jinja_list list = {0};
    for (size_t i = 0; i < map->count && !run->failed; i++)
        jinja_list_add(run, &list, pair_of(run, map->keys[i], map->values[i]));
    return list;
}

FILTER(filter_dictsort)
{
    bool sensitive = jinja_argument_bool(run, arguments, 0, "case_sensitive", false);
    struct jinja_value by = jinja_argument(run, arguments, 1, "by");
    bool reverse = jinja_argument_bool(run, arguments, 2, "reverse", false);
    struct jinja_list sorted = {0};
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    if (input.type != JINJA_MAP)
        return jinja_fail(run, "dictsort wants a dict, not %s", jinja_type_name(input));
    bool value = jinja_is_text(by, "value");
    if (by.type != JINJA_UNDEFINED && !value && !jinja_is_text(by, "key"))
        return jinja_fail(run, "dictsort goes by key or value");
    struct jinja_list pairs = map_pairs(run, input.map);
    struct keyed *items = key_items(run, &pairs, jinja_int(value), sensitive);
    if (items)
        sort_keyed(run, items, pairs.count, reverse);
    for (size_t i = 0; items && i < pairs.count && !run->failed; i++)
        jinja_list_add(run, &sorted, items[i].item);
    return jinja_list_value(run, JINJA_LIST, sorted);
}

FILTER(filter_groupby)
{
    struct jinja_list list, groups = {0}, members = {0};
    struct jinja_value path = jinja_argument(run, arguments, 0, "attribute");
    struct jinja_value other = jinja_argument(run, arguments, 1, "default");
    bool sensitive = jinja_argument_bool(run, arguments, 2, "case_sensitive", false);
    if (!jinja_items(run, input, &list))
        return jinja_none();
    struct keyed *items = key_items(run, &list, path, sensitive);
    for (size_t i = 0; items && i < list.count; i++)
        if (items[i].key.type == JINJA_UNDEFINED && other.type != JINJA_UNDEFINED)
            items[i].key = without_case(run, other, sensitive);
    if (items)
        sort_keyed(run, items, list.count, false);
    for (size_t i = 0; items && i < list.count && !run->failed; i++) {
        jinja_list_add(run, &members, items[i].item);
        if (i + 1 < list.count && jinja_equal(run, items[i].key, items[i + 1].key))
            continue;
        struct jinja_value name = member_at(run, members.items[0], path);
        if (name.type == JINJA_UNDEFINED && other.type != JINJA_UNDEFINED)
            name = other;
        jinja_list_add(run, &groups,
                       pair_of(run, name, jinja_list_value(run, JINJA_LIST, members)));
        members = (struct jinja_list){0};
    }
    return jinja_list_value(run, JINJA_LIST, groups);
}

static bool seen_before(struct jinja_run *run, const struct jinja_list *seen,
                        struct jinja_value key)
{
    for (size_t i = 0; i < seen->count && jinja_charge(run, 1); i++)
        if (jinja_equal(run, seen->items[i], key))
            return true;
    return false;
}

FILTER(filter_unique)
{
    struct jinja_list list, seen = {0}, kept = {0};
    bool sensitive = jinja_argument_bool(run, arguments, 0, "case_sensitive", false);
    struct jinja_value path = jinja_argument(run, arguments, 1, "attribute");
    if (!jinja_items(run, input, &list))
        return jinja_none();
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        struct jinja_value key = sort_key(run, list.items[i], path, sensitive);
        if (key.type == JINJA_LIST || key.type == JINJA_MAP)
            return jinja_fail(run, "a %s cannot be a key", jinja_type_name(key));
        if (run->failed || seen_before(run, &seen, key))
            continue;
        jinja_list_add(run, &seen, key);
        jinja_list_add(run, &kept, list.items[i]);
    }
    return jinja_view_value(run, JINJA_GENERATOR, kept);
}

static struct jinja_value extreme(struct jinja_run *run, struct jinja_value input,
                                  const struct jinja_arguments *arguments, int wanted)
{
    struct jinja_list list;
    bool sensitive = jinja_argument_bool(run, arguments, 0, "case_sensitive", false);
    struct jinja_value path = jinja_argument(run, arguments, 1, "attribute");
    if (!jinja_items(run, input, &list))
        return jinja_none();
    if (list.count == 0)
        return empty("there is no item, as the list is empty");
    struct keyed *items = key_items(run, &list, path, sensitive);
    size_t best = 0;
    for (size_t i = 1; items && i < list.count && !run->failed; i++) {
        int sign = jinja_compare(run, items[i].key, items[best].key);
        best = sign * wanted > 0 ? i : best;
    }
    return list.items[best];
}

FILTER(filter_min)
{
    return extreme(run, input, arguments, -1);
}

FILTER(filter_max)
{
    return extreme(run, input, arguments, 1);
}

FILTER(filter_sum)
{
    struct jinja_list list;
    struct jinja_value path = jinja_argument(run, arguments, 0, "attribute");
    struct jinja_value sum = jinja_argument(run, arguments, 1, "start");
    sum = sum.type == JINJA_UNDEFINED ? jinja_int(0) : sum;
    if (!jinja_items(run, input, &list))
        return jinja_none();
    if (sum.type == JINJA_TEXT)
        return jinja_fail(run, "sum adds no texts");
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        bool by_path = path.type != JINJA_UNDEFINED && path.type != JINJA_NONE;
        struct jinja_value item = by_path ? member_at(run, list.items[i], path) : list.items[i];
        if (!run->failed)
            sum = jinja_binary(run, '+', sum, item);
    }
    return sum;
}

FILTER(filter_join)
{
    struct jinja_list list;
    struct jinja_value mark = jinja_string(run, jinja_argument(run, arguments, 0, "d"));
    struct jinja_value path = jinja_argument(run, arguments, 1, "attribute");
    struct buffer out = {0};
    if (!jinja_items(run, input, &list))
        return jinja_none();
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        bool by_path = path.type != JINJA_UNDEFINED && path.type != JINJA_NONE;
        if (i)
            jinja_print(run, mark, &out);
        jinja_print(run, by_path ? member_at(run, list.items[i], path) : list.items[i], &out);
        jinja_charge(run, 1);
    }
    return jinja_take(run, &out);
}

FILTER(filter_first)
{
    struct jinja_list list;
    (void)arguments;
    if (!jinja_items(run, input, &list))
        return jinja_none();
    return list.count ? list.items[0] : empty("there is no first item, as the list is empty");
}

FILTER(filter_last)
{
    struct jinja_list list;
    (void)arguments;
    if (input.type == JINJA_VIEW && input.view->kind == JINJA_GENERATOR)
        return jinja_fail(run, "a generator has no last item");
    if (!jinja_items(run, input, &list))
        return jinja_none();
    return list.count ? list.items[list.count - 1]
                      : empty("there is no last item, as the list is empty");
}

FILTER(filter_list)
{
    struct jinja_list list;
    (void)arguments;
    return jinja_items(run, input, &list) ? jinja_list_value(run, JINJA_LIST, list) : jinja_none();
}

FILTER(filter_reverse)
{
    struct jinja_list list, out = {0};
    (void)arguments;
    if (input.type == JINJA_TEXT)
        return jinja_slice(run, input, jinja_none(), jinja_none(), jinja_int(-1));
    if (!jinja_items(run, input, &list))
        return jinja_none();
    for (size_t i = list.count; i-- > 0 && !run->failed;)
        jinja_list_add(run, &out, list.items[i]);
    return jinja_view_value(run, JINJA_GENERATOR, out);
}

FILTER(filter_items)
{
    (void)arguments;
    if (input.type == JINJA_UNDEFINED)
        return jinja_view_value(run, JINJA_GENERATOR, (struct jinja_list){0});
    if (input.type != JINJA_MAP)
        return jinja_fail(run, "items wants a dict, not %s", jinja_type_name(input));
    return jinja_view_value(run, JINJA_GENERATOR, map_pairs(run, input.map));
}

FILTER(filter_batch)
{
    struct jinja_list list, batches = {0}, batch = {0};
    int64_t size = jinja_argument_int(run, arguments, 0, "linecount", 0);
    struct jinja_value fill = jinja_argument(run, arguments, 1, "fill_with");
    bool fills = fill.type != JINJA_UNDEFINED && fill.type != JINJA_NONE;
    if (!jinja_items(run, input, &list))
        return jinja_none();
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        jinja_list_add(run, &batch, list.items[i]);
        while (fills && i + 1 == list.count && (int64_t)batch.count < size && !run->failed)
            jinja_list_add(run, &batch, fill);
        if ((int64_t)batch.count == size || i + 1 == list.count) {
            jinja_list_add(run, &batches, jinja_list_value(run, JINJA_LIST, batch));
            batch = (struct jinja_list){0};
        }
    }
    return jinja_view_value(run, JINJA_GENERATOR, batches);
}

FILTER(filter_slice)
{
    struct jinja_list list, parts = {0};
    int64_t count = jinja_argument_int(run, arguments, 0, "slices", 0);
    struct jinja_value fill = jinja_argument(run, arguments, 1, "fill_with");
    bool fills = fill.type != JINJA_UNDEFINED && fill.type != JINJA_NONE;
    if (!jinja_items(run, input, &list))
        return jinja_none();
    if (count <= 0)
        return count == 0 ? jinja_fail(run, "division by zero")
                          : jinja_view_value(run, JINJA_GENERATOR, parts);
    size_t each = list.count / (size_t)count, more = list.count % (size_t)count, at = 0;
    for (int64_t i = 0; i < count && !run->failed; i++) {
        struct jinja_list part = {0};
        size_t end = at + each + ((size_t)i < more);
        while (at < end && !run->failed)
            jinja_list_add(run, &part, list.items[at++]);
        if (fills && (size_t)i >= more)
            jinja_list_add(run, &part, fill);
        jinja_list_add(run, &parts, jinja_list_value(run, JINJA_LIST, part));
        jinja_charge(run, 1);
    }
    return jinja_view_value(run, JINJA_GENERATOR, parts);
}

/* map, select, reject. */

/* Arguments without the first `skip` of those without names. */
static struct jinja_arguments rest_of(const struct jinja_arguments *arguments, size_t skip)
{
    struct jinja_arguments rest = *arguments;
    rest.items.items += skip;
    rest.items.count -= skip;
    rest.items.capacity = rest.items.count;
    return rest;
}

FILTER(filter_map)
{
    struct jinja_list list, out = {0};
    struct jinja_value *path = jinja_map_text(run, &arguments->named, "attribute");
    struct jinja_value *other = jinja_map_text(run, &arguments->named, "default");
    bool by_path = arguments->items.count == 0;
    if (by_path && !path)
        return jinja_fail(run, "map wants the name of a filter, or attribute=");
    if (!jinja_items(run, input, &list))
        return jinja_none();
    struct jinja_arguments rest = by_path ? *arguments : rest_of(arguments, 1);
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        struct jinja_value value =
            by_path ? member_or(run, list.items[i], *path, other)
                    : jinja_apply_filter(run, arguments->items.items[0], list.items[i], &rest);
        jinja_list_add(run, &out, value);
    }
    return jinja_view_value(run, JINJA_GENERATOR, out);
}

static struct jinja_value choose(struct jinja_run *run, struct jinja_value input,
                                 const struct jinja_arguments *arguments, bool wanted, bool member)
{
    struct jinja_list list, out = {0};
    size_t at = member;
    if (arguments->items.count < at)
        return jinja_fail(run, "the name of a member is missing");
    if (!jinja_items(run, input, &list))
        return jinja_none();
    bool tests = arguments->items.count > at;
    struct jinja_arguments rest = tests ? rest_of(arguments, at + 1) : *arguments;
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        struct jinja_value value =
            member ? member_at(run, list.items[i], arguments->items.items[0]) : list.items[i];
        if (run->failed)
            break;
        bool passes = tests ? jinja_apply_test(run, arguments->items.items[at], value, &rest)
                            : jinja_truth(run, value);
        if (passes == wanted)
            jinja_list_add(run, &out, list.items[i]);
        jinja_charge(run, 1);
    }
    return jinja_view_value(run, JINJA_GENERATOR, out);
}

FILTER(filter_select)
{
    return choose(run, input, arguments, true, false);
}

FILTER(filter_reject)
{
    return choose(run, input, arguments, false, false);
}

FILTER(filter_selectattr)
{
    return choose(run, input, arguments, true, true);
}

FILTER(filter_rejectattr)
{
    return choose(run, input, arguments, false, true);
}

const struct jinja_function jinja_list_filters[] = {
    {"sort", filter_sort},
    {"dictsort", filter_dictsort},
    {"groupby", filter_groupby},
    {"unique", filter_unique},
    {"min", filter_min},
    {"max", filter_max},
    {"sum", filter_sum},
    {"join", filter_join},
    {"first", filter_first},
    {"last", filter_last},
    {"list", filter_list},
    {"reverse", filter_reverse},
    {"items", filter_items},
    {"batch", filter_batch},
    {"slice", filter_slice},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {NULL, NULL},
};

/* Methods. */

FILTER(map_get)
{
    if (!jinja_check_arguments(run, "get", arguments, 1, 2, ""))
        return jinja_none();
    struct jinja_value *found = jinja_map_find(run, input.map, arguments->items.items[0]);
    if (found)
        return *found;
    return arguments->items.count > 1 ? arguments->items.items[1] : jinja_none();
}

FILTER(map_items)
{
    (void)arguments;
    return jinja_view_value(run, JINJA_ITEMS, map_pairs(run, input.map));
}

FILTER(map_keys)
{
    (void)arguments;
    const struct jinja_map *map = input.map;
    return jinja_view_value(run, JINJA_KEYS,
                            (struct jinja_list){map->keys, map->count, map->count});
}

FILTER(map_values)
{
    (void)arguments;
    const struct jinja_map *map = input.map;
    return jinja_view_value(run, JINJA_VALUES,
                            (struct jinja_list){map->values, map->count, map->count});
}

FILTER(map_copy)
{
    (void)run, (void)arguments;
    return input;
}

FILTER(refuse_change)
{
    (void)input, (void)arguments;
    return jinja_fail(run, "templates cannot change lists and dicts; namespaces can be changed");
}

const struct jinja_function jinja_map_methods[] = {
    {"get", map_get},
    {"items", map_items},
    {"keys", map_keys},
    {"values", map_values},
    {"copy", map_copy},
    {"update", refuse_change},
    {"pop", refuse_change},
    {"popitem", refuse_change},
    {"setdefault", refuse_change},
    {"clear", refuse_change},
    {NULL, NULL},
};

FILTER(list_index)
{
    for (size_t i = 0; i < input.list->count && jinja_charge(run, 1); i++)
        if (jinja_equal(run, input.list->items[i], jinja_argument(run, arguments, 0, NULL)))
            return jinja_int((int64_t)i);
    return jinja_fail(run, "the list has no such item");
}

FILTER(list_count)
{
    int64_t count = 0;
    for (size_t i = 0; i < input.list->count && jinja_charge(run, 1); i++)
        count += jinja_equal(run, input.list->items[i], jinja_argument(run, arguments, 0, NULL));
    return jinja_int(count);
}

const struct jinja_function jinja_list_methods[] = {
    {"index", list_index},      {"count", list_count},     {"copy", map_copy},
    {"append", refuse_change},  {"extend", refuse_change}, {"insert", refuse_change},
    {"remove", refuse_change},  {"pop", refuse_change},    {"clear", refuse_change},
    {"reverse", refuse_change}, {"sort", refuse_change},   {NULL, NULL},
};

FILTER(loop_cycle)
{
    (void)input;
    size_t count = arguments->items.count;
    if (count == 0)
        return jinja_fail(run, "cycle() wants items");
    return arguments->items.items[input.loop->index % count];
}

FILTER(loop_changed)
{
    struct jinja_value now = jinja_list_value(run, JINJA_TUPLE, arguments->items);
    struct jinja_value before = {.type = JINJA_TUPLE, .list = input.loop->told};
    bool changed = !run->failed && (!input.loop->told || !jinja_equal(run, now, before));
    if (changed)
        input.loop->told = now.list;
    return jinja_bool(changed);
}

const struct jinja_function jinja_loop_methods[] = {
    {"cycle", loop_cycle},
    {"changed", loop_changed},
    {NULL, NULL},
};
