"""Faults of canreach's own: agents, collector, disk; and of what the fleet stands on."""

import errno
import os
import signal

from ..model import RESOLVERS
from .base import Fault


class Kill(Fault):
    kind = "kill"
    arguments = "WHAT"
    summary = "kill -9 of: collector, resolver, registry, or the agents of a task or service"
    signal = signal.SIGKILL

    def prepare(self):
        if self.words[0] == "resolver":
            self.names = list(RESOLVERS.values())
        elif self.words[0] in self.lab.fleet.infra:
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


class Old(Fault):
    kind = "old"
    arguments = "TASK"
    summary = "an agent that cannot do the checks of the fleet"
    options = ("--checks", "udp")

    def prepare(self):
        self.task = self.lab.fleet.one(self.words[0])

    def plant(self):
        self.lab.restart_agent(self.task, self.options)

    def heal(self):
        self.lab.restart_agent(self.task)


class Narrow(Old):
    kind = "narrow"
    summary = "an agent that may not connect to the fleet's addresses (--allow-net)"
    options = ("--allow-net", "10.99.0.0/16")
