/* fleet_merge: one fleet file out of what a person wrote and what the cloud says. */
#ifndef COLLECTOR_FLEET_MERGE_H
#define COLLECTOR_FLEET_MERGE_H

#include "common/buf.h"
#include "common/error.h"

#include <stddef.h>

/* Appends the written file as JSON, with the services of the found one beside its own. Of a service
 * in both, each key that was written counts; a written `check` or `checks` does away with what was
 * found to be checked. Both are fleet files that were read without errors. -EINVAL with `err`. */
int fleet_merge(const char *written, size_t written_length, const char *found, size_t found_length,
                struct buf *out, struct error *err);

#endif
