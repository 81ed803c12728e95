/* The single transformations that normalizers consist of; private to src/text. Each appends to
 * `out`. Bytes that are no UTF-8 pass unchanged, unless said otherwise. */
#ifndef TEXT_NORMALIZE_STEPS_H
#define TEXT_NORMALIZE_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum normalize_form { NORMALIZE_NFC, NORMALIZE_NFD, NORMALIZE_NFKC, NORMALIZE_NFKD };

void normalize_form(enum normalize_form form, const char *text, size_t length, struct buffer *out);
void normalize_lowercase(const char *text, size_t length, struct buffer *out);
/* Leaves out combining marks: those that take no room (Mn) alone, or all of them. */
void normalize_drop_marks(const char *text, size_t length, bool nonspacing, struct buffer *out);
void normalize_strip(const char *text, size_t length, bool left, bool right, struct buffer *out);
/* The clean-up for translation of SentencePiece's "nmt" rules. */
void normalize_nmt(const char *text, size_t length, struct buffer *out);

struct bert_rules {
    bool clean, chinese, accents, lowercase;
};
/* Bytes that are no UTF-8 go with the control characters. */
void normalize_bert(const struct bert_rules *rules, const char *text, size_t length,
                    struct buffer *out);

#endif
