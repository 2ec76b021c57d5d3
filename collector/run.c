#include "collector/run_internal.h"

#include "collector/view.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const source_states[] = {"open",    "done", "departed",
                                            "missing", "late", "dropped"};

const char *source_state_name(enum source_state state)
{
    return source_states[state];
}

enum source_state source_state_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(source_states); i++)
        if (strcmp(source_states[i], name) == 0)
            return (enum source_state)i;
    return SOURCE_OPEN;
}

const char *run_state_name(enum run_state state)
{
    static const char *const names[] = {"planned", "sweep", "confirm", "settling", "judged"};

    return names[state];
}

struct run *run_free(struct run *run)
{
    if (!run)
        return NULL;
    HASH_CLEAR(hh, run->agents);
    for (size_t i = 0; i < run->source_count; i++)
        mem_free(run->sources[i].work);
    for (size_t i = 0; i < run->assignment_count; i++) {
        mem_free(run->assignments[i].columns);
        mem_free(run->assignments[i].weights);
        mem_free(run->assignments[i].message);
    }
    for (size_t i = 0; i < run->watch_count; i++)
        mem_free(run->watches[i].columns);
    mem_free(run->sources);
    mem_free(run->assignments);
    mem_free(run->items);
    mem_free(run->watches);
    mem_free(run->witnesses);
    mem_free(run->leavers);
    mem_free(run->places);
    mem_free(run->rows);
    answers_deinit(&run->answers);
    plan_deinit(&run->plan);
    store_run_deinit(&run->record);
    fleet_unref(run->fleet);
    arena_deinit(&run->arena);
    mem_free(run);
    return NULL;
}

/* A run is handed out, reported and judged by thousands of agents: none of it may cost a search
 * through all of them each time. */
void run_index_agents(struct run *run)
{
    HASH_CLEAR(hh, run->agents);
    for (size_t i = run->source_count; i > 0; i--) {
        struct run_source *source = &run->sources[i - 1];
        struct run_agent *agent;
        HASH_FIND_STR(run->agents, source->instance, agent);
        source->next = agent ? agent->first : SIZE_MAX;
        if (!agent) {
            agent = arena_alloc(&run->arena, 1, sizeof(*agent));
            agent->instance = source->instance;
            HASH_ADD_KEYPTR(hh, run->agents, agent->instance, strlen(agent->instance), agent);
        }
        agent->first = i - 1;
    }
}

size_t run_first_of_agent(const struct run *run, const char *instance)
{
    struct run_agent *agent;

    HASH_FIND_STR(run->agents, instance, agent);
    return agent ? agent->first : SIZE_MAX;
}

static int by_id(const void *key, const void *element)
{
    int64_t id = *(const int64_t *)key, other = *(const int64_t *)element;

    return id < other ? -1 : id > other;
}

_Static_assert(offsetof(struct run_source, id) == 0 && offsetof(struct run_assignment, id) == 0,
               "by_id() compares the first member");

struct run_source *run_find_source(const struct run *run, int64_t id)
{
    return bsearch(&id, run->sources, run->source_count, sizeof(*run->sources), by_id);
}

struct run_assignment *run_find_assignment(const struct run *run, int64_t id)
{
    return run->assignment_count ? bsearch(&id, run->assignments, run->assignment_count,
                                           sizeof(*run->assignments), by_id)
                                 : NULL;
}

struct run_assignment *run_add_assignment(struct runs *runs, struct run *run, enum work_kind kind,
                                          const char *instance)
{
    struct run_assignment *assignment;

    mem_grow(&run->assignments, run->assignment_count, &run->assignment_capacity,
             sizeof(*run->assignments));
    assignment = &run->assignments[run->assignment_count++];
    *assignment = (struct run_assignment){
        .id = runs->next_assignment++,
        .kind = kind,
        .instance = arena_strdup(&run->arena, instance),
    };
    return assignment;
}

void run_find_places(struct runs *runs, struct run *run)
{
    run->places = mem_array(run->fleet->column_count, sizeof(struct throttle_place *));
    for (size_t c = 0; c < run->fleet->column_count; c++)
        run->places[c] = throttle_place(&runs->throttle, fleet_column_service(run->fleet, c)->name,
                                        fleet_column_check(run->fleet, c)->port);
}

void run_count_work(struct run *run)
{
    run->open_sources = run->todo = 0;
    for (size_t i = 0; i < run->source_count; i++) {
        struct run_source *source = &run->sources[i];
        if (source->state != SOURCE_OPEN)
            continue;
        run->open_sources++;
        run->todo += source->todo;
    }
}

void runs_deinit(struct runs *runs)
{
    while (runs->open_count)
        run_free(runs->open[--runs->open_count]);
    for (size_t i = 0; i < runs->settle_count; i++)
        mem_free(runs->settles[i].instance);
    mem_free(runs->settles);
    throttle_deinit(&runs->throttle);
}

struct run *runs_find(const struct runs *runs, int64_t id)
{
    for (size_t i = 0; i < runs->open_count; i++)
        if (runs->open[i]->record.id == id)
            return runs->open[i];
    return NULL;
}

/* ---- whose an address is ---- */

struct run_ownership {
    struct owner_agent *agents;
    size_t count;
    struct ownership *ownership;
};

struct run_ownership *run_ownership_new(const struct runs *runs, const struct run *run)
{
    struct run_ownership *result = mem_alloc(sizeof(*result));
    struct agent *agent, *next;
    size_t count = 0;

    result->agents =
        mem_array(HASH_COUNT(runs->registry->agents) + run->leaver_count, sizeof(*result->agents));
    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        result->agents[count++] = (struct owner_agent){
            .service = agent->service,
            .task = agent->task,
            .mode = agent->mode,
            .netns = agent->netns,
            .zone = agent->zone,
            .revision = agent->revision,
            .age_s = agent->age_s + (int64_t)((clock_mono_us() - agent->since_us) / 1000000),
            .addresses = agent->addresses,
            .address_count = agent->address_count,
            .state = agent_is_live(agent) ? OWNER_IS_LIVE : OWNER_IS_LOST,
        };
    }
    for (size_t i = 0; i < run->leaver_count; i++) {
        const struct run_leaver *leaver = &run->leavers[i];
        result->agents[count++] = (struct owner_agent){
            .service = leaver->service,
            .task = leaver->task,
            .mode = leaver->mode,
            .netns = leaver->netns,
            .zone = leaver->zone,
            .revision = leaver->revision,
            .age_s = -1,
            .addresses = leaver->addresses,
            .address_count = leaver->address_count,
            .state = OWNER_HAS_LEFT,
        };
    }
    result->count = count;
    result->ownership = ownership_new(run->fleet, result->agents, count);
    return result;
}

struct run_ownership *run_ownership_free(struct run_ownership *ownership)
{
    if (ownership) {
        ownership_free(ownership->ownership);
        mem_free(ownership->agents);
    }
    mem_free(ownership);
    return NULL;
}

const struct ownership *run_ownership_get(const struct run_ownership *ownership)
{
    return ownership->ownership;
}

const struct owner_agent *run_ownership_agents(const struct run_ownership *ownership,
                                               size_t *ret_count)
{
    *ret_count = ownership->count;
    return ownership->agents;
}

void run_mark_rows(const struct runs *runs, struct run *run)
{
    struct run_ownership *ownership = run_ownership_new(runs, run);

    for (size_t i = 0; i < run->row_count; i++) {
        struct tries_row *row = &run->rows[i];
        size_t service = run->fleet->columns[row->column].service;
        struct owner owner;
        if (!*row->address)
            continue;
        owner = ownership_find(ownership->ownership, service, row->address);
        row->is_reused = ownership_is_reused(ownership->ownership, service, &owner);
        row->has_left = owner.kind == OWNER_LEFT;
    }
    run_ownership_free(ownership);
}

/* ---- the matrix ---- */

struct tries_source *run_tries_sources(const struct runs *runs, const struct run *run)
{
    struct tries_source *sources = mem_array(run->source_count, sizeof(*sources));

    for (size_t i = 0; i < run->source_count; i++) {
        const struct agent *agent = registry_find(runs->registry, run->sources[i].instance);
        sources[i] = (struct tries_source){
            .service = run->sources[i].service,
            .has_left = run->sources[i].state == SOURCE_DEPARTED,
            .is_absent = !agent || !agent_is_live(agent),
        };
    }
    return sources;
}

struct matrix *run_matrix(const struct run *run)
{
    struct matrix_source *sources = mem_array(run->source_count, sizeof(*sources));
    struct matrix_input input = {
        .fleet = run->fleet,
        .sources = sources,
        .source_count = run->source_count,
        .rows = run->rows,
        .row_count = run->row_count,
        .scope = run->plan.scope,
        .live_tasks = run->plan.live_tasks,
        .witnesses = run->witnesses,
        .witness_count = run->witness_count,
        .is_provisional = run->round == 0 || run->record.state < RUN_CONFIRM,
    };
    struct matrix *matrix;

    for (size_t i = 0; i < run->source_count; i++)
        sources[i] = (struct matrix_source){
            .service = run->sources[i].service,
            .has_departed = run->sources[i].state == SOURCE_DEPARTED,
            .is_done = run->sources[i].state == SOURCE_DONE,
        };
    matrix = matrix_build(&input);
    mem_free(sources);
    return matrix;
}

bool runs_have_work(const struct runs *runs)
{
    if (runs->settle_count)
        return true;
    for (size_t i = 0; i < runs->open_count; i++)
        if (runs->open[i]->todo || runs->open[i]->watch_count || runs->open[i]->item_count)
            return true;
    return false;
}

/* ---- judging ---- */

static void name_the_missing(struct run *run)
{
    for (size_t i = 0; i < run->source_count; i++) {
        struct run_source *source = &run->sources[i];
        if (source->state == SOURCE_OPEN)
            source->state = source->batches ? SOURCE_LATE : SOURCE_MISSING;
        if (source->state != SOURCE_DONE)
            log_warn("run-source", "run=%lld service=%s task=%s state=%s",
                     (long long)run->record.id,
                     LOG_QUOTE(run->fleet->services[source->service].name), LOG_QUOTE(source->task),
                     source_state_name(source->state));
    }
}

struct owner_list {
    struct store_owner *owners;
    size_t count;
};

static int by_address_and_service(const void *a, const void *b)
{
    const struct store_owner *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order ? order : (int)(x->service - y->service);
}

/* Every endpoint's address once for each service that was looked for there. */
static struct owner_list list_owners(const struct runs *runs, const struct run *run,
                                     struct arena *arena)
{
    struct owner_list list = {mem_array(run->row_count, sizeof(struct store_owner)), 0};
    struct run_ownership *ownership = run_ownership_new(runs, run);
    size_t kept = 0;

    for (size_t i = 0; i < run->row_count; i++)
        if (*run->rows[i].address)
            list.owners[list.count++] = (struct store_owner){
                .address = run->rows[i].address,
                .service = (int64_t)run->fleet->columns[run->rows[i].column].service,
            };
    qsort(list.owners, list.count, sizeof(*list.owners), by_address_and_service);
    for (size_t i = 0; i < list.count; i++) {
        CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
        if (kept && by_address_and_service(&list.owners[kept - 1], &list.owners[i]) == 0)
            continue;
        list.owners[kept] = list.owners[i];
        view_owner(ownership->ownership, (size_t)list.owners[kept].service,
                   list.owners[kept].address, &json);
        list.owners[kept++].json = arena_strdup(arena, buf_text(&json));
    }
    list.count = kept;
    run_ownership_free(ownership);
    return list;
}

static const char **list_diagnoses(const struct run *run, const struct diagnoses *diagnoses,
                                   struct arena *arena)
{
    const char **list = arena_alloc(arena, diagnoses->count + 1, sizeof(*list));

    for (size_t i = 0; i < diagnoses->count; i++) {
        CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
        view_diagnosis(run->fleet, &diagnoses->items[i], &json);
        list[i] = arena_strdup(arena, buf_text(&json));
    }
    return list;
}

static int store_verdict(struct runs *runs, struct run *run, const struct matrix *matrix,
                         const struct diagnoses *diagnoses)
{
    struct store_source *sources = mem_array(run->source_count, sizeof(*sources));
    struct store_cell *cells = mem_array(matrix->rows * matrix->columns, sizeof(*cells));
    struct arena arena = {0};
    struct owner_list owners = list_owners(runs, run, &arena);
    struct store_judgement judgement = {.run = &run->record,
                                        .sources = sources,
                                        .source_count = run->source_count,
                                        .cells = cells,
                                        .owners = owners.owners,
                                        .owner_count = owners.count,
                                        .diagnosis_count = diagnoses->count};
    int r;

    for (size_t i = 0; i < run->source_count; i++) {
        sources[i].id = run->sources[i].id;
        sources[i].state = source_state_name(run->sources[i].state);
    }
    for (size_t s = 0; s < matrix->rows; s++)
        for (size_t c = 0; c < matrix->columns; c++) {
            CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
            if (matrix_at(matrix, s, c)->state == CELL_ABSENT)
                continue;
            view_cell(run, matrix, s, c, &json);
            cells[judgement.cell_count++] =
                (struct store_cell){(int64_t)s, (int64_t)c, arena_strdup(&arena, buf_text(&json))};
        }
    judgement.diagnoses = list_diagnoses(run, diagnoses, &arena);
    r = store_judge_run(runs->store, &judgement);
    arena_deinit(&arena);
    mem_free(owners.owners);
    mem_free(cells);
    mem_free(sources);
    return r;
}

/* 0 once the verdict is stored. */
static int judge(struct runs *runs, struct run *run)
{
    struct matrix *matrix;
    struct diagnoses *diagnoses;
    int r;

    run_mark_rows(runs, run);
    matrix = run_matrix(run);
    /* What failed once, and was not tried again, may be chance. */
    diagnoses = run->is_light ? mem_alloc(sizeof(*diagnoses)) : run_diagnose(runs, run, matrix);
    run->record.finished_ms = clock_wall_ms();
    run->record.verdict = (int)matrix->verdict;
    run->record.is_incomplete = matrix->is_incomplete;
    r = store_verdict(runs, run, matrix, diagnoses);
    if (!run->is_light)
        runs->has_failed = matrix->verdict == VERDICT_FAIL;
    if (r == 0)
        log_info("run-judged", "run=%lld verdict=%s incomplete=%s rows=%zu diagnoses=%zu ms=%lld",
                 (long long)run->record.id, verdict_name(matrix->verdict),
                 matrix->is_incomplete ? "yes" : "no", run->row_count, diagnoses->count,
                 (long long)(run->record.finished_ms - run->record.created_ms));
    else
        log_error("verdict-not-stored", "run=%lld error=%s", (long long)run->record.id,
                  LOG_QUOTE(store_problem(runs->store)));
    if (r == 0 && runs->on_judged)
        runs->on_judged(runs->judged_ctx, run);
    diagnoses_free(diagnoses);
    matrix_free(matrix);
    return r;
}

/* ---- from state to state ---- */

/* Those that hold places are among the last: what comes before is skipped. */
static size_t first_held(struct run *run)
{
    while (run->first_held < run->assignment_count && !run->assignments[run->first_held].holds)
        run->first_held++;
    return run->first_held;
}

static void release_what_is_over(struct runs *runs, struct run *run, uint64_t now_us)
{
    for (size_t i = first_held(run); i < run->assignment_count; i++)
        if (run->assignments[i].holds && now_us >= run->assignments[i].release_us)
            run_release(runs, run, &run->assignments[i]);
}

static void open_gate(struct run *run, uint64_t now_us)
{
    unsigned round = run->record.state >= RUN_CONFIRM ? 1 : 0;

    if (run->gate_us &&
        (now_us >= run->gate_us || (run->watch_count && run_are_watches_on(run, round))))
        run->gate_us = 0;
}

/* Where all is well there is nothing to explain. */
static bool waits_for_cloud(struct run *run, uint64_t now_us)
{
    uint64_t until_us = run->cloud_us < run->limit_us ? run->cloud_us : run->limit_us;

    if (!run->cloud_us || !run->item_count || now_us >= until_us)
        return false;
    run->deadline_us = until_us;
    return true;
}

void runs_cloud_told(struct runs *runs, int64_t id, int64_t network_ms)
{
    struct run *run = runs_find(runs, id);

    if (!run)
        return;
    run->cloud_us = 0;
    run->network_ms = network_ms;
}

void runs_past_told(struct runs *runs, int64_t id)
{
    struct run *run = runs_find(runs, id);

    if (run)
        run->cloud_us = 0;
}

bool run_needs_network(const struct run *run)
{
    return run->item_count && run->network_ms && run->network_ms < run->record.created_ms;
}

/* True once it is judged. */
static bool advance(struct runs *runs, struct run *run, uint64_t now_us)
{
    bool is_over = now_us >= run->deadline_us;

    release_what_is_over(runs, run, now_us);
    open_gate(run, now_us);
    if (run->record.state < RUN_CONFIRM && (is_over || (!run->open_sources && !run->gate_us))) {
        name_the_missing(run);
        run_begin_confirm(runs, run, now_us);
        is_over = now_us >= run->deadline_us;
    }
    if (run->record.state == RUN_CONFIRM && (is_over || run_is_round_over(run))) {
        run_end_round(runs, run, now_us);
        is_over = now_us >= run->deadline_us;
    }
    if (run->record.state == RUN_SETTLING && (is_over || run_has_settled(run)))
        run->is_settled = true;
    if (run->is_settled && !waits_for_cloud(run, now_us)) {
        if (judge(runs, run) == 0)
            return true;
        run->deadline_us = now_us + 1000000; /* the store said no: again in a second */
    }
    return false;
}

static void be_earlier(uint64_t *at, uint64_t other)
{
    if (other && (!*at || other < *at))
        *at = other;
}

/* The next moment at which something happens by itself. */
static uint64_t next_moment(struct run *run, uint64_t now_us)
{
    uint64_t next = run->deadline_us;

    be_earlier(&next, run->gate_us);
    for (size_t i = first_held(run); i < run->assignment_count; i++)
        if (run->assignments[i].holds)
            be_earlier(&next, run->assignments[i].release_us);
    return next > now_us ? next : now_us + 1000;
}

uint64_t runs_tick(struct runs *runs, uint64_t now_us)
{
    uint64_t next = throttle_retry_us(&runs->throttle, now_us);
    size_t kept = 0;

    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        if (advance(runs, run, now_us)) {
            run_drop_watches(runs, run);
            run_free(run);
            continue;
        }
        runs->open[kept++] = run;
        be_earlier(&next, next_moment(run, now_us));
    }
    runs->open_count = kept;
    return next;
}
