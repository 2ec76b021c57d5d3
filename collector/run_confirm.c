/* What failed is tried again. */
#include "collector/run_internal.h"

#include "common/log.h"
#include "common/mem.h"

#include <string.h>

/* Of the five places at an endpoint one is left to the watching agent's own check. */
#define OWN_CHECK 1

/* ---- what is tried again ---- */

struct wish {
    const struct run *run;
    const struct matrix *matrix;
};

/* Under deny a failure is what is hoped for: it is looked at again where that may prove it. */
static bool is_wanted(void *ctx, const struct tries *tries)
{
    const struct wish *wish = ctx;
    const struct matrix_cell *cell =
        matrix_at(wish->matrix, wish->run->sources[tries->source].service, tries->column);

    return cell->expected != EXPECT_DENY || cell->state == CELL_UNPROVEN;
}

/* Those of one endpoint lie side by side. */
static bool is_same_place(const struct run_item *a, const struct run_item *b)
{
    return a->column == b->column && strcmp(a->address, b->address) == 0;
}

static void add_item(struct run *run, const struct tries_item *item)
{
    const struct tries_row *row = item->tries->example;

    mem_grow(&run->items, run->item_count, &run->item_capacity, sizeof(*run->items));
    run->items[run->item_count++] = (struct run_item){
        .source = item->source,
        .column = item->tries->column,
        .name = row->name,
        .address = row->address,
        .port = row->port,
        .attempts = item->attempts,
        .is_patient = item->tries->is_hung,
    };
}

/* Appends the items of a round; how many. */
static size_t plan_round(struct runs *runs, struct run *run, unsigned round)
{
    struct tries_source *sources = run_tries_sources(runs, run);
    struct matrix *matrix = run_matrix(run);
    struct wish wish = {run, matrix};
    struct tries_set set = tries_gather(run->rows, run->row_count, sources);
    struct tries_item *items = NULL;
    size_t count = tries_plan(&set, sources, run->source_count, round, is_wanted, &wish, &items);

    for (size_t i = 0; i < count; i++)
        add_item(run, &items[i]);
    mem_free(items);
    tries_deinit(&set);
    matrix_free(matrix);
    mem_free(sources);
    return count;
}

/* At worst all at one endpoint, four at a time; then what the last ones are held open for. */
static int64_t confirm_ms(const struct run *run)
{
    int64_t longest = 0;

    for (uint32_t c = 0; c < run->fleet->column_count; c++) {
        int64_t timeout = fleet_column_check(run->fleet, c)->timeout_ms, weight = 0, ms;
        for (size_t i = 0; i < run->item_count; i++)
            if (run->items[i].column == c && run->items[i].state == ITEM_TODO)
                weight += run->items[i].attempts;
        ms = (weight + 3) / 4 * (timeout + RUN_SPACING_MS) +
             (timeout > RUN_HOLD_MS ? timeout : RUN_HOLD_MS) + PROTO_DNS_MS + RUN_SLACK_MS;
        if (weight && ms > longest)
            longest = ms;
    }
    return longest;
}

static void set_deadline(struct run *run, uint64_t now_us, int64_t ms)
{
    run->deadline_us = now_us + (uint64_t)ms * 1000;
    if (run->deadline_us > run->limit_us)
        run->deadline_us = run->limit_us;
}

static void set_state(struct runs *runs, struct run *run, enum run_state state)
{
    run->record.state = state;
    store_set_run_state(runs->store, run->record.id, state);
}

static void begin_settling(struct runs *runs, struct run *run, uint64_t now_us)
{
    for (unsigned round = 0; round <= TRIES_ROUNDS_MAX; round++)
        run_settle_round(runs, run, round);
    set_state(runs, run, RUN_SETTLING);
    run->gate_us = 0;
    set_deadline(run, now_us, run_has_settled(run) ? 0 : RUN_SETTLE_MS);
}

/* A watch that was open from the beginning is wanted where something failed. */
static void note_failures(struct runs *runs, struct run *run)
{
    for (size_t i = 0; i < run->watch_count; i++) {
        struct run_watch *watch = &run->watches[i];
        const struct agent *agent = registry_find(runs->registry, watch->instance);
        for (size_t j = 0; agent && j < run->item_count && !watch->has_failures; j++)
            watch->has_failures = agent_has_address(agent, run->items[j].address);
    }
}

void run_begin_confirm(struct runs *runs, struct run *run, uint64_t now_us)
{
    struct matrix *matrix;

    for (size_t i = 0; i < run->assignment_count; i++)
        run_release(runs, run, &run->assignments[i]);
    run_mark_rows(runs, run);
    matrix = run_matrix(run);
    run->provisional = (int)matrix->verdict;
    matrix_free(matrix);
    if (run->is_light) {
        begin_settling(runs, run, now_us);
        return;
    }
    run->round = 1;
    if (now_us < run->limit_us && plan_round(runs, run, 1)) {
        log_info("run-confirm", "run=%lld items=%zu provisional=%s", (long long)run->record.id,
                 run->item_count, verdict_name((enum verdict)run->provisional));
        note_failures(runs, run);
        for (size_t i = 0; i < run->item_count; i++)
            if (i == 0 || !is_same_place(&run->items[i - 1], &run->items[i]))
                run_watch_item(runs, run, &run->items[i]);
        run_settle_round(runs, run, 0);
        set_state(runs, run, RUN_CONFIRM);
        set_deadline(run, now_us, confirm_ms(run));
        if (!run_are_watches_on(run, 1))
            run->gate_us = now_us + RUN_WATCH_MS * 1000;
        return;
    }
    begin_settling(runs, run, now_us);
}

void run_end_round(struct runs *runs, struct run *run, uint64_t now_us)
{
    bool is_cut = !run_is_round_over(run);

    for (size_t i = 0; i < run->assignment_count; i++)
        run_release(runs, run, &run->assignments[i]);
    run_mark_rows(runs, run);
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].state < ITEM_DONE)
            run->items[i].state = ITEM_DROPPED;
    if (!is_cut && run->round < TRIES_ROUNDS_MAX && now_us < run->limit_us) {
        run->round++;
        if (plan_round(runs, run, run->round)) {
            set_deadline(run, now_us, confirm_ms(run));
            return;
        }
    }
    begin_settling(runs, run, now_us);
}

bool run_is_round_over(const struct run *run)
{
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].state < ITEM_DONE)
            return false;
    return true;
}

void run_finish_items(struct run *run, int64_t assignment)
{
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].assignment == assignment && run->items[i].state == ITEM_GIVEN)
            run->items[i].state = ITEM_DONE;
}

void run_release_items(struct runs *runs, struct run *run, int64_t assignment)
{
    for (size_t i = 0; i < run->item_count; i++) {
        struct run_item *item = &run->items[i];
        if (item->assignment != assignment || !item->holds)
            continue;
        item->holds = false;
        if (*item->address)
            throttle_give_endpoint(&runs->throttle, item->address, item->port, item->weight);
        else
            throttle_give(run->places[item->column], item->weight);
    }
}

/* ---- handing out ---- */

/* False: the limits do not allow it now. */
static bool take_item(struct runs *runs, struct run *run, struct run_item *item, uint64_t now_us,
                      uint64_t *ret_delay_us)
{
    const unsigned most = THROTTLE_IN_FLIGHT - OWN_CHECK;
    struct throttle_wish wish = {
        .weight = item->attempts < most ? item->attempts : most,
        .reserve = OWN_CHECK,
        .starts = item->attempts,
    };
    struct throttle_place *place = run->places[item->column];

    item->weight = wish.weight;
    item->holds = *item->address
                      ? throttle_take_endpoint(&runs->throttle, place, item->address, item->port,
                                               &wish, now_us, ret_delay_us)
                      : throttle_take(&runs->throttle, place, &wish, now_us, ret_delay_us);
    return item->holds;
}

static void fill_item(const struct run *run, const struct run_item *item, uint64_t delay_us,
                      struct arena *arena, struct proto_target *target)
{
    const char **names = arena_alloc(arena, 1, sizeof(*names));
    const char **at = arena_alloc(arena, 1, sizeof(*at));

    run_fill_target(run, item->column, run->sources[item->source].service, target);
    *names = item->name;
    target->names = names;
    target->name_count = 1;
    target->delay_ms = (int64_t)(delay_us / 1000);
    target->hold_ms = target->timeout_ms > RUN_HOLD_MS ? target->timeout_ms : RUN_HOLD_MS;
    target->rate_bytes = 0;
    target->attempts = item->attempts;
    target->spacing_ms = RUN_SPACING_MS;
    target->is_patient = item->is_patient;
    /* A proxy of the task's own is reached by its name in /etc/hosts, and by nothing else. */
    if (!*item->address || strncmp(item->address, "127.", 4) == 0)
        return;
    *at = arena_printf(arena, strchr(item->address, ':') ? "[%s]:%u" : "%s:%u", item->address,
                       item->port);
    target->at = at;
    target->at_count = 1;
}

bool run_next_item(struct runs *runs, struct run *run, const struct agent *agent, uint64_t now_us,
                   struct buf *out)
{
    CLEANUP_MESSAGE struct proto_message message = {.type = PROTO_ASSIGNMENT};
    struct run_assignment *assignment = NULL;
    uint64_t longest_us = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < run->item_count && message.assignment.target_count < PROTO_AT_MAX &&
                       bytes < RUN_ASSIGNMENT_BYTES;
         i++) {
        struct run_item *item = &run->items[i];
        struct proto_target *target;
        uint64_t delay_us, us;
        if (item->state != ITEM_TODO ||
            strcmp(run->sources[item->source].instance, agent->instance) != 0 ||
            (assignment && assignment->source != item->source) ||
            !take_item(runs, run, item, now_us, &delay_us))
            continue;
        if (!assignment) {
            assignment = run_add_assignment(runs, run, WORK_CONFIRM, agent->instance);
            assignment->source = item->source;
            assignment->round = run->round;
            assignment->holds = true;
            message.assignment.targets =
                arena_alloc(&message.arena, PROTO_AT_MAX, sizeof(struct proto_target));
        }
        item->state = ITEM_GIVEN;
        item->assignment = assignment->id;
        target = &message.assignment.targets[message.assignment.target_count++];
        fill_item(run, item, delay_us, &message.arena, target);
        bytes += run_target_bytes(target);
        /* What is held open longer does no harm: nothing of it waits at the endpoint. */
        us = delay_us +
             (uint64_t)(item->is_patient
                            ? target->hold_ms
                            : fleet_column_check(run->fleet, item->column)->timeout_ms) *
                 1000 +
             (item->attempts - 1) * RUN_SPACING_MS * 1000ULL;
        longest_us = us > longest_us ? us : longest_us;
    }
    if (!assignment)
        return false;
    assignment->release_us = now_us + longest_us + 100000;
    message.assignment.id = assignment->id;
    message.assignment.run = run->record.id;
    message.assignment.round = run->round;
    message.assignment.deadline_ms =
        run->deadline_us > now_us ? (int64_t)((run->deadline_us - now_us) / 1000) : 0;
    run_give(runs, run, assignment, &message, out);
    return out->length > 0;
}
