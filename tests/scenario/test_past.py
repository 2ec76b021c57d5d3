"""What changed since a pair was well, when and by whom; what was logged: canreach diff and why, over a
local fleet whose rules are the stand-in's. Changes are made, and mended, with AWS's own command line."""

import json
import os
import shlex
import sys
import time

DEBIAN = "/usr/bin/python3"
if sys.executable != DEBIAN:  # Debian's modules are for Debian's Python
    os.execv(DEBIAN, [DEBIAN, "-B", *sys.argv])

import botocore.session
from botocore.validate import ParamValidator

import harness
from lab import LabTest

import aws

PAST = {"cloudtrail:LookupEvents", "ec2:DescribeFlowLogs", "logs:FilterLogEvents", "logs:GetLogEvents"}
WITH_UDP = harness.SHOP + "  udp: { check: udp, port: 9999, send: 'ping', answer: ping }\n"


class Lab(LabTest):
    def rule(self, source, target):
        groups = {group["GroupName"]: group["GroupId"] for group in self.aws("ec2", "describe-security-groups")["SecurityGroups"]}
        rules = self.aws("ec2", "describe-security-group-rules")["SecurityGroupRules"]
        return groups[target], next(rule["SecurityGroupRuleId"] for rule in rules if rule["GroupId"] == groups[target]
                                    and rule.get("ReferencedGroupInfo", {}).get("GroupId") == groups[source])

    def check_models(self, calls):
        for call in calls:
            service, operation = call["operation"].split(":")
            shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
            parameters = {**call["parameters"], **{key: int(value) for key, value in call["parameters"].items() if key == "MaxResults"}}
            self.assertFalse(set(parameters) - set(shape.members), operation)
            report = ParamValidator().validate(parameters, shape)
            self.assertFalse(report.has_errors(), f"{operation}: {report.generate_report()}")


class Past(Lab):
    def test_a_rule_is_removed(self):
        result = self.fleet.canreach("diff")
        self.assertEqual((result.returncode, result.stderr), (3, "canreach diff: there is no run yet\n"))
        self.assertEqual(self.fleet.run()[0], 0)
        group, rule = self.rule("web", "payments")
        self.aws("ec2", "revoke-security-group-ingress", "--group-id", group, "--security-group-rule-ids", rule)
        self.order()
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        with self.subTest("the diagnosis"):
            first = document["diagnoses"][0]
            self.assertEqual(first["cause"], "network.sg-ingress")
            self.assertGreaterEqual(first["confidence"], 0.9)
            self.assertIn(f"{group} (payments) has no rule for tcp 8080 from", first["summary"])
            self.assertEqual(first["last_good"]["run"], "1")
            self.assertEqual([(change["kind"], change["by"], change["event"]) for change in first["changes"]],
                             [("removed", "alice", "RevokeSecurityGroupIngress")])
        with self.subTest("diff names the one rule"):
            diff = self.json("diff")
            self.assertEqual([(cell["source"], cell["target"], cell["then"], cell["now"]) for cell in diff["cells"]],
                             [("web", "payments", "ok", "fail")])
            self.assertEqual([(change["kind"], change["id"], change["by"]) for change in diff["changes"]],
                             [("removed", rule, "alice")])
            text = self.fleet.canreach("diff").stdout
            self.assertIn(f"ingress rule {rule} removed: tcp 8080 from", text)
            self.assertIn("by alice at ", text)
            self.assertIn(f"ingress rule {rule} removed", self.fleet.canreach("diff", "-o", "markdown").stdout)
            self.assertEqual(self.json("diff", "2", "2")["changes"], [])
        with self.subTest("why says since when and by whom"):
            text = self.fleet.canreach("why", "web", "payments").stdout
            self.assertIn("since run 2 (", text)
            self.assertIn("the last good one was run 1 (", text)
            self.assertRegex(text, rf"ingress rule {rule} removed: tcp 8080 from sg-\w+ \(web\); by alice at \S+Z \(Revoke")
            self.assertRegex(text, r"security groups of the target +CLOSED +nothing arrived")
            self.assertIn("Both say the same.", text)
            paths = self.json("why", "web", "payments")["paths"]
            self.assertEqual({(path["verdict"], path["views"]) for path in paths}, {("denied", "agree")})
        with self.subTest("what was asked fits the vendor's models"):
            calls = [call for call in self.calls() if call["operation"] in PAST]
            self.assertEqual({call["operation"] for call in calls}, {"cloudtrail:LookupEvents", "ec2:DescribeFlowLogs"})
            self.check_models(calls)
        with self.subTest("the fix"):
            for command in first["commands"]:
                self.aws(*shlex.split(command)[1:])
            self.order({"operation": "ec2:DescribeSecurityGroupRules", "do": "hang", "seconds": 2, "times": 1})
            self.assertEqual(self.fleet.run()[0], 0)
            # A run that passes does not wait for AWS; diff does.
            diff = self.api("diff?from=1&to=3")
            self.assertEqual((diff["changes"], diff["reading"]), (None, True))
            # The rule is there again, with another id: nothing else differs from the run in which all was well.
            self.assertEqual(sorted(change["kind"] for change in self.json("diff", "1", "3")["changes"]), ["added", "removed"])

    def test_what_was_logged(self):
        """Flow logs of the failing connections, in a format of their own; logs of unhealthy tasks."""
        self.assertEqual(self.fleet.run()[0], 0)
        estate = self.estate()
        by_name = {one["description"]: one for one in estate["ec2"]["interfaces"]}
        api = next(task for task in estate["ecs"]["clusters"]["local"]["tasks"] if task["group"] == "service:api")
        interface = by_name[api["taskArn"]]
        now = int(time.time())
        task = api["taskArn"].rsplit("/", 1)[1]
        log = {**aws.flow_log("fl-0123456789abcdef0"), "logFormat": "${action} ${dstaddr} ${dstport} ${srcaddr} ${srcport} "
               "${protocol} ${interface-id} ${packets} ${start} ${end} ${tcp-flags}"}
        line = f"REJECT {interface['privateIpAddress']} 8080 10.77.16.10 40001 6 {interface['networkInterfaceId']} 3 {now - 60} {now} 2"
        self.also(ec2={"flow_logs": [log]}, logs={
            "/vpc/flow": [aws.log_line(interface["networkInterfaceId"] + "-all", line),
                          aws.log_line(interface["networkInterfaceId"] + "-all", "REJECT - -"),
                          aws.log_line("eni-0other-all", line.replace("REJECT", "ACCEPT"))],
            "/ecs/api": [aws.log_line(f"ecs/api/{task}", "cannot open /data: no such file", now - 5)]})
        fault = self.fleet.fault("drop", "web", "api")
        self.order()
        self.assertEqual(self.fleet.run("--from", "web", "--to", "api")[0], 1)
        text = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn(f"flow log of {interface['networkInterfaceId']}: REJECT 10.77.16.10 -> {interface['privateIpAddress']}:8080, 3 packets", text)
        self.assertIn("1 to 10 minutes late", text)
        self.assertNotIn("ACCEPT", text)
        self.check_models([call for call in self.calls() if call["operation"] == "logs:FilterLogEvents"])
        self.fleet.heal(fault)
        self.fleet.fault("stop", "api.1")
        self.order()
        self.assertEqual(self.fleet.run("--from", "web", "--to", "api")[0], 1)
        text = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("The last lines of their logs", text)
        self.assertIn("cannot open /data: no such file", text)
        calls = [call for call in self.calls() if call["operation"] == "logs:GetLogEvents"]
        self.assertEqual(len(calls), 1)
        self.check_models(calls)

    def test_what_may_not_be_asked(self):
        """The past is missing; the rule is named all the same. A trail that hangs holds the verdict up for a while."""
        self.assertEqual(self.fleet.run()[0], 0)
        self.also(denied=["cloudtrail:LookupEvents"])
        fault = self.fleet.fault("drop", "web", "api")
        status, document = self.fleet.run("--from", "web", "--to", "api")
        self.assertEqual(status, 1)
        self.assertEqual([(one["call"], one["is_permission"]) for one in document["run"]["cloud"]["missing"]],
                         [("cloudtrail:LookupEvents", True)])
        change, = document["diagnoses"][0]["changes"]
        self.assertEqual((change["kind"], change.get("by")), ("removed", None))
        self.assertIn("allow cloudtrail:LookupEvents", self.fleet.canreach("diff").stdout)
        self.fleet.heal(fault)
        self.also()
        self.fleet.fault("drop", "web", "api")
        self.order({"operation": "cloudtrail:LookupEvents", "do": "hang", "seconds": 60, "times": 9})
        began = time.monotonic()
        status, document = self.fleet.run("--from", "web", "--to", "api")
        self.assertEqual(status, 1)
        self.assertLess(time.monotonic() - began, 25)
        self.assertEqual([(one["call"], one["code"]) for one in document["run"]["cloud"]["missing"]],
                         [("cloudtrail:LookupEvents", "no-answer")])

    def test_wrong_words(self):
        self.fleet.fault("drop", "web", "api")
        self.assertEqual(self.fleet.run()[0], 1)
        for words, status, text in ((("diff",), 3, "no run before it has passed: name one with 'from'"),
                                    (("diff", "1", "99"), 3, "there is no such run"),
                                    (("diff", "x"), 2, "a run id is a number, or 'last'"),
                                    (("diff", "1", "1", "1"), 2, "unexpected argument '1'"),
                                    (("diff", "-o", "csv"), 2, "expected table, markdown or json")):
            result = self.fleet.canreach(*words)
            self.assertEqual((result.returncode, result.stdout), (status, ""), words)
            self.assertIn(text, result.stderr)


class Datagrams(Lab):
    text = WITH_UDP

    def test_a_rule_for_udp(self):
        """The rules are asked for the protocol of the check; what works is not said to be closed."""
        self.fleet.fault("drop", "web", "udp")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        first, = document["diagnoses"]
        self.assertEqual(first["cause"], "network.sg-ingress")
        self.assertGreaterEqual(first["confidence"], 0.9)
        self.assertIn("(udp) has no rule for udp 9999 from", first["summary"])
        for command in first["commands"]:
            self.assertIn("IpProtocol=udp,FromPort=9999", command)
            self.aws(*shlex.split(command)[1:])
        self.assertEqual(self.fleet.run()[0], 0)


if __name__ == "__main__":
    harness.main()
