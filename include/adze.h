/* adze: the public C interface of the library. A model is opened from a GGUF file or a Hugging Face
 * folder; it can tokenize, score and continue text. Functions return 0, or a number from enum
 * adze_status with a line for people in adze_error. A model is used by one thread at a time; it
 * runs its own worker threads. */
#ifndef ADZE_H
#define ADZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ADZE_API __attribute__((visibility("default")))

enum adze_status {
    ADZE_OK = 0,
    ADZE_FAILED, /* unreadable file, text longer than the context, ... */
    ADZE_USAGE,  /* a wrong argument */
    ADZE_NO_MEMORY,
    ADZE_INTERRUPTED, /* a callback asked to stop */
};

struct adze_error {
    char message[1024];
};

struct adze_model;

struct adze_sampling {
    double temperature;        /* 0: always the likeliest token */
    int64_t top_k;             /* 0: all */
    double top_p;              /* 1: all */
    double min_p;              /* 0: all */
    double repetition_penalty; /* 1: none */
    uint64_t seed;
};

/* "0.1.0". */
ADZE_API const char *adze_version(void);

/* `threads` 0: all cores. Close with adze_close. */
ADZE_API int adze_open(const char *path, int threads, struct adze_model **model,
                       struct adze_error *error);
ADZE_API void adze_close(struct adze_model *model);

/* Size of the vocabulary, and the longest text in tokens. */
ADZE_API int64_t adze_vocabulary(const struct adze_model *model);
ADZE_API int64_t adze_context(const struct adze_model *model);

/* Token ids of the text; *ids is allocated, release it with free. */
ADZE_API int adze_tokenize(struct adze_model *model, const char *text, size_t length, int32_t **ids,
                           int64_t *count, struct adze_error *error);
/* Text of the ids, with a terminating 0; release it with free. */
ADZE_API int adze_detokenize(struct adze_model *model, const int32_t *ids, int64_t count,
                             char **text, size_t *length, struct adze_error *error);

/* Continues the prompt by at most `tokens` tokens. `on_text` is told each piece of new text and
 * returns 0 to stop. `sampling` NULL: the likeliest tokens. */
ADZE_API int adze_generate(struct adze_model *model, const char *prompt, int64_t tokens,
                           const struct adze_sampling *sampling,
                           int (*on_text)(void *context, const char *text, size_t length),
                           void *context, struct adze_error *error);

/* Log-probability (nats) of each token but the first, given those before it; out has count - 1
 * places. */
ADZE_API int adze_score(struct adze_model *model, const int32_t *ids, int64_t count, double *out,
                        struct adze_error *error);

#ifdef __cplusplus
}
#endif

#endif
