#include "collector/gate/deployment.h"

#include "collector/cloud/estate.h"
#include "common/clock.h"
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

/* ServiceDeploymentStatus (ECS API Reference, ServiceDeployment). */
static enum deployment_phase phase_of(const char *status)
{
    static const struct {
        const char *status;
        enum deployment_phase phase;
    } phases[] = {
        {"PENDING", DEPLOYMENT_RUNNING},
        {"IN_PROGRESS", DEPLOYMENT_RUNNING},
        {"SUCCESSFUL", DEPLOYMENT_SUCCEEDED},
        {"STOP_REQUESTED", DEPLOYMENT_ROLLING_BACK},
        {"STOPPED", DEPLOYMENT_STOPPED},
        {"ROLLBACK_REQUESTED", DEPLOYMENT_ROLLING_BACK},
        {"ROLLBACK_IN_PROGRESS", DEPLOYMENT_ROLLING_BACK},
        {"ROLLBACK_SUCCESSFUL", DEPLOYMENT_ROLLED_BACK},
        {"ROLLBACK_FAILED", DEPLOYMENT_FAILED},
    };

    for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
        if (strcmp(phases[i].status, status) == 0)
            return phases[i].phase;
    return DEPLOYMENT_UNKNOWN;
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

/* Seconds with a fraction, as AWS's JSON has times. */
static int64_t time_at(const struct tree *tree, const char *path)
{
    double seconds = 0;

    return sscanf(tree_text(tree, path, ""), "%lf", &seconds) == 1 ? (int64_t)(seconds * 1000) : 0;
}

/* CodeDeploy's blue and green: the newest is the new one, whichever serves. */
static void read_task_sets(struct deployment *deployment, const struct tree *service)
{
    const struct tree *newest = NULL, *other = NULL;

    for (const struct tree *one = tree_items(service, "taskSets"); one; one = one->next) {
        if (!newest || time_at(one, "createdAt") > time_at(newest, "createdAt")) {
            other = newest;
            newest = one;
        } else {
            other = one;
        }
    }
    if (!newest)
        return;
    text_copy(deployment->definition, sizeof(deployment->definition),
              estate_short_name(tree_text(newest, "taskDefinition", "")));
    text_copy(deployment->former, sizeof(deployment->former),
              estate_short_name(tree_text(other, "taskDefinition", "")));
    deployment->desired = tree_int(newest, "computedDesiredCount", deployment->desired);
    deployment->running = tree_int(newest, "runningCount", 0);
    deployment->created_ms = time_at(newest, "createdAt");
}

/* The primary deployment is the new revision's, another one that still runs tasks the former's. */
static void read_service(struct deployment *deployment, const struct tree *service)
{
    const char *state = "";

    text_copy(deployment->service, sizeof(deployment->service),
              tree_text(service, "serviceName", ""));
    text_copy(deployment->definition, sizeof(deployment->definition),
              estate_short_name(tree_text(service, "taskDefinition", "")));
    deployment->desired = tree_int(service, "desiredCount", 0);
    for (const struct tree *one = tree_items(service, "deployments"); one; one = one->next) {
        const char *definition = estate_short_name(tree_text(one, "taskDefinition", ""));
        if (strcmp(tree_text(one, "status", ""), "PRIMARY") == 0) {
            text_copy(deployment->definition, sizeof(deployment->definition), definition);
            deployment->desired = tree_int(one, "desiredCount", deployment->desired);
            deployment->running = tree_int(one, "runningCount", 0);
            deployment->created_ms = time_at(one, "createdAt");
            state = tree_text(one, "rolloutState", "");
            text_copy(deployment->reason, sizeof(deployment->reason),
                      tree_text(one, "rolloutStateReason", ""));
        } else if (!*deployment->former) {
            text_copy(deployment->former, sizeof(deployment->former), definition);
        }
    }
    read_task_sets(deployment, service);
    text_copy(deployment->status, sizeof(deployment->status), state);
    deployment->phase = strcmp(state, "COMPLETED") == 0     ? DEPLOYMENT_SUCCEEDED
                        : strcmp(state, "IN_PROGRESS") == 0 ? DEPLOYMENT_RUNNING
                        : strcmp(state, "FAILED") == 0      ? DEPLOYMENT_FAILED
                                                            : DEPLOYMENT_UNKNOWN;
}

static void on_service(struct deployment_call *call, const struct tree *root)
{
    const struct tree *service = tree_items(root, "services");
    struct deployment *deployment = &call->deployment;

    if (!service || strcmp(tree_text(service, "status", ""), "INACTIVE") == 0) {
        if (++call->cluster < call->question.cluster_count) {
            ask_service(call);
            return;
        }
        snprintf(deployment->problem, sizeof(deployment->problem),
                 "ECS has no service '%.80s' in the fleet's clusters", call->question.service);
        finish(call);
        return;
    }
    deployment->is_known = true;
    text_copy(deployment->cluster, sizeof(deployment->cluster),
              call->question.clusters[call->cluster]);
    read_service(deployment, service);
    if (*call->question.codedeploy)
        ask_codedeploy(call, call->question.codedeploy);
    else if (*call->question.arn)
        ask_deployment(call, call->question.arn);
    else
        ask_deployments(call);
}

/* DeploymentStatus (CodeDeploy API Reference, DeploymentInfo). A rollback is a deployment of its
 * own, which is then followed. */
static void on_codedeploy(struct deployment_call *call, const struct tree *root)
{
    struct deployment *deployment = &call->deployment;
    const struct tree *info = tree_get(root, "deploymentInfo");
    const char *status = tree_text(info, "status", "");
    const char *rollback = tree_text(info, "rollbackInfo/rollbackDeploymentId", "");
    bool has_ended = strcmp(status, "Failed") == 0 || strcmp(status, "Stopped") == 0;

    text_copy(deployment->status, sizeof(deployment->status), status);
    text_copy(deployment->reason, sizeof(deployment->reason),
              tree_text(info, "errorInformation/message", ""));
    if (!call->is_rollback)
        deployment->created_ms = time_at(info, "createTime");
    if (!call->is_rollback && *rollback) {
        call->is_rollback = true;
        ask_codedeploy(call, arena_strdup(&call->arena, rollback));
        return;
    }
    deployment->phase = strcmp(status, "Succeeded") == 0
                            ? (call->is_rollback ? DEPLOYMENT_ROLLED_BACK : DEPLOYMENT_SUCCEEDED)
                        : has_ended         ? (call->is_rollback               ? DEPLOYMENT_FAILED
                                               : strcmp(status, "Failed") == 0 ? DEPLOYMENT_FAILED
                                                                               : DEPLOYMENT_STOPPED)
                        : call->is_rollback ? DEPLOYMENT_ROLLING_BACK
                                            : DEPLOYMENT_RUNNING;
    ask_tasks_or_finish(call);
}

/* The newest of the page; the first page has the newest. */
static void on_deployments(struct deployment_call *call, const struct tree *root)
{
    const struct tree *newest = NULL;

    for (const struct tree *one = tree_items(root, "serviceDeployments"); one; one = one->next)
        if (!newest || time_at(one, "createdAt") > time_at(newest, "createdAt"))
            newest = one;
    if (newest && time_at(newest, "createdAt") >= call->question.after_ms)
        ask_deployment(call,
                       arena_strdup(&call->arena, tree_text(newest, "serviceDeploymentArn", "")));
    else
        ask_tasks_or_finish(call);
}

static void read_hook(struct deployment *deployment, const struct tree *one)
{
    for (const struct tree *hook = tree_items(one, "lifecycleHookDetails"); hook;
         hook = hook->next) {
        const char *status = tree_text(hook, "status", "");
        if (strcmp(tree_text(hook, "targetType", ""), "PAUSE") != 0 ||
            strcmp(status, "SUCCEEDED") == 0 || strcmp(status, "FAILED") == 0 ||
            strcmp(status, "TIMED_OUT") == 0)
            continue;
        text_copy(deployment->hook, sizeof(deployment->hook), tree_text(hook, "hookId", ""));
    }
}

/* It was over before the service's present deployment was made: it is another one. (A rollback's is
 * made before the service deployment that it belongs to is over.) */
static bool is_of_before(const struct deployment_call *call, const struct tree *one)
{
    int64_t finished_ms = time_at(one, "finishedAt");

    return !*call->question.arn && finished_ms && call->deployment.created_ms > finished_ms;
}

static void on_described(struct deployment_call *call, const struct tree *root)
{
    struct deployment *deployment = &call->deployment;
    const struct tree *one = tree_items(root, "serviceDeployments");

    if (one && is_of_before(call, one))
        one = NULL; /* the new one is not listed yet: what the service itself says has to do */
    else if (one) {
        text_copy(deployment->arn, sizeof(deployment->arn),
                  tree_text(one, "serviceDeploymentArn", ""));
        text_copy(deployment->status, sizeof(deployment->status), tree_text(one, "status", ""));
        text_copy(deployment->stage, sizeof(deployment->stage),
                  tree_text(one, "lifecycleStage", ""));
        text_copy(deployment->reason, sizeof(deployment->reason),
                  tree_text(one, "statusReason", ""));
        deployment->created_ms = time_at(one, "createdAt");
        deployment->phase = phase_of(deployment->status);
        read_hook(deployment, one);
        if (*deployment->hook && deployment->phase == DEPLOYMENT_RUNNING)
            deployment->phase = DEPLOYMENT_PAUSED;
    } else if (*call->question.arn) {
        snprintf(deployment->problem, sizeof(deployment->problem),
                 "ECS knows no service deployment %.200s", call->question.arn);
    }
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

static void add_address(struct deployment *deployment, const char *address)
{
    if (*address && deployment->address_count < DEPLOYMENT_ADDRESSES_MAX &&
        text_copy(deployment->addresses[deployment->address_count],
                  sizeof(deployment->addresses[0]), address))
        deployment->address_count++;
}

static void on_tasks(struct deployment_call *call, const struct tree *root)
{
    struct deployment *deployment = &call->deployment;

    deployment->addresses = mem_array(DEPLOYMENT_ADDRESSES_MAX, sizeof(deployment->addresses[0]));
    for (const struct tree *task = tree_items(root, "tasks"); task; task = task->next) {
        const char *definition = estate_short_name(tree_text(task, "taskDefinitionArn", ""));
        if (strcmp(definition, deployment->definition) != 0 ||
            strcmp(tree_text(task, "lastStatus", ""), "RUNNING") != 0)
            continue;
        for (const struct tree *one = tree_items(task, "attachments"); one; one = one->next)
            for (const struct tree *detail = tree_items(one, "details"); detail;
                 detail = detail->next)
                if (strcmp(tree_text(detail, "name", ""), "privateIPv4Address") == 0)
                    add_address(deployment, tree_text(detail, "value", ""));
    }
    finish(call);
}

/* A call that failed: what comes after it may do without. */
static void on_failure(struct deployment_call *call)
{
    switch (call->operation) {
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
        on_failure(call);
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
