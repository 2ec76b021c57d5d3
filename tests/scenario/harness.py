"""harness: a local fleet per test class, and canreach run against it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

from standin import Standin  # noqa: E402
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
BIN = os.environ.get("CANREACH_BIN") or os.path.join(ROOT, "build", "release", "bin")
LOCAL = os.path.join(ROOT, "deploy", "local")

SHOP = """
fleet: shop
namespace: shop.local
defaults: { check: http, port: 8080, path: /health, timeout: 1s }
services:
  web:      {}
  api:      {}
  payments: { record: SRV }
  cache:    { check: tcp, port: 6379 }
"""


with open(os.path.join(BIN, "canreach-agent"), "rb") as binary:
    IS_SANITIZED = b"__asan_init" in (code := binary.read()) or b"__tsan_init" in code


def program(name):
    return os.path.join(BIN, name)


def run(*command, env=None, timeout=60):
    return subprocess.run(command, text=True, capture_output=True, check=False, timeout=timeout,
                          env={**os.environ, **(env or {})})


class Fleet:
    """One local fleet with a state folder of its own."""

    def __init__(self, text=SHOP, *options):
        self.folder = tempfile.mkdtemp(prefix="crl-", dir="/tmp")
        os.chmod(self.folder, 0o755)  # the fleet's servers run as nobody
        self.env = {"CANREACH_LOCAL_DIR": os.path.join(self.folder, "s"), "CANREACH_BIN": BIN}
        self.path = os.path.join(self.folder, "fleet.yaml")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        result = self.local("up", self.path, *options)
        if result.returncode != 0:
            shutil.rmtree(self.folder)
            raise RuntimeError(f"local up: {result.stdout}{result.stderr}")
        self.url = result.stdout.split("\n", 1)[0].split("=", 1)[1]

    def local(self, *words):
        return run(LOCAL, *words, env=self.env, timeout=120)

    def down(self):
        logs = {name: self.log(name) for name in self.logs()}
        result = self.local("down")
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, text in logs.items():
            assert "Sanitizer" not in text and "runtime error:" not in text, f"{name}: {text}"
        return result

    def fault(self, *words):
        result = self.local("fault", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def heal(self, *words):
        result = self.local("heal", *words)
        assert result.returncode == 0, result.stderr

    def canreach(self, *words, timeout=60):
        return run(program("canreach"), *words, env={"CANREACH_URL": self.url}, timeout=timeout)

    def start_canreach(self, *words):
        return subprocess.Popen([program("canreach"), *words], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={**os.environ, "CANREACH_URL": self.url})

    def run(self, *words):
        """canreach run -o json: the exit status and the document."""
        result = self.canreach("run", "-o", "json", *words)
        return result.returncode, json.loads(result.stdout) if result.stdout else result.stderr

    def logs(self):
        folder = os.path.join(self.env["CANREACH_LOCAL_DIR"], "logs")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return [name.removesuffix(".log") for name in names if "agent" in name or "collector" in name]

    def log(self, name):
        path = os.path.join(self.env["CANREACH_LOCAL_DIR"], "logs", name + ".log")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_agents(self, count, state="live"):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            result = self.canreach("agents", "-o", "json")
            if result.returncode == 0:
                agents = json.loads(result.stdout)["agents"]
                if sum(agent["state"] == state for agent in agents) == count:
                    return agents
            time.sleep(0.05)
        raise AssertionError(f"not {count} {state} agents: {result.stdout}{result.stderr}")

    def sql(self, query):
        """Asks the store; the collector has to be down, since it holds the file exclusively."""
        path = os.path.join(self.env["CANREACH_LOCAL_DIR"], "store", "canreach.db")
        result = self.local("exec", "collector", "sqlite3", path, query)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


def states(document, *wanted):
    """{(source, target): state} of the cells; without `wanted`, those that are not ok."""
    return {(cell["source"], cell["target"]): cell["state"] for cell in document["cells"]
            if (cell["state"] in wanted if wanted else cell["state"] != "ok")}


def cell(document, source, target, check=None):
    return next(cell for cell in document["cells"] if cell["source"] == source and cell["target"] == target
                and check in (None, cell["check"]))


def first_tries(document):
    """The attempts of the sweep, without samples and what was tried again."""
    return [row for row in document["probes"] if row["round"] == 0 and row["via"] != "given"]


class FleetTest(unittest.TestCase):
    """A class with one fleet for all its tests; each test leaves it healed."""

    text = SHOP
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet(cls.text, *cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.fleet.down()

    def tearDown(self):
        self.fleet.heal()


class Hand:
    """An agent of our own in a task of a fleet, whose collector is the test (tests/standin.py)."""

    def __init__(self, fleet, task, *options, resolv_conf=None, env=None):
        self.fleet, self.task = fleet, task
        self.name = f"hand.{os.getpid()}.{id(self)}"  # every fleet on this machine has the same addresses
        self.folder = os.path.join(fleet.env["CANREACH_LOCAL_DIR"], "hosts", task)
        self.former = self.replace("resolv.conf", resolv_conf) if resolv_conf else None
        address = next(line.split()[2] for line in fleet.local("status").stdout.splitlines()
                       if line.startswith(task + " "))
        url = f"tcp://{address}:7799"
        enter = [LOCAL, "exec", task]
        with patched_environment(fleet.env):
            self.standin = Standin(program("standin"), url, enter)
            self.log = tempfile.TemporaryFile("w+")
            self.agent = subprocess.Popen(
                [*enter, "env", *(f"{key}={value}" for key, value in (env or {}).items()), program("canreach-agent"),
                 "--collector", url, "--service", "hand", "--task", self.name, "--log-level", "info", *options],
                stderr=self.log, text=True)
        self.standin.wait(lambda messages: any(message["type"] == "pull" for message in messages))

    def replace(self, name, text):
        """In place: the file is mounted over the task's own. The former text."""
        with open(os.path.join(self.folder, name), "r+", encoding="ascii") as file:
            former = file.read()
            file.seek(0)
            file.truncate()
            file.write(text)
        return former

    def run(self, targets, **options):
        return self.standin.run(targets, **options)

    def one(self, **target):
        """The rows of one target."""
        return self.run([target])

    def pid(self):
        """Of the agent itself: what was started is the command that entered the task."""
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", encoding="utf-8") as file:
                    words = file.read().split("\0")
            except OSError:
                continue
            if words[0].endswith("canreach-agent") and self.name in words:
                return int(entry)
        raise AssertionError("no agent")

    def close(self):
        """The agent's log."""
        os.kill(self.pid(), signal.SIGTERM)
        self.agent.wait(20)
        self.log.seek(0)
        log = self.log.read()
        self.log.close()
        self.standin.close()
        if self.former:
            self.replace("resolv.conf", self.former)
        assert "Sanitizer" not in log and "runtime error:" not in log, log
        return log


@contextlib.contextmanager
def patched_environment(env):
    former = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


def main():
    # One line a test, and what a failing one printed.
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]], verbosity=2)
