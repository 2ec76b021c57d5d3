/* ini: the files that AWS's own tools are set up with (~/.aws/config and ~/.aws/credentials).
 *
 * Sections, `key = value`, comments on lines of their own or after a space, and one level of
 * indented keys below a key without a value; they are found as "key/nested".
 */
#ifndef COLLECTOR_CLOUD_INI_H
#define COLLECTOR_CLOUD_INI_H

#include "common/arena.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define INI_BYTES_MAX ((size_t)1 << 20)

struct ini_entry {
    const char *section, *key, *value;
    struct ini_entry *next;
};

struct ini {
    struct arena arena;
    struct ini_entry *first;
    bool is_there; /* the file exists */
};

/* A line that is neither of these is an error that names it. 0 or -EINVAL with `err`. */
int ini_parse(struct ini *ini, const char *origin, const char *text, size_t length,
              struct error *err);
/* A file that is not there is empty. 0 or a negative errno with `err`. */
int ini_load(struct ini *ini, const char *path, struct error *err);
void ini_deinit(struct ini *ini);

bool ini_has_section(const struct ini *ini, const char *section);
/* The value, or NULL. */
const char *ini_get(const struct ini *ini, const char *section, const char *key);

#endif
