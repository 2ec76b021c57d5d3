"""The running fleet: started inside its own namespaces, told what to do over a control socket.

This process tree is in a PID namespace of its own: when it ends, however it ends, every process,
namespace and mount of the fleet ends with it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

from . import faults, network, shell
from .cloud import filters
from .cloud.deployments import Deployments
from .cloud.deployments import OPERATIONS as DEPLOYING
from .cloud.sigv4 import Refused
from .cloud.view import View
from .dns import Registry
from .model import AGENTS_PORT, CLOUD, LocalError, VPC, build
from .servers import Servers

HERE = os.path.dirname(os.path.realpath(__file__))
READY_SECONDS = 60
STOP_SECONDS = 5


class Processes:
    """What runs, by name; each with how to start it again."""

    def __init__(self, state):
        self.state = state
        self.commands, self.running = {}, {}

    def start(self, name, command):
        log_path = os.path.join(self.state, "logs", name.replace("/", "-") + ".log")
        self.commands[name] = command
        with open(log_path, "ab") as log:
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  start_new_session=True)

    def restart(self, name):
        if not self.is_running(name):
            self.start(name, self.commands[name])

    def is_running(self, name):
        return name in self.running and self.running[name].poll() is None

    def send(self, name, number):
        if self.is_running(name):
            os.killpg(self.running[name].pid, number)

    def stop(self, name, number=signal.SIGTERM):
        """Ends a process and those it started; waits until it is gone."""
        if not self.is_running(name):
            return
        self.send(name, number)
        try:
            self.running[name].wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.send(name, signal.SIGKILL)
            self.running[name].wait()


class Lab:
    def __init__(self, state, settings):
        self.state, self.settings = state, settings
        self.fleet = build(settings["fleet"], settings["tasks"], bool(settings["cloud"]))
        self.processes = Processes(state)
        self.registry = Registry(self.fleet, state)
        self.servers = Servers(self.fleet, state, settings["servers"])
        self.store_folder = os.path.join(state, "store")
        self.rules, self.early_rules, self.planted, self.fault_count = [], [], {}, 0
        self.revisions = {}  # task -> of what it runs, other than the first
        self.lock = threading.RLock()  # a deployment goes on beside the requests
        self.deployments = Deployments(self)
        self.cloud = View(self.fleet, self.registry, state, self.deployments) if settings["cloud"] else None

    # ---- start ----

    def up(self):
        shell.run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        self.make_folders()
        network.set_up_router(self.fleet)
        self.registry.prepare()
        self.show_cloud()
        for host, command, privileged in self.registry.commands():
            self.processes.start(host, shell.in_host(self.state, host, command, privileged))
        self.start_cloud()
        self.start_collector()
        self.servers.prepare()
        for task in self.fleet.tasks.values():
            self.start_servers(task)
            self.start_agent(task)
        self.wait_until_ready()

    def make_folders(self):
        for host in self.fleet.hosts():
            folder = os.path.join(self.state, "hosts", host.name)
            os.makedirs(folder)
            with open(os.path.join(folder, "resolv.conf"), "w", encoding="ascii") as file:
                file.write(f"nameserver {self.fleet.resolver_of(host)}\n"
                           f"search {' '.join(self.fleet.domains)}\n")
            with open(os.path.join(folder, "hosts"), "w", encoding="ascii") as file:
                file.write(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
        os.makedirs(os.path.join(self.state, "logs"))
        os.makedirs(self.store_folder)
        shell.run(["mount", "-t", "tmpfs", "-o", f"size={self.settings['store_size']},mode=755", "tmpfs",
                   self.store_folder])
        shell.give_to_nobody(self.store_folder)
        os.makedirs(os.path.join(self.state, "api"))
        shell.give_to_nobody(os.path.join(self.state, "api"))

    def program(self, name):
        return os.path.join(self.state, "bin", name)

    def start_cloud(self):
        """The stand-in for AWS's APIs, where the fleet is to have one."""
        if not self.cloud:
            return
        self.processes.start(CLOUD, shell.in_host(self.state, CLOUD, [
            "env", f"PYTHONPATH={os.path.dirname(HERE)}", shell.SYSTEM_PYTHON, "-B", "-m", "localfleet.cloud.server",
            "--estate", self.cloud.path, "--control", os.path.join(self.state, "control.sock"),
            "--listen", f"{self.cloud.address}:80"], privileged=True))

    def show_cloud(self, *who):
        """What its rules say is what filters."""
        if self.cloud:
            self.cloud.write(self.planted.values(), *who)
        self.apply_filters()

    def deploy(self, service, *pairs):
        """A new revision of a service, whose app does what the NAME=VALUE pairs say; its name."""
        if not self.cloud:
            raise LocalError("without AWS's stand-in there are no deployments: local up FLEET --cloud facts")
        self.fleet.service(service)
        environment = [dict(zip(("name", "value"), pair.split("=", 1))) for pair in pairs]
        if any("value" not in one for one in environment):
            raise LocalError("what the revision does: NAME=VALUE, such as PORT=9090, STATUS=500 or ISOLATED=1")
        self.deployments.call("RegisterTaskDefinition", {
            "family": service, "containerDefinitions": [{"name": service, "environment": environment}]})
        try:
            self.deployments.call("UpdateService", {"service": service, "taskDefinition": service})
        except Refused as refused:
            raise LocalError(refused.text) from refused
        self.show_cloud()
        return f"{service}:{self.deployments.current[service]}"

    def call(self, service, operation, text, user):
        """Of the stand-in: its answer, or the error that it is to give."""
        try:
            if (service, operation) in DEPLOYING:
                answer = self.deployments.call(operation, json.loads(text))
            else:
                answer = self.cloud.call(service, operation, json.loads(text))
        except Refused as refused:
            return json.dumps({"code": refused.code, "text": refused.text})
        self.show_cloud(user)
        return json.dumps({"answer": answer})

    def start_collector(self):
        address = self.fleet.infra["collector"].address
        self.processes.start("collector", shell.in_host(self.state, "collector", [
            *(["env", *self.cloud.settings()] if self.cloud else []), self.program("canreach-collector"),
            "--fleet", os.path.join(self.state, "fleet"),
            "--store", os.path.join(self.store_folder, "canreach.db"),
            "--listen-agents", f"tcp://{address}:{AGENTS_PORT}",
            "--listen-http", f"unix:{self.state}/api/collector.sock",
            *(["--config", os.path.join(self.state, "config")] if self.settings.get("has_config") else []),
            "--log-level", self.settings["log_level"]]))

    def start_servers(self, task):
        for number, command in enumerate(self.servers.commands(task)):
            self.processes.start(f"{task.name}/server{number}", shell.in_host(self.state, task.name, command))

    def stop_servers(self, task):
        for name in self.server_names(task):
            self.processes.stop(name)

    def server_names(self, task):
        return [name for name in self.processes.commands if name.startswith(f"{task.name}/server")]

    def start_agent(self, task, options=()):
        if not self.fleet.services[task.service].has_agents:
            return
        self.processes.start(f"{task.name}/agent", shell.in_host(self.state, task.name, [
            self.program("canreach-agent"),
            "--collector", f"tcp://{self.fleet.infra['collector'].address}:{AGENTS_PORT}",
            "--service", task.service, "--task", task.name, "--zone", task.zone, "--cluster", "local",
            "--network-mode", "awsvpc", *(() if "--allow-net" in options else ("--allow-net", VPC)),
            "--tls-ca", self.servers.authority.certificate,
            *[word for domain in self.fleet.domains for word in ("--allow-suffix", domain)],
            "--revision", self.revisions.get(task.name, f"{task.service}:1"),
            "--log-level", self.settings["log_level"], *options], read_only=True))

    def restart_agent(self, task, options=()):
        """As a new one, with other options; waits until the collector knows it."""
        name = f"{task.name}/agent"
        before = self.instance_of(task)
        self.processes.stop(name)
        self.start_agent(task, options)
        self.wait_for(lambda: self.instance_of(task) not in (None, before), f"the agent of {task.name}")

    def instance_of(self, task):
        return next((agent["instance"] for agent in self.agents() if agent["task"] == task.name
                     and agent["state"] == "live"), None)

    # ---- readiness ----

    def endpoints(self):
        """Of the servers that are meant to run."""
        return [(task, check) for service in self.fleet.services.values() for task in service.tasks
                if task.name not in self.servers.binds and task.name not in self.servers.ports
                for check in service.checks if all(map(self.processes.is_running, self.server_names(task)))]

    def servers_answer(self):
        return all(answers(task.address, check) for task, check in self.endpoints())

    def wait_until_ready(self):
        """Until every server takes connections, every name resolves, every agent is linked."""
        def is_ready():
            self.complain_about_dead()
            return (self.servers_answer() and self.registry.answers() and self.agents_are_live()
                    and self.is_followed())
        self.wait_for(is_ready, "the fleet")

    def wait_for(self, is_ready, what):
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            if time.monotonic() > deadline:
                raise LocalError(f"{what} not ready after {READY_SECONDS} s; see {self.state}/logs")
            time.sleep(0.05)

    def complain_about_dead(self):
        for name, process in self.processes.running.items():
            if process.poll() is not None:
                path = os.path.join(self.state, "logs", name.replace("/", "-") + ".log")
                with open(path, encoding="utf-8", errors="replace") as log:
                    tail = log.read()[-1000:].strip()
                raise LocalError(f"{name} ended with status {process.returncode}: {tail}")

    def canreach(self, what):
        """What the collector lists of it."""
        result = subprocess.run([self.program("canreach"), what, "-o", "json", "--url",
                                 f"unix://{self.state}/api/collector.sock"], capture_output=True, check=False)
        return json.loads(result.stdout)[what] if result.returncode == 0 else []

    def agents(self):
        return self.canreach("agents")

    def is_followed(self):
        """Whether the collector knows the services, where they come out of the cloud."""
        return self.settings["cloud"] != "follow" or bool(self.canreach("services"))

    def agents_are_live(self):
        live = sum(agent["state"] == "live" for agent in self.agents())
        return live >= sum(name.endswith("/agent") for name in self.processes.commands)

    # ---- faults ----

    def apply_filters(self):
        """With a cloud its rules filter; of the faults those that it does not show."""
        if not self.cloud:
            network.load_filters(network.render_filters(self.fleet, self.rules, self.early_rules))
            return
        hidden = [(number, sources, rule) for number, sources, rule in self.early_rules if not self.is_in_cloud(number)]
        network.load_filters(filters.render(self.fleet, self.cloud.document, hidden))

    def is_in_cloud(self, number):
        fault = self.planted.get(str(number))
        return number not in self.deployments.isolated.values() and (fault is None or fault.is_in_cloud)

    def plant(self, words):
        if not words or words[0] not in faults.KINDS:
            raise LocalError(f"faults are:\n{faults.usage()}")
        self.fault_count += 1
        fault = faults.KINDS[words[0]](self, self.fault_count, words[1:])
        self.planted[str(fault.number)] = fault
        try:
            fault.plant()
        except BaseException:
            del self.planted[str(fault.number)]
            raise
        self.show_cloud()
        return f"{fault.number}"

    def heal(self, number=None):
        if number is not None and number not in self.planted:
            raise LocalError(f"no fault {number} is planted")
        healed = [number] if number is not None else list(self.planted)
        for key in healed:
            self.planted.pop(key).heal()
            self.show_cloud()
        return "\n".join(healed)

    def list_faults(self):
        return "\n".join(f"{number}\t{fault}" for number, fault in self.planted.items())

    # ---- status ----

    def status(self):
        lines = [f"{'TASK':<20} {'ZONE':<5} {'ADDRESS':<15} {'SERVER':<9} AGENT"]
        for task in self.fleet.tasks.values():
            servers = self.server_names(task)
            running = all(self.processes.is_running(name) for name in servers)
            server = "none" if not servers else "running" if running else "stopped"
            agent = f"{task.name}/agent"
            state = "running" if self.processes.is_running(agent) else "stopped"
            lines.append(f"{task.name:<20} {task.zone:<5} {task.address:<15} {server:<9} "
                         f"{state if agent in self.processes.commands else 'none'}")
        collector = "running" if self.processes.is_running("collector") else "stopped"
        lines.append(f"collector {collector}, faults planted: {len(self.planted)}")
        return "\n".join(lines)

    # ---- control ----

    def command(self, words):
        name, rest = words[0], words[1:]
        if name == "fault":
            return self.plant(rest)
        if name == "heal":
            return self.heal(*rest[:1])
        if name == "faults":
            return self.list_faults()
        if name == "deploy":
            return self.deploy(*rest)
        if name == "status":
            return self.status()
        if name == "call":
            return self.call(*rest)
        if name == "cloud":
            return "\n".join(self.cloud.settings() if self.cloud else [])
        if name == "hosts":
            return "\n".join(host.name for host in self.fleet.hosts())
        raise LocalError(f"unknown request {name}")

    def serve(self, listener):
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as stream:
                try:
                    words = json.loads(stream.readline())
                    if words == ["down"]:
                        self.processes.stop("collector")
                        stream.write(json.dumps({"ok": ""}) + "\n")
                        return
                    with self.lock:
                        answer = {"ok": self.command(words)}
                except (LocalError, RuntimeError, OSError) as error:
                    answer = {"error": str(error)}
                except Exception:  # pylint: disable=broad-except; a mistake of ours: the fleet stays
                    answer = {"error": traceback.format_exc()}
                try:
                    stream.write(json.dumps(answer) + "\n")
                    stream.flush()
                except BrokenPipeError:
                    pass


def answers(address, check):
    """Whether a server is there; a datagram gets an answer."""
    try:
        if network.protocol_of(check) == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.5)
                client.connect((address, check["port"]))
                client.send(b"ready?")
                return bool(client.recv(100))
        with socket.create_connection((address, check["port"]), timeout=0.5):
            return True
    except OSError:
        return False


def report(state, text):
    path = os.path.join(state, "ready")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def work(state):
    os.chdir(state)  # servers run as nobody, who may not be allowed into the checkout
    with open(os.path.join(state, "settings.json"), encoding="utf-8") as file:
        settings = json.load(file)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(state, "control.sock"))
    listener.listen(16)
    try:
        lab = Lab(state, settings)
        lab.up()
    except (LocalError, RuntimeError, OSError) as error:
        report(state, f"error {error}")
        return 1
    report(state, "ok")
    lab.serve(listener)
    return 0


def main(state):
    """The first process of the PID namespace: reaps what others leave, ends with the worker."""
    worker = os.fork()
    if worker == 0:
        sys.exit(work(state))
    while True:
        pid, status = os.wait()
        if pid == worker:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
