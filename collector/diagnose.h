/* diagnose: why the red cells of a run are red: cause, scope, confidence, evidence, fix. Pure: rows
 * of one run in, diagnoses out; no clock, no I/O; the same rows in any order give the same.
 *
 * Each failing attempt (symptom) has facts, from both ends, the fleet and the pattern. Each rule
 * (rules.h) says which facts a cause needs, and how far it reaches (scope): one pair, a row, a
 * column, a zone, a task, ... A scope in which something healthy contradicts the cause is ruled
 * out. Of what is left the smallest explanation is sought: the (cause, scope) that explains most
 * comes first, then the one that explains most of the rest, and so on. That is the greedy set
 * cover: at most ln(n) + 1 times as many as the fewest possible for n symptoms, whose search is
 * NP-hard.
 *
 * Confidence is a cause's share among all that could explain the same symptoms and were not ruled
 * out, with a rest for what is not known. Rivals that are as good are named beside it.
 */
#ifndef COLLECTOR_DIAGNOSE_H
#define COLLECTOR_DIAGNOSE_H

#include "collector/answers.h"
#include "collector/cloud/path.h"
#include "collector/fleet.h"
#include "collector/matrix.h"
#include "collector/ownership.h"
#include "collector/tries.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAGNOSE_ALTERNATIVE 0.05 /* a rival below this confidence is not named */

enum diagnose_part {
    PART_DONE,
    PART_LEFT,    /* said leaving */
    PART_MISSING, /* its agent is gone, or never answered */
    PART_LATE,    /* some rows in time, not all */
    PART_DROPPED  /* it lost rows */
};

/* A task that was to probe. Strings are borrowed; "" unknown. */
struct diagnose_source {
    size_t service;
    const char *task, *zone, *revision;
    const char *resolver; /* the first one it has */
    enum diagnose_part part;
};

struct diagnose_witness {
    const char *service, *task;
    const struct proto_witness *seen;
};

struct diagnose_input {
    const struct fleet *fleet;
    const struct matrix *matrix;
    const struct tries_set *set;
    const struct diagnose_source *sources;
    size_t source_count;
    const struct answers *answers;
    const struct diagnose_witness *witnesses; /* by service, task and round */
    size_t witness_count;
    const struct ownership *ownership;
    const struct owner_agent *agents; /* as the ownership was built from */
    size_t agent_count;
    /* The cloud's view; both NULL: not there. Without a map it is only of use where nothing failed.
     */
    const struct estate *estate;
    const struct path_map *map; /* of `estate` */
};

enum diagnosis_severity {
    SEVERITY_FAILURE,  /* a cell that is expected to work */
    SEVERITY_OBSERVED, /* only cells that nobody expects to work */
    SEVERITY_WARNING   /* nothing is red for it yet */
};

/* Where on the way from the source to the app it broke. */
enum diagnosis_stage {
    STAGE_SOURCE,
    STAGE_RESOLVER,
    STAGE_NETWORK,
    STAGE_PORT,
    STAGE_TLS,
    STAGE_APP,
    STAGE_PROBE
};

struct diagnosis_evidence {
    const char *side; /* source, target, fleet, pattern, cloud */
    const char *fact;
    const char *source; /* whose word it is: "web.1", "the agents' hellos", ... */
};

struct diagnosis_ruled_out {
    const char *cause, *by;
};

struct diagnosis_alternative {
    const char *cause;
    double confidence;
    const char *summary;
};

struct diagnosis_cell {
    uint32_t source, column;
};

/* What changed since it was well; strings as in struct change. */
struct diagnosis_change {
    const char *kind, *what, *then, *now, *by, *event;
    int64_t at_ms; /* 0: not known when */
};

struct diagnosis {
    const char *cause; /* network.sg-ingress, ... (causes.h) */
    const char *scope; /* "web -> payments", "zone a -> zone b", ... */
    enum diagnosis_severity severity;
    enum diagnosis_stage stage;
    double confidence;
    const char *summary, *fix;
    const char **commands; /* the vendor's, with ids; <in brackets> what is not known */
    size_t command_count;
    struct path_flow *flows; /* closed by the configuration, each once: what is to be opened */
    size_t flow_count;
    /* Against the last run in which its first cell was good (run_history.c). */
    struct diagnosis_change *changes;
    size_t change_count;
    int64_t good, good_ms, since, since_ms; /* run ids and times; 0: none */
    struct diagnosis_cell *cells;           /* by source and column */
    size_t cell_count;
    uint32_t attempts; /* (task, endpoint) or (task, name) that it explains */
    struct diagnosis_evidence *evidence;
    size_t evidence_count;
    struct diagnosis_ruled_out *ruled_out;
    size_t ruled_out_count;
    struct diagnosis_alternative *alternatives;
    size_t alternative_count;
};

struct diagnoses {
    struct diagnosis *items; /* failures first, most cells first; strings and lists of the arena */
    size_t count, capacity;
    struct arena arena;
};

struct diagnoses *diagnose(const struct diagnose_input *input);
/* In place of a cause's own command those that open what the configuration closes. `good`: as all
 * was well, NULL: not known; `map` of `estate`, NULL: not there. */
void diagnosis_add_remedies(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                            const struct estate *estate, const struct estate *good,
                            const struct path_map *map);
struct diagnoses *diagnoses_free(struct diagnoses *diagnoses);

const char *diagnosis_severity_name(enum diagnosis_severity severity);
const char *diagnosis_stage_name(enum diagnosis_stage stage);

#endif
