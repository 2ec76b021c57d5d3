#include "collector/outage.h"

#include "collector/matrix.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <string.h>

static bool is_pair(const struct store_outage *record, const cJSON *cell)
{
    return strcmp(record->source, json_string(cell, "source", "")) == 0 &&
           strcmp(record->target, json_string(cell, "target", "")) == 0 &&
           strcmp(record->check, json_string(cell, "check", "")) == 0;
}

static bool is_bad(const cJSON *cell)
{
    return strcmp(json_string(cell, "expected", ""), "observe") != 0 &&
           cell_state_is_bad(cell_state_from_name(json_string(cell, "state", "")));
}

static const char *cause_of(const cJSON *diagnoses, const cJSON *cell)
{
    const cJSON *diagnosis, *one;

    cJSON_ArrayForEach(diagnosis, diagnoses)
    {
        cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(diagnosis, "cells"))
        {
            if (strcmp(json_string(one, "source", ""), json_string(cell, "source", "")) == 0 &&
                strcmp(json_string(one, "target", ""), json_string(cell, "target", "")) == 0 &&
                strcmp(json_string(one, "check", ""), json_string(cell, "check", "")) == 0)
                return json_string(diagnosis, "cause", "");
        }
    }
    return "";
}

void outages_add(struct outages *outages, const struct store_outage *record)
{
    struct outage *outage;

    mem_grow(&outages->items, outages->count, &outages->capacity, sizeof(*outages->items));
    outage = &outages->items[outages->count++];
    *outage = (struct outage){.record = *record};
    outage->record.source = arena_strdup(&outages->arena, record->source);
    outage->record.target = arena_strdup(&outages->arena, record->target);
    outage->record.check = arena_strdup(&outages->arena, record->check);
    outage->record.causes = arena_strdup(&outages->arena, record->causes);
}

/* Appends {at, run, cause}, where it is another one than the last. */
static void note_cause(struct outages *outages, struct outage *outage, const char *cause,
                       const struct outage_run *run)
{
    const char *text = outage->record.causes;
    CLEANUP_JSON cJSON *causes = json_parse(text, strlen(text), 4, NULL);
    int count = cJSON_GetArraySize(causes);
    const cJSON *last = cJSON_GetArrayItem(causes, count - 1);
    CLEANUP_BUF struct buf out = BUF_INIT(65536);
    char at[CLOCK_RFC3339_MAX];

    if ((count && strcmp(json_string(last, "cause", ""), cause) == 0) || count >= OUTAGE_CAUSES_MAX)
        return;
    clock_rfc3339(run->at_ms, at);
    buf_append(&out, text, strlen(text) - 1); /* without the ']' */
    buf_printf(&out, "%s{\"at\":\"%s\",\"run\":\"%lld\",\"cause\":", count ? "," : "", at,
               (long long)run->id);
    buf_put_json(&out, cause);
    buf_puts(&out, "}]");
    outage->record.causes = arena_strdup(&outages->arena, buf_text(&out));
    outage->is_changed = true;
}

static struct outage *begin(struct outages *outages, const cJSON *cell,
                            const struct outage_run *run)
{
    struct store_outage record = {.source = json_string(cell, "source", ""),
                                  .target = json_string(cell, "target", ""),
                                  .check = json_string(cell, "check", ""),
                                  .start_ms = run->at_ms,
                                  .start_run = run->id,
                                  .causes = "[]"};

    outages_add(outages, &record);
    outages->items[outages->count - 1].is_changed = true;
    return &outages->items[outages->count - 1];
}

static struct outage *find(struct outages *outages, size_t count, const cJSON *cell)
{
    for (size_t i = 0; i < count; i++)
        if (is_pair(&outages->items[i].record, cell))
            return &outages->items[i];
    return NULL;
}

/* Where nothing is said of it, it works; a pair that was left out, or of which nobody knows, is
 * among the cells. */
static bool is_over(const struct outage *outage, const cJSON *cells)
{
    const cJSON *cell;

    cJSON_ArrayForEach(cell, cells)
    {
        if (is_pair(&outage->record, cell))
            return strcmp(json_string(cell, "state", ""), "denied") == 0;
    }
    return true;
}

void outages_update(struct outages *outages, const struct outage_run *run)
{
    size_t known = outages->count;
    const cJSON *cell;

    for (size_t i = 0; i < known; i++)
        if (is_over(&outages->items[i], run->cells)) {
            outages->items[i].record.end_ms = run->at_ms;
            outages->items[i].record.end_run = run->id;
            outages->items[i].is_changed = true;
        }
    cJSON_ArrayForEach(cell, run->cells)
    {
        struct outage *outage = is_bad(cell) ? find(outages, known, cell) : NULL;
        if (!is_bad(cell))
            continue;
        if (!outage)
            outage = begin(outages, cell, run);
        note_cause(outages, outage, cause_of(run->diagnoses, cell), run);
    }
}

void outages_deinit(struct outages *outages)
{
    mem_free(outages->items);
    arena_deinit(&outages->arena);
    *outages = (struct outages){0};
}
