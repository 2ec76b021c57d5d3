#include "collector/matrix.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
    [CELL_ABSENT] = "absent",
    [CELL_OK] = "ok",
    [CELL_PARTIAL] = "partial",
    [CELL_FAIL] = "fail",
    [CELL_DENIED] = "denied",
    [CELL_LEAK] = "leak",
    [CELL_UNPROVEN] = "unproven",
    [CELL_NO_DATA] = "no-data",
    [CELL_PROBE_ERROR] = "probe-error",
    [CELL_NOT_PROBED] = "not-probed",
    [CELL_GONE] = "gone",
    [CELL_SKIPPED] = "skipped",
    [CELL_NA] = "n/a",
};

/* What the tries of one cell add up to, while they are read. */
struct tally {
    uint32_t passed, failed, ours, self, skipped, proxied, gone;
    uint32_t departed;                      /* sources that left without a row here */
    uint32_t leaks, closed, open_questions; /* under deny */
};

/* What is known of one endpoint. */
struct endpoint {
    const char *address;
    uint16_t port;
    bool listens;      /* somebody connected to it, or its own task saw the listener */
    bool is_witnessed; /* its own task looked ... */
    bool has_listener; /* ... and this is what it saw */
    bool has_reset;
};

struct builder {
    const struct matrix_input *input;
    struct matrix *matrix;
    struct tries_set set;
    struct tally *tallies;
    struct endpoint *endpoints; /* by address and port */
    size_t endpoint_count;
};

const char *cell_state_name(enum cell_state state)
{
    return state_names[state];
}

enum cell_state cell_state_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
        if (strcmp(state_names[i], name) == 0)
            return (enum cell_state)i;
    return CELL_ABSENT;
}

bool cell_state_is_good(enum cell_state state)
{
    return state == CELL_OK || state == CELL_DENIED;
}

bool cell_state_is_bad(enum cell_state state)
{
    return state == CELL_FAIL || state == CELL_PARTIAL || state == CELL_LEAK;
}

const char *verdict_name(enum verdict verdict)
{
    return verdict == VERDICT_PASS ? "pass" : verdict == VERDICT_FAIL ? "fail" : "inconclusive";
}

static size_t cell_index(const struct builder *builder, const struct tries *tries)
{
    return builder->input->sources[tries->source].service * builder->matrix->columns +
           tries->column;
}

/* ---- who listens: the endpoint took a connection from anybody in this run, or its own agent saw
 * the listener ---- */

static int by_endpoint(const void *a, const void *b)
{
    const struct endpoint *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order ? order : (int)x->port - (int)y->port;
}

/* The task's own Service Connect proxy (127.255.0.0/16): it takes every connection, whatever
 * becomes of the one behind it. */
static bool is_proxy(const struct tries_row *row)
{
    return strncmp(row->address, "127.255.", 8) == 0;
}

/* The TCP handshake was completed: whatever came later, a SYN-ACK came back. */
static bool has_connected(const struct tries_row *row)
{
    if (is_proxy(row))
        return row->outcome == OUTCOME_OK;
    return row->outcome == OUTCOME_OK || row->late == OUTCOME_OK ||
           (row->phase > PHASE_CONNECT &&
            outcome_class((enum proto_outcome)row->outcome) == OUTCOME_IS_FAILURE);
}

/* Takes together what stands side by side. */
static void merge_endpoints(struct builder *builder, size_t count)
{
    struct endpoint *endpoints = builder->endpoints;

    qsort(endpoints, count, sizeof(*endpoints), by_endpoint);
    for (size_t i = 0; i < count; i++) {
        struct endpoint *last =
            builder->endpoint_count ? &endpoints[builder->endpoint_count - 1] : NULL;
        if (!last || by_endpoint(last, &endpoints[i]) != 0) {
            endpoints[builder->endpoint_count++] = endpoints[i];
            continue;
        }
        last->listens |= endpoints[i].listens;
        last->is_witnessed |= endpoints[i].is_witnessed;
        last->has_listener |= endpoints[i].has_listener;
        last->has_reset |= endpoints[i].has_reset;
    }
}

static void find_listeners(struct builder *builder)
{
    const struct matrix_input *input = builder->input;
    size_t count = 0;

    builder->endpoints =
        mem_array(input->row_count + input->witness_count, sizeof(*builder->endpoints));
    for (size_t i = 0; i < input->row_count; i++)
        if (*input->rows[i].address)
            builder->endpoints[count++] =
                (struct endpoint){.address = input->rows[i].address,
                                  .port = input->rows[i].port,
                                  .listens = has_connected(&input->rows[i])};
    for (size_t i = 0; i < input->witness_count; i++) {
        const struct matrix_witness *witness = &input->witnesses[i];
        builder->endpoints[count++] = (struct endpoint){.address = witness->address,
                                                        .port = witness->port,
                                                        .listens = witness->is_listening,
                                                        .is_witnessed = true,
                                                        .has_listener = witness->is_listening,
                                                        .has_reset = witness->has_reset};
    }
    merge_endpoints(builder, count);
}

static const struct endpoint *endpoint_of(const struct builder *builder,
                                          const struct tries_row *row)
{
    struct endpoint wanted = {.address = row->address, .port = row->port};

    return bsearch(&wanted, builder->endpoints, builder->endpoint_count,
                   sizeof(*builder->endpoints), by_endpoint);
}

/* ---- tries into tallies ---- */

/* Two failures of one kind, wherever they were seen from. */
static int by_failure(const struct tries_row *x, const struct tries_row *y)
{
    int order = strcmp(x->address, y->address);

    if (!order)
        order = (int)x->port - (int)y->port;
    if (!order)
        order = (int)x->outcome - (int)y->outcome;
    if (!order)
        order = (int)x->phase - (int)y->phase;
    if (!order)
        order = (int)x->error - (int)y->error;
    return order ? order : (int)x->status - (int)y->status;
}

static void observe(struct matrix *matrix, struct matrix_cell *cell, const struct tries_row *row)
{
    /* Most cells have nothing to show: a large matrix stays small. */
    if (!cell->observed)
        cell->observed = arena_alloc(&matrix->arena, MATRIX_OBSERVED_MAX, sizeof(*cell->observed));
    for (size_t i = 0; i < cell->observed_count; i++)
        if (by_failure(cell->observed[i].example, row) == 0) {
            cell->observed[i].count++;
            return;
        }
    if (cell->observed_count < MATRIX_OBSERVED_MAX)
        cell->observed[cell->observed_count++] = (struct matrix_observed){row, 1};
}

/* Another service's address says nothing of the path to this one. */
static bool has_leaked(const struct tries *tries)
{
    for (size_t i = 0; i < tries->count; i++)
        if (has_connected(tries->rows[i]) && !tries->rows[i]->is_reused)
            return true;
    return false;
}

/* A refusal is the target kernel's own RST, and the path is open, where nobody listens and the task
 * sent RSTs; it is a firewall's where somebody does listen and it sent none. */
static void tally_refused(struct tally *tally, const struct endpoint *endpoint)
{
    if (endpoint->is_witnessed && !endpoint->has_listener && endpoint->has_reset)
        tally->leaks++;
    else if (endpoint->listens && !(endpoint->is_witnessed && endpoint->has_reset))
        tally->closed++;
    else
        tally->open_questions++;
}

static void tally_denied(const struct builder *builder, struct tally *tally,
                         const struct tries *tries)
{
    const struct tries_row *row = tries->example;
    const struct endpoint *endpoint = endpoint_of(builder, row);
    bool is_at_connect = row->phase == PHASE_CONNECT && !is_proxy(row) && endpoint;

    if (has_leaked(tries))
        tally->leaks++;
    else if (is_at_connect && row->outcome == OUTCOME_REFUSED)
        tally_refused(tally, endpoint);
    else if (is_at_connect && endpoint->listens)
        tally->closed++;
    else
        tally->open_questions++;
}

static void tally_tries(struct builder *builder, const struct tries *tries)
{
    size_t index = cell_index(builder, tries);
    struct tally *tally = &builder->tallies[index];
    struct matrix_cell *cell = &builder->matrix->cells[index];
    const struct tries_row *row = tries->example;

    cell->tries += (uint32_t)tries->passed + tries->failed;
    cell->tries_failed += tries->failed;
    cell->lossy += tries->lossy;
    cell->retransmits += tries->retransmits;
    switch (tries->verdict) {
    case TRIES_PASSED:
        tally->passed++;
        break;
    case TRIES_FAILED:
        tally->failed++;
        cell->unconfirmed += !tries->is_confirmed;
        break;
    case TRIES_OURS:
        tally->ours++;
        observe(builder->matrix, cell, row);
        return;
    case TRIES_NEUTRAL:
        tally->self += row->outcome == OUTCOME_SELF;
        tally->skipped += row->outcome == OUTCOME_SKIPPED;
        tally->proxied += row->outcome == OUTCOME_PROXY;
        return;
    case TRIES_SPARED:
        cell->spared++;
        observe(builder->matrix, cell, row);
        return;
    case TRIES_GONE:
        tally->gone++;
        return;
    }
    tally_denied(builder, tally, tries);
    if (tries->verdict == TRIES_FAILED || cell->expected == EXPECT_DENY)
        observe(builder->matrix, cell, row);
}

/* Which sources gave no row at all for a cell they were to fill. */
static void count_silent(struct builder *builder)
{
    const struct matrix_input *input = builder->input;
    struct matrix *matrix = builder->matrix;
    bool *seen = mem_array(input->source_count * matrix->columns, sizeof(*seen));

    for (size_t i = 0; i < input->row_count; i++)
        seen[input->rows[i].source * matrix->columns + input->rows[i].column] = true;
    for (size_t s = 0; s < input->source_count; s++) {
        const struct matrix_source *source = &input->sources[s];
        for (size_t c = 0; c < matrix->columns; c++) {
            size_t index = source->service * matrix->columns + c;
            if (!input->scope[index])
                continue;
            matrix->cells[index].sources++;
            if (seen[s * matrix->columns + c])
                continue;
            if (source->has_departed)
                builder->tallies[index].departed++;
            else
                matrix->cells[index].silent++;
        }
        matrix->is_incomplete |= !source->is_done && !source->has_departed;
    }
    mem_free(seen);
}

/* ---- tallies into states ---- */

static enum cell_state state_without_attempts(const struct tally *tally,
                                              const struct matrix_cell *cell)
{
    if (tally->ours)
        return CELL_PROBE_ERROR;
    /* Only its own address resolved, though it has siblings; or only its own proxy answered. */
    if (tally->self || tally->proxied)
        return CELL_UNPROVEN;
    /* Left alone, since it took connections and never answered; not seen in this run. */
    if (cell->spared)
        return CELL_UNPROVEN;
    if (tally->gone)
        return CELL_GONE;
    if (tally->skipped)
        return CELL_SKIPPED;
    if (cell->sources && tally->departed == cell->sources)
        return CELL_GONE;
    return CELL_NO_DATA;
}

static enum cell_state state_when_denied(const struct tally *tally)
{
    if (tally->leaks)
        return CELL_LEAK;
    if (tally->ours)
        return CELL_PROBE_ERROR;
    return tally->open_questions || tally->proxied ? CELL_UNPROVEN : CELL_DENIED;
}

static enum cell_state judge(const struct tally *tally, const struct matrix_cell *cell)
{
    if (tally->passed + tally->failed == 0)
        return state_without_attempts(tally, cell);
    if (cell->expected == EXPECT_DENY)
        return state_when_denied(tally);
    if (tally->failed)
        return tally->passed ? CELL_PARTIAL : CELL_FAIL;
    if (tally->ours)
        return CELL_PROBE_ERROR;
    return tally->proxied || cell->spared ? CELL_UNPROVEN : CELL_OK;
}

static int by_count(const void *a, const void *b)
{
    const struct matrix_observed *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return by_failure(x->example, y->example);
}

static void finish_cell(struct builder *builder, size_t service, size_t column)
{
    const struct matrix_input *input = builder->input;
    size_t index = service * builder->matrix->columns + column;
    struct matrix_cell *cell = &builder->matrix->cells[index];
    const struct tally *tally = &builder->tallies[index];

    cell->probes = tally->passed + tally->failed;
    cell->failed = tally->failed;
    cell->ours = tally->ours;
    if (cell->observed)
        qsort(cell->observed, cell->observed_count, sizeof(*cell->observed), by_count);
    if (!input->fleet->services[service].has_agents)
        cell->state = CELL_ABSENT;
    else if (!input->scope[index])
        cell->state = CELL_NOT_PROBED;
    else if (service == input->fleet->columns[column].service && input->live_tasks[service] == 1)
        cell->state = CELL_NA;
    else
        cell->state = judge(tally, cell);
}

/* ---- cells into the verdict, which is the exit status ---- */

/* All its failures were seen once only: it may have been chance. */
static bool is_unconfirmed(const struct matrix_cell *cell)
{
    return (cell->state == CELL_FAIL || cell->state == CELL_PARTIAL) &&
           cell->failed == cell->unconfirmed && cell->expected != EXPECT_OBSERVE;
}

static enum verdict decide(const struct matrix *matrix, bool is_provisional)
{
    bool has_failed = false, is_unsure = matrix->is_incomplete, has_proof = false;

    for (size_t i = 0; i < matrix->rows * matrix->columns; i++) {
        const struct matrix_cell *cell = &matrix->cells[i];
        bool is_expected = cell->expected != EXPECT_OBSERVE;
        switch (cell->state) {
        case CELL_FAIL:
        case CELL_PARTIAL:
            has_proof = true;
            if (is_provisional || cell->failed > cell->unconfirmed)
                has_failed |= is_expected;
            else
                is_unsure |= is_expected;
            break;
        case CELL_LEAK:
            has_failed |= is_expected;
            has_proof = true;
            break;
        case CELL_NO_DATA:
        case CELL_PROBE_ERROR:
        case CELL_UNPROVEN:
            is_unsure |= is_expected;
            break;
        case CELL_OK:
        case CELL_DENIED:
            has_proof = true;
            break;
        default:
            break;
        }
    }
    if (has_failed)
        return VERDICT_FAIL;
    /* A run that showed nothing at all is not green. */
    return is_unsure || !has_proof ? VERDICT_INCONCLUSIVE : VERDICT_PASS;
}

static struct tries_set gather(const struct matrix_input *input)
{
    struct tries_source *sources = mem_array(input->source_count, sizeof(*sources));
    struct tries_set set;

    for (size_t i = 0; i < input->source_count; i++)
        sources[i] = (struct tries_source){.service = input->sources[i].service,
                                           .has_left = input->sources[i].has_departed};
    set = tries_gather(input->rows, input->row_count, sources);
    mem_free(sources);
    return set;
}

struct matrix *matrix_build(const struct matrix_input *input)
{
    struct matrix *matrix = mem_alloc(sizeof(*matrix));
    size_t rows = input->fleet->service_count, columns = input->fleet->column_count;
    struct builder builder = {
        .input = input,
        .matrix = matrix,
        .set = gather(input),
        .tallies = mem_array(rows * columns, sizeof(struct tally)),
    };

    matrix->rows = rows;
    matrix->columns = columns;
    matrix->cells = mem_array(rows * columns, sizeof(*matrix->cells));
    for (size_t s = 0; s < rows; s++)
        for (size_t c = 0; c < columns; c++)
            matrix->cells[s * columns + c].expected = fleet_expected(input->fleet, s, c);
    find_listeners(&builder);
    for (size_t i = 0; i < builder.set.count; i++)
        tally_tries(&builder, &builder.set.tries[i]);
    count_silent(&builder);
    for (size_t s = 0; s < rows; s++)
        for (size_t c = 0; c < columns; c++) {
            finish_cell(&builder, s, c);
            matrix->is_incomplete |=
                !input->is_provisional && is_unconfirmed(matrix_at(matrix, s, c));
        }
    matrix->verdict = decide(matrix, input->is_provisional);
    mem_free(builder.tallies);
    mem_free(builder.endpoints);
    tries_deinit(&builder.set);
    return matrix;
}

struct matrix *matrix_free(struct matrix *matrix)
{
    if (matrix) {
        arena_deinit(&matrix->arena);
        mem_free(matrix->cells);
    }
    mem_free(matrix);
    return NULL;
}

const struct matrix_cell *matrix_at(const struct matrix *matrix, size_t service, size_t column)
{
    return &matrix->cells[service * matrix->columns + column];
}
