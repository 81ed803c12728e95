/* Corpora: folders of text, single files, JSON lines, each plain or compressed, read in batches of
 * bounded size, so that memory does not grow with the corpus. What cannot be used is counted by
 * reason and skipped, or fatal when the caller is strict. */
#ifndef DATA_CORPUS_H
#define DATA_CORPUS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/threads.h"

struct corpus_options {
    const char *field; /* of JSON records; NULL: "text"; "": a document is the whole record */
    bool strict;       /* a bad record is an error */
    const volatile sig_atomic_t
        *stop; /* not 0: reading ends with STATUS_INTERRUPTED; NULL: never */
};

enum corpus_problem {
    CORPUS_BAD_JSON,
    CORPUS_NO_FIELD, /* the field is missing or no string */
    CORPUS_TOO_LONG, /* a line above the limit */
    CORPUS_BINARY,   /* zero bytes in a text file */
    CORPUS_EMPTY,
    CORPUS_UNREADABLE, /* broken compression, I/O errors */
    CORPUS_PROBLEMS,
};

struct document {
    const char *text; /* with a terminating 0 */
    size_t length;
    int64_t index;   /* place among all records of the corpus, bad ones included */
    uint64_t origin; /* of pieces: hash of the document that it was cut from */
    bool record;     /* a whole JSON record */
};

/* What has been read so far. */
struct corpus_counts {
    int64_t files, documents, bytes;
    int64_t bad[CORPUS_PROBLEMS];
    char first_bad[256]; /* file, line and cause of the first bad record; empty: none */
};

struct corpus;

/* `paths` are files or folders, read in the given order, folders by name. A path that does not
 * exist, or a folder without files, is an error. */
enum status corpus_open(const char *const *paths, int64_t count,
                        const struct corpus_options *options, struct corpus **corpus,
                        struct error *error);
void corpus_close(struct corpus *corpus);

/* The next documents, valid until the next call; *count is 0 at the end. Records are parsed on the
 * pool's threads; their order is that of the files. */
enum status corpus_next(struct corpus *corpus, struct thread_pool *pool,
                        const struct document **documents, int64_t *count, struct error *error);

const struct corpus_counts *corpus_counts(const struct corpus *corpus);
/* Share of the files' bytes that has been read, in [0, 1]. */
double corpus_progress(const struct corpus *corpus);
/* "12 bad records (8 bad JSON, 4 empty); first: ..." appended, or nothing. */
void corpus_describe_bad(const struct corpus_counts *counts, struct buffer *out);

/* A document's 64-bit hash: its identity for splits and exact duplicates. */
uint64_t document_hash(const char *text, size_t length);
/* Whether the document of that hash belongs to the held-out part of that share. */
bool document_held_out(uint64_t hash, double share, uint64_t seed);

#endif
