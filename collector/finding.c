#include "collector/finding.h"

void finding_init(struct finding *finding, const struct symptoms *symptoms,
                  struct diagnoses *diagnoses, size_t from, size_t column)
{
    *finding = (struct finding){.symptoms = symptoms, .diagnoses = diagnoses};
    finding->row =
        (struct tries_row){.name = "",
                           .address = "",
                           .port = fleet_column_check(symptoms->input->fleet, column)->port};
    finding->symptom = (struct symptom){
        .row = &finding->row,
        .place = {.column = (uint32_t)column,
                  .from = (uint32_t)from,
                  .to = (uint32_t)symptoms->input->fleet->columns[column].service,
                  .address = SYMPTOM_NONE,
                  .source_task = SYMPTOM_NONE,
                  .target_task = SYMPTOM_NONE,
                  .zone_from = SYMPTOM_NONE,
                  .zone_to = SYMPTOM_NONE,
                  .revision = SYMPTOM_NONE,
                  .name = SYMPTOM_NONE,
                  .resolver = SYMPTOM_NONE},
    };
    finding->phrase =
        (struct phrase){.symptoms = symptoms, .symptom = &finding->symptom, .scope = SCOPE_NAME};
}

void finding_say(struct finding *finding, const char *code, enum diagnosis_severity severity,
                 double confidence, const char *scope)
{
    const struct cause *cause = cause_find(code);
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);

    if (scope)
        buf_puts(&text, scope);
    else
        phrase_scope(&finding->phrase, &text);
    finding->diagnosis = diagnoses_add(finding->diagnoses, cause, severity, confidence);
    finding->diagnosis->scope = arena_strdup(&finding->diagnoses->arena, buf_text(&text));
    finding->diagnosis->summary =
        diagnoses_text(finding->diagnoses, &finding->phrase, cause->sentence);
    finding->diagnosis->fix = diagnoses_text(finding->diagnoses, &finding->phrase, cause->fix);
    diagnosis_add_command(finding->diagnoses, finding->diagnosis, &finding->phrase, cause->command);
}

void finding_prove(struct finding *finding, const char *side, const char *fact, const char *source)
{
    diagnosis_add_evidence(finding->diagnoses, finding->diagnosis, side,
                           arena_strdup(&finding->diagnoses->arena, fact), source);
}

void finding_add_cell(struct finding *finding, size_t source, size_t column, size_t most)
{
    struct diagnosis *diagnosis = finding->diagnosis;

    if (!diagnosis->cells)
        diagnosis->cells = arena_alloc(&finding->diagnoses->arena, most, sizeof(*diagnosis->cells));
    if (diagnosis->cell_count < most)
        diagnosis->cells[diagnosis->cell_count++] =
            (struct diagnosis_cell){(uint32_t)source, (uint32_t)column};
}
