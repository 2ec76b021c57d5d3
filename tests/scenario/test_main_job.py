"""The main job: a healthy fleet is green, each planted fault shows in exactly its pairs."""

from harness import FleetTest, cell, main, states


class MainJob(FleetTest):
    def test_healthy(self):
        status, document = self.fleet.run()
        self.assertEqual(status, 0)
        self.assertEqual(states(document), {})
        self.assertEqual(len(document["cells"]), 16)
        self.assertEqual(document["schema"], 1)
        self.assertEqual(document["run"]["verdict"], "pass")
        self.assertEqual(document["run"]["incomplete"], False)
        self.assertEqual(cell(document, "web", "api")["probes"], 4)
        self.assertEqual(cell(document, "web", "web")["probes"], 2)  # siblings only
        self.assertEqual(cell(document, "web", "payments")["port"], None)  # from the SRV record

    def test_drop(self):
        self.fleet.fault("drop", "web", "payments")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(states(document), {("web", "payments"): "fail"})
        observed = cell(document, "web", "payments")["observed"]
        self.assertEqual({(seen["phase"], seen["outcome"]) for seen in observed}, {("connect", "timeout")})
        self.assertEqual(sum(seen["count"] for seen in observed), 4)

    def test_drop_between_two_tasks(self):
        self.fleet.fault("drop", "web.1", "api.2")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(states(document), {("web", "api"): "partial"})
        self.assertEqual(cell(document, "web", "api")["failed"], 1)

    def test_stop(self):
        self.fleet.fault("stop", "api.2")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(states(document), {(source, "api"): "partial" for source in ("web", "api", "payments", "cache")})
        self.assertEqual({seen["outcome"] for seen in cell(document, "web", "api")["observed"]}, {"refused"})

    def test_stop_of_a_whole_service(self):
        self.fleet.fault("stop", "cache")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(states(document), {(source, "cache"): "fail" for source in ("web", "api", "payments", "cache")})

    def test_stale(self):
        self.fleet.fault("stale", "api")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(set(states(document).values()), {"partial"})
        self.assertEqual({target for _, target in states(document)}, {"api"})
        self.assertEqual(cell(document, "web", "api")["failed"], 2)

    def test_each_fault_heals(self):
        for words in (("drop", "web", "payments"), ("stop", "api.2"), ("stale", "cache")):
            number = self.fleet.fault(*words)
            self.assertIn(" ".join(words), self.fleet.local("faults").stdout)
            self.fleet.heal(number)
            status, document = self.fleet.run()
            self.assertEqual((status, states(document)), (0, {}), words)

    def test_scope(self):
        self.fleet.fault("drop", "web", "payments")
        status, document = self.fleet.run("--from", "web", "--to", "api,cache")
        self.assertEqual(status, 0)
        self.assertEqual(states(document, "ok"), {("web", "api"): "ok", ("web", "cache"): "ok"})
        self.assertEqual(set(states(document).values()), {"not-probed"})
        status, document = self.fleet.run("--from", "web", "--to", "payments")
        self.assertEqual((status, states(document, "fail")), (1, {("web", "payments"): "fail"}))

    def test_why_shows_each_endpoint(self):
        self.fleet.fault("stop", "api.2")
        self.fleet.run()
        result = self.fleet.canreach("why", "web", "api")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"web\.1 +api\.shop\.local +A +ok +\d+")
        self.assertRegex(result.stdout, r"web\.1 +10\.77\.16\.\d+:8080 +exchange .* ok")
        self.assertRegex(result.stdout, r"web\.1 +10\.77\.32\.\d+:8080 +connect .* connection refused")
        self.assertEqual(self.fleet.canreach("why", "web", "cache").returncode, 0)

    def test_tables(self):
        self.fleet.run()
        self.assertRegex(self.fleet.canreach("matrix").stdout, r"(?m)^web +ok +ok +ok +ok$")
        self.assertRegex(self.fleet.canreach("services").stdout, r"(?m)^payments +2 +http +SRV +payments\.shop\.local$")
        self.assertRegex(self.fleet.canreach("agents").stdout, r"(?m)^web +web\.1 +a +live +\d+s ")
        self.assertRegex(self.fleet.canreach("runs").stdout, r"(?m)^\d+ +20.*manual +judged +pass$")

    def test_without_a_collector_there_is_no_verdict(self):
        self.fleet.fault("kill", "collector")
        result = self.fleet.canreach("run")
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertIn("cannot reach the collector", result.stderr)
        self.fleet.heal()
        self.fleet.wait_for_agents(8)

    def test_wrong_names(self):
        for words, text in ((("run", "--from", "wbe"), "did you mean 'web'?"),
                            (("run", "--to", "web:grpc"), "has no check 'grpc'")):
            result = self.fleet.canreach(*words)
            self.assertEqual(result.returncode, 2)
            self.assertIn(text, result.stderr)
        self.assertEqual(self.fleet.canreach("why", "web", "nothing").returncode, 3)
        self.assertEqual(self.fleet.canreach("matrix", "99999").returncode, 3)


if __name__ == "__main__":
    main()
