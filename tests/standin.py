"""standin: an agent at the end of a link whose other side is the test: any message can be sent to it,
and every row it reports is seen. For scenarios and benchmarks."""

import json
import os
import subprocess
import threading
import time


class Standin:
    """The program tests/tools/standin, and what came from the agents so far."""

    def __init__(self, program, url, prefix=()):
        self.messages = []  # (microseconds, message)
        self.changed = threading.Condition()
        self.assignments = 0
        self.process = subprocess.Popen([*prefix, program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            microseconds, text = line.split(" ", 1)
            try:
                message = json.loads(text)
            except ValueError:
                message = {"type": "unreadable", "text": text}
            with self.changed:
                self.messages.append((int(microseconds), message))
                self.changed.notify_all()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()

    def wait(self, condition, seconds=20):
        """Until condition(messages) holds."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition([message for _, message in self.messages]), seconds):
                last = [str(message)[:300] for _, message in self.messages[-3:]]
                raise AssertionError(f"nothing such came in {seconds} s; the last: {last}")

    def send(self, message):
        self.send_text(json.dumps(message, separators=(",", ":")))

    def send_text(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def assign(self, targets, deadline_ms=30000):
        """Hands an assignment out; its id."""
        self.assignments += 1
        self.send({"v": 1, "type": "assignment", "id": self.assignments, "run": 1, "deadline_ms": deadline_ms,
                   "targets": [target_row(index, target) for index, target in enumerate(targets)]})
        return self.assignments

    def watch(self, targets, until_ms, peers=(), checking=True):
        """Has the agent watch its own task; the watch's id, once it is on."""
        self.assignments += 1
        number = self.assignments
        self.send({"v": 1, "type": "watch", "id": number, "run": 1, "round": 1, "until_ms": until_ms,
                   "targets": [target_row(index, target) for index, target in enumerate(targets)],
                   "checking": checking, "peers": list(peers)})
        self.wait(lambda messages: any(message["type"] == "watching" and message["watch"] == number
                                       for message in messages))
        return number

    def settle(self, watch, unwanted=False):
        self.send({"v": 1, "type": "settle", "watch": watch, "unwanted": unwanted})

    def witness(self, watch, seconds=20):
        """What the agent saw; rows by their columns' names."""
        def mine(message):
            return message["type"] == "witness" and message["assignment"] == watch
        self.wait(lambda messages: any(map(mine, messages)), seconds)
        with self.changed:
            message = next(message for _, message in self.messages if mine(message))
        return {**message, "counters": dict(message.get("counters", [])),
                "listeners": named(LISTENER, message.get("listeners", [])),
                "arrivals": named(ARRIVAL, message.get("arrivals", [])),
                "checks": named(PROBE, message.get("checks", [])),
                "containers": named(CONTAINER, message.get("containers", []))}

    def report(self, assignment, seconds=30):
        """Waits until the assignment is done; its rows, and when the last batch came."""
        def mine(message):
            return message["type"] == "report" and message["assignment"] == assignment
        self.wait(lambda messages: any(mine(message) and message.get("last") for message in messages), seconds)
        with self.changed:
            batches = [(at, message) for at, message in self.messages if mine(message)]
        return Report([message for _, message in batches], batches[-1][0])

    def run(self, targets, deadline_ms=30000, seconds=40):
        return self.report(self.assign(targets, deadline_ms), seconds)


TARGET = ("check", "record", "names", "port", "timeout", "sibling", "path", "status", "tls", "unverified", "server",
          "alpn", "method", "host", "match", "send", "health", "rate_bytes", "at", "spare", "delay", "samples", "attempts",
          "spacing", "hold")
DEFAULTS = {"check": "tcp", "record": "A", "port": 80, "timeout": 1000, "sibling": False, "path": "/",
            "status": "200-299", "tls": False, "unverified": False, "rate_bytes": 0, "at": [], "spare": [], "delay": 0,
            "samples": 0, "attempts": 0, "spacing": 0, "hold": 0}
PROBE = ("target", "name", "address", "port", "phase", "outcome", "error", "local", "resolve_us", "connect_us",
         "tls_us", "exchange_us", "status", "detail", "via", "bytes_out", "bytes_in", "retransmits", "rtt_us", "mss",
         "pmtu", "icmp_type", "icmp_code", "icmp_from", "rate", "tls_version", "alpn", "resumed", "verify",
         "valid_days", "chain", "attempt", "late", "late_us", "held")
LISTENER = ("address", "port", "backlog", "queue", "first", "most")
ARRIVAL = ("remote", "local", "state", "first_ms", "last_ms", "half_open_before")
CONTAINER = ("name", "status", "health", "started", "age_s")
RESOLUTION = ("name", "type", "outcome", "rcode", "ttl_s", "time_us", "resolver", "answers", "asked", "chain", "tries",
              "truncated", "tcp", "superseded", "reference")


def target_row(index, target):
    """As proto/proto.c's table has it; `target` names what differs from the defaults."""
    unknown = set(target) - set(TARGET)
    assert not unknown, unknown
    last = max([TARGET.index(column) for column in target if column in TARGET] + [TARGET.index("sibling")])
    if {**DEFAULTS, **target}["check"] in ("http", "https"):
        last = max(last, TARGET.index("status"))
    return [index, *({**DEFAULTS, **target}.get(column, "") for column in TARGET[:last + 1])]


def named(columns, rows):
    return [dict(zip(columns, row)) for row in rows]


class Report:
    def __init__(self, batches, at_us):
        self.at_us = at_us
        self.probes = named(PROBE, [row for batch in batches for row in batch["probes"]])
        self.resolutions = named(RESOLUTION, [row for batch in batches for row in batch["resolutions"]])
        self.counters = dict(batches[-1].get("counters", []))

    def outcomes(self):
        return [(row["phase"], row["outcome"]) for row in self.probes]


def cpu_ns(pid):
    """What all threads of a process have used (schedstat, nanoseconds)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            pass
    return total


def wait_until(condition, seconds=20, what="it"):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
