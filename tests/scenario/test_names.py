"""From names to endpoints: what each kind of answer, resolver and source looks like, row by row."""

import json
import time

from harness import FleetTest, Hand, first_tries, main

NAMES = """
fleet: names
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:      {}
  api:      { port: 8090, names: [api.shop.local, api-new.shop.local] }
  payments: { record: SRV }
  cache:    { check: tcp, port: 6379 }
"""
RESOLVER, REGISTRY = "10.77.0.2", "10.77.0.3"
RESOLVERS = {"web.1": RESOLVER, "web.2": "10.77.0.4"}  # one a zone


class Names(FleetTest):
    text = NAMES

    def why(self, source, target):
        self.fleet.run("--from", source, "--to", target)
        return json.loads(self.fleet.canreach("why", "-o", "json", source, target).stdout)

    def rows(self, target, kind="A", source="web"):
        document = self.why(source, target)
        return document, [row for row in document["resolutions"] if row["type"] == kind]

    def test_several_names(self):
        document = self.why("web", "api")
        self.assertEqual({row["name"] for row in document["probes"]}, {"api.shop.local", "api-new.shop.local"})

    def test_no_and_for_how_long(self):
        self.fleet.fault("unregister", "cache")
        document, rows = self.rows("cache")
        self.assertEqual({(row["outcome"], row["rcode"]) for row in rows}, {("nxdomain", 3)})
        self.assertTrue(all(290 <= row["ttl"] <= 300 for row in rows), rows)  # the SOA's minimum, in the cache
        self.fleet.heal()
        _, rows = self.rows("cache", "AAAA")
        self.assertEqual({row["outcome"] for row in rows}, {"nodata"})
        self.assertTrue(all(0 <= row["ttl"] <= 300 for row in rows), rows)

    def test_answers_and_their_server(self):
        _, rows = self.rows("cache")
        for row in rows:
            self.assertEqual((row["outcome"], row["resolver"], len(row["answers"]), row["tries"], row["tcp"]),
                             ("ok", RESOLVERS[row["task"]], 2, 1, False))
            self.assertLessEqual(row["ttl"], 10)

    def test_forty_addresses_take_tcp(self):
        self.fleet.fault("many", "cache", "40")
        document, rows = self.rows("cache")
        final = [row for row in rows if not row["superseded"]]
        self.assertEqual({(row["tcp"], row["outcome"], len(row["answers"])) for row in final}, {(True, "ok", 42)})
        self.assertEqual({row["outcome"] for row in rows if row["superseded"]}, {"dns-truncated"})
        self.assertEqual(document["cell"]["probes"], 84)  # two tasks, 42 addresses each
        self.assertEqual(document["cell"]["failed"], 80)

    def test_truncated_and_no_tcp(self):
        self.fleet.fault("many", "cache", "40")
        self.fleet.fault("block", "web", "tcp", "53")
        document, rows = self.rows("cache")
        final = [row for row in rows if not row["superseded"]]
        self.assertEqual({(row["tcp"], row["outcome"]) for row in final}, {(True, "dns-timeout")})
        self.assertEqual({(row["phase"], row["outcome"]) for row in document["probes"]}, {("resolve", "dns-timeout")})
        self.assertEqual({(row["task"], row["outcome"]) for row in rows if row["tries"] == 1},
                         {("web.1", "dns-truncated"), ("web.2", "dns-truncated")})

    def test_thirty_addresses(self):
        self.fleet.fault("many", "cache", "28")
        document, _ = self.rows("cache")
        self.assertEqual(document["cell"]["probes"], 60)

    def test_srv_to_a_missing_host(self):
        self.fleet.fault("missing", "payments")
        document = self.why("web", "payments")
        failed = [row for row in document["probes"] if row["outcome"] != "ok"]
        self.assertEqual({(row["phase"], row["outcome"]) for row in failed}, {("resolve", "nxdomain")})
        self.assertRegex(failed[0]["detail"], r"^gone-\d+\.payments\.shop\.local$")
        self.assertEqual(document["cell"]["state"], "partial")

    def test_aaaa_in_a_fleet_without_ipv6(self):
        self.fleet.fault("aaaa", "cache")
        document, rows = self.rows("cache", "AAAA")
        self.assertEqual({row["outcome"] for row in rows}, {"ok"})
        self.assertEqual(document["cell"]["state"], "ok")
        self.assertEqual({row["outcome"] for row in document["probes"] if ":" in row["address"]}, {"skipped"})

    def test_service_connect(self):
        """A name from /etc/hosts is told apart; a bare connection to the proxy proves nothing."""
        self.fleet.fault("connect", "web.1", "cache")
        self.fleet.fault("connect", "web.1", "api")
        document = self.why("web", "cache")
        by_task = {row["task"]: row for row in first_tries(document) if row["task"] == "web.1" or row["via"] == "dns"}
        self.assertEqual((by_task["web.1"]["via"], by_task["web.1"]["outcome"]), ("hosts", "proxy-only"))
        self.assertEqual((by_task["web.2"]["via"], by_task["web.2"]["outcome"]), ("dns", "ok"))
        self.assertEqual(document["cell"]["state"], "unproven")
        self.assertIn(("hosts", "web.1"), {(row["resolver"], row["task"]) for row in document["resolutions"]})
        document = self.why("web", "api")  # an HTTP answer did come from the service
        self.assertEqual(document["cell"]["state"], "ok")
        self.assertEqual({row["via"] for row in first_tries(document) if row["task"] == "web.1"}, {"hosts"})

    def test_service_connect_without_a_target(self):
        self.fleet.fault("connect", "web.1", "api", "down")
        document = self.why("web", "api")
        self.assertEqual({(row["outcome"], row["status"]) for row in document["probes"] if row["task"] == "web.1"},
                         {("bad-status", 503)})


class Resolvers(FleetTest):
    """An agent of our own, with a resolv.conf of our own."""

    text = NAMES
    options = ("--tasks", "1")

    def hand(self, resolv_conf, *options):
        hand = Hand(self.fleet, "web.1", *options, resolv_conf=resolv_conf)
        self.addCleanup(hand.close)
        return hand

    def final(self, report, kind="A"):
        return [row for row in report.resolutions if row["type"] == kind and not row.get("superseded")]

    def test_the_second_server_answers(self):
        hand = self.hand(f"nameserver {RESOLVER}\nnameserver {REGISTRY}\n")
        self.fleet.fault("pause", "resolver")
        report = hand.one(names=["cache.shop.local"], port=6379)
        self.assertEqual(report.outcomes(), [("connect", "ok")])
        rows = [(row["resolver"], row["outcome"], row.get("superseded", False)) for row in report.resolutions
                if row["type"] == "A"]
        self.assertEqual(rows, [(RESOLVER, "dns-timeout", True), (REGISTRY, "ok", False)])

    def test_slow_and_dropping(self):
        """Half a second late is an answer; one that never comes is asked for again."""
        hand = self.hand(f"nameserver {RESOLVER}\n")
        for pause, tries, least in ((0.5, [1], 300000), (1.4, [1, 2], 0)):
            with self.subTest(pause):
                self.fleet.fault("pause", "resolver")
                assignment = hand.standin.assign([{"names": ["cache.shop.local"], "port": 6379}])
                time.sleep(pause)
                self.fleet.heal()
                report = hand.standin.report(assignment)
                rows = [row for row in report.resolutions if row["type"] == "A"]
                self.assertEqual(report.outcomes(), [("connect", "ok")])
                self.assertEqual([row["tries"] for row in rows], tries)
                self.assertEqual([row["outcome"] for row in rows], ["dns-timeout", "ok"][-len(tries):])
                self.assertGreater(rows[-1]["time_us"], least)

    def test_a_dead_first_server(self):
        hand = self.hand(f"nameserver 10.77.0.10\nnameserver {RESOLVER}\n")  # nobody listens there
        report = hand.one(names=["cache.shop.local"], port=6379)
        self.assertEqual(report.outcomes(), [("connect", "ok")])
        self.assertEqual([(row["resolver"], row["outcome"]) for row in report.resolutions if row["type"] == "A"],
                         [("10.77.0.10", "dns-unreachable"), (RESOLVER, "ok")])

    def test_the_vpc_resolver_beside(self):
        """The configured one says no, the VPC's own says yes: both answers are there, one counts."""
        hand = self.hand(f"nameserver {RESOLVER}\n", "--vpc-resolver", REGISTRY)
        self.fleet.fault("dns", "cache", "nxdomain")
        report = hand.one(names=["cache.shop.local"], port=6379)
        self.assertEqual(report.outcomes(), [("resolve", "nxdomain")])
        rows = {(row["resolver"], row["outcome"], row.get("reference", False)) for row in report.resolutions
                if row["type"] == "A"}
        self.assertEqual(rows, {(RESOLVER, "nxdomain", False), (REGISTRY, "ok", True)})

    def test_the_search_list(self):
        hand = self.hand(f"nameserver {RESOLVER}\nsearch other.local shop.local\n")
        report = hand.one(names=["cache"], port=6379)
        self.assertEqual(report.outcomes(), [("connect", "ok")])
        self.assertEqual([(row["name"], row["asked"], row["outcome"]) for row in report.resolutions
                          if row["type"] == "A"],
                         [("cache.other.local", "cache", "nxdomain"), ("cache.shop.local", "cache", "ok")])

    def test_one_question_for_many_targets(self):
        hand = self.hand(f"nameserver {RESOLVER}\n")
        report = hand.run([{"names": ["cache.shop.local", "CACHE.shop.local"], "port": 6379}] * 50)
        self.assertEqual(report.outcomes(), [("connect", "ok")] * 100)
        self.assertEqual(len(report.resolutions), 2)  # A and AAAA

    def test_an_address_for_a_name(self):
        hand = self.hand(f"nameserver {RESOLVER}\n")
        address = hand.one(names=["cache.shop.local"], port=6379).probes[0]["address"]
        report = hand.one(names=[address], port=6379)
        self.assertEqual(report.outcomes(), [("connect", "ok")])
        self.assertEqual((report.probes[0]["via"], report.resolutions), ("address", []))

    def test_the_rate_of_questions(self):
        """A burst, then so many a second: 400 names need 800 questions."""
        hand = self.hand(f"nameserver {RESOLVER}\n", "--dns-rate", "400")
        report = hand.run([{"names": [f"n{number}.shop.local"], "port": 1} for number in range(400)])
        self.assertEqual(set(report.outcomes()), {("resolve", "nxdomain")})
        self.assertEqual(len(self.final(report)), 400)
        self.assertGreater(report.counters["wait-dns"], 0)
        took = report.at_us - min(at for at, message in hand.standin.messages if message["type"] == "pull")
        self.assertGreater(took, 1.5e6)  # 800 less the burst of 100, at 400 a second


if __name__ == "__main__":
    main()
