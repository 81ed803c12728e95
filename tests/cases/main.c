/* build/case SLUG INPUT.json > OUTPUT.json */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases/cases.h"

static const struct {
    const char *slug;
    case_adapter *adapter;
} adapters[] = {
    {"dsir", case_dsir},
    {"flover", case_flover},
    {"prepacking", case_prepacking},
};

double *case_reals(const json_t *array, size_t *count)
{
    *count = json_array_size(array);
    double *values = json_is_array(array) ? malloc((*count + 1) * sizeof *values) : NULL;
    for (size_t i = 0; values && i < *count; i++)
        values[i] = json_number_value(json_array_get(array, i));
    return values;
}

json_t *case_list(const double *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_real(values[i]));
    return list;
}

int main(int count, char **arguments)
{
    struct error error = {0};
    json_error_t problem;
    if (count != 3) {
        fprintf(stderr, "usage: case SLUG INPUT.json > OUTPUT.json\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
        if (strcmp(adapters[i].slug, arguments[1]) != 0)
            continue;
        json_t *input = json_load_file(arguments[2], 0, &problem);
        if (!input) {
            fprintf(stderr, "case: %s:%d: %s\n", arguments[2], problem.line, problem.text);
            return 1;
        }
        json_t *output = adapters[i].adapter(input, &error);
        json_decref(input);
        if (!output) {
            fprintf(stderr, "case: %s: %s\n", arguments[1], error.message);
            return 1;
        }
        json_dumpf(output, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(output);
        return fflush(stdout) != 0;
    }
    fprintf(stderr, "case: there is no adapter for '%s'\n", arguments[1]);
    return 2;
}
