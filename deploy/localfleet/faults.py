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
    verdict = "drop"

    def prepare(self):
        self.sources = self.lab.fleet.find(self.words[0])
        self.targets = self.lab.fleet.find(self.words[1])

    def plant(self):
        self.lab.rules.append((self.number, self.verdict, self.sources, self.targets))
        self.lab.apply_filters()

    def heal(self):
        self.lab.rules = [rule for rule in self.lab.rules if rule[0] != self.number]
        self.lab.apply_filters()


class Allow(Drop):
    kind = "allow"
    summary = "a security group with a rule too many: FROM reaches TO, whatever is expected"
    verdict = "accept"


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
        self.lab.wait_for(self.lab.servers_answer, "servers")


class Hang(Stop):
    kind = "hang"
    summary = "the server of a task or service is stopped (SIGSTOP): it accepts and never answers"

    def send(self, number):
        for task in self.tasks:
            for name in self.lab.server_names(task):
                self.lab.processes.send(name, number)

    def plant(self):
        self.send(signal.SIGSTOP)

    def heal(self):
        self.send(signal.SIGCONT)


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


class Unregister(Stale):
    kind = "unregister"
    summary = "a service without records: its tasks run, its name does not exist"

    def prepare(self):
        super().prepare()
        service = self.lab.fleet.services[self.words[0]]
        self.rows = [row for task in service.tasks
                     for row in self.lab.registry.records(service, task.name, task.address)]

    def plant(self):
        super().heal()

    def heal(self):
        super().plant()


class Kill(Fault):
    kind = "kill"
    arguments = "WHAT"
    summary = "kill -9 of: collector, resolver, registry, or the agents of a task or service"
    signal = signal.SIGKILL

    def prepare(self):
        if self.words[0] in self.lab.fleet.infra:
            self.names = [self.words[0]]
        else:
            self.names = [f"{task.name}/agent" for task in self.lab.fleet.find(self.words[0])]

    def plant(self):
        for name in self.names:
            self.lab.processes.stop(name, self.signal)

    def heal(self):
        for name in self.names:
            self.lab.processes.restart(name)
        if self.names[0] in ("resolver", "registry"):
            self.lab.wait_for(self.lab.registry.responds, "the resolver")


class Leave(Kill):
    kind = "leave"
    summary = "the same with SIGTERM: agents say leaving"
    signal = signal.SIGTERM


class Pause(Kill):
    kind = "pause"
    summary = "the same with SIGSTOP: there, but silent"

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


KINDS = {fault.kind: fault for fault in (Drop, Allow, Stop, Hang, Stale, Unregister, Kill, Leave, Pause, DiskFull)}


def usage():
    return "\n".join(f"  {fault.kind + ' ' + fault.arguments:<16} {fault.summary}" for fault in KINDS.values())
