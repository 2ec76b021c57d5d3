/* aws_service: the services and operations that canreach calls: protocols, paging, permissions.
 *
 * One table each, after the vendor's service models; deploy/aws/collector-policy.json allows
 * exactly what is only read for runs (a test compares them).
 */
#ifndef COLLECTOR_CLOUD_AWS_SERVICE_H
#define COLLECTOR_CLOUD_AWS_SERVICE_H

#include <stddef.h>

enum aws_service_id {
    AWS_ECS,
    AWS_SERVICEDISCOVERY,
    AWS_EC2,
    AWS_ELBV2,
    AWS_ROUTE53,
    AWS_ROUTE53RESOLVER,
    AWS_STS,
    AWS_CLOUDTRAIL,
    AWS_LOGS,
    AWS_CODEDEPLOY,
    AWS_SNS,
    AWS_CLOUDWATCH,
    AWS_SERVICE_COUNT
};

enum aws_protocol { AWS_JSON, AWS_QUERY, AWS_EC2_QUERY, AWS_REST_XML };

struct aws_service {
    const char *title;    /* as people call it */
    const char *variable; /* AWS_ENDPOINT_URL_... */
    const char *key;      /* in a `services` section of the config file */
    const char *host;     /* HOST.REGION.amazonaws.com */
    const char *signing;  /* name, and prefix of the permissions */
    enum aws_protocol protocol;
    const char *version; /* X-Amz-Target's prefix (JSON), Version (query) */
    unsigned in_flight;  /* calls at once: below the token buckets that the vendor documents */
    unsigned spacing_ms; /* at least, between two calls */
};

enum aws_operation_id {
    ECS_LIST_SERVICES,
    ECS_DESCRIBE_SERVICES,
    ECS_LIST_TASKS,
    ECS_DESCRIBE_TASKS,
    ECS_DESCRIBE_TASK_DEFINITION,
    SD_LIST_NAMESPACES,
    SD_LIST_SERVICES,
    SD_LIST_INSTANCES,
    SD_GET_INSTANCES_HEALTH,
    EC2_SECURITY_GROUPS,
    EC2_SECURITY_GROUP_RULES,
    EC2_NETWORK_ACLS,
    EC2_ROUTE_TABLES,
    EC2_SUBNETS,
    EC2_VPCS,
    EC2_VPC_ATTRIBUTE,
    EC2_DHCP_OPTIONS,
    EC2_NETWORK_INTERFACES,
    EC2_PREFIX_LISTS,
    EC2_PREFIX_LIST_ENTRIES,
    ELB_TARGET_GROUPS,
    ELB_TARGET_HEALTH,
    R53_ZONES_BY_VPC,
    R53_RECORDS,
    RESOLVER_RULES,
    RESOLVER_RULE_ASSOCIATIONS,
    EC2_FLOW_LOGS,
    CT_LOOKUP_EVENTS,
    LOGS_FILTER_EVENTS,
    LOGS_GET_EVENTS,
    /* A gate's: the first two read, the others act. deploy/aws/gate-policy.json */
    ECS_LIST_SERVICE_DEPLOYMENTS,
    ECS_DESCRIBE_SERVICE_DEPLOYMENTS,
    ECS_CONTINUE_SERVICE_DEPLOYMENT,
    ECS_STOP_SERVICE_DEPLOYMENT,
    ECS_UPDATE_SERVICE,
    CODEDEPLOY_GET_DEPLOYMENT,
    CODEDEPLOY_PUT_HOOK_STATUS,
    CODEDEPLOY_STOP_DEPLOYMENT,
    /* Alerts'. deploy/aws/alert-policy.json */
    SNS_PUBLISH,
    CLOUDWATCH_PUT_METRIC_DATA,
    AWS_OPERATION_COUNT
};

struct aws_operation {
    enum aws_service_id service;
    const char *name;
    const char *path;  /* REST: with '*' for its one argument */
    const char *limit; /* parameter of the page size; NULL: not paged */
    unsigned page;
    /* Where the next page's token goes, and where the last answer has it; of Route 53's records the
     * first of three. */
    const char *token_in, *token_out;
};

const struct aws_service *aws_service(enum aws_service_id id);
const struct aws_operation *aws_operation(enum aws_operation_id id);
/* "ecs:ListTasks": the action of a policy that allows it. */
void aws_permission(enum aws_operation_id id, char *text, size_t size);

#endif
