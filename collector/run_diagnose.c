/* What the diagnosis needs to know of a run that is over, gathered from the run, the registry and
 * the store. */
#include "collector/estate_store.h"
#include "collector/run_internal.h"

#include "common/mem.h"

#include <string.h>

#define FINDING_PARTS                                                                         \
    (ESTATE_ONLY(ESTATE_SERVICES) | ESTATE_ONLY(ESTATE_TASKS) | ESTATE_ONLY(ESTATE_SUBNETS) | \
     ESTATE_ONLY(ESTATE_TARGET_GROUPS) | ESTATE_ONLY(ESTATE_MISSING))

/* The witnesses' messages, which the diagnosis points into. */
struct testimony {
    struct arena arena; /* of the names */
    struct proto_message *messages;
    struct diagnose_witness *witnesses;
    size_t count, message_capacity, witness_capacity;
};

static void take_witness(void *ctx, const char *service, const char *task,
                         struct proto_message *message)
{
    struct testimony *testimony = ctx;

    mem_grow(&testimony->messages, testimony->count, &testimony->message_capacity,
             sizeof(*testimony->messages));
    mem_grow(&testimony->witnesses, testimony->count, &testimony->witness_capacity,
             sizeof(*testimony->witnesses));
    testimony->messages[testimony->count] = *message;
    *message = (struct proto_message){.type = PROTO_IDLE};
    testimony->witnesses[testimony->count++] = (struct diagnose_witness){
        .service = arena_strdup(&testimony->arena, service),
        .task = arena_strdup(&testimony->arena, task),
    };
}

static void read_testimony(const struct runs *runs, const struct run *run,
                           struct testimony *testimony)
{
    *testimony = (struct testimony){0};
    store_each_witness(runs->store, run->record.id, take_witness, testimony);
    for (size_t i = 0; i < testimony->count; i++)
        testimony->witnesses[i].seen = &testimony->messages[i].witness;
}

static void forget_testimony(struct testimony *testimony)
{
    for (size_t i = 0; i < testimony->count; i++)
        proto_message_deinit(&testimony->messages[i]);
    mem_free(testimony->messages);
    mem_free(testimony->witnesses);
    arena_deinit(&testimony->arena);
}

static enum diagnose_part part_of(enum source_state state)
{
    switch (state) {
    case SOURCE_DEPARTED:
        return PART_LEFT;
    case SOURCE_MISSING:
        return PART_MISSING;
    case SOURCE_LATE:
        return PART_LATE;
    case SOURCE_DROPPED:
        return PART_DROPPED;
    default:
        return PART_DONE;
    }
}

static struct diagnose_source *list_sources(const struct runs *runs, const struct run *run)
{
    struct diagnose_source *sources = mem_array(run->source_count, sizeof(*sources));

    for (size_t i = 0; i < run->source_count; i++) {
        const struct run_source *source = &run->sources[i];
        const struct agent *agent = registry_find(runs->registry, source->instance);
        sources[i] = (struct diagnose_source){
            .service = source->service,
            .task = source->task,
            .zone = source->zone,
            .revision = agent ? agent->revision : "",
            .resolver = agent && agent->resolver_count ? agent->resolvers[0] : "",
            .part = part_of(source->state),
        };
    }
    return sources;
}

static struct tries_set gather(const struct run *run)
{
    struct tries_source *sources = mem_array(run->source_count, sizeof(*sources));
    struct tries_set set;

    for (size_t i = 0; i < run->source_count; i++)
        sources[i] = (struct tries_source){.service = run->sources[i].service,
                                           .has_left = run->sources[i].state == SOURCE_DEPARTED};
    set = tries_gather(run->rows, run->row_count, sources);
    mem_free(sources);
    return set;
}

struct diagnoses *run_diagnose(const struct runs *runs, const struct run *run,
                               const struct matrix *matrix)
{
    struct run_ownership *ownership = run_ownership_new(runs, run);
    struct diagnose_source *sources = list_sources(runs, run);
    struct tries_set set = gather(run);
    /* Where all is well, only what findings are made of. */
    bool is_red = run->item_count || matrix->verdict != VERDICT_PASS;
    struct estate *estate =
        estate_store_get(runs->store, run->record.id, is_red ? ESTATE_ALL : FINDING_PARTS);
    struct path_map *map = estate && is_red ? path_map_new(estate) : NULL;
    struct testimony testimony;
    struct diagnose_input input = {
        .fleet = run->fleet,
        .matrix = matrix,
        .set = &set,
        .sources = sources,
        .source_count = run->source_count,
        .answers = &run->answers,
        .ownership = run_ownership_get(ownership),
    };
    struct diagnoses *diagnoses;

    input.estate = estate;
    input.map = map;
    input.agents = run_ownership_agents(ownership, &input.agent_count);
    read_testimony(runs, run, &testimony);
    input.witnesses = testimony.witnesses;
    input.witness_count = testimony.count;
    diagnoses = diagnose(&input);
    run_add_history(runs, run, diagnoses, estate, map);
    forget_testimony(&testimony);
    path_map_free(map);
    estate_free(estate);
    tries_deinit(&set);
    mem_free(sources);
    run_ownership_free(ownership);
    return diagnoses;
}
