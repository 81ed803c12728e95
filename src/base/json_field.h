/* One text field of a JSON record, without building the whole record: what corpora of JSON lines
 * need, where a general parser spends most of its time on memory. The record is checked as strictly
 * as by a general parser, valid UTF-8 included. */
#ifndef BASE_JSON_FIELD_H
#define BASE_JSON_FIELD_H

#include <stddef.h>

enum json_field {
    JSON_FIELD_FOUND,
    JSON_FIELD_MISSING, /* no such field at the top, or no text */
    JSON_FIELD_BROKEN,  /* not one JSON object */
};

/* Writes the field's text, unescaped and with a terminating 0, to `out`, which must have room for
 * length + 1 bytes. Of several fields of the name the last one counts. */
enum json_field json_field_text(const char *record, size_t length, const char *field, char *out,
                                size_t *out_length);

#endif
