#include "collector/gate/deployment_read.h"

#include "collector/cloud/estate.h"
#include "common/mem.h"
#include "common/text.h"

#include <string.h>

static int64_t time_at(const struct tree *tree, const char *path)
{
    return record_time(tree_text(tree, path, ""));
}

/* ---- the service ---- */

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

bool deployment_read_service(const struct tree *root, struct deployment *deployment)
{
    const struct tree *service = tree_items(root, "services");

    if (!service || strcmp(tree_text(service, "status", ""), "INACTIVE") == 0)
        return false;
    deployment->is_known = true;
    read_service(deployment, service);
    return true;
}

/* ---- ECS's service deployments ---- */

const char *deployment_newest(const struct tree *root, int64_t after_ms)
{
    const struct tree *newest = NULL;

    for (const struct tree *one = tree_items(root, "serviceDeployments"); one; one = one->next)
        if (!newest || time_at(one, "createdAt") > time_at(newest, "createdAt"))
            newest = one;
    return newest && time_at(newest, "createdAt") >= after_ms
               ? tree_text(newest, "serviceDeploymentArn", "")
               : "";
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
static bool is_of_before(const struct deployment *deployment, const struct tree *one)
{
    int64_t finished_ms = time_at(one, "finishedAt");

    return finished_ms && deployment->created_ms > finished_ms;
}

bool deployment_read_described(const struct tree *root, bool is_asked_for,
                               struct deployment *deployment)
{
    const struct tree *one = tree_items(root, "serviceDeployments");

    if (!one || (!is_asked_for && is_of_before(deployment, one)))
        return false;
    text_copy(deployment->arn, sizeof(deployment->arn), tree_text(one, "serviceDeploymentArn", ""));
    text_copy(deployment->status, sizeof(deployment->status), tree_text(one, "status", ""));
    text_copy(deployment->stage, sizeof(deployment->stage), tree_text(one, "lifecycleStage", ""));
    text_copy(deployment->reason, sizeof(deployment->reason), tree_text(one, "statusReason", ""));
    deployment->created_ms = time_at(one, "createdAt");
    deployment->phase = phase_of(deployment->status);
    read_hook(deployment, one);
    if (*deployment->hook && deployment->phase == DEPLOYMENT_RUNNING)
        deployment->phase = DEPLOYMENT_PAUSED;
    return true;
}

/* ---- CodeDeploy's ---- */

static enum deployment_phase codedeploy_phase(const char *status, bool is_rollback)
{
    if (strcmp(status, "Succeeded") == 0)
        return is_rollback ? DEPLOYMENT_ROLLED_BACK : DEPLOYMENT_SUCCEEDED;
    if (strcmp(status, "Failed") == 0)
        return DEPLOYMENT_FAILED;
    if (strcmp(status, "Stopped") == 0)
        return is_rollback ? DEPLOYMENT_FAILED : DEPLOYMENT_STOPPED;
    return is_rollback ? DEPLOYMENT_ROLLING_BACK : DEPLOYMENT_RUNNING;
}

const char *deployment_read_codedeploy(const struct tree *root, bool is_rollback,
                                       struct deployment *deployment)
{
    const struct tree *info = tree_get(root, "deploymentInfo");
    const char *status = tree_text(info, "status", "");
    const char *rollback = tree_text(info, "rollbackInfo/rollbackDeploymentId", "");

    text_copy(deployment->status, sizeof(deployment->status), status);
    text_copy(deployment->reason, sizeof(deployment->reason),
              tree_text(info, "errorInformation/message", ""));
    if (!is_rollback)
        deployment->created_ms = time_at(info, "createTime");
    if (!is_rollback && *rollback)
        return rollback;
    deployment->phase = codedeploy_phase(status, is_rollback);
    return "";
}

/* ---- the tasks ---- */

static void add_address(struct deployment *deployment, const char *address)
{
    if (*address && deployment->address_count < DEPLOYMENT_ADDRESSES_MAX &&
        text_copy(deployment->addresses[deployment->address_count],
                  sizeof(deployment->addresses[0]), address))
        deployment->address_count++;
}

void deployment_read_addresses(const struct tree *root, struct deployment *deployment)
{
    if (!deployment->addresses)
        deployment->addresses =
            mem_array(DEPLOYMENT_ADDRESSES_MAX, sizeof(deployment->addresses[0]));
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
}
