#include "collector/cloud/aws_service.h"

#include <stdio.h>

/* clang-format off */
static const struct aws_service services[AWS_SERVICE_COUNT] = {
    [AWS_ECS] = {"ECS", "ECS", "ecs", "ecs", "ecs", AWS_JSON,
                 "AmazonEC2ContainerServiceV20141113", 8, 0},
    [AWS_SERVICEDISCOVERY] = {"Cloud Map", "SERVICEDISCOVERY", "servicediscovery",
                              "servicediscovery", "servicediscovery", AWS_JSON,
                              "Route53AutoNaming_v20170314", 8, 0},
    [AWS_EC2] = {"EC2", "EC2", "ec2", "ec2", "ec2", AWS_EC2_QUERY, "2016-11-15", 6, 0},
    [AWS_ELBV2] = {"Elastic Load Balancing", "ELASTIC_LOAD_BALANCING_V2",
                   "elastic_load_balancing_v2", "elasticloadbalancing", "elasticloadbalancing",
                   AWS_QUERY, "2015-12-01", 4, 0},
    /* Five requests a second for an account, whoever makes them. */
    [AWS_ROUTE53] = {"Route 53", "ROUTE_53", "route_53", "route53", "route53", AWS_REST_XML,
                     "2013-04-01", 1, 200},
    [AWS_ROUTE53RESOLVER] = {"Route 53 Resolver", "ROUTE53RESOLVER", "route53resolver",
                             "route53resolver", "route53resolver", AWS_JSON, "Route53Resolver", 2, 0},
    [AWS_STS] = {"STS", "STS", "sts", "sts", "sts", AWS_QUERY, "2011-06-15", 2, 0},
    /* LookupEvents: two a second for an account and region. */
    [AWS_CLOUDTRAIL] = {"CloudTrail", "CLOUDTRAIL", "cloudtrail", "cloudtrail", "cloudtrail",
                        AWS_JSON, "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", 1, 500},
    /* FilterLogEvents: five a second. */
    [AWS_LOGS] = {"CloudWatch Logs", "CLOUDWATCH_LOGS", "cloudwatch_logs", "logs", "logs", AWS_JSON,
                  "Logs_20140328", 2, 200},
    [AWS_CODEDEPLOY] = {"CodeDeploy", "CODEDEPLOY", "codedeploy", "codedeploy", "codedeploy",
                        AWS_JSON, "CodeDeploy_20141006", 2, 200},
    [AWS_SNS] = {"SNS", "SNS", "sns", "sns", "sns", AWS_QUERY, "2010-03-31", 4, 0},
    [AWS_CLOUDWATCH] = {"CloudWatch", "CLOUDWATCH", "cloudwatch", "monitoring", "monitoring",
                        AWS_QUERY, "2010-08-01", 2, 0},
};

static const struct aws_operation operations[AWS_OPERATION_COUNT] = {
    [ECS_LIST_SERVICES] = {AWS_ECS, "ListServices", 0, "maxResults", 100, "nextToken", "nextToken"},
    [ECS_DESCRIBE_SERVICES] = {AWS_ECS, "DescribeServices", 0, 0, 0, 0, 0},
    [ECS_LIST_TASKS] = {AWS_ECS, "ListTasks", 0, "maxResults", 100, "nextToken", "nextToken"},
    [ECS_DESCRIBE_TASKS] = {AWS_ECS, "DescribeTasks", 0, 0, 0, 0, 0},
    [ECS_DESCRIBE_TASK_DEFINITION] = {AWS_ECS, "DescribeTaskDefinition", 0, 0, 0, 0, 0},
    [SD_LIST_NAMESPACES] = {AWS_SERVICEDISCOVERY, "ListNamespaces", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [SD_LIST_SERVICES] = {AWS_SERVICEDISCOVERY, "ListServices", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [SD_LIST_INSTANCES] = {AWS_SERVICEDISCOVERY, "ListInstances", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [SD_GET_INSTANCES_HEALTH] = {AWS_SERVICEDISCOVERY, "GetInstancesHealthStatus", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [EC2_SECURITY_GROUPS] = {AWS_EC2, "DescribeSecurityGroups", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_SECURITY_GROUP_RULES] = {AWS_EC2, "DescribeSecurityGroupRules", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_NETWORK_ACLS] = {AWS_EC2, "DescribeNetworkAcls", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_ROUTE_TABLES] = {AWS_EC2, "DescribeRouteTables", 0, "MaxResults", 100, "NextToken", "nextToken"},
    [EC2_SUBNETS] = {AWS_EC2, "DescribeSubnets", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_VPCS] = {AWS_EC2, "DescribeVpcs", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_VPC_ATTRIBUTE] = {AWS_EC2, "DescribeVpcAttribute", 0, 0, 0, 0, 0},
    [EC2_DHCP_OPTIONS] = {AWS_EC2, "DescribeDhcpOptions", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_NETWORK_INTERFACES] = {AWS_EC2, "DescribeNetworkInterfaces", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [EC2_PREFIX_LISTS] = {AWS_EC2, "DescribeManagedPrefixLists", 0, "MaxResults", 100, "NextToken", "nextToken"},
    [EC2_PREFIX_LIST_ENTRIES] = {AWS_EC2, "GetManagedPrefixListEntries", 0, "MaxResults", 100, "NextToken", "nextToken"},
    [ELB_TARGET_GROUPS] = {AWS_ELBV2, "DescribeTargetGroups", 0, "PageSize", 400, "Marker", "DescribeTargetGroupsResult/NextMarker"},
    [ELB_TARGET_HEALTH] = {AWS_ELBV2, "DescribeTargetHealth", 0, 0, 0, 0, 0},
    [R53_ZONES_BY_VPC] = {AWS_ROUTE53, "ListHostedZonesByVPC", "/2013-04-01/hostedzonesbyvpc", "maxitems", 100, "nexttoken", "NextToken"},
    [R53_RECORDS] = {AWS_ROUTE53, "ListResourceRecordSets", "/2013-04-01/hostedzone/*/rrset", "maxitems", 300, "name", "NextRecordName"},
    [RESOLVER_RULES] = {AWS_ROUTE53RESOLVER, "ListResolverRules", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [RESOLVER_RULE_ASSOCIATIONS] = {AWS_ROUTE53RESOLVER, "ListResolverRuleAssociations", 0, "MaxResults", 100, "NextToken", "NextToken"},
    [EC2_FLOW_LOGS] = {AWS_EC2, "DescribeFlowLogs", 0, "MaxResults", 1000, "NextToken", "nextToken"},
    [CT_LOOKUP_EVENTS] = {AWS_CLOUDTRAIL, "LookupEvents", 0, 0, 0, 0, 0},
    [LOGS_FILTER_EVENTS] = {AWS_LOGS, "FilterLogEvents", 0, 0, 0, 0, 0},
    [LOGS_GET_EVENTS] = {AWS_LOGS, "GetLogEvents", 0, 0, 0, 0, 0},
    [ECS_LIST_SERVICE_DEPLOYMENTS] = {AWS_ECS, "ListServiceDeployments", 0, "maxResults", 20, "nextToken", "nextToken"},
    [ECS_DESCRIBE_SERVICE_DEPLOYMENTS] = {AWS_ECS, "DescribeServiceDeployments", 0, 0, 0, 0, 0},
    [ECS_CONTINUE_SERVICE_DEPLOYMENT] = {AWS_ECS, "ContinueServiceDeployment", 0, 0, 0, 0, 0},
    [ECS_STOP_SERVICE_DEPLOYMENT] = {AWS_ECS, "StopServiceDeployment", 0, 0, 0, 0, 0},
    [ECS_UPDATE_SERVICE] = {AWS_ECS, "UpdateService", 0, 0, 0, 0, 0},
    [CODEDEPLOY_GET_DEPLOYMENT] = {AWS_CODEDEPLOY, "GetDeployment", 0, 0, 0, 0, 0},
    [CODEDEPLOY_PUT_HOOK_STATUS] = {AWS_CODEDEPLOY, "PutLifecycleEventHookExecutionStatus", 0, 0, 0, 0, 0},
    [CODEDEPLOY_STOP_DEPLOYMENT] = {AWS_CODEDEPLOY, "StopDeployment", 0, 0, 0, 0, 0},
    [SNS_PUBLISH] = {AWS_SNS, "Publish", 0, 0, 0, 0, 0},
    [CLOUDWATCH_PUT_METRIC_DATA] = {AWS_CLOUDWATCH, "PutMetricData", 0, 0, 0, 0, 0},
};
/* clang-format on */

const struct aws_service *aws_service(enum aws_service_id id)
{
    return &services[id];
}

const struct aws_operation *aws_operation(enum aws_operation_id id)
{
    return &operations[id];
}

void aws_permission(enum aws_operation_id id, char *text, size_t size)
{
    snprintf(text, size, "%s:%s", services[operations[id].service].signing, operations[id].name);
}
