"""The witness by itself: an agent whose collector is the test is told to watch, and says what it saw."""

import json
import os
import time

from harness import FleetTest, Hand, main

WATCHED = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web: {}
  api: {}
"""
METADATA = {
    "Cluster": "prod", "TaskARN": "arn:aws:ecs:eu-west-1:1:task/prod/0af1", "Family": "web", "Revision": "7",
    "AvailabilityZone": "eu-west-1a", "ServiceName": "web",
    "Containers": [
        {"Name": "app", "Type": "NORMAL", "KnownStatus": "RUNNING", "StartedAt": "2026-01-02T03:04:05.678Z",
         "Health": {"status": "UNHEALTHY"}, "Networks": [{"NetworkMode": "awsvpc"}]},
        {"Name": "pause", "Type": "CNI_PAUSE", "KnownStatus": "RESOURCES_PROVISIONED"},
        {"Name": "ecs-service-connect", "Type": "SERVICE_CONNECT", "KnownStatus": "RUNNING"}],
}
CHECK = {"names": ["web.shop.local"], "port": 8080, "check": "http", "path": "/health"}


class Watch(FleetTest):
    text = WATCHED
    options = ("--tasks", "1")

    def hand(self, **options):
        hand = Hand(self.fleet, "web.1", **options)
        self.addCleanup(hand.close)
        return hand

    def serve_metadata(self):
        folder = os.path.join(self.fleet.env["CANREACH_LOCAL_DIR"], "tasks", "web.1", "nginx", "meta")
        os.makedirs(os.path.join(folder, "v4"), exist_ok=True)
        with open(os.path.join(folder, "v4", "task"), "w", encoding="ascii") as file:
            json.dump(METADATA, file)
        self.fleet.local("exec", "web.1", "sh", "-c", f"timeout 40 /usr/bin/python3 -m http.server 8099 --bind 127.0.0.1 "
                         f"--directory {folder} >/dev/null 2>&1 &")
        time.sleep(1)

    def test_a_well_task(self):
        self.serve_metadata()
        hand = self.hand(env={"ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:8099/v4"})
        watch = hand.standin.watch([CHECK], 20000, ["10.77.0.99"])
        time.sleep(1)
        hand.standin.settle(watch)
        witness = hand.standin.witness(watch)
        self.assertEqual([(check["via"], check["outcome"]) for check in witness["checks"]],
                         [("loopback", "ok"), ("own-address", "ok")])
        self.assertIn(("0.0.0.0", 8080, 511), [(listener["address"], listener["port"], listener["backlog"])
                                               for listener in witness["listeners"]])
        self.assertEqual([(container["name"], container["status"], container["health"])
                          for container in witness["containers"]],
                         [("app", "RUNNING", "UNHEALTHY"), ("ecs-service-connect", "RUNNING", "")])
        self.assertEqual(witness["containers"][0]["started"], "2026-01-02T03:04:05.678Z")
        self.assertGreater(witness["containers"][0]["age_s"], 0)
        self.assertEqual(witness["containers"][1]["age_s"], -1)
        self.assertEqual(witness["revision"], "web:7")
        self.assertEqual((witness["resolvers"], witness["search"], witness["dots"]), (["10.77.0.2"], ["shop.local"], 1))
        # Its own probes were closed with a RST each: these are left out.
        self.assertEqual(witness["counters"]["OutRsts"], 0)
        self.assertGreaterEqual(witness["counters"]["PassiveOpens"], 2)
        self.assertTrue(10 <= witness["looks"] <= 15, witness["looks"])

    def test_it_ends_by_itself(self):
        hand = self.hand()
        watch = hand.standin.watch([CHECK], 400, checking=False)
        witness = hand.standin.witness(watch)  # nobody says settle
        self.assertTrue(400 <= witness["span_ms"] < 1000, witness["span_ms"])
        self.assertEqual((witness["checks"], witness["unchecked"]), ([], "not asked for"))

    def test_an_unwanted_one_says_nothing(self):
        hand = self.hand()
        first = hand.standin.watch([CHECK], 60000)
        hand.standin.settle(first, unwanted=True)
        second = hand.standin.watch([CHECK], 200)
        hand.standin.witness(second)
        self.assertFalse([message for _, message in hand.standin.messages
                          if message["type"] == "witness" and message["assignment"] == first])

    def test_what_a_hostile_collector_may_not(self):
        """No port that listens on loopback only, none but its own, no more watches than its limit."""
        self.serve_metadata()
        hand = self.hand()
        watch = hand.standin.watch([{**CHECK, "port": 8099, "path": "/v4/task"},
                                    {**CHECK, "port": 9, "at": ["10.77.0.10:7700"]}], 600)
        witness = hand.standin.witness(watch)
        self.assertEqual(witness["checks"], [])
        self.assertEqual(witness["counters"]["PassiveOpens"], 0)
        for _ in range(16):
            last = hand.standin.watch([CHECK], 3000, checking=False)
        hand.standin.send({"v": 1, "type": "watch", "id": 999, "run": 1, "round": 1, "until_ms": 3000,
                           "targets": [], "checking": False, "peers": []})
        hand.standin.witness(last)
        time.sleep(0.5)
        witnesses = {message["assignment"] for _, message in hand.standin.messages if message["type"] == "witness"}
        self.assertNotIn(999, witnesses)
        self.assertEqual(len(witnesses), 17)
        hand.standin.settle(12345)  # of which it knows nothing
        hand.standin.send_text('{"v":1,"type":"watch","id":1}')
        watch = hand.standin.watch([], 100)
        self.assertEqual(hand.standin.witness(watch)["checks"], [])

    def test_pulls_do_not_chase_each_other(self):
        """A busy agent's pull is overtaken by its next one. Both are answered: it pulls once more, not for ever."""
        hand = self.hand()

        def pulls():
            return [message for _, message in hand.standin.messages if message["type"] == "pull"]

        slow = {"names": ["x.shop.local"], "at": ["10.77.31.200:80"], "port": 80, "timeout": 1500}
        last = [hand.standin.assign([slow]) for _ in range(16)][-1]
        hand.standin.wait(lambda _: pulls()[-1].get("busy"))
        hand.standin.report(last)
        hand.standin.wait(lambda _: not pulls()[-1].get("busy"))
        before = len(pulls())
        for _ in range(2):
            hand.standin.send({"v": 1, "type": "idle"})
        hand.standin.wait(lambda _: len(pulls()) > before)
        time.sleep(0.5)
        self.assertEqual(len(pulls()), before + 1)

    def test_attempts_that_are_held(self):
        """An attempt at an address that nobody has times out after a second; the ARP error comes after three."""
        hand = self.hand()
        report = hand.standin.run([{"names": ["x.shop.local"], "at": ["10.77.31.200:80"], "timeout": 1000, "port": 80,
                                    "attempts": 2, "spacing": 300, "hold": 4000}])
        self.assertEqual(len(report.probes), 2)
        for row in report.probes:
            self.assertEqual((row["outcome"], row["phase"], row["via"]), ("timeout", "connect", "given"))
            self.assertEqual((row["held"], row["late"], row["error"]), (True, "unreachable", 113))
            self.assertTrue(1000000 <= row["connect_us"] < 1200000, row)
            self.assertEqual(row["icmp_from"], row["local"].split(":")[0])
        self.assertEqual([row.get("attempt", 0) for row in report.probes], [0, 2])

    def test_samples_and_what_is_spared(self):
        hand = self.hand()
        api = next(line.split()[2] for line in self.fleet.local("status").stdout.splitlines() if line.startswith("api.1"))
        target = {"names": ["api.shop.local"], "port": 8080}
        report = hand.standin.run([{**target, "samples": 3, "spacing": 20, "delay": 200}])
        self.assertEqual([(row["outcome"], row.get("attempt", 0)) for row in report.probes], [("ok", 0), ("ok", 2), ("ok", 3)])
        report = hand.standin.run([{**target, "spare": [f"{api}:8080"]}])
        self.assertEqual([row["outcome"] for row in report.probes], ["spared"])
        # Given endpoints are no way around what the agent may reach.
        report = hand.standin.run([{**target, "at": ["127.0.0.1:8080", "169.254.169.254:80", "8.8.8.8:53", "nonsense"]}])
        self.assertEqual([row["outcome"] for row in report.probes], ["not-allowed"] * 3 + ["unsupported"])


if __name__ == "__main__":
    main()
