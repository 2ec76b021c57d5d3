"""Service Connect's shapes."""

import os
import subprocess

from .. import shell
from ..model import LocalError
from .base import Fault


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


class Newer(Connect):
    kind = "newer"
    arguments = "TASK SERVICE"
    summary = "Service Connect: SERVICE joined after TASK had started: all others have its name in /etc/hosts, TASK not"

    def prepare(self):
        self.task, self.service = self.lab.fleet.one(self.words[0]), self.lab.fleet.service(self.words[1])
        self.rows = [row for task in self.service.tasks
                     for row in self.lab.registry.records(self.service, task.name, task.address)]
        self.lines = [f"{self.service.tasks[0].address} {name}\n" for name in self.service.names]

    def change_others(self, change):
        for task in self.lab.fleet.others([self.task]):
            self.folder = os.path.join(self.lab.state, "hosts", task.name)
            self.write_hosts(change(self.hosts()))

    def plant(self):
        self.change_others(lambda lines: lines + self.lines)
        self.lab.registry.change([], self.rows)
        self.lab.registry.flush(self.rows)

    def heal(self):
        self.change_others(lambda lines: [line for line in lines if line not in self.lines])
        self.lab.registry.change(self.rows, [])
        self.lab.registry.flush(self.rows)
