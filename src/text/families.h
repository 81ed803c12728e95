/* The pre-tokenizers of byte-level BPE by the names that GGUF files give them: what families of
 * models cut text by, as a list of patterns of which each cuts what the one before has left. */
#ifndef TEXT_FAMILIES_H
#define TEXT_FAMILIES_H

#include "text/tokenizer.h"

#define FAMILY_PATTERNS 6

struct tok_family {
    const char *names[10]; /* the first is the one that is written */
    const char *patterns[FAMILY_PATTERNS];
    bool nfc;         /* text is brought into form NFC before */
    bool whole_words; /* see struct tokenizer */
    bool bos;         /* a text begins with the bos token when the file does not say */
};

/* The family of a name, or NULL. */
const struct tok_family *tok_family_find(const char *name);
/* The family that cuts as the tokenizer does, or NULL. `bos`: how its texts begin, which decides
 * between families that are alike otherwise. */
const struct tok_family *tok_family_of(const struct tokenizer *tokenizer, bool bos);
/* Gives a tokenizer that is being built the sections of its family. */
enum status tok_set_family(struct tokenizer *tokenizer, const struct tok_family *family,
                           struct error *error);

#endif
