"""Faults of what a task serves."""

import os
import signal
import threading

from .. import shell
from ..authority import FAULTS as CERTIFICATES
from ..model import LocalError
from .base import Fault, HERE


class Stop(Fault):
    kind = "stop"
    arguments = "TARGET"
    summary = "the server of a task, or of all tasks of a service, is not running; its record stays"

    def prepare(self):
        self.tasks = self.lab.fleet.find(self.words[0])

    def plant(self):
        for task in self.tasks:
            self.lab.stop_servers(task)

    def cloud(self, estate):
        """Its container's health check fails."""
        estate.unhealthy |= {task.name for task in self.tasks}

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

    def cloud(self, estate):
        """Over loopback all is well."""

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

    def cloud(self, estate):
        Stop.cloud(self, estate)

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
            shell.SYSTEM_PYTHON, os.path.join(HERE, "stuck.py"), str(port), self.words[1],
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

    def cloud(self, estate):
        """A container's health check does not look at certificates."""

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


class Loop(Stop):
    kind = "loop"
    arguments = "TASK"
    summary = "a crash loop: the server of a task starts, and ends after a moment, again and again"

    def prepare(self):
        self.task = self.lab.fleet.one(self.words[0])
        self.tasks = [self.task]
        self.process = f"{self.task.name}/loop{self.number}"

    def plant(self):
        super().plant()
        command = self.lab.servers.commands(self.task)[0]
        self.lab.processes.start(self.process, shell.in_host(self.lab.state, self.task.name, [
            "sh", "-c", 'while :; do timeout --foreground -s TERM 0.7 "$@"; sleep 1; done', "sh", *command]))

    def heal(self):
        self.lab.processes.stop(self.process, signal.SIGKILL)
        del self.lab.processes.commands[self.process]
        super().heal()


class Starting(Stop):
    kind = "starting"
    arguments = "TASK SECONDS"
    summary = "a new task: its agent is there, its server only after SECONDS"

    def prepare(self):
        self.task = self.lab.fleet.one(self.words[0])
        self.tasks = [self.task]
        if not self.words[1].isdigit():
            raise LocalError("SECONDS is a number")

    def plant(self):
        super().plant()
        self.lab.restart_agent(self.task)
        self.timer = threading.Timer(int(self.words[1]), self.lab.start_servers, [self.task])
        self.timer.daemon = True
        self.timer.start()

    def heal(self):
        self.timer.cancel()
        self.timer.join()
        self.lab.stop_servers(self.task)
        super().heal()


class Reconfigure(Stop):
    """The servers run on with another configuration; `places` maps tasks to what is changed."""

    def places(self):
        raise NotImplementedError

    def value(self):
        raise NotImplementedError

    def restart(self):
        for task in self.tasks:
            self.lab.stop_servers(task)
            self.lab.start_servers(task)
        self.lab.wait_for(self.lab.servers_answer, "servers")

    def plant(self):
        for task in self.tasks:
            self.places()[task.name] = self.value()
        self.restart()

    def heal(self):
        for task in self.tasks:
            del self.places()[task.name]
        self.restart()


class Health(Reconfigure):
    kind = "health"
    arguments = "TARGET STATUS"
    summary = "the health path of a task or service (http) answers STATUS: 401, 404, 500, 503, ..."

    def places(self):
        return self.lab.servers.statuses

    def value(self):
        if not self.words[1].isdigit() or not 200 <= int(self.words[1]) <= 599:
            raise LocalError("STATUS is 200 to 599")
        return int(self.words[1])

    def prepare(self):
        super().prepare()
        self.value()


class Overload(Reconfigure):
    kind = "overload"
    arguments = "TARGET SECONDS"
    summary = "a task or service (http) that answers, after SECONDS"

    def places(self):
        return self.lab.servers.delays

    def value(self):
        return int(self.words[1])

    def prepare(self):
        super().prepare()
        if not self.words[1].isdigit():
            raise LocalError("SECONDS is a number")


class Plain(Reconfigure):
    kind = "plain"
    arguments = "TARGET"
    summary = "a TLS server that speaks plain text; or the other way round"

    def places(self):
        return self.lab.servers.swapped

    def value(self):
        return True


class Dependency(Reconfigure):
    kind = "dependency"
    arguments = "SERVICE OTHER"
    summary = "a service (http) whose health needs OTHER, which it may not reach (security group)"

    def places(self):
        return self.lab.servers.dependencies

    def value(self):
        other = self.lab.fleet.service(self.words[1])
        return f"http://{other.tasks[0].address}:{other.checks[0]['port']}{other.checks[0]['path']}"

    def prepare(self):
        super().prepare()
        self.value()

    def plant(self):
        self.lab.rules.append((self.number, "drop", self.tasks, self.lab.fleet.service(self.words[1]).tasks))
        self.lab.apply_filters()
        super().plant()

    def cloud(self, estate):
        super().cloud(estate)
        estate.drop(self.tasks, self.lab.fleet.service(self.words[1]).tasks)

    def heal(self):
        self.lab.rules = [rule for rule in self.lab.rules if rule[0] != self.number]
        self.lab.apply_filters()
        super().heal()


class Revision(Port):
    kind = "revision"
    summary = "a bad deployment: of every second task a new revision, which listens on PORT"

    def prepare(self):
        super().prepare()
        self.tasks = self.tasks[1::2]
        if not self.tasks:
            raise LocalError("TARGET is a service of two tasks or more")

    def plant(self):
        super().plant()
        for task in self.tasks:
            self.lab.revisions[task.name] = f"{task.service}:2"
            self.lab.restart_agent(task)

    def cloud(self, estate):
        super().cloud(estate)
        estate.revisions.update({task.name: f"{task.service}:2" for task in self.tasks})

    def heal(self):
        super().heal()
        for task in self.tasks:
            del self.lab.revisions[task.name]
            self.lab.restart_agent(task)
