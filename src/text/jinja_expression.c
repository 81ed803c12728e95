/* The expressions of Jinja: a parser by recursive descent, one function for each level of
 * precedence, in the order of Jinja's grammar. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_tree.h"

struct jinja_node *jinja_node_make(struct jinja_parser *p, enum jinja_kind kind)
{
    struct jinja_node *node = arena_calloc(p->arena, 1, sizeof *node);
    if (!node) {
        p->status = error_no_memory(p->error, sizeof *node);
        return NULL;
    }
    node->kind = kind;
    node->line = p->token->line;
    return node;
}

void *jinja_parse_fail(struct jinja_parser *p, const char *format, ...)
{
    char cause[256];
    va_list list;
    va_start(list, format);
    vsnprintf(cause, sizeof cause, format, list);
    va_end(list);
    if (p->status == STATUS_OK)
        p->status =
            error_set(p->error, STATUS_FAILED, "%s: line %d: %s", p->name, p->token->line, cause);
    return NULL;
}

bool jinja_parse_enter(struct jinja_parser *p)
{
    if (p->status == STATUS_OK && p->depth >= JINJA_PARSE_DEPTH_MOST)
        jinja_parse_fail(p, "brackets or blocks are nested too deep");
    if (p->status != STATUS_OK)
        return false;
    p->depth++;
    return true;
}

static bool is_sign(const struct jinja_token *token, int op)
{
    return token->kind == TOKEN_SIGN && token->op == op;
}

bool jinja_token_is(const struct jinja_token *token, const char *word)
{
    return token->kind == TOKEN_NAME && jinja_is_text(token->value, word);
}

bool jinja_skip_word(struct jinja_parser *p, const char *word)
{
    bool found = jinja_token_is(p->token, word);
    p->token += found;
    return found;
}

bool jinja_skip_sign(struct jinja_parser *p, int op)
{
    bool found = is_sign(p->token, op);
    p->token += found;
    return found;
}

static void *unexpected(struct jinja_parser *p, const char *wanted)
{
    const struct jinja_token *t = p->token;
    char sign[3] = {(char)(t->op > 255 ? t->op >> 8 : t->op), (char)(t->op > 255 ? t->op : 0), 0};
    int length = (int)(t->value.length < 60 ? t->value.length : 60);
    if (t->kind == TOKEN_SIGN)
        return jinja_parse_fail(p, "expected %s, but there is '%s'", wanted, sign);
    if (t->kind == TOKEN_NAME || t->kind == TOKEN_STRING)
        return jinja_parse_fail(p, "expected %s, but there is '%.*s'", wanted, length,
                                t->value.text);
    return jinja_parse_fail(p, "expected %s", wanted);
}

bool jinja_expect_sign(struct jinja_parser *p, int op)
{
    char wanted[4] = {'\'', (char)op, '\'', 0};
    if (!jinja_skip_sign(p, op))
        unexpected(p, wanted);
    return p->status == STATUS_OK;
}

bool jinja_expect_name(struct jinja_parser *p, struct jinja_value *name)
{
    if (p->token->kind != TOKEN_NAME)
        return unexpected(p, "a name") != NULL;
    *name = p->token->value;
    p->token++;
    return true;
}

/* Appends to a list of nodes. */
static void append(struct jinja_node ***end, struct jinja_node *node)
{
    if (node) {
        **end = node;
        *end = &node->next;
    }
}

static struct jinja_node *parse_items(struct jinja_parser *p, enum jinja_kind kind, int close)
{
    struct jinja_node *node = jinja_node_make(p, kind), **end = node ? &node->list : NULL;
    while (node && p->status == STATUS_OK && !is_sign(p->token, close)) {
        if (node->list && (!jinja_expect_sign(p, ',') || is_sign(p->token, close)))
            break;
        struct jinja_node *item = jinja_parse_expression(p);
        if (kind == JINJA_MAP_OF && item && jinja_expect_sign(p, ':')) {
            struct jinja_node *pair = jinja_node_make(p, JINJA_PAIR);
            if (pair) {
                pair->a = item;
                pair->b = jinja_parse_expression(p);
            }
            item = pair;
        }
        append(&end, item);
    }
    jinja_expect_sign(p, close);
    return node;
}

static struct jinja_node *constant(struct jinja_parser *p, struct jinja_value value)
{
    struct jinja_node *node = jinja_node_make(p, JINJA_CONSTANT);
    if (node)
        node->value = value;
    return node;
}

static struct jinja_node *parse_name(struct jinja_parser *p)
{
    static const struct {
        const char *word;
        int use;
    } special[] = {{"caller", JINJA_USES_CALLER},
                   {"varargs", JINJA_USES_VARARGS},
                   {"kwargs", JINJA_USES_KWARGS}};
    const struct jinja_token *t = p->token++;
    if (jinja_token_is(t, "true") || jinja_token_is(t, "True"))
        return constant(p, jinja_bool(true));
    if (jinja_token_is(t, "false") || jinja_token_is(t, "False"))
        return constant(p, jinja_bool(false));
    if (jinja_token_is(t, "none") || jinja_token_is(t, "None"))
        return constant(p, jinja_none());
    struct jinja_node *node = jinja_node_make(p, JINJA_NAME);
    if (!node)
        return NULL;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        p->uses |= jinja_token_is(t, special[i].word) ? special[i].use : 0;
    node->value = t->value;
    node->line = t->line;
    return node;
}

/* Strings that follow each other are one. */
static struct jinja_node *parse_string(struct jinja_parser *p)
{
    size_t length = 0;
    const struct jinja_token *first = p->token;
    for (; p->token->kind == TOKEN_STRING; p->token++)
        length += p->token->value.length;
    if (p->token == first + 1)
        return constant(p, first->value);
    char *text = arena_alloc(p->arena, length + 1), *at = text;
    if (!text) {
        p->status = error_no_memory(p->error, length);
        return NULL;
    }
    for (const struct jinja_token *t = first; t < p->token; t++) {
        memcpy(at, t->value.text, t->value.length);
        at += t->value.length;
    }
    return constant(p, jinja_slice_of(text, length));
}

struct jinja_node *jinja_parse_primary(struct jinja_parser *p)
{
    struct jinja_node *node = NULL;
    if (!jinja_parse_enter(p))
        return NULL;
    if (p->token->kind == TOKEN_NAME) {
        node = parse_name(p);
    } else if (p->token->kind == TOKEN_STRING) {
        node = parse_string(p);
    } else if (p->token->kind == TOKEN_CONSTANT) {
        node = constant(p, p->token->value);
        p->token++;
    } else if (jinja_skip_sign(p, '(')) {
        node = is_sign(p->token, ')') ? jinja_node_make(p, JINJA_TUPLE_OF)
                                      : jinja_parse_tuple(p, true);
        jinja_expect_sign(p, ')');
    } else if (jinja_skip_sign(p, '[')) {
        node = parse_items(p, JINJA_LIST_OF, ']');
    } else if (jinja_skip_sign(p, '{')) {
        node = parse_items(p, JINJA_MAP_OF, '}');
    } else {
        unexpected(p, "an expression");
    }
    p->depth--;
    return p->status == STATUS_OK ? node : NULL;
}

static bool ends_tuple(const struct jinja_token *t)
{
    return t->kind == TOKEN_OUT_END || t->kind == TOKEN_BLOCK_END || is_sign(t, ')') ||
           jinja_token_is(t, "recursive");
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool choices)
{
    struct jinja_node *first = choices ? jinja_parse_expression(p) : jinja_parse_or(p);
    if (!first || !is_sign(p->token, ','))
        return first;
    struct jinja_node *tuple = jinja_node_make(p, JINJA_TUPLE_OF), **end;
    if (!tuple)
        return NULL;
    end = &tuple->list;
    append(&end, first);
    while (jinja_skip_sign(p, ',') && !ends_tuple(p->token) && p->status == STATUS_OK)
        append(&end, choices ? jinja_parse_expression(p) : jinja_parse_or(p));
    return tuple;
}

/* An argument of a call. */
static struct jinja_node *parse_argument(struct jinja_parser *p)
{
    struct jinja_node *node;
    if (is_sign(p->token, '*') || is_sign(p->token, JINJA_POWER)) {
        node = jinja_node_make(p, JINJA_SPREAD);
        if (node)
            node->op = p->token->op;
        p->token++;
    } else if (p->token->kind == TOKEN_NAME && is_sign(p->token + 1, '=')) {
        node = jinja_node_make(p, JINJA_NAMED);
        if (node)
            node->value = p->token->value;
        p->token += 2;
    } else {
        return jinja_parse_expression(p);
    }
    if (node)
        node->a = jinja_parse_expression(p);
    return node;
}

/* How late an argument may come: plain, named, *, **. */
static int argument_rank(const struct jinja_node *node)
{
    if (node->kind == JINJA_SPREAD)
        return node->op == '*' ? 2 : 3;
    return node->kind == JINJA_NAMED ? 1 : 0;
}

static void parse_arguments(struct jinja_parser *p, struct jinja_node *call)
{
    struct jinja_node **end = &call->list;
    int rank = 0;
    jinja_expect_sign(p, '(');
    while (p->status == STATUS_OK && !is_sign(p->token, ')')) {
        if (call->list && (!jinja_expect_sign(p, ',') || is_sign(p->token, ')')))
            break;
        struct jinja_node *node = parse_argument(p);
        int own = node ? argument_rank(node) : 0;
        if (own == 3 ? rank == 3 : own == 2 ? rank > 1 : own == 1 ? rank == 3 : rank > 0)
            jinja_parse_fail(p, "the arguments of a call are out of order");
        rank = own > rank ? own : rank;
        append(&end, node);
    }
    jinja_expect_sign(p, ')');
}

static struct jinja_node *parse_index(struct jinja_parser *p)
{
    struct jinja_node *begin = is_sign(p->token, ':') ? NULL : jinja_parse_expression(p);
    if (p->status != STATUS_OK || !jinja_skip_sign(p, ':'))
        return begin;
    struct jinja_node *slice = jinja_node_make(p, JINJA_SLICE);
    if (!slice)
        return NULL;
    slice->a = begin;
    if (!is_sign(p->token, ':') && !is_sign(p->token, ']') && !is_sign(p->token, ','))
        slice->b = jinja_parse_expression(p);
    if (jinja_skip_sign(p, ':') && !is_sign(p->token, ']') && !is_sign(p->token, ','))
        slice->c = jinja_parse_expression(p);
    return slice;
}

static struct jinja_node *parse_member(struct jinja_parser *p, struct jinja_node *object)
{
    const struct jinja_token *t = p->token;
    struct jinja_node *node =
        jinja_node_make(p, t->kind == TOKEN_NAME ? JINJA_ATTRIBUTE : JINJA_ITEM);
    if (!node)
        return NULL;
    node->a = object;
    node->value = t->value;
    if (t->kind == TOKEN_CONSTANT && t->value.type == JINJA_INT)
        node->b = constant(p, t->value);
    else if (t->kind != TOKEN_NAME)
        return unexpected(p, "a name or a number");
    p->token++;
    return node;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node)
{
    while (node && p->status == STATUS_OK) {
        struct jinja_node *outer;
        if (jinja_skip_sign(p, '.')) {
            outer = parse_member(p, node);
        } else if (jinja_skip_sign(p, '[')) {
            if ((outer = jinja_node_make(p, JINJA_ITEM))) {
                outer->a = node;
                outer->b = parse_index(p);
                jinja_expect_sign(p, ']');
            }
        } else if (is_sign(p->token, '(')) {
            if ((outer = jinja_node_make(p, JINJA_CALL))) {
                outer->a = node;
                parse_arguments(p, outer);
            }
        } else {
            break;
        }
        node = outer;
    }
    return node;
}

static struct jinja_node *parse_filter(struct jinja_parser *p, struct jinja_node *input)
{
    struct jinja_node *node = jinja_node_make(p, JINJA_FILTER);
    if (!node || !jinja_expect_name(p, &node->value))
        return NULL;
    node->a = input;
    if (is_sign(p->token, '('))
        parse_arguments(p, node);
    return node;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *input)
{
    struct jinja_node *node = parse_filter(p, input);
    while (node && jinja_skip_sign(p, '|'))
        node = parse_filter(p, node);
    return node;
}

static bool begins_argument(const struct jinja_token *t)
{
    if (t->kind == TOKEN_NAME)
        return !jinja_token_is(t, "else") && !jinja_token_is(t, "or") && !jinja_token_is(t, "and");
    return t->kind == TOKEN_STRING || t->kind == TOKEN_CONSTANT || is_sign(t, '[') ||
           is_sign(t, '{');
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *input)
{
    bool negated = jinja_skip_word(p, "not");
    struct jinja_node *node = jinja_node_make(p, JINJA_TEST);
    if (!node || !jinja_expect_name(p, &node->value))
        return NULL;
    node->a = input;
    if (is_sign(p->token, '(')) {
        parse_arguments(p, node);
    } else if (begins_argument(p->token)) {
        if (jinja_token_is(p->token, "is"))
            return jinja_parse_fail(p, "tests with 'is' cannot be chained");
        node->list = parse_postfix(p, jinja_parse_primary(p));
    }
    struct jinja_node *outer = negated ? jinja_node_make(p, JINJA_UNARY) : NULL;
    if (!outer)
        return node;
    outer->op = '!';
    outer->a = node;
    return outer;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool filters)
{
    struct jinja_node *node;
    if (!jinja_parse_enter(p))
        return NULL;
    if (is_sign(p->token, '-') || is_sign(p->token, '+')) {
        node = jinja_node_make(p, JINJA_UNARY);
        if (node) {
            node->op = p->token->op;
            p->token++;
            node->a = parse_unary(p, false);
        }
    } else {
        node = jinja_parse_primary(p);
    }
    node = parse_postfix(p, node);
    while (filters && node && p->status == STATUS_OK) {
        if (jinja_skip_sign(p, '|'))
            node = parse_filter(p, node);
        else if (jinja_skip_word(p, "is"))
            node = parse_test(p, node);
        else if (is_sign(p->token, '('))
            node = parse_postfix(p, node);
        else
            break;
    }
    p->depth--;
    return p->status == STATUS_OK ? node : NULL;
}

/* Binary operators, from those that bind most: ** ; * / // % ; (~) ; + -. */
static bool binds(const struct jinja_token *t, int level)
{
    if (level == 0)
        return is_sign(t, JINJA_POWER);
    if (level == 1)
        return is_sign(t, '*') || is_sign(t, '/') || is_sign(t, JINJA_FLOOR) || is_sign(t, '%');
    return is_sign(t, '+') || is_sign(t, '-');
}

static struct jinja_node *parse_binary(struct jinja_parser *p, int level);

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    struct jinja_node *first = parse_binary(p, 1);
    if (!first || !is_sign(p->token, '~'))
        return first;
    struct jinja_node *node = jinja_node_make(p, JINJA_CONCAT), **end;
    if (!node)
        return NULL;
    end = &node->list;
    append(&end, first);
    while (jinja_skip_sign(p, '~') && p->status == STATUS_OK)
        append(&end, parse_binary(p, 1));
    return node;
}

static struct jinja_node *parse_operand(struct jinja_parser *p, int level)
{
    if (level == 0)
        return parse_unary(p, true);
    return level == 1 ? parse_binary(p, 0) : parse_concat(p);
}

static struct jinja_node *parse_binary(struct jinja_parser *p, int level)
{
    struct jinja_node *left = parse_operand(p, level);
    while (left && binds(p->token, level)) {
        struct jinja_node *node = jinja_node_make(p, JINJA_BINARY);
        if (!node)
            return NULL;
        node->op = p->token->op;
        p->token++;
        node->a = left;
        node->b = parse_operand(p, level);
        left = node;
    }
    return p->status == STATUS_OK ? left : NULL;
}

static int comparison(struct jinja_parser *p)
{
    static const int signs[] = {JINJA_EQUAL,   JINJA_UNEQUAL, JINJA_AT_LEAST,
                                JINJA_AT_MOST, '<',           '>'};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (jinja_skip_sign(p, signs[i]))
            return signs[i];
    if (jinja_skip_word(p, "in"))
        return JINJA_IN;
    if (jinja_token_is(p->token, "not") && jinja_token_is(p->token + 1, "in")) {
        p->token += 2;
        return JINJA_NOT_IN;
    }
    return 0;
}

static struct jinja_node *parse_compare(struct jinja_parser *p)
{
    struct jinja_node *first = parse_binary(p, 2), *node = NULL, **end = NULL;
    int op;
    while (first && p->status == STATUS_OK && (op = comparison(p)) != 0) {
        if (!node && (node = jinja_node_make(p, JINJA_COMPARE))) {
            node->a = first;
            end = &node->list;
        }
        struct jinja_node *operand = jinja_node_make(p, JINJA_OPERAND);
        if (!operand || !node)
            return NULL;
        operand->op = op;
        operand->a = parse_binary(p, 2);
        append(&end, operand);
    }
    return node ? node : first;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    if (!jinja_token_is(p->token, "not"))
        return parse_compare(p);
    struct jinja_node *node = jinja_parse_enter(p) ? jinja_node_make(p, JINJA_UNARY) : NULL;
    if (!node)
        return NULL;
    p->token++;
    node->op = '!';
    node->a = parse_not(p);
    p->depth--;
    return node;
}

static struct jinja_node *pair(struct jinja_parser *p, enum jinja_kind kind,
                               struct jinja_node *left)
{
    struct jinja_node *node = jinja_node_make(p, kind);
    if (node)
        node->a = left;
    return node;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    struct jinja_node *left = parse_not(p);
    while (left && jinja_skip_word(p, "and")) {
        left = pair(p, JINJA_AND, left);
        if (left)
            left->b = parse_not(p);
    }
    return p->status == STATUS_OK ? left : NULL;
}

struct jinja_node *jinja_parse_or(struct jinja_parser *p)
{
    struct jinja_node *left = parse_and(p);
    while (left && jinja_skip_word(p, "or")) {
        left = pair(p, JINJA_OR, left);
        if (left)
            left->b = parse_and(p);
    }
    return p->status == STATUS_OK ? left : NULL;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p)
{
    if (!jinja_parse_enter(p))
        return NULL;
    struct jinja_node *node = jinja_parse_or(p);
    while (node && p->status == STATUS_OK && jinja_skip_word(p, "if")) {
        node = pair(p, JINJA_CHOICE, node);
        if (node)
            node->b = jinja_parse_or(p);
        if (node && jinja_skip_word(p, "else"))
            node->c = jinja_parse_expression(p);
    }
    p->depth--;
    return p->status == STATUS_OK ? node : NULL;
}
