"""Real servers behind the names: what a task of each check runs."""

import glob
import os
import shutil

from . import shell
from .authority import Authority
from .model import LocalError

HERE = os.path.dirname(os.path.realpath(__file__))

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
    listen {bind}:{port}{tls}
{pages}
{statuses}
    location = /slow {{ alias {folder}/slow; limit_rate 100; }}
    location = /large {{ alias {folder}/large; }}
    location / {{ return 404 "no such page\\n"; }}
  }}"""

NGINX_TLS = """ ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;{client}"""

OWN_PATHS = ("/slow", "/large", *(f"/status/{status}" for status in (301, 401, 403, 404, 500, 502, 503)))
STATUSES = (301, 401, 403, 404, 500, 502, 503)  # each at /status/N
SLOW_BYTES, LARGE_BYTES = 20000, 1 << 20  # the bodies of /slow (100 bytes a second) and /large

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
  bind {bind}:{port}
  http-request return status 200 content-type text/plain string "ok {task}" if {{ path {path} }}
  http-request return status 404 content-type text/plain string "no such page"
"""

TARPIT_SERVER = """frontend f{port}
  bind {bind}:{port}
  timeout tarpit {delay}s
  http-request tarpit deny_status 200
"""

MARIADB_USER, MARIADB_PASSWORD = "app", "secret"

BY_CHECK = {"http": "nginx", "https": "nginx", "tls": "nginx", "grpc": "grpc", "udp": "echo", "redis": "redis",
            "postgres": "postgres", "mysql": "mariadb"}
BY_PORT = {6379: "redis", 5432: "postgres", 3306: "mariadb"}
KINDS = ("nginx", "haproxy", "redis", "postgres", "mariadb", "grpc", "echo")


def kind_of(check, chosen):
    if chosen:
        return chosen
    if check["check"] == "tcp":
        return BY_PORT.get(check["port"], "haproxy")
    if check["check"] in BY_CHECK:
        return BY_CHECK[check["check"]]
    raise LocalError(f"no local server for a '{check['check']}' check (there are: tcp, {', '.join(BY_CHECK)})")


def by_port(checks):
    """One for each port: the first that names it says what speaks there."""
    ports = {}
    for check in checks:
        ports.setdefault(check["port"], check)
    return ports.values()


def is_tls(check):
    return check["check"] in ("tls", "https") or check.get("tls", False)


class Servers:
    """Writes each task's server configuration and says how to start it."""

    def __init__(self, fleet, state, chosen):
        self.state, self.fleet = state, fleet
        self.authority = Authority(os.path.join(state, "tls"))
        self.wants_client = set()  # services whose servers ask for a client certificate
        self.binds, self.ports = {}, {}  # task -> another address, or port, than its own (nginx, haproxy)
        self.statuses, self.delays, self.dependencies = {}, {}, {}  # task -> of its health path (nginx)
        self.swapped = {}  # tasks that speak TLS where plain text is expected, or plain text for TLS
        self.kinds = {}  # service -> {kind: [checks]}
        for service in fleet.services.values():
            groups = self.kinds.setdefault(service.name, {})
            for check in by_port(service.checks):
                groups.setdefault(kind_of(check, chosen.get(service.name)), []).append(check)

    def prepare(self):
        """What several tasks share: a CA, empty database clusters, made once."""
        self.authority.prepare()
        used = {kind for groups in self.kinds.values() for kind in groups}
        if "postgres" in used:
            self.make_postgres_template()
        if "mariadb" in used:
            self.make_mariadb_template()

    def bind(self, task):
        return self.binds.get(task.name, "0.0.0.0")

    def port(self, task, check):
        return self.ports.get(task.name, check["port"])

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
        return [getattr(self, "tarpit" if kind == "nginx" and task.name in self.delays else kind)(task, checks)
                for kind, checks in self.kinds[task.service].items()]

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

    def tls_of(self, task, names):
        """nginx's words for a server with the service's certificate."""
        certificate, key = self.authority.leaf(task.service, names)
        client = (f"\n    ssl_client_certificate {self.authority.certificate}; ssl_verify_client on;"
                  if task.service in self.wants_client else "")
        return NGINX_TLS.format(certificate=certificate, key=key, client=client)

    def pages(self, task, port):
        """The paths that checks of this port ask for."""
        paths = {check["path"] for check in self.fleet.services[task.service].checks if check["port"] == port}
        return "\n".join(f'    location = {path} {{ {self.health(task)} }}' for path in sorted(paths - set(OWN_PATHS)))

    def health(self, task):
        """What nginx does at the health path."""
        if task.name in self.dependencies:
            return (f"proxy_connect_timeout 400ms; proxy_read_timeout 400ms; "
                    f"proxy_pass {self.dependencies[task.name]};")
        return f'return {self.statuses.get(task.name, 200)} "ok {task.name}\\n";'

    def speaks_tls(self, task, check):
        return is_tls(check) != (task.name in self.swapped)

    def tarpit(self, task, checks):
        """HAProxy keeps each request for a while, and answers then."""
        folder = self.folder(task, "tarpit")
        servers = "\n".join(TARPIT_SERVER.format(bind=self.bind(task), port=self.port(task, check), task=task.name,
                                                 delay=self.delays[task.name]) for check in checks)
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(HAPROXY.format(servers=servers))
        return [shell.need("haproxy", "haproxy"), "-db", "-f", path]

    def nginx(self, task, checks):
        folder = self.folder(task, "nginx")
        for name, size in (("slow", SLOW_BYTES), ("large", LARGE_BYTES)):
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(("x" * 99 + "\n") * (size // 100) + "the end\n")
        statuses = "\n".join(f'    location = /status/{status} {{ return {status} "status {status}\\n"; }}'
                             for status in STATUSES if status != 301)
        statuses += "\n    location = /status/301 { return 301 /elsewhere; }"
        servers = "\n".join(NGINX_SERVER.format(
            bind=self.bind(task), port=self.port(task, check), pages=self.pages(task, check["port"]), folder=folder, statuses=statuses,
            tls=(self.tls_of(task, self.fleet.services[task.service].names) if self.speaks_tls(task, check)
                 else ";"))
            for check in checks)
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(NGINX.format(folder=folder, servers=servers))
        return [shell.need("nginx", "nginx-light"), "-e", f"{folder}/nginx.log", "-p", folder, "-c", path]

    def grpc(self, task, checks):
        """gRPC's own server with the standard health service."""
        tls = []
        if is_tls(checks[0]):
            tls = list(self.authority.leaf(task.service, self.fleet.services[task.service].names))
        return [shell.SYSTEM_PYTHON, os.path.join(HERE, "health.py"), str(checks[0]["port"]), *tls]

    def echo(self, task, checks):
        del task
        return [shell.SYSTEM_PYTHON, os.path.join(HERE, "echo.py"), str(checks[0]["port"])]

    def haproxy(self, task, checks):
        folder = self.folder(task, "haproxy")
        servers = "\n".join(HAPROXY_SERVER.format(bind=self.bind(task), port=self.port(task, check), path=check["path"], task=task.name)
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

    def users(self):
        """A user that may come from anywhere: without one MariaDB turns every host away."""
        path = os.path.join(self.template("mariadb"), "users.sql")
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write(f"CREATE USER IF NOT EXISTS '{MARIADB_USER}'@'%' IDENTIFIED BY '{MARIADB_PASSWORD}';\n")
        return path

    def mariadb(self, task, checks):
        folder = self.copy_template(task, "mariadb")
        return [shell.need("mariadbd", "mariadb-server"), "--no-defaults", f"--datadir={folder}",
                f"--port={checks[0]['port']}", "--bind-address=0.0.0.0", f"--init-file={self.users()}", f"--socket={folder}/socket",
                "--innodb-buffer-pool-size=8M", f"--pid-file={folder}/pid"]


def postgres_program(name):
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    if not places:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return shutil.which(name, path=places[0])
