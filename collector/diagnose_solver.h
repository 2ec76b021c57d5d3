/* diagnose_solver: the search for the smallest explanation: candidates, and which explains what.
 * Shared by diagnose.c, which searches, and diagnosis.c, which says what was found. */
#ifndef COLLECTOR_DIAGNOSE_SOLVER_H
#define COLLECTOR_DIAGNOSE_SOLVER_H

#include "collector/diagnose_internal.h"

/* A cause in a scope. */
struct candidate {
    uint64_t scope_key;
    const struct rule *rule;
    enum scope_kind kind;
    double share;          /* 1; of intermittent causes less, the more of the scope is well */
    double sum;            /* scores of its members that nothing explains yet */
    uint32_t open;         /* how many these are */
    uint32_t first, count; /* its members */
};

struct solver {
    const struct symptoms *symptoms;
    struct diagnoses *diagnoses;
    bool *is_covered; /* per symptom */

    /* of one pass */
    uint32_t *sample; /* symptoms */
    size_t sample_count;
    struct candidate *candidates; /* an array; `by_key` points into it */
    size_t candidate_count, candidate_capacity;
    struct candidate_key *by_key;
    struct link {
        uint32_t candidate;
        float score;
    } * links; /* of each sampled symptom, one after the other */
    size_t link_count, link_capacity;
    uint32_t *first_link; /* per sampled symptom, and one more */
    uint32_t *members;    /* sampled symptoms of each candidate */
    double *rival;        /* per candidate, while one diagnosis is made: its scores there ... */
    uint32_t *shared;     /* ... and for how many symptoms */
};

/* When nothing fits, that is said too. */
extern const struct rule solver_unknown_rule;

/* The scopes of a symptom. Of packets only one direction: that in which the SYN, or its answer, was
 * lost. */
size_t solver_keys(enum scope_kind kind, const struct symptom *symptom, size_t index,
                   uint64_t keys[SCOPE_KEYS_MAX]);

/* The diagnosis of a candidate's members that nothing explains yet, into the solver's. */
void diagnosis_make(struct solver *solver, struct candidate *winner);

#endif
