"""The collector is killed in the middle of a run and started again: every acknowledged result is
stored once, and the run ends with a verdict, or says that it is incomplete."""

import json
import re
import time
import unittest

from harness import Fleet, main, states


class Restart(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet()
        self.addCleanup(self.fleet.down)

    def batches_by_agents(self):
        """{assignment: batches} as the agents' logs tell: all of these were acknowledged in the end."""
        done = {}
        for service in ("web", "api", "payments", "cache"):
            for number in (1, 2):
                for match in re.finditer(r"event=assignment-done run=1 assignment=(\d+) batches=(\d+)",
                                         self.fleet.log(f"{service}.{number}-agent")):
                    done[match[1]] = int(match[2])
        return done

    def batches_in_store(self):
        rows = self.fleet.sql("SELECT assignment, count(*) FROM batch GROUP BY assignment")
        return {row.split("|")[0]: int(row.split("|")[1]) for row in rows.splitlines()}

    def check_store(self):
        self.fleet.fault("kill", "collector")
        self.assertEqual(self.batches_in_store(), self.batches_by_agents())
        # Each source task made each attempt once, and each is stored once.
        self.assertEqual(self.fleet.sql(
            "SELECT count(*) FROM (SELECT 1 FROM probe GROUP BY assignment, column, name, address, port, attempt "
            "HAVING count(*) > 1)"), "0")
        self.assertEqual(self.fleet.sql("SELECT count(*) FROM probe WHERE assignment IN "
                                        "(SELECT id FROM assignment WHERE run = 1 AND kind = 'sweep') AND via <> 'given'"), str(8 * 4 * 2))  # tasks, targets, endpoints (its own ones noted as self)
        self.assertEqual(self.fleet.sql("PRAGMA integrity_check"), "ok")

    def restart_after(self, seconds):
        self.fleet.fault("drop", "web", "payments")  # a time-out: the run takes more than a second
        process = self.fleet.start_canreach("run", "-o", "json")
        time.sleep(seconds)
        killed = self.fleet.fault("kill", "collector")
        self.fleet.heal(killed)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def test_killed_while_probes_are_under_way(self):
        status, output, errors = self.restart_after(0.5)
        self.assertIn(status, (1, 3), errors)
        document = json.loads(output)
        self.assertEqual(document["run"]["state"], "judged")
        if document["run"]["incomplete"]:
            self.assertEqual(status, 3 if not states(document, "fail") else 1)
        else:
            self.assertEqual(states(document), {("web", "payments"): "fail"})
        self.assertIn("event=run-resumed run=1", self.fleet.log("collector"))
        self.check_store()

    def test_killed_at_once(self):
        status, output, errors = self.restart_after(0.05)
        if status == 3 and not output:
            # Killed before it answered: there may be no run at all, and nothing green was said.
            self.assertIn("cannot reach the collector", errors)
            return
        self.assertIn(status, (1, 3), errors)
        self.assertEqual(json.loads(output)["run"]["state"], "judged")

    def test_agents_come_back_by_themselves(self):
        for _ in range(3):
            self.fleet.heal(self.fleet.fault("kill", "collector"))
            self.fleet.wait_for_agents(8)
        status, document = self.fleet.run()
        self.assertEqual((status, states(document)), (0, {}))


if __name__ == "__main__":
    main()
