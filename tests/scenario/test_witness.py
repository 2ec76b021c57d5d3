"""Both ends: what the target's own agent sees of each fault, while the source tries again."""

import json
import unittest

from harness import FleetTest, cell, main, states

WITNESS = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:      {}
  api:      { tasks: 2 }
  payments: {}
"""


class Witness(FleetTest):
    text = WITNESS

    def look(self, source="web", target="api", state="fail"):
        """Runs one pair; its document. The witnesses of the last round by task."""
        status, document = self.fleet.run("--from", source, "--to", target)
        self.assertEqual(cell(document, source, target)["state"], state, document["cells"])
        self.assertEqual(status, 0 if state == "ok" else 1)
        self.assertFalse(document["run"]["incomplete"])
        document = json.loads(self.fleet.canreach("why", "-o", "json", source, target).stdout)
        self.witnesses = {witness["task"]: witness for witness in document["witnesses"]}
        return document

    def listener(self, task, port=8080):
        return next((listener for listener in self.witnesses[task]["listeners"] if listener["port"] == port), None)

    def arrived(self, document, task, round_=1):
        """The states of what came to `task`, by the 4-tuple of each attempt."""
        owner = {owner["address"] for owner in document["owners"] if owner.get("task") == task}
        locals_ = {row["local"] for row in document["probes"] if row["address"] in owner and row["round"] == round_}
        self.assertTrue(locals_ and all(locals_))
        return [arrival["state"] for arrival in self.witnesses[task]["arrivals"] if arrival["remote"] in locals_]

    def checks(self, task):
        return {check["over"]: check["outcome"] for check in self.witnesses[task]["checks"]}

    def test_nothing_to_see_in_a_healthy_run(self):
        document = self.look(state="ok")
        self.assertEqual(document["witnesses"], [])
        self.assertEqual({owner["task"] for owner in document["owners"]}, {"api.1", "api.2"})

    def test_forward_drop(self):
        self.fleet.fault("drop", "web", "api")
        document = self.look()
        for task in ("api.1", "api.2"):
            self.assertEqual(self.arrived(document, task), [])
            self.assertEqual(self.listener(task)["address"], "0.0.0.0")
            self.assertEqual(self.witnesses[task]["counters"]["OutRsts"], 0)
            self.assertEqual(self.checks(task), {"loopback": "ok", "own-address": "ok"})
            self.assertEqual(self.witnesses[task]["source"], "sock_diag")
            self.assertGreater(self.witnesses[task]["looks"], 20)
        again = [row for row in document["probes"] if row["round"] == 1]
        self.assertEqual(len(again), 2 * 2 * 2)  # tasks, endpoints, attempts
        self.assertEqual({(row["held"], row["late"]) for row in again}, {(True, None)})
        self.assertEqual({row["retransmits"] for row in again}, {2})  # after 1 s and 3 s

    def test_return_path_drop(self):
        self.fleet.fault("lost", "web", "api")
        document = self.look()
        for task in ("api.1", "api.2"):
            self.assertEqual(self.arrived(document, task), ["half-open"] * 4)
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("half-open: 2 of web.1 arrived, the answers are lost on the way back", page)

    def test_behind_nat_nothing_is_claimed(self):
        """The target sees the router's address: no 4-tuple matches, and that is said."""
        self.fleet.fault("nat", "web", "api")
        self.look(state="ok")
        self.fleet.fault("lost", "web", "api")
        document = self.look()
        self.assertEqual(self.arrived(document, "api.1"), [])
        self.assertGreater(self.witnesses["api.1"]["strangers"], 0)
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("nothing from web.1's own address arrived (2 attempts); half-open from other addresses", page)
        self.assertNotIn("nothing of web.1 arrived", page)

    def test_refused_by_the_app(self):
        self.fleet.fault("stop", "api")
        document = self.look()
        for task in ("api.1", "api.2"):
            self.assertIsNone(self.listener(task))
            # Two tasks, two attempts each. The agent's own closes are not among them.
            self.assertGreaterEqual(self.witnesses[task]["counters"]["OutRsts"], 4)
            self.assertEqual(self.witnesses[task]["unchecked"], "nothing listens on its port")
        self.assertEqual({row["outcome"] for row in document["probes"]}, {"refused"})
        self.assertIn("nothing listens on port 8080", self.fleet.canreach("why", "web", "api").stdout)

    def test_refused_by_a_firewall(self):
        self.fleet.fault("refuse", "web", "api")
        document = self.look()
        self.assertEqual({row["outcome"] for row in document["probes"]}, {"refused"})
        for task in ("api.1", "api.2"):
            self.assertEqual(self.listener(task)["address"], "0.0.0.0")
            self.assertEqual(self.witnesses[task]["counters"]["OutRsts"], 0)
            self.assertEqual(self.checks(task), {"loopback": "ok", "own-address": "ok"})
        self.assertIn("it sent no RST: somebody else refuses", self.fleet.canreach("why", "web", "api").stdout)

    def test_bound_to_loopback(self):
        self.fleet.fault("bound", "api")
        document = self.look()
        self.assertEqual({row["outcome"] for row in document["probes"]}, {"refused"})
        for task in ("api.1", "api.2"):
            self.assertEqual(self.listener(task)["address"], "127.0.0.1")
            self.assertGreaterEqual(self.witnesses[task]["counters"]["OutRsts"], 4)
            self.assertEqual(self.witnesses[task]["unchecked"], "it listens on loopback only")
        self.assertIn("listens on 127.0.0.1:8080 only: loopback", self.fleet.canreach("why", "web", "api").stdout)

    def test_wrong_port(self):
        self.fleet.fault("port", "api", "8081")
        self.look()
        for task in ("api.1", "api.2"):
            self.assertIsNone(self.listener(task))
            self.assertEqual(self.listener(task, 8081)["address"], "0.0.0.0")
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("nothing listens on port 8080", page)
        self.assertIn("it listens on 8081", page)

    def test_accept_queue_full(self):
        self.fleet.fault("queue", "api.1", "3", "full")
        self.look(state="partial")
        listener = self.listener("api.1")
        self.assertEqual((listener["backlog"], listener["queue"], listener["queue_most"]), (3, 4, 4))
        self.assertGreater(self.witnesses["api.1"]["counters"]["ListenOverflows"], 0)
        self.assertGreater(self.witnesses["api.1"]["counters"]["ListenDrops"], 0)
        self.assertEqual(self.witnesses["api.1"]["unchecked"], "connections wait in its accept queue")
        self.assertIn("accept queue full: 4 wait, 3 may", self.fleet.canreach("why", "web", "api").stdout)

    def test_hung(self):
        self.fleet.fault("hang", "api.1")
        document = self.look(state="partial")
        self.assertIn("established", self.arrived(document, "api.1") + self.arrived(document, "api.1", 0))
        self.assertGreater(self.listener("api.1")["queue"], 0)
        self.fleet.heal()
        self.look(state="ok")  # it is looked at again, and who spared it at first tries it then

    def test_a_reused_address_is_named_with_its_owner(self):
        self.fleet.fault("reused", "api", "payments.1")
        document = self.look(state="partial")
        owners = {owner["task"]: owner for owner in document["owners"]}
        self.assertEqual({task: owner["reused"] for task, owner in owners.items()},
                         {"api.1": False, "api.2": False, "payments.1": True})
        # It answers as if nothing were wrong: only who owns the address shows it.
        self.assertEqual({row["outcome"] for row in document["probes"]}, {"ok"})
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("this address is payments.1's, of service payments: another service", page)
        self.assertIn("which is payments.1's now: a stale record, its address reused",
                      self.fleet.canreach("matrix").stdout)

    def test_a_stale_address_only_when_every_task_is_known(self):
        self.fleet.fault("stale", "api")
        self.fleet.fault("stale", "payments")
        document = self.look(state="partial")
        kinds = {owner["kind"] for owner in document["owners"] if "task" not in owner}
        self.assertEqual(kinds, {"nobody"})  # two tasks are expected, two are known
        late = [row for row in document["probes"] if row["late"]]
        self.assertTrue(late)
        # The ARP error comes 3 s after the kernel began to ask, from the task's own address.
        self.assertEqual({row["late"]["outcome"] for row in late}, {"unreachable"})
        self.assertTrue(all(1000 < row["late"]["after"] < 3800 for row in late), late)
        self.assertEqual({row["errno"] for row in late}, {"EHOSTUNREACH"})
        document = self.look(target="payments", state="partial")
        kinds = {owner["kind"] for owner in document["owners"] if "task" not in owner}
        self.assertEqual(kinds, {"unknown"})  # how many tasks there should be is not said
        self.fleet.fault("kill", "api.2")
        self.fleet.wait_for_agents(1, "lost")
        document = self.look(state="partial")
        kinds = {owner["kind"] for owner in document["owners"] if "task" not in owner}
        self.assertEqual(kinds, {"unknown"})  # one of api's tasks has no agent now: it may be that one

    def test_both_ends_side_by_side(self):
        self.fleet.fault("drop", "web.1", "api.1")
        self.look(state="partial")
        page = self.fleet.canreach("why", "web", "api").stdout
        self.assertIn("Both ends", page)
        line = next(line for line in page.splitlines() if "listens on 0.0.0.0:8080" in line)
        self.assertIn("sent again", line)
        self.assertIn("nothing of web.1 arrived (2 attempts)", page)
        self.assertIn("web.2: 4 of 4 passed", page)  # three samples, and once more, to see whether it is the task


if __name__ == "__main__":
    main()
