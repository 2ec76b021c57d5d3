/* changes: what differs between two estates: rules, ACL entries, routes, revisions, registrations,
 * health, attributes; added, removed, changed. Pure. What was not read in one of them is not
 * compared; tasks that come and go are no change (their revisions and health are).
 */
#ifndef COLLECTOR_CLOUD_CHANGES_H
#define COLLECTOR_CLOUD_CHANGES_H

#include "collector/cloud/estate.h"

#define CHANGES_MAX 1000 /* of more only that there are */

enum change_kind { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_CHANGED };

struct change {
    enum change_kind kind;
    enum estate_part part;
    const char *of;         /* id of the record: "sg-1", "payments" for a service */
    const char *item;       /* id of what is in it: "sgr-1", "90", "10.0.0.0/8"; "" */
    const char *what;       /* "security group sg-1 (payments), ingress rule sgr-1" */
    const char *then, *now; /* "tcp 8080 from sg-2 (web)"; "" where there was, or is, none */
    int64_t at_ms;          /* wall clock, of the event below; 0: not known */
    const char *by, *event; /* who, by which call (CloudTrail); "": not known */
};

struct changes {
    struct change *items;
    size_t count, capacity;
    bool has_more;
    struct arena arena;
};

struct changes *changes_find(const struct estate *then, const struct estate *now);
struct changes *changes_free(struct changes *changes); /* accepts NULL */

/* Who made each of them, as far as `now` has the events (ESTATE_TRAIL): the last call on that
 * resource that did this, and names the item if any names one. Not before `since_ms`. */
void changes_attribute(struct changes *changes, const struct estate *now, int64_t since_ms);

const char *change_kind_name(enum change_kind kind); /* "added", ... */

#endif
