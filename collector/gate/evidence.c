#include "collector/gate/evidence.h"

#include "collector/baseline.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"
#include "proto/outcome.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JSON_DEPTH_MAX 8

/* ---- what is read ---- */

struct source {
    int64_t id;
    const char *service, *revision;
};

struct piece { /* of work: an assignment */
    int64_t id, source;
};

struct owner {
    const char *address, *revision;
    int64_t service;
};

/* The last try of one task at one endpoint. */
struct attempt {
    const struct source *source;
    uint32_t column;
    const char *address;
    bool is_ok, is_answered;
    size_t order; /* as they were told */
};

struct reading {
    const struct gate_question *question;
    struct gate_evidence *evidence;
    struct arena *arena;
    const struct fleet *fleet;

    struct source *sources;
    size_t source_count, source_capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    struct owner *owners;
    size_t owner_count, owner_capacity;
    struct attempt *attempts;
    size_t attempt_count, attempt_capacity;
    size_t cell_capacity, diagnosis_capacity;
    size_t *places; /* service x column -> index of the cell, + 1 */
};

static void take_source(void *ctx, const struct store_source *stored)
{
    struct reading *reading = ctx;
    CLEANUP_JSON cJSON *facts = json_parse(stored->facts, strlen(stored->facts), 3, NULL);

    mem_grow(&reading->sources, reading->source_count, &reading->source_capacity,
             sizeof(*reading->sources));
    reading->sources[reading->source_count++] = (struct source){
        .id = stored->id,
        .service = arena_strdup(reading->arena, stored->service),
        .revision = arena_strdup(reading->arena, json_string(facts, "revision", "")),
    };
}

static void take_piece(void *ctx, const struct store_assignment *stored)
{
    struct reading *reading = ctx;

    mem_grow(&reading->pieces, reading->piece_count, &reading->piece_capacity,
             sizeof(*reading->pieces));
    reading->pieces[reading->piece_count++] = (struct piece){stored->id, stored->source};
}

static void take_owner(void *ctx, const struct store_owner *stored)
{
    struct reading *reading = ctx;
    CLEANUP_JSON cJSON *owner = json_parse(stored->json, strlen(stored->json), 3, NULL);

    mem_grow(&reading->owners, reading->owner_count, &reading->owner_capacity,
             sizeof(*reading->owners));
    reading->owners[reading->owner_count++] = (struct owner){
        .address = arena_strdup(reading->arena, stored->address),
        .revision = arena_strdup(reading->arena, json_string(owner, "revision", "")),
        .service = stored->service,
    };
}

static int by_id(const void *key, const void *element)
{
    int64_t id = *(const int64_t *)key, other = *(const int64_t *)element;

    return id < other ? -1 : id > other;
}

_Static_assert(offsetof(struct source, id) == 0 && offsetof(struct piece, id) == 0,
               "by_id() compares the first member");

/* Both lists come from the store in the order of their ids. */
static const struct source *source_of(const struct reading *reading, int64_t assignment)
{
    const struct piece *piece = reading->piece_count
                                    ? bsearch(&assignment, reading->pieces, reading->piece_count,
                                              sizeof(*reading->pieces), by_id)
                                    : NULL;

    return piece && reading->source_count
               ? bsearch(&piece->source, reading->sources, reading->source_count,
                         sizeof(*reading->sources), by_id)
               : NULL;
}

static struct gate_cell *cell_at(const struct reading *reading, size_t service, size_t column)
{
    size_t place = reading->places[service * reading->fleet->column_count + column];

    return place ? &reading->evidence->cells[place - 1] : NULL;
}

static bool touches(const struct reading *reading, const struct source *source, uint32_t column)
{
    const char *service = reading->question->service;

    return strcmp(source->service, service) == 0 ||
           strcmp(fleet_column_service(reading->fleet, column)->name, service) == 0;
}

static void take_probe(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct reading *reading = ctx;
    const struct source *source = source_of(reading, assignment);
    enum outcome_class class = outcome_class((enum proto_outcome)probe->outcome);

    if (!source || (uint64_t)probe->target >= reading->fleet->column_count ||
        (class != OUTCOME_IS_PASS && class != OUTCOME_IS_FAILURE) ||
        !touches(reading, source, (uint32_t)probe->target))
        return;
    mem_grow(&reading->attempts, reading->attempt_count, &reading->attempt_capacity,
             sizeof(*reading->attempts));
    reading->attempts[reading->attempt_count] = (struct attempt){
        .source = source,
        .column = (uint32_t)probe->target,
        .address = arena_strdup(reading->arena, probe->address),
        .is_ok = class == OUTCOME_IS_PASS,
        .is_answered = class == OUTCOME_IS_PASS || probe->phase > PHASE_CONNECT ||
                       probe->outcome == OUTCOME_REFUSED,
        .order = reading->attempt_count,
    };
    reading->attempt_count++;
}

static int by_endpoint(const struct attempt *x, const struct attempt *y)
{
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->address, y->address);
}

static int by_endpoint_and_order(const void *a, const void *b)
{
    const struct attempt *x = a, *y = b;
    int order = by_endpoint(x, y);

    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* Of several tries at an endpoint the last one counts: the confirmation's. Answered once is
 * answered. */
static void keep_last_attempts(struct reading *reading)
{
    size_t kept = 0;

    if (reading->attempt_count)
        qsort(reading->attempts, reading->attempt_count, sizeof(*reading->attempts),
              by_endpoint_and_order);
    for (size_t i = 0; i < reading->attempt_count; i++) {
        struct attempt *attempt = &reading->attempts[i];
        if (kept && by_endpoint(&reading->attempts[kept - 1], attempt) == 0) {
            attempt->is_answered |= reading->attempts[kept - 1].is_answered;
            kept--;
        }
        reading->attempts[kept++] = *attempt;
    }
    reading->attempt_count = kept;
}

/* ---- diagnoses ---- */

static void take_diagnosis(void *ctx, const char *json)
{
    struct reading *reading = ctx;
    struct gate_evidence *evidence = reading->evidence;

    mem_grow(&evidence->diagnoses, evidence->diagnosis_count, &reading->diagnosis_capacity,
             sizeof(*evidence->diagnoses));
    evidence->diagnoses[evidence->diagnosis_count++] = arena_strdup(reading->arena, json);
}

static bool is_cell(const cJSON *object, const struct gate_cell *cell)
{
    return strcmp(json_string(object, "source", ""), cell->source) == 0 &&
           strcmp(json_string(object, "target", ""), cell->target) == 0 &&
           strcmp(json_string(object, "check", ""), cell->check) == 0;
}

static const cJSON *find_cell(const cJSON *list, const struct gate_cell *cell)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (is_cell(item, cell))
            return item;
    }
    return NULL;
}

/* The first that explains a cell: they stand in the order of what they explain. */
static void explain(struct reading *reading)
{
    struct gate_evidence *evidence = reading->evidence;

    for (size_t d = 0; d < evidence->diagnosis_count; d++) {
        const char *text = evidence->diagnoses[d];
        CLEANUP_JSON cJSON *diagnosis = json_parse(text, strlen(text), JSON_DEPTH_MAX, NULL);
        const cJSON *item;
        if (strcmp(json_string(diagnosis, "severity", ""), "warning") == 0)
            continue;
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(diagnosis, "cells"))
        {
            size_t source = fleet_find_service(reading->fleet, json_string(item, "source", ""));
            size_t column = fleet_find_column(reading->fleet, json_string(item, "target", ""),
                                              json_string(item, "check", ""));
            struct gate_cell *cell =
                source != SIZE_MAX && column != SIZE_MAX ? cell_at(reading, source, column) : NULL;
            if (!cell || cell->diagnosis != SIZE_MAX)
                continue;
            cell->diagnosis = d;
            cell->cause = arena_strdup(reading->arena, json_string(diagnosis, "cause", ""));
        }
    }
}

/* ---- cells ---- */

static bool is_app_error(const cJSON *cell)
{
    const cJSON *observed = cJSON_GetObjectItemCaseSensitive(cell, "observed"), *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, observed)
    {
        if (strcmp(json_string(item, "outcome", ""), outcome_name(OUTCOME_BAD_STATUS)) != 0 ||
            json_int(item, "status", 0, 999, 0) < 500)
            return false;
        count++;
    }
    return count > 0;
}

static void take_cell(void *ctx, const struct store_cell *stored)
{
    struct reading *reading = ctx;
    struct gate_evidence *evidence = reading->evidence;
    CLEANUP_JSON cJSON *cell = json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);
    const char *source = json_string(cell, "source", ""), *target = json_string(cell, "target", "");
    const char *service = reading->question->service;

    if (strcmp(source, service) != 0 && strcmp(target, service) != 0)
        return;
    mem_grow(&evidence->cells, evidence->cell_count, &reading->cell_capacity,
             sizeof(*evidence->cells));
    evidence->cells[evidence->cell_count++] = (struct gate_cell){
        .source = arena_strdup(reading->arena, source),
        .target = arena_strdup(reading->arena, target),
        .check = arena_strdup(reading->arena, json_string(cell, "check", "")),
        .expected = expectation_from_name(json_string(cell, "expected", "")),
        .state = cell_state_from_name(json_string(cell, "state", "")),
        .is_app_error = is_app_error(cell),
        .diagnosis = SIZE_MAX,
        .cause = "",
    };
    if ((uint64_t)stored->source < reading->fleet->service_count &&
        (uint64_t)stored->column < reading->fleet->column_count)
        reading->places[(size_t)stored->source * reading->fleet->column_count +
                        (size_t)stored->column] = evidence->cell_count;
}

/* ---- old and new ---- */

static int by_address_and_service(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order ? order : x->service < y->service ? -1 : x->service > y->service;
}

static const char *revision_at(const struct reading *reading, const struct attempt *attempt)
{
    int64_t service = (int64_t)reading->fleet->columns[attempt->column].service;

    struct owner key = {.address = attempt->address, .service = service};
    const struct owner *owner = reading->owner_count
                                    ? bsearch(&key, reading->owners, reading->owner_count,
                                              sizeof(*reading->owners), by_address_and_service)
                                    : NULL;

    return owner ? owner->revision : "";
}

static void count_share(struct gate_share *share, bool is_ok)
{
    if (is_ok)
        share->ok++;
    else
        share->failed++;
}

static void share_attempt(struct reading *reading, const struct attempt *attempt)
{
    const struct gate_question *question = reading->question;
    const struct source *source = attempt->source;
    const struct fleet_service *target = fleet_column_service(reading->fleet, attempt->column);
    size_t service = fleet_find_service(reading->fleet, source->service);
    struct gate_cell *cell =
        service == SIZE_MAX ? NULL : cell_at(reading, service, attempt->column);
    bool is_source = strcmp(source->service, question->service) == 0;
    bool is_target = strcmp(target->name, question->service) == 0;
    const char *ends[2] = {is_source ? source->revision : "",
                           is_target ? revision_at(reading, attempt) : ""};
    bool is_new = *question->revision && (strcmp(ends[0], question->revision) == 0 ||
                                          strcmp(ends[1], question->revision) == 0);

    if (cell && *question->revision && (*ends[0] || *ends[1]))
        count_share(is_new ? &cell->fresh : &cell->former, attempt->is_ok);
}

static void count_reach(struct reading *reading, const struct attempt *attempt)
{
    const struct gate_question *question = reading->question;

    if (strcmp(attempt->source->service, question->service) == 0)
        return;
    for (size_t i = 0; i < question->address_count; i++)
        if (strcmp(question->addresses[i], attempt->address) == 0) {
            reading->evidence->tried_new++;
            reading->evidence->answered_new += attempt->is_answered;
            return;
        }
}

/* ---- before ---- */

static enum gate_before before_of(enum cell_state state)
{
    return cell_state_is_good(state)  ? BEFORE_GOOD
           : cell_state_is_bad(state) ? BEFORE_BAD
                                      : BEFORE_UNKNOWN;
}

struct cutoff {
    int64_t since_ms, run;
};

static void look_for_cutoff(void *ctx, const struct store_run *run)
{
    struct cutoff *cutoff = ctx;

    if (run->created_ms >= cutoff->since_ms)
        cutoff->run = run->id;
}

/* The first run since then: what is before it is before the deployment. */
static int64_t first_since(struct store *store, int64_t since_ms, int64_t run)
{
    struct cutoff cutoff = {since_ms, run};

    store_each_run(store, run, BASELINE_RUNS_MAX, false, look_for_cutoff, &cutoff);
    return cutoff.run;
}

static void compare_with_last_good(struct reading *reading)
{
    const struct gate_question *question = reading->question;
    struct store_run first = {.id =
                                  first_since(question->store, question->since_ms, question->run)};
    struct baseline_search *search = baseline_search_new(question->store);

    for (size_t i = 0; i < reading->evidence->cell_count; i++) {
        struct gate_cell *cell = &reading->evidence->cells[i];
        struct baseline found;
        if (before_of(cell->state) != BEFORE_BAD)
            continue; /* of no interest, and a long way back where it never was good */
        found = baseline_find(search, &first, cell->source, cell->target, cell->check);
        cell->before = found.since != first.id ? BEFORE_BAD
                       : found.good            ? BEFORE_GOOD
                                               : BEFORE_UNKNOWN;
    }
    baseline_search_free(search);
}

static void note_before(void *ctx, const struct store_cell *stored)
{
    struct reading *reading = ctx;
    const char *service = reading->question->service;
    CLEANUP_JSON cJSON *object =
        json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);

    if (strcmp(json_string(object, "source", ""), service) != 0 &&
        strcmp(json_string(object, "target", ""), service) != 0)
        return;
    for (size_t i = 0; i < reading->evidence->cell_count; i++)
        if (is_cell(object, &reading->evidence->cells[i]))
            reading->evidence->cells[i].before =
                before_of(cell_state_from_name(json_string(object, "state", "")));
}

static void compare(struct reading *reading)
{
    const struct gate_baseline *baseline = &reading->question->baseline;

    if (baseline->kind == BASELINE_LAST_GOOD)
        compare_with_last_good(reading);
    if (baseline->kind == BASELINE_RUN)
        store_each_cell(reading->question->store, baseline->run, note_before, reading);
    for (size_t i = 0; baseline->kind == BASELINE_FILE && i < reading->evidence->cell_count; i++) {
        struct gate_cell *cell = &reading->evidence->cells[i];
        const cJSON *then = find_cell(baseline->cells, cell);
        if (then)
            cell->before = before_of(cell_state_from_name(json_string(then, "state", "")));
    }
}

/* ---- controls ---- */

static void note_control(void *ctx, const struct store_cell *stored)
{
    struct reading *reading = ctx;
    const char *service = reading->question->service;
    CLEANUP_JSON cJSON *object =
        json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);
    const char *source = json_string(object, "source", ""),
               *target = json_string(object, "target", "");
    enum gate_before state = before_of(cell_state_from_name(json_string(object, "state", "")));

    if (strcmp(source, service) == 0 || strcmp(target, service) == 0 || state == BEFORE_UNKNOWN)
        return;
    for (size_t i = 0; i < reading->evidence->cell_count; i++) {
        struct gate_cell *cell = &reading->evidence->cells[i];
        bool is_to_peer = strcmp(cell->source, service) == 0 && strcmp(cell->target, target) == 0 &&
                          strcmp(cell->check, json_string(object, "check", "")) == 0;
        bool is_from_peer = strcmp(cell->target, service) == 0 && strcmp(cell->source, source) == 0;
        if ((is_to_peer || is_from_peer) && cell->control != CONTROL_PEER_WELL)
            cell->control = state == BEFORE_GOOD ? CONTROL_PEER_WELL : CONTROL_PEER_FAILS;
    }
}

/* ---- the whole ---- */

struct heard {
    struct store *store;
    const char *service, *revision;
    struct arena *arena;
    const char *former;
    bool was_heard;
    int64_t run; /* that is being read */
};

static void hear_source(void *ctx, const struct store_source *source)
{
    struct heard *heard = ctx;
    CLEANUP_JSON cJSON *facts = NULL;
    const char *revision;

    if (heard->was_heard || strcmp(source->service, heard->service) != 0 || !source->batches)
        return;
    facts = json_parse(source->facts, strlen(source->facts), 3, NULL);
    revision = json_string(facts, "revision", "");
    if (*heard->revision && strcmp(revision, heard->revision) == 0)
        return;
    heard->was_heard = true;
    heard->former = arena_strdup(heard->arena, revision);
}

static void hear_run(void *ctx, const struct store_run *run)
{
    struct heard *heard = ctx;

    if (!heard->was_heard)
        store_each_source(heard->store, run->id, hear_source, heard);
}

#define HEARD_RUNS_MAX 50 /* looked back through for the former revision's agents */

static void listen(struct reading *reading)
{
    const struct gate_question *question = reading->question;
    struct heard heard = {.store = question->store,
                          .service = question->service,
                          .revision = question->revision,
                          .arena = reading->arena,
                          .former = ""};

    store_each_run(question->store, question->run + 1, HEARD_RUNS_MAX, false, hear_run, &heard);
    reading->evidence->was_heard = heard.was_heard;
    reading->evidence->former = *question->revision ? heard.former : "";
}

static void read_all(struct reading *reading)
{
    const struct gate_question *question = reading->question;

    store_each_source(question->store, question->run, take_source, reading);
    store_each_assignment(question->store, question->run, take_piece, reading);
    store_each_owner(question->store, question->run, take_owner, reading);
    store_each_cell(question->store, question->run, take_cell, reading);
    store_each_diagnosis(question->store, question->run, take_diagnosis, reading);
    store_each_probe(question->store, question->run, -1, take_probe, reading);
    keep_last_attempts(reading);
    if (reading->owner_count)
        qsort(reading->owners, reading->owner_count, sizeof(*reading->owners),
              by_address_and_service);
    explain(reading);
    for (size_t i = 0; i < reading->attempt_count; i++) {
        share_attempt(reading, &reading->attempts[i]);
        count_reach(reading, &reading->attempts[i]);
    }
    compare(reading);
    if (question->control)
        store_each_cell(question->store, question->control, note_control, reading);
    listen(reading);
}

int gate_evidence_read(const struct gate_question *question, struct gate_evidence *ret_evidence)
{
    struct baseline_search *fleets = baseline_search_new(question->store);
    struct reading reading = {.question = question, .evidence = ret_evidence};
    struct store_run run = {0};
    int r = store_get_run(question->store, question->run, &run);

    *ret_evidence = (struct gate_evidence){.former = ""};
    reading.arena = &ret_evidence->arena;
    reading.fleet = r == 0 ? baseline_fleet(fleets, run.fleet) : NULL;
    if (reading.fleet) {
        reading.places =
            mem_array(reading.fleet->service_count * reading.fleet->column_count, sizeof(size_t));
        ret_evidence->is_incomplete = run.is_incomplete;
        read_all(&reading);
    } else {
        r = -ENOENT;
    }
    store_run_deinit(&run);
    baseline_search_free(fleets);
    mem_free(reading.places);
    mem_free(reading.sources);
    mem_free(reading.pieces);
    mem_free(reading.owners);
    mem_free(reading.attempts);
    return r;
}

void gate_evidence_deinit(struct gate_evidence *evidence)
{
    mem_free(evidence->cells);
    mem_free(evidence->diagnoses);
    arena_deinit(&evidence->arena);
}

/* ---- the last good run ---- */

struct last_good {
    struct store *store;
    const char *service;
    int64_t since_ms, found;
    bool is_there, is_well; /* in the run that is being read */
};

static void check_cell(void *ctx, const struct store_cell *stored)
{
    struct last_good *search = ctx;
    CLEANUP_JSON cJSON *object =
        json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);
    enum gate_before state = before_of(cell_state_from_name(json_string(object, "state", "")));

    if ((strcmp(json_string(object, "source", ""), search->service) != 0 &&
         strcmp(json_string(object, "target", ""), search->service) != 0) ||
        expectation_from_name(json_string(object, "expected", "")) == EXPECT_OBSERVE)
        return;
    search->is_there |= state == BEFORE_GOOD;
    search->is_well &= state != BEFORE_BAD;
}

static void look_for_good(void *ctx, const struct store_run *run)
{
    struct last_good *search = ctx;

    if (search->found || run->state != RUN_JUDGED || run->created_ms >= search->since_ms)
        return;
    search->is_there = false;
    search->is_well = true;
    store_each_cell(search->store, run->id, check_cell, search);
    if (search->is_there && search->is_well)
        search->found = run->id;
}

int64_t gate_last_good(struct store *store, const char *service, int64_t since_ms)
{
    struct last_good search = {.store = store, .service = service, .since_ms = since_ms};

    store_each_run(store, 0, BASELINE_RUNS_MAX, false, look_for_good, &search);
    return search.found;
}

struct revision_search {
    const char *service;
    char *text;
    size_t size;
    bool is_mixed;
};

static void take_revision(void *ctx, const struct store_source *source)
{
    struct revision_search *search = ctx;
    CLEANUP_JSON cJSON *facts = json_parse(source->facts, strlen(source->facts), 3, NULL);
    const char *revision = json_string(facts, "revision", "");

    if (strcmp(source->service, search->service) != 0)
        return;
    search->is_mixed |= *search->text && strcmp(search->text, revision) != 0;
    text_copy(search->text, search->size, revision);
}

void gate_revision_in(struct store *store, int64_t run, const char *service, char *text,
                      size_t size)
{
    struct revision_search search = {service, text, size, false};

    *text = '\0';
    store_each_source(store, run, take_revision, &search);
    if (search.is_mixed)
        *text = '\0';
}
