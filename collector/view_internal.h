/* view_internal: small pieces of JSON that view.c and view_pair.c share. Each begins with a comma.
 */
#ifndef COLLECTOR_VIEW_INTERNAL_H
#define COLLECTOR_VIEW_INTERNAL_H

#include "collector/cloud/changes.h"
#include "collector/run.h"
#include "common/buf.h"
#include "proto/outcome.h"

#include <stddef.h>
#include <stdint.h>

void view_put_key(struct buf *out, const char *key);
void view_put_text(struct buf *out, const char *key, const char *value);
void view_put_int(struct buf *out, const char *key, int64_t value);
/* Microseconds as milliseconds, or null for what never was. */
void view_put_ms(struct buf *out, const char *key, int64_t us);
/* RFC 3339, or null for 0. */
void view_put_time(struct buf *out, const char *key, int64_t wall_ms);
/* A run and when it was: {run, time}; null for run 0. */
void view_put_moment(struct buf *out, const char *key, int64_t run, int64_t wall_ms);
/* When, by whom, by which call; nothing where that is not known (0). */
void view_put_event(struct buf *out, int64_t wall_ms, const char *by, const char *event);
void view_put_list(struct buf *out, const char *key, const char *const *list, size_t count);

struct pair_name {
    const char *source, *target, *check;
};

/* The two views of a pair's failing paths: ,"paths":[{task, from, to, port, forward, back, verdict,
 * views, steps, flows}], and what is known of tasks that ended: ,"stopped":[...],"log":[...]; null
 * where the cloud was not asked. */
typedef const char *(*view_task_fn)(const void *ctx,
                                    int64_t assignment); /* of the source; or NULL */
struct view_paths {
    int64_t run, column;
    const char *target;
    bool is_udp; /* the check */
    view_task_fn task_of;
    const void *ctx;
};
void view_put_paths(const struct runs *runs, const struct view_paths *wanted, struct buf *out);

/* {what, kind, part, id, then, now, at, by, event}; without a comma. */
void view_put_change(const struct change *change, struct buf *out);

/* Since when the pair fails, and what differs from the last run in which it was well. */
void view_changes(const struct runs *runs, const struct store_run *record,
                  const struct fleet *fleet, const struct pair_name *name, struct buf *out);

/* Phase, outcome, errno, status and what they say in words; without the comma. */
void view_put_attempt_facts(struct buf *out, enum proto_phase phase, enum proto_outcome outcome,
                            int64_t error, int64_t status);

/* What the cloud said of the fleet when the run was: ,"cloud":{taken, missing}; nothing where it
 * was not asked, or has not answered yet. */
void view_put_cloud(const struct runs *runs, int64_t run, struct buf *out);
/* Likewise, of an estate that is at hand (or NULL): the whole, and one service's short form. */
void view_put_services_cloud(const struct estate *estate, int64_t run, struct buf *out);
void view_put_service_cloud(const struct estate *estate, const char *name, struct buf *out);
/* {name, record, agents, live, lost, names, checks, cloud}; without a comma. */
void view_put_service(const struct runs *runs, const struct estate *estate,
                      const struct fleet_service *service, struct buf *out);

#endif
