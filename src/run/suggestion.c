/* See suggestion.h. */
#include "run/suggestion.h"

const struct sampling_options sampling_usual = {.temperature = SAMPLING_TEMPERATURE,
                                                .top_k = SAMPLING_TOP_K,
                                                .top_p = SAMPLING_TOP_P,
                                                .min_p = SAMPLING_MIN_P,
                                                .typical_p = 1,
                                                .repetition_penalty = 1,
                                                .repetition_window = SAMPLING_WINDOW,
                                                .mirostat_surprise = SAMPLING_SURPRISE,
                                                .mirostat_rate = SAMPLING_RATE};

const struct sampling_options sampling_open = {.temperature = 1,
                                               .top_p = 1,
                                               .typical_p = 1,
                                               .repetition_penalty = 1,
                                               .repetition_window = SAMPLING_WINDOW,
                                               .mirostat_surprise = SAMPLING_SURPRISE,
                                               .mirostat_rate = SAMPLING_RATE};

void sampling_suggest(const struct model *model, struct sampling_options *s)
{
    const struct {
        const char *key;
        double *real, least, most;
    } reals[] = {{"temperature", &s->temperature, 0, 100},
                 {"top_p", &s->top_p, 0, 1},
                 {"min_p", &s->min_p, 0, 1},
                 {"repetition_penalty", &s->repetition_penalty, 0.01, 100}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const json_t *value = json_object_get(model->chat.generation, reals[i].key);
        double number = json_number_value(value);
        if (json_is_number(value) && number >= reals[i].least && number <= reals[i].most)
            *reals[i].real = number;
    }
    const json_t *top = json_object_get(model->chat.generation, "top_k");
    if (json_is_integer(top) && json_integer_value(top) >= 0 &&
        json_integer_value(top) <= INT32_MAX)
        s->top_k = json_integer_value(top);
}
