"""aws: the stand-in for AWS's APIs (deploy/localfleet/cloud), an estate for it, and a collector that
asks it, all on loopback."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)
BIN = os.environ.get("CANREACH_BIN") or os.path.join(ROOT, "build", "release", "bin")
sys.path.insert(0, os.path.join(ROOT, "deploy"))
sys.dont_write_bytecode = True

from localfleet.cloud import estate as estates, trail  # noqa: E402
from localfleet.dns import Registry  # noqa: E402
from localfleet.model import build  # noqa: E402

ACCESS = next(iter(estates.KEYS))
SECRET = estates.KEYS[ACCESS]["secret"]
ENV = {"AWS_REGION": estates.REGION, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
       "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}

SHOP = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health }
services:
  web:      {}
  api:      { names: [api.shop.local, api-v2.shop.local] }
  payments: { record: SRV }
  cache:    { check: redis, port: 6379 }
  worker:   { check: none }
"""


def alone():
    """Runs a command in a network namespace of its own, with nobody else in it."""
    return ["unshare", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]), "--net"]


def clean_env():
    """Of this process, without what would lead AWS's tools elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CANREACH_"))}


def program(name):
    return os.path.join(BIN, name)


def fleet_of(text, tasks=2):
    """The local fleet's model of a fleet file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        result = subprocess.run([program("canreach"), "fleet", "check", file.name, "-o", "json"], text=True,
                                capture_output=True, check=True)
    return build(json.loads(result.stdout), tasks)


def rows_of(fleet):
    """The records of every task, as the registry would have them."""
    registry = Registry(fleet, "/nonexistent")
    return [row for service in fleet.services.values() if service.checks for task in service.tasks
            for row in registry.records(service, task.name, task.address)]


def document_of(fleet, **options):
    return estates.Estate(fleet, **options).document(rows_of(fleet))


FLOW_LINE = "2 123456789012 eni-0123456789abcdef0 10.77.16.10 10.77.16.12 40000 8080 6 3 180 1795278203 1795278263 REJECT OK"


def flow_log(name):
    """A VPC's, to CloudWatch Logs, in the default format."""
    return {"flowLogId": name, "flowLogStatus": "ACTIVE", "resourceId": estates.VPC, "trafficType": "ALL",
            "logDestinationType": "cloud-watch-logs", "logGroupName": "/vpc/flow", "deliverLogsStatus": "SUCCESS",
            "creationTime": "2026-01-01T00:00:00.000Z", "maxAggregationInterval": 60,
            "logFormat": "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} "
                         "${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"}


def log_line(stream, text, at=None):
    at = int((at or time.time()) * 1000)
    return {"logStreamName": stream, "timestamp": at, "ingestionTime": at, "message": text, "eventId": str(at)}


def plain(text=SHOP, tasks=2):
    return document_of(fleet_of(text, tasks))


def rich():
    """An estate in which every operation has something to tell: prefix lists, resolver rules, load
    balancers, Service Connect, a registry that differs from its tasks, stopped tasks, two clusters."""
    document = plain()
    ecs, ec2 = document["ecs"], document["ec2"]
    services = {service["serviceName"]: service for service in ecs["clusters"]["local"]["services"]}
    group = estates.arn("elasticloadbalancing", "targetgroup/web/1d81a22cdd283f88")
    services["web"]["loadBalancers"] = [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}]
    document["elb"] = {
        "groups": [{"TargetGroupArn": group, "TargetGroupName": "web", "Protocol": "HTTP", "Port": 8080,
                    "VpcId": estates.VPC, "HealthCheckProtocol": "HTTP", "HealthCheckPort": "traffic-port",
                    "HealthCheckEnabled": True, "HealthCheckIntervalSeconds": 30, "HealthCheckTimeoutSeconds": 5,
                    "HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2, "HealthCheckPath": "/health",
                    "Matcher": {"HttpCode": "200"}, "TargetType": "ip", "ProtocolVersion": "HTTP1",
                    "LoadBalancerArns": [estates.arn("elasticloadbalancing", "loadbalancer/app/web/50dc6c495c0c9188")]},
                   {"TargetGroupArn": group + "0", "TargetGroupName": "other", "Protocol": "TCP", "Port": 1,
                    "VpcId": estates.VPC, "TargetType": "ip"}],
        "health": {group: [{"Target": {"Id": "10.77.16.10", "Port": 8080, "AvailabilityZone": "eu-west-1a"},
                            "HealthCheckPort": "8080", "TargetHealth": {"State": "healthy"}},
                           {"Target": {"Id": "10.77.32.10", "Port": 8080, "AvailabilityZone": "eu-west-1b"},
                            "HealthCheckPort": "8080",
                            "TargetHealth": {"State": "unhealthy", "Reason": "Target.Timeout",
                                             "Description": "Request timed out"}}]}}
    ec2["prefix_lists"] = [{"prefixListId": "pl-0123456789abcdef0", "prefixListName": "offices", "state": "create-complete",
                            "addressFamily": "IPv4", "ownerId": estates.ACCOUNT, "maxEntries": 5, "version": 1},
                           {"prefixListId": "pl-6da54004", "prefixListName": "com.amazonaws.eu-west-1.s3",
                            "addressFamily": "IPv4", "ownerId": "AWS"}]
    ec2["entries"] = {"pl-0123456789abcdef0": [{"cidr": "192.0.2.0/24", "description": "here"},
                                               {"cidr": "198.51.100.0/24"}, {"cidr": "203.0.113.0/24"}]}
    ec2["rules"].append({"securityGroupRuleId": "sgr-0fedcba9876543210", "groupId": ec2["groups"][0]["groupId"],
                         "groupOwnerId": estates.ACCOUNT, "isEgress": False, "ipProtocol": "icmp", "fromPort": 8,
                         "toPort": -1, "prefixListId": "pl-0123456789abcdef0", "description": "ping <from> & \"office\""})
    document["resolver"] = {
        "rules": [{"Id": "rslvr-rr-0123456789abcdef0", "Name": "corp", "DomainName": "corp.example.", "Status": "COMPLETE",
                   "RuleType": "FORWARD", "TargetIps": [{"Ip": "10.1.1.1", "Port": 53}, {"Ip": "10.1.1.2", "Port": 53}],
                   "Arn": estates.arn("route53resolver", "resolver-rule/rslvr-rr-0123456789abcdef0"),
                   "OwnerId": estates.ACCOUNT, "ShareStatus": "NOT_SHARED"}],
        "associations": [{"Id": "rslvr-rrassoc-0123456789abcdef0", "ResolverRuleId": "rslvr-rr-0123456789abcdef0",
                          "VPCId": estates.VPC, "Status": "COMPLETE", "Name": "corp"}]}
    # Service Connect, in another cluster, beside a service of a name that is there already.
    connect = copy.deepcopy(services["worker"])
    connect.update(serviceName="quotes", serviceArn=estates.arn("ecs", "service/batch/quotes"), serviceRegistries=[],
                   clusterArn=estates.arn("ecs", "cluster/batch"),
                   taskDefinition=estates.arn("ecs", "task-definition/quotes:7"))
    connect["deployments"][0].update(taskDefinition=connect["taskDefinition"], serviceConnectConfiguration={
        "enabled": True, "namespace": estates.arn("servicediscovery", "namespace/ns-batch"),
        "services": [{"portName": "http", "discoveryName": "quotes",
                      "clientAliases": [{"port": 80, "dnsName": "quotes"}]},
                     {"portName": "admin", "clientAliases": [{"port": 9001}]}]})
    twin = copy.deepcopy(services["worker"])
    twin.update(serviceArn=estates.arn("ecs", "service/batch/worker"), clusterArn=connect["clusterArn"])
    ecs["definitions"]["quotes:7"] = dict(
        copy.deepcopy(ecs["definitions"]["worker:1"]), family="quotes", revision=7,
        taskDefinitionArn=connect["taskDefinition"], containerDefinitions=[
            {"name": "app", "image": "quotes:7", "essential": True,
             "portMappings": [{"containerPort": 9000, "protocol": "tcp", "name": "http", "appProtocol": "http"},
                              {"containerPort": 9001, "protocol": "tcp", "name": "admin"}]}])
    stopped = dict(copy.deepcopy(ecs["clusters"]["local"]["tasks"][0]), desiredStatus="STOPPED", lastStatus="STOPPED",
                   taskArn=estates.arn("ecs", "task/local/0123456789abcdef0123456789abcdef"), stopCode="EssentialContainerExited",
                   stoppedReason="Essential container in task exited", stoppedAt=time.time() - 60)
    stopped["containers"][0].update(exitCode=137, reason="OutOfMemoryError: Container killed due to memory usage")
    ecs["clusters"]["local"]["tasks"].append(stopped)
    ecs["clusters"]["batch"] = {"services": [connect, twin], "tasks": []}
    # What a task that is gone has left behind.
    cache = next(one for one in document["servicediscovery"]["services"] if one["Name"] == "cache")
    document["servicediscovery"]["instances"][cache["Id"]].append(
        {"Id": "0" * 32, "Health": "UNHEALTHY", "Attributes": {"AWS_INSTANCE_IPV4": "10.77.16.250"}})
    document["route53"]["zones"][0]["records"].append(
        {"Name": "cache.shop.local.", "Type": "A", "TTL": 10, "SetIdentifier": "0" * 32, "MultiValueAnswer": True,
         "ResourceRecords": [{"Value": "10.77.16.250"}]})
    ec2["flow_logs"] = [flow_log("fl-0123456789abcdef0")]
    document["trail"] = [trail.event(1, "RevokeSecurityGroupIngress", "ec2.amazonaws.com", "alice", int(time.time()) - 60,
                                     ec2["groups"][0]["groupId"], {"groupId": ec2["groups"][0]["groupId"]})]
    document["logs"] = {"/vpc/flow": [log_line("eni-0123456789abcdef0-all", FLOW_LINE)],
                        "/ecs/web": [log_line("ecs/web/0123", "ready"), log_line("ecs/web/0123", "oh no")]}
    document["servicediscovery"]["namespaces"].append(
        {"Id": "ns-batch", "Name": "batch.internal", "Type": "HTTP", "CreateDate": time.time(),
         "Arn": estates.arn("servicediscovery", "namespace/ns-batch"),
         "Properties": {"HttpProperties": {"HttpName": "batch.internal"}}})
    return document


class Aws:
    """The stand-in, with an estate."""

    def __init__(self, document, *options):
        self.folder = tempfile.mkdtemp(prefix="aws-", dir="/tmp")
        self.path = os.path.join(self.folder, "estate.json")
        self.put(document)
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "localfleet.cloud.server", "--estate", self.path, *options],
            cwd=os.path.join(ROOT, "deploy"), stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        scheme = "https" if "--tls" in options else "http"
        self.url = f"{scheme}://{self.address}"
        self.env = {**ENV, "AWS_ENDPOINT_URL": self.url}

    def put(self, document):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.rename(self.path + ".new", self.path)

    def order(self, *orders):
        """What it is to do wrong from now on; forgets the calls so far."""
        request = urllib.request.Request(self.url + "/standin/orders", json.dumps(orders).encode())
        with urllib.request.urlopen(request):
            pass

    def calls(self):
        with urllib.request.urlopen(self.url + "/standin/calls") as answer:
            return json.load(answer)

    def operations(self):
        return [call["operation"] for call in self.calls()]

    def canreach(self, *words, env=None, timeout=60, within=()):
        """canreach, with the stand-in for AWS; `env`: what is set (None: taken away) beside it; `within`: a
        command that runs it."""
        merged = {**clean_env(), **self.env, **(env or {})}
        return subprocess.run([*within, program("canreach"), *words], text=True, capture_output=True, check=False,
                              timeout=timeout, env={key: value for key, value in merged.items() if value is not None})

    def import_fleet(self, *words, cluster="local", **options):
        return self.canreach("fleet", "import", "--cluster", cluster, *words, **options)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Collector:
    """A collector without agents: its runs have no data, and all that the cloud says."""

    def __init__(self, aws, fleet, env=None, options=()):
        self.options = options
        self.aws = aws
        self.folder = tempfile.mkdtemp(prefix="col-", dir="/tmp")
        self.url = f"unix://{self.folder}/http.sock"
        self.fleet = os.path.join(self.folder, "fleet.yaml")
        with open(self.fleet, "w", encoding="utf-8") as file:
            file.write(fleet)
        self.env = {**clean_env(), **aws.env, **(env or {})}
        self.start()

    def start(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [program("canreach-collector"), "--fleet", self.fleet, "--store", f"{self.folder}/db", "--listen-agents",
                 f"ipc://{self.folder}/agents.sock", "--listen-http", f"unix:{self.folder}/http.sock", *self.options],
                stderr=log, env={key: value for key, value in self.env.items() if value is not None})
        deadline = time.monotonic() + 20
        while self.canreach("services").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log())
            time.sleep(0.02)
        # It looks at its clusters once, whatever comes of it.
        self.wait(lambda: "cloud-known" in self.log().rsplit("event=started", 1)[-1], "look at the clusters")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def canreach(self, *words):
        return subprocess.run([program("canreach"), *words], text=True, capture_output=True, check=False, timeout=120,
                              env={**clean_env(), "CANREACH_URL": self.url})

    def json(self, *words):
        result = self.canreach(*words, "-o", "json")
        return json.loads(result.stdout) if result.stdout else {}

    def wait(self, is_there, what):
        deadline = time.monotonic() + 40
        while not is_there():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what}: {self.log()[-2000:]}")
            time.sleep(0.05)

    def run(self):
        """A run, and all that the cloud said for it."""
        result = self.canreach("run", "-o", "json")
        run = json.loads(result.stdout)["run"]["id"]
        self.wait(lambda: self.estate(run) is not None, "estate")
        return run, self.estate(run)

    def estate(self, run):
        import http.client
        import socket
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"{self.folder}/http.sock")
        connection.request("GET", f"/api/v1/runs/{run}/cloud")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return json.loads(body) if answer.status == 200 else None

    def close(self):
        self.stop()
        log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert "Sanitizer" not in log and "runtime error:" not in log, log
        assert SECRET not in log, "a secret in the log"
