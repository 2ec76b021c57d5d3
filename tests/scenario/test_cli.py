"""The commands without a fleet: usage, help, errors, exit statuses."""

import os
import tempfile
import unittest

from harness import HERE, main, program, run

GOLDEN = os.path.join(HERE, "..", "golden")
NOBODY = {"CANREACH_URL": "unix:///nonexistent/socket"}


class Usage(unittest.TestCase):
    def check(self, command, status, *texts):
        result = run(*command, env=NOBODY)
        self.assertEqual(result.returncode, status, result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr)
        if status:
            self.assertEqual(result.stdout, "")
        return result

    def test_wrong_words(self):
        canreach = program("canreach")
        self.check([canreach, "rnu"], 2, "unknown command 'rnu'; did you mean 'run'?", "Try 'canreach help'.")
        self.check([canreach, "run", "--form", "web"], 2, "unknown option '--form'; did you mean '--from'?")
        self.check([canreach, "run", "--deadline", "5"], 2, "'5' is not a duration")
        self.check([canreach, "run", "-o", "xml"], 2, "-o xml: expected table, csv, junit, markdown, github or json")
        self.check([canreach, "why", "web"], 2, "expected a source and a target")
        self.check([canreach, "matrix", "1", "2"], 2, "unexpected argument '2'")
        self.check([canreach, "matrix", "--url", "ftp://x"], 2, "expected http://HOST:PORT, https://... or unix:///PATH")
        self.check([canreach, "help", "nothing"], 2, "there is no command 'nothing'")
        self.check([canreach, "fleet", "chekc", "x"], 2, "expected 'check FILE'")

    def test_daemons_want_their_settings(self):
        self.check([program("canreach-agent")], 2, "--collector is needed")
        self.check([program("canreach-agent"), "--colector", "x"], 2, "did you mean '--collector'?")
        self.check([program("canreach-agent"), "--collector", "tcp://127.0.0.1:1"], 2, "no service name")
        self.check([program("canreach-agent"), "--collector", "tcp://127.0.0.1:1", "--service", "a",
                    "--allow-net", "10.0.0.0/99"], 2, "'10.0.0.0/99' is not a network")
        self.check([program("canreach-agent"), "--collector", "nonsense", "--service", "a"], 2,
                   "'nonsense' is not tcp://HOST:PORT or ipc:///PATH")
        self.check([program("canreach-collector")], 2, "--fleet is needed")
        self.check([program("canreach-collector"), "--fleet", "/nonexistent"], 2,
                   "/nonexistent: error: cannot open: No such file or directory")
        self.check([program("canreach-collector"), "--fleet", "x", "--sample", "0"], 2, "0 is out of range, 1 to 1000")
        for address in ("nonsense", "127.0.0.1", "127.0.0.1:http", "1.2.3:80", "[::1", "unix:", "[fe80::zz]:80"):
            self.check([program("canreach-collector"), "--fleet", "x", "--listen-http", address], 2,
                       f"--listen-http: '{address}' is not ADDRESS:PORT, [IPV6]:PORT or unix:PATH")
        self.check([program("canreach-collector"), "--fleet", "x", "--listen-agents", "udp://x"], 2,
                   "'udp://x' is not tcp://ADDRESS:PORT or ipc:///PATH")

    def test_no_collector_is_no_verdict(self):
        for words in (["run"], ["matrix"], ["why", "a", "b"], ["agents"], ["services"], ["runs"]):
            self.check([program("canreach"), *words], 3, "cannot reach the collector at unix:///nonexistent/socket")

    def test_help(self):
        result = self.check([program("canreach"), "help"], 0)
        with open(os.path.join(GOLDEN, "help.txt"), encoding="utf-8") as file:
            self.assertEqual(result.stdout, file.read())
        for command in ("run", "matrix", "why", "watch", "diff", "gate", "agents", "services", "runs", "fleet"):
            self.assertIn("Usage: canreach " + command, self.check([program("canreach"), "help", command], 0).stdout)
            self.assertIn("Usage: canreach " + command, self.check([program("canreach"), command, "--help"], 0).stdout)

    def test_versions_agree(self):
        versions = {run(program(name), "--version").stdout.split()[1]
                    for name in ("canreach", "canreach-agent", "canreach-collector")}
        self.assertEqual(len(versions), 1)


class FleetCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "fleet.yaml")

    def check(self, data):
        with open(self.path, "wb") as file:
            file.write(data)
        return run(program("canreach"), "fleet", "check", self.path)

    def test_good(self):
        result = self.check(b"fleet: x\nnamespace: a.b\nservices: {web: {port: 80}, api: {port: 81}}\n")
        self.assertEqual((result.returncode, result.stdout),
                         (0, "fleet x: 2 services, 2 x 2 pairs, 0 expectations, 0 warnings\n"))

    def test_every_error_at_once(self):
        result = self.check(b"fleet: x\nnamspace: a.b\nservices:\n  web: {prot: 80}\n"
                            b"expect: {allow: ['web -> ap']}\n")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, "")
        for text in (":2:1: error: unknown key 'namspace' in the fleet file; did you mean 'namespace'?",
                     ":4:9: error: unknown key 'prot' in a service; did you mean 'port'?",
                     ":5:18: error: no service 'ap' is defined"):
            self.assertIn(self.path + text, result.stderr)

    def test_garbage(self):
        for data in (b"", b"\0" * 1000, os.urandom(10 * 1024 * 1024), b"[" * 900000, b"- " * 400000,
                     b"a: " * 300000, b"&a [*a]",
                     b"".join(b"k%d:\n" % number for number in range(110000)),
                     b"services: {" + b",".join(b"k%d" % number for number in range(100000)) + b"}", b"x" * (10 * 1024 * 1024)):
            result = self.check(data)
            self.assertEqual(result.returncode, 2, data[:20])
            self.assertIn("error", result.stderr)
            self.assertLess(len(result.stderr), 70000)


if __name__ == "__main__":
    main()
