"""A run on demand, as a developer waits for it: from the command to its answer. The raw limit is the time that the
pair's own exchanges take with curl, from the same tasks, one after the other; of what fails, its time-out."""

import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scenario"))
os.environ["CANREACH_BIN"] = os.path.realpath(sys.argv[1])

import harness  # noqa: E402

FIVE = """
fleet: five
namespace: five.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services: { a: {}, b: {}, c: {}, d: {}, e: {} }
"""
TIMEOUT_MS, TIMES = 1000, 5


def line(name, value, raw, goal):
    print(f"{name}\t{value:.0f}\tms\t{value / raw:.2f}\t{goal}\t{'ok' if value < goal else 'short'}", flush=True)


def timed(fleet, *words):
    began = time.monotonic()
    fleet.canreach("run", *words)
    return (time.monotonic() - began) * 1000


def exchange_ms(fleet):
    """One GET from a task, by curl's own clock."""
    result = fleet.local("exec", "a.1", "curl", "-s", "-o", "/dev/null", "-w", "%{time_total}", "http://b.five.local:8080/health")
    return float(result.stdout) * 1000


def stages(fleet):
    """When the last run's provisional verdict was there, and when it was confirmed, after its start; ms."""
    log = fleet.log("collector")
    run = re.findall(r"event=run-confirm run=(\d+)", log)[-1]
    at = {}
    for stage in ("planned", "confirm", "judged"):
        text = re.search(rf"time=(\S+)Z level=info event=run-{stage} run={run} ", log)[1]
        seconds = text.split("T")[1].split(":")
        at[stage] = int(seconds[0]) * 3600 + int(seconds[1]) * 60 + float(seconds[2])
    return (at["confirm"] - at["planned"]) * 1000, (at["judged"] - at["planned"]) * 1000


def main():
    fleet = harness.Fleet(FIVE)
    try:
        raw = statistics.median(exchange_ms(fleet) for _ in range(TIMES)) * 4  # tasks of a x tasks of b
        line("pair_healthy", statistics.median(timed(fleet, "--from", "a", "--to", "b") for _ in range(TIMES)), raw, 300)
        fleet.fault("drop", "a", "b")
        fleet.canreach("run", "--from", "a", "--to", "b")
        provisional, confirmed = stages(fleet)
        line("pair_provisional", provisional, TIMEOUT_MS, TIMEOUT_MS + 500)
        line("pair_confirmed", confirmed, TIMEOUT_MS, TIMEOUT_MS + 5000)
    finally:
        fleet.down()
    values = []
    for _ in range(3):
        fleet = harness.Fleet(FIVE, "--tasks", "10")
        try:
            values.append(timed(fleet))
        finally:
            fleet.down()
    line("fifty_tasks", statistics.median(values), raw / 4 * 50 * 50 / 5, 1000)  # five at an endpoint at once


if __name__ == "__main__":
    main()
