/* What differs between the last run in which a pair was well and this one: answers, addresses,
 * tasks and their revisions, outcomes, listeners, times. */
#include "collector/baseline.h"
#include "collector/cloud/concern.h"
#include "collector/estate_store.h"
#include "collector/view.h"
#include "collector/view_internal.h"
#include "collector/words.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_SHOWN 8    /* of one thing */
#define SLOWER       3    /* times, and ... */
#define SLOWER_US    5000 /* ... by so much: worth a row */

/* One thing that can be compared, and what was so: a set of texts. */
struct trait {
    const char *what;
    const char **values;
    size_t count, capacity;
};

/* A pair in one run. */
struct picture {
    struct runs *runs;
    const struct fleet *fleet;
    const char *source;
    size_t target, column;
    struct trait *traits;
    size_t count, capacity;
    int64_t *ids; /* assignments of the source's tasks */
    size_t id_count, id_capacity;
    int64_t *source_ids;
    size_t source_count, source_capacity;
    uint32_t *connect_us; /* of what passed */
    size_t time_count, time_capacity;
    struct arena arena;
};

/* ---- traits ---- */

static struct trait *trait_of(struct picture *picture, const char *what)
{
    struct trait *trait;

    for (size_t i = 0; i < picture->count; i++)
        if (strcmp(picture->traits[i].what, what) == 0)
            return &picture->traits[i];
    mem_grow(&picture->traits, picture->count, &picture->capacity, sizeof(*picture->traits));
    trait = &picture->traits[picture->count++];
    *trait = (struct trait){.what = arena_strdup(&picture->arena, what)};
    return trait;
}

static void add_value(struct picture *picture, const char *what, const char *value)
{
    struct trait *trait = trait_of(picture, what);

    for (size_t i = 0; i < trait->count; i++)
        if (strcmp(trait->values[i], value) == 0)
            return;
    mem_grow(&trait->values, trait->count, &trait->capacity, sizeof(*trait->values));
    trait->values[trait->count++] = arena_strdup(&picture->arena, value);
}

static const struct trait *find_trait(const struct picture *picture, const char *what)
{
    for (size_t i = 0; i < picture->count; i++)
        if (strcmp(picture->traits[i].what, what) == 0)
            return &picture->traits[i];
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void picture_deinit(struct picture *picture)
{
    for (size_t i = 0; i < picture->count; i++)
        mem_free(picture->traits[i].values);
    mem_free(picture->traits);
    mem_free(picture->ids);
    mem_free(picture->source_ids);
    mem_free(picture->connect_us);
    arena_deinit(&picture->arena);
}

/* ---- reading a run ---- */

static void read_source(void *ctx, const struct store_source *source)
{
    struct picture *picture = ctx;
    const char *target = picture->fleet->services[picture->target].name;
    CLEANUP_JSON cJSON *facts = json_parse(source->facts, strlen(source->facts), 4, NULL);
    const cJSON *item;
    char what[PROTO_NAME_MAX + 32];
    CLEANUP_BUF struct buf text = BUF_INIT(2048);

    if (strcmp(source->service, picture->source) == 0) {
        mem_grow(&picture->source_ids, picture->source_count, &picture->source_capacity,
                 sizeof(*picture->source_ids));
        picture->source_ids[picture->source_count++] = source->id;
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(facts, "resolvers"))
        {
            snprintf(what, sizeof(what), "resolvers of %s", picture->source);
            if (cJSON_IsString(item))
                add_value(picture, what, item->valuestring);
        }
    } else if (strcmp(source->service, target) != 0) {
        return;
    }
    buf_puts(&text, source->task);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(facts, "addresses"))
    {
        if (cJSON_IsString(item))
            buf_printf(&text, " %s", item->valuestring);
    }
    if (*json_string(facts, "revision", ""))
        buf_printf(&text, " (%s)", json_string(facts, "revision", ""));
    snprintf(what, sizeof(what), "tasks of %s", source->service);
    add_value(picture, what, buf_text(&text));
}

static void read_assignment(void *ctx, const struct store_assignment *assignment)
{
    struct picture *picture = ctx;

    for (size_t i = 0; i < picture->source_count; i++) {
        if (picture->source_ids[i] != assignment->source)
            continue;
        mem_grow(&picture->ids, picture->id_count, &picture->id_capacity, sizeof(*picture->ids));
        picture->ids[picture->id_count++] = assignment->id;
    }
}

static bool is_of_source(const struct picture *picture, int64_t assignment)
{
    for (size_t i = 0; i < picture->id_count; i++)
        if (picture->ids[i] == assignment)
            return true;
    return false;
}

static void read_probe(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct picture *picture = ctx;
    char what[128];
    CLEANUP_BUF struct buf words = BUF_INIT(512);

    if (!*probe->address || !is_of_source(picture, assignment) || probe->outcome == OUTCOME_SPARED)
        return;
    words_put(probe->phase, probe->outcome, probe->error, probe->status, &words);
    snprintf(what, sizeof(what), strchr(probe->address, ':') ? "[%s]:%lld" : "%s:%lld",
             probe->address, (long long)probe->port);
    add_value(picture, what, buf_text(&words));
    if (*probe->tls_version && probe->chain_count) {
        snprintf(what, sizeof(what), "certificate at %s", probe->address);
        add_value(picture, what, probe->chain[0]);
    }
    if (probe->outcome != OUTCOME_OK || probe->connect_us < 0)
        return;
    mem_grow(&picture->connect_us, picture->time_count, &picture->time_capacity,
             sizeof(*picture->connect_us));
    picture->connect_us[picture->time_count++] = (uint32_t)probe->connect_us;
}

static void read_answer(void *ctx, int64_t assignment, const struct proto_resolution *row)
{
    struct picture *picture = ctx;
    const struct fleet_service *target = &picture->fleet->services[picture->target];
    const char *asked = *row->asked ? row->asked : row->name;
    char what[PROTO_HOST_MAX + 32];
    bool is_name = false;

    for (size_t i = 0; i < target->name_count; i++)
        is_name |= strcasecmp(target->names[i], asked) == 0;
    if (!is_name || row->is_superseded || row->is_reference || !is_of_source(picture, assignment))
        return;
    snprintf(what, sizeof(what), "%s (%s)", asked, row->type);
    for (size_t i = 0; i < row->answer_count; i++)
        add_value(picture, what, row->answers[i]);
    if (!row->answer_count && row->outcome != OUTCOME_NODATA)
        add_value(picture, what, outcome_name(row->outcome));
}

static void read_witness(void *ctx, const char *service, const char *task,
                         struct proto_message *message)
{
    struct picture *picture = ctx;
    const struct proto_witness *seen = &message->witness;
    char what[PROTO_NAME_MAX + 32], value[96];

    if (strcmp(service, picture->fleet->services[picture->target].name) != 0)
        return;
    snprintf(what, sizeof(what), "listeners of %s", task);
    for (size_t i = 0; i < seen->listener_count; i++) {
        snprintf(value, sizeof(value), "%s:%lld", seen->listeners[i].address,
                 (long long)seen->listeners[i].port);
        add_value(picture, what, value);
    }
}

static void picture_read(struct picture *picture, int64_t run)
{
    struct store *store = picture->runs->store;

    store_each_source(store, run, read_source, picture);
    store_each_assignment(store, run, read_assignment, picture);
    store_each_probe(store, run, (int64_t)picture->column, read_probe, picture);
    store_each_resolution(store, run, read_answer, picture);
    store_each_witness(store, run, read_witness, picture);
    for (size_t i = 0; i < picture->count; i++)
        qsort(picture->traits[i].values, picture->traits[i].count, sizeof(char *), by_text);
}

/* ---- side by side ---- */

static bool is_same(const struct trait *a, const struct trait *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->values[i], b->values[i]) != 0)
            return false;
    return true;
}

static void put_values(struct buf *out, const char *key, const struct trait *trait)
{
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; trait && i < trait->count && i < VALUES_SHOWN; i++)
        buf_printf(&text, "%s%s", i ? ", " : "", trait->values[i]);
    if (trait && trait->count > VALUES_SHOWN)
        buf_printf(&text, ", ... (%zu)", trait->count);
    view_put_text(out, key, buf_text(&text));
}

static void put_row(struct buf *out, size_t *count, const char *what, const struct trait *then,
                    const struct trait *now)
{
    buf_printf(out, "%s{\"what\":", (*count)++ ? "," : "");
    buf_put_json(out, what);
    put_values(out, "then", then);
    put_values(out, "now", now);
    buf_putc(out, '}');
}

static bool is_about(const char *what, const char *prefix)
{
    return strncmp(what, prefix, strlen(prefix)) == 0;
}

/* Who listens is only known of runs in which something failed there; an endpoint, a certificate
 * only of one that was reached. */
static bool is_comparable(const char *what, const struct trait *then, const struct trait *now)
{
    return (then && now) || (!is_about(what, "listeners") && !is_about(what, "certificate"));
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint32_t median(struct picture *picture)
{
    if (!picture->time_count)
        return 0;
    qsort(picture->connect_us, picture->time_count, sizeof(*picture->connect_us), by_number);
    return picture->connect_us[picture->time_count / 2];
}

static void put_times(struct buf *out, size_t *count, struct picture *then, struct picture *now)
{
    uint32_t before = median(then), after = median(now);

    if (!then->time_count || !now->time_count || after < before * SLOWER ||
        after - before < SLOWER_US)
        return;
    buf_printf(out,
               "%s{\"what\":\"time to connect, median\",\"then\":\"%.1f ms\",\"now\":\"%.1f ms\"}",
               (*count)++ ? "," : "", before / 1000.0, after / 1000.0);
}

static void put_differences(struct buf *out, struct picture *then, struct picture *now)
{
    size_t count = 0;

    for (size_t i = 0; i < then->count; i++) {
        const struct trait *before = &then->traits[i], *after = find_trait(now, before->what);
        if (is_comparable(before->what, before, after) && !(after && is_same(before, after)))
            put_row(out, &count, before->what, before, after);
    }
    for (size_t i = 0; i < now->count; i++)
        if (!find_trait(then, now->traits[i].what) &&
            is_comparable(now->traits[i].what, NULL, &now->traits[i]))
            put_row(out, &count, now->traits[i].what, NULL, &now->traits[i]);
    put_times(out, &count, then, now);
}

static struct picture picture_of(const struct runs *runs, const struct fleet *fleet,
                                 const struct pair_name *name)
{
    return (struct picture){
        .runs = (struct runs *)runs,
        .fleet = fleet,
        .source = name->source,
        .column = fleet_find_column(fleet, name->target, name->check),
        .target = fleet_find_service(fleet, name->target),
    };
}

/* What the cloud says of the two services and of what lies between them. */
static void put_cloud_differences(const struct runs *runs, const struct store_run *record,
                                  const struct baseline *baseline, const struct pair_name *name,
                                  struct buf *out)
{
    struct estate *then = estate_store_get(runs->store, baseline->good, ESTATE_ALL);
    struct estate *now = estate_store_get(runs->store, record->id, ESTATE_ALL);
    struct changes *changes = then && now ? changes_find(then, now) : NULL;
    const char *const services[] = {name->source, name->target};
    struct concern concern = {0};
    const char *separator = "";

    for (size_t i = 0; changes && i < ARRAY_SIZE(services); i++) {
        concern_add(&concern, then, services[i]);
        concern_add(&concern, now, services[i]);
    }
    if (changes)
        changes_attribute(changes, now, baseline->good_ms - BASELINE_SLACK_MS);
    for (size_t i = 0; changes && i < changes->count; i++) {
        if (!concern_has(&concern, &changes->items[i]))
            continue;
        buf_puts(out, separator);
        view_put_change(&changes->items[i], out);
        separator = ",";
    }
    concern_deinit(&concern);
    changes_free(changes);
    estate_free(then);
    estate_free(now);
}

void view_changes(const struct runs *runs, const struct store_run *record,
                  const struct fleet *fleet, const struct pair_name *name, struct buf *out)
{
    struct baseline_search *search = baseline_search_new(runs->store);
    struct baseline baseline =
        baseline_find(search, record, name->source, name->target, name->check);
    const struct fleet *former = baseline.good ? baseline_fleet(search, baseline.fleet) : NULL;

    buf_puts(out, ",\"changes\":{\"rows\":[");
    if (former) {
        struct picture then = picture_of(runs, former, name), now = picture_of(runs, fleet, name);
        picture_read(&then, baseline.good);
        picture_read(&now, record->id);
        put_differences(out, &then, &now);
        picture_deinit(&then);
        picture_deinit(&now);
    }
    buf_puts(out, "],\"cloud\":[");
    if (former)
        put_cloud_differences(runs, record, &baseline, name, out);
    buf_putc(out, ']');
    view_put_moment(out, "last_good", baseline.good, baseline.good_ms);
    view_put_moment(out, "since", baseline.since, baseline.since_ms);
    buf_putc(out, '}');
    baseline_search_free(search);
}
