/* What changed between two runs: cells, and what the cloud says. */
#include "collector/view.h"

#include "collector/baseline.h"
#include "collector/cloud.h"
#include "collector/cloud/changes.h"
#include "collector/estate_store.h"
#include "collector/view_internal.h"

#include "common/json.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void view_put_change(const struct change *change, struct buf *out)
{
    buf_puts(out, "{\"what\":");
    buf_put_json(out, change->what);
    view_put_text(out, "kind", change_kind_name(change->kind));
    view_put_text(out, "part", estate_part_name(change->part));
    view_put_text(out, "id", *change->item ? change->item : change->of);
    view_put_text(out, "then", change->then);
    view_put_text(out, "now", change->now);
    view_put_event(out, change->at_ms, change->by, change->event);
    buf_putc(out, '}');
}

/* ---- cells ---- */

struct cell {
    char *key; /* "source\ntarget\ncheck" */
    char *state;
};

struct cells {
    struct cell *items;
    size_t count, capacity;
};

static void take_cell(void *ctx, const struct store_cell *stored)
{
    struct cells *cells = ctx;
    CLEANUP_JSON cJSON *cell = json_parse(stored->json, strlen(stored->json), 6, NULL);
    CLEANUP_BUF struct buf key = BUF_INIT(4096);

    if (!cell)
        return;
    buf_printf(&key, "%s\n%s\n%s", json_string(cell, "source", ""), json_string(cell, "target", ""),
               json_string(cell, "check", ""));
    mem_grow(&cells->items, cells->count, &cells->capacity, sizeof(*cells->items));
    cells->items[cells->count++] =
        (struct cell){mem_strdup(buf_text(&key)), mem_strdup(json_string(cell, "state", "?"))};
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct cell *)a)->key, ((const struct cell *)b)->key);
}

static void read_cells(struct store *store, int64_t run, struct cells *cells)
{
    store_each_cell(store, run, take_cell, cells);
    if (cells->count)
        qsort(cells->items, cells->count, sizeof(*cells->items), by_key);
}

static void cells_deinit(struct cells *cells)
{
    for (size_t i = 0; i < cells->count; i++) {
        mem_free(cells->items[i].key);
        mem_free(cells->items[i].state);
    }
    mem_free(cells->items);
}

static void put_cell(struct buf *out, const char *key, const char *then, const char *now)
{
    static const char *const names[] = {"source", "target", "check"};

    buf_putc(out, '{');
    for (size_t i = 0; i < 3; i++) {
        size_t length = strcspn(key, "\n");
        char *word = strndup(key, length);
        buf_printf(out, "%s\"%s\":", i ? "," : "", names[i]);
        buf_put_json(out, word);
        free(word);
        key += length + (key[length] == '\n');
    }
    view_put_text(out, "then", then);
    view_put_text(out, "now", now);
    buf_putc(out, '}');
}

/* A pair that one of the runs did not look at is no change. */
static void put_cells(const struct cells *then, const struct cells *now, struct buf *out)
{
    const char *separator = "";

    for (size_t i = 0; i < now->count; i++) {
        const struct cell *before = then->count ? bsearch(&now->items[i], then->items, then->count,
                                                          sizeof(*then->items), by_key)
                                                : NULL;
        if (!before || strcmp(before->state, now->items[i].state) == 0 ||
            strcmp(before->state, "not-probed") == 0 ||
            strcmp(now->items[i].state, "not-probed") == 0)
            continue;
        buf_puts(out, separator);
        put_cell(out, now->items[i].key, before->state, now->items[i].state);
        separator = ",";
    }
}

/* ---- the document ---- */

/* A run that passes does not wait for the cloud's view: it may come later. */
static bool is_being_read(const struct runs *runs, const struct store_run *from,
                          const struct store_run *to)
{
    return runs->cloud &&
           (cloud_is_reading(runs->cloud, from->id) || cloud_is_reading(runs->cloud, to->id));
}

static void put_cloud_changes(const struct runs *runs, const struct store_run *from,
                              const struct store_run *to, struct buf *out)
{
    struct estate *then = estate_store_get(runs->store, from->id, ESTATE_ALL);
    struct estate *now = estate_store_get(runs->store, to->id, ESTATE_ALL);
    struct changes *changes = then && now ? changes_find(then, now) : NULL;

    buf_puts(out, ",\"changes\":");
    if (changes) {
        changes_attribute(changes, now, from->created_ms);
        buf_putc(out, '[');
        for (size_t i = 0; i < changes->count; i++) {
            buf_puts(out, i ? "," : "");
            view_put_change(&changes->items[i], out);
        }
        buf_printf(out, "],\"more\":%s", changes->has_more ? "true" : "false");
    } else {
        /* Of one of them the cloud's view is not known. */
        buf_printf(out, "null,\"reading\":%s", is_being_read(runs, from, to) ? "true" : "false");
    }
    changes_free(changes);
    estate_free(then);
    estate_free(now);
}

static void put_run(struct buf *out, const char *key, const struct store_run *run)
{
    view_put_key(out, key);
    view_run(run, out);
}

void view_diff(const struct runs *runs, const struct store_run *from, const struct store_run *to,
               struct buf *out)
{
    struct cells then = {0}, now = {0};

    read_cells(runs->store, from->id, &then);
    read_cells(runs->store, to->id, &now);
    buf_puts(out, "{\"schema\":1");
    put_run(out, "from", from);
    put_run(out, "to", to);
    buf_puts(out, ",\"cells\":[");
    put_cells(&then, &now, out);
    buf_putc(out, ']');
    put_cloud_changes(runs, from, to, out);
    view_put_cloud(runs, to->id, out);
    buf_putc(out, '}');
    cells_deinit(&then);
    cells_deinit(&now);
}
