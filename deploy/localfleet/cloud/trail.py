"""What CloudTrail would have of the changes to an estate: who did what, when."""

import json
import time

from .estate import ACCOUNT, REGION

PLANTER = "platform-admin"  # who plants the faults


def event(number, name, source, user, at, resource, parameters):
    """`at`: seconds since the epoch."""
    detail = {"eventVersion": "1.08", "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
              "eventSource": source, "eventName": name, "awsRegion": REGION,
              "userIdentity": {"type": "IAMUser", "userName": user, "arn": f"arn:aws:iam::{ACCOUNT}:user/{user}",
                               "accountId": ACCOUNT},
              "sourceIPAddress": "192.0.2.10", "requestParameters": parameters, "readOnly": False}
    return {"EventId": f"00000000-0000-4000-8000-{number:012d}", "EventName": name, "ReadOnly": "false",
            "EventTime": at, "EventSource": source, "Username": user,
            "Resources": [{"ResourceName": resource}], "CloudTrailEvent": json.dumps(detail)}


def rules_of(document):
    return {rule["securityGroupRuleId"]: rule for rule in document["ec2"]["rules"]}


def entries_of(document):
    return {(acl["networkAclId"], entry["ruleNumber"], entry["egress"]): entry
            for acl in document["ec2"]["acls"] for entry in acl["entrySet"]}


def routes_of(document):
    return {(table["routeTableId"], route["destinationCidrBlock"]): route
            for table in document["ec2"]["routes"] for route in table["routeSet"]}


def groups_of_interfaces(document):
    return {one["networkInterfaceId"]: [group["groupId"] for group in one["groupSet"]]
            for one in document["ec2"]["interfaces"]}


def differences(before, after):
    """(operation, source, resource, parameters) of each call that would have made the one into the other."""
    old, new = rules_of(before), rules_of(after)
    for verb, gone, there in (("Revoke", old, new), ("Authorize", new, old)):
        for key in sorted(set(gone) - set(there)):
            rule = gone[key]
            way = "Egress" if rule["isEgress"] else "Ingress"
            yield (f"{verb}SecurityGroup{way}", "ec2.amazonaws.com", rule["groupId"],
                   {"groupId": rule["groupId"], "securityGroupRuleIds": {"items": [{"securityGroupRuleId": key}]}})
    known = {group["groupId"] for group in before["ec2"]["groups"]}
    for group in after["ec2"]["groups"]:
        if group["groupId"] not in known:
            yield ("CreateSecurityGroup", "ec2.amazonaws.com", group["groupId"],
                   {"groupName": group["groupName"], "vpcId": group["vpcId"]})
    old = groups_of_interfaces(before)
    for interface, groups in groups_of_interfaces(after).items():
        if old.get(interface, groups) != groups:
            yield ("ModifyNetworkInterfaceAttribute", "ec2.amazonaws.com", interface,
                   {"networkInterfaceId": interface, "groupSet": {"items": [{"groupId": group} for group in groups]}})
    for kind, find, names in (("NetworkAclEntry", entries_of, ("networkAclId", "ruleNumber", "egress")),
                              ("Route", routes_of, ("routeTableId", "destinationCidrBlock"))):
        old, new = find(before), find(after)
        for verb, gone, there in (("Delete", old, new), ("Create", new, old)):
            for key in sorted(set(gone) - set(there)):
                yield verb + kind, "ec2.amazonaws.com", key[0], dict(zip(names, key))
    for vpc, attributes in after["ec2"]["attributes"].items():
        if before["ec2"]["attributes"].get(vpc, attributes) != attributes:
            yield ("ModifyVpcAttribute", "ec2.amazonaws.com", vpc,
                   {"vpcId": vpc, "enableDnsSupport": {"value": attributes["enableDnsSupport"]}})
    old = {service["serviceName"]: service["taskDefinition"] for cluster in before["ecs"]["clusters"].values()
           for service in cluster["services"]}
    for cluster in after["ecs"]["clusters"].values():
        for service in cluster["services"]:
            if old.get(service["serviceName"], service["taskDefinition"]) != service["taskDefinition"]:
                yield ("UpdateService", "ecs.amazonaws.com", service["serviceName"],
                       {"service": service["serviceName"], "taskDefinition": service["taskDefinition"]})
