"""The registry (PowerDNS with an SQLite back end: records changed live, as Cloud Map would) and the
caching resolver in front of it (Unbound), as a VPC has them."""

import os
import socket
import sqlite3
import struct

from . import shell
from .model import RECORD_TTL, VPC, parent

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
        self.cache = os.path.join(state, "resolver")
        self.database = os.path.join(self.folder, "registry.db")

    def prepare(self):
        """Writes the configuration files and the first records."""
        for folder in (self.folder, self.cache):
            os.makedirs(folder, exist_ok=True)
            shell.give_to_nobody(folder)
        with open(os.path.join(self.folder, "pdns.conf"), "w", encoding="ascii") as file:
            file.write(PDNS.format(folder=self.folder, address=self.fleet.infra["registry"].address))
        zones = "\n".join(f'  local-zone: "{domain}." transparent' for domain in self.fleet.domains)
        stubs = "\n".join(f'stub-zone:\n  name: "{domain}"\n  stub-addr: '
                          f'{self.fleet.infra["registry"].address}' for domain in self.fleet.domains)
        with open(os.path.join(self.cache, "unbound.conf"), "w", encoding="ascii") as file:
            file.write(UNBOUND.format(folder=self.cache, vpc=VPC, zones=zones, stubs=stubs,
                                      address=self.fleet.infra["resolver"].address))
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

    def commands(self):
        """(host, command, privileged) of the two servers. The resolver may have a receive buffer that
        takes what a hundred agents ask at once; in a VPC each of them has one of its own."""
        pdns = shell.need("pdns_server", "pdns-server pdns-backend-sqlite3")
        unbound = shell.need("unbound", "unbound")
        return [("registry", [pdns, f"--config-dir={self.folder}"], False),
                ("resolver", [unbound, "-c", os.path.join(self.cache, "unbound.conf")], True)]

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
        """Whether the resolver answers for every name: the first question to it is slow."""
        resolver = self.fleet.infra["resolver"].address
        names = {(name, 33 if service.is_srv else 1) for service in self.fleet.services.values()
                 for name in service.names}
        return all((ask(resolver, name, kind) or 0) > 0 for name, kind in names)

    def responds(self):
        """Whether the resolver answers at all, through to the registry."""
        return ask(self.fleet.infra["resolver"].address, self.fleet.domains[0], 6) is not None

    def control(self, *words):
        """unbound-control."""
        shell.run([shell.need("unbound-control", "unbound"), "-c", os.path.join(self.cache, "unbound.conf"), *words])

    def flush(self, rows):
        for name in {row[0] for row in rows}:
            self.control("flush", name)


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
