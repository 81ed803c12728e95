/* Characters as pre-tokenizers see them. ASCII is decided by a table, the rest by utf8proc. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum char_class { CHAR_OTHER, CHAR_LETTER, CHAR_NUMBER, CHAR_SPACE };

/* Class and byte length of the character at text[0], length > 0. A byte that starts no valid
 * UTF-8 is a character of its own, of class OTHER. */
enum char_class unicode_class(const char *text, size_t length, size_t *width);

/* Length in bytes of the valid UTF-8 character at text[0] (its code point in *point), or 0. */
size_t unicode_decode(const char *text, size_t length, uint32_t *point);

/* Writes the code point (at most U+10FFFF) as UTF-8; returns its 1 to 4 bytes. */
size_t unicode_encode(uint32_t point, char bytes[4]);

/* What SentencePiece writes for a space, U+2581. */
#define UNICODE_SPACE_MARK "\xe2\x96\x81"
/* Appends the text with marks for spaces, or with spaces for marks. */
void unicode_mark_spaces(const char *text, size_t length, struct buffer *out);
void unicode_unmark_spaces(const char *text, size_t length, struct buffer *out);

/* Length of the character at text[0], length > 0; a byte that starts none is one by itself. */
size_t unicode_width(const char *text, size_t length);
/* White space, and characters that words consist of (letters, marks, numbers, connectors). */
bool unicode_is_space(uint32_t point);
bool unicode_is_word(uint32_t point);

/* GPT-2's printable stand-in for each byte, as byte-level tokenizers write them in files. */
uint32_t unicode_of_byte(unsigned char byte);
/* The byte that a code point stands for, or -1. */
int unicode_to_byte(uint32_t point);
/* Appends the bytes that a text of stand-ins stands for; false when a character is none. */
bool unicode_add_bytes(const char *text, size_t length, struct buffer *bytes);

#endif
