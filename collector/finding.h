/* finding: something worth saying that no failing attempt says by itself. Part of diagnose. */
#ifndef COLLECTOR_FINDING_H
#define COLLECTOR_FINDING_H

#include "collector/diagnose_internal.h"

/* A finding is about something that stands where a symptom would. */
struct finding {
    const struct symptoms *symptoms;
    struct diagnoses *diagnoses;
    struct tries_row row;
    struct symptom symptom;
    struct phrase phrase;
    struct diagnosis *diagnosis;
};

/* About a service (as a source) and a column; what else it is about the caller fills in. */
void finding_init(struct finding *finding, const struct symptoms *symptoms,
                  struct diagnoses *diagnoses, size_t from, size_t column);
/* Makes the diagnosis. `scope`: NULL for the phrase's own. `finding->diagnosis` is good until the
 * next one is made. */
void finding_say(struct finding *finding, const char *code, enum diagnosis_severity severity,
                 double confidence, const char *scope);
void finding_prove(struct finding *finding, const char *side, const char *fact, const char *source);
/* One cell more, of `most` at most. */
void finding_add_cell(struct finding *finding, size_t source, size_t column, size_t most);

#endif
