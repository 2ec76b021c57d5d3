"""The HTTP API against the running collector: statuses, problem details, paging."""

import http.client
import json
import socket
import subprocess
import tempfile
import time
import unittest

from harness import FleetTest, first_tries, main, program, run


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Api(FleetTest):
    options = ("--tasks", "1")

    def call(self, method, path, body=None):
        connection = UnixConnection(self.fleet.url.removeprefix("unix://"))
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response, json.loads(text) if "json" in response.headers["Content-Type"] else text.decode()

    def problem(self, status, method, path, body=None, text=""):
        response, document = self.call(method, path, body)
        self.assertEqual(response.status, status, document)
        self.assertEqual(response.headers["Content-Type"], "application/problem+json")
        self.assertEqual(document["status"], status)
        self.assertIn(text, document["detail"])

    def start_run(self, body="{}"):
        response, document = self.call("POST", "/api/v1/runs", body)
        self.assertEqual(response.status, 202)
        self.assertEqual(response.headers["Location"], f"/api/v1/runs/{document['id']}")
        return document["id"]

    def test_health(self):
        for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
            response, document = self.call("GET", path)
            self.assertEqual((response.status, document), (200, {"status": status}))
        full = self.fleet.fault("disk-full")
        self.call("POST", "/api/v1/runs", "{}")
        self.problem(503, "GET", "/readyz", text="full")
        self.fleet.heal(full)
        self.start_run()
        self.assertEqual(self.call("GET", "/readyz")[0].status, 200)

    def test_metrics(self):
        response, text = self.call("GET", "/metrics")
        self.assertTrue(response.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        self.assertIn('canreach_agents{state="live"} 4\n', text)

    def test_wrong_requests(self):
        self.problem(400, "POST", "/api/v1/runs", "{", "not JSON")
        self.problem(400, "POST", "/api/v1/runs", '{"form": []}', "unknown member 'form'")
        self.problem(400, "POST", "/api/v1/runs", '{"to": ["wbe"]}', "did you mean 'web'?")
        self.problem(413, "POST", "/api/v1/runs", "x" * 300000)
        self.problem(404, "GET", "/api/v1/runs/9999", text="no such run")
        self.problem(400, "GET", "/api/v1/runs/abc", text="a run id is a number")
        self.problem(404, "GET", "/nothing")
        self.problem(404, "GET", "/api/v1/runs/1/pairs/web")
        self.problem(405, "DELETE", "/api/v1/runs")
        self.problem(400, "GET", "/api/v1/runs?limit=0")
        self.problem(400, "GET", "/api/v1/runs?before=x")

    def test_paging(self):
        for _ in range(5):
            self.start_run('{"from": ["web"], "to": ["cache"]}')
        seen, before = [], ""
        while before is not None:
            _, page = self.call("GET", f"/api/v1/runs?limit=2{before and '&before=' + before}")
            self.assertLessEqual(len(page["runs"]), 2)
            seen += [int(run["id"]) for run in page["runs"]]
            before = page["next"]
        self.assertEqual(seen, sorted(seen, reverse=True))
        self.assertEqual(seen, list(range(seen[0], 0, -1)))

    def test_pair(self):
        number = self.start_run()
        self.fleet.run()
        response, document = self.call("GET", f"/api/v1/runs/{number}/pairs/web/payments?check=http")
        self.assertEqual(response.status, 200)
        self.assertEqual({row["type"] for row in document["resolutions"]}, {"SRV", "A", "AAAA"})
        self.assertEqual({row["asked"] for row in document["resolutions"]}, {"payments.shop.local"})
        self.assertEqual([(row["outcome"], row["phase"], row["status"]) for row in first_tries(document)],
                         [("ok", "exchange", 200)])
        self.assertGreater(document["probes"][0]["connect"], 0)
        self.assertIsNone(document["probes"][0]["tls"])
        self.problem(404, "GET", f"/api/v1/runs/{number}/pairs/web/payments?check=tcp")


class Tcp(unittest.TestCase):
    """The API over TCP, on loopback: where it listens unless told otherwise."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        with open(f"{self.folder.name}/fleet", "w", encoding="ascii") as file:
            file.write("namespace: x\nservices: {web: {port: 80}}\n")

    def start(self, address):
        process = subprocess.Popen(
            [program("canreach-collector"), "--fleet", f"{self.folder.name}/fleet", "--store", f"{self.folder.name}/db",
             "--listen-agents", f"ipc://{self.folder.name}/agents", "--listen-http", address],
            text=True, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def free_port(self, family, host):
        with socket.socket(family) as probe:
            probe.bind((host, 0))
            return probe.getsockname()[1]

    def check(self, family, host):
        port = self.free_port(family, host.strip("[]"))
        process = self.start(f"{host}:{port}")
        deadline = time.monotonic() + 20
        while True:
            result = run(program("canreach"), "services", "--url", f"http://{host}:{port}/")
            if result.returncode == 0 or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        self.assertRegex(result.stdout, r"(?m)^web +0 +tcp:80 +A +web\.x$")
        process.terminate()
        self.assertEqual(process.wait(20), 0)
        self.assertNotIn("listener-open", process.stderr.read())

    def test_ipv4(self):
        self.check(socket.AF_INET, "127.0.0.1")

    def test_ipv6(self):
        try:
            self.free_port(socket.AF_INET6, "::1")
        except OSError:
            self.skipTest("this machine has no IPv6 loopback")
        self.check(socket.AF_INET6, "[::1]")

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = self.start(f"127.0.0.1:{taken.getsockname()[1]}")
            self.assertEqual(process.wait(20), 1)
        self.assertIn("Address already in use", process.stderr.read())


if __name__ == "__main__":
    main()
