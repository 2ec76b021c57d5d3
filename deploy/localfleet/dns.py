"""The registry (PowerDNS with an SQLite back end: records changed live, as Cloud Map would) and the
caching resolvers in front of it (Unbound), one a zone, as a VPC has them; and one that knows nothing
of the fleet, as one of the internet."""

import os
import socket
import sqlite3
import struct

from . import shell
from .model import PUBLIC, RECORD_TTL, RESOLVERS, VPC, parent

SCHEMA = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
NEGATIVE_TTL = 300  # a private hosted zone's SOA minimum

PDNS = """launch=gsqlite3
gsqlite3-database={folder}/registry.db
gsqlite3-pragma-synchronous=0
local-address={address}
local-port=53
socket-dir={folder}
daemon=no
guardian=no
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
security-poll-suffix=
receiver-threads=1
distributor-threads=1
loglevel=3
"""

UNBOUND = """server:
  interface: {address}
  access-control: {vpc} allow
  do-daemonize: no
  do-ip6: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  so-rcvbuf: 4m
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "." static
{zones}
remote-control:
  control-enable: yes
  control-interface: {folder}/control
  control-use-cert: no
{stubs}"""


class Registry:
    """The records of every service, and how to change them."""

    def __init__(self, fleet, state):
        self.fleet = fleet
        self.folder = os.path.join(state, "registry")
        self.caches = {name: os.path.join(state, name) for name in (*RESOLVERS.values(), PUBLIC)}
        self.database = os.path.join(self.folder, "registry.db")

    def prepare(self):
        """Writes the configuration files and the first records."""
        for folder in (self.folder, *self.caches.values()):
            os.makedirs(folder, exist_ok=True)
            shell.give_to_nobody(folder)
        with open(os.path.join(self.folder, "pdns.conf"), "w", encoding="ascii") as file:
            file.write(PDNS.format(folder=self.folder, address=self.fleet.infra["registry"].address))
        for name, cache in self.caches.items():
            self.write_resolver(name, cache)
        with sqlite3.connect(self.database) as database, open(SCHEMA, encoding="utf-8") as schema:
            database.executescript(schema.read())
            for domain in self.fleet.domains:
                database.execute("INSERT INTO domains (name, type) VALUES (?, 'NATIVE')", (domain,))
        shell.give_to_nobody(self.database)
        rows = []
        for domain in self.fleet.domains:
            soa = f"ns.{domain} hostmaster.{domain} 1 7200 900 1209600 {NEGATIVE_TTL}"
            rows += [(domain, "SOA", soa, 900), (domain, "NS", f"ns.{domain}", 900),
                     (f"ns.{domain}", "A", self.fleet.infra["registry"].address, 900)]
        for service in self.fleet.services.values():
            for task in service.tasks:
                rows += self.records(service, task.name, task.address)
        self.change(rows, [])

    def write_resolver(self, name, folder):
        domains = [] if name == PUBLIC else self.fleet.domains
        zones = "\n".join(f'  local-zone: "{domain}." transparent' for domain in domains)
        stubs = "\n".join(f'stub-zone:\n  name: "{domain}"\n  stub-addr: '
                          f'{self.fleet.infra["registry"].address}' for domain in domains)
        with open(os.path.join(folder, "unbound.conf"), "w", encoding="ascii") as file:
            file.write(UNBOUND.format(folder=folder, vpc=VPC, zones=zones, stubs=stubs,
                                      address=self.fleet.infra[name].address))

    def commands(self):
        """(host, command, privileged) of the servers. A resolver may have a receive buffer that
        takes what a hundred agents ask at once; in a VPC each of them has one of its own."""
        pdns = shell.need("pdns_server", "pdns-server pdns-backend-sqlite3")
        unbound = shell.need("unbound", "unbound")
        return [("registry", [pdns, f"--config-dir={self.folder}"], False),
                *((name, [unbound, "-c", os.path.join(folder, "unbound.conf")], True)
                  for name, folder in self.caches.items())]

    def records(self, service, instance, address):
        """The rows of one task: A, or SRV with the A of its target (as Cloud Map names it)."""
        rows = []
        for name in service.names:
            if not service.is_srv:
                rows.append((name, "A", address, RECORD_TTL))
                continue
            host = f"{instance.replace('.', '-')}.{name}"
            for check in service.checks:
                rows.append((name, "SRV", f"1 {check['port']} {host}", RECORD_TTL))
            rows.append((host, "A", address, RECORD_TTL))
        return rows

    def rows(self):
        """Every record: (name, type, content, ttl)."""
        with sqlite3.connect(self.database, timeout=10) as database:
            return list(database.execute("SELECT name, type, content, ttl FROM records ORDER BY id"))

    def change(self, add, remove):
        """Changes the registry, and has the resolver forget the names: visible at once."""
        with sqlite3.connect(self.database, timeout=10) as database:
            domains = dict(database.execute("SELECT name, id FROM domains"))
            for name, kind, content, _ in remove:
                database.execute("DELETE FROM records WHERE name=? AND type=? AND content=?",
                                 (name, kind, content))
            for name, kind, content, ttl in add:
                domain = name
                while domain not in domains:
                    domain = parent(domain)
                database.execute(
                    "INSERT INTO records (domain_id, name, type, content, ttl, prio, auth) "
                    "VALUES (?, ?, ?, ?, ?, ?, 1)",
                    (domains[domain], name, kind, content, ttl, 1 if kind == "SRV" else 0))

    def answers(self):
        """Whether every resolver answers for every name: the first question to it is slow."""
        names = {(name, 33 if service.is_srv else 1) for service in self.fleet.services.values()
                 for name in service.names}
        return all((ask(self.fleet.infra[resolver].address, name, kind) or 0) > 0
                   for resolver in RESOLVERS.values() for name, kind in names)

    def responds(self):
        """Whether the resolvers answer at all, through to the registry."""
        return all(ask(self.fleet.infra[resolver].address, self.fleet.domains[0], 6) is not None
                   for resolver in RESOLVERS.values())

    def control(self, *words, resolvers=tuple(RESOLVERS.values())):
        """unbound-control."""
        program = shell.need("unbound-control", "unbound")
        for resolver in resolvers:
            shell.run([program, "-c", os.path.join(self.caches[resolver], "unbound.conf"), *words])

    def flush(self, rows, resolvers=tuple(RESOLVERS.values())):
        for name in {row[0] for row in rows}:
            self.control("flush", name, resolvers=resolvers)


def ask(server, name, kind):
    """One query over UDP (RFC 1035 section 4). The number of records, -1 for an error; None: no answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        try:
            client.connect((server, 53))
            client.send(query)
            answer = client.recv(4096)
        except OSError:
            return None
    if len(answer) < 12 or answer[3] & 15 != 0:
        return -1
    return struct.unpack("!H", answer[6:8])[0]
