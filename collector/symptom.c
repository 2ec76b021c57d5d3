#include "collector/symptom.h"

#include "collector/rules.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* ---- texts as numbers ---- */

struct interned {
    const char *text;
    uint32_t number;
    UT_hash_handle hh;
};

struct interner {
    struct interned *entries;
    const char **texts;
    size_t count, capacity;
};

/* `text` has to outlive the symptoms. "" has no number. */
static uint32_t number_of(struct symptoms *symptoms, enum text_kind kind, const char *text)
{
    struct interner *interner = symptoms->texts[kind];
    struct interned *entry;

    if (!*text)
        return SYMPTOM_NONE;
    HASH_FIND_STR(interner->entries, text, entry);
    if (entry)
        return entry->number;
    entry = arena_alloc(&symptoms->arena, 1, sizeof(*entry));
    entry->text = text;
    entry->number = (uint32_t)interner->count;
    HASH_ADD_KEYPTR(hh, interner->entries, text, strlen(text), entry);
    mem_grow(&interner->texts, interner->count, &interner->capacity, sizeof(*interner->texts));
    interner->texts[interner->count++] = text;
    return entry->number;
}

size_t symptoms_count(const struct symptoms *symptoms, enum text_kind kind)
{
    return symptoms->texts[kind]->count;
}

const char *symptoms_text(const struct symptoms *symptoms, enum text_kind kind, uint32_t number)
{
    return number < symptoms->texts[kind]->count ? symptoms->texts[kind]->texts[number] : "?";
}

/* Names of tasks repeat over services. */
static uint32_t task_number(struct symptoms *symptoms, const char *service, const char *task)
{
    return number_of(symptoms, TEXT_TASK,
                     arena_printf(&symptoms->arena, "%s\x1f%s", service, task));
}

/* ---- where an attempt is ---- */

/* What an address stands for. */
struct spot {
    bool is_known;
    uint32_t task, zone, revision;
};

static const struct spot *spot_of(struct symptoms *symptoms, uint32_t address, size_t service)
{
    size_t count = symptoms->texts[TEXT_ADDRESS]->count;
    struct spot *spot;
    struct owner owner;

    if (count > symptoms->spot_capacity) {
        size_t capacity = symptoms->spot_capacity;
        symptoms->spot_capacity = count * 2 + 64;
        symptoms->spots =
            mem_resize(symptoms->spots, symptoms->spot_capacity, sizeof(*symptoms->spots));
        memset(symptoms->spots + capacity, 0,
               (symptoms->spot_capacity - capacity) * sizeof(*symptoms->spots));
    }
    spot = &symptoms->spots[address];
    if (spot->is_known)
        return spot;
    *spot = (struct spot){true, SYMPTOM_NONE, SYMPTOM_NONE, SYMPTOM_NONE};
    owner = ownership_find(symptoms->input->ownership, service,
                           symptoms_text(symptoms, TEXT_ADDRESS, address));
    if (owner.kind == OWNER_TASK) {
        spot->task = task_number(symptoms, owner.agent->service, owner.agent->task);
        if (symptoms->is_mixed[service])
            spot->revision = number_of(symptoms, TEXT_REVISION, owner.agent->revision);
    }
    if (owner.kind == OWNER_TASK || owner.kind == OWNER_SHARED)
        spot->zone = number_of(symptoms, TEXT_ZONE, owner.agent->zone);
    return spot;
}

static struct place place_of(struct symptoms *symptoms, const struct tries *tries)
{
    const struct tries_row *row = tries->example;
    struct place place = symptoms->sources[tries->source];
    const struct spot *spot;

    place.column = tries->column;
    place.to = (uint32_t)symptoms->input->fleet->columns[tries->column].service;
    place.port = row->port;
    place.address = number_of(symptoms, TEXT_ADDRESS, row->address);
    place.name = number_of(symptoms, TEXT_NAME, row->name);
    place.target_task = place.zone_to = place.revision = SYMPTOM_NONE;
    if (place.address == SYMPTOM_NONE)
        return place;
    spot = spot_of(symptoms, place.address, place.to);
    place.target_task = spot->task;
    place.zone_to = spot->zone;
    place.revision = spot->revision;
    return place;
}

/* Where all tasks are of one revision, that says nothing. */
static void find_revisions(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;
    const char **first = mem_array(input->fleet->service_count, sizeof(*first));

    symptoms->is_mixed = mem_array(input->fleet->service_count, sizeof(*symptoms->is_mixed));
    for (size_t i = 0; i < input->agent_count; i++) {
        size_t service = fleet_find_service(input->fleet, input->agents[i].service);
        if (service == SIZE_MAX || input->agents[i].state == OWNER_HAS_LEFT)
            continue;
        if (!first[service])
            first[service] = input->agents[i].revision;
        symptoms->is_mixed[service] |= strcmp(first[service], input->agents[i].revision) != 0;
    }
    mem_free(first);
}

static void find_source_places(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;

    symptoms->sources = mem_array(input->source_count, sizeof(*symptoms->sources));
    for (size_t i = 0; i < input->source_count; i++) {
        const struct diagnose_source *source = &input->sources[i];
        symptoms->sources[i] = (struct place){
            .source = (uint32_t)i,
            .from = (uint32_t)source->service,
            .source_task =
                task_number(symptoms, input->fleet->services[source->service].name, source->task),
            .zone_from = number_of(symptoms, TEXT_ZONE, source->zone),
            .resolver = number_of(symptoms, TEXT_RESOLVER, source->resolver),
        };
    }
}

/* ---- scopes ---- */

static bool both(uint32_t a, uint32_t b, uint64_t *ret_id)
{
    *ret_id = (uint64_t)a << 28 | b;
    return a != SYMPTOM_NONE && b != SYMPTOM_NONE;
}

static bool unordered(uint32_t a, uint32_t b, uint64_t *ret_id)
{
    return a < b ? both(a, b, ret_id) : both(b, a, ret_id);
}

static bool one(uint32_t a, uint64_t *ret_id)
{
    *ret_id = a;
    return a != SYMPTOM_NONE;
}

static bool endpoint_id(const struct place *place, uint64_t *ret_id)
{
    *ret_id = (uint64_t)place->address << 16 | place->port;
    return place->address != SYMPTOM_NONE;
}

static bool single_id(enum scope_kind kind, const struct place *place, size_t index, uint64_t *id)
{
    uint64_t zones;

    switch (kind) {
    case SCOPE_ONE:
        *id = index;
        return true;
    case SCOPE_TASKS:
        return both(place->source, place->address, id);
    case SCOPE_ENDPOINT:
        /* Of one service: what another one has at that address is another matter. */
        if (!endpoint_id(place, id))
            return false;
        *id |= (uint64_t)place->to << 44;
        return true;
    case SCOPE_TARGET:
        return one(place->address, id);
    case SCOPE_SOURCE:
        return one(place->source, id);
    case SCOPE_PAIR:
        return both(place->from, place->column, id);
    case SCOPE_HEARD:
        return both(place->resolver, place->name, id);
    case SCOPE_NAME:
        return one(place->name, id);
    case SCOPE_REVISION:
        return both(place->to, place->revision, id);
    case SCOPE_FROM_ZONE:
        return both(place->zone_from, place->column, id);
    case SCOPE_CHECK:
        return one(place->column, id);
    case SCOPE_SERVICE:
        return one(place->to, id);
    case SCOPE_ROW:
        return one(place->from, id);
    case SCOPE_SERVICES:
        return place->from != place->to && unordered(place->from, place->to, id);
    case SCOPE_ZONES_PORT:
        *id = (uint64_t)place->zone_from << 36 | (uint64_t)place->zone_to << 16 | place->port;
        return both(place->zone_from, place->zone_to, &zones) && place->zone_from != place->zone_to;
    case SCOPE_ZONES:
        return both(place->zone_from, place->zone_to, id) && place->zone_from != place->zone_to;
    case SCOPE_BETWEEN:
        return unordered(place->zone_from, place->zone_to, id) &&
               place->zone_from != place->zone_to;
    case SCOPE_RESOLVER:
        return one(place->resolver, id);
    case SCOPE_FROM_ENDPOINT:
        if (!endpoint_id(place, id))
            return false;
        *id |= (uint64_t)place->from << 44;
        return true;
    case SCOPE_SOURCE_CHECK:
        return both(place->source, place->column, id);
    default:
        return false;
    }
}

size_t scope_keys(enum scope_kind kind, const struct place *place, size_t index,
                  uint64_t ret_keys[SCOPE_KEYS_MAX])
{
    uint64_t id;
    size_t count = 0;

    switch (kind) {
    case SCOPE_TASK:
        if (place->source_task == place->target_task)
            return 0;
        if (place->source_task != SYMPTOM_NONE)
            ret_keys[count++] = HEALTH_KEY(kind, place->source_task);
        if (place->target_task != SYMPTOM_NONE)
            ret_keys[count++] = HEALTH_KEY(kind, place->target_task);
        return count;
    case SCOPE_ZONE:
        if (!both(place->zone_from, place->zone_to, &id) || place->zone_from == place->zone_to)
            return 0;
        ret_keys[count++] = HEALTH_KEY(kind, place->zone_from);
        ret_keys[count++] = HEALTH_KEY(kind, place->zone_to);
        return count;
    case SCOPE_FLOW:
        /* A connection needs packets both ways. */
        if (!both(place->zone_from, place->zone_to, &id) || place->zone_from == place->zone_to)
            return 0;
        ret_keys[count++] = HEALTH_KEY(kind, id);
        both(place->zone_to, place->zone_from, &id);
        ret_keys[count++] = HEALTH_KEY(kind, id);
        return count;
    default:
        if (!single_id(kind, place, index, &id))
            return 0;
        ret_keys[0] = HEALTH_KEY(kind, id);
        return 1;
    }
}

/* ---- health: what gets through, in the scopes where something does not ---- */

const struct health *symptoms_health(const struct symptoms *symptoms, uint64_t key)
{
    return health_find(&symptoms->health, key);
}

/* Those that a rule may want to know about, and those that are facts by themselves. What is seen of
 * a name may turn out to be another thing yet. */
static void find_wanted(uint32_t wanted[FACT_COUNT])
{
    uint32_t of_names = 0;

    for (enum fact what = FACT_NXDOMAIN; what <= FACT_DANGLING; what++)
        of_names |= rule_scopes(what);
    for (int what = 0; what < FACT_COUNT; what++)
        wanted[what] = 1U << SCOPE_ENDPOINT | 1U << SCOPE_FROM_ENDPOINT | 1U << SCOPE_SOURCE |
                       1U << SCOPE_SOURCE_CHECK | 1U << SCOPE_PAIR |
                       (what <= FACT_DANGLING ? of_names : rule_scopes((enum fact)what));
}

static void register_scopes(struct symptoms *symptoms)
{
    uint32_t wanted[FACT_COUNT];
    uint64_t keys[SCOPE_KEYS_MAX];

    find_wanted(wanted);
    for (size_t i = 0; i < symptoms->count; i++)
        for (int kind = SCOPE_TASKS; kind < SCOPE_ALL_COUNT; kind++) {
            const struct symptom *symptom = &symptoms->items[i];
            size_t count = wanted[symptom->what] >> kind & 1
                               ? scope_keys((enum scope_kind)kind, &symptom->place, i, keys)
                               : 0;
            for (size_t j = 0; j < count; j++)
                health_add(&symptoms->health, keys[j]);
        }
}

/* What the attempts prove to be well: up to which layer they got; -1: nothing. */
static int reached_layer(const struct tries *tries)
{
    int reached = -1;

    if (tries->verdict == TRIES_PASSED)
        return LAYER_CHECK;
    if (tries->verdict != TRIES_FAILED)
        return -1;
    for (size_t i = 0; i < tries->count; i++) {
        const struct tries_row *row = tries->rows[i];
        int layer = !*row->address               ? -1
                    : row->outcome == OUTCOME_OK ? LAYER_CHECK
                    : row->phase > PHASE_CONNECT ? LAYER_CONNECT
                                                 : LAYER_NAME;
        reached = layer > reached ? layer : reached;
    }
    /* Of what failed no attempt is proof that the check works. */
    return reached > LAYER_CONNECT ? LAYER_CONNECT : reached;
}

/* An address that was given proves nothing of the name. */
static int first_layer(const struct tries *tries)
{
    for (size_t i = 0; i < tries->count; i++)
        if (!tries->rows[i]->is_given)
            return LAYER_NAME;
    return LAYER_CONNECT;
}

static void count_tries(struct symptoms *symptoms, const struct tries *tries)
{
    int reached = reached_layer(tries), first = first_layer(tries);
    struct place place;
    uint64_t keys[SCOPE_KEYS_MAX];

    if (reached < 0)
        return;
    place = place_of(symptoms, tries);
    for (int kind = SCOPE_TASKS; kind < SCOPE_ALL_COUNT; kind++) {
        size_t count = scope_keys((enum scope_kind)kind, &place, 0, keys);
        for (size_t i = 0; i < count; i++) {
            struct health *health = health_recall(&symptoms->health, keys[i]);
            for (int layer = first; health && layer <= reached; layer++)
                health->ok[layer]++;
            if (health && tries->verdict == TRIES_PASSED && !health->example)
                health->example = tries;
        }
    }
}

/* ---- which attempts are symptoms ---- */

static bool has_connected(const struct tries *tries)
{
    for (size_t i = 0; i < tries->count; i++) {
        const struct tries_row *row = tries->rows[i];
        if (!row->is_reused && (row->outcome == OUTCOME_OK || row->phase > PHASE_CONNECT))
            return true;
    }
    return false;
}

static bool is_symptom(const struct symptoms *symptoms, const struct tries *tries)
{
    const struct diagnose_input *input = symptoms->input;
    const struct matrix_cell *cell =
        matrix_at(input->matrix, input->sources[tries->source].service, tries->column);

    if (cell->state == CELL_LEAK)
        return has_connected(tries);
    return (cell->state == CELL_FAIL || cell->state == CELL_PARTIAL) &&
           tries->verdict == TRIES_FAILED;
}

static enum layer layer_of(const struct tries_row *row)
{
    if (!*row->address)
        return LAYER_NAME;
    return row->phase <= PHASE_CONNECT && row->outcome != OUTCOME_SPARED ? LAYER_CONNECT
                                                                         : LAYER_CHECK;
}

static void find_symptoms(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;

    for (size_t i = 0; i < input->set->count; i++) {
        const struct tries *tries = &input->set->tries[i];
        struct symptom *symptom;
        if (!is_symptom(symptoms, tries))
            continue;
        mem_grow(&symptoms->items, symptoms->count, &symptoms->capacity, sizeof(*symptoms->items));
        symptom = &symptoms->items[symptoms->count++];
        *symptom = (struct symptom){
            .tries = tries,
            .row = tries->example,
            .place = place_of(symptoms, tries),
            .layer = layer_of(tries->example),
            .expected =
                matrix_at(input->matrix, input->sources[tries->source].service, tries->column)
                    ->expected,
        };
        if (symptom->layer == LAYER_NAME)
            symptom->place.resolver =
                number_of(symptoms, TEXT_RESOLVER, symptoms_resolver(symptoms, tries));
    }
}

/* ---- a source's answers ---- */

struct ranked {
    uint32_t rank;
    const struct answer_row *row;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* By source, and within it by name. */
static void sort_answers(struct symptoms *symptoms)
{
    const struct answers *answers = symptoms->input->answers;
    size_t sources = symptoms->input->source_count;
    struct ranked *ranked = mem_array(answers->row_count, sizeof(*ranked));
    size_t *next;

    symptoms->answers_of = mem_array(sources + 1, sizeof(*symptoms->answers_of));
    symptoms->answer_rows = mem_array(answers->row_count, sizeof(struct answer_row *));
    for (size_t i = 0; i < answers->row_count; i++)
        symptoms->answers_of[answers->rows[i].source + 1]++;
    for (size_t i = 0; i < sources; i++)
        symptoms->answers_of[i + 1] += symptoms->answers_of[i];
    next = mem_dup(symptoms->answers_of, (sources + 1) * sizeof(*next));
    for (size_t i = 0; i < answers->row_count; i++)
        ranked[next[answers->rows[i].source]++] =
            (struct ranked){symptoms->index.rank[answers->rows[i].answer], &answers->rows[i]};
    for (size_t i = 0; i < sources; i++)
        qsort(ranked + symptoms->answers_of[i],
              symptoms->answers_of[i + 1] - symptoms->answers_of[i], sizeof(*ranked), by_rank);
    for (size_t i = 0; i < answers->row_count; i++)
        symptoms->answer_rows[i] = ranked[i].row;
    mem_free(next);
    mem_free(ranked);
}

/* The first of a source's rows whose answer is not before `rank`. */
static size_t first_at(const struct symptoms *symptoms, uint32_t source, size_t rank)
{
    size_t low = symptoms->answers_of[source], high = symptoms->answers_of[source + 1];

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symptoms->index.rank[symptoms->answer_rows[middle]->answer] < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct answer_row *const *symptoms_heard(const struct symptoms *symptoms, uint32_t source,
                                               const char *name, size_t *ret_count)
{
    size_t count, first, rank;
    const uint32_t *found = answers_find(&symptoms->index, name, &count);

    rank = (size_t)(found - symptoms->index.order);
    first = first_at(symptoms, source, rank);
    *ret_count = first_at(symptoms, source, rank + count) - first;
    return (const struct answer_row *const *)symptoms->answer_rows + first;
}

const char *symptoms_resolver(const struct symptoms *symptoms, const struct tries *tries)
{
    const char *resolver = symptoms->input->sources[tries->source].resolver;
    size_t count;
    const struct answer_row *const *rows =
        symptoms_heard(symptoms, tries->source, tries->example->name, &count);

    for (size_t i = 0; i < count; i++) {
        const struct answer *answer = &symptoms->input->answers->answers[rows[i]->answer];
        if (!answer_is_from_hosts(answer) && *answer->resolver)
            resolver = answer->resolver;
    }
    return resolver;
}

/* ---- the whole ---- */

void symptoms_init(struct symptoms *symptoms, const struct diagnose_input *input)
{
    *symptoms = (struct symptoms){.input = input, .median_age_s = -1};
    for (int i = 0; i < TEXT_COUNT; i++)
        symptoms->texts[i] = mem_alloc(sizeof(*symptoms->texts[i]));
    answers_index_init(&symptoms->index, input->answers);
    sort_answers(symptoms);
    find_revisions(symptoms);
    find_source_places(symptoms);
    find_symptoms(symptoms);
    if (!symptoms->count)
        return;
    symptoms_find_sources(symptoms);
    symptoms_see(symptoms);
    register_scopes(symptoms);
    for (size_t i = 0; i < input->set->count; i++)
        count_tries(symptoms, &input->set->tries[i]);
    symptoms_find_facts(symptoms);
}

void symptoms_deinit(struct symptoms *symptoms)
{
    for (int i = 0; i < TEXT_COUNT; i++) {
        HASH_CLEAR(hh, symptoms->texts[i]->entries);
        mem_free(symptoms->texts[i]->texts);
        mem_free(symptoms->texts[i]);
    }
    mem_free(symptoms->items);
    health_deinit(&symptoms->health);
    answers_index_deinit(&symptoms->index);
    mem_free(symptoms->sources);
    mem_free(symptoms->agent_of);
    mem_free(symptoms->ecs_of);
    mem_free(symptoms->cloud_spots);
    mem_free(symptoms->spots);
    mem_free(symptoms->answers_of);
    mem_free(symptoms->answer_rows);
    mem_free(symptoms->beside);
    mem_free(symptoms->hearings);
    mem_free(symptoms->is_mixed);
    mem_free(symptoms->is_live);
    mem_free(symptoms->dependency);
    mem_free(symptoms->has_no_route);
    arena_deinit(&symptoms->arena);
}
