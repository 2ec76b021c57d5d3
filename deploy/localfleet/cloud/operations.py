"""What each operation answers, out of an estate (estate.py): (estate, parameters) -> answer.

Answers have the members of the vendor's models; lists are paged by the server.
"""

import uuid
from datetime import datetime, timedelta, timezone

from .sigv4 import Refused


def short(arn):
    return arn.rsplit("/", 1)[-1]


# ---- ECS ----

def cluster(estate, parameters):
    name = short(parameters.get("cluster", "default"))
    if name not in estate["ecs"]["clusters"]:
        raise Refused("ClusterNotFoundException", "Cluster not found.")
    return estate["ecs"]["clusters"][name]


def list_services(estate, parameters):
    return {"serviceArns": [service["serviceArn"] for service in cluster(estate, parameters)["services"]]}


def found(wanted, items, key):
    by_arn = {item[key]: item for item in items}
    by_name = {short(arn): item for arn, item in by_arn.items()}
    hits = {name: by_arn.get(name) or by_name.get(name) for name in wanted}
    return ([item for item in hits.values() if item],
            [{"arn": name, "reason": "MISSING"} for name, item in hits.items() if not item])


def describe_services(estate, parameters):
    if not 1 <= len(parameters["services"]) <= 10:
        raise Refused("InvalidParameterException", "Services cannot be empty or more than 10.")
    services, failures = found(parameters["services"], cluster(estate, parameters)["services"], "serviceArn")
    return {"services": services, "failures": failures}


def list_tasks(estate, parameters):
    wanted = parameters.get("desiredStatus", "RUNNING")
    service = parameters.get("serviceName")
    return {"taskArns": [task["taskArn"] for task in cluster(estate, parameters)["tasks"]
                         if task["desiredStatus"] == wanted and service in (None, task["group"].split(":", 1)[-1])]}


def describe_tasks(estate, parameters):
    if not 1 <= len(parameters["tasks"]) <= 100:
        raise Refused("InvalidParameterException", "Tasks cannot be empty or more than 100.")
    tasks, failures = found(parameters["tasks"], cluster(estate, parameters)["tasks"], "taskArn")
    return {"tasks": tasks, "failures": failures}


def describe_task_definition(estate, parameters):
    definition = estate["ecs"]["definitions"].get(short(parameters["taskDefinition"]))
    if not definition:
        raise Refused("ClientException", "Unable to describe task definition.")
    return {"taskDefinition": definition}


def list_service_deployments(estate, parameters):
    service = short(parameters["service"])
    found = [one for one in estate["ecs"].get("service_deployments", []) if short(one["serviceArn"]) == service]
    keys = ("serviceDeploymentArn", "serviceArn", "clusterArn", "createdAt", "startedAt", "finishedAt", "status", "statusReason")
    return {"serviceDeployments": [{key: one[key] for key in keys if key in one} for one in reversed(found)]}


def describe_service_deployments(estate, parameters):
    known = {one["serviceDeploymentArn"]: one for one in estate["ecs"].get("service_deployments", [])}
    wanted = parameters["serviceDeploymentArns"]
    return {"serviceDeployments": [known[name] for name in wanted if name in known],
            "failures": [{"arn": name, "reason": "MISSING"} for name in wanted if name not in known]}


def get_codedeploy(estate, parameters):
    info = estate["ecs"].get("codedeploy", {}).get(parameters["deploymentId"])
    if not info:
        raise Refused("DeploymentDoesNotExistException", "No deployment found.")
    return {"deploymentInfo": info}


# ---- Cloud Map ----

def list_namespaces(estate, _):
    return {"Namespaces": estate["servicediscovery"]["namespaces"]}


def list_registries(estate, parameters):
    """Filtered by namespace; which one a service is in only GetService tells."""
    services = estate["servicediscovery"]["services"]
    for one in parameters.get("Filters", []):
        if one["Name"] != "NAMESPACE_ID" or len(one["Values"]) != 1:
            raise Refused("InvalidInput", "expected NAMESPACE_ID with one value")
        services = [service for service in services if service["DnsConfig"]["NamespaceId"] == one["Values"][0]]
    return {"Services": [{**service, "DnsConfig": {key: value for key, value in service["DnsConfig"].items()
                                                   if key != "NamespaceId"}} for service in services]}


def instances(estate, parameters):
    if parameters["ServiceId"] not in estate["servicediscovery"]["instances"]:
        raise Refused("ServiceNotFound", "Service not found")
    return estate["servicediscovery"]["instances"][parameters["ServiceId"]]


def list_instances(estate, parameters):
    return {"Instances": [{"Id": one["Id"], "Attributes": one["Attributes"]} for one in instances(estate, parameters)]}


def instances_health(estate, parameters):
    return {"Status": {one["Id"]: one["Health"] for one in instances(estate, parameters)}}


# ---- EC2 ----

FILTERS = {"vpc-id": "vpcId", "dhcp-options-id": "dhcpOptionsId", "group-id": "groupId"}


def filtered(items, parameters):
    for one in parameters.get("Filter", []):
        if one["Name"] not in FILTERS:
            raise Refused("InvalidParameterValue", f"The filter '{one['Name']}' is invalid")
        items = [item for item in items if item.get(FILTERS[one["Name"]]) in one["Value"]]
    return items


def described(part, answer):
    return lambda estate, parameters: {answer: filtered(estate["ec2"][part], parameters)}


def vpc_attribute(estate, parameters):
    vpc = next((vpc for vpc in estate["ec2"]["vpcs"] if vpc["vpcId"] == parameters["VpcId"]), None)
    if not vpc:
        raise Refused("InvalidVpcID.NotFound", f"The vpc ID '{parameters['VpcId']}' does not exist")
    attribute = parameters["Attribute"]
    return {"vpcId": vpc["vpcId"], attribute: {"value": estate["ec2"]["attributes"][vpc["vpcId"]][attribute]}}


def prefix_list_entries(estate, parameters):
    if parameters["PrefixListId"] not in estate["ec2"]["entries"]:
        raise Refused("InvalidPrefixListID.NotFound", "The prefix list does not exist")
    return {"entrySet": estate["ec2"]["entries"][parameters["PrefixListId"]]}


# ---- load balancers ----

def target_groups(estate, _):
    return {"TargetGroups": estate["elb"]["groups"]}


def target_health(estate, parameters):
    if parameters["TargetGroupArn"] not in estate["elb"]["health"]:
        raise Refused("TargetGroupNotFound", "One or more target groups not found")
    return {"TargetHealthDescriptions": estate["elb"]["health"][parameters["TargetGroupArn"]]}


# ---- Route 53 ----

def zones_by_vpc(estate, parameters):
    return {"HostedZoneSummaries": [
        {"HostedZoneId": zone["Id"], "Name": zone["Name"], "Owner": {"OwningService": "servicediscovery.amazonaws.com"}}
        for zone in estate["route53"]["zones"] if parameters["vpcid"] in zone["vpcs"]]}


def records(estate, parameters):
    zone = next((zone for zone in estate["route53"]["zones"] if zone["Id"] == parameters["Id"]), None)
    if not zone:
        raise Refused("NoSuchHostedZone", f"No hosted zone found with ID: {parameters['Id']}")
    return {"ResourceRecordSets": zone["records"]}


def resolver_rules(estate, _):
    return {"ResolverRules": estate["resolver"]["rules"]}


def rule_associations(estate, _):
    return {"ResolverRuleAssociations": estate["resolver"]["associations"]}


# ---- CloudTrail, logs ----

def flow_logs(estate, _):
    return {"flowLogSet": estate["ec2"].get("flow_logs", [])}


def lookup_events(estate, parameters):
    """The newest first; by one attribute."""
    attributes = parameters.get("LookupAttributes", [])
    if len(attributes) > 1:
        raise Refused("InvalidLookupAttributesException", "You can specify only one lookup attribute.")
    events = [event for event in estate.get("trail", [])
              if parameters.get("StartTime", 0) <= event["EventTime"] <= parameters.get("EndTime", float("inf"))]
    for one in attributes:
        if one["AttributeKey"] != "ResourceName":
            raise Refused("InvalidLookupAttributesException", "only ResourceName is known here")
        events = [event for event in events
                  if any(resource["ResourceName"] == one["AttributeValue"] for resource in event["Resources"])]
    return {"Events": sorted(events, key=lambda event: (-event["EventTime"], event["EventId"]))}


def filter_log_events(estate, parameters):
    """Of the filter patterns only "text", which the message has to hold."""
    group = parameters["logGroupName"]
    if group not in estate.get("logs", {}):
        raise Refused("ResourceNotFoundException", "The specified log group does not exist.")
    prefix, text = parameters.get("logStreamNamePrefix", ""), parameters.get("filterPattern", "").strip('"')
    streams = parameters.get("logStreamNames")
    return {"events": [event for event in estate["logs"][group]
                       if event["logStreamName"].startswith(prefix) and text in event["message"]
                       and (not streams or event["logStreamName"] in streams)
                       and parameters.get("startTime", 0) <= event["timestamp"] <= parameters.get("endTime", 1 << 60)]}


def get_log_events(estate, parameters):
    """The newest, in the order of time."""
    group = parameters["logGroupName"]
    lines = [event for event in estate.get("logs", {}).get(group, []) if event["logStreamName"] == parameters["logStreamName"]]
    if not lines:
        raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
    return {"events": [{key: line[key] for key in ("timestamp", "message", "ingestionTime")}
                       for line in lines[-parameters.get("limit", 10000):]],
            "nextForwardToken": "f/0", "nextBackwardToken": "b/0"}


# ---- SNS, CloudWatch: what was sent is in the server's list of calls ----

def publish(_, parameters):
    if not parameters.get("TopicArn", "").startswith("arn:aws:sns:"):
        raise Refused("InvalidParameter", "Invalid parameter: TopicArn")
    return {"MessageId": str(uuid.uuid4())}


def put_metric_data(_, parameters):
    if not parameters.get("Namespace") or not parameters.get("MetricData"):
        raise Refused("MissingParameter", "The parameters Namespace and MetricData are required.")
    return {}


# ---- STS ----

def role_keys(estate, parameters, what):
    key = next((name for name, key in estate["keys"].items() if key.get("role") == parameters["RoleArn"]), None)
    if not key:
        raise Refused("AccessDenied", f"User is not authorized to perform: sts:{what} on {parameters['RoleArn']}")
    expires = datetime.now(timezone.utc) + timedelta(hours=1)
    return {"Credentials": {"AccessKeyId": key, "SecretAccessKey": estate["keys"][key]["secret"],
                            "SessionToken": estate["keys"][key]["token"],
                            "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"},
            "AssumedRoleUser": {"AssumedRoleId": "AROAEXAMPLE:" + parameters["RoleSessionName"],
                                "Arn": parameters["RoleArn"] + "/" + parameters["RoleSessionName"]}}


def assume_role(estate, parameters):
    return role_keys(estate, parameters, "AssumeRole")


def assume_role_with_web_identity(estate, parameters):
    if parameters["WebIdentityToken"] != estate["web_identity"]:
        raise Refused("InvalidIdentityToken", "The web identity token is not valid")
    return role_keys(estate, parameters, "AssumeRoleWithWebIdentity")


# (service, operation): (function, list that is paged, its default page, the largest)
OPERATIONS = {
    ("ecs", "ListServices"): (list_services, "serviceArns", 10, 100),
    ("ecs", "DescribeServices"): (describe_services, None, 0, 0),
    ("ecs", "ListTasks"): (list_tasks, "taskArns", 100, 100),
    ("ecs", "DescribeTasks"): (describe_tasks, None, 0, 0),
    ("ecs", "DescribeTaskDefinition"): (describe_task_definition, None, 0, 0),
    ("ecs", "ListServiceDeployments"): (list_service_deployments, "serviceDeployments", 20, 100),
    ("ecs", "DescribeServiceDeployments"): (describe_service_deployments, None, 0, 0),
    ("codedeploy", "GetDeployment"): (get_codedeploy, None, 0, 0),
    ("servicediscovery", "ListNamespaces"): (list_namespaces, "Namespaces", 100, 100),
    ("servicediscovery", "ListServices"): (list_registries, "Services", 100, 100),
    ("servicediscovery", "ListInstances"): (list_instances, "Instances", 100, 100),
    ("servicediscovery", "GetInstancesHealthStatus"): (instances_health, "Status", 100, 100),
    ("ec2", "DescribeSecurityGroups"): (described("groups", "securityGroupInfo"), "securityGroupInfo", 1000, 1000),
    ("ec2", "DescribeSecurityGroupRules"): (described("rules", "securityGroupRuleSet"), "securityGroupRuleSet", 1000,
                                            1000),
    ("ec2", "DescribeNetworkAcls"): (described("acls", "networkAclSet"), "networkAclSet", 1000, 1000),
    ("ec2", "DescribeRouteTables"): (described("routes", "routeTableSet"), "routeTableSet", 100, 100),
    ("ec2", "DescribeSubnets"): (described("subnets", "subnetSet"), "subnetSet", 1000, 1000),
    ("ec2", "DescribeVpcs"): (described("vpcs", "vpcSet"), "vpcSet", 1000, 1000),
    ("ec2", "DescribeVpcAttribute"): (vpc_attribute, None, 0, 0),
    ("ec2", "DescribeDhcpOptions"): (described("dhcp", "dhcpOptionsSet"), "dhcpOptionsSet", 1000, 1000),
    ("ec2", "DescribeNetworkInterfaces"): (described("interfaces", "networkInterfaceSet"), "networkInterfaceSet", 1000,
                                           1000),
    ("ec2", "DescribeManagedPrefixLists"): (described("prefix_lists", "prefixListSet"), "prefixListSet", 100, 100),
    ("ec2", "GetManagedPrefixListEntries"): (prefix_list_entries, "entrySet", 100, 100),
    ("elasticloadbalancing", "DescribeTargetGroups"): (target_groups, "TargetGroups", 400, 400),
    ("elasticloadbalancing", "DescribeTargetHealth"): (target_health, None, 0, 0),
    ("route53", "ListHostedZonesByVPC"): (zones_by_vpc, "HostedZoneSummaries", 100, 100),
    ("route53", "ListResourceRecordSets"): (records, "ResourceRecordSets", 300, 300),
    ("route53resolver", "ListResolverRules"): (resolver_rules, "ResolverRules", 100, 100),
    ("route53resolver", "ListResolverRuleAssociations"): (rule_associations, "ResolverRuleAssociations", 100, 100),
    ("ec2", "DescribeFlowLogs"): (flow_logs, "flowLogSet", 1000, 1000),
    ("cloudtrail", "LookupEvents"): (lookup_events, "Events", 50, 50),
    ("logs", "FilterLogEvents"): (filter_log_events, "events", 10000, 10000),
    ("logs", "GetLogEvents"): (get_log_events, None, 0, 0),
    ("sns", "Publish"): (publish, None, 0, 0),
    ("monitoring", "PutMetricData"): (put_metric_data, None, 0, 0),
    ("sts", "AssumeRole"): (assume_role, None, 0, 0),
    ("sts", "AssumeRoleWithWebIdentity"): (assume_role_with_web_identity, None, 0, 0),
}

# Where a page's size and token stand in a request, and the next one in an answer.
PAGING = {"ecs": ("maxResults", "nextToken", "nextToken"), "servicediscovery": ("MaxResults", "NextToken", "NextToken"),
          "route53resolver": ("MaxResults", "NextToken", "NextToken"), "ec2": ("MaxResults", "NextToken", "nextToken"),
          "elasticloadbalancing": ("PageSize", "Marker", "NextMarker"),
          "cloudtrail": ("MaxResults", "NextToken", "NextToken"), "logs": ("limit", "nextToken", "nextToken")}


def clamp(parameters, name, default, largest):
    size = int(parameters.get(name, default))
    if not 1 <= size <= largest:
        raise Refused("InvalidParameterException", f"{name} is 1 to {largest}")
    return size


def page(service, answer, key, parameters, default, largest, most):
    """One page of an answer. `most`: never more items than that, to have several pages."""
    items = answer[key]
    if service == "route53":
        return route53_page(answer, key, parameters, min(clamp(parameters, "maxitems", default, largest), most))
    size_name, token_name, next_name = PAGING[service]
    size = min(clamp(parameters, size_name, default, largest), most)
    start = int(parameters.get(token_name, "page-0").removeprefix("page-"))
    pairs = list(items.items()) if isinstance(items, dict) else items
    part = pairs[start:start + size]
    result = dict(answer, **{key: dict(part) if isinstance(items, dict) else part})
    if start + size < len(items):
        result[next_name] = f"page-{start + size}"
    return result


def record_key(record):
    """Route 53's order: the labels from the right, then the type, then the identifier."""
    return (record["Name"].split(".")[::-1], record["Type"], record.get("SetIdentifier", ""))


def route53_page(answer, key, parameters, size):
    if key == "HostedZoneSummaries":
        start = int(parameters.get("nexttoken", "page-0").removeprefix("page-"))
        more = {"NextToken": f"page-{start + size}"} if start + size < len(answer[key]) else {}
        return {key: answer[key][start:start + size], "MaxItems": size, **more}
    items = sorted(answer[key], key=record_key)
    if "name" in parameters:
        start = (parameters["name"].split(".")[::-1], parameters.get("type", ""), parameters.get("identifier", ""))
        items = [item for item in items if record_key(item) >= start]
    result = {key: items[:size], "IsTruncated": len(items) > size, "MaxItems": size}
    if len(items) > size:
        result.update(NextRecordName=items[size]["Name"], NextRecordType=items[size]["Type"],
                      NextRecordIdentifier=items[size].get("SetIdentifier"))
    return result
