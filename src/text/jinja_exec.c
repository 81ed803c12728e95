/* Running the statements of a Jinja template: output, scopes, loops, macros; and jinja_render. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja_tree.h"

static struct jinja_scope *open_scope(struct jinja_run *run, struct jinja_scope *parent)
{
    struct jinja_scope *scope = jinja_alloc(run, sizeof *scope);
    if (scope)
        *scope = (struct jinja_scope){.parent = parent};
    return scope;
}

static void define(struct jinja_run *run, struct jinja_value name, struct jinja_value value)
{
    if (run->scope)
        jinja_map_set(run, &run->scope->names, name, value);
}

static struct jinja_value named(struct jinja_run *run, const struct jinja_value *name)
{
    struct jinja_node node = {.kind = JINJA_NAME, .value = *name, .line = run->line};
    return jinja_eval(run, &node);
}

static void assign(struct jinja_run *run, const struct jinja_node *target, struct jinja_value value)
{
    struct jinja_list list;
    if (target->kind == JINJA_NAME) {
        define(run, target->value, value);
    } else if (target->kind == JINJA_MEMBER) {
        struct jinja_value space = named(run, &target->value);
        if (!run->failed && space.type != JINJA_NAMESPACE)
            jinja_fail(run, "only members of a namespace can be set");
        if (!run->failed)
            jinja_map_set(run, space.map, target->a->value, value);
    } else if (jinja_items(run, value, &list)) {
        size_t i = 0;
        const struct jinja_node *part = target->list;
        for (; part && i < list.count && !run->failed; part = part->next)
            assign(run, part, list.items[i++]);
        if (!run->failed && (part || i < list.count))
            jinja_fail(run, "%zu values do not fit the names that they are assigned to",
                       list.count);
    }
}

static void write_text(struct jinja_run *run, struct jinja_value value)
{
    jinja_print(run, value, run->out);
    if (run->out->failed)
        jinja_fail(run, "out of memory");
}

struct jinja_value jinja_capture(struct jinja_run *run, const struct jinja_node *list)
{
    struct buffer text = {0}, *outer = run->out;
    run->out = &text;
    jinja_exec(run, list);
    run->out = outer;
    return jinja_take(run, &text);
}

/* A body in a scope of its own. */
static void exec_scoped(struct jinja_run *run, const struct jinja_node *list)
{
    struct jinja_scope *outer = run->scope;
    run->scope = open_scope(run, outer);
    if (run->scope)
        jinja_exec(run, list);
    run->scope = outer;
}

static struct jinja_value capture_scoped(struct jinja_run *run, const struct jinja_node *list)
{
    struct jinja_scope *outer = run->scope;
    run->scope = open_scope(run, outer);
    struct jinja_value text = run->scope ? jinja_capture(run, list) : jinja_none();
    run->scope = outer;
    return text;
}

/* Loops. */

/* The items that pass the loop's condition. */
static bool loop_items(struct jinja_run *run, const struct jinja_node *node,
                       struct jinja_value iterable, struct jinja_list *list)
{
    if (!jinja_items(run, iterable, list) || !node->c)
        return !run->failed;
    struct jinja_scope *outer = run->scope;
    struct jinja_list kept = {0};
    for (size_t i = 0; i < list->count && !run->failed; i++) {
        run->scope = open_scope(run, outer);
        if (run->scope)
            assign(run, node->a, list->items[i]);
        if (!run->failed && jinja_truth(run, jinja_eval(run, node->c)))
            jinja_list_add(run, &kept, list->items[i]);
        run->scope = outer;
    }
    *list = kept;
    return !run->failed;
}

static void exec_loop(struct jinja_run *run, const struct jinja_node *node,
                      struct jinja_value iterable, int64_t depth)
{
    struct jinja_scope *outer = run->scope;
    struct jinja_list list;
    if (!loop_items(run, node, iterable, &list))
        return;
    if (list.count == 0) {
        exec_scoped(run, node->more);
        return;
    }
    struct jinja_loop *loop = jinja_alloc(run, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct jinja_loop){.list = list, .depth = depth, .node = node, .scope = outer};
    struct jinja_value value = {.type = JINJA_LOOP, .loop = loop};
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        loop->index = i;
        run->scope = open_scope(run, outer);
        if (!run->scope || !jinja_charge(run, 1))
            break;
        define(run, jinja_literal("loop"), value);
        assign(run, node->a, list.items[i]);
        jinja_exec(run, node->list);
        bool breaks = run->flow == JINJA_BREAKS;
        run->flow = JINJA_GO_ON;
        if (breaks)
            break;
    }
    run->scope = outer;
}

struct jinja_value jinja_run_loop(struct jinja_run *run, const struct jinja_node *node,
                                  struct jinja_value iterable, struct jinja_scope *scope,
                                  int64_t depth)
{
    struct buffer text = {0}, *outer = run->out;
    struct jinja_scope *caller = run->scope;
    if (!jinja_enter(run))
        return jinja_none();
    run->scope = scope;
    run->out = &text;
    exec_loop(run, node, iterable, depth);
    run->out = outer;
    run->scope = caller;
    run->depth--;
    return jinja_take(run, &text);
}

/* Macros. */

static void bind_rest(struct jinja_run *run, const struct jinja_node *node,
                      const struct jinja_arguments *arguments, size_t taken, struct jinja_map rest)
{
    struct jinja_value *caller = jinja_map_text(run, &rest, "caller");
    static const char none[] = "no caller is defined";
    if (node->op & JINJA_USES_CALLER)
        define(run, jinja_literal("caller"),
               caller ? *caller : jinja_undefined(none, sizeof none - 1, JINJA_NO_REASON));
    struct jinja_map others = {0};
    for (size_t i = 0; i < rest.count && !run->failed; i++) {
        bool is_caller = jinja_is_text(rest.keys[i], "caller") && (node->op & JINJA_USES_CALLER);
        if (!is_caller)
            jinja_map_set(run, &others, rest.keys[i], rest.values[i]);
    }
    if (node->op & JINJA_USES_KWARGS)
        define(run, jinja_literal("kwargs"), jinja_map_value(run, others));
    else if (others.count && !run->failed)
        jinja_fail(run, "macro '%.*s' has no parameter '%.*s'", (int)node->value.length,
                   node->value.text, (int)(others.keys[0].length % 200),
                   others.keys[0].type == JINJA_TEXT ? others.keys[0].text : "");
    struct jinja_list more = {0};
    for (size_t i = taken; i < arguments->items.count && !run->failed; i++)
        jinja_list_add(run, &more, arguments->items.items[i]);
    if (node->op & JINJA_USES_VARARGS)
        define(run, jinja_literal("varargs"), jinja_list_value(run, JINJA_TUPLE, more));
    else if (more.count && !run->failed)
        jinja_fail(run, "macro '%.*s' takes not more than %zu arguments", (int)node->value.length,
                   node->value.text, taken);
}

static void bind_parameters(struct jinja_run *run, const struct jinja_node *node,
                            const struct jinja_arguments *arguments)
{
    struct jinja_map rest = {0};
    size_t taken = 0;
    const struct jinja_map *given = &arguments->named;
    for (size_t i = 0; i < given->count && !run->failed; i++) {
        bool known = false;
        size_t place = 0;
        for (const struct jinja_node *p = node->more; p; p = p->next, place++)
            known |= place >= arguments->items.count && jinja_equal(run, p->value, given->keys[i]);
        if (!known)
            jinja_map_set(run, &rest, given->keys[i], given->values[i]);
    }
    for (const struct jinja_node *p = node->more; p && !run->failed; p = p->next) {
        struct jinja_value *value = taken < arguments->items.count
                                        ? &arguments->items.items[taken]
                                        : jinja_map_find(run, given, p->value);
        taken++;
        if (value)
            define(run, p->value, *value);
        else if (p->a)
            define(run, p->value, jinja_eval(run, p->a));
        else
            define(run, p->value, jinja_undefined(p->value.text, p->value.length, JINJA_NO_NAME));
    }
    if (!run->failed)
        bind_rest(run, node, arguments, taken, rest);
}

struct jinja_value jinja_call_macro(struct jinja_run *run, struct jinja_macro *macro,
                                    const struct jinja_arguments *arguments)
{
    struct jinja_scope *caller = run->scope;
    struct jinja_value text = jinja_none();
    if (!jinja_enter(run))
        return text;
    run->scope = open_scope(run, macro->scope);
    if (run->scope)
        bind_parameters(run, macro->node, arguments);
    if (!run->failed)
        text = jinja_capture(run, macro->node->list);
    run->scope = caller;
    run->depth--;
    return text;
}

static struct jinja_value make_macro(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_macro *macro = jinja_alloc(run, sizeof *macro);
    if (!macro)
        return jinja_none();
    *macro = (struct jinja_macro){.node = node, .scope = run->scope};
    return (struct jinja_value){.type = JINJA_MACRO, .macro = macro};
}

/* Statements. */

static void exec_call_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_arguments arguments;
    struct jinja_value callee = jinja_eval(run, node->a->a);
    if (run->failed || !jinja_eval_arguments(run, node->a->list, &arguments))
        return;
    jinja_map_set(run, &arguments.named, jinja_literal("caller"), make_macro(run, node->b));
    if (!run->failed)
        write_text(run, jinja_call(run, callee, &arguments));
}

/* Applies "a | b" to a text. */
static struct jinja_value apply_filters(struct jinja_run *run, const struct jinja_node *node,
                                        struct jinja_value input)
{
    struct jinja_arguments arguments;
    if (!jinja_enter(run))
        return input;
    if (node->a)
        input = apply_filters(run, node->a, input);
    if (!run->failed && jinja_eval_arguments(run, node->list, &arguments))
        input = jinja_apply_filter(run, node->value, input, &arguments);
    run->depth--;
    return input;
}

static void exec_if(struct jinja_run *run, const struct jinja_node *node)
{
    for (const struct jinja_node *branch = node->list; branch; branch = branch->next) {
        bool taken = !branch->a || jinja_truth(run, jinja_eval(run, branch->a));
        if (run->failed)
            return;
        if (taken) {
            jinja_exec(run, branch->list);
            return;
        }
    }
}

static void exec_with(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope, *inner = open_scope(run, outer);
    for (const struct jinja_node *set = node->more; set && !run->failed; set = set->next) {
        struct jinja_value value = jinja_eval(run, set->b); /* sees what is outside */
        run->scope = inner;
        if (!run->failed)
            assign(run, set->a, value);
        run->scope = outer;
    }
    run->scope = inner;
    if (!run->failed)
        jinja_exec(run, node->list);
    run->scope = outer;
}

static void exec_generation(struct jinja_run *run, const struct jinja_node *node)
{
    size_t begin = run->root->length;
    struct jinja_ranges *ranges = run->ranges;
    write_text(run, capture_scoped(run, node->list));
    if (!ranges || run->failed)
        return;
    if (run->out != run->root) {
        ranges->lost = 1;
        return;
    }
    if (ranges->count == ranges->capacity) {
        size_t capacity = 2 * ranges->capacity + 8;
        struct jinja_range *more = realloc(ranges->items, capacity * sizeof *more);
        if (!more) {
            jinja_fail(run, "out of memory");
            return;
        }
        ranges->items = more;
        ranges->capacity = capacity;
    }
    ranges->items[ranges->count++] =
        (struct jinja_range){begin - run->start, run->root->length - run->start};
}

static void exec_set_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value text = capture_scoped(run, node->list);
    if (node->b && !run->failed)
        text = apply_filters(run, node->b, text);
    if (!run->failed)
        assign(run, node->a, text);
}

static void exec_filter_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value text = capture_scoped(run, node->list);
    if (!run->failed)
        write_text(run, apply_filters(run, node->a, text));
}

static void exec_node(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value;
    run->line = node->line;
    switch (node->kind) {
    case JINJA_TEXT_OUT:
        write_text(run, node->value);
        break;
    case JINJA_OUT:
        value = jinja_eval(run, node->a);
        if (!run->failed)
            write_text(run, value);
        break;
    case JINJA_IF:
        exec_if(run, node);
        break;
    case JINJA_FOR:
        value = jinja_eval(run, node->b);
        if (!run->failed)
            exec_loop(run, node, value, 0);
        break;
    case JINJA_SET:
        value = jinja_eval(run, node->b);
        if (!run->failed)
            assign(run, node->a, value);
        break;
    case JINJA_SET_BLOCK:
        exec_set_block(run, node);
        break;
    case JINJA_MACRO_OF:
        define(run, node->value, make_macro(run, node));
        break;
    case JINJA_CALL_BLOCK:
        exec_call_block(run, node);
        break;
    case JINJA_FILTER_BLOCK:
        exec_filter_block(run, node);
        break;
    case JINJA_WITH:
        exec_with(run, node);
        break;
    case JINJA_GENERATION:
        exec_generation(run, node);
        break;
    case JINJA_SCOPED:
        exec_scoped(run, node->list);
        break;
    default:
        run->flow = node->kind == JINJA_BREAK ? JINJA_BREAKS : JINJA_CONTINUES;
        break;
    }
}

void jinja_exec(struct jinja_run *run, const struct jinja_node *list)
{
    if (!list || !jinja_enter(run))
        return;
    for (const struct jinja_node *node = list; node && !run->failed && run->flow == JINJA_GO_ON;
         node = node->next) {
        jinja_charge(run, 1);
        exec_node(run, node);
    }
    run->depth--;
}

static void define_variables(struct jinja_run *run, const json_t *variables)
{
    json_t *object = (json_t *)(uintptr_t)variables;
    for (void *at = json_object_iter(object); at && !run->failed;
         at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        define(run, jinja_text(run, key, strlen(key)),
               jinja_of_json(run, json_object_iter_value(at)));
    }
}

enum status jinja_render(const struct jinja *jinja, const json_t *variables, int64_t now,
                         struct buffer *text, struct jinja_ranges *ranges, struct error *error)
{
    struct jinja_run run = {.name = jinja->name,
                            .out = text,
                            .root = text,
                            .start = text->length,
                            .ranges = ranges,
                            .now = now,
                            .status = STATUS_OK,
                            .error = error,
                            .line = 1};
    run.scope = open_scope(&run, NULL);
    define_variables(&run, variables);
    /* What the template sets shadows its variables, but loops see both. */
    run.scope = run.failed ? NULL : open_scope(&run, run.scope);
    if (!run.failed)
        jinja_exec(&run, jinja->body);
    arena_free(&run.arena);
    if (!run.failed && text->failed)
        return error_no_memory(error, text->length);
    return run.failed ? run.status : STATUS_OK;
}
