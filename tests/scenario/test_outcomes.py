"""What agents see of each kind of fault, and what expectations make of it."""

from harness import FleetTest, cell, main, states

EXPECT = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:    {}
  api:    { names: [api.shop.local, api-v2.shop.local] }
  cache:  { check: tcp, port: 6379 }
  odd:    { checks: [ { name: right, check: http, port: 8080 },
                      { name: wrong, check: http, port: 8081, status: 418 } ] }
  worker: { check: none }
expect:
  allow:   [ "* -> *" ]
  observe: [ "* -> odd:wrong" ]
  deny:    [ "worker -> cache" ]
"""


class Outcomes(FleetTest):
    text = EXPECT

    def outcomes(self, source, target, check=None):
        _, document = self.fleet.run("--from", source, "--to", target)
        return {(seen["phase"], seen["outcome"]) for seen in cell(document, source, target, check)["observed"]}

    def test_all_is_well(self):
        status, document = self.fleet.run()
        self.assertEqual(status, 0)
        self.assertEqual(cell(document, "web", "api")["probes"], 8)  # two names, two tasks, two sources
        self.assertEqual(cell(document, "worker", "cache")["state"], "denied")
        wrong = cell(document, "web", "odd", "wrong")
        self.assertEqual((wrong["state"], wrong["expected"]), ("fail", "observe"))
        self.assertEqual(wrong["observed"][0]["text"], "HTTP 200")
        self.assertFalse(any(entry["target"] == "worker" for entry in document["cells"]))

    def test_a_leak(self):
        self.fleet.fault("allow", "worker", "cache")
        status, document = self.fleet.run()
        self.assertEqual(status, 1)
        self.assertEqual(states(document, "leak"), {("worker", "cache"): "leak"})

    def test_deny_proves_nothing_while_the_target_is_down(self):
        self.fleet.fault("stop", "cache")
        _, document = self.fleet.run()
        self.assertEqual(cell(document, "worker", "cache")["state"], "unproven")

    def test_nxdomain(self):
        self.fleet.fault("unregister", "cache")
        self.assertEqual(self.outcomes("web", "cache"), {("resolve", "nxdomain")})

    def test_hang(self):
        self.fleet.fault("hang", "api")
        self.assertEqual(self.outcomes("web", "api"), {("exchange", "timeout")})

    def test_resolver_dead(self):
        self.fleet.fault("kill", "resolver")
        self.assertEqual(self.outcomes("web", "api"), {("resolve", "dns-unreachable")})

    def test_resolver_silent(self):
        self.fleet.fault("pause", "resolver")
        self.assertEqual(self.outcomes("web", "api"), {("resolve", "dns-timeout")})


class Denied(FleetTest):
    """Without a witness a name that does not resolve proves nothing under deny."""

    text = EXPECT

    def test_unproven(self):
        self.fleet.fault("unregister", "cache")
        status, document = self.fleet.run("--from", "worker")
        self.assertEqual(cell(document, "worker", "cache")["state"], "unproven")
        self.assertEqual(status, 3)


class OneTask(FleetTest):
    options = ("--tasks", "1")

    def test_the_diagonal_is_not_applicable(self):
        status, document = self.fleet.run()
        self.assertEqual(status, 0)
        self.assertEqual(states(document), {(name, name): "n/a" for name in ("web", "api", "payments", "cache")})


if __name__ == "__main__":
    main()
