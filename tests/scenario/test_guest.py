"""The agent as a guest: hard caps that no assignment lifts, no rights, no harm to what it probes."""

import os
import subprocess
import time

from harness import IS_SANITIZED, Fleet, FleetTest, Hand, main, program, run

GUEST = """
fleet: guest
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:   {}
  tls:   { check: https, port: 8443 }
  mysql: { check: mysql, port: 3306 }
"""
MEMORY_CAP = 32 << 20


def status_of(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(key + ":"))


class Guest(FleetTest):
    text = GUEST
    options = ("--tasks", "1")

    def hand(self, *options, **settings):
        hand = Hand(self.fleet, "web.1", *options, **settings)
        self.addCleanup(hand.close)
        return hand

    def address(self, task):
        return next(line.split()[2] for line in self.fleet.local("status").stdout.splitlines()
                    if line.startswith(task + " "))

    def test_a_hostile_assignment_is_refused_in_its_parts(self):
        hand = self.hand("--allow-net", "10.77.0.0/16", "--allow-suffix", "shop.local")
        report = hand.run([
            {"names": ["169.254.169.254"], "check": "http"},
            {"names": ["127.0.0.1"], "port": 8080},
            {"names": ["8.8.8.8"], "port": 53},
            {"names": ["::ffff:169.254.169.254"], "check": "http"},
            {"names": ["evil.example"]},
            {"names": ["evil.example"], "record": "SRV"},
            {"names": ["web.shop.local"], "check": "http", "port": 8080, "path": "/large", "match": "never there"},
            {"names": ["web.shop.local"], "check": "http", "port": 8080, "path": "/large", "rate_bytes": 64 << 20},
            {"names": ["web.shop.local"], "check": "fortune", "port": 8080},
            {"names": ["web.shop.local"], "check": "http", "port": 8080, "path": "/health"},
        ])
        outcomes = {row["target"]: row["outcome"] for row in report.probes}
        self.assertEqual(outcomes, {0: "not-allowed", 1: "not-allowed", 2: "not-allowed", 3: "skipped",
                                    4: "not-allowed", 5: "not-allowed", 6: "bad-content", 7: "over-budget",
                                    8: "unsupported", 9: "ok"})
        cut = report.probes[[row["target"] for row in report.probes].index(6)]
        self.assertTrue(65536 <= cut["bytes_in"] <= 65536 + 16384, cut)
        self.assertEqual({key: report.counters[key] for key in ("address", "name", "read", "throughput")},
                         {"address": 3, "name": 2, "read": 1, "throughput": 1})
        self.assertEqual(report.resolutions and {row["name"] for row in report.resolutions}, {"web.shop.local"})

    def test_a_million_targets(self):
        """As one message, as one message's most, and as many assignments at once as one likes."""
        hand = self.hand()
        before = int(status_of(hand.pid(), "VmRSS").split()[0])
        hand.standin.send_text('{"v":1,"type":"assignment","id":900,"run":1,"deadline_ms":1000,"targets":['
                               + ",".join(['[0,"tcp","A",["x"],1,1,false]'] * 100000) + "]}")
        silent = "10.77.31.9"  # nobody has this address, and the router says nothing
        for _ in range(100 if IS_SANITIZED else 500):
            hand.standin.assign([{"names": [silent], "port": 1, "timeout": 500}] * 2000, deadline_ms=2000)
        hand.standin.wait(lambda messages: any(dict(message.get("counters", [])).get("assignment", 0) > 50
                                               for message in messages), 60)
        most = int(status_of(hand.pid(), "VmHWM").split()[0])
        if not IS_SANITIZED:  # those keep what was freed
            self.assertLess((most - before) << 10, MEMORY_CAP)
        hand.standin.assignments = 1000
        for _ in range(20):  # a collector would hand out again what was refused
            assignment = hand.standin.assign([{"names": ["web.shop.local"], "port": 8080}])
            try:
                report = hand.standin.report(assignment, 3)
                break
            except AssertionError:
                continue
        else:
            self.fail("the agent did not come back")
        self.assertEqual(report.outcomes(), [("connect", "ok")])

    def test_probes_in_flight_and_per_second(self):
        hand = self.hand()
        silent = "10.77.31.9"
        assignment = hand.standin.assign([{"names": [silent], "port": 1, "timeout": 2000}] * 2000)
        time.sleep(1)
        connecting = run("nsenter", f"--net=/proc/{hand.pid()}/ns/net", "ss", "-Hnt", "state", "syn-sent").stdout
        self.assertEqual(len(connecting.splitlines()), 1024)
        report = hand.standin.report(assignment)
        self.assertEqual(len(report.probes), 2000)
        self.assertGreater(report.counters["wait-slot"], 0)

    def test_no_more_than_so_many_starts_in_any_second(self):
        hand = self.hand()
        own = self.address("web.1")
        start = time.monotonic()
        reports = [hand.standin.assign([{"names": [own], "port": 9}] * 2000) for _ in range(2)]
        last = max(hand.standin.report(assignment).at_us for assignment in reports)
        first = min(at for at, message in hand.standin.messages if message["type"] == "report")
        self.assertGreater(time.monotonic() - start, 1.0)
        self.assertGreater(last - first, 0.8e6)

    def test_two_sweeps_share_the_slots(self):
        """One that fills every slot and ends at its deadline hands them on."""
        hand = self.hand()
        hand.standin.assign([{"names": ["10.77.31.9"], "port": 1, "timeout": 10000}] * 2000, deadline_ms=1500)
        time.sleep(0.3)
        start = time.monotonic()
        report = hand.one(names=["web.shop.local"], port=8080)
        self.assertEqual(report.outcomes(), [("connect", "ok")])
        self.assertLess(time.monotonic() - start, 4)

    def test_no_rights_and_no_port(self):
        hand = self.hand()
        pid = hand.pid()
        self.assertEqual(status_of(pid, "Uid").split(), ["65534"] * 4)
        self.assertEqual(status_of(pid, "NoNewPrivs"), "1")
        self.assertEqual(int(status_of(pid, "CapEff"), 16) | int(status_of(pid, "CapPrm"), 16), 0)
        if not IS_SANITIZED:
            self.assertEqual(status_of(pid, "Seccomp"), "2")
        listening = run("nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Hlntup").stdout
        self.assertNotIn("canreach-agent", listening)

    def test_the_root_is_read_only(self):
        """The fleet's own agents run on one: deploy/localfleet/shell.py."""
        mounts = run("sh", "-c", "for p in $(pgrep -f '[c]anreach-agent --collector.*--task tls.1 '); do "
                     "cat /proc/$p/mounts 2>/dev/null; done").stdout
        roots = [line.split()[3] for line in mounts.splitlines() if line.split()[1] == "/"]
        self.assertTrue(roots and all("ro" in options.split(",") for options in roots), roots)
        self.assertEqual(self.fleet.run("--from", "tls")[0], 0)

    def test_a_thousand_probes_of_mariadb_do_no_harm(self):
        """max_connect_errors is 100 by default: then the address is blocked, the app's with it."""
        hand = self.hand()
        target = {"names": ["mysql.shop.local"], "check": "mysql", "port": 3306, "timeout": 5000}
        for _ in range(20):  # it takes 151 connections at once
            self.assertEqual(hand.run([target] * 50).outcomes(), [("exchange", "ok")] * 50)
        login = self.fleet.local("exec", "web.1", "mariadb", "--no-defaults", "-h", self.address("mysql.1"), "-u",
                                 "app", "-psecret", "-N", "-e",
                                 "SELECT 'logged in', @@max_connect_errors")
        self.assertEqual(login.stdout.split("\t")[0], "logged in", login.stderr)
        self.assertEqual(login.stdout.split("\t")[1].strip(), "100")

    def test_interrupted_handshakes_would_harm_it(self):
        """What the mysql check is for: after a hundred of these the address is blocked, and we say so. (A bare
        connection that is gone before the server looks does not count: a check of another protocol always does.)"""
        fleet = Fleet(GUEST, "--tasks", "1")
        self.addCleanup(fleet.down)
        hand = Hand(fleet, "web.1")
        self.addCleanup(hand.close)
        for _ in range(4):
            report = hand.run([{"names": ["mysql.shop.local"], "check": "redis", "port": 3306}] * 40)
            self.assertEqual({row["outcome"] for row in report.probes}, {"bad-reply"})
        report = hand.one(names=["mysql.shop.local"], check="mysql", port=3306)
        self.assertEqual(report.outcomes(), [("exchange", "not-serving")])
        self.assertIn("error 1129", report.probes[0]["detail"])

    def test_a_client_certificate(self):
        authority = os.path.join(self.fleet.env["CANREACH_LOCAL_DIR"], "tls")
        self.fleet.fault("cert", "tls", "client")
        target = {"names": ["tls.shop.local"], "check": "https", "port": 8443, "path": "/health"}
        ca = ("--tls-ca", os.path.join(authority, "ca.pem"))
        hand = self.hand(*ca, "--tls-cert", os.path.join(authority, "tls.pem"), "--tls-key",
                         os.path.join(authority, "tls.key"))
        self.assertEqual(hand.one(**target).outcomes(), [("exchange", "ok")])

    def test_without_the_ca(self):
        hand = self.hand()
        report = hand.one(names=["tls.shop.local"], check="tls", port=8443)
        self.assertEqual(report.outcomes(), [("tls", "tls-untrusted")])
        self.assertIn("issuer", report.probes[0]["detail"])

    def test_throughput_with_leave(self):
        hand = self.hand("--allow-throughput", "1000000")
        report = hand.one(names=["web.shop.local"], check="http", port=8080, path="/large", rate_bytes=500000)
        self.assertEqual(report.outcomes(), [("exchange", "ok")])
        self.assertGreater(report.probes[0]["rate"], 1000000)
        self.assertLess(report.probes[0]["bytes_in"], 600000)

    def test_a_reader_of_its_log_that_stands_still(self):
        """A full pipe holds nothing up: lines are lost, and counted."""
        ours, theirs = os.pipe()
        agent = subprocess.Popen([program("canreach-agent"), "--collector", "tcp://127.0.0.1:9", "--service", "s",
                                  "--task", "t", "--log-level", "debug"], stderr=theirs)
        try:
            os.set_blocking(theirs, False)
            try:
                while True:
                    os.write(theirs, b"x" * 4096)
            except BlockingIOError:
                pass
            os.set_blocking(theirs, True)
            time.sleep(1)
            agent.terminate()  # says so in the log, and ends
            agent.wait(5)
        finally:
            agent.kill()
            agent.wait()
            os.close(ours)
            os.close(theirs)


class Usage(FleetTest):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def tearDown(self):
        pass

    def test_wrong_files_are_named(self):
        base = [program("canreach-agent"), "--collector", "tcp://127.0.0.1:1", "--service", "s", "--task", "t"]
        for options, text in ((("--tls-ca", "/nonexistent"), "--tls-ca: no certificate in /nonexistent"),
                              (("--tls-cert", "/etc/passwd"), "--tls-cert and --tls-key belong together"),
                              (("--tls-cert", "/etc/passwd", "--tls-key", "/etc/passwd"), "--tls-cert: no certificate"),
                              (("--dns-rate", "501"), "--dns-rate"),
                              (("--allow-throughput", "x"), "--allow-throughput")):
            result = run(*base, *options)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    main()
