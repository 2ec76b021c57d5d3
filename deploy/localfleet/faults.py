"""Faults that can be planted, with real means, and healed.

A fault is a class with a kind, its arguments as help shows them, and plant() and heal(). To add
one: write the class and put it into KINDS.
"""

import errno
import os
import signal

from .model import LocalError, STALE_HOST, ZONES


class Fault:
    kind = ""
    arguments = ""
    summary = ""

    def __init__(self, lab, number, words):
        expected = [word for word in self.arguments.split() if not word.startswith("[")]
        if len(words) < len(expected) or len(words) > len(self.arguments.split()):
            raise LocalError(f"usage: fault {self.kind} {self.arguments}")
        self.lab, self.number, self.words = lab, number, words
        self.prepare()

    def prepare(self):
        """Checks the arguments."""

    def plant(self):
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError

    def __str__(self):
        return " ".join([self.kind, *self.words])


class Drop(Fault):
    kind = "drop"
    arguments = "FROM TO"
    summary = "a security group without the rule: packets from FROM to TO vanish (tasks or services)"

    def prepare(self):
        self.sources = self.lab.fleet.find(self.words[0])
        self.targets = self.lab.fleet.find(self.words[1])

    def plant(self):
        self.lab.drops.append((self.number, self.sources, self.targets))
        self.lab.apply_filters()

    def heal(self):
        self.lab.drops = [drop for drop in self.lab.drops if drop[0] != self.number]
        self.lab.apply_filters()


class Stop(Fault):
    kind = "stop"
    arguments = "TARGET"
    summary = "the server of a task, or of all tasks of a service, is not running; its record stays"

    def prepare(self):
        self.tasks = self.lab.fleet.find(self.words[0])

    def plant(self):
        for task in self.tasks:
            self.lab.stop_servers(task)

    def heal(self):
        for task in self.tasks:
            self.lab.start_servers(task)


class Stale(Fault):
    kind = "stale"
    arguments = "SERVICE"
    summary = "a record of a task that is gone: an address that nobody has"

    def prepare(self):
        if self.words[0] not in self.lab.fleet.services:
            raise LocalError(f"no service '{self.words[0]}'")
        service = self.lab.fleet.services[self.words[0]]
        address = str(ZONES["a"][STALE_HOST + self.number])
        self.rows = self.lab.registry.records(service, f"gone-{self.number}", address)

    def plant(self):
        self.lab.registry.change(self.rows, [])
        self.lab.registry.flush(self.rows)

    def heal(self):
        self.lab.registry.change([], self.rows)
        self.lab.registry.flush(self.rows)


class Kill(Fault):
    kind = "kill"
    arguments = "WHAT"
    summary = "kill -9 of the collector, or of a task's agent (WHAT: collector, or a task or service)"
    signal = signal.SIGKILL

    def prepare(self):
        if self.words[0] == "collector":
            self.names = ["collector"]
        else:
            self.names = [f"{task.name}/agent" for task in self.lab.fleet.find(self.words[0])]

    def plant(self):
        for name in self.names:
            self.lab.processes.stop(name, self.signal)

    def heal(self):
        for name in self.names:
            self.lab.processes.restart(name)


class Leave(Kill):
    kind = "leave"
    arguments = "TARGET"
    summary = "the agents of a task or service are told to go (SIGTERM): they say leaving"
    signal = signal.SIGTERM


class Pause(Kill):
    kind = "pause"
    arguments = "TARGET"
    summary = "the agents of a task or service are stopped (SIGSTOP): there, but silent"

    def plant(self):
        for name in self.names:
            self.lab.processes.send(name, signal.SIGSTOP)

    def heal(self):
        for name in self.names:
            self.lab.processes.send(name, signal.SIGCONT)


class DiskFull(Fault):
    kind = "disk-full"
    summary = "the file system of the collector's store has no room left"

    def plant(self):
        self.path = os.path.join(self.lab.store_folder, "filler")
        block = b"\0" * 65536
        with open(self.path, "wb", buffering=0) as file:
            for size in (len(block), 512):
                try:
                    while True:
                        file.write(block[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def heal(self):
        os.unlink(self.path)


KINDS = {fault.kind: fault for fault in (Drop, Stop, Stale, Kill, Leave, Pause, DiskFull)}


def usage():
    return "\n".join(f"  {fault.kind + ' ' + fault.arguments:<16} {fault.summary}" for fault in KINDS.values())
