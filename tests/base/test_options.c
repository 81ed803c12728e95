/* Options: parsing, limits, suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

struct sample {
    int64_t steps;
    double rate;
    bool force;
    const char *optimizer;
    const char *out;
    struct option_list data;
};

static const struct option table[] = {
    {"steps", 'n', OPTION_INT, offsetof(struct sample, steps), "100", 1, 1e9, NULL, NULL, "steps"},
    {"rate", 0, OPTION_REAL, offsetof(struct sample, rate), "1e-3", 0, 1, NULL, NULL, "rate"},
    {"force", 0, OPTION_FLAG, offsetof(struct sample, force), NULL, 0, 0, NULL, NULL, "force"},
    {"optimizer", 0, OPTION_CHOICE, offsetof(struct sample, optimizer), "adamw", 0, 0, "adamw|sgd",
     NULL, "optimizer"},
    {"out", 'o', OPTION_PATH, offsetof(struct sample, out), NULL, 0, 0, NULL, NULL, "output"},
    {"data", 'd', OPTION_LIST, offsetof(struct sample, data), NULL, 0, 0, NULL, NULL, "data"},
    {0},
};

struct fixture {
    struct arena arena;
    struct option_set set;
    struct sample sample;
    struct error error;
    struct option_list rest;
};

static int setup(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    fixture.set.arena = &fixture.arena;
    *state = &fixture;
    return option_add(&fixture.set, NULL, table, &fixture.sample, &fixture.error);
}

static int teardown(void **state)
{
    arena_free(&((struct fixture *)*state)->arena);
    return 0;
}

static enum status parse(struct fixture *f, int count, const char **words)
{
    return option_parse(&f->set, count, (char **)words, &f->rest, &f->error);
}

static void every_form_of_a_value_is_read(void **state)
{
    struct fixture *f = *state;
    const char *words[] = {"-n2k", "--rate=0.5", "--force", "a.txt", "--optimizer", "sgd",
                           "-d",   "one",        "--data",  "two=3", "--",          "--b"};
    assert_int_equal(parse(f, 12, words), STATUS_OK);
    assert_int_equal(f->sample.steps, 2000);
    assert_true(f->sample.rate == 0.5);
    assert_true(f->sample.force);
    assert_string_equal(f->sample.optimizer, "sgd");
    assert_int_equal(f->sample.data.count, 2);
    assert_string_equal(f->sample.data.items[1], "two=3");
    assert_int_equal(f->rest.count, 2);
    assert_string_equal(f->rest.items[1], "--b");
    assert_true(option_given(&f->set, "rate"));
    assert_false(option_given(&f->set, "out"));
}

static void a_mistyped_name_is_answered_with_the_nearest(void **state)
{
    struct fixture *f = *state;
    const char *words[] = {"--optimiser", "sgd"};
    assert_int_equal(parse(f, 2, words), STATUS_USAGE);
    assert_non_null(strstr(f->error.message, "--optimizer"));
}

static void values_outside_their_range_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *bad[][2] = {{"--steps", "0"},     {"--steps", "1.5"}, {"--steps", "9e99"},
                            {"--rate", "2"},      {"--rate", "nan"},  {"--rate", "x"},
                            {"--optimizer", "a"}, {"--steps", ""},    {"--force=maybe", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(f, 2, bad[i]), STATUS_USAGE);
        assert_null(strchr(f->error.message, '\n'));
    }
    assert_int_equal(f->sample.steps, 100);
}

static void a_missing_value_is_named(void **state)
{
    struct fixture *f = *state;
    const char *words[] = {"--out"};
    assert_int_equal(parse(f, 1, words), STATUS_USAGE);
    assert_non_null(strstr(f->error.message, "--out"));
}

/* More choices than fit a line, and a long explanation: nothing is cut, no line is too long. */
static void help_shows_all_of_a_long_list(void **state)
{
    struct fixture *f = *state;
    static const char choices[] =
        "f32|as-base|first-choice|second-choice|third-choice|fourth-choice|fifth-choice|"
        "sixth-choice|seventh-choice|eighth-choice|ninth-choice|tenth-choice";
    char help[800], joined[sizeof choices + 64] = "";
    for (size_t i = 0; i + 1 < sizeof help; i++)
        help[i] = i % 8 == 7 ? ' ' : (char)('a' + i % 7);
    help[sizeof help - 1] = 0;
    const struct option long_table[] = {
        {"format", 'f', OPTION_CHOICE, 0, "tenth-choice", 0, 0, choices, NULL, help},
        {.name = NULL}};
    const char *format = NULL;
    struct option_set set = {.arena = &f->arena};
    struct buffer out = {0};
    assert_int_equal(option_add(&set, NULL, long_table, &format, &f->error), STATUS_OK);
    option_help(&set, &out);
    assert_int_equal(buffer_check(&out, NULL), STATUS_OK);
    assert_non_null(strstr(out.data, "[tenth-choice]\n"));
    size_t length = 0;
    for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) <= 80);
        const char *text = line + strspn(line, " ");
        text = strncmp(text, "-f, --format ", 13) == 0 ? text + 13 : text;
        if (strstr(text, "abcdefg"))
            break;
        assert_true(length + strlen(text) < sizeof joined);
        memcpy(joined + length, text, strlen(text) + 1);
        length += strlen(text);
    }
    assert_string_equal(joined, choices);
    const char *words[] = {"--format", "none"};
    assert_int_equal(option_parse(&set, 2, (char **)words, &f->rest, &f->error), STATUS_USAGE);
    assert_non_null(strstr(f->error.message, "tenth-choice"));
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_form_of_a_value_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mistyped_name_is_answered_with_the_nearest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(values_outside_their_range_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_value_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(help_shows_all_of_a_long_list, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
