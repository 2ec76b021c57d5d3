"""Faults that can be planted, with real means, and healed.

A fault is a class with a kind, its arguments as help shows them, and plant() and heal(). To add
one: write the class and put it into KINDS.
"""

import errno
import os
import signal
import subprocess

from . import network, shell
from .authority import FAULTS as CERTIFICATES
from .model import LocalError, MANY_HOST, RECORD_TTL, STALE_HOST, STALE_HOSTS, ZONES


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


class Early(Fault):
    """A rule that comes before what is established: `rule` is the rest of it, after the sources."""

    def sources(self):
        return self.lab.fleet.find(self.words[0])

    def rule(self):
        raise NotImplementedError

    def prepare(self):
        self.rule()
        self.sources()

    def plant(self):
        self.lab.early_rules.append((self.number, self.sources(), self.rule()))
        self.lab.apply_filters()

    def heal(self):
        self.lab.early_rules = [rule for rule in self.lab.early_rules if rule[0] != self.number]
        self.lab.apply_filters()


class Reset(Early):
    kind = "reset"
    arguments = "FROM TO"
    summary = "a firewall in between lets connections be made, and resets them with the first data"

    def rule(self):
        targets = self.lab.fleet.find(self.words[1])
        # A segment with data: longer than its headers (RST and pure ACK pass).
        return (f"oifname {network.interfaces(targets)} ct direction original "
                "tcp flags & (psh | syn) == psh "
                "reject with tcp reset")


class Reject(Early):
    kind = "reject"
    arguments = "FROM TO ICMP"
    summary = "a router that answers with an ICMP error: host-unreachable, net-unreachable, admin-prohibited, ..."
    codes = ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited",
             "host-prohibited", "admin-prohibited")

    def rule(self):
        if self.words[2] not in self.codes:
            raise LocalError(f"ICMP is one of {', '.join(self.codes)}")
        targets = self.lab.fleet.find(self.words[1])
        return f"oifname {network.interfaces(targets)} ct state new reject with icmp {self.words[2]}"


class Block(Early):
    kind = "block"
    arguments = "FROM PROTOCOL PORT"
    summary = "a protocol (tcp, udp) and port of which nothing gets out, e.g. tcp 53: DNS, but not over TCP"

    def rule(self):
        if self.words[1] not in ("tcp", "udp") or not self.words[2].isdigit():
            raise LocalError("PROTOCOL is tcp or udp, PORT a number")
        return f"{self.words[1]} dport {self.words[2]} drop"


class Lost(Early):
    kind = "lost"
    arguments = "FROM TO"
    summary = "the way back is closed (a NACL without the ephemeral ports): what TO answers to FROM vanishes"

    def sources(self):
        return self.lab.fleet.find(self.words[1])

    def rule(self):
        sources = self.lab.fleet.find(self.words[0])
        return f"oifname {network.interfaces(sources)} ct direction reply drop"


class Refuse(Early):
    kind = "refuse"
    arguments = "FROM TO"
    summary = "a firewall in between that answers a connection attempt with a RST"

    def rule(self):
        targets = self.lab.fleet.find(self.words[1])
        return f"oifname {network.interfaces(targets)} ct state new meta l4proto tcp reject with tcp reset"


class Loss(Fault):
    kind = "loss"
    arguments = "FROM TO PERCENT"
    summary = "PERCENT of the packets between FROM and TO vanish, either way, by chance; * is everybody"

    def prepare(self):
        if not self.words[2].isdigit() or not 1 <= int(self.words[2]) <= 100:
            raise LocalError("PERCENT is 1 to 100")
        self.rules = [(self.number, self.find(source), f"oifname {network.interfaces(self.find(target))} "
                       f"numgen random mod 100 < {self.words[2]} drop")
                      for source, target in (self.words[:2], reversed(self.words[:2]))]

    def find(self, word):
        return list(self.lab.fleet.tasks.values()) if word == "*" else self.lab.fleet.find(word)

    def plant(self):
        self.lab.early_rules += self.rules
        self.lab.apply_filters()

    def heal(self):
        self.lab.early_rules = [rule for rule in self.lab.early_rules if rule[0] != self.number]
        self.lab.apply_filters()


class Nat(Fault):
    kind = "nat"
    arguments = "FROM TO"
    summary = "network address translation in between: to TO, what FROM sends comes from the router"

    def prepare(self):
        self.sources, self.targets = (self.lab.fleet.find(word) for word in self.words)
        self.table = f"nat{self.number}"

    def plant(self):
        shell.run(["nft", "-f", "-"], f"""table ip {self.table} {{
  chain post {{
    type nat hook postrouting priority 100;
    ip saddr {{ {", ".join(task.address for task in self.sources)} }} oifname {network.interfaces(self.targets)} \
snat to {self.lab.fleet.infra["collector"].gateway}
  }}
}}
""")

    def heal(self):
        shell.run(["nft", "delete", "table", "ip", self.table])


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


class Bound(Stop):
    kind = "bound"
    summary = "the server of a task or service listens on loopback only (http, tcp)"

    def change(self, places, value):
        for task in self.tasks:
            self.lab.stop_servers(task)
            if value:
                places[task.name] = value
            else:
                del places[task.name]
            self.lab.start_servers(task)

    def plant(self):
        self.change(self.lab.servers.binds, "127.0.0.1")

    def heal(self):
        self.change(self.lab.servers.binds, None)
        self.lab.wait_for(self.lab.servers_answer, "servers")


class Port(Bound):
    kind = "port"
    arguments = "TARGET PORT"
    summary = "the server of a task or service listens on another port (http, tcp)"

    def prepare(self):
        super().prepare()
        if not self.words[1].isdigit() or not 1 <= int(self.words[1]) <= 65535:
            raise LocalError("PORT is a number")

    def plant(self):
        self.change(self.lab.servers.ports, int(self.words[1]))

    def heal(self):
        self.change(self.lab.servers.ports, None)
        self.lab.wait_for(self.lab.servers_answer, "servers")


class Queue(Stop):
    kind = "queue"
    arguments = "TASK BACKLOG [full]"
    summary = "the server of a task accepts nothing: BACKLOG connections may wait for it; full: so many do"

    def prepare(self):
        super().prepare()
        if len(self.tasks) != 1 or not self.words[1].isdigit():
            raise LocalError("TASK is one task, BACKLOG a number")
        self.task = self.tasks[0]
        self.process = f"{self.task.name}/stuck{self.number}"

    def plant(self):
        super().plant()
        port = self.lab.fleet.services[self.task.service].checks[0]["port"]
        self.lab.processes.start(self.process, shell.in_host(self.lab.state, self.task.name, [
            shell.SYSTEM_PYTHON, os.path.join(os.path.dirname(__file__), "stuck.py"), str(port), self.words[1],
            str(len(self.words) - 2)]))
        self.lab.wait_for(lambda: self.waiting() > (int(self.words[1]) if len(self.words) > 2 else -1), "the queue")

    def waiting(self):
        """How many connections wait in the queue; -1: nobody listens yet."""
        result = shell.run(shell.in_host(self.lab.state, self.task.name, ["ss", "-Hltn"]))
        port = self.lab.fleet.services[self.task.service].checks[0]["port"]
        return next((int(line.split()[1]) for line in result.splitlines() if line.split()[3].endswith(f":{port}")), -1)

    def heal(self):
        self.lab.processes.stop(self.process)
        del self.lab.processes.commands[self.process]
        super().heal()


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


class Certificate(Stop):
    kind = "cert"
    arguments = "SERVICE WHAT"
    summary = f"a TLS service whose certificate is not good: {', '.join(CERTIFICATES)}; or client: it wants the client's"

    def prepare(self):
        super().prepare()
        if self.words[1] not in (*CERTIFICATES, "client"):
            raise LocalError(f"WHAT is one of {', '.join(CERTIFICATES)}, client")
        self.service = self.tasks[0].service

    def restart(self):
        for task in self.tasks:
            self.lab.stop_servers(task)
            self.lab.start_servers(task)
        self.lab.wait_for(self.lab.servers_answer, "servers")

    def plant(self):
        if self.words[1] == "client":
            self.lab.servers.wants_client.add(self.service)
        else:
            self.lab.servers.authority.faults[self.service] = self.words[1]
        self.restart()

    def heal(self):
        self.lab.servers.wants_client.discard(self.service)
        self.lab.servers.authority.faults.pop(self.service, None)
        self.restart()


PROXY = """global
  maxconn 512
defaults
  mode tcp
  timeout connect 2s
  timeout client 30s
  timeout server 30s
listen proxy
  bind {address}:{port}
{body}
"""


class Connect(Fault):
    kind = "connect"
    arguments = "TASK SERVICE [down]"
    summary = "Service Connect's shape: the name stands in TASK's /etc/hosts and leads to a proxy in the task"

    def prepare(self):
        tasks = self.lab.fleet.find(self.words[0])
        if len(tasks) != 1 or self.words[1] not in self.lab.fleet.services:
            raise LocalError("TASK is one task, SERVICE a service")
        self.task, self.service = tasks[0], self.lab.fleet.services[self.words[1]]
        self.folder = os.path.join(self.lab.state, "hosts", self.task.name)
        self.process = f"{self.task.name}/proxy{self.number}"

    def plant(self):
        address, port = f"127.255.0.{1 + self.number % 250}", self.service.checks[0]["port"]
        if len(self.words) > 2:
            body = "  mode http\n  http-request return status 503 content-type text/plain hdr server envoy string \"no healthy upstream\""
        else:
            body = "\n".join(f"  server s{number} {task.address}:{port}"
                             for number, task in enumerate(self.service.tasks))
        config = os.path.join(self.folder, f"proxy{self.number}.cfg")
        with open(config, "w", encoding="utf-8") as file:
            file.write(PROXY.format(address=address, port=port, body=body))
        self.lab.processes.start(self.process, shell.in_host(
            self.lab.state, self.task.name, [shell.need("haproxy", "haproxy"), "-db", "-f", config]))
        self.lines = [f"{address} {name}\n" for name in self.service.names]
        self.write_hosts(self.hosts() + self.lines)
        self.lab.wait_for(lambda: self.is_listening(address, port), "the proxy")

    def is_listening(self, address, port):
        if not self.lab.processes.is_running(self.process):
            raise LocalError(f"no proxy on port {port} in {self.task.name}: a server of its own is there")
        return subprocess.run(shell.in_host(self.lab.state, self.task.name, [
            shell.SYSTEM_PYTHON, "-c", f"import socket; socket.create_connection(('{address}', {port}), 1)"]),
            check=False, capture_output=True).returncode == 0

    def hosts(self):
        with open(os.path.join(self.folder, "hosts"), encoding="ascii") as file:
            return file.readlines()

    def write_hosts(self, lines):
        """In place: the file is mounted over the task's /etc/hosts."""
        with open(os.path.join(self.folder, "hosts"), "r+", encoding="ascii") as file:
            file.truncate()
            file.writelines(lines)

    def heal(self):
        self.write_hosts([line for line in self.hosts() if line not in self.lines])
        self.lab.processes.stop(self.process)
        del self.lab.processes.commands[self.process]


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


KINDS = {fault.kind: fault for fault in (
    Drop, Allow, Lost, Refuse, Reset, Reject, Block, Loss, Nat, Stop, Hang, Bound, Port, Queue, Certificate, Stale, Reused, Many,
    Unregister, Missing, Aaaa, Dns, Connect, Kill, Leave, Pause, DiskFull)}


def usage():
    return "\n".join(f"  {fault.kind + ' ' + fault.arguments:<28} {fault.summary}" for fault in KINDS.values())
