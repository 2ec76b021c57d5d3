"""The cloud's view: the fleet out of ECS, facts for each run, credentials, and all that can go wrong."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import harness
from harness import Fleet, program

import aws
from aws import ACCESS, Aws, Collector, SECRET

CLUSTERS = "clusters: [local]\n"
IMPORTABLE = aws.SHOP + """
  orders:   { names: [orders.other.local], checks: [ { name: web, check: http, port: 8080 },
                                                     { name: rpc, check: grpc, port: 50051 } ] }
"""


class InTheFleet(unittest.TestCase):
    """The stand-in and the local fleet tell the same story: both are made of one description."""

    def test_imported_fleet_runs_green(self):
        source = Fleet(IMPORTABLE, "--cloud", "facts")
        try:
            settings = source.local("exec", "collector", "env", *self.settings(source), program("canreach"), "fleet", "import",
                                    "--cluster", "local", "--name", "shop")
            self.assertEqual(settings.returncode, 0, settings.stderr)
        finally:
            source.down()
        imported = settings.stdout
        self.assertIn("names: [api.shop.local, api-v2.shop.local]", imported)
        self.assertIn("record: SRV", imported)
        fleet = Fleet(imported)
        try:
            status, document = fleet.run()
            self.assertEqual((status, document["run"]["verdict"]), (0, "pass"))
            self.assertEqual({cell["state"] for cell in document["cells"]} - {"ok"}, set())
            self.assertEqual(len({cell["target"] for cell in document["cells"]}), 5)
        finally:
            fleet.down()

    def settings(self, fleet):
        path = os.path.join(fleet.env["CANREACH_LOCAL_DIR"], "estate.json")
        with open(path, encoding="utf-8") as file:
            keys = json.load(file)["keys"]
        access = next(iter(keys))
        return ["AWS_ENDPOINT_URL=http://10.77.0.6", "AWS_REGION=eu-west-1", f"AWS_ACCESS_KEY_ID={access}",
                f"AWS_SECRET_ACCESS_KEY={keys[access]['secret']}"]

    def test_followed_fleet(self):
        """No service in the file: they come out of the cluster. A planted fault shows in both views."""
        with harness.patched_environment({"CANREACH_CLOUD_TIMEOUT": "6s"}):
            fleet = Fleet(harness.SHOP.replace("check: tcp, port: 6379", "check: redis, port: 6379"), "--cloud", "follow")
        try:
            status, document = fleet.run()
            self.assertEqual(status, 0, document)
            self.assertEqual(len(document["cells"]), 16)
            fault = fleet.fault("drop", "web.1", "api")
            status, document = fleet.run()
            self.assertEqual(status, 1)
            self.assertEqual(document["run"]["cloud"]["missing"], [])
            rules = self.rules(fleet)
            self.assertNotIn(("web.1", "api"), rules)
            self.assertIn(("web", "api"), rules)
            self.assertIn(("web.1", "cache"), rules)
            fleet.heal(fault)
            fleet.fault("stale", "api")
            fleet.fault("stop", "cache.2")
            fleet.run()
            detail = json.loads(fleet.canreach("services", "api", "-o", "json").stdout)
            self.assertEqual(len(detail["records"]), 3)
            self.assertEqual(len(detail["registries"][0]["instances"]), 3)
            detail = json.loads(fleet.canreach("services", "cache", "-o", "json").stdout)
            self.assertEqual(sorted(task["health"] for task in detail["tasks"]), ["HEALTHY", "UNHEALTHY"])
            # A run that fails waits for the cloud, but not for ever.
            self.order(fleet, {"operation": "ecs:ListServices", "do": "hang", "seconds": 60, "times": 9})
            began = time.monotonic()
            status, document = fleet.run("--from", "web", "--to", "api")
            self.assertEqual((status, document["run"]["verdict"]), (1, "fail"))
            self.assertLess(time.monotonic() - began, 15)
            self.assertEqual([(one["call"], one["code"]) for one in document["run"]["cloud"]["missing"]
                              if one["call"] == "ecs:ListServices"], [("ecs:ListServices", "no-answer")])
        finally:
            fleet.down()

    def order(self, fleet, *orders):
        """To the stand-in, which only the fleet's own tasks reach."""
        script = ("import sys, urllib.request as r; "
                  "r.urlopen(r.Request('http://10.77.0.6/standin/orders', sys.argv[1].encode()))")
        result = fleet.local("exec", "cloud", "/usr/bin/python3", "-c", script, json.dumps(orders))
        self.assertEqual(result.returncode, 0, result.stderr)

    def rules(self, fleet):
        """(source group, target group) of what is let in, by the names of the groups."""
        names, pairs = {}, []
        for service in ("api", "cache"):
            for group in json.loads(fleet.canreach("services", service, "-o", "json").stdout)["groups"]:
                names[group["id"]] = group["name"]
                pairs += [(rule["peer"], group["id"]) for rule in group["rules"] if "peer" in rule]
        with open(os.path.join(fleet.env["CANREACH_LOCAL_DIR"], "estate.json"), encoding="utf-8") as file:
            names.update({group["groupId"]: group["groupName"] for group in json.load(file)["ec2"]["groups"]})
        return {(names[source], names[target]) for source, target in pairs}


class AwsTest(unittest.TestCase):
    document = staticmethod(aws.plain)
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.estate = cls.document()
        cls.aws = Aws(cls.estate, *cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.aws.close()

    def setUp(self):
        self.aws.order()
        self.aws.put(self.estate)


class Import(AwsTest):
    document = staticmethod(aws.rich)
    options = ("--page", "2")

    def test_golden(self):
        result = self.aws.import_fleet(cluster="local,batch")
        self.assertEqual(result.returncode, 0, result.stderr)
        text = re.sub(r"import, [0-9T:-]+Z", "import, 2026-11-20T00:00:00Z", result.stdout)
        path = os.path.join(aws.HERE, "golden", "import.yaml")
        if os.environ.get("UPDATE_GOLDEN"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text, file.read())
        self.assertRegex(result.stderr, r"^7 services, \d+ calls, ")

    def test_it_is_a_fleet_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(self.aws.import_fleet(cluster="local,batch").stdout)
            file.flush()
            result = self.aws.canreach("fleet", "check", file.name)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("7 services, 7 x 5 pairs", result.stdout)

    def test_wrong_words(self):
        for words, text in ((["import"], "--cluster NAME is needed"), (["import", "--cluster", "a", "b"], "unexpected argument"),
                            (["export"], "expected 'check FILE'"), (["import", "--cluster", "a", "--region", "EU West"],
                                                                    "is not a region"),
                            (["import", "--clutser", "a"], "did you mean")):
            result = self.aws.canreach("fleet", *words)
            self.assertEqual(result.returncode, 2, words)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_cluster_by_both_names(self):
        both = self.aws.import_fleet(cluster="local,arn:aws:ecs:eu-west-1:123456789012:cluster/local")
        self.assertEqual(both.stdout.split("\n", 2)[2], self.aws.import_fleet().stdout.split("\n", 2)[2])

    def test_no_such_cluster(self):
        result = self.aws.import_fleet(cluster="nowhere")
        self.assertEqual(result.returncode, 2)
        self.assertIn("ecs:ListServices nowhere: ClusterNotFoundException", result.stderr)

    def test_no_services(self):
        document = json.loads(json.dumps(self.estate))
        document["ecs"]["clusters"]["empty"] = {"services": [], "tasks": []}
        self.aws.put(document)
        result = self.aws.import_fleet(cluster="empty")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (3, "", "canreach fleet: empty has no services\n"))

    def test_half_of_it(self):
        """Something could not be read: written, and said; with a status of its own."""
        self.aws.put({**self.estate, "denied": ["elasticloadbalancing:DescribeTargetGroups"]})
        result = self.aws.import_fleet()
        self.assertEqual(result.returncode, 3)
        self.assertIn("allow elasticloadbalancing:DescribeTargetGroups", result.stderr)
        self.assertIn("services:", result.stdout)


class Shown(AwsTest):
    """What a person sees."""

    document = staticmethod(aws.rich)

    def check(self, name, text):
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-11-20T00:00:00.000Z", text)
        path = os.path.join(aws.HERE, "golden", name)
        if os.environ.get("UPDATE_GOLDEN"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text, file.read())

    def test_services(self):
        document = {**self.estate, "denied": ["ec2:DescribeSubnets"]}
        collector = Collector(self.aws, aws.SHOP + "clusters: [local, batch]\n")
        try:
            collector.run()
            self.check("services.cloud.txt", collector.canreach("services").stdout)
            self.check("service.cloud.txt", collector.canreach("services", "web").stdout)
            self.check("service.cache.txt", collector.canreach("services", "cache").stdout)
            result = collector.canreach("services", "nobody")
            self.assertEqual((result.returncode, result.stderr),
                             (3, "canreach services: the fleet has no such service\n"))
            self.aws.put(document)
            collector.stop()
            collector.start()
            collector.run()
            self.check("services.denied.txt", collector.canreach("services").stdout)
        finally:
            collector.close()


class Failures(AwsTest):
    """Whatever an API does: the run goes on, and says what is missing."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.collector = Collector(cls.aws, aws.SHOP + CLUSTERS, options=["--cloud-timeout", "4s"])

    @classmethod
    def tearDownClass(cls):
        cls.collector.close()
        super().tearDownClass()

    def missing(self, *orders, denied=()):
        """{call: code} of a run in such a world."""
        self.aws.put({**self.estate, "denied": list(denied)})
        self.aws.order(*orders)
        _, estate = self.collector.run()
        return {one["call"]: one["code"] for one in estate["missing"]}, estate

    def test_all_is_well(self):
        missing, estate = self.missing()
        self.assertEqual(missing, {})
        self.assertEqual((len(estate["services"]), len(estate["tasks"])), (5, 10))

    def test_permission_is_named(self):
        missing, estate = self.missing(denied=["ecs:DescribeTasks", "route53:ListHostedZonesByVPC"])
        self.assertEqual(missing, {"ecs:DescribeTasks": "AccessDeniedException", "route53:ListHostedZonesByVPC": "AccessDenied"})
        self.assertTrue(all(one["is_permission"] for one in estate["missing"]))
        self.assertEqual((len(estate["services"]), len(estate["tasks"])), (5, 0))
        text = self.collector.canreach("services").stdout
        self.assertIn("Not known of the cloud: ecs:DescribeTasks of local failed: AccessDeniedException", text)
        self.assertIn("allow ecs:DescribeTasks: deploy/aws/collector-policy.json", text)
        self.assertIn("allow ecs:DescribeTasks", self.collector.canreach("matrix").stdout)

    def test_throttled_for_a_moment(self):
        missing, _ = self.missing({"operation": "ecs:DescribeServices", "do": "throttle", "times": 3},
                                  {"operation": "servicediscovery:ListServices", "do": "fail", "times": 2})
        self.assertEqual(missing, {})
        self.assertEqual(self.aws.operations().count("ecs:DescribeServices"), 4)

    def test_throttled_for_minutes(self):
        missing, estate = self.missing({"operation": "ecs:ListTasks", "do": "throttle", "times": 1000})
        self.assertEqual(missing, {"ecs:ListTasks": "ThrottlingException"})
        self.assertEqual((len(estate["services"]), len(estate["tasks"])), (5, 0))
        self.assertLess(self.aws.operations().count("ecs:ListTasks"), 40)

    def test_hangs(self):
        began = time.monotonic()
        missing, estate = self.missing({"operation": "servicediscovery:ListNamespaces", "do": "hang", "seconds": 30, "times": 9})
        self.assertEqual(missing["servicediscovery:ListNamespaces"], "no-answer")
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(len(estate["services"]), 5)
        # The rest went on without it.
        self.assertEqual(list(missing), ["servicediscovery:ListNamespaces"])
        self.assertEqual((len(estate["groups"]), len(estate["zones"])), (5, 1))

    def test_forged_answers(self):
        for what, code in (("huge", "too-large"), ("doctype", "not-readable"), ("garbage", "not-readable"),
                           ("truncate", "not-readable"), ("empty", "not-readable")):
            with self.subTest(what=what):
                missing, estate = self.missing({"operation": "elasticloadbalancing:DescribeTargetGroups", "do": what,
                                                "times": 20})
                self.assertEqual(missing, {"elasticloadbalancing:DescribeTargetGroups": code})
                self.assertEqual(len(estate["tasks"]), 10)

    def test_garbled_once(self):
        missing, _ = self.missing({"operation": "ecs:ListServices", "do": "truncate", "times": 1})
        self.assertEqual(missing, {})

    def test_pages_without_end(self):
        missing, _ = self.missing({"operation": "servicediscovery:ListServices", "do": "endless", "times": 100000})
        self.assertIn(missing["servicediscovery:ListServices"], ("too-many-pages", "no-answer"))

    def test_expired_credentials(self):
        missing, _ = self.missing({"operation": "ecs:ListServices", "do": "expire", "times": 1})
        self.assertEqual(missing, {})
        missing, _ = self.missing({"operation": "ecs:ListServices", "do": "expire", "times": 100})
        self.assertEqual(missing, {"ecs:ListServices": "ExpiredTokenException"})

    def test_clock_that_is_off(self):
        for seconds in (-7200, 7200):
            self.aws.order({"operation": "*", "do": "skew", "seconds": seconds})
            result = self.aws.import_fleet()
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("clock-skew", result.stderr)

    def test_a_run_that_fails_waits_not_for_ever(self):
        """No agents: no data, whatever the cloud says; the verdict does not hang."""
        self.aws.order({"operation": "ecs:ListServices", "do": "hang", "seconds": 60, "times": 5})
        began = time.monotonic()
        result = self.collector.canreach("run")
        self.assertEqual(result.returncode, 3)
        self.assertLess(time.monotonic() - began, 30)
        self.aws.order()
        self.collector.wait(lambda: "cloud-read" in self.collector.log().rsplit("run-planned", 1)[1], "end of it")


class Restart(AwsTest):
    def test_services_come_too_late(self):
        """Their network could not be asked for: it is missing, not empty; the next run asks again."""
        collector = Collector(self.aws, aws.SHOP + CLUSTERS, options=["--cloud-timeout", "4s"])
        self.aws.order({"operation": "ecs:DescribeServices", "do": "hang", "seconds": 3.3, "times": 1})
        try:
            _, estate = collector.run()
            self.assertEqual(len(estate["services"]), 5)
            self.assertIn(("ec2:DescribeSecurityGroups", "not-asked"),
                          {(one["call"], one["code"]) for one in estate["missing"]})
            _, estate = collector.run()
            self.assertEqual((estate["missing"], len(estate["groups"])), ([], 5))
        finally:
            collector.close()

    def test_definitions_are_read_once(self):
        """They never change: not even a restarted collector asks again."""
        collector = Collector(self.aws, aws.SHOP + CLUSTERS)
        try:
            run, before = collector.run()
            self.assertEqual(self.aws.operations().count("ecs:DescribeTaskDefinition"), 5)
            collector.stop()
            collector.start()
            self.assertEqual(collector.estate(run), before)
            self.aws.order()
            _, after = collector.run()
            self.assertEqual(self.aws.operations().count("ecs:DescribeTaskDefinition"), 0)
            self.assertEqual(after["definitions"], before["definitions"])
        finally:
            collector.close()

    def test_what_comes_late(self):
        """What depends on an answer is asked when that comes, however late; or it is missing. Never empty."""
        document = aws.rich()
        self.aws.put(document)
        collector = Collector(self.aws, aws.SHOP + "clusters: [local, batch]\n", options=["--cloud-timeout", "4s"])
        try:
            for operation in ("ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "route53resolver:ListResolverRules",
                              "elasticloadbalancing:DescribeTargetGroups", "ecs:DescribeServices",
                              "servicediscovery:ListServices"):
                for seconds in (1.4, 3.3):
                    with self.subTest(operation=operation, seconds=seconds):
                        collector.stop()  # the network is read anew
                        collector.start()
                        self.aws.order({"operation": operation, "do": "hang", "seconds": seconds, "times": 9})
                        _, estate = collector.run()
                        self.check_whole(estate, {one["call"] for one in estate["missing"]})
        finally:
            collector.close()

    def check_whole(self, estate, missing):
        """What is there has all that belongs to it, unless that is missing."""
        rules = "ec2:DescribeSecurityGroupRules" in missing
        self.assertTrue(rules or all(group.get("rules") for group in estate["groups"] if group["name"] in ("web", "api")))
        dns = "ec2:DescribeVpcAttribute" in missing
        self.assertTrue(dns or all(vpc.get("is_dns_read") for vpc in estate["vpcs"]))
        self.assertTrue(estate["dhcp"] or not estate["vpcs"] or "ec2:DescribeDhcpOptions" in missing)
        associations = "route53resolver:ListResolverRuleAssociations" in missing
        self.assertTrue(associations or all(rule.get("vpcs") for rule in estate["resolver_rules"]))
        health = "elasticloadbalancing:DescribeTargetHealth" in missing
        self.assertTrue(health or all(group.get("is_read") for group in estate["target_groups"]))
        entries = "ec2:GetManagedPrefixListEntries" in missing
        self.assertTrue(entries or rules or all(one.get("is_read") for one in estate["prefix_lists"]
                                                if one["name"] == "offices" and estate["groups"]))
        instances = missing & {"servicediscovery:ListInstances", "servicediscovery:ListServices",
                               "servicediscovery:ListNamespaces", "ecs:DescribeServices"}
        self.assertTrue(instances or any(one["name"] == "cache" and one.get("is_read") for one in estate["registries"]))
        for part, calls in (("groups", "ec2:DescribeSecurityGroups"), ("vpcs", "ec2:DescribeVpcs"),
                            ("target_groups", "elasticloadbalancing:DescribeTargetGroups"),
                            ("resolver_rules", "route53resolver:ListResolverRules"), ("zones", "route53:ListHostedZonesByVPC")):
            self.assertTrue(estate[part] or calls in missing or "ecs:DescribeServices" in missing, part)

    def test_no_subnets(self):
        """Bridge and host mode: whose network it is is not known, and that is said."""
        document = json.loads(json.dumps(self.estate))
        for service in document["ecs"]["clusters"]["local"]["services"]:
            del service["networkConfiguration"]
        self.aws.put(document)
        collector = Collector(self.aws, aws.SHOP + CLUSTERS)
        try:
            _, estate = collector.run()
            self.assertEqual({one["code"] for one in estate["missing"]}, {"not-asked"})
            self.assertIn("no service has subnets of its own", estate["missing"][0]["text"])
        finally:
            collector.close()

    def test_network_is_kept_for_a_minute(self):
        collector = Collector(self.aws, aws.SHOP + CLUSTERS)
        try:
            _, before = collector.run()
            self.aws.order()
            _, after = collector.run()
            self.assertEqual([call for call in self.aws.operations() if call.startswith("ec2:")], [])
            self.assertEqual((after["groups"], after["network_taken"]), (before["groups"], before["network_taken"]))
            self.assertGreater(after["taken"], before["taken"])
        finally:
            collector.close()


class Follow(AwsTest):
    """source: ecs"""

    FLEET = """
fleet: shop
source: ecs
clusters: [local]
services:
  api: { path: /status }
  rds: { check: mysql, port: 3306, agents: none, names: [db.shop.local] }
expect:
  deny: [ "web -> rds" ]
"""

    def without(self, name):
        document = json.loads(json.dumps(self.estate))
        cluster = document["ecs"]["clusters"]["local"]
        cluster["services"] = [one for one in cluster["services"] if one["serviceName"] != name]
        return document

    def names(self, collector):
        return {service["name"] for service in collector.json("services").get("services", [])}

    def test_services_come_and_go(self):
        self.aws.put(self.without("web"))
        collector = Collector(self.aws, self.FLEET)
        try:
            collector.wait(lambda: self.names(collector) == {"api", "cache", "payments", "worker", "rds"}, "services")
            api = next(one for one in collector.json("services")["services"] if one["name"] == "api")
            self.assertEqual((api["names"], api["checks"][0]["port"]), (["api.shop.local", "api-v2.shop.local"], 8080))
            self.aws.put(self.estate)
            collector.run()
            self.assertIn("web", self.names(collector))
            # What the cloud does not tell now is not gone.
            self.aws.put({**self.without("cache"), "denied": ["servicediscovery:ListServices"]})
            collector.run()
            self.assertIn("cache", self.names(collector))
            self.assertIn("cloud-not-followed", collector.log())
            self.aws.put(self.without("cache"))
            collector.run()
            self.assertNotIn("cache", self.names(collector))
        finally:
            collector.close()

    def test_nothing_is_known_yet(self):
        self.aws.put({**self.estate, "denied": ["ecs:ListServices"]})
        collector = Collector(self.aws, "source: ecs\nclusters: [local]\n")
        try:
            collector.wait(lambda: "cloud-not-followed" in collector.log(), "try")
            result = collector.canreach("run")
            self.assertEqual(result.returncode, 3)
            self.assertIn("no service is known yet: ecs:ListServices: AccessDeniedException", result.stderr)
        finally:
            collector.close()


class Metadata(BaseHTTPRequestHandler):
    """The endpoints that hand out credentials: a container's, and an instance's (IMDSv2)."""

    keys = {}
    token = None
    failures = 0
    seen = []

    def log_message(self, *_):
        pass

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        self.seen.append(("PUT", self.path, dict(self.headers)))
        if self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600":
            self.answer(200, "the-token")
        else:
            self.answer(400, "")

    def do_GET(self):
        self.seen.append(("GET", self.path, dict(self.headers)))
        if Metadata.failures:
            Metadata.failures -= 1
            self.answer(500, "")
        elif self.path.startswith("/latest/"):
            if self.headers["X-aws-ec2-metadata-token"] != "the-token":
                self.answer(401, "")
            elif self.path.endswith("/security-credentials/"):
                self.answer(200, "the-role\n")
            else:
                self.answer(200 if self.path.endswith("/the-role") else 404, json.dumps(self.keys))
        elif self.token and self.headers["Authorization"] != self.token:
            self.answer(403, "")
        else:
            self.answer(200, json.dumps(self.keys))


class CredentialSources(AwsTest):
    """Each source, from a real file or a local endpoint; the keys differ, so that it shows which were used."""

    ROLE = "arn:aws:iam::123456789012:role/reader"
    NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}

    @staticmethod
    def document():
        document = aws.plain()
        document["keys"].update({
            "AKIAPROFILE": {"secret": "profile/secret+"}, "ASIACONTAINER": {"secret": "container", "token": "container-token"},
            "ASIAROLE": {"secret": "role", "token": "role token/+=", "role": CredentialSources.ROLE}})
        return document

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        Metadata.keys = {"Code": "Success", "AccessKeyId": "ASIACONTAINER", "SecretAccessKey": "container",
                         "Token": "container-token", "Expiration": self.in_hours(6)}
        Metadata.token, Metadata.failures, Metadata.seen = None, 0, []

    def tearDown(self):
        self.folder.cleanup()

    def in_hours(self, hours):
        return f"{datetime.now(timezone.utc) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def serve(self, address="127.0.0.1"):
        server = ThreadingHTTPServer((address, 0), Metadata)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://{address}:{server.server_port}"

    def used(self, env):
        """The access key that the calls were signed with."""
        self.aws.order()
        result = self.aws.import_fleet(env={**self.NO_KEYS, **env})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("secret", result.stdout + result.stderr)
        self.source = result.stderr.strip().rsplit(": ", 1)[-1]
        keys = {re.search(r"Credential=([^/]+)/", call["headers"]["authorization"]).group(1)
                for call in self.aws.calls() if call["operation"].startswith("ecs:")}
        self.assertEqual(len(keys), 1)
        return keys.pop()

    def refused(self, env, text):
        result = self.aws.import_fleet(env={**self.NO_KEYS, **env})
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn(text, result.stderr)
        return result.stderr

    def test_environment(self):
        self.assertEqual(self.used({"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}), ACCESS)
        self.assertEqual(self.used({"AWS_ACCESS_KEY_ID": "ASIACONTAINER", "AWS_SECRET_ACCESS_KEY": "container",
                                    "AWS_SESSION_TOKEN": "container-token"}), "ASIACONTAINER")
        self.assertEqual(self.source, "environment")
        self.refused({"AWS_ACCESS_KEY_ID": ACCESS}, "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not")
        self.refused({"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch")

    def test_profiles(self):
        credentials = self.file("credentials", "[default]\naws_access_key_id = AKIAPROFILE # mine\n"
                                "aws_secret_access_key=profile/secret+\n")
        env = {"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": self.folder.name + "/none"}
        self.assertEqual(self.used(env), "AKIAPROFILE")
        config = self.file("config", "[profile other]\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=profile/secret+\n"
                           "region=eu-west-1\n")
        env["AWS_CONFIG_FILE"] = config
        self.assertEqual(self.used({**env, "AWS_PROFILE": "other", "AWS_REGION": None}), "AKIAPROFILE")
        self.refused({**env, "AWS_PROFILE": "third"}, "AWS_PROFILE: no profile 'third'")
        self.refused({**env, "AWS_REGION": None}, "no AWS region: give --region, set AWS_REGION")
        broken = self.file("broken", "[default]\nthis is no setting\n")
        self.refused({**env, "AWS_CONFIG_FILE": broken}, f"{broken}:2: neither [section] nor key = value")

    def test_profile_that_assumes_a_role(self):
        credentials = self.file("credentials", "[base]\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=profile/secret+\n")
        config = self.file("config", f"[profile ops]\nrole_arn={self.ROLE}\nsource_profile=base\n"
                           "[profile circle]\nrole_arn=a\nsource_profile=back\n[profile back]\nrole_arn=b\nsource_profile=circle\n"
                           "[profile sso]\nsso_session=corp\n"
                           f"[profile denied]\nrole_arn={self.ROLE}x\nsource_profile=base\n")
        env = {"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config}
        self.assertEqual(self.used({**env, "AWS_PROFILE": "ops"}), "ASIAROLE")
        self.assertEqual(self.source, "role " + self.ROLE)
        self.assertEqual(self.aws.operations().count("sts:AssumeRole"), 1)
        # A role, too, is asked for again where STS falters, and by its clock.
        self.aws.order({"operation": "sts:AssumeRole", "do": "fail", "times": 2})
        result = self.aws.import_fleet(env={**self.NO_KEYS, **env, "AWS_PROFILE": "ops"})
        self.assertEqual((result.returncode, self.aws.operations().count("sts:AssumeRole")), (0, 3), result.stderr)
        self.aws.order({"operation": "*", "do": "skew", "seconds": 7200})
        self.assertEqual(self.aws.import_fleet(env={**self.NO_KEYS, **env, "AWS_PROFILE": "ops"}).returncode, 0)
        self.aws.order()
        self.refused({**env, "AWS_PROFILE": "circle"}, "leads in a circle")
        self.refused({**env, "AWS_PROFILE": "sso"}, "aws configure export-credentials --profile sso")
        self.refused({**env, "AWS_PROFILE": "denied"}, "the role is not to be had from STS: AccessDenied")

    def test_web_identity(self):
        env = {"AWS_WEB_IDENTITY_TOKEN_FILE": self.file("token", "token\n"), "AWS_ROLE_ARN": self.ROLE}
        self.assertEqual(self.used(env), "ASIAROLE")
        self.refused({**env, "AWS_ROLE_ARN": None}, "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not")
        self.refused({**env, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, "/nowhere: cannot open")

    def test_container(self):
        url = self.serve()
        Metadata.token = "from the file"
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/keys", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "from the variable",
               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": self.file("token", "from the file\n")}
        self.assertEqual(self.used(env), "ASIACONTAINER")
        # Never through a proxy.
        self.assertEqual(self.used({**env, "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}), "ASIACONTAINER")
        self.refused({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": self.file("two", "a\r\nX-Evil: b")}, "not one line")
        self.refused({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": None,
                      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nX-Evil: b"}, "holds a line end")
        self.refused({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.0.0.1/keys"}, "neither https nor on loopback")
        self.refused({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1.example.com/keys"}, "neither https nor")
        Metadata.failures = 2
        self.assertEqual(self.used(env), "ASIACONTAINER")
        Metadata.keys = {"message": "go away"}
        self.refused(env, "no keys in the answer")

    def test_container_on_its_own_address(self):
        """169.254.170.2, in a network namespace of its own."""
        script = f"""
import json, os, subprocess, sys, threading
sys.path[:0] = [{os.path.dirname(os.path.realpath(__file__))!r}, {aws.HERE!r}]
import test_cloud, aws
from http.server import ThreadingHTTPServer
subprocess.run("ip link set lo up && ip addr add 169.254.170.2/32 dev lo", shell=True, check=True)
test_cloud.Metadata.keys = {Metadata.keys!r}
server = ThreadingHTTPServer(("169.254.170.2", 80), test_cloud.Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
standin = aws.Aws(test_cloud.CredentialSources.document())
result = standin.import_fleet(env={{"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}})
standin.close()
sys.stderr.write(result.stderr)
print(test_cloud.Metadata.seen[0][1], result.returncode)
"""
        result = subprocess.run([*aws.alone(), sys.executable, "-B", "-c", script], text=True, capture_output=True,
                                check=False, timeout=60)
        self.assertEqual(result.stdout.strip(), "/v2/credentials/1 0", result.stderr)

    def test_instance(self):
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.serve() + "/", "AWS_EC2_METADATA_DISABLED": None}
        self.assertEqual(self.used(env), "ASIACONTAINER")
        self.assertEqual([(method, path) for method, path, _ in Metadata.seen],
                         [("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/iam/security-credentials/"),
                          ("GET", "/latest/meta-data/iam/security-credentials/the-role")])

    def test_none_at_all(self):
        text = self.refused({}, "no AWS credentials: AWS_ACCESS_KEY_ID is not set; no file /nonexistent/.aws/credentials")
        self.assertIn("AWS_EC2_METADATA_DISABLED is true", text)
        self.assertEqual(text.count("no AWS credentials"), text.count("no-credentials"))

    def test_renewal(self):
        """Keys that end soon are fetched anew before they do; those that still hold are used meanwhile."""
        Metadata.keys["Expiration"] = self.in_hours(1 / 60)  # within the time of renewal
        collector = Collector(self.aws, aws.SHOP + CLUSTERS, {**self.NO_KEYS,
                              "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.serve() + "/keys"})
        try:
            _, estate = collector.run()
            self.assertEqual(estate["missing"], [])
            self.assertGreater(len(Metadata.seen), 1)
            before = len(Metadata.seen)
            Metadata.keys["Expiration"] = self.in_hours(6)
            collector.run()
            after = len(Metadata.seen)
            self.assertGreater(after, before)
            _, estate = collector.run()
            self.assertEqual((estate["missing"], len(Metadata.seen)), ([], after))
        finally:
            collector.close()


class Endpoints(AwsTest):
    def test_precedence(self):
        """The service's variable, the general one, the service's entry in the file, the general one."""
        wrong = "http://127.0.0.1:1"
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"[default]\nservices = mine\nendpoint_url = {wrong}\n[services mine]\n"
                       f"ecs =\n  endpoint_url = {self.aws.url}\nservicediscovery =\n  endpoint_url = {self.aws.url}\n"
                       f"elastic_load_balancing_v2 =\n  endpoint_url = {self.aws.url}\n")
            file.flush()
            env = {"AWS_CONFIG_FILE": file.name}
            self.assertEqual(self.aws.import_fleet(env={**env, "AWS_ENDPOINT_URL": None}).returncode, 0)
            self.assertEqual(self.aws.import_fleet(env=env).returncode, 0)
        env = {"AWS_ENDPOINT_URL": wrong, "AWS_ENDPOINT_URL_ECS": self.aws.url, "AWS_ENDPOINT_URL_SERVICEDISCOVERY": self.aws.url,
               "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": self.aws.url}
        self.assertEqual(self.aws.import_fleet(env=env).returncode, 0)
        result = self.aws.import_fleet(env={"AWS_ENDPOINT_URL": "ftp://x"})
        self.assertIn("AWS_ENDPOINT_URL: 'ftp://x' is not a URL", result.stderr)

    def test_region_that_does_not_exist(self):
        result = self.aws.import_fleet("--timeout", "20s", env={"AWS_ENDPOINT_URL": None, "AWS_REGION": "xx-nowhere-1"},
                                       within=aws.alone())
        self.assertEqual(result.returncode, 2)
        self.assertIn("no-such-host: ", result.stderr)
        self.assertIn("xx-nowhere-1", result.stderr)

    def test_a_resolver_that_hangs(self):
        """Nobody waits for a name longer than for the answer: the C library would, ten seconds here."""
        with tempfile.TemporaryDirectory() as folder:
            script = f"""
ip link set lo up
echo nameserver 127.0.0.1 > {folder}/resolv.conf
mount --bind {folder}/resolv.conf /etc/resolv.conf
{sys.executable} -c 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 53)); time.sleep(30)' &
silent=$!
"$@"
status=$?
kill $silent
exit $status
"""
            began = time.monotonic()
            result = self.aws.import_fleet("--timeout", "2s", env={"AWS_ENDPOINT_URL": None},
                                           within=[*aws.alone(), "--mount", "bash", "-c", script, "bash"])
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, "ecs:ListServices local: no-(answer|such-host)")
        self.assertLess(time.monotonic() - began, 7)

    def test_certificates_are_verified(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = f"{folder}/key", f"{folder}/certificate"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
            server = Aws(self.estate, "--tls", certificate, key)
            try:
                self.assertEqual(server.import_fleet(env={"AWS_CA_BUNDLE": certificate}).returncode, 0)
                result = server.import_fleet("--timeout", "3s")
                self.assertEqual(result.returncode, 2)
                self.assertIn("certificate", result.stderr)
            finally:
                server.close()


class Large(unittest.TestCase):
    """10,000 tasks."""

    def test_ten_thousand_tasks(self):
        fleet = aws.fleet_of("namespace: x.local\nservices:\n" + "".join(
            f"  s{number}: {{ check: http, port: 8080 }}\n" for number in range(10)) +
            "expect:\n  default: deny\n  allow: [ \"s0 -> s1\" ]\n", 400)
        document = aws.document_of(fleet)
        tasks = document["ecs"]["clusters"]["local"]["tasks"]
        tasks += [dict(task, taskArn=f"{task['taskArn']}{number}") for number in range(2) for task in tasks[:3000]]
        self.assertEqual(len(tasks), 10000)
        standin = Aws(document)
        collector = Collector(standin, "namespace: x.local\nservices:\n  s0: { check: http, port: 8080 }\nclusters: [local]\n")
        try:
            _, estate = collector.run()
            self.assertEqual(len(estate["tasks"]), 10000)
            self.assertEqual([one["code"] for one in estate["missing"]], [])
        finally:
            collector.close()
            standin.close()


if __name__ == "__main__":
    harness.main()
