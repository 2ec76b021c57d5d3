/* incident: what is told to people: one for each cause and scope, over all runs in which it is
 * there. Pure: the open incidents and a run in, what changed about them out.
 *
 * A diagnosis belongs to the open incident with its cause and scope; else to one that shares a
 * failing pair with it: then the cause has changed. An incident is over once a run has seen all its
 * pairs, and all of them work: a run that left them out, or could not look, says nothing.
 */
#ifndef COLLECTOR_ALERT_INCIDENT_H
#define COLLECTOR_ALERT_INCIDENT_H

#include "common/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INCIDENT_CELLS_MAX 5000

struct cJSON;

enum incident_kind { INCIDENT_OPENED, INCIDENT_REMINDER, INCIDENT_CHANGED, INCIDENT_RESOLVED };

/* As it is stored. */
struct incident {
    int64_t id; /* 0: new */
    int64_t opened_ms, told_ms;
    struct cJSON *document; /* {cause, scope, severity, ..., cells, previous}; owned */
    bool is_seen;           /* in the run that is looked at */
};

struct incident_event {
    enum incident_kind kind;
    size_t incident; /* index */
};

struct incidents {
    struct incident *items;
    size_t count, capacity;
    struct incident_event *events;
    size_t event_count, event_capacity;
};

struct incident_run {
    const struct cJSON *diagnoses; /* a run's, as the API shows them */
    const struct cJSON *cells;     /* those that do not work, or were not looked at */
    bool is_whole;                 /* its scope is the fleet */
    bool wants_observed, wants_warnings;
    int64_t now_ms, remind_ms; /* 0: no reminders */
};

void incidents_add(struct incidents *incidents, int64_t id, int64_t opened_ms, int64_t told_ms,
                   struct cJSON *document);
void incidents_update(struct incidents *incidents, const struct incident_run *run);
void incidents_deinit(struct incidents *incidents);

const char *incident_kind_name(enum incident_kind kind);

#endif
