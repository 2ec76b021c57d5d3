"""Long statistics of the gate: whether it ever rolls back a good release, or lets a bad one through.

gates.py HEALTHY REGRESSIONS [--seed N]

HEALTHY gates of a service of five, each during a deployment that is good, while another service is
deployed, too (its tasks leave and come back one by one), and every packet is lost with a chance of 1 %: none may
FAIL. Then REGRESSIONS, each one fault of the deployed revision's kind: every gate has to FAIL, and name it: the
pairs, and one of the causes that the fault can have. A line each that is wrong; the last line: the totals. 0 of N
proves at most 3 / N, at 95 %.
"""

import argparse
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "scenario"))
import harness  # noqa: E402
from lab import LabTest  # noqa: E402

SERVICES = ("s0", "s1", "s2", "s3", "s4")
FIVE = """
fleet: five
namespace: five.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services: { s0: {}, s1: {}, s2: {}, s3: {}, s4: {} }
"""
CONFIG = "gate: { stale-grace: 12s }\n"  # an app that has just started, and never serves, is told after it
INTO = {(source, "s0") for source in SERVICES}
OTHERS = SERVICES[1:]

# name: (how it is planted, the pairs that fail, causes that say so)
REGRESSIONS = {
    "port": (("deploy", {"PORT": 9090}), INTO, {"target.other-port", "target.not-listening"}),
    "status": (("deploy", {"STATUS": 404}), INTO, {"http.status", "http.path"}),
    "isolated": (("deploy", {"ISOLATED": 1}), set(), {"revision-cut-off"}),
    "loopback": (("fault", "bound", "s0"), INTO, {"target.loopback-only", "target.not-listening", "target.starting"}),
    "stopped": (("fault", "stop", "s0"), INTO,
                {"target.not-listening", "target.unhealthy", "target.crash-loop", "target.starting"}),
    **{f"egress-{peer}": (("fault", "drop", "s0", peer), {("s0", peer)}, {"network.sg-ingress"}) for peer in OTHERS},
    **{f"ingress-{peer}": (("fault", "drop", peer, "s0"), {(peer, "s0")}, {"network.sg-ingress"}) for peer in OTHERS},
}


class Gates(LabTest):
    text = FIVE

    def setUp(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as config:
            config.write(CONFIG)
            config.flush()
            self.fleet = harness.Fleet(self.text, "--cloud", "facts", "--config", config.name)

    def runTest(self):  # noqa: N802
        """It is driven by main()."""

    def settle(self):
        """Everything is as it was, and a run says so."""
        self.fleet.heal()
        deadline = time.monotonic() + 60
        while any(status not in ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL") for _, status in self.deployments()):
            assert time.monotonic() < deadline, self.deployments()
            time.sleep(0.05)
        self.fleet.wait_for_agents(10)
        for _ in range(5):
            if self.fleet.run()[0] == 0:
                return
        raise AssertionError("the fleet does not get well")

    def one_healthy(self, dice):
        """The gate's verdict, during deployments."""
        self.deploy("s0")
        self.deploy(dice.choice(OTHERS))
        _, gate = self.gate("s0")
        return gate

    def one_regression(self, name):
        how, pairs, causes = REGRESSIONS[name]
        if how[0] == "deploy":
            self.deploy("s0", **how[1])
        else:
            self.deploy("s0")
            self.fleet.fault(*how[1:])
        _, gate = self.gate("s0", "--wait", "5s")
        failing = [finding for finding in gate["findings"] if finding["weight"] == "fail"]
        named = {(cell["source"], cell["target"]) for finding in failing for cell in finding["cells"]}
        said = {finding["cause"] or finding["kind"] for finding in failing} | {finding["kind"] for finding in failing}
        is_named = gate["verdict"] == "fail" and pairs <= named and bool(said & causes)
        if how[0] == "deploy":  # back to what was good
            self.fleet.heal()
            self.wait_for_over()
            self.deploy("s0")
        return is_named, gate

    def wait_for_over(self):
        while self.deployments()[-1][1] not in ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL"):
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("healthy", type=int)
    parser.add_argument("regressions", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    gates = Gates()
    gates.setUp()
    wrong, verdicts, missed = 0, {}, 0
    try:
        gates.settle()
        loss = gates.fleet.fault("loss", "*", "*", "1")
        for number in range(options.healthy):
            gate = gates.one_healthy(dice)
            verdicts[gate["verdict"]] = verdicts.get(gate["verdict"], 0) + 1
            if gate["verdict"] != "pass":
                print(f"  healthy {number + 1}: {gate['verdict']}: {gate['summary']}", flush=True)
            wrong += gate["verdict"] == "fail"
            gates.wait_for_over()
        gates.fleet.heal(loss)
        names = sorted(REGRESSIONS)
        dice.shuffle(names)
        for number in range(options.regressions):
            gates.settle()
            name = names[number % len(names)]
            is_named, gate = gates.one_regression(name)
            if not is_named:
                missed += 1
                print(f"  regression {name}: {gate['verdict']}: {gate['summary']}", flush=True)
    finally:
        gates.tearDown()
    print(f"healthy\t{options.healthy}\tFAIL\t{wrong}\tverdicts\t{verdicts}")
    print(f"regressions\t{options.regressions}\tnot named\t{missed}")
    return wrong + missed > 0


if __name__ == "__main__":
    sys.exit(main())
