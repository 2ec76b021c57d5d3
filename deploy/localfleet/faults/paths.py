"""Faults of the network: filters, firewalls, routes."""

from .. import network, shell
from ..cloud.estate import EPHEMERAL
from ..model import LocalError, ZONES
from .base import Early, Fault


class Drop(Fault):
    kind = "drop"
    arguments = "FROM TO"
    summary = "a security group without the rule: packets from FROM to TO vanish (tasks or services)"
    verdict = "drop"

    def prepare(self):
        self.sources = self.lab.fleet.find(self.words[0])
        self.targets = self.lab.fleet.find(self.words[1])

    def plant(self):
        self.lab.rules.append((self.number, self.verdict, self.sources, self.targets))
        self.lab.apply_filters()

    def cloud(self, estate):
        estate.drop(self.sources, self.targets)

    def heal(self):
        self.lab.rules = [rule for rule in self.lab.rules if rule[0] != self.number]
        self.lab.apply_filters()


class Allow(Drop):
    kind = "allow"
    summary = "a security group with a rule too many: FROM reaches TO, whatever is expected"
    verdict = "accept"

    def cloud(self, estate):
        estate.open(self.sources, self.targets)


class Lost(Early):
    kind = "lost"
    arguments = "FROM TO"
    summary = "the way back is closed (a NACL without the ephemeral ports): what TO answers to FROM vanishes"

    def sources(self):
        return self.lab.fleet.find(self.words[1])

    def rule(self):
        sources = self.lab.fleet.find(self.words[0])
        return f"oifname {network.interfaces(sources)} ct direction reply drop"


class Refuse(Early):
    kind = "refuse"
    arguments = "FROM TO"
    summary = "a firewall in between that answers a connection attempt with a RST"

    def rule(self):
        targets = self.lab.fleet.find(self.words[1])
        return f"oifname {network.interfaces(targets)} ct state new meta l4proto tcp reject with tcp reset"


class Reset(Early):
    kind = "reset"
    arguments = "FROM TO"
    summary = "a firewall in between lets connections be made, and resets them with the first data"

    def rule(self):
        targets = self.lab.fleet.find(self.words[1])
        # A segment with data: longer than its headers (RST and pure ACK pass).
        return (f"oifname {network.interfaces(targets)} ct direction original "
                "tcp flags & (psh | syn) == psh "
                "reject with tcp reset")


class Reject(Early):
    kind = "reject"
    arguments = "FROM TO ICMP"
    summary = "a router that answers with an ICMP error: host-unreachable, net-unreachable, admin-prohibited, ..."
    codes = ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited",
             "host-prohibited", "admin-prohibited")

    def rule(self):
        if self.words[2] not in self.codes:
            raise LocalError(f"ICMP is one of {', '.join(self.codes)}")
        targets = self.lab.fleet.find(self.words[1])
        return f"oifname {network.interfaces(targets)} ct state new reject with icmp {self.words[2]}"


class Block(Early):
    kind = "block"
    arguments = "FROM PROTOCOL PORT"
    summary = "a protocol (tcp, udp) and port of which nothing gets out, e.g. tcp 53: DNS, but not over TCP"

    def rule(self):
        if self.words[1] not in ("tcp", "udp") or not self.words[2].isdigit():
            raise LocalError("PROTOCOL is tcp or udp, PORT a number")
        return f"{self.words[1]} dport {self.words[2]} drop"


class Loss(Early):
    kind = "loss"
    arguments = "FROM TO PERCENT"
    summary = "PERCENT of the packets between FROM and TO vanish, either way, by chance; * is everybody"

    def rules(self):
        if not self.words[2].isdigit() or not 1 <= int(self.words[2]) <= 100:
            raise LocalError("PERCENT is 1 to 100")
        return [(self.find(source), f"oifname {network.interfaces(self.find(target))} "
                 f"numgen random mod 100 < {self.words[2]} drop")
                for source, target in (self.words[:2], reversed(self.words[:2]))]

    def find(self, word):
        return list(self.lab.fleet.tasks.values()) if word == "*" else self.lab.fleet.find(word)


class Egress(Drop):
    kind = "egress"
    arguments = "FROM"
    summary = "a security group without egress: nothing of FROM gets out to any service"

    def prepare(self):
        self.sources = self.lab.fleet.find(self.words[0])
        self.targets = list(self.lab.fleet.tasks.values())

    def cloud(self, estate):
        estate.drop_all(self.sources, is_egress=True)


class Ingress(Drop):
    kind = "ingress"
    arguments = "TO"
    summary = "a security group without ingress: nobody reaches TO"

    def prepare(self):
        self.targets = self.lab.fleet.find(self.words[0])
        self.sources = list(self.lab.fleet.tasks.values())

    def cloud(self, estate):
        estate.drop_all(self.targets, is_egress=False)


class Nacl(Early):
    kind = "nacl"
    arguments = "ZONE ZONE [PORT]"
    summary = "a network ACL, stateless: packets from the one zone's subnet to the other's vanish (or those to PORT)"

    def rules(self):
        if len(self.words) > 2 and not self.words[2].isdigit():
            raise LocalError("PORT is a number")
        port = f"tcp dport {self.words[2]} " if len(self.words) > 2 else ""
        targets = self.lab.fleet.zone(self.words[1])
        return [(self.lab.fleet.zone(self.words[0]), f"oifname {network.interfaces(targets)} {port}drop")]

    def cloud(self, estate):
        ports = [int(self.words[2])] * 2 if len(self.words) > 2 else None
        estate.deny(self.words[1], False, str(ZONES[self.words[0]]), ports)


class Blackhole(Nacl):
    kind = "blackhole"
    arguments = "ZONE ZONE"
    summary = "a route table whose route to the second zone's subnet leads nowhere: packets from the first vanish"

    def cloud(self, estate):
        estate.lead_nowhere(self.words[0], str(ZONES[self.words[1]]))


class DnsOff(Early):
    kind = "dns-off"
    arguments = ""
    summary = "a VPC whose DNS is switched off (enableDnsSupport): its resolvers answer nobody"

    def sources(self):
        return list(self.lab.fleet.tasks.values())

    def rule(self):
        return "meta l4proto { tcp, udp } th dport 53 drop"

    def cloud(self, estate):
        estate.dns_support = False


class Hidden(Early):
    kind = "hidden"
    arguments = "FROM TO"
    summary = "a filter that no API shows (an appliance, the host's own): packets from FROM to TO vanish"

    def rule(self):
        return f"oifname {network.interfaces(self.lab.fleet.find(self.words[1]))} ct direction original drop"


class Ephemeral(Early):
    kind = "ephemeral"
    arguments = "ZONE ZONE"
    summary = "a network ACL without the ephemeral ports: what the second zone answers to the first vanishes"

    def rules(self):
        targets = self.lab.fleet.zone(self.words[0])
        return [(self.lab.fleet.zone(self.words[1]),
                 f"oifname {network.interfaces(targets)} ct direction reply drop")]

    def cloud(self, estate):
        estate.deny(self.words[0], False, str(ZONES[self.words[1]]), EPHEMERAL)


class Isolate(Early):
    kind = "isolate"
    arguments = "TASK|ZONE"
    summary = "a task, or a zone's subnet, is cut off from all others, both ways (its agent's link stays)"

    def rules(self):
        inside = self.lab.fleet.zone(self.words[0]) if len(self.words[0]) == 1 else self.lab.fleet.find(self.words[0])
        outside = self.lab.fleet.others(inside)
        return [(inside, f"oifname {network.interfaces(outside)} drop"),
                (outside, f"oifname {network.interfaces(inside)} drop")]

    def cloud(self, estate):
        if len(self.words[0]) == 1:
            estate.isolate_zone(self.words[0])
            return
        for is_egress in (False, True):
            estate.drop_all(self.lab.fleet.find(self.words[0]), is_egress)


class Mtu(Early):
    kind = "mtu"
    arguments = "FROM TO BYTES"
    summary = "an MTU black hole: packets longer than BYTES vanish between FROM and TO, without an ICMP error"

    def rules(self):
        if not self.words[2].isdigit() or int(self.words[2]) < 68:
            raise LocalError("BYTES is 68 or more")
        sources, targets = (self.lab.fleet.find(word) for word in self.words[:2])
        return [(one, f"oifname {network.interfaces(other)} meta length > {self.words[2]} drop")
                for one, other in ((sources, targets), (targets, sources))]


class Throttle(Early):
    kind = "throttle"
    arguments = "FROM RATE"
    summary = "the resolver's limit (1,024 packets a second in a VPC): of FROM's queries RATE a second get through"

    def rule(self):
        if not self.words[1].isdigit() or not 1 <= int(self.words[1]) <= 100000:
            raise LocalError("RATE is a number")
        return f"udp dport 53 limit rate over {self.words[1]}/second burst {self.words[1]} packets drop"


class Cut(Early):
    kind = "cut"
    arguments = "TASK"
    summary = "an agent is cut off from the collector"

    def rules(self):
        tasks, collector = self.lab.fleet.find(self.words[0]), self.lab.fleet.infra["collector"]
        return [(tasks, f"oifname {network.interfaces([collector])} drop"),
                ([collector], f"oifname {network.interfaces(tasks)} drop")]


class Route(Fault):
    kind = "route"
    arguments = "TASK WHAT"
    summary = "a task's own route to the services: blackhole, unreachable, prohibit, or none"
    kinds = {"blackhole": "blackhole", "unreachable": "unreachable", "prohibit": "prohibit", "none": "throw"}

    def prepare(self):
        self.task = self.lab.fleet.one(self.words[0])
        if self.words[1] not in self.kinds:
            raise LocalError(f"WHAT is one of {', '.join(self.kinds)}")

    def change(self, verb):
        # Half of each subnet: more specific than what is there.
        lines = [f"route {verb} {self.kinds[self.words[1]]} {half}" for subnet in ZONES.values()
                 for half in subnet.subnets(prefixlen_diff=1)]
        shell.run(["nsenter", f"--net=/run/netns/{self.task.name}", "ip", "-batch", "-"], "\n".join(lines))

    def plant(self):
        self.change("add")

    def heal(self):
        self.change("del")


class Nat(Fault):
    kind = "nat"
    arguments = "FROM TO"
    summary = "network address translation in between: to TO, what FROM sends comes from the router"

    def prepare(self):
        self.sources, self.targets = (self.lab.fleet.find(word) for word in self.words)
        self.table = f"nat{self.number}"

    def plant(self):
        shell.run(["nft", "-f", "-"], f"""table ip {self.table} {{
  chain post {{
    type nat hook postrouting priority 100;
    ip saddr {{ {", ".join(task.address for task in self.sources)} }} oifname {network.interfaces(self.targets)} \
snat to {self.lab.fleet.infra["collector"].gateway}
  }}
}}
""")

    def heal(self):
        shell.run(["nft", "delete", "table", "ip", self.table])
