/* Scanners for the patterns that most models use, written out: the end of the match at text[at]. */
#ifndef TEXT_SCANNERS_H
#define TEXT_SCANNERS_H

#include <stddef.h>

/* Every one of these patterns matches at every place of every text. */
typedef size_t scan_function(const char *text, size_t length, size_t at);

/* The scanner of a regular expression, or NULL. */
scan_function *scanner_find(const char *pattern);

/* The end of the character at text[at] when it is a number (\p{N}), else `at`. */
size_t scan_digit(const char *text, size_t length, size_t at);

#endif
