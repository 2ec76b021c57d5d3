"""What AWS says of 100 services, 1,000 tasks and 200 groups, at 20 ms a call: the time it takes and the
calls it needs. The raw limit is the calls themselves, eight at a time."""

import os
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
os.environ["CANREACH_BIN"] = os.path.realpath(sys.argv[1])

import aws  # noqa: E402

LATENCY_S, IN_FLIGHT = 0.02, 8
GOAL_S, GOAL_CALLS = 3.0, 120


def estate():
    services = "".join(f"  s{number}: {{ check: http, port: 8080 }}\n" for number in range(100))
    allowed = ", ".join(f'"s{number} -> s{(number + step) % 100}"' for number in range(100) for step in range(1, 6))
    fleet = aws.fleet_of(f"namespace: x.local\nservices:\n{services}expect:\n  default: deny\n  allow: [ {allowed} ]\n", 10)
    return aws.document_of(fleet, spare_groups=100)


def line(name, value, unit, ratio, goal, is_met):
    print(f"{name}\t{value}\t{unit}\t{ratio}\t{goal}\t{'ok' if is_met else 'short'}")


def measure(collector, standin, name, min_services=100):
    standin.order()
    _, facts = collector.run()
    assert not facts["missing"] and len(facts["tasks"]) == 1000 and len(facts["groups"]) == 200, facts["missing"]
    assert len(facts["services"]) == min_services
    calls = len(standin.calls())
    ms = int(re.findall(r"event=cloud-read .* ms=(\d+)", collector.log())[-1])
    raw_s = calls * LATENCY_S / IN_FLIGHT
    line(f"facts_time_{name}", ms, "ms", f"{ms / 1000 / raw_s:.1f}", int(GOAL_S * 1000), ms <= GOAL_S * 1000)
    line(f"facts_calls_{name}", calls, "calls", "-", GOAL_CALLS, calls < GOAL_CALLS)


def main():
    standin = aws.Aws(estate(), "--latency", str(LATENCY_S))
    collector = aws.Collector(standin, "namespace: x.local\nclusters: [local]\nservices:\n  s0: { check: http, port: 8080 }\n")
    try:
        line("facts_calls_start", len(standin.calls()), "calls", "-", "-", True)  # a definition a service: once for all
        measure(collector, standin, "first")
        measure(collector, standin, "again")  # the network is less than a minute old
    finally:
        collector.close()
        standin.close()


if __name__ == "__main__":
    main()
