/* diagnose_internal: what diagnose.c, diagnosis.c, findings.c and own_faults.c share. */
#ifndef COLLECTOR_DIAGNOSE_INTERNAL_H
#define COLLECTOR_DIAGNOSE_INTERNAL_H

#include "collector/diagnose.h"
#include "collector/phrase.h"
#include "collector/rules.h"
#include "collector/symptom.h"

/* A new one, of the diagnoses' arena; its lists are still empty. */
struct diagnosis *diagnoses_add(struct diagnoses *diagnoses, const struct cause *cause,
                                enum diagnosis_severity severity, double confidence);
/* The text, expanded, of the arena. */
const char *diagnoses_text(struct diagnoses *diagnoses, const struct phrase *phrase,
                           const char *text);
void diagnosis_add_evidence(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                            const char *side, const char *fact, const char *source);

/* A cause's, with the ids that are known; NULL: it has none. */
void diagnosis_add_command(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                           const struct phrase *phrase, const char *command);

/* What is worth saying though no attempt failed: findings.c. */
void findings_add(const struct symptoms *symptoms, struct diagnoses *diagnoses);
/* ... and for the cloud's: findings_cloud.c. */
void findings_add_cloud(const struct symptoms *symptoms, struct diagnoses *diagnoses);
/* What canreach itself owes: own_faults.c. */
void own_faults_add(const struct symptoms *symptoms, struct diagnoses *diagnoses);

#endif
