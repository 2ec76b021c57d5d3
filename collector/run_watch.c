/* Which agents watch their own tasks, from when to when. */
#include "collector/run_internal.h"

#include "common/mem.h"

#include <string.h>

static void add_column(struct run_watch *watch, uint32_t column)
{
    size_t capacity = watch->column_count;

    for (size_t i = 0; i < watch->column_count; i++)
        if (watch->columns[i] == column)
            return;
    mem_grow(&watch->columns, watch->column_count, &capacity, sizeof(*watch->columns));
    watch->columns[watch->column_count++] = column;
}

static struct run_watch *find_watch(struct run *run, const char *instance, unsigned round)
{
    for (size_t i = 0; i < run->watch_count; i++)
        if (run->watches[i].round == round && strcmp(run->watches[i].instance, instance) == 0)
            return &run->watches[i];
    return NULL;
}

static void add_watch(struct run *run, const struct agent *agent, unsigned round, uint32_t column)
{
    struct run_watch *watch = find_watch(run, agent->instance, round);

    if (!watch && run->watch_count >= 2 * RUN_WATCHES_MAX)
        return;
    if (!watch) {
        mem_grow(&run->watches, run->watch_count, &run->watch_capacity, sizeof(*run->watches));
        watch = &run->watches[run->watch_count++];
        *watch = (struct run_watch){
            .instance = arena_strdup(&run->arena, agent->instance),
            .service = arena_strdup(&run->arena, agent->service),
            .task = arena_strdup(&run->arena, agent->task),
            .round = round,
        };
    }
    add_column(watch, column);
}

static bool can_watch(const struct agent *agent)
{
    return agent_is_live(agent) && ownership_can_witness(agent->mode);
}

static bool is_column_in_scope(const struct run *run, size_t column)
{
    for (size_t s = 0; s < run->fleet->service_count; s++)
        if (run->plan.scope[s * run->fleet->column_count + column])
            return true;
    return false;
}

void run_open_watches(struct runs *runs, struct run *run, uint64_t now_us)
{
    struct agent *agent, *next;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        if (!can_watch(agent))
            continue;
        for (size_t c = 0; c < run->fleet->column_count; c++)
            if (strcmp(fleet_column_service(run->fleet, c)->name, agent->service) == 0 &&
                is_column_in_scope(run, c))
                add_watch(run, agent, 0, (uint32_t)c);
        if (run->watch_count > RUN_SMALL)
            break;
    }
    run->is_small = run->watch_count <= RUN_SMALL;
    if (!run->is_small)
        run_drop_watches(runs, run);
    if (run->watch_count)
        run->gate_us = now_us + RUN_WATCH_MS * 1000;
}

void run_watch_item(struct runs *runs, struct run *run, const struct run_item *item)
{
    const char *service = fleet_column_service(run->fleet, item->column)->name;
    struct agent *agent, *next;
    bool is_held = false;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        if (*item->address && can_watch(agent) && agent_has_address(agent, item->address)) {
            add_watch(run, agent, run->round, item->column);
            is_held = true;
        }
    }
    if (is_held)
        return;
    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        if (can_watch(agent) && strcmp(agent->service, service) == 0)
            add_watch(run, agent, run->round, item->column);
    }
}

void runs_settle(struct runs *runs, const struct run_watch *watch, bool is_unwanted)
{
    mem_grow(&runs->settles, runs->settle_count, &runs->settle_capacity, sizeof(*runs->settles));
    runs->settles[runs->settle_count++] = (struct run_settle){
        .instance = mem_strdup(watch->instance),
        .watch = watch->assignment,
        .is_unwanted = is_unwanted,
    };
}

void runs_forget_settles(struct runs *runs, const char *instance)
{
    size_t kept = 0;

    for (size_t i = 0; i < runs->settle_count; i++) {
        if (strcmp(runs->settles[i].instance, instance) != 0)
            runs->settles[kept++] = runs->settles[i];
        else
            mem_free(runs->settles[i].instance);
    }
    runs->settle_count = kept;
}

void run_settle_round(struct runs *runs, struct run *run, unsigned round)
{
    for (size_t i = 0; i < run->watch_count; i++) {
        struct run_watch *watch = &run->watches[i];
        bool is_wanted = round > 0 || watch->has_failures;
        if (watch->round != round || watch->state == WATCH_OVER || watch->state == WATCH_SETTLING)
            continue;
        if (watch->assignment)
            runs_settle(runs, watch, !is_wanted);
        watch->state = watch->assignment && is_wanted ? WATCH_SETTLING : WATCH_OVER;
    }
}

void run_drop_watches(struct runs *runs, struct run *run)
{
    for (size_t i = 0; i < run->watch_count; i++) {
        struct run_watch *watch = &run->watches[i];
        if (watch->assignment && watch->state != WATCH_OVER && watch->state != WATCH_SETTLING)
            runs_settle(runs, watch, true);
        mem_free(watch->columns);
    }
    run->watch_count = 0;
}

bool run_are_watches_on(const struct run *run, unsigned round)
{
    for (size_t i = 0; i < run->watch_count; i++)
        if (run->watches[i].round == round && run->watches[i].state < WATCH_ON)
            return false;
    return true;
}

bool run_has_settled(const struct run *run)
{
    for (size_t i = 0; i < run->watch_count; i++)
        if (run->watches[i].state == WATCH_SETTLING)
            return false;
    return true;
}

/* ---- the watch message ---- */

static int64_t port_of_items(const struct run *run, uint32_t column)
{
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].column == column && run->items[i].port)
            return run->items[i].port;
    return 0;
}

static void fill_watch(const struct runs *runs, const struct run *run,
                       const struct run_watch *watch, uint64_t now_us,
                       struct proto_message *message)
{
    struct proto_watch *out = &message->watch;
    const char **peers = arena_alloc(&message->arena, PROTO_PEERS_MAX, sizeof(*peers));
    int64_t left_ms = run->deadline_us > now_us ? (int64_t)((run->deadline_us - now_us) / 1000) : 0;

    out->run = run->record.id;
    out->round = watch->round;
    /* It outlives the deadline a little: the settle comes after it. */
    out->until_ms = left_ms + RUN_SETTLE_MS;
    out->targets = arena_alloc(&message->arena, watch->column_count, sizeof(*out->targets));
    for (size_t i = 0; i < watch->column_count; i++) {
        struct proto_target *target = &out->targets[out->target_count++];
        run_fill_target(run, watch->columns[i], SIZE_MAX, target);
        if (!target->port)
            target->port = port_of_items(run, watch->columns[i]);
        out->is_checking |=
            watch->round > 0 &&
            strcmp(fleet_column_service(run->fleet, watch->columns[i])->name, watch->service) == 0;
    }
    for (size_t i = 0; i < run->source_count; i++) {
        const struct agent *agent = registry_find(runs->registry, run->sources[i].instance);
        for (size_t j = 0; agent && j < agent->address_count; j++)
            if (out->peer_count < PROTO_PEERS_MAX)
                peers[out->peer_count++] = agent->addresses[j];
    }
    out->peers = peers;
}

bool run_next_watch(struct runs *runs, struct run *run, const struct agent *agent, uint64_t now_us,
                    struct buf *out)
{
    for (size_t i = 0; i < run->watch_count; i++) {
        CLEANUP_MESSAGE struct proto_message message = {.type = PROTO_WATCH};
        struct run_watch *watch = &run->watches[i];
        struct run_assignment *assignment;
        if (strcmp(watch->instance, agent->instance) != 0 || watch->state > WATCH_SENT)
            continue;
        if (watch->state == WATCH_SENT) {
            assignment = run_find_assignment(run, watch->assignment);
            if (!assignment || !assignment->message || agent_has_got(agent, watch->assignment))
                continue;
            buf_append(out, assignment->message, assignment->message_length);
            return true;
        }
        assignment = run_add_assignment(runs, run, WORK_WATCH, watch->instance);
        assignment->source = SIZE_MAX;
        assignment->round = watch->round;
        watch->assignment = assignment->id;
        watch->state = WATCH_SENT;
        message.watch.id = assignment->id;
        fill_watch(runs, run, watch, now_us, &message);
        run_give(runs, run, assignment, &message, out);
        return out->length > 0;
    }
    return false;
}

void runs_watching(struct runs *runs, const struct proto_watching *watching)
{
    for (size_t i = 0; i < runs->open_count; i++)
        for (size_t j = 0; j < runs->open[i]->watch_count; j++) {
            struct run_watch *watch = &runs->open[i]->watches[j];
            if (watch->assignment == watching->watch && watch->state == WATCH_SENT &&
                strcmp(watch->instance, watching->instance) == 0)
                watch->state = WATCH_ON;
        }
}
