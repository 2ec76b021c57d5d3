"""engine: the agent's probe engine, measured against the plainest C loops (bench/limit.c) and beside
the tools that people use today; same peers, same run, alternating rounds, in a network namespace of
its own.

    engine.py BIN FIGURE...      lines: name, value, unit, ratio, goal, ok or short; tab-separated
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from standin import Standin, cpu_ns, wait_until  # noqa: E402

HERE, SILENT = "10.99.0.1", "10.99.0.2"
ROUNDS = 9
PROBES = 2000  # the agent's limit for one second
TASKS = 8  # endpoints of a target: a service of eight tasks
TLS_PROBES = 1000
AGENTS = f"tcp://{HERE}:7701"

NGINX = """daemon off; pid {folder}/pid; error_log {folder}/log crit; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 8080 backlog=4096; location / {{ return 200 "ok"; }} }}
  server {{ listen 8443 ssl backlog=4096; ssl_certificate {folder}/peer.pem;
            ssl_certificate_key {folder}/peer.key; ssl_session_cache off; ssl_protocols TLSv1.3;
            location / {{ return 200 "ok"; }} }}
}}
"""
UNBOUND = """server:
  interface: {here}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: ""
  so-rcvbuf: 4m
  local-zone: "test." static
  local-data: "peer.test. A {here}"
"""
EXPORTER = """modules:
  tcp: { prober: tcp, timeout: 2s }
  http: { prober: http, timeout: 2s }
"""
LINGER = """import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.create_connection((sys.argv[1], 8080)) as client:
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
"""
REQUESTS = """import sys, requests
for _ in range(int(sys.argv[2])):
    assert requests.get(sys.argv[1], timeout=2).status_code == 200
"""


def run(*command, **options):
    result = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command[:8])}: {result.stderr.strip()}")
    return result.stdout


def pinned(core, *command):
    """With one processor there is nothing to choose."""
    return ["taskset", "-c", str(core), *command] if os.cpu_count() > 1 else list(command)


class Bench:
    def __init__(self, folder, binaries):
        self.folder, self.binaries = folder, binaries
        self.processes = []
        self.last_start = 0
        self.tasks = [f"10.99.0.{10 + number}" for number in range(TASKS)]
        self.set_up_network()
        self.make_certificates()
        self.write("nginx.conf", NGINX.format(folder=folder, here=HERE))
        self.write("unbound.conf", UNBOUND.format(here=HERE))
        self.write("fetch.py", REQUESTS)
        self.write("linger.py", LINGER)
        self.write("exporter.yml", EXPORTER)
        self.start(pinned(0, "nginx", "-e", self.path("log"), "-c", self.path("nginx.conf")))
        self.start(pinned(0, "unbound", "-c", self.path("unbound.conf")))
        time.sleep(0.5)
        self.standin = Standin(self.program("standin"), AGENTS, pinned(0))
        self.agent = self.start_agent()

    def program(self, name):
        return os.path.join(self.binaries, name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def set_up_network(self):
        for command in ("link set lo up",
                        f"addr add {HERE}/24 dev lo", f"addr add {SILENT}/24 dev lo",
                        *(f"addr add {task}/24 dev lo" for task in self.tasks)):
            run("ip", *command.split())
        run("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65535", "net.core.somaxconn=4096",
            "net.ipv4.tcp_max_syn_backlog=4096")
        run("nft", "-f", "-", input="table ip silent {\n chain input {\n  type filter hook input priority 0\n"
                                    f"  ip daddr {SILENT} drop\n }}\n}}\n")

    def make_certificates(self):
        """A CA, and a leaf for peer.test (P-256, as most are today)."""
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
        run("openssl", "req", "-x509", *key, "-subj", "/CN=bench CA", "-keyout", self.path("ca.key"), "-out",
            self.path("ca.pem"))
        run("openssl", "req", "-x509", *key, "-subj", "/CN=peer.test", "-addext", "subjectAltName=DNS:peer.test",
            "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.path("ca.pem"), "-CAkey",
            self.path("ca.key"), "-keyout", self.path("peer.key"), "-out", self.path("peer.pem"))

    def start(self, command):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def start_agent(self):
        agent = self.start(pinned(1, self.program("canreach-agent"), "--collector", AGENTS, "--service", "bench",
                                  "--task", "bench.1", "--allow-net", "10.99.0.0/24", "--tls-ca",
                                  self.path("ca.pem"), "--log-level", "error"))
        self.standin.wait(lambda messages: any(message["type"] == "pull" for message in messages))
        return agent

    def close(self):
        self.standin.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    # ---- one figure each ----

    def sweep(self, targets):
        """A sweep of the agent's, after its limit of probes a second has recovered: the report."""
        time.sleep(max(0, self.last_start + 1.1 - time.monotonic()))
        self.last_start = time.monotonic()
        return self.standin.run(targets)

    def agent_ns(self, target, count=PROBES):
        before = cpu_ns(self.agent.pid)
        report = self.sweep([{"names": self.tasks, "timeout": 10000, **target}] * (count // TASKS))
        wrong = [row for row in report.probes if row["outcome"] != "ok"]
        if wrong or len(report.probes) != count:
            raise SystemExit(f"bench: {len(report.probes)} rows, {len(wrong)} failed, e.g. {wrong[:1]}")
        return (cpu_ns(self.agent.pid) - before) / count

    def limit_ns(self, *words):
        return float(run(*pinned(1, self.program("bench_limit"), *map(str, words))))

    def paired(self, ours, limit):
        """Medians of our ns and of limit / ours, over alternating rounds (the first warms up)."""
        rounds = []
        for _ in range(ROUNDS + 1):
            theirs = limit()
            mine = ours()
            rounds.append((mine, theirs / mine))
        return [statistics.median(column) for column in zip(*rounds[1:])]

    def rate_figure(self, name, goal, ours, limit):
        ns, ratio = self.paired(ours, limit)
        show(name, 1e9 / ns, "1/cpu-s", ratio, f">={goal:.2f}", ratio >= goal)
        return ns

    def tcp_probe_cpu(self):
        ns = self.rate_figure("tcp_probe_cpu", 0.80, lambda: self.agent_ns({"port": 8080}),
                              lambda: self.limit_ns("tcp", HERE, 8080, PROBES, 1000))
        self.tcp_peers(ns)

    def http_probe_cpu(self):
        ns = self.rate_figure("http_probe_cpu", 0.75, lambda: self.agent_ns({"check": "http", "port": 8080}),
                              lambda: self.limit_ns("http", HERE, 8080, PROBES, 1000))
        self.http_peers(ns)

    def tls_probe_cpu(self):
        self.rate_figure("tls_probe_cpu", 0.90,
                         lambda: self.agent_ns({"check": "tls", "port": 8443, "server": "peer.test"}, TLS_PROBES),
                         lambda: self.limit_ns("tls", HERE, 8443, TLS_PROBES, 256, self.path("ca.pem")))

    def dns_resolve_cpu(self):
        self.rate_figure("dns_resolve_cpu", 0.85, lambda: self.limit_ns("resolver", HERE, 100000, 100),
                         lambda: self.limit_ns("dns", HERE, 100000, 100))

    def blackhole_wall(self):
        walls = []
        for _ in range(ROUNDS):
            targets = [{"names": [SILENT if index % 10 == 0 else HERE], "port": 8080, "timeout": 1000}
                       for index in range(1000)]
            time.sleep(1.1)
            start = time.monotonic_ns() / 1000
            report = self.standin.run(targets)
            assert sum(row["outcome"] == "timeout" for row in report.probes) == 100, report.outcomes()[:5]
            walls.append((report.at_us - start) / 1e6)
        wall = statistics.median(walls)
        show("blackhole_wall", wall, "s", wall, "<=1.15", wall <= 1.15)

    def agent_rss_idle(self):
        limit = self.start([self.program("bench_limit"), "idle", AGENTS])
        agent = self.start_agent_plain()
        time.sleep(3)
        ours, theirs = rss_kib(agent.pid), rss_kib(limit.pid)
        show("agent_rss_idle", ours / 1024, "MiB", ours / theirs, "<=1.30", ours / theirs <= 1.30)
        for process in (agent, limit):
            process.terminate()

    def start_agent_plain(self):
        """As most are: without TLS files, nothing done yet."""
        return self.start([self.program("canreach-agent"), "--collector", AGENTS, "--service", "idle", "--task",
                           "idle.1", "--log-level", "error"])

    def agent_ticks_idle(self):
        agent = self.start_agent_plain()
        time.sleep(2)
        before = ticks(agent.pid)
        time.sleep(60)
        used = ticks(agent.pid) - before
        show("agent_ticks_idle", used, "ticks/60s", used, "<=1", used <= 1)
        agent.terminate()

    def watch_cpu(self):
        """CPU of an agent that watches its task, own checks included; and where the task has many sockets."""
        self.watch_for("watch_cpu", 10)
        sockets = 20000
        run("/usr/bin/python3", self.path("linger.py"), HERE, str(sockets))
        self.watch_for(f"watch_cpu_{sockets}_sockets", 10)

    def watch_for(self, name, seconds):
        agent = self.start_agent_plain()
        self.standin.wait(lambda messages: any(message["type"] == "hello" and message["service"] == "idle"
                                               for message in messages))
        time.sleep(1)
        before = cpu_ns(agent.pid)
        watch = self.standin.watch([{"names": [HERE], "port": 8080, "check": "http"}], seconds * 1000, [HERE])
        witness = self.standin.witness(watch, seconds + 10)
        share = (cpu_ns(agent.pid) - before) / (seconds * 1e9) * 100
        assert witness["looks"] > 2, witness
        show(name, share, "% of a core", share / 1, "<=1 %", share <= 1)
        agent.terminate()
        agent.wait()

    def agent_rss_busy(self):
        agent = self.start_agent_plain()
        self.standin.wait(lambda messages: any(message["type"] == "hello" and message["service"] == "idle"
                                               for message in messages))
        time.sleep(1)
        before = rss_kib(agent.pid)
        self.last_start = 0
        assignment = self.standin.assign([{"names": [SILENT], "port": 8080, "timeout": 3000}] * 1024)
        most = 0
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            most = max(most, rss_kib(agent.pid))
            time.sleep(0.05)
        report = self.standin.report(assignment)
        assert len(report.probes) == 1024
        growth = (most - before) / 1024
        show("agent_rss_busy", growth, "MiB", growth / 2, "<=2 MiB", growth <= 2)
        agent.terminate()

    # ---- the tools of today ----

    def peer(self, name, ours_ns, command, count, missing):
        """A tool that runs once and ends: CPU of it and its children, for each probe."""
        if not shutil.which(command[0]):
            print(f"bench: {name}: {command[0]} is not installed ({missing})", file=sys.stderr)
            return
        before = os.times()
        subprocess.run(pinned(1, *command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        after = os.times()
        ns = (after.children_user + after.children_system - before.children_user - before.children_system) * 1e9
        show_peer(name, ns / count, ours_ns)

    def exporter(self, name, ours_ns, module, target, count):
        if not shutil.which("prometheus-blackbox-exporter"):
            print(f"bench: {name}: prometheus-blackbox-exporter is not installed", file=sys.stderr)
            return
        server = self.start(pinned(1, "prometheus-blackbox-exporter", f"--config.file={self.path('exporter.yml')}",
                                   f"--web.listen-address={HERE}:9115", "--log.level=error"))
        url = f"http://{HERE}:9115/probe?module={module}&target={target}"
        wait_until(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", url], check=False).returncode == 0)
        before = cpu_ns(server.pid)
        self.write("urls", f'url = "{url}"\noutput = "/dev/null"\n' * count)
        run(*pinned(0, "curl", "-s", "-K", self.path("urls")))
        show_peer(name, (cpu_ns(server.pid) - before) / count, ours_ns)
        server.terminate()

    def tcp_peers(self, ns):
        self.peer("tcp_peer_nmap", ns, ["nmap", "-sT", "-Pn", "-n", "-T5", "--max-retries", "0", "-p", "8080",
                                        *more_addresses(500)], 500, "nmap")
        self.peer("tcp_peer_nc", ns, ["sh", "-c", f"for i in $(seq 300); do nc -z -w 2 {HERE} 8080; done"], 300,
                  "netcat-openbsd")
        self.exporter("tcp_peer_blackbox_exporter", ns, "tcp", f"{HERE}:8080", 1000)

    def http_peers(self, ns):
        url = f"http://{HERE}:8080/"
        self.peer("http_peer_curl_Z", ns, ["curl", "-s", "-Z", "--parallel-max", "300", "-H", "Connection: close",
                                           "-o", "/dev/null", f"{url}?[1-1000]"], 1000, "curl")
        self.peer("http_peer_python_requests", ns, ["/usr/bin/python3", self.path("fetch.py"), url, "500"], 500,
                  "python3-requests")
        self.exporter("http_peer_blackbox_exporter", ns, "http", url, 1000)


def more_addresses(count):
    """nmap leaves out what stands twice: the same host under as many addresses."""
    for index in range(count):
        address = f"10.99.{1 + index // 250}.{1 + index % 250}"
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)
        yield address


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def show(name, value, unit, ratio, goal, is_ok):
    print(f"{name}\t{value:.4g}\t{unit}\t{ratio:.3f}\t{goal}\t{'ok' if is_ok else 'short'}", flush=True)


def show_peer(name, ns, ours_ns):
    """Ahead: they need more CPU for a probe than the agent as a whole."""
    show(name, ns / 1000, "us/probe", ns / ours_ns, ">1", ns > ours_ns)


FIGURES = ("tcp_probe_cpu", "http_probe_cpu", "tls_probe_cpu", "dns_resolve_cpu", "blackhole_wall", "agent_rss_idle",
           "agent_ticks_idle", "agent_rss_busy", "watch_cpu")


def main():
    binaries, wanted = sys.argv[1], sys.argv[2:]
    if "CANREACH_BENCH_INSIDE" not in os.environ:
        enter = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        os.environ["CANREACH_BENCH_INSIDE"] = "1"
        os.execvp(enter[0], [*enter, sys.executable, "-B", *sys.argv])
    with tempfile.TemporaryDirectory(prefix="crb-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        bench = Bench(folder, binaries)
        try:
            for figure in wanted:
                getattr(bench, figure)()
        finally:
            bench.close()


if __name__ == "__main__":
    main()
