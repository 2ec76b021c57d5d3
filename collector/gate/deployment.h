/* deployment: what ECS says of a service's deployment, and the calls that act on it.
 *
 * Service deployments (ListServiceDeployments and on) say most; where they may not be asked,
 * DescribeServices' own list of deployments has to do. Nothing here is called twice by itself but
 * what only reads: aws.h tries a call again that was throttled or failed by the service, and each
 * of these acts does nothing a second time.
 */
#ifndef COLLECTOR_GATE_DEPLOYMENT_H
#define COLLECTOR_GATE_DEPLOYMENT_H

#include "collector/cloud/aws.h"

#define DEPLOYMENT_ADDRESSES_MAX 128

enum deployment_phase {
    DEPLOYMENT_UNKNOWN,
    DEPLOYMENT_RUNNING, /* pending, in progress */
    DEPLOYMENT_PAUSED,  /* at a PAUSE hook: it waits to be continued */
    DEPLOYMENT_SUCCEEDED,
    DEPLOYMENT_ROLLING_BACK, /* stop or rollback requested, or in progress */
    DEPLOYMENT_ROLLED_BACK,
    DEPLOYMENT_STOPPED,
    DEPLOYMENT_FAILED /* so has its rollback */
};

struct deployment {
    bool is_known;     /* ECS told of the service */
    char problem[512]; /* what it did not tell, and why; "": nothing is missing */
    char cluster[256], service[256];
    char arn[512];                           /* of the service deployment; "": not told */
    char status[48], stage[48], reason[256]; /* the vendor's words */
    char hook[160];                          /* that waits; "": none */
    enum deployment_phase phase;
    char definition[192], former[192]; /* "web:8", "web:7"; "": not told */
    int64_t desired, running;          /* tasks of the new revision */
    int64_t created_ms;
    char (*addresses)[48]; /* of the new revision's running tasks; owned */
    size_t address_count;
};

void deployment_deinit(struct deployment *deployment);
const char *deployment_phase_name(enum deployment_phase phase);
bool deployment_is_over(enum deployment_phase phase);

struct deployment_question {
    const char *const *clusters;
    size_t cluster_count;
    const char *service;    /* of the fleet: NAME, or CLUSTER.NAME */
    const char *arn;        /* of a service deployment; "": the newest */
    const char *codedeploy; /* id of CodeDeploy's deployment; "": it has none */
    int64_t after_ms;       /* ... of those made since then; 0: any */
    bool wants_addresses;
};

struct deployment_call;
/* Takes over nothing; the deployment is the callee's to keep (deployment_deinit). */
typedef void (*deployment_fn)(void *ctx, struct deployment *deployment);

/* Never calls `fn` before it returns. */
struct deployment_call *deployment_ask(struct aws *aws, const struct deployment_question *question,
                                       deployment_fn fn, void *ctx);
struct deployment_call *deployment_cancel(struct deployment_call *call); /* accepts NULL */

enum deployment_act {
    ACT_NONE,
    ACT_CONTINUE,       /* at the hook */
    ACT_HOOK_ROLLBACK,  /* at the hook */
    ACT_STOP,           /* with stopType ROLLBACK */
    ACT_UPDATE,         /* to a task definition */
    ACT_HOOK_SUCCEEDED, /* CodeDeploy's */
    ACT_HOOK_FAILED,
    ACT_CODEDEPLOY_STOP, /* with autoRollbackEnabled */
    ACT_COMMAND          /* the caller of the gate runs it */
};

struct deployment_order {
    enum deployment_act act;
    const struct deployment *deployment;
    const char *definition;             /* ACT_UPDATE: "web:7" */
    const char *codedeploy, *execution; /* CodeDeploy's deployment and hook execution */
};

/* `problem` "" : it was taken. */
typedef void (*deployment_acted_fn)(void *ctx, const char *problem);
struct deployment_call *deployment_do(struct aws *aws, const struct deployment_order *order,
                                      deployment_acted_fn fn, void *ctx);
/* "ecs:StopServiceDeployment"; what it does, as a person would type it. */
const char *deployment_act_name(enum deployment_act act);
enum deployment_act deployment_act_from_name(const char *name);
void deployment_command(const struct deployment_order *order, struct buf *out);

#endif
