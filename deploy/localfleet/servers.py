"""Real servers behind the names: what a task of each check runs."""

import glob
import os
import shutil

from . import shell
from .model import LocalError

NGINX = """daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  default_type text/plain;
{servers}
}}
"""

NGINX_SERVER = """  server {{
    listen 0.0.0.0:{port};
    location = {path} {{ return 200 "ok {task}\\n"; }}
    location / {{ return 404 "no such page\\n"; }}
  }}"""

HAPROXY = """global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
{servers}
"""

HAPROXY_SERVER = """frontend f{port}
  bind 0.0.0.0:{port}
  http-request return status 200 content-type text/plain string "ok {task}" if {{ path {path} }}
  http-request return status 404 content-type text/plain string "no such page"
"""

BY_CHECK = {"http": "nginx", "redis": "redis", "postgres": "postgres", "mysql": "mariadb"}
BY_PORT = {6379: "redis", 5432: "postgres", 3306: "mariadb"}
KINDS = ("nginx", "haproxy", "redis", "postgres", "mariadb")


def kind_of(check, chosen):
    if chosen:
        return chosen
    if check["check"] == "tcp":
        return BY_PORT.get(check["port"], "haproxy")
    if check["check"] in BY_CHECK:
        return BY_CHECK[check["check"]]
    raise LocalError(f"no local server for a '{check['check']}' check yet "
                     f"(there are: tcp, {', '.join(BY_CHECK)})")


class Servers:
    """Writes each task's server configuration and says how to start it."""

    def __init__(self, fleet, state, chosen):
        self.state = state
        self.kinds = {}  # service -> {kind: [checks]}
        for service in fleet.services.values():
            groups = self.kinds.setdefault(service.name, {})
            for check in service.checks:
                groups.setdefault(kind_of(check, chosen.get(service.name)), []).append(check)

    def prepare(self):
        """What several tasks share: empty database clusters, made once."""
        used = {kind for groups in self.kinds.values() for kind in groups}
        if "postgres" in used:
            self.make_postgres_template()
        if "mariadb" in used:
            self.make_mariadb_template()

    def template(self, kind):
        return os.path.join(self.state, f"template-{kind}")

    def make_postgres_template(self):
        folder = self.template("postgres")
        os.makedirs(folder, mode=0o700)
        shell.give_to_nobody(folder)
        shell.run([*shell.as_nobody(), postgres_program("initdb"), "-D", folder, "-A", "trust", "-U", "postgres",
                   "--no-sync", "--no-instructions", "--locale=C", "-E", "UTF8"])

    def make_mariadb_template(self):
        folder = self.template("mariadb")
        os.makedirs(folder)
        shell.give_to_nobody(folder)
        shell.run([*shell.as_nobody(), shell.need("mariadb-install-db", "mariadb-server"), "--no-defaults",
                   f"--datadir={folder}", "--auth-root-authentication-method=normal", "--skip-test-db"])

    def commands(self, task):
        """The command of each server that the task runs."""
        return [getattr(self, kind)(task, checks) for kind, checks in self.kinds[task.service].items()]

    def folder(self, task, kind):
        path = os.path.join(self.state, "tasks", task.name, kind)
        os.makedirs(path, exist_ok=True)
        shell.give_to_nobody(path)
        return path

    def copy_template(self, task, kind):
        path = os.path.join(self.state, "tasks", task.name, kind)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shell.run(["cp", "-a", self.template(kind), path])
        return path

    def nginx(self, task, checks):
        folder = self.folder(task, "nginx")
        servers = "\n".join(NGINX_SERVER.format(port=check["port"], path=check["path"], task=task.name)
                            for check in checks)
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(NGINX.format(folder=folder, servers=servers))
        return [shell.need("nginx", "nginx-light"), "-e", f"{folder}/nginx.log", "-p", folder, "-c", path]

    def haproxy(self, task, checks):
        folder = self.folder(task, "haproxy")
        servers = "\n".join(HAPROXY_SERVER.format(port=check["port"], path=check["path"], task=task.name)
                            for check in checks)
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(HAPROXY.format(servers=servers))
        return [shell.need("haproxy", "haproxy"), "-db", "-f", path]

    def redis(self, task, checks):
        return [shell.need("redis-server", "redis-server"), "--port", str(checks[0]["port"]), "--bind", "0.0.0.0",
                "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", self.folder(task, "redis"),
                "--loglevel", "warning"]

    def postgres(self, task, checks):
        folder = self.copy_template(task, "postgres")
        return [postgres_program("postgres"), "-D", folder, "-p", str(checks[0]["port"]), "-h", "0.0.0.0",
                "-k", folder, "-F", "-c", "shared_buffers=1MB", "-c", "max_connections=20"]

    def mariadb(self, task, checks):
        folder = self.copy_template(task, "mariadb")
        return [shell.need("mariadbd", "mariadb-server"), "--no-defaults", f"--datadir={folder}",
                f"--port={checks[0]['port']}", "--bind-address=0.0.0.0", f"--socket={folder}/socket",
                "--skip-name-resolve", "--innodb-buffer-pool-size=8M", f"--pid-file={folder}/pid"]


def postgres_program(name):
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    if not places:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return shutil.which(name, path=places[0])
