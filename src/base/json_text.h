/* JSON strings from bytes that need not be UTF-8, as texts, names of files and models' outputs need
 * not be. jansson refuses such bytes, and a value would silently be missing. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* A text: what is not UTF-8 becomes U+FFFD, one for a byte. New reference, NULL when out of memory.
 */
json_t *json_text(const char *bytes, size_t length);

/* A name, or another 0-terminated text that must stay different from others: what is not UTF-8
 * becomes \xNN. NULL gives null. */
json_t *json_name(const char *name);

#endif
