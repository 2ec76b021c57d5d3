"""What is told to people: each kind of destination is a real server that takes what it is sent (SMTP
included), or, for AWS, the stand-in; schedules start on time; what is old goes."""

import base64
import email
import email.policy
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

DEBIAN = "/usr/bin/python3"
if sys.executable != DEBIAN:  # Debian's modules are for Debian's Python
    os.execv(DEBIAN, [DEBIAN, "-B", *sys.argv])

import botocore.session
from botocore.validate import ParamValidator

import harness
from lab import LabTest

CONFIG = """
gate: { poll: 500ms }
retention: { runs: 4, age: 1h }
schedules:
  - { name: each-minute, cron: '* * * * *', from: [cache], to: [web] }  # may come at any moment: of a pair that stays well
alerts:
  manual: true
  retry: 200ms
  url: https://canreach.example/
  destinations:
    - { name: hook, type: webhook, url: 'http://10.77.0.6:9000/hook', secret: 'file:FOLDER/secret' }
    - { name: chat, type: slack, url: 'http://10.77.0.6:9000/slack' }
    - { name: duty, type: pagerduty, url: 'http://10.77.0.6:9000/v2/enqueue', secret: 'file:FOLDER/secret' }
    - { name: tickets, type: jira, url: 'http://10.77.0.6:9000/jira', project: OPS, user: bot, secret: 'file:FOLDER/secret' }
    - { name: mail, type: smtp, url: 'smtp://10.77.0.6:2525', from: canreach@example.com, to: [ops@example.com, dev@example.com], plain: true }
    - { name: topic, type: sns, topic: 'arn:aws:sns:eu-west-1:123456789012:ops.fifo' }
    - { name: metrics, type: cloudwatch, namespace: Shop }
    - { name: lines, type: emf }
"""


class Alerts(LabTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cra-", dir="/tmp")
        os.chmod(self.folder, 0o777)
        for name, text in (("secret", "s3cret\n"), ("config", CONFIG.replace("FOLDER", self.folder))):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.began = time.time()
        self.fleet = harness.Fleet(self.text, "--cloud", "facts", "--config", os.path.join(self.folder, "config"))
        self.receiver = subprocess.Popen(
            [harness.LOCAL, "exec", "cloud", DEBIAN, os.path.join(harness.HERE, "..", "tools", "receiver.py"), self.folder,
             "10.77.0.6"], env={**os.environ, **self.fleet.env})
        self.until(lambda: os.path.exists(os.path.join(self.folder, "ready")), "the receiver")

    def tearDown(self):
        self.receiver.kill()
        self.receiver.wait()
        super().tearDown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def until(self, condition, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def received(self, kind="http", path=None):
        name = os.path.join(self.folder, "received")
        if not os.path.exists(name):
            return []
        with open(name, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if line["kind"] == kind and path in (None, line.get("path"))]

    def events(self):
        """(kind, cause) of what the webhook took."""
        return [(event["kind"], event["cause"]) for event in (json.loads(one["body"]) for one in self.received(path="/hook")
                                                              if one["status"] == 200)]

    def answers(self, **paths):
        with open(os.path.join(self.folder, "answers"), "w", encoding="utf-8") as file:
            json.dump({"/" + path: answers for path, answers in paths.items()}, file)
        os.chmod(os.path.join(self.folder, "answers"), 0o666)

    def pending(self):
        return {one["name"]: one["pending"] for one in self.api("alerts")["destinations"] if one["pending"]}

    def test_all(self):
        self.assertEqual(self.fleet.run()[0], 0)
        self.order()
        fault = self.fleet.fault("drop", "web", "payments")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.until(lambda: self.events() and not self.pending(), "the first alert")
        with self.subTest("opened, once, everywhere"):
            self.check_opened(document["run"]["id"])
        with self.subTest("the same again: nobody is told"):
            self.assertEqual(self.fleet.run()[0], 1)
            self.until(lambda: not self.pending(), "figures")
            self.assertEqual(self.events(), [("opened", "network.sg-ingress")])
        with self.subTest("another cause; the receivers fail, and hold nobody up"):
            self.answers(hook=[500, 503, [302, "http://10.77.0.6:9001/other"]], **{"v2/enqueue": [429]})
            self.fleet.heal(fault)
            fault = self.fleet.fault("stop", "payments")
            self.assertEqual(self.fleet.run("--to", "payments")[0], 1)
            self.until(lambda: len(self.events()) > 1 and not self.pending(), "the second alert")
            self.assertEqual(self.events()[1][0], "changed")
            self.assertEqual([one["status"] for one in self.received(path="/hook")], [200, 500, 503, 302, 200])
            keys = {one["headers"]["idempotency-key"] for one in self.received(path="/hook")[1:]}
            self.assertEqual(len(keys), 1)
            self.assertFalse([one for one in self.received() if one["port"] == 9001])
            metrics = harness.run("curl", "-s", "--unix-socket", self.fleet.url.removeprefix("unix://"), "http://localhost/metrics").stdout
            self.assertIn('canreach_alerts{state="pending",destination="hook"} 0\n', metrics)
            self.assertIn("canreach_gates_open 0\n", metrics)
            self.assertIn("it redirects, which is not followed", self.fleet.log("collector"))
            self.assertEqual([one["path"] for one in self.received() if "jira" in one["path"]],
                             ["/jira/rest/api/2/issue", "/jira/rest/api/2/issue/OPS-1/comment"])
        with self.subTest("a run that leaves the pair out says nothing; resolved after a restart"):
            self.fleet.heal(fault)
            status, document = self.fleet.run("--to", "api")
            self.assertEqual(status, 0)
            self.until(lambda: not self.pending() and self.figures(document["run"]["id"]), "figures")
            self.assertEqual(self.figures(document["run"]["id"]), {None: 0, "api": 0})  # of the others nothing is known
            self.assertEqual(len(self.events()), 2)
            left = 60 - time.time() % 60
            if left < 20:  # a scheduled run would find that no agent is back yet, and say so
                time.sleep(left + 1)
            self.answers(hook=[500] * 4)
            self.assertEqual(self.fleet.run()[0], 0)
            self.until(lambda: len(self.received(path="/hook")) > 6, "tries")
            self.fleet.heal(self.fleet.fault("kill", "collector"))
            self.until(lambda: len(self.events()) > 2 and not self.pending(), "the third alert")
            self.assertEqual(self.events()[2][0], "resolved")
            duty = [json.loads(one["body"]) for one in self.received(path="/v2/enqueue") if one["status"] == 200]
            self.assertEqual([one["event_action"] for one in duty], ["trigger", "trigger", "resolve"])
            self.assertEqual(len({one["dedup_key"] for one in duty}), 1)
        self.check_history()
        self.check_schedule()

    def check_opened(self, run):
        hook, = self.received(path="/hook")
        signed = dict(part.split("=") for part in hook["headers"]["x-canreach-signature"].split(","))
        self.assertEqual(signed["v1"], hmac.new(b"s3cret", f"{signed['t']}.{hook['body']}".encode(), hashlib.sha256).hexdigest())
        event = json.loads(hook["body"])
        self.assertEqual((event["kind"], event["cause"], event["fleet"], event["run"]), ("opened", "network.sg-ingress", "shop", run))
        self.assertEqual([(cell["source"], cell["target"]) for cell in event["cells"]], [("web", "payments")])
        self.assertIn("aws ec2 authorize-security-group-ingress", " ".join(event["commands"]))
        chat, = self.received(path="/slack")
        self.assertIn("web -&gt; payments:http", json.loads(chat["body"])["blocks"][1]["text"]["text"])
        duty, = self.received(path="/v2/enqueue")
        self.assertEqual(json.loads(duty["body"])["routing_key"], "s3cret")
        ticket, = self.received(path="/jira/rest/api/2/issue")
        fields = json.loads(ticket["body"])["fields"]
        self.assertEqual(ticket["headers"]["authorization"], "Basic " + base64.b64encode(b"bot:s3cret").decode())
        self.assertRegex(fields["description"], r"web -> payments:http +fail")
        self.assertIn("Evidence", fields["description"])
        mail, = self.received("mail")
        self.assertEqual((mail["sender"], mail["recipients"]), ("canreach@example.com", ["ops@example.com", "dev@example.com"]))
        message = email.message_from_string(mail["body"], policy=email.policy.default)
        self.assertEqual((message["Message-ID"], message.defects), (f"<{event['id']}@canreach>", []))
        self.assertTrue(message["Subject"].startswith("[shop] "))
        self.assertIn("  web -> payments:http\n", message.get_content())
        self.assertIn("https://canreach.example/", message.get_content())
        # A scheduled run has fewer figures.
        calls = {call["operation"]: call["parameters"] for call in self.calls()
                 if len(call["parameters"].get("MetricData", ())) in (0, 5)}
        self.check_models(calls)
        self.assertEqual((calls["sns:Publish"]["MessageDeduplicationId"], calls["sns:Publish"]["MessageGroupId"]),
                         (event["id"], event["key"]))
        metrics = {one["Dimensions"][-1]["Value"]: float(one["Value"]) for one in calls["monitoring:PutMetricData"]["MetricData"]}
        self.assertEqual((calls["monitoring:PutMetricData"]["Namespace"], metrics),
                         ("Shop", {"shop": 1, "web": 0, "api": 0, "payments": 1, "cache": 0}))
        self.assertEqual(self.figures(run), {None: 1, "web": 0, "api": 0, "payments": 1, "cache": 0})

    def figures(self, run):
        """{service, or None for the fleet: FailureCount} that embedded metric format has of a run."""
        lines = [json.loads(line) for line in self.fleet.log("collector").splitlines() if line.startswith('{"_aws"')]
        return {line.get("Service"): line["FailureCount"] for line in lines if line["Run"] == run}

    def check_models(self, calls):
        session = botocore.session.get_session()
        for name, service in (("sns:Publish", "sns"), ("monitoring:PutMetricData", "cloudwatch")):
            parameters = json.loads(json.dumps(calls[name]))
            for one in parameters.get("MetricData", []):
                one["Value"] = float(one["Value"])
            shape = session.get_service_model(service).operation_model(name.split(":")[1]).input_shape
            report = ParamValidator().validate(parameters, shape)
            self.assertFalse(report.has_errors(), report.generate_report())
            self.assertFalse(set(parameters) - set(shape.members))

    def state(self, run, source, target):
        """Of the pair in that run."""
        return next(cell["state"] for cell in self.api(f"runs/{run}/matrix")["cells"]
                    if (cell["source"], cell["target"]) == (source, target))

    def check_history(self):
        with self.subTest("outages"):
            outage, = self.api("outages?source=web&target=payments")["outages"]
            self.assertEqual([cause["cause"] for cause in outage["causes"]][0], "network.sg-ingress")
            self.assertGreater(len(outage["causes"]), 1)
            self.assertIsNotNone(outage["end"])
            self.assertGreater(outage["seconds"], 5)
            self.assertIn("web -> payments:http", self.fleet.canreach("runs", "--outages").stdout)
        with self.subTest("incidents"):
            self.assertEqual(self.api("alerts")["incidents"], [])
            one, *_ = self.api("alerts?all=1")["incidents"]
            self.assertFalse(one["open"])
        with self.subTest("old runs go, but not the last good one of a pair"):
            self.fleet.fault("drop", "cache", "api")
            for _ in range(5):
                self.assertEqual(self.fleet.run("--from", "web", "--to", "payments")[0], 0)
            status, document = self.fleet.run("--from", "cache", "--to", "api")
            self.assertEqual(status, 1)
            self.until(lambda: len(self.api("runs")["runs"]) <= 7, "pruned", 30)
            ids = [int(run["id"]) for run in self.api("runs")["runs"]]
            good = [one for one in ids if self.state(one, "cache", "api") == "ok"]
            self.assertTrue(good and max(good) < max(ids) - 4, ids)
            self.assertNotIn(2, ids)
            document = self.json("why", "cache", "api", "--run", document["run"]["id"])
            self.assertEqual(document["diagnoses"][0]["last_good"]["run"], str(max(good)), ids)
        with self.subTest("nobody probes: no figure"):
            fault = self.fleet.fault("kill", "cache")
            status, document = self.fleet.run("--from", "cache", "--to", "api", "--deadline", "2s")
            self.assertEqual((status, {cell["state"] for cell in document["cells"]}), (3, {"no-data", "not-probed"}))
            self.until(lambda: not self.pending(), "all")
            self.assertEqual(self.figures(document["run"]["id"]), {})
            self.fleet.heal(fault)

    def check_schedule(self):
        with self.subTest("on time"):
            self.until(lambda: "event=schedule-run" in self.fleet.log("collector"), "a scheduled run", 65)
            line = next(line for line in self.fleet.log("collector").splitlines() if "event=schedule-run" in line)
            self.assertLess(int(line.split("late_ms=")[1]), 1000)
            one, = self.api("schedules")["schedules"]
            self.assertEqual((one["name"], one["cron"], one["zone"]), ("each-minute", "* * * * *", "UTC"))
            self.assertTrue(one["next"].endswith(":00.000Z"))


if __name__ == "__main__":
    harness.main()
