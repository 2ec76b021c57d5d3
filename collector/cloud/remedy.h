/* remedy: the vendor's commands that open a closed path: the least that does, with the real ids.
 *
 * Of each step that denies: a rule for exactly that port and group, or the vendor's default egress
 * rule where just that was lost; an ACL entry before the one that denies, or the removal of an
 * entry that was not there when all was well; the removal of a black-hole route within the VPC, or
 * a route that is missing. What lies in another is left out.
 */
#ifndef COLLECTOR_CLOUD_REMEDY_H
#define COLLECTOR_CLOUD_REMEDY_H

#include "collector/cloud/path.h"
#include "common/buf.h"

#define REMEDIES_MAX 24 /* commands; of more only how many */

struct remedies;

/* `good`: the estate when all was well, to tell what is new; NULL: not known. */
struct remedies *remedies_new(const struct estate *estate, const struct estate *good);
struct remedies *remedies_free(struct remedies *remedies); /* accepts NULL */

/* For all that denies on this path. */
void remedies_add(struct remedies *remedies, const struct path_flow *flow, const struct path *path);

/* Once all are added: how many, and one of them. */
size_t remedies_count(struct remedies *remedies);
void remedies_put(const struct remedies *remedies, size_t index, struct buf *out);

#endif
