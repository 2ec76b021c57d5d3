"""Calls that change an estate: (estate, parameters) -> answer. The estate is changed in place."""

from .estate import identifier
from .sigv4 import Refused


def as_list(value):
    return value if isinstance(value, list) else [value] if value else []


# ---- security groups ----

def group_of(estate, parameters):
    group = next((one for one in estate["ec2"]["groups"] if one["groupId"] == parameters.get("GroupId")), None)
    if not group:
        raise Refused("InvalidGroup.NotFound", f"The security group '{parameters.get('GroupId')}' does not exist")
    return group


def permissions(estate, parameters):
    """Each of the IpPermissions' ends as a rule without id."""
    group = group_of(estate, parameters)
    for one in as_list(parameters.get("IpPermissions")):
        what = {"groupId": group["groupId"], "groupOwnerId": group["ownerId"], "ipProtocol": one["IpProtocol"],
                "fromPort": int(one.get("FromPort", -1)), "toPort": int(one.get("ToPort", -1))}
        for end in as_list(one.get("Groups")):
            group_of(estate, end)
            yield {**what, "referencedGroupInfo": {"groupId": end["GroupId"], "userId": group["ownerId"]}}
        for end in as_list(one.get("IpRanges")):
            yield {**what, "cidrIpv4": end["CidrIp"]}
        for end in as_list(one.get("Ipv6Ranges")):
            yield {**what, "cidrIpv6": end["CidrIpv6"]}
        for end in as_list(one.get("PrefixListIds")):
            yield {**what, "prefixListId": end["PrefixListId"]}


def key_of(rule):
    peer = rule.get("referencedGroupInfo", {}).get("groupId")
    return (rule["groupId"], rule["ipProtocol"], rule["fromPort"], rule["toPort"], peer, rule.get("cidrIpv4"),
            rule.get("cidrIpv6"), rule.get("prefixListId"))


def find_rule(estate, is_egress, wanted):
    return next((rule for rule in estate["ec2"]["rules"] if rule["isEgress"] == is_egress and key_of(rule) == key_of(wanted)),
                None)


def authorize(is_egress):
    def call(estate, parameters):
        added = []
        for wanted in permissions(estate, parameters):
            if find_rule(estate, is_egress, wanted):
                raise Refused("InvalidPermission.Duplicate", "the specified rule already exists")
            added.append({"securityGroupRuleId": identifier("sgr", repr(key_of(wanted)), "by a call"), "isEgress": is_egress, **wanted})
        if not added:
            raise Refused("MissingParameter", "The request must contain the parameter ipPermissions")
        estate["ec2"]["rules"] += added
        return {"return": True, "securityGroupRuleSet": added}
    return call


def revoke(is_egress):
    def call(estate, parameters):
        group_of(estate, parameters)
        ids = as_list(parameters.get("SecurityGroupRuleId"))
        gone = [rule for rule in estate["ec2"]["rules"]
                if rule["securityGroupRuleId"] in ids and rule["isEgress"] == is_egress]
        gone += [rule for wanted in permissions(estate, parameters) for rule in [find_rule(estate, is_egress, wanted)] if rule]
        if not gone:
            raise Refused("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        estate["ec2"]["rules"] = [rule for rule in estate["ec2"]["rules"] if rule not in gone]
        return {"return": True, "revokedSecurityGroupRuleSet": gone}
    return call


# ---- ACLs ----

def acl_of(estate, parameters):
    acl = next((one for one in estate["ec2"]["acls"] if one["networkAclId"] == parameters.get("NetworkAclId")), None)
    if not acl:
        raise Refused("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{parameters.get('NetworkAclId')}' does not exist")
    return acl


def entry_of(acl, parameters):
    return next((one for one in acl["entrySet"] if one["ruleNumber"] == int(parameters["RuleNumber"])
                 and one["egress"] == (parameters["Egress"] == "true")), None)


def create_entry(estate, parameters):
    acl, number = acl_of(estate, parameters), int(parameters["RuleNumber"])
    if not 1 <= number <= 32766:
        raise Refused("InvalidParameterValue", f"Invalid value '{number}' for ruleNumber. Must be 1 to 32766")
    if entry_of(acl, parameters):
        raise Refused("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {number} already exists.")
    entry = {"ruleNumber": number, "egress": parameters["Egress"] == "true", "protocol": parameters["Protocol"],
             "ruleAction": parameters["RuleAction"]}
    entry.update({name: parameters[key] for key, name in (("CidrBlock", "cidrBlock"), ("Ipv6CidrBlock", "ipv6CidrBlock"))
                  if key in parameters})
    if entry["protocol"] in ("6", "17"):
        entry["portRange"] = {"from": int(parameters["PortRange"]["From"]), "to": int(parameters["PortRange"]["To"])}
    acl["entrySet"].append(entry)
    return {"return": True}


def delete_entry(estate, parameters):
    acl = acl_of(estate, parameters)
    entry = entry_of(acl, parameters)
    if not entry:
        raise Refused("InvalidNetworkAclEntry.NotFound", "The specified network acl entry does not exist.")
    acl["entrySet"].remove(entry)
    return {"return": True}


# ---- routes, VPCs ----

def table_of(estate, parameters):
    table = next((one for one in estate["ec2"]["routes"] if one["routeTableId"] == parameters.get("RouteTableId")), None)
    if not table:
        raise Refused("InvalidRouteTableID.NotFound", f"The routeTable ID '{parameters.get('RouteTableId')}' does not exist")
    return table


def delete_route(estate, parameters):
    table = table_of(estate, parameters)
    route = next((one for one in table["routeSet"]
                  if one.get("destinationCidrBlock") == parameters["DestinationCidrBlock"]), None)
    if not route or route.get("gatewayId") == "local":
        raise Refused("InvalidRoute.NotFound", f"no route with destination {parameters['DestinationCidrBlock']}")
    table["routeSet"].remove(route)
    return {"return": True}


def modify_vpc_attribute(estate, parameters):
    attributes = estate["ec2"]["attributes"].get(parameters["VpcId"])
    if attributes is None:
        raise Refused("InvalidVpcID.NotFound", f"The vpc ID '{parameters['VpcId']}' does not exist")
    for key, name in (("EnableDnsSupport", "enableDnsSupport"), ("EnableDnsHostnames", "enableDnsHostnames")):
        if key in parameters:
            attributes[name] = parameters[key]["Value"] == "true"
    return {"return": True}


# ---- registries ----

def deregister_instance(estate, parameters):
    instances = estate["servicediscovery"]["instances"].get(parameters["ServiceId"])
    if instances is None:
        raise Refused("ServiceNotFound", "Service not found")
    instance = next((one for one in instances if one["Id"] == parameters["InstanceId"]), None)
    if not instance:
        raise Refused("InstanceNotFound", "Instance not found")
    instances.remove(instance)
    for zone in estate["route53"]["zones"]:
        zone["records"] = [record for record in zone["records"] if record.get("SetIdentifier") != instance["Id"]]
    return {"OperationId": identifier("op", instance["Id"])}


# (service, operation): function
CHANGES = {
    ("ec2", "AuthorizeSecurityGroupIngress"): authorize(False),
    ("ec2", "AuthorizeSecurityGroupEgress"): authorize(True),
    ("ec2", "RevokeSecurityGroupIngress"): revoke(False),
    ("ec2", "RevokeSecurityGroupEgress"): revoke(True),
    ("ec2", "CreateNetworkAclEntry"): create_entry,
    ("ec2", "DeleteNetworkAclEntry"): delete_entry,
    ("ec2", "DeleteRoute"): delete_route,
    ("ec2", "ModifyVpcAttribute"): modify_vpc_attribute,
    ("servicediscovery", "DeregisterInstance"): deregister_instance,
}
