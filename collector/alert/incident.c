#include "collector/alert/incident.h"

#include "collector/matrix.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <string.h>

static const char *const cell_keys[] = {"source", "target", "check"};

const char *incident_kind_name(enum incident_kind kind)
{
    static const char *const names[] = {"opened", "reminder", "changed", "resolved"};

    return names[kind];
}

void incidents_add(struct incidents *incidents, int64_t id, int64_t opened_ms, int64_t told_ms,
                   struct cJSON *document)
{
    mem_grow(&incidents->items, incidents->count, &incidents->capacity, sizeof(*incidents->items));
    incidents->items[incidents->count++] =
        (struct incident){id, opened_ms, told_ms, document, false};
}

void incidents_deinit(struct incidents *incidents)
{
    for (size_t i = 0; i < incidents->count; i++)
        json_free(incidents->items[i].document);
    mem_free(incidents->items);
    mem_free(incidents->events);
    *incidents = (struct incidents){0};
}

static void tell(struct incidents *incidents, enum incident_kind kind, size_t incident,
                 int64_t now_ms)
{
    mem_grow(&incidents->events, incidents->event_count, &incidents->event_capacity,
             sizeof(*incidents->events));
    incidents->events[incidents->event_count++] = (struct incident_event){kind, incident};
    incidents->items[incident].told_ms = now_ms;
}

/* ---- cells ---- */

static const cJSON *cells_of(const cJSON *object)
{
    return cJSON_GetObjectItemCaseSensitive(object, "cells");
}

static bool is_same_cell(const cJSON *a, const cJSON *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(cell_keys); i++)
        if (strcmp(json_string(a, cell_keys[i], ""), json_string(b, cell_keys[i], "")) != 0)
            return false;
    return true;
}

static const cJSON *find_cell(const cJSON *cells, const cJSON *wanted)
{
    const cJSON *cell;

    cJSON_ArrayForEach(cell, cells)
    {
        if (is_same_cell(cell, wanted))
            return cell;
    }
    return NULL;
}

static bool shares_cell(const cJSON *a, const cJSON *b)
{
    const cJSON *cell;

    cJSON_ArrayForEach(cell, cells_of(a))
    {
        if (find_cell(cells_of(b), cell))
            return true;
    }
    return false;
}

/* Adds those that the incident does not have yet; whether there were any. */
static bool add_cells(cJSON *document, const cJSON *cells)
{
    cJSON *own = cJSON_GetObjectItemCaseSensitive(document, "cells");
    const cJSON *cell;
    bool has_more = false;

    cJSON_ArrayForEach(cell, cells)
    {
        if (find_cell(own, cell) || cJSON_GetArraySize(own) >= INCIDENT_CELLS_MAX)
            continue;
        cJSON_AddItemToArray(own, cJSON_Duplicate(cell, true));
        has_more = true;
    }
    return has_more;
}

/* ---- diagnoses ---- */

static bool is_wanted(const struct incident_run *run, const cJSON *diagnosis)
{
    const char *severity = json_string(diagnosis, "severity", "");

    return strcmp(severity, "failure") == 0 ||
           (run->wants_observed && strcmp(severity, "observed") == 0) ||
           (run->wants_warnings && strcmp(severity, "warning") == 0);
}

static bool has_same(const cJSON *a, const cJSON *b, const char *key)
{
    return strcmp(json_string(a, key, ""), json_string(b, key, "")) == 0;
}

static struct incident *find_by_key(struct incidents *incidents, const cJSON *diagnosis)
{
    for (size_t i = 0; i < incidents->count; i++)
        if (has_same(incidents->items[i].document, diagnosis, "cause") &&
            has_same(incidents->items[i].document, diagnosis, "scope"))
            return &incidents->items[i];
    return NULL;
}

static struct incident *find_by_cell(struct incidents *incidents, const cJSON *diagnosis)
{
    for (size_t i = 0; i < incidents->count; i++)
        if (!incidents->items[i].is_seen && shares_cell(incidents->items[i].document, diagnosis))
            return &incidents->items[i];
    return NULL;
}

/* What the diagnosis says now, with all the cells that the incident ever had. */
static void renew(struct incident *incident, const cJSON *diagnosis)
{
    cJSON *document = cJSON_Duplicate(diagnosis, true);
    const cJSON *former = incident->document;

    if (!cells_of(document))
        cJSON_AddArrayToObject(document, "cells");
    if (former) {
        add_cells(document, cells_of(former));
        if (!has_same(former, diagnosis, "cause")) {
            cJSON *previous = cJSON_AddObjectToObject(document, "previous");
            cJSON_AddStringToObject(previous, "cause", json_string(former, "cause", ""));
            cJSON_AddStringToObject(previous, "summary", json_string(former, "summary", ""));
        }
    }
    json_free(incident->document);
    incident->document = document;
}

static void open_incident(struct incidents *incidents, const cJSON *diagnosis, int64_t now_ms)
{
    incidents_add(incidents, 0, now_ms, now_ms, NULL);
    renew(&incidents->items[incidents->count - 1], diagnosis);
    incidents->items[incidents->count - 1].is_seen = true;
    tell(incidents, INCIDENT_OPENED, incidents->count - 1, now_ms);
}

static void go_on(struct incidents *incidents, struct incident *incident, const cJSON *diagnosis,
                  const struct incident_run *run)
{
    size_t index = (size_t)(incident - incidents->items);
    bool is_other = !has_same(incident->document, diagnosis, "cause");
    bool has_more = add_cells(incident->document, cells_of(diagnosis));

    renew(incident, diagnosis);
    incident->is_seen = true;
    if (is_other || has_more)
        tell(incidents, INCIDENT_CHANGED, index, run->now_ms);
    else if (run->remind_ms && run->now_ms - incident->told_ms >= run->remind_ms)
        tell(incidents, INCIDENT_REMINDER, index, run->now_ms);
}

/* ---- over ---- */

static bool is_good(const cJSON *cell)
{
    return cell_state_is_good(cell_state_from_name(json_string(cell, "state", "")));
}

static bool is_over(const struct incident *incident, const struct incident_run *run)
{
    const cJSON *cell;

    if (!cJSON_GetArraySize(cells_of(incident->document)))
        return run->is_whole;
    cJSON_ArrayForEach(cell, cells_of(incident->document))
    {
        const cJSON *now = find_cell(run->cells, cell);
        if (now && !is_good(now))
            return false;
    }
    return true;
}

void incidents_update(struct incidents *incidents, const struct incident_run *run)
{
    size_t known = incidents->count;
    const cJSON *diagnosis;

    /* Those that are the same come first: what is left may be a change. */
    cJSON_ArrayForEach(diagnosis, run->diagnoses)
    {
        struct incident *incident = find_by_key(incidents, diagnosis);
        if (incident && is_wanted(run, diagnosis))
            go_on(incidents, incident, diagnosis, run);
    }
    cJSON_ArrayForEach(diagnosis, run->diagnoses)
    {
        struct incident *incident;
        if (!is_wanted(run, diagnosis) || find_by_key(incidents, diagnosis))
            continue;
        incident = find_by_cell(incidents, diagnosis);
        if (incident)
            go_on(incidents, incident, diagnosis, run);
        else
            open_incident(incidents, diagnosis, run->now_ms);
    }
    for (size_t i = 0; i < known; i++)
        if (!incidents->items[i].is_seen && is_over(&incidents->items[i], run))
            tell(incidents, INCIDENT_RESOLVED, i, run->now_ms);
}
