"""A full disk: reports are not acknowledged, the collector says so, and goes on when there is room."""

import json
import time
import unittest

from harness import Fleet, main, states


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet()
        self.addCleanup(self.fleet.down)

    def test_full_in_the_middle_of_a_run(self):
        self.fleet.fault("drop", "web", "payments")
        process = self.fleet.start_canreach("run", "-o", "json", "--deadline", "30s")
        time.sleep(0.3)
        full = self.fleet.fault("disk-full")
        deadline = time.monotonic() + 10
        while "event=store-failed" not in self.fleet.log("collector"):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertIsNone(process.poll())
        self.fleet.heal(full)
        output, errors = process.communicate(timeout=40)
        self.assertEqual(process.returncode, 1, errors)
        document = json.loads(output)
        self.assertFalse(document["run"]["incomplete"])
        self.assertEqual(states(document), {("web", "payments"): "fail"})
        self.assertIn("event=store-recovered", self.fleet.log("collector"))

    def test_a_run_that_cannot_be_stored_is_not_started(self):
        self.fleet.fault("disk-full")
        result = self.fleet.canreach("run")
        self.assertEqual(result.returncode, 3)
        self.assertIn("cannot be stored", result.stderr)
        self.fleet.heal()
        status, document = self.fleet.run()
        self.assertEqual((status, states(document)), (0, {}))


if __name__ == "__main__":
    main()
