"""No harm: how hard the whole fleet is on one endpoint; a hung app that is left alone; loss that is no failure."""

import json
import os
import time
import unittest

from harness import HERE, Fleet, FleetTest, cell, main, states

TEN = """
fleet: ten
namespace: ten.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services: { s0: {}, s1: {}, s2: {}, s3: {}, s4: {}, s5: {}, s6: {}, s7: {}, s8: {}, s9: {} }
"""
COUNTING = os.path.normpath(os.path.join(HERE, "..", "tools", "counting.py"))


class Limits(FleetTest):
    """Ten sources. s0.1 has, in place of its server, one that counts."""

    text = TEN
    options = ("--tasks", "1")

    def count(self, delay):
        self.fleet.fault("stop", "s0.1")
        path = os.path.join(self.fleet.env["CANREACH_LOCAL_DIR"], "tasks", "s0.1", "nginx", f"count{delay}")
        self.fleet.local("exec", "s0.1", "sh", "-c",
                         f"/usr/bin/python3 {COUNTING} 8080 {delay} {path} >/dev/null 2>&1 &")
        deadline = time.monotonic() + 10
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        return path

    def stop_counting(self, path):
        with open(path + ".stop", "w", encoding="ascii"):
            pass
        time.sleep(0.3)

    def read(self, path):
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def test_slow_answers(self):
        path = self.count(0.4)
        try:
            status, document = self.fleet.run()
        finally:
            self.stop_counting(path)
        self.assertEqual((status, states(document, "fail", "partial")), (0, {}))
        peak, busiest, total = self.read(path)
        self.assertLessEqual(peak, 5)
        self.assertGreater(peak, 1)
        self.assertLessEqual(busiest, 50)
        self.assertGreaterEqual(total, 9)  # every source came

    def test_no_answers(self):
        path = self.count(-1)
        try:
            status, document = self.fleet.run()
        finally:
            self.stop_counting(path)
        self.assertEqual(status, 1)
        # Each source's cell is red, though not each has tried: what some saw speaks for all.
        self.assertEqual(states(document), {(f"s{source}", "s0"): "fail" for source in range(1, 10)}
                         | {("s0", f"s{target}"): "n/a" for target in ()}
                         | {(f"s{number}", f"s{number}"): "n/a" for number in range(10)})
        peak, _, total = self.read(path)
        self.assertLessEqual(peak, 5)
        self.assertLess(total, 16)

    def test_two_runs_at_once_share_the_limits(self):
        path = self.count(0.3)
        try:
            runs = [self.fleet.start_canreach("run", "-o", "json") for _ in range(3)]
            results = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
        finally:
            self.stop_counting(path)
        for document in results:
            self.assertEqual(states(document, "fail", "partial", "no-data", "unproven"), {})
        peak, busiest, total = self.read(path)
        self.assertLessEqual(peak, 5)
        self.assertLessEqual(busiest, 50)
        self.assertGreaterEqual(total, 27)

    def test_the_queue_of_a_hung_app_is_never_filled(self):
        self.fleet.fault("queue", "s0.1", "128")
        waiting = []
        for _ in range(6):
            status, document = self.fleet.run()
            self.assertEqual(status, 1)
            self.assertEqual(cell(document, "s1", "s0")["state"], "fail")
            queues = self.fleet.local("exec", "s0.1", "ss", "-Hltn", "sport = :8080").stdout.split()
            waiting.append(int(queues[1]))
        self.assertLess(waiting[0], 16, waiting)
        # From the second run on only one source looks whether it is still hung.
        self.assertTrue(all(after - before <= 4 for before, after in zip(waiting, waiting[1:])), waiting)
        self.assertLess(waiting[-1], 64, waiting)
        self.fleet.heal()
        status, document = self.fleet.run()
        self.assertEqual((status, states(document, "fail", "partial", "unproven")), (0, {}))


class Large(unittest.TestCase):
    def test_a_healthy_large_run_costs_no_watch(self):
        fleet = Fleet(TEN)  # twenty tasks
        self.addCleanup(fleet.down)
        status, document = fleet.run()
        self.assertEqual((status, states(document)), (0, {}))
        self.assertRegex(fleet.log("collector"), r"event=run-planned run=1 .* watches=0 ")
        # Only what failed is watched: both tasks of s1, from whichever side it failed.
        fleet.fault("drop", "s0", "s1")
        fleet.run()
        document = json.loads(fleet.canreach("why", "-o", "json", "s0", "s1").stdout)
        self.assertEqual({(witness["task"], witness["round"]) for witness in document["witnesses"]},
                         {("s1.1", 1), ("s1.2", 1)})


class Loss(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet(TEN.replace("s5: {}, s6: {}, s7: {}, s8: {}, s9: {}", "").replace("s4: {}, ", "s4: {}"))
        self.addCleanup(self.fleet.down)

    def test_one_percent_everywhere_is_no_failure(self):
        self.fleet.fault("loss", "*", "*", "1")
        for _ in range(10):
            status, document = self.fleet.run()
            self.assertEqual((status, states(document)), (0, {}))

    def test_a_lossy_path_is_reported_as_loss(self):
        self.fleet.fault("loss", "s0", "s1", "20")
        for _ in range(3):
            self.fleet.run("--from", "s0", "--to", "s1")
            document = json.loads(self.fleet.canreach("matrix", "-o", "json").stdout)
            loss = cell(document, "s0", "s1")["loss"]
            self.assertGreater(loss["lossy"], 0)
            self.assertRegex(self.fleet.canreach("matrix").stdout, "packets (get )?lost")


if __name__ == "__main__":
    main()
