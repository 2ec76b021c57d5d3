/* The two views of a failing pair's paths, held against each other: what each step is to do by the
 * VPC's configuration, and what both ends saw of the same connections. */
#include "collector/view_internal.h"

#include "collector/cloud/lookup.h"
#include "collector/cloud/path_words.h"
#include "collector/estate_store.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define PATHS_MAX 8 /* of a pair; the others fail alike, or `probes` has them */
#define FLOWS_MAX 6 /* records of a path */
#define LINES_MAX 10

/* What both ends saw of the connections of one source task to one endpoint. */
struct seen {
    const char *task, *from, *to; /* from: the source's address */
    int port;
    struct record_list locals; /* texts: the source's end of each attempt that got no answer */
    bool has_failed;
    bool is_watched, arrived, half_open;
};

struct paths {
    struct arena arena;
    struct seen items[PATHS_MAX];
    size_t count;
    const char *target; /* service */
    int64_t column;
    view_task_fn task_of;
    const void *ctx;
};

/* ---- what was seen ---- */

static struct seen *find(struct paths *paths, const char *task, const char *from, const char *to,
                         int port)
{
    for (size_t i = 0; i < paths->count; i++)
        if (strcmp(paths->items[i].task, task) == 0 && strcmp(paths->items[i].from, from) == 0 &&
            strcmp(paths->items[i].to, to) == 0 && paths->items[i].port == port)
            return &paths->items[i];
    if (paths->count == PATHS_MAX)
        return NULL;
    paths->items[paths->count] = (struct seen){.task = arena_strdup(&paths->arena, task),
                                               .from = arena_strdup(&paths->arena, from),
                                               .to = arena_strdup(&paths->arena, to),
                                               .port = port};
    return &paths->items[paths->count++];
}

static void take_probe(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct paths *paths = ctx;
    const char *task = paths->task_of(paths->ctx, assignment);
    char local[64];
    struct seen *seen;

    if (!task || !*probe->address || !*probe->local || probe->target != paths->column)
        return;
    text_address(local, sizeof(local), probe->local);
    seen = find(paths, task, local, probe->address, (int)probe->port);
    if (!seen)
        return;
    if (probe->phase > PHASE_CONNECT || probe->outcome == OUTCOME_OK)
        return;
    seen->has_failed = true;
    record_add_text(&paths->arena, &seen->locals, probe->local);
}

static void take_witness(void *ctx, const char *service, const char *task,
                         struct proto_message *message)
{
    struct paths *paths = ctx;
    const struct proto_witness *witness = &message->witness;

    (void)task;
    if (strcmp(service, paths->target) != 0)
        return;
    for (size_t i = 0; i < paths->count; i++) {
        struct seen *seen = &paths->items[i];
        /* Its own checks tell which address is its own. */
        for (size_t c = 0; c < witness->check_count; c++)
            seen->is_watched |= strcmp(witness->checks[c].address, seen->to) == 0;
        for (size_t a = 0; a < witness->arrival_count; a++) {
            const struct proto_arrival *arrival = &witness->arrivals[a];
            if (!record_has_text(&seen->locals, arrival->remote))
                continue; /* another's, or left over from an earlier run */
            seen->is_watched = true;
            seen->arrived = true;
            seen->half_open |= strcmp(arrival->state, "half-open") == 0;
        }
    }
}

/* "passed", "lost", "unknown". */
static const char *seen_forward(const struct seen *seen)
{
    if (seen->arrived || !seen->has_failed)
        return "passed";
    return seen->is_watched ? "lost" : "unknown";
}

static const char *seen_back(const struct seen *seen)
{
    if (!seen->has_failed)
        return "passed";
    return seen->half_open ? "lost" : "unknown";
}

/* ---- side by side ---- */

static bool is_closed(const struct path *path, bool is_back)
{
    for (int i = 0; i < PATH_KIND_COUNT; i++)
        if (path_is_back((enum path_kind)i) == is_back && path->steps[i].verdict >= PATH_PARTLY)
            return true;
    return false;
}

/* "agree", "part", "unknown". */
static const char *compare(const struct seen *seen, const struct path *path)
{
    if (!seen->has_failed)
        return path->verdict == PATH_DENIED    ? "part"
               : path->verdict == PATH_UNKNOWN ? "unknown"
                                               : "agree";
    if (path->verdict == PATH_UNKNOWN)
        return "unknown";
    if (seen->half_open)
        return is_closed(path, true) ? "agree" : "part";
    if (seen->arrived)
        return is_closed(path, true) && !is_closed(path, false) ? "agree" : "part";
    return path->verdict >= PATH_PARTLY ? "agree" : "part";
}

static void put_steps(const struct estate *estate, const struct path_flow *flow,
                      const struct path *path, struct buf *out)
{
    buf_puts(out, ",\"steps\":[");
    for (int i = 0; i < PATH_KIND_COUNT; i++) {
        const struct path_step *step = &path->steps[i];
        CLEANUP_BUF struct buf words = BUF_INIT(4096);
        buf_puts(out, i ? ",{\"step\":" : "{\"step\":");
        buf_put_json(out, path_kind_name((enum path_kind)i));
        view_put_text(out, "verdict", path_verdict_name(step->verdict));
        view_put_text(out, "id", step->of);
        if (step->rule)
            view_put_text(out, "rule", step->rule->id);
        if (step->entry)
            view_put_int(out, "entry", step->entry->number);
        path_words_put(estate, flow, path, (enum path_kind)i, &words);
        view_put_text(out, "text", buf_text(&words));
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static bool is_of(const struct estate_flow *flow, const struct seen *seen)
{
    return (strcmp(flow->from, seen->from) == 0 && strcmp(flow->to, seen->to) == 0 &&
            flow->to_port == seen->port) ||
           (strcmp(flow->from, seen->to) == 0 && strcmp(flow->to, seen->from) == 0 &&
            flow->from_port == seen->port);
}

static void put_flows(const struct estate *estate, const struct seen *seen, struct buf *out)
{
    const struct estate_flow *flows = estate->parts[ESTATE_FLOWS].items;
    size_t shown = 0;

    buf_puts(out, ",\"flows\":[");
    for (size_t i = 0; i < estate_count(estate, ESTATE_FLOWS) && shown < FLOWS_MAX; i++) {
        if (!is_of(&flows[i], seen))
            continue;
        buf_puts(out, shown++ ? "," : "");
        record_write(estate_type(ESTATE_FLOWS), &flows[i], out);
    }
    buf_putc(out, ']');
}

static void put_path(const struct estate *estate, const struct path_map *map,
                     enum path_protocol protocol, const struct seen *seen, bool is_first,
                     struct buf *out)
{
    struct path_flow flow;
    struct path path;

    buf_puts(out, is_first ? "{\"task\":" : ",{\"task\":");
    buf_put_json(out, seen->task);
    view_put_text(out, "from", seen->from);
    view_put_text(out, "to", seen->to);
    view_put_int(out, "port", seen->port);
    view_put_text(out, "forward", seen_forward(seen));
    view_put_text(out, "back", seen_back(seen));
    if (path_flow_of(map, protocol, seen->from, seen->to, seen->port, &flow)) {
        path_walk(map, &flow, &path);
        view_put_text(out, "verdict", path_verdict_name(path.verdict));
        view_put_text(out, "views", compare(seen, &path));
        put_steps(estate, &flow, &path, out);
        put_flows(estate, seen, out);
    } else {
        view_put_text(out, "verdict", "unknown");
        view_put_text(out, "views", "unknown");
        buf_puts(out, ",\"steps\":[],\"flows\":[]");
    }
    buf_putc(out, '}');
}

/* ---- logs ---- */

static void put_stopped(const struct estate *estate, const struct estate_service *service,
                        struct buf *out)
{
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;
    char time[CLOCK_RFC3339_MAX];
    size_t shown = 0;

    view_put_key(out, "stopped");
    buf_putc(out, '[');
    for (size_t i = 0; service && i < estate_count(estate, ESTATE_TASKS) && shown < LINES_MAX;
         i++) {
        const struct estate_container *containers = tasks[i].containers.items;
        if (!lookup_is_task_of(&tasks[i], service) || strcmp(tasks[i].status, "STOPPED") != 0)
            continue;
        clock_rfc3339(tasks[i].stopped_ms, time);
        buf_puts(out, shown++ ? ",{\"task\":" : "{\"task\":");
        buf_put_json(out, estate_short_name(tasks[i].arn));
        view_put_text(out, "at", tasks[i].stopped_ms ? time : "");
        view_put_text(out, "code", tasks[i].stop_code);
        view_put_text(out, "reason", tasks[i].stop_reason);
        for (size_t c = 0; c < tasks[i].containers.count; c++)
            if (containers[c].exit_code) {
                view_put_text(out, "container", containers[c].name);
                view_put_int(out, "exit_code", containers[c].exit_code);
                break;
            }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_lines(const struct estate *estate, const struct estate_service *service,
                      struct buf *out)
{
    const struct estate_log_line *lines = estate->parts[ESTATE_LOG_LINES].items;
    size_t shown = 0;

    view_put_key(out, "log");
    buf_putc(out, '[');
    for (size_t i = 0; service && i < estate_count(estate, ESTATE_LOG_LINES) && shown < LINES_MAX;
         i++) {
        const struct estate_task *task = estate_find(estate, ESTATE_TASKS, lines[i].task);
        if (!task || !lookup_is_task_of(task, service))
            continue;
        buf_puts(out, shown++ ? "," : "");
        record_write(estate_type(ESTATE_LOG_LINES), &lines[i], out);
    }
    buf_putc(out, ']');
}

void view_put_paths(const struct runs *runs, const struct view_paths *wanted, struct buf *out)
{
    struct estate *estate = estate_store_get(runs->store, wanted->run, ESTATE_ALL);
    struct path_map *map = estate ? path_map_new(estate) : NULL;
    struct paths paths = {.target = wanted->target,
                          .column = wanted->column,
                          .task_of = wanted->task_of,
                          .ctx = wanted->ctx};
    const struct estate_service *service = estate ? lookup_service(estate, wanted->target) : NULL;
    size_t shown = 0;

    buf_puts(out, ",\"paths\":");
    if (!estate) {
        buf_puts(out, "null");
        return;
    }
    store_each_probe(runs->store, wanted->run, wanted->column, take_probe, &paths);
    store_each_witness(runs->store, wanted->run, take_witness, &paths);
    buf_putc(out, '[');
    for (size_t i = 0; i < paths.count; i++)
        if (paths.items[i].has_failed)
            put_path(estate, map, wanted->is_udp ? PATH_UDP : PATH_TCP, &paths.items[i],
                     shown++ == 0, out);
    buf_putc(out, ']');
    put_stopped(estate, service, out);
    put_lines(estate, service, out);
    arena_deinit(&paths.arena);
    path_map_free(map);
    estate_free(estate);
}
