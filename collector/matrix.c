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

/* What the rows of one cell add up to, while they are read. */
struct tally {
    uint32_t passed, failed, ours, self, skipped, proxied;
    uint32_t departed;                      /* sources that left without a row here */
    uint32_t leaks, closed, open_questions; /* under deny */
};

struct builder {
    const struct matrix_input *input;
    struct matrix *matrix;
    struct tally *tallies;
    const struct matrix_row **order; /* the rows by endpoint, for has_listener() */
    bool *listens;                   /* per row of `order`: somebody connected to its endpoint */
};

const char *cell_state_name(enum cell_state state)
{
    return state_names[state];
}

const char *verdict_name(enum verdict verdict)
{
    return verdict == VERDICT_PASS ? "pass" : verdict == VERDICT_FAIL ? "fail" : "inconclusive";
}

static size_t cell_index(const struct builder *builder, const struct matrix_row *row)
{
    return builder->input->sources[row->source].service * builder->matrix->columns + row->column;
}

/* ---- who listens: the endpoint took a connection from anybody in this run ---- */

static int by_endpoint(const void *a, const void *b)
{
    const struct matrix_row *x = *(const struct matrix_row *const *)a;
    const struct matrix_row *y = *(const struct matrix_row *const *)b;
    int order = strcmp(x->address, y->address);

    return order ? order : (int)x->port - (int)y->port;
}

/* A total order, but for rows that are alike in all that matters: the matrix does not depend on the
 * order of its rows. */
static int by_endpoint_and_failure(const void *a, const void *b)
{
    const struct matrix_row *x = *(const struct matrix_row *const *)a;
    const struct matrix_row *y = *(const struct matrix_row *const *)b;
    int order = by_endpoint(a, b);

    if (!order)
        order = (int)x->outcome - (int)y->outcome;
    if (!order)
        order = (int)x->phase - (int)y->phase;
    if (!order)
        order = (int)x->error - (int)y->error;
    return order ? order : (int)x->status - (int)y->status;
}

/* The task's own Service Connect proxy (127.255.0.0/16): it takes every connection, whatever
 * becomes of the one behind it. */
static bool is_proxy(const struct matrix_row *row)
{
    return strncmp(row->address, "127.255.", 8) == 0;
}

/* The TCP handshake was completed: whatever came later, a SYN-ACK came back. */
static bool has_connected(const struct matrix_row *row)
{
    if (is_proxy(row))
        return row->outcome == OUTCOME_OK;
    return row->outcome == OUTCOME_OK ||
           (row->phase > PHASE_CONNECT &&
            outcome_class((enum proto_outcome)row->outcome) == OUTCOME_IS_FAILURE);
}

static void find_listeners(struct builder *builder)
{
    const struct matrix_input *input = builder->input;

    for (size_t i = 0; i < input->row_count; i++)
        builder->order[i] = &input->rows[i];
    qsort(builder->order, input->row_count, sizeof(*builder->order), by_endpoint_and_failure);
    for (size_t start = 0, end; start < input->row_count; start = end) {
        bool listens = false;
        for (end = start; end < input->row_count &&
                          by_endpoint(&builder->order[start], &builder->order[end]) == 0;
             end++)
            listens |= builder->order[end]->address[0] && has_connected(builder->order[end]);
        for (size_t i = start; i < end; i++)
            builder->listens[i] = listens;
    }
}

/* ---- rows into tallies ---- */

static bool is_same_failure(const struct matrix_row *a, const struct matrix_row *b)
{
    return a->phase == b->phase && a->outcome == b->outcome && a->error == b->error &&
           a->status == b->status && a->port == b->port && strcmp(a->address, b->address) == 0;
}

static void observe(struct matrix *matrix, struct matrix_cell *cell, const struct matrix_row *row)
{
    /* Most cells have nothing to show: a large matrix stays small. */
    if (!cell->observed)
        cell->observed = arena_alloc(&matrix->arena, MATRIX_OBSERVED_MAX, sizeof(*cell->observed));
    for (size_t i = 0; i < cell->observed_count; i++)
        if (is_same_failure(cell->observed[i].example, row)) {
            cell->observed[i].count++;
            return;
        }
    if (cell->observed_count < MATRIX_OBSERVED_MAX)
        cell->observed[cell->observed_count++] = (struct matrix_observed){row, 1};
}

/* Under deny a refusal counts as closed only where the endpoint is known to listen: then it was a
 * firewall's. Else it may be the target kernel's own RST, which would mean that the path is open.
 */
static void tally_denied(struct tally *tally, const struct matrix_row *row, bool listens)
{
    if (has_connected(row))
        tally->leaks++;
    else if (row->phase == PHASE_CONNECT && listens && !is_proxy(row))
        tally->closed++;
    else
        tally->open_questions++;
}

static void tally_row(struct builder *builder, const struct matrix_row *row, bool listens)
{
    size_t index = cell_index(builder, row);
    struct tally *tally = &builder->tallies[index];
    struct matrix_cell *cell = &builder->matrix->cells[index];
    enum outcome_class class = outcome_class((enum proto_outcome)row->outcome);

    switch (class) {
    case OUTCOME_IS_PASS:
        tally->passed++;
        break;
    case OUTCOME_IS_FAILURE:
        tally->failed++;
        break;
    case OUTCOME_IS_OURS:
        tally->ours++;
        break;
    case OUTCOME_IS_NEUTRAL:
        tally->self += row->outcome == OUTCOME_SELF;
        tally->skipped += row->outcome == OUTCOME_SKIPPED;
        tally->proxied += row->outcome == OUTCOME_PROXY;
        return;
    }
    if (class != OUTCOME_IS_OURS)
        tally_denied(tally, row, listens);
    if (class != OUTCOME_IS_PASS || cell->expected == EXPECT_DENY)
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
    return tally->proxied ? CELL_UNPROVEN : CELL_OK;
}

static int by_count(const void *a, const void *b)
{
    const struct matrix_observed *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return by_endpoint_and_failure(&x->example, &y->example);
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

/* ---- cells into the verdict: DESIGN's exit status ---- */

static enum verdict decide(const struct matrix *matrix)
{
    bool has_failed = false, is_unsure = matrix->is_incomplete, has_proof = false;

    for (size_t i = 0; i < matrix->rows * matrix->columns; i++) {
        const struct matrix_cell *cell = &matrix->cells[i];
        bool is_expected = cell->expected != EXPECT_OBSERVE;
        switch (cell->state) {
        case CELL_FAIL:
        case CELL_PARTIAL:
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

struct matrix *matrix_build(const struct matrix_input *input)
{
    struct matrix *matrix = mem_alloc(sizeof(*matrix));
    size_t rows = input->fleet->service_count, columns = input->fleet->column_count;
    struct builder builder = {
        .input = input,
        .matrix = matrix,
        .tallies = mem_array(rows * columns, sizeof(struct tally)),
        .order = mem_array(input->row_count, sizeof(*builder.order)),
        .listens = mem_array(input->row_count, sizeof(bool)),
    };

    matrix->rows = rows;
    matrix->columns = columns;
    matrix->cells = mem_array(rows * columns, sizeof(*matrix->cells));
    for (size_t s = 0; s < rows; s++)
        for (size_t c = 0; c < columns; c++)
            matrix->cells[s * columns + c].expected = fleet_expected(input->fleet, s, c);
    find_listeners(&builder);
    for (size_t i = 0; i < input->row_count; i++)
        tally_row(&builder, builder.order[i], builder.listens[i]);
    count_silent(&builder);
    for (size_t s = 0; s < rows; s++)
        for (size_t c = 0; c < columns; c++)
            finish_cell(&builder, s, c);
    matrix->verdict = decide(matrix);
    mem_free(builder.tallies);
    mem_free(builder.order);
    mem_free(builder.listens);
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
