/* Reading SentencePiece's tokenizer.model, which is a protobuf message. The few parts of protobuf
 * that it takes are read here: every length is checked against what is left of the message that it
 * lies in, and fields that are not known are passed over. */
#include <math.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

#define PIECES_MOST (1 << 24)

enum wire { WIRE_NUMBER = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct message {
    const unsigned char *at, *end;
};

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;        /* of a number, or the bits of a float */
    struct message inside; /* of bytes */
};

static bool read_number(struct message *m, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        unsigned char byte = *m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_bits(struct message *m, int bytes, uint64_t *value)
{
    if (m->end - m->at < bytes)
        return false;
    *value = 0;
    for (int i = 0; i < bytes; i++)
        *value |= (uint64_t)m->at[i] << (8 * i);
    m->at += bytes;
    return true;
}

/* The next field; false at the end, and with `damaged` when the message is cut off or no message.
 */
static bool next_field(struct message *m, struct field *field, bool *damaged)
{
    uint64_t tag, length;
    if (m->at == m->end)
        return false;
    *field = (struct field){0};
    *damaged = true;
    if (!read_number(m, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    field->number = (uint32_t)(tag >> 3);
    field->wire = (enum wire)(tag & 7);
    if (field->wire == WIRE_NUMBER) {
        *damaged = !read_number(m, &field->value);
    } else if (field->wire == WIRE_64 || field->wire == WIRE_32) {
        *damaged = !read_bits(m, field->wire == WIRE_64 ? 8 : 4, &field->value);
    } else if (field->wire == WIRE_BYTES) {
        if (!read_number(m, &length) || length > (uint64_t)(m->end - m->at))
            return false;
        field->inside = (struct message){m->at, m->at + length};
        m->at += length;
        *damaged = false;
    }
    return !*damaged;
}

struct model {
    int64_t pieces;
    int64_t type; /* 1 Unigram, 2 BPE */
    bool byte_fallback, suffix, prefix, collapse;
    int64_t bos, eos, pad;
    struct message rules;
};

static void read_trainer(struct message m, struct model *model, bool *damaged)
{
    struct field f;
    while (next_field(&m, &f, damaged)) {
        if (f.wire != WIRE_NUMBER)
            continue;
        int64_t value = (int64_t)f.value;
        switch (f.number) {
        case 3:
            model->type = value;
            break;
        case 24:
            model->suffix = value != 0;
            break;
        case 35:
            model->byte_fallback = value != 0;
            break;
        case 41:
            model->bos = value;
            break;
        case 42:
            model->eos = value;
            break;
        case 43:
            model->pad = value;
            break;
        default:
            break;
        }
    }
}

static void read_normalizer(struct message m, struct model *model, bool *damaged)
{
    struct field f;
    while (next_field(&m, &f, damaged)) {
        if (f.number == 2 && f.wire == WIRE_BYTES)
            model->rules = f.inside;
        else if (f.number == 3 && f.wire == WIRE_NUMBER)
            model->prefix = f.value != 0;
        else if (f.number == 4 && f.wire == WIRE_NUMBER)
            model->collapse = f.value != 0;
    }
}

static void read_model(struct message m, struct model *model, bool *damaged)
{
    struct field f;
    while (next_field(&m, &f, damaged)) {
        if (f.wire != WIRE_BYTES)
            continue;
        if (f.number == 1)
            model->pieces++;
        else if (f.number == 2)
            read_trainer(f.inside, model, damaged);
        else if (f.number == 3)
            read_normalizer(f.inside, model, damaged);
        if (*damaged)
            return;
    }
}

static enum status read_piece(struct tokenizer *t, struct message m, int32_t id, bool *damaged,
                              struct error *error)
{
    struct field f;
    struct message text = {0};
    uint64_t type = TOK_NORMAL;
    uint32_t bits = 0;
    while (next_field(&m, &f, damaged)) {
        if (f.number == 1 && f.wire == WIRE_BYTES)
            text = f.inside;
        else if (f.number == 2 && f.wire == WIRE_32)
            bits = (uint32_t)f.value;
        else if (f.number == 3 && f.wire == WIRE_NUMBER)
            type = f.value;
    }
    size_t length = text.at ? (size_t)(text.end - text.at) : 0;
    if (*damaged || type < TOK_NORMAL || type > TOK_BYTE || length == 0 ||
        memchr(text.at, 0, length))
        return error_set(error, STATUS_FAILED, "piece %d has no usable text or type", (int)id);
    enum status status =
        tok_set_piece(t, id, (const char *)text.at, length, (enum tok_type)type, error);
    if (status != STATUS_OK)
        return status;
    float score;
    memcpy(&score, &bits, sizeof score);
    t->pieces[id].score = (double)score;
    if (!isfinite(score))
        return error_set(error, STATUS_FAILED, "the score of piece %d is no number", (int)id);
    if (type == TOK_UNKNOWN)
        t->unknown = id;
    return STATUS_OK;
}

static enum status read_pieces(struct tokenizer *t, struct message m, struct error *error)
{
    struct field f;
    int32_t id = 0;
    bool damaged = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && next_field(&m, &f, &damaged))
        if (f.number == 1 && f.wire == WIRE_BYTES)
            status = read_piece(t, f.inside, id++, &damaged, error);
    return status;
}

static int32_t known_id(const struct tokenizer *t, int64_t id)
{
    return id >= 0 && id < t->count && t->pieces[id].type == TOK_CONTROL ? (int32_t)id : -1;
}

static enum status build(struct tokenizer *t, const struct model *model, struct message whole,
                         const char *name, struct error *error)
{
    bool unigram = model->type == 1;
    t->sentencepiece = t->fuse_unknown = true;
    t->byte_fallback = model->byte_fallback;
    struct tok_spaces spaces = {model->rules.at,
                                model->rules.at ? (size_t)(model->rules.end - model->rules.at) : 0,
                                model->collapse, model->prefix};
    enum status status = read_pieces(t, whole, error);
    if (status == STATUS_OK)
        status = tok_set_spaces(t, &spaces, error);
    if (status == STATUS_OK && !unigram)
        status = tok_merge_by_score(t, error);
    if (status != STATUS_OK)
        return error_prefix(error, "%s", name);
    status = tok_finish(t, name, error);
    if (status != STATUS_OK)
        return status;
    t->bos = known_id(t, model->bos);
    t->eos = known_id(t, model->eos);
    t->pad = known_id(t, model->pad);
    /* As the families do whose files these are: Llama begins texts, T5 ends them. */
    return tok_set_around(t, unigram ? -1 : t->bos, unigram ? t->eos : -1, error);
}

enum status tok_parse_sentencepiece(const void *bytes, size_t length, const char *name,
                                    struct tokenizer *t, struct error *error)
{
    struct message whole = {bytes, (const unsigned char *)bytes + length};
    struct model model = {
        .type = 1, .prefix = true, .collapse = true, .bos = 1, .eos = 2, .pad = -1};
    bool damaged = false;
    *t = (struct tokenizer){.bos = -1, .eos = -1};
    read_model(whole, &model, &damaged);
    if (damaged || model.pieces == 0 || model.pieces > PIECES_MOST)
        return error_set(error, STATUS_FAILED,
                         "%s: neither a tokenizer.json nor a whole tokenizer.model", name);
    if ((model.type != 1 && model.type != 2) || model.suffix)
        return error_set(error, STATUS_FAILED,
                         "%s: only SentencePiece models of type Unigram and BPE with the space in "
                         "front are supported",
                         name);
    enum status status = tok_begin(t, model.type == 1 ? TOK_UNIGRAM : TOK_CHARACTER_BPE,
                                   (int32_t)model.pieces, error);
    if (status == STATUS_OK)
        status = build(t, &model, whole, name, error);
    if (status != STATUS_OK)
        tok_free(t);
    return status;
}
