/* The statements of Jinja, and jinja_parse. */
#include <string.h>

#include "text/jinja_tree.h"

static struct jinja_node *parse_body(struct jinja_parser *p, const char *const *ends);
static struct jinja_node *parse_statement(struct jinja_parser *p);

/* After the words of a tag. */
static void end_tag(struct jinja_parser *p)
{
    if (p->token->kind != TOKEN_BLOCK_END)
        jinja_parse_fail(p, "expected the end of the {%% %%}");
    else
        p->token++;
}

/* A body with one possible end, which is passed. */
static struct jinja_node *body_until(struct jinja_parser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    struct jinja_node *body = parse_body(p, ends);
    if (p->status == STATUS_OK)
        p->token++;
    end_tag(p);
    return body;
}

static struct jinja_node *parse_target_item(struct jinja_parser *p, bool members)
{
    struct jinja_value name, member;
    struct jinja_node *node;
    if (jinja_skip_sign(p, '(')) {
        struct jinja_node *tuple = jinja_node_make(p, JINJA_TUPLE_OF), **end;
        if (!tuple || !jinja_parse_enter(p))
            return NULL;
        end = &tuple->list;
        do {
            struct jinja_node *item = parse_target_item(p, members);
            if (!item)
                return NULL;
            *end = item;
            end = &item->next;
        } while (jinja_skip_sign(p, ','));
        p->depth--;
        return jinja_expect_sign(p, ')') ? tuple : NULL;
    }
    node = jinja_node_make(p, JINJA_NAME);
    if (!node || !jinja_expect_name(p, &name))
        return NULL;
    node->value = name;
    if (members && jinja_skip_sign(p, '.')) {
        node->kind = JINJA_MEMBER;
        if (!jinja_expect_name(p, &member))
            return NULL;
        if (member.length && member.text[0] == '_')
            return jinja_parse_fail(p, "members of namespaces may not begin with '_'");
        node->a = jinja_node_make(p, JINJA_CONSTANT);
        if (node->a)
            node->a->value = member;
        return node;
    }
    static const char *const fixed[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (jinja_is_text(name, fixed[i]))
            return jinja_parse_fail(p, "cannot assign to '%s'", fixed[i]);
    return node;
}

/* "a", "a.b" or "a, b". */
static struct jinja_node *parse_target(struct jinja_parser *p, bool members)
{
    struct jinja_node *first = parse_target_item(p, members);
    if (!first || !(p->token->kind == TOKEN_SIGN && p->token->op == ','))
        return first;
    struct jinja_node *tuple = jinja_node_make(p, JINJA_TUPLE_OF), *last = first;
    if (!tuple)
        return NULL;
    tuple->list = first;
    while (jinja_skip_sign(p, ',') && p->token->kind == TOKEN_NAME &&
           !jinja_token_is(p->token, "in")) {
        last->next = parse_target_item(p, members);
        if (!last->next)
            return NULL;
        last = last->next;
    }
    return tuple;
}

static struct jinja_node *parse_if(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node **end = &node->list;
    bool last = false;
    for (;;) {
        struct jinja_node *branch = jinja_node_make(p, JINJA_BRANCH);
        if (!branch)
            return NULL;
        if (!last)
            branch->a = jinja_parse_tuple(p, false);
        end_tag(p);
        branch->list = last ? body_until(p, "endif") : parse_body(p, ends);
        *end = branch;
        end = &branch->next;
        if (p->status != STATUS_OK || last)
            return node;
        if (jinja_skip_word(p, "endif")) {
            end_tag(p);
            return node;
        }
        last = jinja_skip_word(p, "else");
        if (!last)
            p->token++;
    }
}

static struct jinja_node *parse_for(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    node->a = parse_target(p, false);
    if (p->status == STATUS_OK && !jinja_skip_word(p, "in"))
        return jinja_parse_fail(p, "expected 'in'");
    node->b = jinja_parse_tuple(p, false);
    if (jinja_skip_word(p, "if"))
        node->c = jinja_parse_expression(p);
    node->op = jinja_skip_word(p, "recursive");
    end_tag(p);
    p->loops++;
    node->list = parse_body(p, ends);
    p->loops--;
    if (p->status != STATUS_OK)
        return NULL;
    if (jinja_skip_word(p, "endfor")) {
        end_tag(p);
        return node;
    }
    p->token++;
    end_tag(p);
    node->more = body_until(p, "endfor");
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = parse_target(p, true);
    if (jinja_skip_sign(p, '=')) {
        node->b = jinja_parse_tuple(p, true);
        end_tag(p);
        return node;
    }
    node->kind = JINJA_SET_BLOCK;
    if (jinja_skip_sign(p, '|'))
        node->b = jinja_parse_filters(p, NULL);
    end_tag(p);
    node->list = body_until(p, "endset");
    return node;
}

static void parse_signature(struct jinja_parser *p, struct jinja_node *macro)
{
    struct jinja_node **end = &macro->more;
    bool defaults = false;
    jinja_expect_sign(p, '(');
    while (p->status == STATUS_OK && !jinja_skip_sign(p, ')')) {
        struct jinja_node *parameter = jinja_node_make(p, JINJA_NAMED);
        if ((macro->more && !jinja_expect_sign(p, ',')) || !parameter ||
            !jinja_expect_name(p, &parameter->value))
            return;
        if (jinja_skip_sign(p, '='))
            parameter->a = jinja_parse_expression(p);
        else if (defaults)
            jinja_parse_fail(p, "a parameter without a default follows one that has it");
        defaults |= parameter->a != NULL;
        *end = parameter;
        end = &parameter->next;
    }
}

/* Signature (where there is one) and body of a macro or of a call's block. */
static void parse_macro_body(struct jinja_parser *p, struct jinja_node *macro, const char *end)
{
    int outer = p->uses, loops = p->loops;
    p->uses = p->loops = 0;
    macro->list = body_until(p, end);
    macro->op = p->uses;
    p->uses = outer;
    p->loops = loops;
}

static struct jinja_node *parse_macro(struct jinja_parser *p, struct jinja_node *node)
{
    if (!jinja_expect_name(p, &node->value))
        return NULL;
    parse_signature(p, node);
    end_tag(p);
    parse_macro_body(p, node, "endmacro");
    return node;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node *macro = jinja_node_make(p, JINJA_MACRO_OF);
    if (!macro)
        return NULL;
    macro->value = jinja_literal("caller");
    if (p->token->kind == TOKEN_SIGN && p->token->op == '(')
        parse_signature(p, macro);
    node->a = jinja_parse_expression(p);
    if (node->a && node->a->kind != JINJA_CALL)
        return jinja_parse_fail(p, "expected a call");
    end_tag(p);
    parse_macro_body(p, macro, "endcall");
    node->b = macro;
    return node;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = jinja_parse_filters(p, NULL);
    end_tag(p);
    node->list = body_until(p, "endfilter");
    return node;
}

static struct jinja_node *parse_with(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node **end = &node->more;
    while (p->status == STATUS_OK && p->token->kind != TOKEN_BLOCK_END) {
        struct jinja_node *set = jinja_node_make(p, JINJA_SET);
        if (!set || (node->more && !jinja_expect_sign(p, ',')))
            return NULL;
        set->a = parse_target_item(p, false);
        if (!jinja_expect_sign(p, '='))
            return NULL;
        set->b = jinja_parse_expression(p);
        *end = set;
        end = &set->next;
    }
    end_tag(p);
    node->list = body_until(p, "endwith");
    return node;
}

static struct jinja_node *parse_generation(struct jinja_parser *p, struct jinja_node *node)
{
    end_tag(p);
    p->generation++;
    node->list = body_until(p, "endgeneration");
    return node;
}

/* {% block NAME %}: without inheritance, its body in place. */
static struct jinja_node *parse_block(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_value name;
    if (!jinja_expect_name(p, &name))
        return NULL;
    jinja_skip_word(p, "scoped");
    end_tag(p);
    const char *const ends[] = {"endblock", NULL};
    node->list = parse_body(p, ends);
    if (p->status != STATUS_OK)
        return NULL;
    p->token++;
    if (p->token->kind == TOKEN_NAME)
        p->token++;
    end_tag(p);
    return node;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, struct jinja_node *node)
{
    if (p->loops == 0)
        return jinja_parse_fail(p, "'break' or 'continue' stands outside of a loop");
    end_tag(p);
    return node;
}

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    static const struct {
        const char *word;
        enum jinja_kind kind;
        struct jinja_node *(*parse)(struct jinja_parser *p, struct jinja_node *node);
    } statements[] = {
        {"if", JINJA_IF, parse_if},
        {"for", JINJA_FOR, parse_for},
        {"set", JINJA_SET, parse_set},
        {"macro", JINJA_MACRO_OF, parse_macro},
        {"call", JINJA_CALL_BLOCK, parse_call_block},
        {"filter", JINJA_FILTER_BLOCK, parse_filter_block},
        {"with", JINJA_WITH, parse_with},
        {"generation", JINJA_GENERATION, parse_generation},
        {"block", JINJA_SCOPED, parse_block},
        {"break", JINJA_BREAK, parse_jump},
        {"continue", JINJA_CONTINUE, parse_jump},
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!jinja_token_is(p->token, statements[i].word))
            continue;
        struct jinja_node *node = jinja_node_make(p, statements[i].kind);
        p->token++;
        if (node)
            node = statements[i].parse(p, node);
        return node;
    }
    int length = (int)(p->token->value.length < 60 ? p->token->value.length : 60);
    if (p->token->kind != TOKEN_NAME)
        return jinja_parse_fail(p, "expected the name of a statement");
    return jinja_parse_fail(p, "'%.*s' is no statement, or not at this place", length,
                            p->token->value.text);
}

static struct jinja_node *parse_out(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_node_make(p, JINJA_OUT);
    if (!node)
        return NULL;
    node->a = jinja_parse_tuple(p, true);
    if (p->status == STATUS_OK && p->token->kind != TOKEN_OUT_END)
        return jinja_parse_fail(p, "expected the end of the {{ }}");
    p->token++;
    return node;
}

static bool at_end(const struct jinja_parser *p, const char *const *ends)
{
    bool found = false;
    for (int i = 0; ends && ends[i] && p->token->kind == TOKEN_BLOCK_BEGIN; i++)
        found |= jinja_token_is(p->token + 1, ends[i]);
    return found;
}

/* Statements up to {% WORD, a word of `ends` (NULL: the end of the source), where it stops. */
static struct jinja_node *parse_body(struct jinja_parser *p, const char *const *ends)
{
    struct jinja_node *first = NULL, **end = &first, *node;
    if (!jinja_parse_enter(p))
        return NULL;
    while (p->status == STATUS_OK && p->token->kind != TOKEN_END && !at_end(p, ends)) {
        if (p->token->kind == TOKEN_TEXT) {
            node = jinja_node_make(p, JINJA_TEXT_OUT);
            if (node)
                node->value = p->token->value;
            p->token++;
        } else if (p->token->kind == TOKEN_OUT_BEGIN) {
            p->token++;
            node = parse_out(p);
        } else {
            p->token++;
            node = parse_statement(p);
        }
        if (!node)
            break;
        *end = node;
        end = &node->next;
    }
    if (p->status == STATUS_OK && ends && p->token->kind == TOKEN_END)
        jinja_parse_fail(p, "'%s' is missing", ends[0]);
    p->token += p->status == STATUS_OK && ends;
    p->depth--;
    return first;
}

enum status jinja_parse(const char *source, size_t length, const char *name, struct jinja *jinja,
                        struct error *error)
{
    *jinja = (struct jinja){.arena.block_bytes = (size_t)64 << 10};
    jinja->name = arena_strdup(&jinja->arena, name);
    struct jinja_token *tokens = NULL;
    enum status status = jinja->name ? STATUS_OK : error_no_memory(error, strlen(name));
    if (status == STATUS_OK)
        status = jinja_scan(source, length, jinja->name, &jinja->arena, &tokens, error);
    if (status == STATUS_OK) {
        struct jinja_parser p = {.name = jinja->name,
                                 .arena = &jinja->arena,
                                 .token = tokens,
                                 .error = error,
                                 .status = STATUS_OK};
        jinja->body = parse_body(&p, NULL);
        jinja->generation = p.generation;
        status = p.status;
    }
    if (status != STATUS_OK)
        jinja_free(jinja);
    return status;
}

void jinja_free(struct jinja *jinja)
{
    arena_free(&jinja->arena);
    *jinja = (struct jinja){0};
}
