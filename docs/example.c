/* Continues a text with a model: cc example.c $(pkg-config --cflags --libs adze) */
#include <adze.h>
#include <stdio.h>

static int print(void *context, const char *text, size_t length)
{
    return fwrite(text, 1, length, context) == length;
}

int main(int count, char **arguments)
{
    struct adze_error error;
    struct adze_model *model;
    struct adze_sampling sampling = {0.8, 40, 0.95, 0.05, 1.1, 1};
    if (count != 3 || adze_open(arguments[1], 0, &model, &error) != ADZE_OK)
        return fprintf(stderr, "%s\n", count == 3 ? error.message : "example MODEL PROMPT"), 1;
    int status = adze_generate(model, arguments[2], 40, &sampling, print, stdout, &error);
    if (status != ADZE_OK)
        fprintf(stderr, "%s\n", error.message);
    adze_close(model);
    return status;
}
