"""lab: a local fleet whose AWS is the stand-in, and AWS's own command line to change it with."""

import json
import os
import time
import unittest

import harness

DEBIAN = "/usr/bin/python3"
ALICE = ("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")
READ = "import urllib.request as r; print(r.urlopen('http://10.77.0.6/standin/calls').read().decode())"
ORDER = "import sys, urllib.request as r; r.urlopen(r.Request('http://10.77.0.6/standin/orders', sys.argv[1].encode()))"


class LabTest(unittest.TestCase):
    """A fleet with the stand-in, for each test."""

    text = harness.SHOP
    options = ()

    def setUp(self):
        self.fleet = harness.Fleet(self.text, "--cloud", "facts", *self.options)

    def tearDown(self):
        self.fleet.down()

    def aws_command(self, *words):
        return ["env", f"AWS_ACCESS_KEY_ID={ALICE[0]}", f"AWS_SECRET_ACCESS_KEY={ALICE[1]}", "AWS_REGION=eu-west-1", "AWS_PAGER=",
                "AWS_EC2_METADATA_DISABLED=true", "/usr/bin/aws", "--endpoint-url", "http://10.77.0.6", *words]

    def aws(self, *words):
        """As alice."""
        result = self.fleet.local("exec", "cloud", *self.aws_command(*words))
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout) if result.stdout.strip() else None

    def order(self, *orders):
        self.assertEqual(self.fleet.local("exec", "cloud", DEBIAN, "-c", ORDER, json.dumps(orders)).returncode, 0)

    def calls(self):
        return json.loads(self.fleet.local("exec", "cloud", DEBIAN, "-c", READ).stdout)

    def acts(self):
        """The calls that act on a deployment, with what they ask for."""
        return [(call["operation"], call["parameters"]) for call in self.calls()
                if call["operation"].split(":")[1] in ("ContinueServiceDeployment", "StopServiceDeployment", "UpdateService",
                                                       "PutLifecycleEventHookExecutionStatus", "StopDeployment")
                and not call["agent"].startswith("aws-cli")]

    def also(self, **more):
        """What else the cloud has, from the next fault or call on."""
        with open(os.path.join(self.fleet.env["CANREACH_LOCAL_DIR"], "cloud.json"), "w", encoding="utf-8") as file:
            json.dump(more, file)

    def estate(self):
        with open(os.path.join(self.fleet.env["CANREACH_LOCAL_DIR"], "estate.json"), encoding="utf-8") as file:
            return json.load(file)

    def json(self, *words):
        result = self.fleet.canreach(*words, "-o", "json")
        return json.loads(result.stdout)

    def api(self, path):
        """What the collector answers, as it is."""
        return json.loads(harness.run("curl", "-s", "--unix-socket", self.fleet.url.removeprefix("unix://"),
                                      "http://localhost/api/v1/" + path).stdout)

    # ---- deployments ----

    def register(self, service, **environment):
        """A new revision of the service's task definition: its number."""
        container = [{"name": service, "image": service, "environment": [
            {"name": name, "value": str(value)} for name, value in environment.items()]}]
        answer = self.aws("ecs", "register-task-definition", "--family", service, "--container-definitions",
                          json.dumps(container))
        return answer["taskDefinition"]["revision"]

    def deploy(self, service, **environment):
        """Begins; the revision's name."""
        name = f"{service}:{self.register(service, **environment)}"
        self.aws("ecs", "update-service", "--cluster", "local", "--service", service, "--task-definition", name)
        return name

    def deployments(self):
        """(service, status) of each service deployment, oldest first."""
        return [(one["serviceArn"].rsplit("/", 1)[-1], one["status"]) for one in self.estate()["ecs"]["service_deployments"]]

    def wait_for_deployment(self, status, seconds=30):
        deadline = time.monotonic() + seconds
        while self.deployments()[-1][1] != status:
            self.assertLess(time.monotonic(), deadline, self.deployments())
            time.sleep(0.1)

    def gate(self, *words):
        """The exit status, and the gate's document."""
        result = self.fleet.canreach("gate", *words, "-o", "json", timeout=120)
        return result.returncode, json.loads(result.stdout)["gate"] if result.stdout else result.stderr
