"""Every check against its real server, and every way in which it can fail."""

import json

from harness import FleetTest, cell, first_tries, main

CHECKS = """
fleet: checks
namespace: shop.local
defaults: { timeout: 1s }
services:
  web:      { check: none }
  tcp:      { check: tcp, port: 8080 }
  tls:      { check: tls, port: 8443, alpn: "http/1.1" }
  http:     { check: http, port: 8080, path: /health }
  https:    { check: https, port: 8443, path: /health }
  pages:
    checks:
      - { name: s301, check: http, port: 8001, path: /status/301 }
      - { name: s401, check: http, port: 8002, path: /status/401 }
      - { name: s404, check: http, port: 8003, path: /status/404 }
      - { name: s500, check: http, port: 8004, path: /status/500 }
      - { name: s503, check: http, port: 8005, path: /status/503 }
      - { name: want503, check: http, port: 8005, path: /status/503, status: [200, 500-503] }
      - { name: head, check: http, port: 8006, path: /health, method: HEAD }
      - { name: body, check: http, port: 8006, path: /health, body: "ok pages" }
      - { name: wrongbody, check: http, port: 8006, path: /health, body: "all is lost" }
      - { name: slow, check: http, port: 8006, path: /slow, body: "the end" }
      - { name: large, check: http, port: 8006, path: /large, body: "the end" }
      - { name: rate, check: http, port: 8006, throughput: { path: /large, bytes: 500000 } }
  mixed:
    checks:
      - { name: plain, check: http, port: 8080, path: /health }
      - { name: tlsonplain, check: tls, port: 8080 }
      - { name: nothttp2, check: grpc, port: 8080 }
      - { name: secure, check: https, port: 8443, path: /health }
      - { name: plainontls, check: http, port: 8443, path: /health }
      - { name: unverified, check: https, port: 8443, path: /health, server_name: wrong.example, verify: false }
      - { name: wrongname, check: https, port: 8443, path: /health, server_name: wrong.example }
  grpc:
    checks:
      - { name: all, check: grpc, port: 50051 }
      - { name: cart, check: grpc, port: 50051, grpc_service: shop.Cart }
      - { name: down, check: grpc, port: 50051, grpc_service: down }
      - { name: unknown, check: grpc, port: 50051, grpc_service: unknown }
  grpcs:    { check: grpc, port: 50052, tls: true }
  udp:      { check: udp, port: 9999, send: 'ping\\x01', answer: ping }
  mysql:    { check: mysql, port: 3306 }
  postgres: { check: postgres, port: 5432 }
  redis:    { check: redis, port: 6379 }
"""


class Checks(FleetTest):
    text = CHECKS
    options = ("--tasks", "1")

    def probe(self, target, check=None, source="web"):
        """The first attempt of a run, with everything that was seen of it."""
        self.fleet.run("--from", source, "--to", f"{target}:{check}" if check else target)
        result = self.fleet.canreach("why", "-o", "json", source, f"{target}:{check}" if check else target)
        document = json.loads(result.stdout)
        first = first_tries(document)
        self.assertEqual(len(first), 1, first)
        # Whatever it is, it is the same each time: what failed was tried again, what passed was sampled.
        self.assertEqual({row["outcome"] for row in document["probes"]}, {first[0]["outcome"]})
        self.assertGreater(len(document["probes"]), 1)
        return first[0]

    def seen(self, target, check=None):
        probe = self.probe(target, check)
        return probe["phase"], probe["outcome"]

    def test_all_that_is_well(self):
        status, document = self.fleet.run("--from", "web")
        states = {(row["target"], row["check"]): row["state"] for row in document["cells"] if row["source"] == "web"}
        broken = {("pages", "s301"), ("pages", "s401"), ("pages", "s404"), ("pages", "s500"), ("pages", "s503"),
                  ("pages", "wrongbody"), ("pages", "slow"), ("pages", "large"), ("mixed", "tlsonplain"),
                  ("mixed", "plainontls"), ("mixed", "wrongname"), ("grpc", "down"), ("grpc", "unknown"),
                  ("mixed", "nothttp2")}
        self.assertEqual({pair for pair, state in states.items() if state == "fail"}, broken)
        # A throughput check needs the agent's own leave: never the network's fault.
        self.assertEqual({pair for pair, state in states.items() if state not in ("fail", "ok")}, {("pages", "rate")})
        self.assertEqual(cell(document, "web", "pages", "rate")["state"], "probe-error")
        self.assertEqual(status, 1)

    def test_kernel_facts(self):
        probe = self.probe("tcp")
        self.assertEqual((probe["retransmits"], probe["icmp"], probe["via"]), (0, None, "dns"))
        self.assertEqual((probe["mss"], probe["pmtu"]), (1448, 1500))
        self.assertGreater(probe["rtt"], 0)
        self.assertRegex(probe["local"], r"^10\.77\.16\.\d+:\d+$")

    def test_refused(self):
        self.fleet.fault("stop", "tcp")
        probe = self.probe("tcp")
        self.assertEqual((probe["phase"], probe["outcome"], probe["errno"], probe["icmp"]),
                         ("connect", "refused", "ECONNREFUSED", None))

    def test_timeout(self):
        self.fleet.fault("drop", "web", "tcp")
        probe = self.probe("tcp")
        self.assertEqual((probe["phase"], probe["outcome"]), ("connect", "timeout"))

    def test_icmp_errors_name_their_sender(self):
        for word, code, errno, outcome in (("host-unreachable", 1, "EHOSTUNREACH", "unreachable"),
                                           ("net-unreachable", 0, "ENETUNREACH", "unreachable"),
                                           ("admin-prohibited", 13, "EHOSTUNREACH", "unreachable"),
                                           ("port-unreachable", 3, "ECONNREFUSED", "refused")):
            with self.subTest(word):
                self.fleet.fault("reject", "web", "tcp", word)
                probe = self.probe("tcp")
                self.fleet.heal()
                self.assertEqual((probe["outcome"], probe["errno"]), (outcome, errno))
                self.assertEqual((probe["icmp"]["type"], probe["icmp"]["code"]), (3, code))
                self.assertEqual(probe["icmp"]["from"], "10.77.0.1")  # the router

    def test_reset_in_the_middle(self):
        self.fleet.fault("reset", "web", "http")
        probe = self.probe("http")
        self.assertEqual((probe["phase"], probe["outcome"], probe["errno"]), ("exchange", "reset", "ECONNRESET"))

    def test_hung_after_accept(self):
        for target, phase in (("http", "exchange"), ("tls", "tls"), ("grpc", "exchange"), ("redis", "exchange"),
                              ("mysql", "exchange"), ("postgres", "exchange"), ("udp", "connect")):
            with self.subTest(target):
                self.fleet.fault("hang", target)
                self.assertEqual(self.seen(target, "all" if target == "grpc" else None), (phase, "timeout"))
                self.fleet.heal()

    def test_http_statuses(self):
        for status in (301, 401, 404, 500, 503):
            with self.subTest(status):
                probe = self.probe("pages", f"s{status}")
                self.assertEqual((probe["outcome"], probe["status"]), ("bad-status", status))

    def test_bodies(self):
        self.assertEqual(self.seen("pages", "body"), ("exchange", "ok"))
        self.assertEqual(self.seen("pages", "wrongbody"), ("exchange", "bad-content"))
        self.assertEqual(self.seen("pages", "slow"), ("exchange", "timeout"))
        large = self.probe("pages", "large")
        self.assertEqual((large["phase"], large["outcome"]), ("exchange", "bad-content"))
        self.assertLess(large["bytes_in"], 65536 + 16384)

    def test_a_good_certificate(self):
        probe = self.probe("tls")
        session = probe["tls_session"]
        self.assertEqual((session["version"], session["alpn"], session["verify"], session["resumed"]),
                         ("TLSv1.3", "http/1.1", 0, False))
        self.assertIn(session["valid_days"], (29, 30))
        self.assertEqual(session["chain"], ["CN = tls.shop.local"])

    def test_bad_certificates(self):
        for fault, outcome, verify in (("expired", "tls-expired", 10), ("future", "tls-not-yet-valid", 9),
                                       ("name", "tls-name", 62), ("untrusted", "tls-untrusted", 18)):
            with self.subTest(fault):
                self.fleet.fault("cert", "https", fault)
                probe = self.probe("https")
                self.fleet.heal()
                self.assertEqual((probe["phase"], probe["outcome"]), ("tls", outcome))
                self.assertEqual(probe["tls_session"]["verify"], verify)
                self.assertEqual(probe["tls_session"]["chain"],
                                 ["CN = B\\C3\\BCro"] if fault == "name" else ["CN = https.shop.local"])

    def test_a_client_certificate_is_wanted(self):
        self.fleet.fault("cert", "https", "client")  # nginx says so with a page
        self.assertEqual(self.probe("https")["outcome"], "tls-client-cert")

    def test_plain_on_tls_and_the_reverse(self):
        self.assertEqual(self.seen("mixed", "tlsonplain"), ("tls", "tls-plain"))
        self.assertEqual(self.seen("mixed", "plainontls"), ("exchange", "tls-expected"))
        self.assertEqual(self.seen("mixed", "wrongname"), ("tls", "tls-name"))
        self.assertEqual(self.seen("mixed", "unverified"), ("exchange", "ok"))

    def test_grpc(self):
        self.assertEqual(self.seen("grpc", "down"), ("exchange", "not-serving"))
        self.assertIn("does not know", self.probe("grpc", "unknown")["detail"])
        self.assertIn("HTTP/1", self.probe("mixed", "nothttp2")["detail"])

    def test_udp_silence_and_refusal(self):
        self.fleet.fault("drop", "web", "udp")
        self.assertEqual(self.seen("udp"), ("connect", "timeout"))
        self.fleet.heal()
        self.fleet.fault("stop", "udp")
        probe = self.probe("udp")
        self.assertEqual((probe["phase"], probe["outcome"]), ("connect", "refused"))
        self.assertEqual((probe["icmp"]["type"], probe["icmp"]["code"]), (3, 3))

    def test_dns_answers(self):
        for answer, outcome in (("nxdomain", "nxdomain"), ("nodata", "nodata"), ("refused", "dns-refused"),
                                ("servfail", "servfail"), ("silent", "dns-timeout")):
            with self.subTest(answer):
                self.fleet.fault("dns", "tcp", answer)
                self.assertEqual(self.seen("tcp"), ("resolve", outcome))
                self.fleet.heal()


if __name__ == "__main__":
    main()
