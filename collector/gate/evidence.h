/* evidence: what the store knows of a gate's run, ready to be decided on: the cells that touch the
 * service, each with how it was before, what both revisions do, and what the controls say. */
#ifndef COLLECTOR_GATE_EVIDENCE_H
#define COLLECTOR_GATE_EVIDENCE_H

#include "collector/gate/decide.h"
#include "collector/store.h"

struct cJSON;

enum gate_baseline_kind { BASELINE_LAST_GOOD, BASELINE_RUN, BASELINE_FILE };

struct gate_baseline {
    enum gate_baseline_kind kind;
    int64_t run;               /* BASELINE_RUN */
    const struct cJSON *cells; /* BASELINE_FILE: [{source, target, check, state}]; borrowed */
};

struct gate_question {
    struct store *store;
    int64_t run, control; /* control 0: none */
    const char *service;
    const char *revision; /* the new one's, "web:8"; "": not known */
    int64_t since_ms;     /* of the deployment: what is later is no baseline */
    struct gate_baseline baseline;
    const char *const *addresses; /* that the cloud gives the new tasks */
    size_t address_count;
};

struct gate_evidence {
    struct gate_cell *cells;
    size_t cell_count;
    const char **diagnoses; /* of the run, as the API shows them */
    size_t diagnosis_count;
    bool is_incomplete, was_heard;
    unsigned tried_new, answered_new;
    const char *former; /* revision of the service's tasks before; "": not known */
    struct arena arena; /* of the above */
};

/* 0; -ENOENT: there is no such run, or its fleet cannot be read. */
int gate_evidence_read(const struct gate_question *question, struct gate_evidence *ret_evidence);
void gate_evidence_deinit(struct gate_evidence *evidence);

/* The last run in which all that the service takes part in was well, before `since_ms`; 0: none. */
int64_t gate_last_good(struct store *store, const char *service, int64_t since_ms);
/* The revision that the service's tasks had in a run, "web:7"; "": not known, or several. */
void gate_revision_in(struct store *store, int64_t run, const char *service, char *text,
                      size_t size);

#endif
