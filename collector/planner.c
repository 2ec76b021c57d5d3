#include "collector/planner.h"

#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int planner_unknown_service(const struct fleet *fleet, const char *option, const char *name,
                            struct error *err)
{
    const char **names = mem_array(fleet->service_count, sizeof(*names));
    const char *closest;

    for (size_t i = 0; i < fleet->service_count; i++)
        names[i] = fleet->services[i].name;
    closest = text_closest(name, names, fleet->service_count);
    mem_free(names);
    return error_set(err, -EINVAL, "%s: the fleet has no service '%.80s'%s%.80s%s", option, name,
                     closest ? "; did you mean '" : "", closest ? closest : "",
                     closest ? "'?" : "");
}

static int mark_sources(const struct planner_input *input, bool *wanted, struct error *err)
{
    for (size_t i = 0; i < input->from->count; i++) {
        size_t service = fleet_find_service(input->fleet, input->from->items[i]);
        if (service == SIZE_MAX)
            return planner_unknown_service(input->fleet, "from", input->from->items[i], err);
        if (!input->fleet->services[service].has_agents)
            return error_set(err, -EINVAL, "from: service '%s' has 'agents: none'",
                             input->fleet->services[service].name);
        wanted[service] = true;
    }
    for (size_t i = 0; i < input->fleet->service_count && !input->from->count; i++)
        wanted[i] = input->fleet->services[i].has_agents;
    return 0;
}

static int mark_target(const struct planner_input *input, const char *text, bool *wanted,
                       struct error *err)
{
    const struct fleet *fleet = input->fleet;
    const char *colon = strchr(text, ':');
    char name[256];
    bool is_found = false;

    snprintf(name, sizeof(name), "%.*s", (int)(colon ? colon - text : 255), text);
    if (fleet_find_service(fleet, name) == SIZE_MAX)
        return planner_unknown_service(fleet, "to", name, err);
    for (size_t c = 0; c < fleet->column_count; c++)
        if (strcmp(fleet_column_service(fleet, c)->name, name) == 0 &&
            (!colon || strcmp(fleet_column_check(fleet, c)->name, colon + 1) == 0))
            wanted[c] = is_found = true;
    if (!is_found && colon)
        return error_set(err, -EINVAL, "to: service '%s' has no check '%.60s'", name, colon + 1);
    if (!is_found)
        return error_set(err, -EINVAL, "to: service '%s' has 'check: none'", name);
    return 0;
}

static int mark_named(const struct planner_input *input, const char *option,
                      const struct options_list *list, bool *named, struct error *err)
{
    for (size_t i = 0; list && i < list->count; i++) {
        size_t service = fleet_find_service(input->fleet, list->items[i]);
        if (service == SIZE_MAX)
            return planner_unknown_service(input->fleet, option, list->items[i], err);
        named[service] = true;
    }
    return 0;
}

/* Leaves pairs with one of `about` as either end, and none with one of `without`. */
static int narrow(const struct planner_input *input, struct plan *plan, struct error *err)
{
    const struct fleet *fleet = input->fleet;
    bool *about = mem_array(fleet->service_count, sizeof(*about));
    bool *without = mem_array(fleet->service_count, sizeof(*without));
    bool is_all = !input->about || !input->about->count;
    int r = mark_named(input, "about", input->about, about, err);

    if (r == 0)
        r = mark_named(input, "without", input->without, without, err);
    for (size_t s = 0; s < fleet->service_count; s++)
        for (size_t c = 0; c < fleet->column_count; c++) {
            size_t target = fleet->columns[c].service;
            plan->scope[s * fleet->column_count + c] &=
                (is_all || about[s] || about[target]) && !without[s] && !without[target];
        }
    mem_free(about);
    mem_free(without);
    return r;
}

static int mark_scope(const struct planner_input *input, struct plan *plan, struct error *err)
{
    const struct fleet *fleet = input->fleet;
    bool *sources = mem_array(fleet->service_count, sizeof(*sources));
    bool *columns = mem_array(fleet->column_count, sizeof(*columns));
    int r = mark_sources(input, sources, err);

    for (size_t i = 0; i < input->to->count && r == 0; i++)
        r = mark_target(input, input->to->items[i], columns, err);
    for (size_t c = 0; c < fleet->column_count && !input->to->count; c++)
        columns[c] = true;
    for (size_t s = 0; s < fleet->service_count; s++)
        for (size_t c = 0; c < fleet->column_count; c++)
            plan->scope[s * fleet->column_count + c] = sources[s] && columns[c];
    if (r == 0)
        r = narrow(input, plan, err);
    mem_free(sources);
    mem_free(columns);
    return r;
}

/* qsort has no context: sort indices with their keys. */
struct entry {
    const struct planner_task *task;
    size_t index;
};

static int by_service_and_name(const void *a, const void *b)
{
    const struct planner_task *x = ((const struct entry *)a)->task;
    const struct planner_task *y = ((const struct entry *)b)->task;

    if (x->service != y->service)
        return x->service < y->service ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The first of this run's turn: runs step through the tasks `sample` at a time. */
static size_t first_of_turn(const struct planner_input *input, size_t tasks)
{
    return (size_t)((input->seed + input->number * input->sample) % tasks);
}

static bool probes_anything(const struct plan *plan, const struct fleet *fleet, size_t service)
{
    for (size_t c = 0; c < fleet->column_count; c++)
        if (plan->scope[service * fleet->column_count + c])
            return true;
    return false;
}

static void choose(const struct planner_input *input, const struct entry *entries, size_t count,
                   struct plan *plan)
{
    size_t take = count < input->sample ? count : input->sample;
    size_t first = count > take ? first_of_turn(input, count) : 0;

    plan->live_tasks[entries[0].task->service] = (uint32_t)count;
    if (!probes_anything(plan, input->fleet, entries[0].task->service))
        return;
    for (size_t i = 0; i < take; i++)
        plan->chosen[plan->chosen_count++] = entries[(first + i) % count].index;
}

int planner_plan(const struct planner_input *input, struct plan *ret_plan, struct error *err)
{
    const struct fleet *fleet = input->fleet;
    struct entry *entries = mem_array(input->task_count, sizeof(*entries));
    struct plan plan = {
        .scope = mem_array(fleet->service_count * fleet->column_count, sizeof(bool)),
        .live_tasks = mem_array(fleet->service_count, sizeof(uint32_t)),
        .chosen = mem_array(input->task_count, sizeof(size_t)),
    };
    int r = mark_scope(input, &plan, err);

    for (size_t i = 0; i < input->task_count; i++)
        entries[i] = (struct entry){&input->tasks[i], i};
    qsort(entries, input->task_count, sizeof(*entries), by_service_and_name);
    for (size_t start = 0, end; start < input->task_count && r == 0; start = end) {
        for (end = start + 1;
             end < input->task_count && entries[end].task->service == entries[start].task->service;
             end++)
            ;
        choose(input, entries + start, end - start, &plan);
    }
    mem_free(entries);
    if (r < 0)
        plan_deinit(&plan);
    else
        *ret_plan = plan;
    return r;
}

void plan_deinit(struct plan *plan)
{
    mem_free(plan->scope);
    mem_free(plan->live_tasks);
    mem_free(plan->chosen);
    *plan = (struct plan){0};
}

bool plan_wants(const struct plan *plan, const struct fleet *fleet, size_t service, size_t column)
{
    bool is_alone = fleet->columns[column].service == service && plan->live_tasks[service] == 1;

    return plan->scope[service * fleet->column_count + column] && !is_alone;
}
