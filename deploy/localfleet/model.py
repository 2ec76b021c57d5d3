"""What a local fleet consists of: pure data, computed from the fleet file.

The address plan, as one VPC: 10.77.0.0/24 for what AWS provides (resolver, registry) and the
collector, 10.77.16.0/20 is zone a, 10.77.32.0/20 zone b.
"""

import ipaddress
from dataclasses import dataclass, field

VPC = "10.77.0.0/16"
ZONES = {"a": ipaddress.ip_network("10.77.16.0/20"), "b": ipaddress.ip_network("10.77.32.0/20")}
RESOLVERS = {"a": "resolver", "b": "resolver-b"}  # each zone has its own
PUBLIC = "public"  # a resolver that knows nothing of the fleet
CLOUD = "cloud"  # where the stand-in for AWS's APIs is
INFRA = ipaddress.ip_network("10.77.0.0/24")
FIRST_HOST = 10  # of the tasks in a zone
MANY_HOST = 3000  # and on: likewise
STALE_HOST = 4000  # of the addresses that no task ever has
STALE_HOSTS = 90  # and so many
RECORD_TTL = 10  # seconds; Cloud Map's console suggests 60 for A, 15 for SRV
AGENTS_PORT = 7700


class LocalError(Exception):
    """Something the user can mend; the text says how."""


@dataclass
class Host:
    """A network namespace behind one interface of the router."""

    name: str
    address: str
    network: ipaddress.IPv4Network
    interface: str  # on the router's side
    mac: str

    @property
    def gateway(self):
        return str(self.network[1])


@dataclass
class Task(Host):
    service: str = ""
    zone: str = ""


@dataclass
class Service:
    name: str
    names: list
    record: str
    has_agents: bool
    checks: list  # of dicts: name, check, port, path, status
    tasks: list = field(default_factory=list)

    @property
    def is_srv(self):
        return self.record == "SRV"


@dataclass
class Fleet:
    name: str
    services: dict
    infra: dict
    denied: set  # of (source, target, check name)

    @property
    def tasks(self):
        return {task.name: task for service in self.services.values() for task in service.tasks}

    @property
    def domains(self):
        """The zones that hold the discovery names: each name without its first label."""
        return sorted({parent(name) for service in self.services.values() for name in service.names})

    def hosts(self):
        return list(self.infra.values()) + list(self.tasks.values())

    def zone(self, word):
        """The tasks of a zone."""
        if word not in ZONES:
            raise LocalError(f"no zone '{word}' (zones: {', '.join(ZONES)})")
        return [task for task in self.tasks.values() if task.zone == word]

    def others(self, tasks):
        return [task for task in self.tasks.values() if task not in tasks]

    def one(self, word):
        tasks = self.find(word)
        if len(tasks) != 1:
            raise LocalError("TASK is one task")
        return tasks[0]

    def service(self, word):
        if word not in self.services:
            raise LocalError(f"no service '{word}' (services: {', '.join(self.services)})")
        return self.services[word]

    def resolver_of(self, host):
        """The address of the resolver that a host asks."""
        return self.infra[RESOLVERS[getattr(host, "zone", "") or "a"]].address

    def find(self, word):
        """The tasks that TASK or SERVICE names."""
        if word in self.tasks:
            return [self.tasks[word]]
        if word in self.services:
            return self.services[word].tasks
        raise LocalError(f"no task or service '{word}' (tasks: {', '.join(self.tasks)})")


def parent(name):
    return name.split(".", 1)[1] if "." in name else name


def mac_of(address):
    """Fixed, so that an address that is used again is reached at once."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def default_port(check):
    """For SRV records, whose fleet file names no port."""
    return {"https": 8443, "tls": 8443, "grpc": 50051, "udp": 9999, "redis": 6379, "postgres": 5432,
            "mysql": 3306}.get(check, 8080)


def build(document, tasks_per_service, has_cloud=False):
    """`document` is what `canreach fleet check -o json` prints. `has_cloud`: with a host for the cloud's APIs."""
    zones = list(ZONES)
    counters = dict.fromkeys(ZONES, FIRST_HOST)
    services = {}
    serial = 0
    for entry in document["services"]:
        checks = [dict(check, port=check["port"] or default_port(check["check"])) for check in entry["checks"]]
        service = Service(entry["name"], entry["names"], entry["record"], entry["agents"] == "expected", checks)
        for number in range(1, tasks_per_service + 1):
            zone = zones[(number - 1) % len(zones)]
            address = str(ZONES[zone][counters[zone]])
            counters[zone] += 1
            serial += 1
            service.tasks.append(
                Task(f"{service.name}.{number}", address, ZONES[zone], f"t{serial}", mac_of(address),
                     service.name, zone))
        services[service.name] = service
    infra = {
        name: Host(name, str(INFRA[host]), INFRA, f"i-{name}", mac_of(str(INFRA[host])))
        for name, host in (("resolver", 2), ("registry", 3), ("resolver-b", 4), (PUBLIC, 5), (CLOUD, 6), ("collector", 10))
        if has_cloud or name != CLOUD
    }
    denied = {(pair["source"], pair["target"], pair["check"])
              for pair in document["expect"]["pairs"] if pair["expected"] == "deny"}
    if document["expect"]["default"] == "deny":
        listed = {(pair["source"], pair["target"], pair["check"]) for pair in document["expect"]["pairs"]}
        denied |= {(source, target.name, check["name"])
                   for source in services for target in services.values() for check in target.checks
                   if (source, target.name, check["name"]) not in listed}
    return Fleet(document["fleet"], services, infra, denied)
