"""The local fleet itself: it leaves nothing behind, however it ends, and needs no root."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from harness import BIN, LOCAL, ROOT, Fleet, SHOP, main, run


def processes_with(word):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word.encode() in file.read() and int(pid) != os.getpid():
                    found.append(pid)
        except OSError:
            pass
    return found


def wait_until_gone(word):
    deadline = time.monotonic() + 10
    while processes_with(word) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_with(word)


class Traces(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet()
        self.state = self.fleet.env["CANREACH_LOCAL_DIR"]
        self.addCleanup(self.fleet.down)

    def test_down_leaves_nothing(self):
        links = run("ip", "-o", "link").stdout
        self.assertTrue(processes_with(self.state))
        self.assertEqual(self.fleet.local("down").returncode, 0)
        self.assertEqual(wait_until_gone(self.state), [])
        self.assertFalse(os.path.exists(self.state))
        self.assertEqual(run("ip", "-o", "link").stdout.count("veth"), links.count("veth"))
        self.assertNotIn(self.state, run("cat", "/proc/self/mountinfo").stdout)

    def test_kill_9_leaves_no_process_and_the_next_start_cleans_up(self):
        with open(os.path.join(self.state, "holder"), encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
        self.assertEqual(wait_until_gone(self.state), [])
        self.assertIn("no local fleet is up", self.fleet.local("status").stderr)
        self.assertEqual(self.fleet.local("up", self.fleet.path).returncode, 0)
        self.assertEqual(self.fleet.canreach("run").returncode, 0)

    def test_up_twice_is_refused(self):
        result = self.fleet.local("up", self.fleet.path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("up already", result.stderr)

    def test_exec_sees_what_the_task_sees(self):
        result = self.fleet.local("exec", "web.1", "getent", "hosts", "api.shop.local")
        self.assertRegex(result.stdout, r"10\.77\.(16|32)\.\d+ +api\.shop\.local")
        self.assertIn("10.77.16.10/20", self.fleet.local("exec", "web.1", "ip", "-4", "addr").stdout)
        self.assertIn("no task 'web.9'", self.fleet.local("exec", "web.9", "true").stderr)

    def test_wrong_faults_are_explained(self):
        for words, text in ((["melt"], "faults are:"), (["drop", "web"], "usage: fault drop FROM TO"),
                            (["stop", "nobody"], "no task or service 'nobody'")):
            result = self.fleet.local("fault", *words)
            self.assertEqual(result.returncode, 2)
            self.assertIn(text, result.stderr)
        self.assertIn("no fault 77", self.fleet.local("heal", "77").stderr)
        self.assertIn("without AWS's stand-in there are no deployments", self.fleet.local("deploy", "web").stderr)


class Errors(unittest.TestCase):
    def test_a_wrong_fleet_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "f")
            with open(path, "w", encoding="ascii") as file:
                file.write("servces: {}\n")
            result = run(LOCAL, "up", path, env={"CANREACH_LOCAL_DIR": os.path.join(folder, "s"), "CANREACH_BIN": BIN})
        self.assertEqual(result.returncode, 2)
        self.assertIn("did you mean 'services'?", result.stderr)


@unittest.skipUnless(os.getuid() == 0, "runs as root, to become somebody else")
class Rootless(unittest.TestCase):
    """Everything once more as an ordinary user, in a user namespace of its own."""

    def setUp(self):
        # The checkout may not be readable for others: a copy is.
        self.folder = tempfile.mkdtemp(prefix="crl-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(os.path.join(ROOT, "deploy"), os.path.join(self.folder, "deploy"))
        shutil.copytree(BIN, os.path.join(self.folder, "bin"))
        with open(os.path.join(self.folder, "fleet.yaml"), "w", encoding="utf-8") as file:
            file.write(SHOP + "  db: { check: tcp, port: 5432 }\n")
        subprocess.run(["chown", "-R", "65534:65534", self.folder], check=True)

    def as_nobody(self, *command):
        env = {"CANREACH_LOCAL_DIR": f"{self.folder}/s", "CANREACH_BIN": f"{self.folder}/bin", "HOME": self.folder,
               "CANREACH_URL": f"unix://{self.folder}/s/api/collector.sock"}
        return run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command, env=env)

    def test_a_healthy_fleet_and_a_fault(self):
        local = f"{self.folder}/deploy/local"
        result = self.as_nobody(local, "up", f"{self.folder}/fleet.yaml")
        self.assertEqual(result.returncode, 0, result.stderr)
        try:
            result = self.as_nobody(f"{self.folder}/bin/canreach", "run")
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(self.as_nobody(local, "fault", "drop", "web", "db").returncode, 0)
            result = self.as_nobody(f"{self.folder}/bin/canreach", "run")
            self.assertEqual(result.returncode, 1)
            self.assertIn("what web sends to db on port 5432 never arrives", result.stdout)
            self.assertIn("10.77.", self.as_nobody(local, "exec", "web.1", "getent", "hosts", "db.shop.local").stdout)
        finally:
            self.as_nobody(local, "down")
        self.assertEqual(wait_until_gone(self.folder), [])


if __name__ == "__main__":
    main()
