"""receiver: where alerts go: an HTTP server and an SMTP server that write down what they get.

  receiver.py FOLDER ADDRESS      HTTP on port 9000 (and 9001), SMTP on port 2525

Each request is a line in FOLDER/received: {"kind", "path", "headers", "body"}. FOLDER/answers says what
a path is answered with, each once: {"/hook": [500, 500, [302, "http://..."]]}; else 200, Jira's way.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller

FOLDER, ADDRESS = sys.argv[1], sys.argv[2]
LOCK = threading.Lock()


def note(**what):
    with LOCK, open(os.path.join(FOLDER, "received"), "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def answer_for(path):
    name = os.path.join(FOLDER, "answers")
    with LOCK:
        if not os.path.exists(name):
            return 200
        with open(name, encoding="utf-8") as file:
            answers = json.load(file)
        result = answers.get(path, [])[:1]
        answers[path] = answers.get(path, [])[1:]
        with open(name, "w", encoding="utf-8") as file:
            json.dump(answers, file)
    return result[0] if result else 200


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        answer = answer_for(self.path)
        status, place = answer if isinstance(answer, list) else (answer, None)
        note(kind="http", port=self.server.server_address[1], path=self.path, status=status,
             headers={name.lower(): value for name, value in self.headers.items()}, body=body)
        text = b'{"key": "OPS-1"}' if self.path.endswith("/issue") else b"{}"
        self.send_response(status)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Mail:
    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        note(kind="mail", sender=envelope.mail_from, recipients=envelope.rcpt_tos,
             body=envelope.original_content.decode())
        return "250 taken"


def main():
    for port in (9000, 9001):
        server = ThreadingHTTPServer((ADDRESS, port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    Controller(Mail(), hostname=ADDRESS, port=2525).start()
    open(os.path.join(FOLDER, "ready"), "w", encoding="ascii").close()
    threading.Event().wait()


main()
