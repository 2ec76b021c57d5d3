#include "collector/gate/deployment.h"

#include "collector/cloud/estate.h"
#include "collector/gate/deployment_read.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define TASKS_MAX 100 /* in one DescribeTasks */

struct deployment_call {
    struct aws *aws;
    struct aws_call *call; /* the one under way */
    enum aws_operation_id operation;
    struct arena arena;
    struct deployment_question question;
    size_t cluster;   /* that is asked */
    bool is_rollback; /* CodeDeploy's own deployment for it is asked about */
    struct deployment deployment;
    deployment_fn fn;
    deployment_acted_fn acted;
    void *ctx;
};

void deployment_deinit(struct deployment *deployment)
{
    mem_free(deployment->addresses);
    deployment->addresses = NULL;
    deployment->address_count = 0;
}

const char *deployment_phase_name(enum deployment_phase phase)
{
    static const char *const names[] = {"unknown",      "running",     "paused",  "succeeded",
                                        "rolling-back", "rolled-back", "stopped", "failed"};

    return names[phase];
}

bool deployment_is_over(enum deployment_phase phase)
{
    return phase == DEPLOYMENT_SUCCEEDED || phase == DEPLOYMENT_ROLLED_BACK ||
           phase == DEPLOYMENT_STOPPED || phase == DEPLOYMENT_FAILED;
}

/* ---- asking ---- */

static struct deployment_call *free_call(struct deployment_call *call)
{
    if (call->call)
        aws_cancel(call->aws, call->call);
    deployment_deinit(&call->deployment);
    arena_deinit(&call->arena);
    mem_free(call);
    return NULL;
}

static void finish(struct deployment_call *call)
{
    struct deployment deployment = call->deployment;
    deployment_fn fn = call->fn;
    void *ctx = call->ctx;

    call->deployment = (struct deployment){0};
    free_call(call);
    fn(ctx, &deployment);
}

static void on_page(void *ctx, const struct aws_page *page);

static void send(struct deployment_call *call, enum aws_operation_id operation,
                 struct aws_params *params)
{
    call->operation = operation;
    call->call = aws_call(call->aws, operation, params, on_page, call);
}

static void note_problem(struct deployment_call *call, const struct aws_outcome *outcome)
{
    char permission[96];

    aws_permission(call->operation, permission, sizeof(permission));
    snprintf(call->deployment.problem, sizeof(call->deployment.problem), "%s: %s%s%.200s%s",
             permission, outcome->code, *outcome->text ? ": " : "", outcome->text,
             outcome->fault == AWS_NOT_ALLOWED ? "; allow it, see deploy/aws/gate-policy.json"
                                               : "");
}

/* The service's name within a cluster: of CLUSTER.NAME the latter. */
static const char *name_in(const char *service, const char *cluster)
{
    size_t length = strlen(cluster);

    return strncmp(service, cluster, length) == 0 && service[length] == '.' ? service + length + 1
                                                                            : service;
}

static void ask_service(struct deployment_call *call)
{
    struct aws_params params = aws_params_of(ECS_DESCRIBE_SERVICES);
    const char *cluster = call->question.clusters[call->cluster];
    const char *name = name_in(call->question.service, estate_short_name(cluster));

    aws_put(&params, "cluster", cluster);
    aws_put_list(&params, "services", &name, 1);
    send(call, ECS_DESCRIBE_SERVICES, &params);
}

static void ask_tasks_or_finish(struct deployment_call *call)
{
    struct aws_params params;

    if (!call->question.wants_addresses || !call->deployment.is_known) {
        finish(call);
        return;
    }
    params = aws_params_of(ECS_LIST_TASKS);
    aws_put(&params, "cluster", call->deployment.cluster);
    aws_put(&params, "serviceName", call->deployment.service);
    send(call, ECS_LIST_TASKS, &params);
}

static void ask_deployment(struct deployment_call *call, const char *arn)
{
    struct aws_params params = aws_params_of(ECS_DESCRIBE_SERVICE_DEPLOYMENTS);

    aws_put_list(&params, "serviceDeploymentArns", &arn, 1);
    send(call, ECS_DESCRIBE_SERVICE_DEPLOYMENTS, &params);
}

static void ask_codedeploy(struct deployment_call *call, const char *id)
{
    struct aws_params params = aws_params_of(CODEDEPLOY_GET_DEPLOYMENT);

    aws_put(&params, "deploymentId", id);
    send(call, CODEDEPLOY_GET_DEPLOYMENT, &params);
}

static void ask_deployments(struct deployment_call *call)
{
    struct aws_params params = aws_params_of(ECS_LIST_SERVICE_DEPLOYMENTS);

    aws_put(&params, "cluster", call->deployment.cluster);
    aws_put(&params, "service", call->deployment.service);
    send(call, ECS_LIST_SERVICE_DEPLOYMENTS, &params);
}

/* ECS does not have it there, or does not say. */
static void ask_next_cluster_or_finish(struct deployment_call *call)
{
    struct deployment *deployment = &call->deployment;

    if (++call->cluster < call->question.cluster_count) {
        ask_service(call);
        return;
    }
    if (!*deployment->problem)
        snprintf(deployment->problem, sizeof(deployment->problem),
                 "ECS has no service '%.80s' in the fleet's clusters", call->question.service);
    finish(call);
}

static void on_service(struct deployment_call *call, const struct tree *root)
{
    struct deployment *deployment = &call->deployment;

    if (!deployment_read_service(root, deployment)) {
        ask_next_cluster_or_finish(call);
        return;
    }
    *deployment->problem = '\0'; /* of another cluster */
    text_copy(deployment->cluster, sizeof(deployment->cluster),
              call->question.clusters[call->cluster]);
    if (*call->question.codedeploy)
        ask_codedeploy(call, call->question.codedeploy);
    else if (*call->question.arn)
        ask_deployment(call, call->question.arn);
    else
        ask_deployments(call);
}

/* A rollback is a deployment of its own, which is then followed. */
static void on_codedeploy(struct deployment_call *call, const struct tree *root)
{
    const char *rollback = deployment_read_codedeploy(root, call->is_rollback, &call->deployment);

    if (*rollback) {
        call->is_rollback = true;
        ask_codedeploy(call, arena_strdup(&call->arena, rollback));
    } else {
        ask_tasks_or_finish(call);
    }
}

static void on_deployments(struct deployment_call *call, const struct tree *root)
{
    const char *newest = deployment_newest(root, call->question.after_ms);

    if (*newest)
        ask_deployment(call, arena_strdup(&call->arena, newest));
    else
        ask_tasks_or_finish(call);
}

static void on_described(struct deployment_call *call, const struct tree *root)
{
    struct deployment *deployment = &call->deployment;

    if (!deployment_read_described(root, *call->question.arn != '\0', deployment) &&
        *call->question.arn)
        snprintf(deployment->problem, sizeof(deployment->problem),
                 "ECS knows no service deployment %.200s", call->question.arn);
    ask_tasks_or_finish(call);
}

static void on_task_arns(struct deployment_call *call, const struct tree *root)
{
    struct aws_params params = aws_params_of(ECS_DESCRIBE_TASKS);
    const char *arns[TASKS_MAX];
    size_t count = 0;

    for (const struct tree *one = tree_items(root, "taskArns"); one && count < TASKS_MAX;
         one = one->next)
        arns[count++] = one->text ? one->text : "";
    if (!count) {
        aws_params_deinit(&params);
        finish(call);
        return;
    }
    aws_put(&params, "cluster", call->deployment.cluster);
    aws_put_list(&params, "tasks", arns, count);
    send(call, ECS_DESCRIBE_TASKS, &params);
}

static void on_tasks(struct deployment_call *call, const struct tree *root)
{
    deployment_read_addresses(root, &call->deployment);
    finish(call);
}

/* A call that failed: what comes after it may do without. */
static void on_failure(struct deployment_call *call, enum aws_fault fault)
{
    switch (call->operation) {
    case ECS_DESCRIBE_SERVICES:
        if (fault == AWS_REFUSED || fault == AWS_NOT_ALLOWED) /* of that cluster */
            ask_next_cluster_or_finish(call);
        else
            finish(call);
        break;
    case ECS_LIST_SERVICE_DEPLOYMENTS:
    case ECS_DESCRIBE_SERVICE_DEPLOYMENTS:
    case CODEDEPLOY_GET_DEPLOYMENT:
        ask_tasks_or_finish(call);
        break;
    default:
        finish(call);
    }
}

static void on_page(void *ctx, const struct aws_page *page)
{
    struct deployment_call *call = ctx;

    /* One page of a list is enough; more of it is not wanted. */
    if (!page->is_last)
        aws_cancel(call->aws, call->call);
    call->call = NULL;
    if (call->acted) {
        deployment_acted_fn acted = call->acted;
        void *of = call->ctx;
        char problem[sizeof(call->deployment.problem)] = "";
        if (!page->root) {
            note_problem(call, page->outcome);
            text_copy(problem, sizeof(problem), call->deployment.problem);
        }
        free_call(call);
        acted(of, problem);
        return;
    }
    if (!page->root) {
        note_problem(call, page->outcome);
        on_failure(call, page->outcome->fault);
    } else if (call->operation == ECS_DESCRIBE_SERVICES) {
        on_service(call, page->root);
    } else if (call->operation == ECS_LIST_SERVICE_DEPLOYMENTS) {
        on_deployments(call, page->root);
    } else if (call->operation == ECS_DESCRIBE_SERVICE_DEPLOYMENTS) {
        on_described(call, page->root);
    } else if (call->operation == CODEDEPLOY_GET_DEPLOYMENT) {
        on_codedeploy(call, page->root);
    } else if (call->operation == ECS_LIST_TASKS) {
        on_task_arns(call, page->root);
    } else {
        on_tasks(call, page->root);
    }
}

struct deployment_call *deployment_ask(struct aws *aws, const struct deployment_question *question,
                                       deployment_fn fn, void *ctx)
{
    struct deployment_call *call = mem_alloc(sizeof(*call));
    const char **clusters;

    *call = (struct deployment_call){.aws = aws, .question = *question, .fn = fn, .ctx = ctx};
    clusters = arena_alloc(&call->arena, question->cluster_count + 1, sizeof(*clusters));
    for (size_t i = 0; i < question->cluster_count; i++)
        clusters[i] = arena_strdup(&call->arena, question->clusters[i]);
    call->question.clusters = clusters;
    call->question.service = arena_strdup(&call->arena, question->service);
    call->question.arn = arena_strdup(&call->arena, question->arn);
    call->question.codedeploy = arena_strdup(&call->arena, question->codedeploy);
    ask_service(call);
    return call;
}

struct deployment_call *deployment_cancel(struct deployment_call *call)
{
    return call ? free_call(call) : NULL;
}

/* ---- acting ---- */

static const char *const acts[] = {
    [ACT_NONE] = "none",
    [ACT_CONTINUE] = "ecs:ContinueServiceDeployment CONTINUE",
    [ACT_HOOK_ROLLBACK] = "ecs:ContinueServiceDeployment ROLLBACK",
    [ACT_STOP] = "ecs:StopServiceDeployment",
    [ACT_UPDATE] = "ecs:UpdateService",
    [ACT_HOOK_SUCCEEDED] = "codedeploy:PutLifecycleEventHookExecutionStatus Succeeded",
    [ACT_HOOK_FAILED] = "codedeploy:PutLifecycleEventHookExecutionStatus Failed",
    [ACT_CODEDEPLOY_STOP] = "codedeploy:StopDeployment",
    [ACT_COMMAND] = "command",
};

const char *deployment_act_name(enum deployment_act act)
{
    return acts[act];
}

enum deployment_act deployment_act_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
        if (strcmp(acts[i], name) == 0)
            return (enum deployment_act)i;
    return ACT_NONE;
}

void deployment_command(const struct deployment_order *order, struct buf *out)
{
    const struct deployment *deployment = order->deployment;

    switch (order->act) {
    case ACT_CONTINUE:
    case ACT_HOOK_ROLLBACK:
        buf_printf(out,
                   "aws ecs continue-service-deployment --service-deployment-arn %s --hook-id %s "
                   "--action %s",
                   deployment->arn, deployment->hook,
                   order->act == ACT_CONTINUE ? "CONTINUE" : "ROLLBACK");
        break;
    case ACT_STOP:
        buf_printf(out,
                   "aws ecs stop-service-deployment --service-deployment-arn %s --stop-type "
                   "ROLLBACK",
                   deployment->arn);
        break;
    case ACT_UPDATE:
        buf_printf(out, "aws ecs update-service --cluster %s --service %s --task-definition %s",
                   deployment->cluster, deployment->service, order->definition);
        break;
    case ACT_HOOK_SUCCEEDED:
    case ACT_HOOK_FAILED:
        buf_printf(out,
                   "aws deploy put-lifecycle-event-hook-execution-status --deployment-id %s "
                   "--lifecycle-event-hook-execution-id %s --status %s",
                   order->codedeploy, order->execution,
                   order->act == ACT_HOOK_FAILED ? "Failed" : "Succeeded");
        break;
    case ACT_CODEDEPLOY_STOP:
        buf_printf(out, "aws deploy stop-deployment --deployment-id %s --auto-rollback-enabled",
                   order->codedeploy);
        break;
    case ACT_NONE:
    case ACT_COMMAND:
        break;
    }
}

static enum aws_operation_id put_order(const struct deployment_order *order,
                                       struct aws_params *params)
{
    const struct deployment *deployment = order->deployment;

    switch (order->act) {
    case ACT_CONTINUE:
    case ACT_HOOK_ROLLBACK:
        *params = aws_params_of(ECS_CONTINUE_SERVICE_DEPLOYMENT);
        aws_put(params, "serviceDeploymentArn", deployment->arn);
        aws_put(params, "hookId", deployment->hook);
        /* Always: the default is to go on. */
        aws_put(params, "action", order->act == ACT_CONTINUE ? "CONTINUE" : "ROLLBACK");
        return ECS_CONTINUE_SERVICE_DEPLOYMENT;
    case ACT_STOP:
        *params = aws_params_of(ECS_STOP_SERVICE_DEPLOYMENT);
        aws_put(params, "serviceDeploymentArn", deployment->arn);
        aws_put(params, "stopType", "ROLLBACK");
        return ECS_STOP_SERVICE_DEPLOYMENT;
    case ACT_UPDATE:
        *params = aws_params_of(ECS_UPDATE_SERVICE);
        aws_put(params, "cluster", deployment->cluster);
        aws_put(params, "service", deployment->service);
        aws_put(params, "taskDefinition", order->definition);
        return ECS_UPDATE_SERVICE;
    case ACT_CODEDEPLOY_STOP:
        *params = aws_params_of(CODEDEPLOY_STOP_DEPLOYMENT);
        aws_put(params, "deploymentId", order->codedeploy);
        aws_put_bool(params, "autoRollbackEnabled", true);
        return CODEDEPLOY_STOP_DEPLOYMENT;
    default:
        *params = aws_params_of(CODEDEPLOY_PUT_HOOK_STATUS);
        aws_put(params, "deploymentId", order->codedeploy);
        aws_put(params, "lifecycleEventHookExecutionId", order->execution);
        aws_put(params, "status", order->act == ACT_HOOK_FAILED ? "Failed" : "Succeeded");
        return CODEDEPLOY_PUT_HOOK_STATUS;
    }
}

struct deployment_call *deployment_do(struct aws *aws, const struct deployment_order *order,
                                      deployment_acted_fn fn, void *ctx)
{
    struct deployment_call *call = mem_alloc(sizeof(*call));
    struct aws_params params;
    enum aws_operation_id operation;

    *call = (struct deployment_call){.aws = aws, .acted = fn, .ctx = ctx};
    operation = put_order(order, &params);
    send(call, operation, &params);
    return call;
}
