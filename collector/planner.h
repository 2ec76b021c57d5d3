/* planner: which task probes which columns in one run. Pure.
 *
 * Each task of a source probes each target in scope. Of a service with more than `sample` tasks a
 * part takes its turn: which one is decided by a stored seed and the run's number, so that
 * consecutive runs go round all of them.
 */
#ifndef COLLECTOR_PLANNER_H
#define COLLECTOR_PLANNER_H

#include "collector/fleet.h"
#include "common/error.h"
#include "common/options.h"

struct planner_task {
    size_t service;
    const char *name; /* orders the tasks of a service */
    void *ctx;        /* the caller's */
};

struct planner_input {
    const struct fleet *fleet;
    const struct planner_task *tasks; /* with a live agent */
    size_t task_count;
    const struct options_list *from, *to; /* "service", targets also "service:check"; empty: all */
    const struct options_list *about;     /* of these only pairs with one of them as either end;
                                             NULL or empty: all */
    const struct options_list *without;   /* ... and none with one of these; NULL: all */
    uint64_t seed;
    uint64_t number; /* of the run */
    size_t sample;
};

struct plan {
    bool *scope;          /* service_count x column_count */
    uint32_t *live_tasks; /* per service */
    size_t *chosen;       /* indices of the tasks that probe, in order of service and name */
    size_t chosen_count;
};

/* -EINVAL with `err` naming the service or check that the fleet does not have, or a scope
 * without any pair. */
int planner_plan(const struct planner_input *input, struct plan *ret_plan, struct error *err);
void plan_deinit(struct plan *plan);

/* Always -EINVAL: "OPTION: the fleet has no service 'NAME'", with the closest name that it has. */
int planner_unknown_service(const struct fleet *fleet, const char *option, const char *name,
                            struct error *err);

/* Whether a task of `service` probes that column: in scope, and no lone task probes itself. */
bool plan_wants(const struct plan *plan, const struct fleet *fleet, size_t service, size_t column);

#endif
