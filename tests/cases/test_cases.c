/* Every case in tests/cases through the driver's program, held to its expected outputs: integers
 * and lists of them exactly, reals to a relative or absolute tolerance of 1e-9, or of what the
 * case's README allows for arithmetic in f32. */
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

static double tolerance_of(const char *slug)
{
    return strncmp(slug, "prepacking", 10) == 0 ? 1e-5 : 1e-9;
}

/* `where` starts with the case's name. */
static void compare(const char *where, const json_t *got, const json_t *want)
{
    char inner[256];
    const char *key;
    json_t *value;
    size_t i;
    if (!got)
        fail_msg("%s is missing", where);
    if (json_is_object(want)) {
        json_object_foreach((json_t *)(uintptr_t)want, key, value)
        {
            snprintf(inner, sizeof inner, "%.150s.%.80s", where, key);
            compare(inner, json_object_get(got, key), value);
        }
    } else if (json_is_array(want)) {
        if (json_array_size(got) != json_array_size(want))
            fail_msg("%s: %zu values instead of %zu", where, json_array_size(got),
                     json_array_size(want));
        json_array_foreach((json_t *)(uintptr_t)want, i, value)
        {
            snprintf(inner, sizeof inner, "%.200s[%zu]", where, i);
            compare(inner, json_array_get(got, i), value);
        }
    } else if (json_is_integer(want)) {
        if (!json_is_integer(got) || json_integer_value(got) != json_integer_value(want))
            fail_msg("%s: %lld instead of %lld", where, json_integer_value(got),
                     json_integer_value(want));
    } else if (json_is_number(want)) {
        double a = json_number_value(got), b = json_number_value(want);
        if (!json_is_number(got) || !(fabs(a - b) <= tolerance_of(where) * fmax(1, fabs(b))))
            fail_msg("%s: %.17g instead of %.17g", where, a, b);
    } else if (!json_equal(got, want)) {
        fail_msg("%s differs", where);
    }
}

static void run_case(const char *slug)
{
    char command[1024], path[512];
    snprintf(command, sizeof command, "'%s' %s '%s/cases/%s/input.json'", CASE_PROGRAM, slug,
             TEST_ROOT, slug);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    json_t *got = json_loadf(pipe, 0, NULL);
    assert_int_equal(pclose(pipe), 0);
    assert_non_null(got);
    snprintf(path, sizeof path, "%s/cases/%s/expected.json", TEST_ROOT, slug);
    json_t *want = json_load_file(path, 0, NULL);
    assert_non_null(want);
    compare(slug, got, want);
    json_decref(got);
    json_decref(want);
}

static void all_cases_give_their_expected_outputs(void **state)
{
    (void)state;
    int count = 0;
    DIR *folder = opendir(TEST_ROOT "/cases");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[512];
        snprintf(path, sizeof path, "%s/cases/%s/input.json", TEST_ROOT, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file)
            continue;
        fclose(file);
        run_case(entry->d_name);
        count++;
    }
    closedir(folder);
    assert_true(count >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases_give_their_expected_outputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
