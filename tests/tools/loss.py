"""Long statistics: packet loss over many runs of a local fleet of five services, two tasks each.

loss.py RUNS PERCENT [FROM TO]: every packet (or those between two services) is lost with that chance. A line: runs,
those that were not green, those that reported loss, those that have a diagnosis. Ends with 1 where loss of 1 % made a cell red, or gave a diagnosis, or where loss of a
path was not reported.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "scenario"))
from harness import Fleet, states  # noqa: E402

FIVE = """
fleet: five
namespace: five.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services: { s0: {}, s1: {}, s2: {}, s3: {}, s4: {} }
"""


def main():
    runs, percent = int(sys.argv[1]), sys.argv[2]
    path = sys.argv[3:5]
    scope = ("--from", path[0], "--to", path[1]) if path else ()
    fleet = Fleet(FIVE)
    try:
        fleet.fault("loss", *(path or ("*", "*")), percent)
        red, reported, diagnosed = 0, 0, 0
        for number in range(runs):
            status, document = fleet.run(*scope)
            if status != 0:
                red += 1
                print(f"  run {number + 1}: status {status}, {states(document, 'fail', 'partial', 'no-data')}", flush=True)
            diagnosed += bool(document["diagnoses"])
            reported += any(cell["loss"] for cell in document["cells"])
    finally:
        fleet.down()
    print(f"{runs} runs at {percent} % loss{' of ' + ' -> '.join(path) if path else ''}: {red} not green, "
          f"{reported} reported loss, {diagnosed} have a diagnosis")
    return reported < runs if path else red + diagnosed > 0


if __name__ == "__main__":
    sys.exit(main())
