/* gate: one gate, and its JSON document. Internal to this folder. */
#ifndef COLLECTOR_GATE_GATE_H
#define COLLECTOR_GATE_GATE_H

#include "collector/gate/deployment.h"
#include "collector/gate/gaps.h"
#include "collector/gate/gates.h"

/* What the gate does about the deployment. */
struct gate_action {
    enum deployment_act act;
    char *command;        /* as a person would type it; owned; NULL: none */
    char definition[192]; /* ACT_UPDATE */
    int64_t intended_ms, done_ms;
    bool is_sent; /* the call was made, or the command is claimed */
    char problem[512];
    char outcome[64]; /* of the deployment at its end: a phase's name */
};

enum gate_mended { MENDED_UNKNOWN, MENDED_NOT, MENDED_PARTLY, MENDED_ALL };

struct gate {
    struct gates *gates;
    struct gate *next;
    int64_t id;
    char name[GATE_NAME_MAX + 1]; /* of the deployment */
    struct gate_request request;
    enum gate_state state;
    int verdict;                               /* enum verdict; -1: not yet */
    int64_t created_ms, finished_ms, until_ms; /* until: of the present state */
    int64_t stale_until_ms, probe_at_ms;       /* 0: none */

    struct deployment rollout; /* as ECS told last */
    struct deployment_call *asking;
    int64_t asked_ms;
    bool is_repeated;  /* a weak FAIL was, once */
    bool is_replanned; /* its act was refused once, and planned anew */
    bool is_unsure; /* the intent is stored; whether the call was made, a former collector knew */
    size_t agents;
    int64_t expected;
    char revision[192], former[192];
    char waiting_for[256];

    int64_t run, control, verify, look; /* ids; 0: none */
    int64_t looked_ms;
    struct gaps gaps;
    char summary[768];
    char *findings; /* JSON list; owned; NULL: none yet */
    struct gate_action action;
    enum gate_mended mended;
    struct loop_timer timer;
};

/* The document that the API shows and the store keeps. */
void gate_write(const struct gate *gate, struct buf *out);
/* Of one that was stored, but for its id. -EINVAL: it is none. */
int gate_read(struct gate *gate, const char *json, size_t length);
void gate_deinit(struct gate *gate);

/* The findings of a decision as a JSON list: {kind, weight, text, cause, ..., cells}. */
char *gate_findings_json(const struct gate_decision *decision, const struct gate_input *input,
                         const struct gate_evidence *evidence);
/* One sentence: the verdict's reason. */
void gate_summarize(const struct gate_decision *decision, const struct gate_evidence *evidence,
                    const char *service, char *text, size_t size);
/* Of the pairs that the findings hold against the deployment: how many, and how many of these are
 * well in a later run. */
void gate_count_mended(const struct gate *gate, struct store *store, int64_t run, size_t *ret_all,
                       size_t *ret_well);

#endif
