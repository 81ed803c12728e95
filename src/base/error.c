/* See error.h. Messages are built in the caller's struct: no allocation, so that running out of
 * memory can be reported too. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names and texts from files may hold line feeds and control characters; a message is one line. */
static void make_one_line(struct error *error)
{
    for (char *c = error->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

enum status(error_set)(struct error *error, enum status status, const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    make_one_line(error);
    return status;
}

enum status(error_set_errno)(struct error *error, int number, const char *format, ...)
{
    if (!error)
        return STATUS_FAILED;
    error->status = STATUS_FAILED;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    char system_text[128];
    const char *text = strerror_r(number, system_text, sizeof system_text);
    snprintf(error->message + used, sizeof error->message - used, ": %s", text);
    make_one_line(error);
    return STATUS_FAILED;
}

enum status(error_prefix)(struct error *error, const char *format, ...)
{
    if (!error)
        return STATUS_FAILED;
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", old);
    make_one_line(error);
    return error->status;
}
