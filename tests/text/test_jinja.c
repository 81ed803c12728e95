/* Templates are programs of strangers: what they may take is bounded, and what goes wrong is said
 * in one line with its place. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/check.h"
#include "text/jinja.h"

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static enum status render(const char *source, size_t length, struct buffer *text,
                          struct error *error)
{
    struct jinja jinja;
    enum status status = jinja_parse(source, length, "template", &jinja, error);
    if (status != STATUS_OK)
        return status;
    json_t *variables = json_pack("{s:s, s:[i,i]}", "s", "text", "l", 1, 2);
    status = jinja_render(&jinja, variables, 0, text, NULL, error);
    json_decref(variables);
    jinja_free(&jinja);
    return status;
}

/* Fails within a few seconds (one, without sanitizers and other work), in one line that has `cause`
 * in it. */
static void check_refused(const char *source, size_t length, const char *cause)
{
    struct buffer text = {0};
    struct error error = {0};
    double begin = seconds();
    assert_int_equal(render(source, length, &text, &error), STATUS_FAILED);
    if (!strstr(error.message, cause))
        print_error("%.200s\n  %s\n", source, error.message);
    assert_non_null(strstr(error.message, cause));
    assert_null(strchr(error.message, '\n'));
    assert_true(seconds() - begin < 20);
    buffer_free(&text);
}

static void endless_and_huge_work_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *source, *cause;
    } cases[] = {
        {"{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "nested too deep"},
        {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
         "nested too deep"},
        {"{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
         "{{ m(60) }}",
         "steps"},
        {"{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
         "{% endfor %}{% endfor %}{% endfor %}",
         "template takes more than"},
        {"{{ range(1000000000000) }}", "range()"},
        {"{{ range(-9223372036854775807, 9223372036854775807) }}", "range()"},
        {"{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}"
         "{% endfor %}",
         "memory"},
        {"{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}"
         "{% endfor %}",
         "template takes more than"},
        {"{% set ns = namespace(x=[]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}"
         "{% endfor %}{{ ns.x }}",
         "template takes more than"},
        {"{% set ns = namespace(x=[]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}"
         "{% endfor %}{{ ns.x | tojson }}",
         "template takes more than"},
        {"{% set ns = namespace(x=[], y=[]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}"
         "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
         "template takes more than"},
        {"{% set ns = namespace(x=[]) %}{% for i in range(9000) %}{% set ns.x = [ns.x] %}"
         "{% endfor %}{{ ns.x }}",
         "nested too deep"},
        {"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "nested too deep"},
        {"{{ 'a' * 100000000000 }}", "memory"},
        {"{% set x = 'a' * 1000000 %}{% for i in range(10000) %}{{ x }}{% endfor %}",
         "a text of more than"},
        {"{% set x = 'a' * 1000000 %}{% for i in range(10000) %}{{ x | length }}"
         "{{ x.replace('a', 'bb') | length }}{% endfor %}",
         "template takes more than"},
        {"{% set x = 'a' * 10000000 %}{{ x.rsplit('b' + 'a' * 1000000) }}", "steps"},
        {"{% set x = 'a' * 10000000 %}{{ x.strip('b' * 1000000 + 'a') }}", "steps"},
        {"{{ 'a'.center(1000000000) }}", "too large"},
        {"{{ '%999999999d' % 1 }}", "format"},
        {"{{ ['a'] | tojson(indent=100000000) }}", "a text of more than"},
        {"{{ 9223372036854775807 + 1 }}", "too large"},
        {"{{ 99999999999999999999 }}", "too large"},
        {"{{ 10 ** 100 }}", "too large"},
        {"{% for i in l recursive %}{{ loop(l) }}{% endfor %}", "nested too deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].source, strlen(cases[i].source), cases[i].cause);
}

/* `count` times `begin`, then `middle`, then as often `end`. */
static void check_nested(const char *begin, const char *middle, const char *end, size_t count)
{
    struct buffer source = {0};
    for (size_t i = 0; i < count; i++)
        buffer_add_text(&source, begin);
    buffer_add_text(&source, middle);
    for (size_t i = 0; i < count; i++)
        buffer_add_text(&source, end);
    check_refused(source.data, source.length, "nested too deep");
    buffer_free(&source);
}

static void deep_sources_are_refused(void **state)
{
    (void)state;
    struct buffer text = {0};
    static const char pairs[][3][24] = {{"(", "1", ")"},   {"[", "", "]"},     {"not ", "1", ""},
                                        {"-", "1", ""},    {"1 if ", "1", ""}, {"s[", "0", "]"},
                                        {"1 + ", "1", ""}, {"f(", "1", ")"}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        buffer_clear(&text);
        buffer_add_text(&text, "{{ ");
        for (int i = 0; i < 20000; i++)
            buffer_add_text(&text, pairs[p][0]);
        buffer_add_text(&text, pairs[p][1]);
        for (int i = 0; i < 20000; i++)
            buffer_add_text(&text, pairs[p][2]);
        buffer_add_text(&text, " }}");
        check_refused(text.data, text.length, "template: ");
    }
    buffer_free(&text);
    check_nested("{% if 1 %}", "", "{% endif %}", 20000);
    check_nested("{% for i in l %}", "", "{% endfor %}", 20000);
    check_nested("{% macro m() %}", "", "{% endmacro %}", 20000);
}

static void sources_that_are_no_text_are_refused(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct error error = {0};
    check_refused("a\xff", 2, "UTF-8");
    check_refused("{{ '\\ud800' }}", 13, "no character");
    for (size_t i = 0; i < (size_t)JINJA_SOURCE_MOST / 16 + 1; i++)
        buffer_add_text(&text, "0123456789abcdef");
    check_refused(text.data, text.length, "longer than");
    buffer_clear(&text);
    assert_int_equal(render("a\0b", 3, &text, &error), STATUS_OK);
    assert_int_equal(text.length, 3);
    buffer_free(&text);
}

static void mistakes_name_line_and_cause(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
    } cases[] = {
        {"a\n{{ x.y }}", "template: line 2: 'x' is undefined"},
        {"\n\n{% if s.z.q %}{% endif %}", "template: line 3: there is no member 'z'"},
        {"{{ raise_exception('a\nb') }}", "template: line 1: a b"},
        {"\n{% endif %}", "template: line 2: 'endif' is no statement, or not at this place"},
        {"{% if 1 %}\n", "template: line 1: 'elif' is missing"},
        {"{{ s | nope }}", "template: line 1: there is no filter 'nope'"},
        {"{{ s\n+\n1 }}", "template: line 2: '+' does not go with values of types str and int"},
        {"{{ l.append(1) }}",
         "template: line 1: templates cannot change lists and dicts; namespaces can be changed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer text = {0};
        struct error error = {0};
        assert_int_equal(render(cases[i].source, strlen(cases[i].source), &text, &error),
                         STATUS_FAILED);
        assert_string_equal(error.message, cases[i].message);
        buffer_free(&text);
    }
}

/* 200,000 pieces joined one by one: would be 20 GB of copying if each join copied. */
static void texts_grow_in_linear_time(void **state)
{
    (void)state;
    static const char source[] =
        "{% set ns = namespace(x='') %}{% for i in range(99999) %}{% set ns.x = ns.x + 'ab' %}"
        "{% endfor %}{{ ns.x | length }}";
    struct buffer text = {0};
    struct error error = {0};
    double begin = seconds();
    assert_int_equal(render(source, sizeof source - 1, &text, &error), STATUS_OK);
    assert_string_equal(text.data, "199998");
    assert_true(seconds() - begin < 10);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_and_huge_work_is_refused),
        cmocka_unit_test(deep_sources_are_refused),
        cmocka_unit_test(sources_that_are_no_text_are_refused),
        cmocka_unit_test(mistakes_name_line_and_cause),
        cmocka_unit_test(texts_grow_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
