"""Faults of the registry and the resolvers."""

import os

from .. import shell
from ..dns import ask
from ..model import (INFRA, LocalError, MANY_HOST, PUBLIC, RECORD_TTL, RESOLVERS, STALE_HOST, STALE_HOSTS,
                     ZONES)
from .base import Fault, HERE


class Stale(Fault):
    kind = "stale"
    arguments = "SERVICE"
    summary = "a record of a task that is gone: an address that nobody has"

    def prepare(self):
        if self.words[0] not in self.lab.fleet.services:
            raise LocalError(f"no service '{self.words[0]}'")
        service = self.lab.fleet.services[self.words[0]]
        address = str(ZONES["a"][STALE_HOST + self.number % STALE_HOSTS])
        self.rows = self.lab.registry.records(service, f"gone-{self.number}", address)

    def plant(self):
        self.lab.registry.change(self.rows, [])
        self.lab.registry.flush(self.rows)

    def heal(self):
        self.lab.registry.change([], self.rows)
        self.lab.registry.flush(self.rows)


class Reused(Stale):
    kind = "reused"
    arguments = "SERVICE TASK"
    summary = "a record of a task that is gone, whose address another service's TASK has now"

    def prepare(self):
        super().prepare()
        tasks = self.lab.fleet.find(self.words[1])
        if len(tasks) != 1:
            raise LocalError("TASK is one task")
        self.rows = self.lab.registry.records(self.lab.fleet.services[self.words[0]], f"gone-{self.number}",
                                              tasks[0].address)


class Many(Stale):
    kind = "many"
    arguments = "SERVICE COUNT"
    summary = "COUNT records more, of addresses that nobody has: from 29 on an answer does not fit into a datagram"

    def prepare(self):
        super().prepare()
        if not self.words[1].isdigit() or not 1 <= int(self.words[1]) <= 500:
            raise LocalError("COUNT is 1 to 500")
        service = self.lab.fleet.services[self.words[0]]
        self.rows = [row for index in range(int(self.words[1])) for row in self.lab.registry.records(
            service, f"many-{index}", str(ZONES["a"][MANY_HOST + index]))]


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


class Missing(Stale):
    kind = "missing"
    summary = "an SRV record that leads to a host without an address"

    def prepare(self):
        super().prepare()
        self.rows = [row for row in self.rows if row[1] == "SRV"]
        if not self.rows:
            raise LocalError(f"'{self.words[0]}' has no SRV records (record: SRV)")


class Aaaa(Stale):
    kind = "aaaa"
    summary = "AAAA records beside the A records, in a fleet whose tasks have no IPv6"

    def prepare(self):
        super().prepare()
        self.rows = [(name, "AAAA", f"fd00:77::{self.number:x}", RECORD_TTL)
                     for name in self.lab.fleet.services[self.words[0]].names]


class Dns(Fault):
    kind = "dns"
    arguments = "SERVICE ANSWER"
    summary = "the resolver's answer for a service's names: nxdomain, nodata, refused, servfail, or silent"
    zones = {"nxdomain": "always_nxdomain", "nodata": "always_nodata", "refused": "always_refuse",
             "silent": "always_deny"}

    def prepare(self):
        if self.words[0] not in self.lab.fleet.services:
            raise LocalError(f"no service '{self.words[0]}'")
        if self.words[1] not in (*self.zones, "servfail"):
            raise LocalError(f"ANSWER is one of {', '.join(self.zones)}, servfail")
        self.names = self.lab.fleet.services[self.words[0]].names

    def plant(self):
        if self.words[1] == "servfail":
            self.lab.registry.change(self.broken(), [])
            self.lab.registry.flush(self.broken())
            return
        for name in self.names:
            self.lab.registry.control("local_zone", name, self.zones[self.words[1]])

    def broken(self):
        """Records that the authority cannot read: it fails at these names."""
        return [(name, "A", "no-address", RECORD_TTL) for name in self.names]

    def heal(self):
        if self.words[1] == "servfail":
            self.lab.registry.change([], self.broken())
            self.lab.registry.flush(self.broken())
            return
        for name in self.names:
            self.lab.registry.control("local_zone_remove", name)


class Alias(Stale):
    kind = "alias"
    arguments = "NAME"
    summary = "one of the names of a service does not exist, the others do"

    def prepare(self):
        service = next((service for service in self.lab.fleet.services.values()
                        if self.words[0] in service.names and len(service.names) > 1), None)
        if not service:
            raise LocalError("NAME is one of several names of a service")
        self.rows = [row for task in service.tasks for row in self.lab.registry.records(service, task.name, task.address)
                     if row[0].endswith(self.words[0])]

    def plant(self):
        super().heal()

    def heal(self):
        super().plant()


class Unlisted(Alias):
    kind = "unlisted"
    arguments = "TASK"
    summary = "a task that runs, without a record"

    def prepare(self):
        task = self.lab.fleet.one(self.words[0])
        self.rows = self.lab.registry.records(self.lab.fleet.services[task.service], task.name, task.address)


class Ttl(Stale):
    kind = "ttl"
    arguments = "SERVICE SECONDS"
    summary = "a service whose records may be kept for long"

    def prepare(self):
        service = self.lab.fleet.service(self.words[0])
        if not self.words[1].isdigit() or not 1 <= int(self.words[1]) <= 604800:
            raise LocalError("SECONDS is 1 to 604800")
        self.former = [row for task in service.tasks
                       for row in self.lab.registry.records(service, task.name, task.address)]
        self.rows = [(*row[:3], int(self.words[1])) for row in self.former]

    def change(self, add, remove):
        self.lab.registry.change(add, remove)
        self.lab.registry.flush(add)

    def plant(self):
        self.change(self.rows, self.former)

    def heal(self):
        self.change(self.former, self.rows)


class Zones(Fault):
    kind = "zones"
    arguments = "SERVICE"
    summary = "the zones' resolvers differ: zone b's knows one task of the service only"

    def prepare(self):
        self.service = self.lab.fleet.service(self.words[0])
        if self.service.is_srv or len(self.service.tasks) < 2:
            raise LocalError("SERVICE has A records, and two tasks")

    def plant(self):
        for name in self.service.names:
            self.lab.registry.control("local_zone", name, "redirect", resolvers=[RESOLVERS["b"]])
            self.lab.registry.control("local_data", f"{name} {RECORD_TTL} A {self.service.tasks[1].address}",
                                      resolvers=[RESOLVERS["b"]])

    def heal(self):
        for name in self.service.names:
            self.lab.registry.control("local_zone_remove", name, resolvers=[RESOLVERS["b"]])


class Negative(Stale):
    kind = "negative"
    summary = "zone b's resolver keeps that a service's names do not exist, though they are registered by now"

    def prepare(self):
        service = self.lab.fleet.service(self.words[0])
        self.names = service.names
        self.rows = [row for task in service.tasks
                     for row in self.lab.registry.records(service, task.name, task.address)]

    def plant(self):
        resolver = [RESOLVERS["b"]]
        self.lab.registry.change([], self.rows)
        self.lab.registry.flush(self.rows, resolver)
        for name in self.names:
            for kind in (1, 28, 33):
                ask(self.lab.fleet.infra[resolver[0]].address, name, kind)
        self.lab.registry.change(self.rows, [])
        self.lab.registry.flush(self.rows, [RESOLVERS["a"]])

    def heal(self):
        self.lab.registry.flush(self.rows)


class SlowDns(Fault):
    kind = "slow-dns"
    arguments = "SECONDS"
    summary = "the resolvers answer after SECONDS"

    def prepare(self):
        try:
            float(self.words[0])
        except ValueError:
            raise LocalError("SECONDS is a number, such as 0.8") from None

    def plant(self):
        for resolver in RESOLVERS.values():
            host = self.lab.fleet.infra[resolver]
            self.lab.processes.stop(resolver)
            self.lab.processes.start(f"{resolver}/slow", shell.in_host(self.lab.state, resolver, [
                shell.SYSTEM_PYTHON, os.path.join(HERE, "slowdns.py"), host.address,
                self.lab.fleet.infra["registry"].address, self.words[0]], privileged=True))
        self.lab.wait_for(self.lab.registry.responds, "the resolvers")

    def heal(self):
        for resolver in RESOLVERS.values():
            self.lab.processes.stop(f"{resolver}/slow")
            del self.lab.processes.commands[f"{resolver}/slow"]
            self.lab.processes.restart(resolver)
        self.lab.wait_for(self.lab.registry.responds, "the resolvers")


class Resolver(Fault):
    kind = "resolver"
    arguments = "TARGET WHICH"
    summary = "a task, or all of a service, asks another resolver: public (knows nothing of the fleet), or dead"

    def prepare(self):
        self.tasks = self.lab.fleet.find(self.words[0])
        self.address = {"public": self.lab.fleet.infra[PUBLIC].address, "dead": str(INFRA[99])}.get(self.words[1])
        if not self.address:
            raise LocalError("WHICH is public or dead")

    def change(self, address_of):
        for task in self.tasks:
            path = os.path.join(self.lab.state, "hosts", task.name, "resolv.conf")
            with open(path, "r+", encoding="ascii") as file:  # in place: it is mounted over the task's own
                lines = [line for line in file.readlines() if not line.startswith("nameserver")]
                file.seek(0)
                file.truncate()
                file.writelines([f"nameserver {address_of(task)}\n", *lines])
            self.lab.restart_agent(task)  # as a task's resolver is only changed by a new task

    def plant(self):
        self.change(lambda task: self.address)

    def heal(self):
        self.change(self.lab.fleet.resolver_of)
