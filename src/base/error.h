/* Errors: a function that can fail returns a status and writes one line for the person who has to
 * mend the cause. The line names file, place and cause; callers pass it on and do not print it. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum status {
    STATUS_OK = 0,
    STATUS_FAILED,      /* the work could not be done: unreadable file, diverged run, ... */
    STATUS_USAGE,       /* the request itself is wrong: unknown option, contradictory values */
    STATUS_NO_MEMORY,   /* an allocation failed */
    STATUS_INTERRUPTED, /* the user asked to stop; what was done so far is saved */
};

struct error {
    enum status status;
    char message[1024];
};

/* Writes the message (printf rules, cut at the buffer's end) and returns `status`, so that callers
 * can `return error_set(error, STATUS_FAILED, ...)`. `error` may be NULL. */
enum status error_set(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Same, with ": " and the system's word for `number` (an errno value) behind the message. */
enum status error_set_errno(struct error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that is already there; returns the error's status. */
enum status error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Shorthand for a failed allocation of `bytes`. Inline, so that compilers see that it never
 * returns STATUS_OK. */
static inline enum status error_no_memory(struct error *error, unsigned long long bytes)
{
    error_set(error, STATUS_NO_MEMORY, "out of memory: could not allocate %llu bytes", bytes);
    return STATUS_NO_MEMORY;
}

/* The static analyzer looks at one file at a time, and would follow paths on which a failure comes
 * back as STATUS_OK. It is told that the status returned is the status given. */
#ifdef __clang_analyzer__
#define error_set(error, status, ...) ((error_set)(error, status, __VA_ARGS__), (status))
#define error_set_errno(error, status, ...)                                                        \
    ((error_set_errno)(error, status, __VA_ARGS__), STATUS_FAILED)
#define error_prefix(error, ...) ((error_prefix)(error, __VA_ARGS__), STATUS_FAILED)
#endif

#endif
