/* error: one sentence for a person, filled in by the function that failed.
 *
 * Functions return 0 for fine and a negative errno for "cannot go on"; where a person is to read
 * why, they also take a `struct error *` (may be NULL) and say where and how to mend it.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#define ERROR_TEXT_MAX 512

struct error {
    char text[ERROR_TEXT_MAX];
};

/* Sets the text (truncated to fit) and returns `code`, so that a failure is one statement. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
