/* phrase: sentences with the names of one symptom and scope in them. Part of diagnose.
 *
 * Placeholders: {S} {T} services; {s} {t} tasks; {from} {to} what the scope reaches; {at} endpoint;
 * {address} {port} {name} {record} {resolver} {check} {path} {timeout}; {observed} {detail} {icmp}
 * {late} {days} {ttl} what was seen; {owner} {others} {ports} {queue} {age} {n} {dependency}; of
 * the configuration {group-out} {group-in} {acl-forward} {acl-back} {acls} {routes} {closed}. What
 * is not one of them stays as it is.
 */
#ifndef COLLECTOR_PHRASE_H
#define COLLECTOR_PHRASE_H

#include "collector/symptom.h"
#include "common/buf.h"

struct phrase {
    const struct symptoms *symptoms;
    const struct symptom *symptom; /* the example */
    enum scope_kind scope;
    const char *only_from, *only_to; /* where all that a wide scope explains has one source (target)
                                        service, its name; else NULL */
    const char *observed;            /* in place of the example's; NULL: that */
};

void phrase_expand(const struct phrase *phrase, const char *text, struct buf *out);
/* "web -> payments", "zone a -> zone b", "payments.1", ... */
void phrase_scope(const struct phrase *phrase, struct buf *out);

#endif
