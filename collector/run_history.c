/* What a run's diagnoses say of the past: since when, what changed, by whom; and what AWS is to be
 * asked of it. */
#include "collector/run_internal.h"

#include "collector/baseline.h"
#include "collector/cloud/concern.h"
#include "collector/cloud/lookup.h"
#include "collector/estate_store.h"
#include "common/clock.h"
#include "common/text.h"

#include <string.h>

#define DIAGNOSES_MAX 8  /* looked at; a run with more has other troubles */
#define CELLS_MAX     16 /* of a diagnosis: whose services are concerned */
#define CHANGES_SHOWN 5
#define PASTS_MAX     4 /* good runs whose view of the cloud is kept at a time */

struct past {
    int64_t run;
    struct estate *estate;   /* NULL: not known */
    struct changes *changes; /* since then */
};

struct history {
    const struct runs *runs;
    const struct run *run;
    struct estate *now; /* not its own */
    const struct path_map *map;
    struct diagnoses *diagnoses;
    struct baseline_search *search;
    struct past pasts[PASTS_MAX];
    size_t count;
};

static void forget(struct past *past)
{
    changes_free(past->changes);
    estate_free(past->estate);
}

static const struct past *past_of(struct history *history, const struct baseline *baseline)
{
    struct past *past;

    for (size_t i = 0; i < history->count; i++)
        if (history->pasts[i].run == baseline->good)
            return &history->pasts[i];
    if (history->count == PASTS_MAX)
        forget(&history->pasts[--history->count]);
    past = &history->pasts[history->count++];
    *past = (struct past){.run = baseline->good};
    past->estate = estate_store_get(history->runs->store, baseline->good, ESTATE_ALL);
    if (past->estate && history->now) {
        past->changes = changes_find(past->estate, history->now);
        changes_attribute(past->changes, history->now, baseline->good_ms - BASELINE_SLACK_MS);
    }
    return past;
}

/* ---- which of the changes ---- */

static void add_concern(const struct history *history, const struct past *past, const char *service,
                        struct concern *concern)
{
    concern_add(concern, past->estate, service);
    concern_add(concern, history->now, service);
}

static void find_concern(const struct history *history, const struct past *past,
                         const struct diagnosis *diagnosis, struct concern *concern)
{
    const struct fleet *fleet = history->run->fleet;

    for (size_t i = 0; i < diagnosis->cell_count && i < CELLS_MAX; i++) {
        const char *const services[] = {
            fleet->services[diagnosis->cells[i].source].name,
            fleet_column_service(fleet, diagnosis->cells[i].column)->name};
        for (size_t s = 0; s < 2; s++)
            add_concern(history, past, services[s], concern);
    }
}

/* What is closed, the change is of: then it is it. */
static bool is_of_closed_step(const struct history *history, const struct diagnosis *diagnosis,
                              const struct change *change)
{
    for (size_t i = 0; i < diagnosis->flow_count; i++) {
        const struct path_flow *flow = &diagnosis->flows[i];
        struct path path;
        if (strcmp(path_interface(flow->source)->id, change->of) == 0 ||
            (flow->target && strcmp(path_interface(flow->target)->id, change->of) == 0))
            return true;
        path_walk(history->map, flow, &path);
        for (int k = 0; k < PATH_KIND_COUNT; k++)
            if ((path.steps[k].verdict == PATH_DENIED || path.steps[k].verdict == PATH_PARTLY) &&
                strcmp(path.steps[k].of, change->of) == 0)
                return true;
    }
    return false;
}

static void add_change(struct history *history, struct diagnosis *diagnosis,
                       const struct change *change)
{
    struct arena *arena = &history->diagnoses->arena;

    if (!diagnosis->changes)
        diagnosis->changes = arena_alloc(arena, CHANGES_SHOWN, sizeof(*diagnosis->changes));
    if (diagnosis->change_count == CHANGES_SHOWN)
        return;
    diagnosis->changes[diagnosis->change_count++] = (struct diagnosis_change){
        .kind = change_kind_name(change->kind),
        .what = arena_strdup(arena, change->what),
        .then = arena_strdup(arena, change->then),
        .now = arena_strdup(arena, change->now),
        .by = arena_strdup(arena, change->by),
        .event = arena_strdup(arena, change->event),
        .at_ms = change->at_ms,
    };
}

/* Those of what is closed; only where there is none, all that concern the pair. */
static void add_changes(struct history *history, const struct past *past,
                        struct diagnosis *diagnosis)
{
    struct concern concern = {0};
    const struct changes *changes = past->changes;
    bool has_own;

    find_concern(history, past, diagnosis, &concern);
    for (size_t i = 0; i < changes->count; i++)
        if (concern_has(&concern, &changes->items[i]) &&
            is_of_closed_step(history, diagnosis, &changes->items[i]))
            add_change(history, diagnosis, &changes->items[i]);
    has_own = diagnosis->change_count > 0;
    for (size_t i = 0; i < changes->count && !has_own; i++)
        if (concern_has(&concern, &changes->items[i]))
            add_change(history, diagnosis, &changes->items[i]);
    concern_deinit(&concern);
}

static void look_back(struct history *history, struct diagnosis *diagnosis)
{
    const struct fleet *fleet = history->run->fleet;
    const struct diagnosis_cell *cell = &diagnosis->cells[0];
    struct baseline baseline =
        baseline_find(history->search, &history->run->record, fleet->services[cell->source].name,
                      fleet_column_service(fleet, cell->column)->name,
                      fleet_column_check(fleet, cell->column)->name);
    const struct past *past = baseline.good ? past_of(history, &baseline) : NULL;

    diagnosis->good = baseline.good;
    diagnosis->good_ms = baseline.good_ms;
    diagnosis->since = baseline.since;
    diagnosis->since_ms = baseline.since_ms;
    if (past && past->changes)
        add_changes(history, past, diagnosis);
    diagnosis_add_remedies(history->diagnoses, diagnosis, history->now, past ? past->estate : NULL,
                           history->map);
}

void run_add_history(const struct runs *runs, const struct run *run, struct diagnoses *diagnoses,
                     struct estate *estate, const struct path_map *map)
{
    struct history history = {
        .runs = runs, .run = run, .now = estate, .map = map, .diagnoses = diagnoses};
    size_t looked = 0;

    history.search = baseline_search_new(runs->store);
    for (size_t i = 0; i < diagnoses->count; i++) {
        struct diagnosis *diagnosis = &diagnoses->items[i];
        if (diagnosis->cell_count && diagnosis->severity != SEVERITY_WARNING &&
            looked++ < DIAGNOSES_MAX)
            look_back(&history, diagnosis);
        else
            diagnosis_add_remedies(diagnoses, diagnosis, estate, NULL, map);
    }
    for (size_t i = 0; i < history.count; i++)
        forget(&history.pasts[i]);
    baseline_search_free(history.search);
}

/* ---- what is to be asked ---- */

#define PAIRS_MAX 8 /* that fail: looked at */

struct pair {
    size_t source, column; /* services; a column */
};

static size_t list_pairs(const struct run *run, struct pair pairs[PAIRS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < run->item_count && count < PAIRS_MAX; i++) {
        size_t source = run->sources[run->items[i].source].service, at = 0;
        while (at < count &&
               (pairs[at].source != source || pairs[at].column != run->items[i].column))
            at++;
        if (at == count)
            pairs[count++] = (struct pair){source, run->items[i].column};
    }
    return count;
}

static void want(struct inquiry_request *request, struct record_list *list, const char *text,
                 size_t most)
{
    if (*text && list->count < most && !record_has_text(list, text))
        record_add_text(&request->arena, list, text);
}

/* What of the changes a trail has events for. */
static bool is_in_trail(const struct change *change)
{
    return change->part == ESTATE_GROUPS || change->part == ESTATE_ACLS ||
           change->part == ESTATE_ROUTE_TABLES || change->part == ESTATE_SERVICES ||
           change->part == ESTATE_VPCS || change->part == ESTATE_INTERFACES ||
           change->part == ESTATE_TARGET_GROUPS;
}

static void want_events(struct history *history, const struct pair *pair,
                        struct inquiry_request *request)
{
    const struct fleet *fleet = history->run->fleet;
    const char *source = fleet->services[pair->source].name;
    const struct fleet_service *target = fleet_column_service(fleet, pair->column);
    struct baseline baseline =
        baseline_find(history->search, &history->run->record, source, target->name,
                      fleet_column_check(fleet, pair->column)->name);
    const struct past *past = baseline.good ? past_of(history, &baseline) : NULL;
    struct concern concern = {0};

    if (!past || !past->changes)
        return;
    if (!request->since_ms || baseline.good_ms < request->since_ms)
        request->since_ms = baseline.good_ms;
    add_concern(history, past, source, &concern);
    add_concern(history, past, target->name, &concern);
    for (size_t i = 0; i < past->changes->count; i++)
        if (is_in_trail(&past->changes->items[i]) &&
            concern_has(&concern, &past->changes->items[i]))
            want(request, &request->resources, past->changes->items[i].of, INQUIRY_RESOURCES_MAX);
    concern_deinit(&concern);
}

static void want_interface(const struct history *history, const char *address,
                           struct inquiry_request *request)
{
    const struct estate_interface *interface = lookup_interface(history->now, address);

    if (interface)
        want(request, &request->interfaces, interface->id, INQUIRY_INTERFACES_MAX);
}

/* Of connections that were not made. */
static void want_flows(struct history *history, struct inquiry_request *request)
{
    const struct run *run = history->run;

    for (size_t i = 0; i < run->row_count; i++) {
        const struct tries_row *row = &run->rows[i];
        char local[64];
        if (row->outcome != OUTCOME_TIMEOUT || row->phase != PHASE_CONNECT || !row->detail)
            continue;
        text_address(local, sizeof(local), row->detail->local);
        want_interface(history, local, request);
        want_interface(history, row->address, request);
    }
}

static void want_log(const struct estate_task *task, const struct estate_definition *definition,
                     struct inquiry_request *request)
{
    const struct estate_container_definition *containers = definition->containers.items;

    for (size_t i = 0; i < definition->containers.count; i++) {
        struct inquiry_task *wanted;
        if (!containers[i].is_essential || strcmp(containers[i].log_driver, "awslogs") != 0 ||
            !*containers[i].log_group || request->tasks.count == INQUIRY_TASKS_MAX)
            continue;
        wanted = record_add(&request->arena, &request->tasks, sizeof(*wanted));
        *wanted = (struct inquiry_task){
            .task = arena_strdup(&request->arena, task->arn),
            .container = arena_strdup(&request->arena, containers[i].name),
            .group = arena_strdup(&request->arena, containers[i].log_group),
            .stream = arena_printf(&request->arena, "%s/%s/%s", containers[i].log_prefix,
                                   containers[i].name, estate_short_name(task->arn)),
        };
    }
}

/* Of the target's tasks those that are unhealthy, or have ended. */
static void want_logs(const struct history *history, const struct pair *pair,
                      struct inquiry_request *request)
{
    const struct fleet *fleet = history->run->fleet;
    const struct estate_service *service =
        lookup_service(history->now, fleet_column_service(fleet, pair->column)->name);
    const struct estate_definition *definition =
        service ? lookup_definition(history->now, service) : NULL;
    const struct estate_task *tasks = history->now->parts[ESTATE_TASKS].items;

    for (size_t i = 0; definition && i < estate_count(history->now, ESTATE_TASKS); i++)
        if (lookup_is_task_of(&tasks[i], service) &&
            (strcmp(tasks[i].health, "UNHEALTHY") == 0 || strcmp(tasks[i].status, "STOPPED") == 0))
            want_log(&tasks[i], definition, request);
}

bool run_inquiry(const struct runs *runs, struct run *run, struct inquiry_request *ret_request)
{
    struct history history = {.runs = runs, .run = run};
    struct inquiry_request request = {0};
    struct pair pairs[PAIRS_MAX];
    size_t count;

    if (run->is_inquired || !run->network_ms || !run->item_count || run_needs_network(run))
        return false;
    run->is_inquired = true;
    history.now = estate_store_get(runs->store, run->record.id, ESTATE_ALL);
    if (!history.now)
        return false;
    history.search = baseline_search_new(runs->store);
    count = list_pairs(run, pairs);
    for (size_t i = 0; i < count; i++) {
        want_events(&history, &pairs[i], &request);
        want_logs(&history, &pairs[i], &request);
    }
    want_flows(&history, &request);
    request.since_ms -= BASELINE_SLACK_MS;
    request.now_ms = clock_wall_ms();
    for (size_t i = 0; i < history.count; i++)
        forget(&history.pasts[i]);
    baseline_search_free(history.search);
    estate_free(history.now);
    *ret_request = request;
    if (inquiry_request_has_any(&request))
        return true;
    inquiry_request_deinit(&request);
    return false;
}
