"""What AWS would say of a local fleet: its groups, subnets, tasks, registries and records.

Built from the same description as the namespaces, filters and records, and changed by the faults
that are planted, so that both tell the same story. Objects have the members of the vendor's models.
"""

import hashlib
import time

from ..model import ZONES, parent
from ..network import protocol_of

REGION, ACCOUNT, CLUSTER = "eu-west-1", "123456789012", "local"
VPC = "vpc-0local0fleet0000001"
KEYS = {"AKIAIOSFODNN7EXAMPLE": {"secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "user": "canreach"},
        "AKIAI44QH8DHBEXAMPLE": {"secret": "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", "user": "alice"}}
ACL_FAULT = 90  # rule number: before what allows everything
EPHEMERAL = (32768, 60999)  # of Linux
NO_CONDITION = {"cidrBlock": "0.0.0.0/0", "protocol": "-1"}


def identifier(prefix, *words, length=17):
    return f"{prefix}-" + hashlib.sha256("/".join(words).encode()).hexdigest()[:length]


def arn(service, rest):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def short_id(*words):
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:32]


def check_command(check):
    """As people write it into a task definition; None: they do not."""
    port = check["port"]
    return {"http": f"curl -f http://localhost:{port}{check.get('path', '/')} || exit 1",
            "https": f"curl -fk https://localhost:{port}{check.get('path', '/')} || exit 1",
            "grpc": f"grpc_health_probe -addr=localhost:{port}",
            "redis": f"redis-cli -p {port} ping",
            "postgres": f"pg_isready -p {port}",
            "mysql": f"mysqladmin ping -P {port}"}.get(check["check"])


class Estate:
    def __init__(self, fleet, started=None, spare_groups=0):
        self.fleet = fleet
        self.started = started or time.time()
        self.services = {name: service for name, service in fleet.services.items() if service.has_agents}
        self.groups = {}  # id -> of whom
        self.group_of, self.rules = {}, []
        self.acl_entries = {zone: [] for zone in ZONES}
        self.deployments, self.current, self.registered = {}, {}, {}  # deployments.py has them
        self.unhealthy, self.stopped, self.revisions, self.pending = set(), set(), {}, {}
        self.denied, self.dns_support = [], True
        self.black_holes = []  # (zone, block)
        for name in fleet.services:
            self.add_group(name)
        for service in fleet.services.values():
            for task in service.tasks:
                self.group_of[task.name] = self.group_id(service.name)
        for target in fleet.services.values():
            for source in fleet.services.values():
                self.allow_services(source, target)
        for number in range(spare_groups):
            self.add_group(f"spare-{number}")

    # ---- groups ----

    def group_id(self, name):
        return identifier("sg", name)

    def add_group(self, name):
        group = self.group_id(name)
        self.groups[group] = name
        self.rules.append(self.rule(group, True, ipProtocol="-1", fromPort=-1, toPort=-1, cidrIpv4="0.0.0.0/0"))
        return group

    def rule(self, group, is_egress, **what):
        text = repr((group, is_egress, sorted(what.items(), key=str)))
        return {"securityGroupRuleId": identifier("sgr", text), "groupId": group, "groupOwnerId": ACCOUNT,
                "isEgress": is_egress, **what}

    def allow(self, source_group, target_group, protocol, port):
        self.rules.append(self.rule(target_group, False, ipProtocol=protocol, fromPort=port, toPort=port,
                                    referencedGroupInfo={"groupId": source_group, "userId": ACCOUNT, "vpcId": VPC}))

    def allow_services(self, source, target):
        ports = {(protocol_of(check), check["port"]) for check in target.checks
                 if (source.name, target.name, check["name"]) not in self.fleet.denied}
        for protocol, port in sorted(ports):
            self.allow(self.group_id(source.name), self.group_id(target.name), protocol, port)

    def own_groups(self, tasks):
        """The groups of just these tasks; a task of a service that is not all there gets one of its own."""
        result = set()
        for task in tasks:
            service = self.fleet.services[task.service]
            if all(other in tasks for other in service.tasks):
                result.add(self.group_of[task.name])
                continue
            if self.groups[self.group_of[task.name]] != task.name:
                self.split_group(task)
            result.add(self.group_of[task.name])
        return result

    def split_group(self, task):
        old, new = self.group_of[task.name], self.group_id(task.name)
        self.groups[new] = task.name
        self.group_of[task.name] = new
        for rule in list(self.rules):
            what = {key: value for key, value in rule.items()
                    if key not in ("securityGroupRuleId", "groupId", "groupOwnerId", "isEgress")}
            if rule["groupId"] == old:
                self.rules.append(self.rule(new, rule["isEgress"], **what))
        for rule in list(self.rules):
            peer = rule.get("referencedGroupInfo")
            if peer and peer["groupId"] == old:
                self.allow(new, rule["groupId"], rule["ipProtocol"], rule["fromPort"])

    def drop(self, sources, targets):
        """Ingress rules that let the sources in at the targets are gone."""
        source_groups, target_groups = self.own_groups(sources), self.own_groups(targets)
        self.rules = [rule for rule in self.rules if not (
            not rule["isEgress"] and rule["groupId"] in target_groups
            and rule.get("referencedGroupInfo", {}).get("groupId") in source_groups)]

    def drop_all(self, tasks, is_egress):
        groups = self.own_groups(tasks)
        self.rules = [rule for rule in self.rules if rule["groupId"] not in groups or rule["isEgress"] != is_egress]

    def open(self, sources, targets):
        for target in targets:
            for check in self.fleet.services[target.service].checks:
                for source in self.own_groups(sources):
                    self.allow(source, self.own_groups([target]).pop(), protocol_of(check), check["port"])

    # ---- subnets' filters ----

    def deny(self, zone, is_egress, block, ports=None):
        """An entry in the zone's ACL, before what allows everything."""
        entry = {"ruleNumber": ACL_FAULT + len(self.acl_entries[zone]) % 10, "egress": is_egress, "ruleAction": "deny",
                 "cidrBlock": block, "protocol": "6" if ports else "-1"}
        if ports:
            entry["portRange"] = {"from": ports[0], "to": ports[1]}
        self.acl_entries[zone].append(entry)

    def lead_nowhere(self, zone, block):
        """A route of the zone's subnet whose target is gone."""
        self.black_holes.append((zone, block))

    def isolate_zone(self, zone):
        for other, block in ZONES.items():
            if other != zone:
                self.deny(zone, False, str(block))
                self.deny(zone, True, str(block))

    # ---- the document ----

    def document(self, rows):
        """`rows`: (name, type, content, ttl) of every record of the registry."""
        return {"keys": KEYS, "denied": self.denied, "web_identity": "token", "ecs": self.ecs(),
                "servicediscovery": self.registry(rows), "route53": {"zones": self.zones(rows)},
                "ec2": self.ec2(), "elb": {"groups": [], "health": {}},
                "resolver": {"rules": [], "associations": []}, "trail": [], "logs": {}}

    def subnet(self, zone):
        return identifier("subnet", zone)

    def task_id(self, task):
        return short_id("task", task.name)

    def interface(self, task):
        return identifier("eni", task.name)

    # ---- ECS ----

    def ecs(self):
        services = [self.ecs_service(service) for service in self.services.values()]
        tasks = [self.ecs_task(service, task) for service in self.services.values() for task in service.tasks]
        definitions = {}
        for service in self.services.values():
            for revision in {1, *(int(text.rsplit(":", 1)[1]) for text in (*self.revisions.values(), *self.registered)
                                  if text.startswith(service.name + ":"))}:
                definitions[f"{service.name}:{revision}"] = self.definition(service, revision)
        return {"clusters": {CLUSTER: {"services": services, "tasks": tasks}}, "definitions": definitions}

    def definition_arn(self, service, revision=1):
        return arn("ecs", f"task-definition/{service.name}:{revision}")

    def definition(self, service, revision):
        ports = [{"containerPort": check["port"], "hostPort": check["port"], "protocol": protocol_of(check),
                  "name": f"{service.name}-{check['name']}",
                  **({"appProtocol": check["check"]} if check["check"] in ("http", "grpc") else {})}
                 for check in service.checks]
        command = next(filter(None, map(check_command, service.checks)), None)
        app = {"name": service.name, "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{service.name}:{revision}",
               "essential": True, "portMappings": ports,
               "logConfiguration": {"logDriver": "awslogs", "options": {
                   "awslogs-group": f"/ecs/{service.name}", "awslogs-stream-prefix": "ecs", "awslogs-region": REGION}}}
        if command:
            app["healthCheck"] = {"command": ["CMD-SHELL", command], "interval": 10, "timeout": 5, "retries": 3,
                                  "startPeriod": 30}
        agent = {"name": "canreach-agent", "image": "canreach-agent:1", "essential": False, "portMappings": []}
        return {"taskDefinitionArn": self.definition_arn(service, revision), "family": service.name,
                "revision": revision, "networkMode": "awsvpc", "status": "ACTIVE", "cpu": "256", "memory": "512",
                "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [app, agent]}

    def ecs_service(self, service):
        count = len(service.tasks)
        running = sum(task.name not in self.stopped for task in service.tasks)
        revision = max((int(self.revisions[task.name].rsplit(":", 1)[1]) for task in service.tasks
                        if task.name in self.revisions), default=1)
        history = self.deployments.get(service.name)
        if history:
            revision = self.current[service.name]
        network = {"awsvpcConfiguration": {"subnets": [self.subnet(zone) for zone in ZONES],
                                           "securityGroups": [self.group_id(service.name)],
                                           "assignPublicIp": "DISABLED"}}
        state = "COMPLETED" if running == count and revision == 1 else "IN_PROGRESS"
        primary = {"id": "ecs-svc/" + str(int(short_id(service.name, str(revision))[:15], 16)), "status": "PRIMARY",
                   "taskDefinition": self.definition_arn(service, revision), "desiredCount": count,
                   "runningCount": running, "pendingCount": count - running, "failedTasks": 0,
                   "createdAt": self.started, "updatedAt": self.started, "launchType": "FARGATE",
                   "networkConfiguration": network, "rolloutState": state,
                   "rolloutStateReason": f"ECS deployment {state.lower()}."}
        deployments = [primary]
        if history:
            deployments = self.rolling(service, primary, history[-1])
        return {"serviceArn": arn("ecs", f"service/{CLUSTER}/{service.name}"), "serviceName": service.name,
                "clusterArn": arn("ecs", f"cluster/{CLUSTER}"), "status": "ACTIVE", "desiredCount": count,
                "runningCount": running, "pendingCount": count - running, "launchType": "FARGATE",
                "taskDefinition": self.definition_arn(service, revision), "networkConfiguration": network,
                "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True},
                                            "maximumPercent": 200, "minimumHealthyPercent": 100},
                "deploymentController": {"type": "ECS"}, "loadBalancers": [], "healthCheckGracePeriodSeconds": 0,
                "serviceRegistries": [{"registryArn": self.registry_arn(name)} for name in self.names(service)],
                "deployments": deployments, "schedulingStrategy": "REPLICA",
                "events": [{"id": short_id("event", service.name), "createdAt": self.started,
                            "message": f"(service {service.name}) has reached a steady state."}]}

    def rolling(self, service, primary, last):
        """The deployments while, and after, tasks are replaced."""
        fresh = sum(self.revisions.get(task.name, f"{service.name}:1") == f"{service.name}:{self.current[service.name]}"
                    for task in service.tasks)
        state = "COMPLETED" if last.is_over and fresh == len(service.tasks) else "IN_PROGRESS"
        primary.update(runningCount=fresh, pendingCount=len(service.tasks) - fresh, createdAt=last.created,
                       rolloutState=state, rolloutStateReason=f"ECS deployment {state.lower()}.")
        if fresh == len(service.tasks):
            return [primary]
        other = last.former if self.current[service.name] == last.revision else last.revision
        return [primary, {**primary, "id": primary["id"] + "0", "status": "ACTIVE", "createdAt": self.started,
                          "taskDefinition": self.definition_arn(service, other),
                          "runningCount": len(service.tasks) - fresh, "pendingCount": 0,
                          "desiredCount": len(service.tasks) - fresh, "rolloutState": "COMPLETED"}]

    def health_of(self, service, task):
        if not any(map(check_command, service.checks)):
            return "UNKNOWN"
        return "UNHEALTHY" if task.name in self.unhealthy | self.stopped else "HEALTHY"

    def ecs_task(self, service, task):
        revision = int(self.revisions.get(task.name, ":1").rsplit(":", 1)[1])
        health = self.health_of(service, task)
        attachment = short_id("attachment", task.name)
        containers = [{"containerArn": arn("ecs", f"container/{CLUSTER}/{self.task_id(task)}/{name}"), "name": name,
                       "taskArn": self.task_arn(task), "lastStatus": "RUNNING", "healthStatus": status,
                       "networkInterfaces": [{"attachmentId": attachment, "privateIpv4Address": task.address}]}
                      for name, status in ((service.name, health), ("canreach-agent", "UNKNOWN"))]
        return {"taskArn": self.task_arn(task), "clusterArn": arn("ecs", f"cluster/{CLUSTER}"),
                "taskDefinitionArn": self.definition_arn(service, revision), "group": f"service:{service.name}",
                "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "healthStatus": health, "launchType": "FARGATE",
                "availabilityZone": REGION + task.zone, "connectivity": "CONNECTED", "createdAt": self.started,
                "startedAt": self.started, "containers": containers, "attachments": [
                    {"id": attachment, "type": "ElasticNetworkInterface", "status": "ATTACHED", "details": [
                        {"name": "subnetId", "value": self.subnet(task.zone)},
                        {"name": "networkInterfaceId", "value": self.interface(task)},
                        {"name": "macAddress", "value": task.mac},
                        {"name": "privateIPv4Address", "value": task.address}]}]}

    def task_arn(self, task):
        return arn("ecs", f"task/{CLUSTER}/{self.task_id(task)}")

    # ---- Cloud Map, Route 53 ----

    def names(self, service):
        return service.names if service.checks else []

    def registry_id(self, name):
        return identifier("srv", name, length=16)

    def registry_arn(self, name):
        return arn("servicediscovery", f"service/{self.registry_id(name)}")

    def namespace_id(self, domain):
        return identifier("ns", domain, length=16)

    def zone_id(self, domain):
        return "Z" + short_id("zone", domain)[:20].upper()

    def instance_id(self, address, name):
        """A task's, where one has the address: else somebody left it behind."""
        task = next((task for task in self.fleet.tasks.values() if task.address == address), None)
        return self.task_id(task) if task else short_id("left", address, name)

    def registry(self, rows):
        services, instances = [], {}
        for service in self.services.values():
            for name in self.names(service):
                ttl = next((row[3] for row in rows if row[0] == name and row[1] in ("A", "SRV")), 60)
                services.append({
                    "Id": self.registry_id(name), "Arn": self.registry_arn(name), "Name": name.split(".", 1)[0],
                    "CreateDate": self.started, "HealthCheckCustomConfig": {"FailureThreshold": 1}, "Type": "DNS_HTTP",
                    "DnsConfig": {"NamespaceId": self.namespace_id(parent(name)), "RoutingPolicy": "MULTIVALUE",
                                  "DnsRecords": [{"Type": service.record, "TTL": ttl}]}})
                instances[self.registry_id(name)] = self.instances(service, name, rows)
        namespaces = [{"Id": self.namespace_id(domain), "Name": domain, "Type": "DNS_PRIVATE", "CreateDate": self.started,
                       "Arn": arn("servicediscovery", f"namespace/{self.namespace_id(domain)}"),
                       "Properties": {"DnsProperties": {"HostedZoneId": self.zone_id(domain), "SOA": {"TTL": 15}},
                                      "HttpProperties": {"HttpName": domain}}} for domain in self.fleet.domains]
        return {"namespaces": namespaces, "services": services, "instances": instances}

    def addresses(self, service, name, rows):
        """[(address, port)] that a name leads to."""
        if not service.is_srv:
            return [(row[2], None) for row in rows if row[0] == name and row[1] == "A"]
        by_host = {row[0]: row[2] for row in rows if row[1] == "A"}
        return [(by_host.get(host, ""), int(port)) for row in rows if row[0] == name and row[1] == "SRV"
                for _, port, host in [row[2].split()]]

    def rows_of(self, name, instance, rows):
        """The rows of one instance of a name."""
        hosts = {row[0]: row[2] for row in rows if row[1] == "A"}
        for row in rows:
            if row[0] != name or row[1] not in ("A", "SRV"):
                continue
            host = row[2].split()[-1] if row[1] == "SRV" else name
            if self.instance_id(hosts.get(host, "") if row[1] == "SRV" else row[2], name) == instance:
                yield row
                yield from (other for other in rows if row[1] == "SRV" and other[0] == host)

    def instances(self, service, name, rows):
        result = {}
        for address, port in self.addresses(service, name, rows):
            key = self.instance_id(address, name)
            task = next((task for task in service.tasks if task.address == address), None)
            attributes = {"AWS_INSTANCE_IPV4": address, "AWS_INIT_HEALTH_STATUS": "HEALTHY", "REGION": REGION,
                          "AVAILABILITY_ZONE": REGION + (task.zone if task else "a"), "ECS_CLUSTER_NAME": CLUSTER,
                          "ECS_SERVICE_NAME": service.name, "ECS_TASK_DEFINITION_FAMILY": service.name}
            if port:
                attributes["AWS_INSTANCE_PORT"] = str(port)
            result[key] = {"Id": key, "Attributes": attributes,
                           "Health": "UNHEALTHY" if task and task.name in self.unhealthy else "HEALTHY"}
        return list(result.values())

    def zones(self, rows):
        return [{"Id": self.zone_id(domain), "Name": domain + ".", "vpcs": [VPC],
                 "records": [self.record(row) for row in rows
                             if row[0] == domain or (row[0].endswith("." + domain) and self.domain_of(row[0]) == domain)]}
                for domain in self.fleet.domains]

    def domain_of(self, name):
        while name not in self.fleet.domains and "." in name:
            name = parent(name)
        return name

    def record(self, row):
        name, kind, content, ttl = row
        value = f"1 {content}" if kind == "SRV" else content
        result = {"Name": name + ".", "Type": kind, "TTL": ttl, "ResourceRecords": [{"Value": value}]}
        if kind in ("A", "SRV", "AAAA") and not name.startswith("ns."):
            address = content if kind != "SRV" else content.split()[-1]
            result["SetIdentifier"] = self.instance_id(address, name)
            result["MultiValueAnswer"] = True
        return result

    # ---- EC2 ----

    def ec2(self):
        return {"groups": [{"groupId": group, "groupName": name, "vpcId": VPC, "ownerId": ACCOUNT,
                            "groupDescription": f"of {name}"} for group, name in self.groups.items()],
                "rules": self.rules, "acls": self.acls(), "routes": [self.route_table(zone) for zone in ZONES],
                "subnets": [self.ec2_subnet(zone, block) for zone, block in ZONES.items()],
                "vpcs": [{"vpcId": VPC, "ownerId": ACCOUNT, "state": "available", "cidrBlock": "10.77.0.0/16",
                          "dhcpOptionsId": "dopt-0local0000000001", "instanceTenancy": "default", "isDefault": False,
                          "cidrBlockAssociationSet": [{"cidrBlock": "10.77.0.0/16",
                                                       "associationId": "vpc-cidr-assoc-0local00000001",
                                                       "cidrBlockState": {"state": "associated"}}]}],
                "attributes": {VPC: {"enableDnsSupport": self.dns_support, "enableDnsHostnames": True}},
                "dhcp": [{"dhcpOptionsId": "dopt-0local0000000001", "ownerId": ACCOUNT, "dhcpConfigurationSet": [
                    {"key": "domain-name", "valueSet": [{"value": f"{REGION}.compute.internal"}]},
                    {"key": "domain-name-servers", "valueSet": [{"value": "AmazonProvidedDNS"}]}]}],
                "interfaces": [self.ec2_interface(task) for task in self.fleet.tasks.values()],
                "prefix_lists": [], "entries": {}}

    def acls(self):
        allow = [{"ruleNumber": number, "egress": egress, "ruleAction": action, **NO_CONDITION}
                 for number, action in ((100, "allow"), (32767, "deny")) for egress in (False, True)]
        return [{"networkAclId": identifier("acl", zone), "vpcId": VPC, "default": False, "ownerId": ACCOUNT,
                 "associationSet": [{"networkAclAssociationId": identifier("aclassoc", zone),
                                     "networkAclId": identifier("acl", zone), "subnetId": self.subnet(zone)}],
                 "entrySet": self.acl_entries[zone] + allow} for zone in ZONES]

    def route_table(self, zone):
        """Each subnet has one of its own; the first is the VPC's main one."""
        table = identifier("rtb", zone)
        main = zone == next(iter(ZONES))
        gone = [{"destinationCidrBlock": block, "networkInterfaceId": identifier("eni", "gone", zone),
                 "state": "blackhole", "origin": "CreateRoute"} for other, block in self.black_holes if other == zone]
        return {"routeTableId": table, "vpcId": VPC, "ownerId": ACCOUNT,
                "associationSet": [{"routeTableAssociationId": identifier("rtbassoc", zone), "routeTableId": table,
                                    "main": main, **({} if main else {"subnetId": self.subnet(zone)}),
                                    "associationState": {"state": "associated"}}],
                "routeSet": [{"destinationCidrBlock": "10.77.0.0/16", "gatewayId": "local", "state": "active",
                              "origin": "CreateRouteTable"}, *gone]}

    def ec2_subnet(self, zone, block):
        used = sum(task.zone == zone for task in self.fleet.tasks.values())
        return {"subnetId": self.subnet(zone), "vpcId": VPC, "state": "available", "cidrBlock": str(block),
                "availabilityZone": REGION + zone, "availableIpAddressCount": block.num_addresses - 5 - used,
                "ownerId": ACCOUNT}

    def ec2_interface(self, task):
        group = self.group_of[task.name]
        return {"networkInterfaceId": self.interface(task), "subnetId": self.subnet(task.zone), "vpcId": VPC,
                "availabilityZone": REGION + task.zone, "status": "in-use", "interfaceType": "interface",
                "description": self.task_arn(task), "macAddress": task.mac, "privateIpAddress": task.address,
                "ownerId": ACCOUNT, "groupSet": [{"groupId": group, "groupName": self.groups[group]}],
                "privateIpAddressesSet": [{"privateIpAddress": task.address, "primary": True}]}


