"""Tasks and agents that come and go in the middle of a run; a collector that does; tasks that share a host."""

import json
import time
import unittest

from harness import Fleet, FleetTest, cell, main, program, states

CHURN = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 2s }
services:
  web:      {}
  api:      {}
  payments: {}
"""


def end(process):
    """The exit status and the document of a run that was started."""
    output, errors = process.communicate(timeout=90)
    return process.returncode, json.loads(output) if output else errors


class Churn(FleetTest):
    text = CHURN

    def tearDown(self):
        super().tearDown()
        self.fleet.wait_for_agents(6)

    def wait_for_state(self, state, seconds=10):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = self.fleet.canreach("matrix", "-o", "json")
            run = json.loads(result.stdout)["run"] if result.stdout else {"state": result.stderr}
            if run["state"] == state:
                return run
            time.sleep(0.05)
        raise AssertionError(f"not {state} within {seconds} s: {run}")

    def test_a_task_that_is_retired_is_gone_not_failed(self):
        """api.1 stops as ECS stops a task: its agent says leaving, its server ends, its record lingers."""
        self.fleet.fault("drop", "web", "api.1")  # so that its endpoint is being tried when it leaves
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        time.sleep(1)
        self.fleet.fault("leave", "api.1")
        self.fleet.fault("stop", "api.1")
        status, document = end(run)
        self.assertEqual(cell(document, "web", "api")["state"], "ok", document["cells"])
        self.assertEqual((status, cell(document, "web", "api")["failed"]), (0, 0))
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("api.1, which left during the run", page)

    def test_all_tasks_retired_is_gone(self):
        self.fleet.fault("drop", "web", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        time.sleep(1)
        self.fleet.fault("leave", "api")
        self.fleet.fault("stop", "api")
        status, document = end(run)
        self.assertEqual(cell(document, "web", "api")["state"], "gone")
        self.assertEqual(status, 3)  # nothing was shown

    def test_a_task_that_dies_without_a_word_is_a_failure(self):
        self.fleet.fault("drop", "web", "api.1")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        time.sleep(1)
        self.fleet.fault("kill", "api.1")
        self.fleet.fault("stop", "api.1")
        status, document = end(run)
        self.assertEqual((status, cell(document, "web", "api")["state"]), (1, "partial"))
        self.assertIn("its agent is away", self.fleet.canreach("why", "web", "api").stdout)

    def test_a_source_that_leaves_in_the_sweep(self):
        self.fleet.fault("drop", "web.1", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        time.sleep(1)
        self.fleet.fault("leave", "web.1")
        status, document = end(run)
        # What it could not try to the end is no failure; the other one got through.
        self.assertEqual((status, cell(document, "web", "api")["state"]), (0, "ok"), document["cells"])
        self.assertEqual([(task["task"], task["state"]) for task in document["unfinished"]], [("web.1", "departed")])

    def test_a_source_that_is_killed_and_started_anew(self):
        self.fleet.fault("drop", "web", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        time.sleep(1)
        self.fleet.heal(self.fleet.fault("kill", "web.1"))
        status, document = end(run)
        # The new agent goes on where the former one was.
        self.assertEqual((status, cell(document, "web", "api")["state"]), (1, "fail"))
        self.assertFalse(document["run"]["incomplete"], document["unfinished"])

    def test_a_source_that_is_killed_in_the_confirmation(self):
        self.fleet.fault("drop", "web", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        self.wait_for_state("confirm")
        self.fleet.fault("kill", "web.1")
        status, document = end(run)
        # web.2 confirms it; what only web.1 had seen is spoken for.
        self.assertEqual((status, cell(document, "web", "api")["state"]), (1, "fail"))

    def test_a_collector_that_is_killed_in_the_confirmation(self):
        self.fleet.fault("drop", "web", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        provisional = self.wait_for_state("confirm")
        self.assertEqual((provisional["verdict"], provisional["provisional"]), (None, "fail"))
        self.fleet.heal(self.fleet.fault("kill", "collector"))
        status, document = end(run)
        self.assertEqual((status, states(document, "fail")), (1, {("web", "api"): "fail"}))
        self.assertFalse(document["run"]["incomplete"], document["unfinished"])

    def test_a_witness_that_is_killed(self):
        self.fleet.fault("drop", "web", "api")
        run = self.fleet.start_canreach("run", "-o", "json", "--from", "web", "--to", "api")
        self.wait_for_state("confirm")
        self.fleet.fault("kill", "api.1")
        status, document = end(run)
        self.assertEqual((status, cell(document, "web", "api")["state"]), (1, "fail"))
        document = json.loads(self.fleet.canreach("why", "-o", "json", "web", "api").stdout)
        self.assertEqual({witness["task"] for witness in document["witnesses"] if witness["round"] == 1}, {"api.2"})

    def test_a_manual_run_overtakes(self):
        """Two runs at once: the second is short, and does not wait for the first."""
        self.fleet.fault("drop", "web", "api")
        first = self.fleet.start_canreach("run", "-o", "json")
        time.sleep(0.5)
        started = time.monotonic()
        status, document = self.fleet.run("--from", "payments", "--to", "web")
        self.assertLess(time.monotonic() - started, 3)
        self.assertEqual((status, states(document, "ok")), (0, {("payments", "web"): "ok"}))
        status, document = end(first)
        self.assertEqual((status, states(document, "fail")), (1, {("web", "api"): "fail"}))


class SharedHost(unittest.TestCase):
    """Two services on one host (host mode): the same addresses, and no false owners."""

    def test_no_false_owners(self):
        fleet = Fleet(CHURN)
        self.addCleanup(fleet.down)
        for task, service in (("web.1", "api"), ("web.1", "web")):
            fleet.local("exec", task, "sh", "-c",
                        f"timeout 40 {program('canreach-agent')} --collector tcp://10.77.0.10:7700 --service {service} "
                        f"--task host.{service} --network-mode host --allow-net 10.77.0.0/16 >/dev/null 2>&1 &")
        fleet.fault("leave", "web.1")  # its own agent said awsvpc
        fleet.wait_for_agents(7)
        fleet.fault("reused", "api", "web.1")
        status, document = fleet.run("--from", "payments", "--to", "api")
        # In awsvpc mode this would be a reused address; here api's task on that host may well be meant.
        self.assertEqual((status, cell(document, "payments", "api")["state"]), (0, "ok"), document["cells"])
        document = json.loads(fleet.canreach("why", "-o", "json", "payments", "api").stdout)
        owners = {owner["kind"]: owner for owner in document["owners"]}
        self.assertEqual(set(owners), {"task", "shared"})
        self.assertFalse(owners["shared"]["reused"])
        # The witness is still there, by port.
        fleet.fault("drop", "payments", "web.1")
        fleet.run("--from", "payments", "--to", "api")
        page = fleet.canreach("why", "payments", "api").stdout
        self.assertIn("a host of several tasks", page)
        self.assertIn("nothing of payments.1 arrived", page)


if __name__ == "__main__":
    main()
