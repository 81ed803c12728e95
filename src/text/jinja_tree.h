/* The tree of a Jinja template, between its parser and its evaluator; private to src/text/jinja*.
 * One struct serves all kinds of nodes: what a kind makes of the children is said beside it. */
#ifndef TEXT_JINJA_TREE_H
#define TEXT_JINJA_TREE_H

#include "text/jinja.h"
#include "text/jinja_value.h"

enum jinja_kind {
    /* Expressions. */
    JINJA_CONSTANT,  /* value */
    JINJA_NAME,      /* value: the name */
    JINJA_LIST_OF,   /* list: items */
    JINJA_TUPLE_OF,  /* list: items */
    JINJA_MAP_OF,    /* list: nodes JINJA_PAIR */
    JINJA_PAIR,      /* a: key, b: value */
    JINJA_ATTRIBUTE, /* a: object, value: name */
    JINJA_ITEM,      /* a: object, b: index */
    JINJA_SLICE,     /* a, b, c: begin, end, step, each may be NULL */
    JINJA_CALL,      /* a: what is called, list: arguments */
    JINJA_FILTER,    /* a: input (NULL: of a filter block), value: name, list: arguments */
    JINJA_TEST,      /* a: input, value: name, list: arguments */
    JINJA_NAMED,     /* an argument: value: its name, a */
    JINJA_SPREAD,    /* an argument: op '*' or JINJA_POWER, a */
    JINJA_UNARY,     /* op '+', '-' or '!' (not), a */
    JINJA_BINARY,    /* op, a, b */
    JINJA_CONCAT,    /* list */
    JINJA_COMPARE,   /* a, list: nodes JINJA_OPERAND */
    JINJA_OPERAND,   /* op, a */
    JINJA_AND,       /* a, b */
    JINJA_OR,        /* a, b */
    JINJA_CHOICE,    /* a if b else c; c may be NULL */
    /* Statements. */
    JINJA_TEXT_OUT,     /* value */
    JINJA_OUT,          /* a */
    JINJA_IF,           /* list: nodes JINJA_BRANCH */
    JINJA_BRANCH,       /* a: condition (NULL: else), list: body */
    JINJA_FOR,          /* a: target, b: what is gone through, c: condition; list, more (else);
                           op: recursive */
    JINJA_SET,          /* a: target, b: value */
    JINJA_SET_BLOCK,    /* a: target, b: filter or NULL, list: body */
    JINJA_MEMBER,       /* a target: value: name, a: constant with the member's name */
    JINJA_MACRO_OF,     /* value: name, more: parameters (JINJA_NAMED; a: default), list: body;
                           op: JINJA_USES_* */
    JINJA_CALL_BLOCK,   /* a: call, b: macro of the caller */
    JINJA_FILTER_BLOCK, /* a: filter, list: body */
    JINJA_WITH,         /* more: nodes JINJA_SET, list: body */
    JINJA_GENERATION,   /* list: body */
    JINJA_SCOPED,       /* list: body, in a scope of its own */
    JINJA_BREAK,
    JINJA_CONTINUE,
};

/* Operators of two characters. */
enum {
    JINJA_EQUAL = '=' << 8 | '=',
    JINJA_UNEQUAL = '!' << 8 | '=',
    JINJA_AT_LEAST = '>' << 8 | '=',
    JINJA_AT_MOST = '<' << 8 | '=',
    JINJA_FLOOR = '/' << 8 | '/',
    JINJA_POWER = '*' << 8 | '*',
    JINJA_IN = 'i' << 8 | 'n',
    JINJA_NOT_IN = 'n' << 8 | 'i',
};

/* What the body of a macro speaks of, which says what it takes beside its parameters. */
enum { JINJA_USES_CALLER = 1, JINJA_USES_VARARGS = 2, JINJA_USES_KWARGS = 4 };

struct jinja_node {
    enum jinja_kind kind;
    int op;
    int line;
    struct jinja_value value;
    struct jinja_node *a, *b, *c;
    struct jinja_node *list, *more; /* linked by next */
    struct jinja_node *next;
};

enum jinja_token_kind {
    TOKEN_END, /* of the source */
    TOKEN_TEXT,
    TOKEN_OUT_BEGIN,
    TOKEN_OUT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_CONSTANT, /* a number */
    TOKEN_STRING,
    TOKEN_SIGN, /* op */
};

struct jinja_token {
    enum jinja_token_kind kind;
    int op;
    int line;
    struct jinja_value value;
};

/* The tokens of a source, ended by TOKEN_END, in the arena. */
enum status jinja_scan(const char *source, size_t length, const char *name, struct arena *arena,
                       struct jinja_token **tokens, struct error *error);

/* What the two halves of the parser share. */
struct jinja_parser {
    const char *name;
    struct arena *arena;
    const struct jinja_token *token;
    int depth, loops;
    int generation; /* blocks seen */
    int uses;       /* of the macro being read */
    struct error *error;
    enum status status;
};

/* All return NULL after a failure, which `status` keeps. */
struct jinja_node *jinja_node_make(struct jinja_parser *p, enum jinja_kind kind);
void *jinja_parse_fail(struct jinja_parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool jinja_parse_enter(struct jinja_parser *p);
bool jinja_token_is(const struct jinja_token *token, const char *word);
bool jinja_skip_word(struct jinja_parser *p, const char *word);
bool jinja_skip_sign(struct jinja_parser *p, int op);
bool jinja_expect_sign(struct jinja_parser *p, int op);
bool jinja_expect_name(struct jinja_parser *p, struct jinja_value *name);
struct jinja_node *jinja_parse_expression(struct jinja_parser *p);
struct jinja_node *jinja_parse_or(struct jinja_parser *p);
struct jinja_node *jinja_parse_primary(struct jinja_parser *p);
/* One expression, or several with commas between them, which make a tuple. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool choices);
/* Filters without an input: "upper | trim". */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *input);

#endif
