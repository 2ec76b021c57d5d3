"""What the collector says of the cause, through to the terminal: stored, shown, compared with the last good run."""

import http.client
import json
import socket
import subprocess

from harness import FleetTest, main, program

LAB = """
fleet: lab
namespace: lab.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:   { tasks: 2 }
  api:   { tasks: 2 }
  cache: { check: tcp, port: 6379, tasks: 2 }
expect:
  default: allow
  deny: [ "cache -> web" ]
"""


class Diagnosis(FleetTest):
    text = LAB

    def why(self, *words, status=1):
        result = self.fleet.canreach("why", *words)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout

    def test_a_healthy_run_has_none(self):
        status, document = self.fleet.run()
        self.assertEqual((status, document["diagnoses"]), (0, []))

    def test_one_cause_explains_its_cells(self):
        self.fleet.fault("nacl", "a", "b")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual([(one["cause"], one["scope"]) for one in document["diagnoses"]],
                         [("network.nacl-forward", "zone a -> zone b")])
        red = {(cell["source"], cell["target"]) for cell in document["cells"] if cell["state"] in ("fail", "partial")}
        self.assertEqual({(cell["source"], cell["target"]) for cell in document["diagnoses"][0]["cells"]}, red)
        self.assertGreater(len(red), 5)

    def test_what_changed_since_it_worked(self):
        good = self.fleet.run()[1]["run"]["id"]
        self.fleet.fault("revision", "api", "9090")
        bad = self.fleet.run()[1]["run"]["id"]
        again = self.fleet.run()[1]["run"]["id"]
        text = self.why("web", "api")
        self.assertIn("target.other-port", text)
        self.assertIn("BROKE HERE", text)
        self.assertRegex(text, rf"since run {bad} .*; the last good one was run {good} ")
        self.assertRegex(text, r"tasks of api +api.1 \S+ \(api:1\), api.2 \S+ \(api:1\) +api.1 \S+ \(api:1\), "
                               r"api.2 \S+ \(api:2\)")
        self.assertRegex(text, r":8080 +ok +connection refused")
        document = json.loads(self.fleet.canreach("why", "web", "api", "-o", "json").stdout)
        self.assertEqual(document["run"]["id"], again)
        self.assertEqual((document["changes"]["last_good"]["run"], document["changes"]["since"]["run"]), (good, bad))
        self.assertIn(f"### What changed since run {good}", self.why("web", "api", "-o", "markdown"))

    def test_where_it_never_worked(self):
        fault = self.fleet.fault("stop", "cache")
        self.fleet.run("--from", "web", "--to", "cache")
        text = self.why("web", "cache")
        self.assertIn("nothing listens on port 6379", text)
        self.assertRegex(text, "the last good one was run|no run is known in which it worked")
        self.fleet.heal(fault)

    def test_a_leak(self):
        self.fleet.fault("allow", "cache", "web")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual([(one["cause"], one["severity"]) for one in document["diagnoses"]],
                         [("network.leak", "failure")])

    def test_the_api_lists_them(self):
        self.fleet.fault("drop", "web", "api")
        number = self.fleet.run()[1]["run"]["id"]
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.fleet.url.removeprefix("unix://"))
        connection.request("GET", f"/api/v1/runs/{number}/diagnoses")
        document = json.load(connection.getresponse())
        connection.close()
        self.assertEqual(document["run"]["id"], number)
        diagnosis = document["diagnoses"][0]
        self.assertEqual((diagnosis["cause"], diagnosis["cells"]),
                         ("network.sg-ingress", [{"source": "web", "target": "api", "check": "http"}]))
        self.assertIn("network.sg-egress", [other["cause"] for other in diagnosis["alternatives"]])
        self.assertLess(diagnosis["confidence"], 0.9)

    def test_formats(self):
        result = subprocess.run([program("canreach"), "why", "a", "b", "-o", "xml"], capture_output=True, text=True,
                                check=False, timeout=10)
        self.assertEqual(result.returncode, 2)
        self.assertIn("expected table, markdown or json", result.stderr)
        result = subprocess.run([program("canreach"), "runs", "-o", "markdown"], capture_output=True, text=True,
                                check=False, timeout=10)
        self.assertEqual(result.returncode, 2)
        self.assertIn("expected table or json", result.stderr)


del FleetTest  # it is no test by itself

if __name__ == "__main__":
    main()
