/* See json_text.h. */
#include "base/json_text.h"

#include <string.h>
#include <utf8proc.h>

#include "base/buffer.h"

static json_t *repaired(const char *bytes, size_t length, const char *format)
{
    struct buffer out = {0};
    size_t at = 0;
    while (at < length) {
        utf8proc_int32_t point;
        size_t left = length - at;
        utf8proc_ssize_t width = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                                  (utf8proc_ssize_t)(left < 4 ? left : 4), &point);
        if (width > 0)
            buffer_add(&out, bytes + at, (size_t)width);
        else if (format)
            buffer_printf(&out, format, (unsigned char)bytes[at]);
        else
            buffer_add_text(&out, "\xef\xbf\xbd");
        at += width > 0 ? (size_t)width : 1;
    }
    json_t *text = out.failed ? NULL : json_stringn(out.data ? out.data : "", out.length);
    buffer_free(&out);
    return text;
}

json_t *json_text(const char *bytes, size_t length)
{
    json_t *text = json_stringn(bytes, length);
    return text ? text : repaired(bytes, length, NULL);
}

json_t *json_name(const char *name)
{
    if (!name)
        return json_null();
    json_t *text = json_string(name);
    return text ? text : repaired(name, strlen(name), "\\x%02x");
}
