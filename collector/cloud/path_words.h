/* path_words: what a step of a path says, in words with the ids that stand in the configuration. */
#ifndef COLLECTOR_CLOUD_PATH_WORDS_H
#define COLLECTOR_CLOUD_PATH_WORDS_H

#include "collector/cloud/path.h"
#include "common/buf.h"

/* "sg-1 (payments) has no rule for tcp 8080 from sg-2 (web)"; "entry 90 of acl-1 denies tcp 8080
 * from 10.0.1.0/24"; "rtb-1 leads 10.0.2.0/24 nowhere (black hole)"; "no ACL looks at it: one
 * subnet". */
void path_words_put(const struct estate *estate, const struct path_flow *flow,
                    const struct path *path, enum path_kind kind, struct buf *out);
/* Those of the steps that have the verdict, with "; " between them. */
void path_words_put_all(const struct estate *estate, const struct path_flow *flow,
                        const struct path *path, enum path_verdict verdict, struct buf *out);
/* The other side of a rule: a group, a block, a prefix list. */
void path_words_put_rule_end(const struct estate *estate, const struct estate_rule *rule,
                             struct buf *out);
/* Where a route leads: the id of a gateway, an interface, ...; "?". */
const char *path_words_route_target(const struct estate_route *route);
/* "sg-1 (payments)". */
void path_words_put_group(const struct estate *estate, const char *id, struct buf *out);

#endif
