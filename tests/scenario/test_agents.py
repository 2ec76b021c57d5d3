"""Agents that leave, die, fall silent, or belong to no service of the fleet."""

import unittest

from harness import Fleet, FleetTest, cell, main, program, states


class Agents(FleetTest):
    def tearDown(self):
        super().tearDown()
        self.fleet.wait_for_agents(8)

    def test_a_service_without_agents_is_no_data(self):
        self.fleet.fault("leave", "web")
        status, document = self.fleet.run()
        self.assertEqual(status, 3)
        self.assertEqual(states(document), {("web", target): "no-data" for target in ("web", "api", "payments", "cache")})
        self.assertIn("no agent of web is there: nobody could try", self.fleet.canreach("matrix").stdout)

    def test_one_that_left_is_not_missed(self):
        self.fleet.fault("leave", "web.1")
        status, document = self.fleet.run()
        self.assertEqual(status, 0)
        self.assertEqual(cell(document, "web", "api")["tasks"], 1)
        self.assertEqual(cell(document, "web", "web")["state"], "n/a")  # one live task

    def test_a_silent_one_makes_the_run_incomplete(self):
        self.fleet.fault("pause", "web.1")
        status, document = self.fleet.run("--deadline", "3s")
        self.assertEqual(status, 3)
        self.assertTrue(document["run"]["incomplete"])
        self.assertEqual(cell(document, "web", "api")["silent_tasks"], 1)
        self.assertEqual([(task["task"], task["state"]) for task in document["unfinished"]], [("web.1", "missing")])
        self.assertRegex(self.fleet.canreach("matrix").stdout, r"(?m)^    web\.1: missing$")
        self.assertRegex(self.fleet.canreach("runs", document["run"]["id"]).stdout, r"(?m)^web +web\.1 +a +missing$")

    def test_a_killed_one_is_new_when_it_comes_back(self):
        before = {agent["task"]: agent["instance"] for agent in self.fleet.wait_for_agents(8)}
        self.fleet.fault("kill", "api.1")
        self.fleet.wait_for_agents(1, "lost")
        self.fleet.heal()
        after = {agent["task"]: agent["instance"] for agent in self.fleet.wait_for_agents(8)}
        self.assertEqual({task for task in before if before[task] != after[task]}, {"api.1"})
        status, document = self.fleet.run()
        self.assertEqual((status, states(document)), (0, {}))


class Collectors(FleetTest):
    """Several collectors, not all of them there; names that do not resolve."""

    def start_agent(self, name, collectors):
        # `timeout` ends it: it says leaving then, as any agent does.
        self.fleet.local("exec", "web.1", "sh", "-c",
                         f"timeout 30 {program('canreach-agent')} --collector {collectors} --service extra "
                         f"--task {name} >/dev/null 2>&1 &")

    def test_the_one_that_answers_is_found(self):
        self.start_agent("extra.1", "tcp://10.77.0.10:9,tcp://nowhere.shop.local:7700,tcp://10.77.0.10:7700")
        agents = self.fleet.wait_for_agents(9)
        self.assertIn("extra.1", [agent["task"] for agent in agents])
        # ... and again, after the link was lost.
        self.fleet.heal(self.fleet.fault("kill", "collector"))
        self.fleet.wait_for_agents(9)


class Strangers(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet()
        self.addCleanup(self.fleet.down)

    def test_an_unknown_service_is_listed_as_such(self):
        self.fleet.local("exec", "web.1", "sh", "-c",
                         f"timeout 20 {program('canreach-agent')} --collector tcp://10.77.0.10:7700 "
                         "--service reports --task reports.9 >/dev/null 2>&1 &")
        agents = self.fleet.wait_for_agents(9)
        self.assertEqual([agent["task"] for agent in agents if not agent["known"]], ["reports.9"])
        self.assertIn("reports (not in the fleet)", self.fleet.canreach("agents").stdout)
        status, document = self.fleet.run()
        self.assertEqual((status, states(document)), (0, {}))


if __name__ == "__main__":
    main()
