#include "collector/baseline.h"

#include "collector/matrix.h"
#include "collector/run.h"
#include "common/json.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <string.h>

struct baseline_search {
    struct store *store;
    int64_t fleet_id; /* of `fleet` */
    struct fleet *fleet;

    const char *source, *target, *check;
    struct baseline found;
};

struct baseline_search *baseline_search_new(struct store *store)
{
    struct baseline_search *search = mem_alloc(sizeof(*search));

    *search = (struct baseline_search){.store = store, .fleet_id = -1};
    return search;
}

struct baseline_search *baseline_search_free(struct baseline_search *search)
{
    if (search)
        fleet_unref(search->fleet);
    mem_free(search);
    return NULL;
}

const struct fleet *baseline_fleet(struct baseline_search *search, int64_t id)
{
    struct fleet_messages messages = {0};
    size_t length = 0;
    char *text;

    if (search->fleet_id == id)
        return search->fleet;
    text = store_get_fleet(search->store, id, &length);
    search->fleet = fleet_unref(search->fleet);
    search->fleet = text ? fleet_parse("store", text, length, &messages) : NULL;
    search->fleet_id = id;
    fleet_messages_deinit(&messages);
    mem_free(text);
    return search->fleet;
}

static void look_at_run(void *ctx, const struct store_run *run)
{
    struct baseline_search *search = ctx;
    const struct fleet *fleet;
    size_t source, column;
    char *json;

    if (search->found.good || run->state != RUN_JUDGED ||
        !(fleet = baseline_fleet(search, run->fleet)))
        return;
    source = fleet_find_service(fleet, search->source);
    column = fleet_find_column(fleet, search->target, search->check);
    if (source == SIZE_MAX || column == SIZE_MAX)
        return;
    json = store_get_cell(search->store, run->id, (int64_t)source, (int64_t)column);
    if (json) {
        CLEANUP_JSON cJSON *cell = json_parse(json, strlen(json), 6, NULL);
        enum cell_state state = cell_state_from_name(json_string(cell, "state", ""));
        if (cell_state_is_good(state)) {
            search->found.good = run->id;
            search->found.good_ms = run->finished_ms;
            search->found.fleet = run->fleet;
        } else if (cell_state_is_bad(state)) {
            search->found.since = run->id;
            search->found.since_ms = run->created_ms;
        }
    }
    mem_free(json);
}

struct baseline baseline_find(struct baseline_search *search, const struct store_run *run,
                              const char *source, const char *target, const char *check)
{
    search->source = source;
    search->target = target;
    search->check = check;
    search->found = (struct baseline){.since = run->id, .since_ms = run->created_ms};
    store_each_run(search->store, run->id, BASELINE_RUNS_MAX, false, look_at_run, search);
    return search->found;
}

static void look_for_pass(void *ctx, const struct store_run *run)
{
    int64_t *found = ctx;

    if (!*found && run->state == RUN_JUDGED && run->verdict == VERDICT_PASS)
        *found = run->id;
}

int64_t baseline_last_pass(struct store *store, int64_t before)
{
    int64_t found = 0;

    store_each_run(store, before, BASELINE_RUNS_MAX, false, look_for_pass, &found);
    return found;
}
