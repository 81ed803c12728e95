/* Evaluating the expressions of a Jinja template. */
#include <math.h>
#include <string.h>

#include "text/jinja_tree.h"

/* Names. */

static struct jinja_value look_up(struct jinja_run *run, struct jinja_value name)
{
    for (const struct jinja_scope *scope = run->scope; scope; scope = scope->parent) {
        jinja_charge(run, 1);
        for (size_t i = 0; i < scope->names.count; i++)
            if (scope->names.keys[i].length == name.length &&
                memcmp(scope->names.keys[i].text, name.text, name.length) == 0)
                return scope->names.values[i];
    }
    const struct jinja_function *function = jinja_find_function(jinja_globals, name);
    if (function)
        return (struct jinja_value){.type = JINJA_FUNCTION, .function = function};
    return jinja_undefined(name.text, name.length, JINJA_NO_NAME);
}

static struct jinja_value missing(struct jinja_run *run, struct jinja_value name)
{
    struct jinja_value text = jinja_string(run, name);
    return jinja_undefined(text.text, text.length, JINJA_NO_MEMBER);
}

static const struct jinja_function *find_method(struct jinja_value object, struct jinja_value name)
{
    const struct jinja_function *found = NULL;
    if (object.type == JINJA_TEXT) {
        found = jinja_find_function(jinja_text_methods, name);
        return found ? found : jinja_find_function(jinja_more_text_methods, name);
    }
    if (object.type == JINJA_MAP)
        found = jinja_find_function(jinja_map_methods, name);
    if (object.type == JINJA_LIST || object.type == JINJA_TUPLE)
        found = jinja_find_function(jinja_list_methods, name);
    if (object.type == JINJA_LOOP)
        found = jinja_find_function(jinja_loop_methods, name);
    return found;
}

static struct jinja_value loop_member(const struct jinja_loop *loop, struct jinja_value name,
                                      bool *found)
{
    int64_t index = (int64_t)loop->index, count = (int64_t)loop->list.count;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", index + 1},        {"index0", index},
                   {"revindex", count - index}, {"revindex0", count - index - 1},
                   {"length", count},           {"depth", loop->depth + 1},
                   {"depth0", loop->depth}};
    static const char first[] = "there is no previous item", last[] = "there is no next item";
    *found = true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (jinja_is_text(name, numbers[i].name))
            return jinja_int(numbers[i].value);
    if (jinja_is_text(name, "first") || jinja_is_text(name, "last"))
        return jinja_bool(name.text[0] == 'f' ? index == 0 : index + 1 == count);
    if (jinja_is_text(name, "previtem"))
        return index > 0 ? loop->list.items[index - 1]
                         : jinja_undefined(first, sizeof first - 1, JINJA_NO_REASON);
    if (jinja_is_text(name, "nextitem"))
        return index + 1 < count ? loop->list.items[index + 1]
                                 : jinja_undefined(last, sizeof last - 1, JINJA_NO_REASON);
    *found = false;
    return jinja_none();
}

/* A method, or a member that is no item. */
static struct jinja_value own_member(struct jinja_run *run, struct jinja_value object,
                                     struct jinja_value name, bool *found)
{
    const struct jinja_function *method = find_method(object, name);
    *found = method != NULL;
    if (method) {
        struct jinja_method *bound = jinja_alloc(run, sizeof *bound);
        if (!bound)
            return jinja_none();
        *bound = (struct jinja_method){method, object};
        return (struct jinja_value){.type = JINJA_METHOD, .method = bound};
    }
    if (object.type == JINJA_LOOP)
        return loop_member(object.loop, name, found);
    if (object.type == JINJA_MACRO && jinja_is_text(name, "name")) {
        *found = true;
        return object.macro->node->value;
    }
    return jinja_none();
}

static struct jinja_value list_item(struct jinja_run *run, const struct jinja_list *list,
                                    struct jinja_value index)
{
    int64_t at = jinja_integer(index), count = (int64_t)list->count;
    at += at < 0 ? count : 0;
    return at >= 0 && at < count ? list->items[at] : missing(run, index);
}

static bool is_sequence(struct jinja_value value)
{
    return value.type == JINJA_LIST || value.type == JINJA_TUPLE ||
           (value.type == JINJA_VIEW && value.view->kind == JINJA_RANGE);
}

/* object[index] as Python has it; `found` is false where Python raises. */
static struct jinja_value subscript(struct jinja_run *run, struct jinja_value object,
                                    struct jinja_value index, bool *found)
{
    bool whole = index.type == JINJA_INT || index.type == JINJA_BOOL;
    *found = true;
    if (object.type == JINJA_MAP || object.type == JINJA_NAMESPACE) {
        struct jinja_value *value = jinja_map_find(run, object.map, index);
        if (value)
            return *value;
    } else if (is_sequence(object) && whole) {
        return list_item(run, object.type == JINJA_VIEW ? &object.view->list : object.list, index);
    } else if (object.type == JINJA_TEXT && whole) {
        int64_t at = jinja_integer(index);
        int64_t count = (int64_t)jinja_characters(object.text, object.length);
        jinja_charge(run, object.length / 32);
        at += at < 0 ? count : 0;
        if (at >= 0 && at < count) {
            size_t from = jinja_offset(object.text, object.length, (size_t)at);
            size_t width = jinja_offset(object.text + from, object.length - from, 1);
            return jinja_slice_of(object.text + from, width);
        }
    }
    *found = false;
    return jinja_none();
}

struct jinja_value jinja_attribute(struct jinja_run *run, struct jinja_value object,
                                   struct jinja_value name)
{
    bool found;
    if (object.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, object);
    struct jinja_value value = own_member(run, object, name, &found);
    if (!found)
        value = subscript(run, object, name, &found);
    return found ? value : missing(run, name);
}

struct jinja_value jinja_item(struct jinja_run *run, struct jinja_value object,
                              struct jinja_value index)
{
    bool found;
    if (object.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, object);
    struct jinja_value value = subscript(run, object, index, &found);
    if (!found && index.type == JINJA_TEXT)
        value = own_member(run, object, index, &found);
    return found ? value : missing(run, index);
}

/* A bound of a slice over `count` items, as Python clamps it. */
static int64_t bound(struct jinja_run *run, struct jinja_value value, int64_t count, int64_t usual,
                     bool backwards)
{
    if (value.type == JINJA_NONE)
        return usual;
    if (value.type != JINJA_INT && value.type != JINJA_BOOL) {
        jinja_fail(run, "the bounds of a slice must be integers, not %s", jinja_type_name(value));
        return 0;
    }
    int64_t at = jinja_integer(value), least = backwards ? -1 : 0;
    int64_t most = backwards ? count - 1 : count;
    if (at < 0)
        at = at < -count ? least : at + count;
    return at < least ? least : at > most ? most : at;
}

struct jinja_value jinja_slice(struct jinja_run *run, struct jinja_value object,
                               struct jinja_value begin, struct jinja_value end,
                               struct jinja_value step)
{
    struct jinja_list items = {0}, out = {0};
    if (object.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, object);
    if (object.type != JINJA_TEXT && !is_sequence(object))
        return missing(run, jinja_literal("slice"));
    int64_t by = step.type == JINJA_NONE ? 1 : bound(run, step, INT64_MAX / 2, 1, false);
    if (step.type == JINJA_INT)
        by = step.integer;
    if (run->failed || by == 0)
        return jinja_fail(run, "the step of a slice must not be 0");
    by = by > INT32_MAX ? INT32_MAX : by < -INT32_MAX ? -INT32_MAX : by;
    bool text = object.type == JINJA_TEXT;
    int64_t count = jinja_length(run, object);
    int64_t from = bound(run, begin, count, by > 0 ? 0 : count - 1, by < 0);
    int64_t to = bound(run, end, count, by > 0 ? count : -1, by < 0);
    if (run->failed)
        return jinja_none();
    if (text && by == 1) {
        jinja_charge(run, object.length / 32);
        size_t low = jinja_offset(object.text, object.length, (size_t)from);
        size_t high = to > from ? low + jinja_offset(object.text + low, object.length - low,
                                                     (size_t)(to - from))
                                : low;
        return jinja_slice_of(object.text + low, high - low);
    }
    if (!jinja_items(run, object, &items))
        return jinja_none();
    struct buffer joined = {0};
    for (int64_t at = from; (by > 0 ? at < to : at > to) && !run->failed; at += by) {
        if (text)
            buffer_add(&joined, items.items[at].text, items.items[at].length);
        else
            jinja_list_add(run, &out, items.items[at]);
        jinja_charge(run, 1);
    }
    if (text)
        return jinja_take(run, &joined);
    return jinja_list_value(run, object.type == JINJA_TUPLE ? JINJA_TUPLE : JINJA_LIST, out);
}

/* Calls. */

static bool spread(struct jinja_run *run, const struct jinja_node *node, struct jinja_value value,
                   struct jinja_arguments *arguments)
{
    struct jinja_list list;
    if (node->op == '*') {
        if (!jinja_items(run, value, &list))
            return false;
        for (size_t i = 0; i < list.count && !run->failed; i++)
            jinja_list_add(run, &arguments->items, list.items[i]);
        return !run->failed;
    }
    if (value.type != JINJA_MAP)
        jinja_fail(run, "what follows ** must be a dict");
    for (size_t i = 0; !run->failed && i < value.map->count; i++)
        jinja_map_set(run, &arguments->named, value.map->keys[i], value.map->values[i]);
    return !run->failed;
}

bool jinja_eval_arguments(struct jinja_run *run, const struct jinja_node *list,
                          struct jinja_arguments *arguments)
{
    *arguments = (struct jinja_arguments){0};
    for (const struct jinja_node *node = list; node && !run->failed; node = node->next) {
        bool special = node->kind == JINJA_NAMED || node->kind == JINJA_SPREAD;
        struct jinja_value value = jinja_eval(run, special ? node->a : node);
        if (run->failed)
            return false;
        if (node->kind == JINJA_NAMED) {
            if (jinja_map_find(run, &arguments->named, node->value))
                jinja_fail(run, "an argument is given twice");
            jinja_map_set(run, &arguments->named, node->value, value);
        } else if (node->kind == JINJA_SPREAD) {
            spread(run, node, value, arguments);
        } else {
            jinja_list_add(run, &arguments->items, value);
        }
    }
    return !run->failed;
}

struct jinja_value jinja_call(struct jinja_run *run, struct jinja_value callee,
                              const struct jinja_arguments *arguments)
{
    switch (callee.type) {
    case JINJA_UNDEFINED:
        return jinja_fail_undefined(run, callee);
    case JINJA_FUNCTION:
        return callee.function->call(run, jinja_none(), arguments);
    case JINJA_METHOD:
        return callee.method->function->call(run, callee.method->object, arguments);
    case JINJA_MACRO:
        return jinja_call_macro(run, callee.macro, arguments);
    case JINJA_LOOP:
        if (!callee.loop->node->op)
            return jinja_fail(run, "only a loop marked 'recursive' can be called");
        if (!jinja_check_arguments(run, "loop", arguments, 1, 1, ""))
            return jinja_none();
        return jinja_run_loop(run, callee.loop->node, jinja_argument(run, arguments, 0, NULL),
                              callee.loop->scope, callee.loop->depth + 1);
    default:
        return jinja_fail(run, "a value of type %s cannot be called", jinja_type_name(callee));
    }
}

static struct jinja_value eval_call(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_arguments arguments;
    struct jinja_value callee = jinja_eval(run, node->a);
    if (run->failed || !jinja_eval_arguments(run, node->list, &arguments))
        return jinja_none();
    run->line = node->line;
    return jinja_call(run, callee, &arguments);
}

static struct jinja_value eval_filter(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_arguments arguments;
    struct jinja_value input = jinja_eval(run, node->a);
    if (run->failed || !jinja_eval_arguments(run, node->list, &arguments))
        return jinja_none();
    run->line = node->line;
    return jinja_apply_filter(run, node->value, input, &arguments);
}

static struct jinja_value eval_test(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_arguments arguments;
    struct jinja_value input = jinja_eval(run, node->a);
    if (run->failed || !jinja_eval_arguments(run, node->list, &arguments))
        return jinja_none();
    run->line = node->line;
    return jinja_bool(jinja_apply_test(run, node->value, input, &arguments));
}

/* Operators. */

static struct jinja_value eval_unary(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value a = jinja_eval(run, node->a);
    if (run->failed)
        return a;
    run->line = node->line;
    if (node->op == '!')
        return jinja_bool(!jinja_truth(run, a));
    if (a.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, a);
    if (!jinja_is_number(a))
        return jinja_fail(run, "a value of type %s has no sign", jinja_type_name(a));
    if (a.type == JINJA_REAL)
        return jinja_real(node->op == '-' ? -a.real : a.real);
    int64_t value = jinja_integer(a);
    if (node->op == '-' && value == INT64_MIN)
        return jinja_fail(run, "an integer is too large");
    return jinja_int(node->op == '-' ? -value : value);
}

static struct jinja_value eval_concat(struct jinja_run *run, const struct jinja_node *node)
{
    struct buffer text = {0};
    for (const struct jinja_node *part = node->list; part && !run->failed; part = part->next)
        jinja_print(run, jinja_eval(run, part), &text);
    return jinja_take(run, &text);
}

static bool holds(struct jinja_run *run, int op, struct jinja_value a, struct jinja_value b)
{
    switch (op) {
    case JINJA_EQUAL:
        return jinja_equal(run, a, b);
    case JINJA_UNEQUAL:
        return !jinja_equal(run, a, b);
    case JINJA_IN:
        return jinja_contains(run, b, a);
    case JINJA_NOT_IN:
        return !jinja_contains(run, b, a);
    default:
        break;
    }
    bool nan = (a.type == JINJA_REAL && isnan(a.real)) || (b.type == JINJA_REAL && isnan(b.real));
    int sign = jinja_compare(run, a, b);
    if (nan)
        return false;
    return op == '<'             ? sign < 0
           : op == '>'           ? sign > 0
           : op == JINJA_AT_MOST ? sign <= 0
                                 : sign >= 0;
}

static struct jinja_value eval_compare(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(run, node->a);
    bool all = true;
    for (const struct jinja_node *o = node->list; o && all && !run->failed; o = o->next) {
        struct jinja_value right = jinja_eval(run, o->a);
        if (run->failed)
            break;
        run->line = node->line;
        all = holds(run, o->op, left, right);
        left = right;
    }
    return jinja_bool(all);
}

static struct jinja_value eval_binary(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value a = jinja_eval(run, node->a);
    struct jinja_value b = run->failed ? a : jinja_eval(run, node->b);
    run->line = run->failed ? run->line : node->line;
    return run->failed ? a : jinja_binary(run, node->op, a, b);
}

static struct jinja_value eval_collection(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_list list = {0};
    struct jinja_map map = {0};
    for (const struct jinja_node *item = node->list; item && !run->failed; item = item->next) {
        if (node->kind != JINJA_MAP_OF) {
            jinja_list_add(run, &list, jinja_eval(run, item));
            continue;
        }
        struct jinja_value key = jinja_eval(run, item->a);
        struct jinja_value value = run->failed ? key : jinja_eval(run, item->b);
        if (!run->failed)
            jinja_map_set(run, &map, key, value);
    }
    if (node->kind == JINJA_MAP_OF)
        return jinja_map_value(run, map);
    return jinja_list_value(run, node->kind == JINJA_LIST_OF ? JINJA_LIST : JINJA_TUPLE, list);
}

static struct jinja_value eval_item(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value object = jinja_eval(run, node->a), parts[3];
    const struct jinja_node *slice = node->b->kind == JINJA_SLICE ? node->b : NULL;
    if (!slice) {
        struct jinja_value index = run->failed ? object : jinja_eval(run, node->b);
        run->line = run->failed ? run->line : node->line;
        return run->failed ? object : jinja_item(run, object, index);
    }
    const struct jinja_node *const nodes[3] = {slice->a, slice->b, slice->c};
    for (int i = 0; i < 3 && !run->failed; i++)
        parts[i] = nodes[i] ? jinja_eval(run, nodes[i]) : jinja_none();
    if (run->failed)
        return object;
    run->line = node->line;
    return jinja_slice(run, object, parts[0], parts[1], parts[2]);
}

/* and, or, and the choice by a condition, which leave out what is not asked for. */
static struct jinja_value eval_lazy(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value = jinja_eval(run, node->kind == JINJA_CHOICE ? node->b : node->a);
    bool truth = !run->failed && jinja_truth(run, value);
    if (run->failed)
        return value;
    if (node->kind != JINJA_CHOICE)
        return truth == (node->kind == JINJA_AND) ? jinja_eval(run, node->b) : value;
    if (truth)
        return jinja_eval(run, node->a);
    static const char reason[] =
        "the inline if expression has no 'else', and its condition is false";
    return node->c ? jinja_eval(run, node->c)
                   : jinja_undefined(reason, sizeof reason - 1, JINJA_NO_REASON);
}

static struct jinja_value eval_node(struct jinja_run *run, const struct jinja_node *node)
{
    switch (node->kind) {
    case JINJA_NAME:
        return look_up(run, node->value);
    case JINJA_LIST_OF:
    case JINJA_TUPLE_OF:
    case JINJA_MAP_OF:
        return eval_collection(run, node);
    case JINJA_ATTRIBUTE: {
        struct jinja_value object = jinja_eval(run, node->a);
        run->line = run->failed ? run->line : node->line;
        return run->failed ? object : jinja_attribute(run, object, node->value);
    }
    case JINJA_ITEM:
        return eval_item(run, node);
    case JINJA_CALL:
        return eval_call(run, node);
    case JINJA_FILTER:
        return eval_filter(run, node);
    case JINJA_TEST:
        return eval_test(run, node);
    case JINJA_UNARY:
        return eval_unary(run, node);
    case JINJA_BINARY:
        return eval_binary(run, node);
    case JINJA_CONCAT:
        return eval_concat(run, node);
    case JINJA_COMPARE:
        return eval_compare(run, node);
    case JINJA_AND:
    case JINJA_OR:
    case JINJA_CHOICE:
        return eval_lazy(run, node);
    default:
        return jinja_fail(run, "a slice stands where a value is wanted");
    }
}

struct jinja_value jinja_eval(struct jinja_run *run, const struct jinja_node *node)
{
    if (node->kind == JINJA_CONSTANT)
        return node->value;
    if (!jinja_enter(run))
        return jinja_none();
    struct jinja_value value = eval_node(run, node);
    run->depth--;
    return value;
}
