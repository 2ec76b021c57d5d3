"""What people read: each table, from recorded answers of the API, compared with a golden file.

UPDATE_GOLDEN=1 writes the files anew; look at the difference before you commit it.
"""

import fcntl
import http.server
import os
import pty
import socketserver
import struct
import subprocess
import tempfile
import termios
import threading
import unittest

from harness import HERE, main, program

GOLDEN = os.path.normpath(os.path.join(HERE, "..", "golden"))
ANSWERS = {
    "/api/v1/runs/last/matrix": "matrix.json",
    "/api/v1/runs/last/pairs/web/payments": "pair.json",
    "/api/v1/agents": "agents.json",
    "/api/v1/services": "services.json",
    "/api/v1/runs": "runs.json",
    "/api/v1/runs/7": "run.json",
    "/api/v1/gates/1": "gate.json",
    "/api/v1/runs/5/matrix": "matrix.json",
}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        name = ANSWERS.get(self.path.split("?")[0])
        self.send_response(200 if name else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if name:
            with open(os.path.join(GOLDEN, name), "rb") as file:
                self.wfile.write(file.read())

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"


class Golden(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "socket")
        cls.server = socketserver.ThreadingUnixStreamServer(path, Answers)
        cls.thread = threading.Thread(target=cls.server.serve_forever)
        cls.thread.start()
        cls.env = {**os.environ, "CANREACH_URL": f"unix://{path}", "TERM": "xterm"}
        cls.env.pop("NO_COLOR", None)

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.thread.join()
        cls.server.server_close()
        cls.folder.cleanup()

    def compare(self, name, text):
        path = os.path.join(GOLDEN, name)
        if os.environ.get("UPDATE_GOLDEN"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text, file.read())

    def piped(self, name, status, *words):
        result = subprocess.run([program("canreach"), *words], text=True, capture_output=True, check=False,
                                env=self.env, timeout=20)
        self.assertEqual((result.returncode, result.stderr), (status, ""))
        self.compare(name, result.stdout)

    def on_terminal(self, name, columns, *words, **env):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
        process = subprocess.Popen([program("canreach"), *words], stdin=theirs, stdout=theirs, stderr=theirs,
                                   env={**self.env, **env})
        os.close(theirs)
        text = b""
        try:
            while data := os.read(ours, 65536):
                text += data
        except OSError:  # the other side is closed
            pass
        process.wait(20)
        os.close(ours)
        self.compare(name, text.decode().replace("\r\n", "\n"))

    def test_piped(self):
        self.piped("matrix.txt", 1, "matrix")
        self.piped("why.txt", 1, "why", "web", "payments")
        self.piped("why.md", 1, "why", "web", "payments", "-o", "markdown")
        self.piped("agents.txt", 0, "agents")
        self.piped("services.txt", 0, "services")
        self.piped("runs.txt", 0, "runs")
        self.piped("run.txt", 0, "runs", "7")
        self.piped("gate.txt", 1, "gate", "--attach", "1")
        self.piped("gate.md", 1, "gate", "--attach", "1", "-o", "markdown")
        self.piped("gate.github.txt", 1, "gate", "--attach", "1", "-o", "github")
        self.piped("matrix.csv", 1, "matrix", "-o", "csv")
        self.piped("matrix.junit.xml", 1, "matrix", "-o", "junit")

    def test_on_a_terminal(self):
        self.on_terminal("matrix.terminal.txt", 80, "matrix")
        self.on_terminal("matrix.narrow.txt", 40, "matrix", NO_COLOR="1")
        self.on_terminal("why.narrow.txt", 60, "why", "web", "payments", NO_COLOR="1")


if __name__ == "__main__":
    main()
