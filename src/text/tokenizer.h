/* Tokenizers: bytes to ids and back. One struct serves all kinds that language models use: BPE over
 * bytes (Sennrich et al. 2016; Radford et al. 2019) and over characters (SentencePiece; Kudo and
 * Richardson 2018), Unigram (Kudo 2018) and WordPiece (Schuster and Nakajima 2012; Devlin et al.
 * 2019). They share what is around the models: tokens found in the text first, normalizer,
 * pre-tokenizer, tokens put around a text, decoder. These parts are described by the sections of
 * Hugging Face's tokenizer.json, whatever file a tokenizer comes from, and are compiled from them:
 * so what was read can be written again. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/table.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/trie.h"

enum tok_kind { TOK_BYTE_BPE, TOK_CHARACTER_BPE, TOK_UNIGRAM, TOK_WORDPIECE };

/* What a piece is, by the numbers of SentencePiece and GGUF. */
enum tok_type {
    TOK_NORMAL = 1,
    TOK_UNKNOWN = 2, /* stands for what has no piece */
    TOK_CONTROL = 3,
    TOK_USER = 4, /* found in the text first, but ordinary text otherwise */
    TOK_UNUSED = 5,
    TOK_BYTE = 6, /* "<0x0A>": a byte of a character that has no piece */
};

/* How an added token is found in a text. */
enum tok_match {
    TOK_STRIP_LEFT = 1, /* takes white space before it along */
    TOK_STRIP_RIGHT = 2,
    TOK_SINGLE_WORD = 4, /* not within a word */
    TOK_NORMALIZED = 8,  /* looked for in the normalized text */
};

struct tok_piece {
    const char *bytes; /* of byte-level kinds the bytes, else as files write it */
    uint32_t length;
    double score; /* Unigram's logarithm of probability; BPE of SentencePiece: the order */
    uint8_t type; /* enum tok_type */
    uint8_t match;
    bool special; /* control or unknown: left out of decoded text on request */
    bool defined; /* false: a hole in the ids */
};

/* The sections of tokenizer.json as JSON text; NULL: null. */
enum tok_section { TOK_NORMALIZER, TOK_PRE_TOKENIZER, TOK_POST_PROCESSOR, TOK_DECODER };
#define TOK_SECTIONS 4

#define TOK_AROUND_MOST 8

/* Ids that a model expects before or behind a text. */
struct tok_around {
    int32_t ids[TOK_AROUND_MOST];
    int count;
};

struct tokenizer {
    enum tok_kind kind;
    struct arena arena; /* pieces, names, sections */
    struct tok_piece *pieces;
    int32_t count;         /* ids are 0 .. count-1 */
    struct table ids;      /* bytes of a piece -> id; added tokens are not in it */
    struct table added;    /* added tokens, specials among them -> id */
    struct trie raw;       /* added tokens as they stand in text */
    struct trie cooked;    /* those that stand in normalized text */
    int32_t byte_ids[256]; /* -1: none. Of byte-level BPE the bytes, else the pieces of type BYTE */
    struct number_table merges; /* left id << 32 | right id -> rank << 32 | merged id */
    uint64_t *merge_order;      /* the merges' keys by rank */
    int32_t merge_count;
    struct trie words; /* Unigram, WordPiece: pieces that words are looked up in */
    const char *sections[TOK_SECTIONS];
    struct normalizer *normalizer;
    struct pre_tokenizer *pre;
    struct tok_around before, behind;
    bool whole_words;       /* a word that is a piece is taken as it is ("ignore_merges") */
    bool byte_fallback;     /* characters without a piece become bytes */
    bool fuse_unknown;      /* unknown characters in a row are one unknown token */
    bool sentencepiece;     /* where Hugging Face's tokenizers differs, do as SentencePiece does */
    bool cut_at_marks;      /* no piece goes on past the beginning of a word */
    bool marked_spaces;     /* pieces have marks for spaces */
    bool space_in_front;    /* decoding drops a space in front */
    bool clean_up;          /* WordPiece: decoding tidies spaces before punctuation */
    int32_t longest_word;   /* WordPiece: longer words are unknown, in characters */
    double lowest, highest; /* Unigram: scores of normal pieces */
    int32_t unknown, pad;   /* ids, or -1 */
    int32_t bos, eos;       /* ids, or -1; eos ends documents */
};

/* An array of ids that grows. Zero-initialize; free with tok_ids_free. */
struct tok_ids {
    int32_t *items;
    int64_t count, capacity;
};
enum status tok_ids_add(struct tok_ids *ids, const int32_t *items, int64_t count,
                        struct error *error);
void tok_ids_free(struct tok_ids *ids);

/* What encoding needs beside the tokenizer: a memory of words and room to work in. One a thread
 * and tokenizer. Zero-initialize; free with tok_scratch_free. */
struct tok_scratch {
    struct table words; /* word -> index of its ids << 8 | their count, for words up to 255 ids */
    struct tok_ids word_ids;
    int32_t *nodes;
    uint64_t *heap;
    size_t node_capacity;
    struct split_room room;
    struct buffer normalized;
};
void tok_scratch_free(struct tok_scratch *scratch);

/* Appends the ids of the text. With `specials`, names of special tokens in the text become their
 * ids; without, they are ordinary text. Nothing is put around the text. */
enum status tok_encode(const struct tokenizer *tokenizer, struct tok_scratch *scratch,
                       const char *text, size_t length, bool specials, struct tok_ids *ids,
                       struct error *error);

/* Same, with the tokens that the model expects before and behind a text (beginning of text, [CLS],
 * ...), each once: what the text itself already begins or ends with is not put again. A prompt that
 * is to be continued is encoded with `open`, which leaves out what ends a text. */
enum status tok_encode_model(const struct tokenizer *tokenizer, struct tok_scratch *scratch,
                             const char *text, size_t length, bool specials, bool open,
                             struct tok_ids *ids, struct error *error);

/* Appends the bytes of the ids, which are a text from its beginning; unknown ids and, unless
 * wanted, special tokens add nothing. */
void tok_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count, bool specials,
                struct buffer *text);
/* Same for ids that come bit by bit. `started` is false before the first ids of a text, and then
 * kept by the function; it starts as true for ids that continue a text. A piece may end within a
 * character. */
void tok_decode_next(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                     bool specials, bool *started, struct buffer *text);

/* Reads a tokenizer.json of Hugging Face, or a tokenizer.model of SentencePiece, which its first
 * bytes tell. Free with tok_free. */
enum status tok_load(const char *path, struct tokenizer *tokenizer, struct error *error);
/* tokenizer.json, and tokenizer.model, from memory; `name` is for messages. */
enum status tok_parse(const char *json, size_t length, const char *name,
                      struct tokenizer *tokenizer, struct error *error);
enum status tok_parse_sentencepiece(const void *bytes, size_t length, const char *name,
                                    struct tokenizer *tokenizer, struct error *error);
/* Writes a tokenizer.json that Hugging Face's tokenizers reads, replacing what is there. */
enum status tok_save(const struct tokenizer *tokenizer, const char *path, struct error *error);
/* The same text in memory, appended. */
enum status tok_write(const struct tokenizer *tokenizer, struct buffer *json, struct error *error);
void tok_free(struct tokenizer *tokenizer);

/* For builders: starts an empty tokenizer of `count` ids; sets pieces, sections and merges in
 * order; then tok_finish compiles the sections, makes the look-ups and checks that the kind has
 * what it needs. After a failure, tok_free. */
enum status tok_begin(struct tokenizer *tokenizer, enum tok_kind kind, int32_t count,
                      struct error *error);
enum status tok_set_piece(struct tokenizer *tokenizer, int32_t id, const char *bytes, size_t length,
                          enum tok_type type, struct error *error);
enum status tok_set_section(struct tokenizer *tokenizer, enum tok_section section, const char *json,
                            struct error *error);
enum status tok_add_merge(struct tokenizer *tokenizer, int32_t left, int32_t right, int32_t merged,
                          struct error *error);
/* Lets words consist of an added token as of any piece; false when out of memory. */
bool tok_alias(struct tokenizer *tokenizer, int32_t id, const char *bytes, size_t length);
/* The id of what a merge joins or gives, or NULL. Merges with special tokens in them are known by
 * that and not made: no text may become a special token unasked. */
const int64_t *tok_merge_part(const struct tokenizer *tokenizer, const char *bytes, size_t length);
/* Makes the merges of SentencePiece's BPE from the scores of the pieces: of all pairs that give a
 * piece, those of the highest score first, the leftmost of equals. */
enum status tok_merge_by_score(struct tokenizer *tokenizer, struct error *error);
enum status tok_finish(struct tokenizer *tokenizer, const char *name, struct error *error);
/* The sections of byte-level BPE with GPT-2's pattern. */
enum status tok_set_gpt2(struct tokenizer *tokenizer, struct error *error);
/* The sections of SentencePiece's text: rules of normalization (may be none), white space in a row
 * as one (`collapse`), a mark for each space, and one in front of every stretch of text. */
struct tok_spaces {
    const void *rules;
    size_t rule_bytes;
    bool collapse, prefix;
};
enum status tok_set_spaces(struct tokenizer *tokenizer, const struct tok_spaces *spaces,
                           struct error *error);
/* BERT's sections; `lowercase` takes accents away, too. */
enum status tok_set_bert(struct tokenizer *tokenizer, bool lowercase, struct error *error);
/* Replaces what is put around texts, after tok_finish; sections and all. Ids below 0 are nothing.
 */
enum status tok_set_around(struct tokenizer *tokenizer, int32_t before, int32_t behind,
                           struct error *error);

/* The id of an added token by its name, or -1. */
int32_t tok_special(const struct tokenizer *tokenizer, const char *name);
/* The byte of a piece "<0x0A>", or -1. */
int tok_byte_of(const char *text, size_t length);

#endif
