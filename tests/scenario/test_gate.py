"""canreach gate over a local fleet that deploys: good and bad revisions, every way to roll back, and
what must never be a verdict."""

import contextlib
import http.client
import http.server
import importlib.util
import io
import json
import os
import shlex
import socket
import subprocess
import tempfile
import threading
import time

import harness
from harness import HERE, program
from lab import LabTest

SCHEMA = os.path.join(HERE, "..", "schema", "junit.xsd")


def cells(gate, weight="fail"):
    return {(cell["source"], cell["target"]) for finding in gate["findings"] if finding["weight"] == weight
            for cell in finding["cells"]}


def kinds(gate):
    return [(finding["kind"], finding["weight"]) for finding in gate["findings"]]


class Pipeline(LabTest):
    def check_junit(self, *words):
        """Valid as CI systems read it; {(name, result)} of its cases."""
        result = self.fleet.canreach(*words, "-o", "junit")
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(result.stdout)
            file.flush()
            checked = subprocess.run(["xmllint", "--noout", "--schema", SCHEMA, file.name], text=True, capture_output=True,
                                     check=False)
            self.assertEqual(checked.returncode, 0, checked.stderr)
            names = subprocess.run(["xmllint", "--xpath", "//testcase[failure]/@name", file.name], text=True,
                                   capture_output=True, check=False).stdout
        return result.returncode, names

    def test_good_then_bad(self):
        """What a pipeline does after each deployment."""
        self.assertEqual(self.fleet.run()[0], 0)
        good = self.deploy("web")
        status, gate = self.gate("web", "--deployment", "build-1", "--rollback", "ecs")
        self.assertEqual((status, gate["verdict"], gate["revision"], gate["former"]), (0, "pass", good, "web:1"))
        self.assertEqual((gate["agents"], gate["findings"], self.acts()), (2, [], []))
        bad = self.deploy("web", PORT=9090)
        status, gate = self.gate("web", "--deployment", "build-2", "--rollback", "ecs")
        self.assertEqual((status, gate["verdict"], gate["revision"]), (1, "fail", bad))
        self.assertEqual(cells(gate), {("web", "web"), ("api", "web"), ("payments", "web"), ("cache", "web")})
        self.assertEqual(gate["findings"][0]["cause"], "target.other-port")
        self.assertIn("of 14 endpoints of web:3 fail", gate["summary"])
        with self.subTest("rolled back, once, to what was good"):
            self.assertEqual(self.acts(), [("ecs:UpdateService", {"cluster": "local", "service": "web", "taskDefinition": good})])
            self.assertEqual((gate["action"]["outcome"], gate["action"]["mended"]), ("succeeded", "yes"))
            self.assertEqual({agent["revision"] for agent in self.fleet.wait_for_agents(8) if agent["service"] == "web"}, {good})
            self.assertEqual(self.fleet.run()[0], 0)
        with self.subTest("gaps"):
            gaps = {(gap["source"], gap["target"]): gap for gap in gate["gaps"]}
            self.assertGreater(gaps["api", "web"]["seconds"], 1)
            self.assertFalse(gaps["api", "web"]["open"])
            self.assertNotIn(("api", "payments"), gaps)
        with self.subTest("the same deployment again: the same gate"):
            again, same = self.gate("web", "--deployment", "build-2", "--rollback", "ecs")
            self.assertEqual((again, same), (1, gate))
            self.assertEqual(len(self.acts()), 1)
            status, other = self.gate("api", "--deployment", "build-2")  # of another service it is another one
            self.assertEqual((status, other["service"]), (0, "api"))
        with self.subTest("what pipelines read"):
            status, names = self.check_junit("gate", "web", "--deployment", "build-2")
            self.assertEqual((status, names.count("name=")), (1, 5))
            self.assertIn('name="api -&gt; web:http"', names)
            self.assertEqual(self.check_junit("gate", "web", "--deployment", "build-1"), (0, ""))
            self.assertEqual(self.check_junit("matrix", "1"), (0, ""))
            with tempfile.NamedTemporaryFile("r", suffix=".md") as summary:
                result = harness.run(program("canreach"), "gate", "web", "--deployment", "build-2", "-o", "github",
                                     env={"CANREACH_URL": self.fleet.url, "GITHUB_STEP_SUMMARY": summary.name})
                self.assertRegex(result.stdout, r"\A::error title=target\.other-port::4 pairs newly failing .*%0Aweb listens[^\n]*\n\Z")
                markdown = self.fleet.canreach("gate", "web", "--deployment", "build-2", "-o", "markdown").stdout
                self.assertEqual(summary.read(), markdown + "\n")
            self.assertIn("## canreach gate 2: fail", markdown)
            self.assertIn("aws ecs update-service --cluster local --service web --task-definition web:2", markdown)
            rows = self.fleet.canreach("matrix", gate["run"], "-o", "csv").stdout.split("\n")
            self.assertEqual(len(rows), 4 * 4 + 2)
            self.assertIn("api,web,http,8080,allow,fail,", "\n".join(rows))
        with self.subTest("what it calls, its policy allows"):
            called = {call["operation"] for call in self.calls() if call["agent"].startswith("canreach/")}
            allowed = set()
            for name in ("gate", "collector"):
                with open(os.path.join(harness.ROOT, "deploy", "aws", f"{name}-policy.json"), encoding="utf-8") as file:
                    allowed |= {action for statement in json.load(file)["Statement"] for action in
                                ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])}
            self.assertFalse(called - allowed)
            self.assertIn("ecs:DescribeServiceDeployments", called)

    def test_while_the_deployment_waits_or_goes_on(self):
        self.assertEqual(self.fleet.run()[0], 0)
        with self.subTest("PAUSE hook, good: continued"):
            self.also(pause={"web": "hook-1"})
            self.deploy("web")
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["rollout"]["hook"]), (0, "hook-1"))
            self.wait_for_deployment("SUCCESSFUL")
            self.assertEqual([(name, what["action"]) for name, what in self.acts()],
                             [("ecs:ContinueServiceDeployment", "CONTINUE")])
        with self.subTest("PAUSE hook, bad: rolled back"):
            self.order()
            self.deploy("web", PORT=9090)
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["action"]["outcome"], gate["action"]["mended"]), (1, "rolled-back", "yes"))
            self.assertEqual([(name, what["action"], what["hookId"]) for name, what in self.acts()],
                             [("ecs:ContinueServiceDeployment", "ROLLBACK", "hook-1")])
        with self.subTest("a canary, good: continued; the other task follows"):
            self.order()
            self.also(canary={"web": "hook-2"})
            good = self.deploy("web")
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["agents"], gate["expected_agents"], gate["rollout"]["hook"]), (0, 1, 1, "hook-2"))
            self.wait_for_deployment("SUCCESSFUL")
            self.assertEqual([(name, what["action"]) for name, what in self.acts()],
                             [("ecs:ContinueServiceDeployment", "CONTINUE")])
        with self.subTest("a canary, bad: old and new are told apart"):
            self.order()
            bad = self.deploy("web", PORT=9090)
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["action"]["outcome"], gate["action"]["mended"]), (1, "rolled-back", "yes"))
            self.assertEqual(kinds(gate), [("new-failure", "fail")])
            # The eighth: the new task reaches the old one.
            self.assertIn(f"only the new revision fails: of {bad} 7 of 8 endpoints fail, of {good} 0 of 6", gate["findings"][0]["text"])
        with self.subTest("it still goes on: stopped; --dry-run says so, and does nothing"):
            self.order()
            self.also(bake={"web": 30})
            self.deploy("web", PORT=9090)
            status, gate = self.gate("web", "--rollback", "ecs", "--dry-run")
            self.assertEqual((status, gate["action"]["sent"], self.acts()), (1, False, []))
            self.assertIn("aws ecs stop-service-deployment --service-deployment-arn arn:aws:ecs:", gate["action"]["command"])
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["action"]["outcome"], gate["action"]["mended"]), (1, "rolled-back", "yes"))
            self.assertEqual([(name, what["stopType"]) for name, what in self.acts()], [("ecs:StopServiceDeployment", "ROLLBACK")])
        self.assertEqual(self.fleet.run()[0], 0)


class OtherWays(LabTest):
    text = harness.SHOP + "clusters: [gone, local]\nregion: eu-west-1\n"  # ECS knows the service in the second one

    def test_codedeploy(self):
        self.assertEqual(self.fleet.run()[0], 0)
        self.also(codedeploy={"web": "d-GOOD"})
        self.deploy("web")
        status, gate = self.gate("web", "--rollback", "codedeploy", "--deployment", "d-GOOD", "--execution", "e-1")
        self.assertEqual((status, gate["action"]["problem"]), (0, ""))
        self.wait_for_deployment("SUCCESSFUL")
        self.also(codedeploy={"web": "d-BAD"})
        self.deploy("web", PORT=9090)
        status, gate = self.gate("web", "--rollback", "codedeploy", "--deployment", "d-BAD", "--execution", "e-2")
        self.assertEqual((status, gate["action"]["outcome"], gate["action"]["mended"]), (1, "rolled-back", "yes"))
        self.assertEqual([(what["deploymentId"], what["lifecycleEventHookExecutionId"], what["status"]) for _, what in self.acts()],
                         [("d-GOOD", "e-1", "Succeeded"), ("d-BAD", "e-2", "Failed")])

    def test_command(self):
        """Whoever waits for the gate runs it, once; its own exit status counts."""
        self.assertEqual(self.fleet.run()[0], 0)
        self.deploy("web", PORT=9090)
        with tempfile.TemporaryDirectory() as folder:
            note = os.path.join(folder, "note")
            back = ["env", *(f"{key}={value}" for key, value in self.fleet.env.items()), harness.LOCAL, "exec", "cloud",
                    *self.aws_command("ecs", "update-service", "--cluster", "local", "--service", "web", "--task-definition")]
            command = (f"echo $CANREACH_SERVICE $CANREACH_REVISION $CANREACH_FORMER $CANREACH_DEPLOYMENT >>{note}; "
                       f"{shlex.join(back)} $CANREACH_FORMER")
            words = ("gate", "web", "--rollback", "command", "--command", command, "--deployment", "d", "-o", "json")
            both = [self.fleet.start_canreach(*words) for _ in range(2)]
            gates = [json.loads(one.communicate(timeout=60)[0])["gate"] for one in both]
            with open(note, encoding="ascii") as file:
                self.assertEqual(file.read(), "web web:2 web:1 d\n")
        self.assertEqual([one.returncode for one in both], [1, 1])
        self.assertEqual(gates[0], gates[1])
        self.assertEqual((gates[0]["action"]["outcome"], gates[0]["action"]["mended"]), ("command-run", "yes"))
        with self.subTest("it fails; then the pairs have failed before: never again"):
            self.assertEqual(self.fleet.run()[0], 0)
            self.deploy("web", PORT=9090)
            status, gate = self.gate("web", "--rollback", "command", "--command", "exit 7")
            self.assertEqual((status, gate["action"]["problem"]), (1, "the command's exit status is 7"))
            self.deploy("web", PORT=9091)
            status, gate = self.gate("web", "--rollback", "command", "--command", "exit 7")
            self.assertEqual((status, gate["verdict"], gate["action"]), (3, "inconclusive", None))


class NoVerdict(LabTest):
    def test_what_is_not_this_deployments_doing(self):
        self.fleet.fault("drop", "web", "cache")
        self.assertEqual(self.fleet.run()[0], 1)
        self.deploy("web")
        status, gate = self.gate("web", "--rollback", "ecs")
        self.assertEqual((status, gate["verdict"], kinds(gate)), (3, "inconclusive", [("known-failure", "inconclusive")]))
        self.assertEqual(cells(gate, "inconclusive"), {("web", "cache")})
        self.fleet.heal()
        self.assertEqual(self.fleet.run()[0], 0)
        with self.subTest("a peer that fails for everybody"):
            self.deploy("web")
            self.fleet.fault("stop", "payments")
            status, gate = self.gate("web", "--rollback", "ecs", "--on-inconclusive", "pass")
            self.assertEqual((status, kinds(gate)), (0, [("peer", "inconclusive")]))
            self.assertEqual(cells(gate, "inconclusive"), {("web", "payments")})
            self.fleet.heal()
        self.assertEqual(self.acts(), [])
        with self.subTest("a rule that is gone for the deployed service alone"):
            self.assertEqual(self.fleet.run()[0], 0)
            self.deploy("web")
            self.fleet.fault("drop", "web", "api")
            status, gate = self.gate("web", "--on-inconclusive", "pass")
            self.assertEqual((status, cells(gate), gate["findings"][0]["cause"]), (1, {("web", "api")}, "network.sg-ingress"))

    def test_what_is_missing(self):
        self.assertEqual(self.fleet.run()[0], 0)
        with self.subTest("the deployment ends while the gate waits"):
            self.also(breaker=["web"], slow={"web": 1})
            self.deploy("web")
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["verdict"], gate["run"]), (3, "inconclusive", None))
            self.assertRegex(gate["summary"], "^the deployment ended as (STOP_REQUESTED|ROLLBACK_[A-Z_]+) before the gate could judge it: tasks failed to start")
            self.wait_for_deployment("ROLLBACK_SUCCESSFUL")
        self.also()
        with self.subTest("an agent is missing"):
            self.deploy("web")
            self.wait_for_deployment("SUCCESSFUL")
            self.fleet.fault("leave", "web.2")
            began = time.monotonic()
            status, gate = self.gate("web", "--rollback", "ecs", "--wait", "2s")
            self.assertEqual((status, kinds(gate)[0], gate["agents"]), (3, ("no-agents", "inconclusive"), 1))
            self.assertIn("1 of 2 agents of web:3 said hello", gate["summary"])
            self.assertGreater(time.monotonic() - began, 2)
            self.fleet.heal()
            self.fleet.wait_for_agents(8)
        with self.subTest("ECS may not be asked to act"):
            self.assertEqual(self.fleet.run()[0], 0)
            self.also(denied=["ecs:UpdateService"])
            before = self.deploy_as_planned("web")
            self.also(denied=["ecs:UpdateService"])
            self.fleet.heal(self.fleet.fault("ttl", "api", "10"))
            status, gate = self.gate("web", "--rollback", "ecs")
            self.assertEqual((status, gate["verdict"], gate["action"]["mended"]), (1, "fail", "unknown"), before)
            self.assertIn("ecs:UpdateService: AccessDeniedException", gate["action"]["problem"])
            self.assertIn("allow it, see deploy/aws/gate-policy.json", gate["action"]["problem"])
        with self.subTest("ECS does not say which tasks are new: no verdict on whatever runs there"):
            self.also(denied=["ecs:DescribeServices"])
            self.fleet.heal(self.fleet.fault("ttl", "api", "10"))
            status, gate = self.gate("api", "--rollback", "ecs")
            self.assertEqual(status, 3)
            text, = (finding["text"] for finding in gate["findings"] if finding["kind"] == "not-told")
            self.assertIn("ecs:DescribeServices: AccessDeniedException", text)
            status, gate = self.gate("api", "--revision", "api:1")
            self.assertEqual((status, gate["revision"]), (3, "api:1"))  # web, which is broken, fails for it, too

    def deploy_as_planned(self, service):
        """A bad one, while it is still allowed."""
        self.also()
        name = self.deploy(service, PORT=9090)
        self.wait_for_deployment("SUCCESSFUL")
        return name

    def test_cut_off(self):
        """ECS says that it runs, nothing of it says hello, nobody reaches it: that is no lack of data."""
        self.assertEqual(self.fleet.run()[0], 0)
        self.deploy("web", ISOLATED=1)
        status, gate = self.gate("web", "--rollback", "ecs", "--wait", "4s")
        self.assertEqual((status, gate["verdict"]), (1, "fail"), gate)
        self.assertEqual(kinds(gate)[0], ("revision-cut-off", "fail"), json.dumps(gate))
        self.assertIn("the new revision web:2 is cut off: ECS says that 2 of its tasks run", gate["summary"])
        self.assertEqual((gate["action"]["outcome"], gate["action"]["mended"]), ("succeeded", "yes"))
        status, document = self.fleet.run()
        self.assertEqual((status, document["unfinished"], harness.states(document)), (0, [], {}))

    def test_refusals(self):
        for words, text in ((("web", "PORT"), "NAME=VALUE, such as PORT=9090"), (("wbe",), "no service 'wbe'")):
            self.assertIn(text, self.fleet.local("deploy", *words).stderr)
        for words, status, text in (
                (("wbe",), 2, "the fleet has no service 'wbe'; did you mean 'web'?"),
                ((), 2, "name the service that was deployed, or --attach GATE"),
                (("web", "--baseline", "99"), 2, "there is no run 99: it never was, or has been pruned"),
                (("web", "--baseline", "/nonexistent"), 2, "neither last-good, nor a run's id, nor a file"),
                (("web", "--baseline", "/etc/hostname"), 2, "not a matrix as 'canreach matrix -o json' writes it"),
                (("web", "--rollback", "x"), 2, "expected ecs, codedeploy, command or none"),
                (("web", "--rollback", "command"), 2, "--rollback command and --command go together"),
                (("web", "--rollback", "codedeploy"), 2, "needs 'deployment'"),
                (("web", "--on-inconclusive", "0"), 2, "expected pass, fail or 3"),
                (("--attach", "7"), 3, "there is no such gate")):
            result = self.fleet.canreach("gate", *words)
            self.assertEqual((result.returncode, result.stdout), (status, ""), words)
            self.assertIn(text, result.stderr)
        with self.subTest("two at once for one service"):
            first = self.fleet.start_canreach("gate", "web", "--tasks", "9", "--wait", "4s", "-o", "json")
            time.sleep(1)
            result = self.fleet.canreach("gate", "web")
            self.assertEqual((result.returncode, result.stdout), (3, ""))
            self.assertRegex(result.stderr, "gate 1 of web, for deployment web@[0-9.]+, is open: one at a time")
            out, _ = first.communicate(timeout=30)
            self.assertEqual((first.returncode, json.loads(out)["gate"]["verdict"]), (3, "inconclusive"))
        with self.subTest("no baseline, and it fails: nobody can say"):
            self.fleet.fault("drop", "web", "api")
            status, gate = self.gate("web")
            self.assertEqual((status, kinds(gate)), (3, [("never-good", "inconclusive")]))
            with tempfile.NamedTemporaryFile("w", suffix=".json") as kept:
                matrix = {"cells": [{"source": "web", "target": "api", "check": "http", "state": "ok"}]}
                json.dump(matrix, kept)
                kept.flush()
                status, gate = self.gate("web", "--baseline", kept.name)
            self.assertEqual((status, kinds(gate)), (1, [("new-failure", "fail")]))


class Restarts(LabTest):
    def test_a_collector_that_starts_again(self):
        """In the middle of waiting, of the run, and between the intent and the act: one verdict, one act."""
        self.assertEqual(self.fleet.run()[0], 0)
        self.also(slow={"web": 1})
        self.deploy("web", PORT=9090)
        self.order({"operation": "ecs:UpdateService", "do": "hang", "seconds": 4})
        client = self.fleet.start_canreach("gate", "web", "--rollback", "ecs", "--deployment", "d", "-o", "json")
        for state in ("waiting", "probing", "acting"):
            self.wait_for_state(state)
            self.fleet.heal(self.fleet.fault("kill", "collector"))
        out, err = client.communicate(timeout=90)
        self.assertEqual(client.returncode, 1, err)
        gate = json.loads(out)["gate"]
        self.assertEqual((gate["verdict"], gate["action"]["outcome"], gate["action"]["mended"]), ("fail", "succeeded", "yes"))
        self.assertEqual([service for service, _ in self.deployments()], ["web", "web"])  # the bad one, and one back
        self.assertIn("event=gate-resumed gate=1 service=\"web\" state=acting", self.fleet.log("collector"))
        self.assertEqual(self.fleet.run()[0], 0)

    def wait_for_state(self, state):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            result = harness.run("curl", "-s", "--unix-socket", self.fleet.url.removeprefix("unix://"),
                                 "http://localhost/api/v1/gates/last")
            if f'"state":"{state}"' in result.stdout and "gate" in result.stdout:
                return
            time.sleep(0.02)
        self.fail(f"the gate is not {state}: {result.stdout}")


class Proxy(http.server.BaseHTTPRequestHandler):
    """The collector's socket, as a server on loopback."""

    path_to_socket = ""

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path_to_socket)
        connection.request("POST", self.path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Examples(harness.FleetTest):
    """What deploy/ offers to copy works: each over a real gate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Proxy.path_to_socket = cls.fleet.url.removeprefix("unix://")
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.url = f"http://127.0.0.1:{cls.server.server_address[1]}"
        spec = importlib.util.spec_from_file_location("hooks", os.path.join(harness.ROOT, "deploy", "aws", "hooks.py"))
        cls.hooks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(cls.hooks)

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()
        super().tearDownClass()

    def lambda_hook(self, deployment, **environment):
        """The answers until it is none to wait for."""
        event = {"lifecycleStage": "POST_SCALE_UP", "executionId": "x", "executionDetails": {
            "serviceDeploymentArn": deployment, "serviceArn": "arn:aws:ecs:eu-west-1:1:service/prod/web"}}
        answers = []
        with harness.patched_environment({"CANREACH_URL": self.url, **environment}), contextlib.redirect_stdout(io.StringIO()):
            while not answers or (answers[-1]["hookStatus"] == "IN_PROGRESS" and len(answers) < 200):
                answers.append(self.hooks.ecs_hook(event, None))
                time.sleep(0.1)
        return answers

    def flagger(self, checksum, **metadata):
        body = {"name": "web", "namespace": "shop", "phase": "Progressing", "checksum": checksum, "metadata": metadata}
        result = harness.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", json.dumps(body), self.url + "/api/v1/flagger")
        return int(result.stdout)

    def until(self, expected, ask):
        deadline = time.monotonic() + 30
        while (status := ask()) != expected:
            self.assertEqual(status, 425)
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_hooks_and_webhooks(self):
        self.assertEqual(self.fleet.run()[0], 0)
        answers = self.lambda_hook("arn:one")
        self.assertEqual((answers[0], answers[-1]), ({"hookStatus": "IN_PROGRESS", "callBackDelay": 15}, {"hookStatus": "SUCCEEDED"}))
        self.until(200, lambda: self.flagger("1", service="web"))
        self.assertEqual(self.flagger("1", service="web", hook="rollback"), 409)
        self.assertEqual(self.flagger("1", service="wbe", hook="x"), 400)
        self.fleet.fault("drop", "web", "api")
        self.assertEqual(self.lambda_hook("arn:two")[-1], {"hookStatus": "FAILED"})
        self.fleet.heal()
        self.assertEqual(self.fleet.run()[0], 0)
        self.fleet.fault("drop", "web", "cache")
        self.until(409, lambda: self.flagger("2", service="web"))
        self.assertEqual(self.flagger("2", service="web", hook="rollback"), 200)
        with harness.patched_environment({"CANREACH_URL": "http://127.0.0.1:1"}), contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(self.hooks.ecs_hook({"executionId": "x", "executionDetails": {"serviceArn": "a/web"}}, None),
                             {"hookStatus": "IN_PROGRESS", "callBackDelay": 15})

    def test_watch(self):
        """Who is away, and for how long; the exit status is that of the end."""
        watch = self.fleet.start_canreach("watch", "--about", "web", "--every", "500ms", "--for", "7s", "-o", "json")
        time.sleep(1.5)
        fault = self.fleet.fault("stop", "web")
        time.sleep(2)
        self.fleet.heal(fault)
        document = json.loads(watch.communicate(timeout=20)[0])
        self.assertEqual(watch.returncode, 0)
        gaps = {(gap["source"], gap["target"]): gap["seconds"] for gap in document["gaps"]}
        self.assertEqual(set(gaps), {("web", "web"), ("api", "web"), ("payments", "web"), ("cache", "web")})
        self.assertTrue(all(1 < seconds < 5 for seconds in gaps.values()), gaps)
        self.assertEqual(document["pairs"], 7)
        result = self.fleet.canreach("watch", "--about", "wbe", "--for", "1s")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("did you mean 'web'?", result.stderr)
        self.fleet.fault("drop", "web", "api")
        result = self.fleet.canreach("watch", "--from", "web", "--for", "2s")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"(?m)^[0-9:]+  web -> api:http  fail$")
        self.assertRegex(result.stdout, r"web -> api:http +[0-9.]+ in 1 gap, the longest [0-9.]+; it goes on")


if __name__ == "__main__":
    harness.main()
