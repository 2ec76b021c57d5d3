/* What canreach itself owes: agents that are missing, late, at their limits or too old. Never
 * blamed on the network. */
#include "collector/finding.h"

#include "common/mem.h"

#include <string.h>

static const char *part_cause(enum diagnose_part part)
{
    return part == PART_MISSING ? "probe.agent-lost"
           : part == PART_LATE  ? "probe.agent-late"
                                : "probe.dropped";
}

static void add_row_cells(struct finding *finding, size_t service, enum cell_state state)
{
    const struct matrix *matrix = finding->symptoms->input->matrix;

    for (size_t c = 0; c < matrix->columns; c++)
        if (matrix_at(matrix, service, c)->state == state)
            finding_add_cell(finding, service, c, matrix->columns);
}

/* One a service: the tasks that are to blame are named. */
static void find_unfinished(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                            size_t service, enum diagnose_part part)
{
    const struct diagnose_input *input = symptoms->input;
    struct finding finding;
    CLEANUP_BUF struct buf tasks = BUF_INIT(4096);
    size_t count = 0;

    for (size_t i = 0; i < input->source_count; i++) {
        if (input->sources[i].service != service || input->sources[i].part != part)
            continue;
        if (!count++)
            finding_init(&finding, symptoms, diagnoses, service, 0);
        if (count == 1)
            finding.symptom.place.source = (uint32_t)i;
        buf_printf(&tasks, "%s%s", count > 1 ? ", " : "", input->sources[i].task);
    }
    if (!count)
        return;
    finding.phrase.scope = SCOPE_SOURCE;
    finding_say(&finding, part_cause(part), SEVERITY_FAILURE, 0.95, buf_text(&tasks));
    if (count > 1)
        finding.diagnosis->summary = arena_printf(
            &diagnoses->arena, "%zu agents of %s: %s", count, input->fleet->services[service].name,
            part == PART_MISSING ? "gone, or cut off from the collector"
            : part == PART_LATE  ? "did not finish in time"
                                 : "lost results");
    finding_prove(&finding, "fleet", buf_text(&tasks), "the collector");
    add_row_cells(&finding, service, CELL_NO_DATA);
}

static void find_no_agents(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                           size_t service)
{
    const struct diagnose_input *input = symptoms->input;
    struct finding finding;
    bool is_wanted = false;

    for (size_t i = 0; i < input->source_count; i++)
        if (input->sources[i].service == service)
            return;
    for (size_t c = 0; c < input->matrix->columns; c++) {
        const struct matrix_cell *cell = matrix_at(input->matrix, service, c);
        is_wanted |= cell->state == CELL_NO_DATA && cell->expected != EXPECT_OBSERVE;
    }
    if (!is_wanted)
        return;
    finding_init(&finding, symptoms, diagnoses, service, 0);
    finding.phrase.scope = SCOPE_ROW;
    finding_say(&finding, "probe.no-agent", SEVERITY_FAILURE, 0.95,
                input->fleet->services[service].name);
    finding_prove(&finding, "fleet", "no agent of it said hello", "the collector");
    add_row_cells(&finding, service, CELL_NO_DATA);
}

enum own_fault { OWN_NOT_ALLOWED, OWN_OVER_BUDGET, OWN_LOCAL_ERROR, OWN_AGENT_OLD, OWN_COUNT };

static const char *const own_causes[OWN_COUNT] = {"probe.not-allowed", "probe.over-budget",
                                                  "probe.local-error", "probe.agent-old"};

static enum own_fault own_fault_of(const struct tries_row *row)
{
    switch ((enum proto_outcome)row->outcome) {
    case OUTCOME_NOT_ALLOWED:
        return OWN_NOT_ALLOWED;
    case OUTCOME_OVER_BUDGET:
        return OWN_OVER_BUDGET;
    case OUTCOME_LOCAL_ERROR:
        return OWN_LOCAL_ERROR;
    default:
        return OWN_AGENT_OLD;
    }
}

/* What the agents of a service could not try, of one kind; `example` is one such attempt. */
static void say_own_fault(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                          const struct tries *example)
{
    const struct diagnose_input *input = symptoms->input;
    size_t service = input->sources[example->source].service;
    enum own_fault fault = own_fault_of(example->example);
    bool *columns = mem_array(input->fleet->column_count, sizeof(*columns));
    struct finding finding;

    for (size_t i = 0; i < input->set->count; i++) {
        const struct tries *tries = &input->set->tries[i];
        columns[tries->column] |= tries->verdict == TRIES_OURS &&
                                  input->sources[tries->source].service == service &&
                                  own_fault_of(tries->example) == fault;
    }
    finding_init(&finding, symptoms, diagnoses, service, example->column);
    finding.symptom.row = example->example;
    finding.symptom.place.source = example->source;
    finding.phrase.scope = SCOPE_ROW;
    finding_say(&finding, own_causes[fault], SEVERITY_FAILURE, 0.95,
                input->fleet->services[service].name);
    finding_prove(&finding, "source",
                  diagnoses_text(diagnoses, &finding.phrase, "{s}: {observed} ({detail})"),
                  "its agent");
    for (size_t c = 0; c < input->fleet->column_count; c++)
        if (columns[c])
            finding_add_cell(&finding, service, c, input->fleet->column_count);
    mem_free(columns);
}

static void find_own_faults(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct diagnose_input *input = symptoms->input;
    const struct tries **examples =
        mem_array(input->fleet->service_count * OWN_COUNT, sizeof(struct tries *));

    for (size_t i = 0; i < input->set->count; i++) {
        const struct tries *tries = &input->set->tries[i];
        size_t service = input->sources[tries->source].service;
        size_t at = service * OWN_COUNT + (size_t)own_fault_of(tries->example);
        if (tries->verdict == TRIES_OURS && !examples[at])
            examples[at] = tries;
    }
    for (size_t i = 0; i < input->fleet->service_count * OWN_COUNT; i++)
        if (examples[i])
            say_own_fault(symptoms, diagnoses, examples[i]);
    mem_free(examples);
}

void own_faults_add(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    if (symptoms->input->fleet->column_count == 0)
        return;
    for (size_t s = 0; s < symptoms->input->fleet->service_count; s++) {
        for (enum diagnose_part part = PART_MISSING; part <= PART_DROPPED; part++)
            find_unfinished(symptoms, diagnoses, s, part);
        find_no_agents(symptoms, diagnoses, s);
    }
    find_own_faults(symptoms, diagnoses);
}
