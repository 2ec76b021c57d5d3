"""The local fleet's filters, made of what the cloud says: security groups, ACLs and routes as nftables.

With the stand-in, what its APIs show is what the packets meet: a rule that a call adds or removes
works at once. Semantics as in a VPC: groups are stateful and belong to a task's interface, ACLs and
black-hole routes are stateless and for traffic between subnets only.
"""

from ..model import RESOLVERS
from ..network import interfaces

PROTOCOLS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp"}


def ports(protocol, first, last):
    """The match for a protocol and ports; "" for all, None for one that is not carried here."""
    if protocol == "-1":
        return ""
    if protocol not in PROTOCOLS:
        return None
    return f"{PROTOCOLS[protocol]} dport {first}-{last} " if 0 <= first < last else f"{PROTOCOLS[protocol]} dport {first} "


class Filters:
    def __init__(self, fleet, document):
        self.tasks = fleet.tasks.values()
        self.ec2 = document["ec2"]
        self.interfaces = {one["networkInterfaceId"]: one for one in self.ec2["interfaces"]}
        self.by_address = {one["privateIpAddress"]: one for one in self.interfaces.values()}
        self.chains = []

    def groups_of(self, task):
        return {group["groupId"] for group in self.by_address[task.address]["groupSet"]}

    def members(self, group):
        return [address for address, one in self.by_address.items()
                if any(other["groupId"] == group for other in one["groupSet"])]

    def ends(self, rule):
        """The addresses on a rule's other side, as nftables has them; "": nobody."""
        peer = rule.get("referencedGroupInfo")
        if peer:
            members = self.members(peer["groupId"])
            return "{ " + ", ".join(members) + " }" if members else ""
        return rule.get("cidrIpv4", "")

    def group_chain(self, task, is_egress):
        name = f"{'out' if is_egress else 'in'}-{task.interface}"
        lines = []
        for rule in self.ec2["rules"]:
            match = ports(rule["ipProtocol"], rule["fromPort"], rule["toPort"])
            if rule["groupId"] in self.groups_of(task) and rule["isEgress"] == is_egress and match is not None:
                ends = self.ends(rule)
                side = "ip daddr" if is_egress else "ip saddr"
                if ends:
                    lines.append(f"{side} {ends} {match}{'return' if is_egress else 'accept'}")
        lines = sorted(set(lines)) + (["drop"] if is_egress else [])
        self.chain(name, lines)
        return f'"{task.interface}" : jump {name}'

    def chain(self, name, lines):
        self.chains.append(f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n")

    def acl_of(self, subnet):
        return next(acl for acl in self.ec2["acls"]
                    if any(one["subnetId"] == subnet for one in acl["associationSet"]))

    def acl_chain(self, subnet, is_egress):
        """First match by number; what no entry speaks of is dropped."""
        name = f"acl-{'out' if is_egress else 'in'}-{subnet}"
        lines = []
        for entry in sorted(self.acl_of(subnet)["entrySet"], key=lambda entry: entry["ruleNumber"]):
            span = entry.get("portRange", {"from": 0, "to": 65535})
            match = ports(entry["protocol"], span["from"], span["to"])
            if entry["egress"] == is_egress and match is not None and "cidrBlock" in entry:
                side = "ip daddr" if is_egress else "ip saddr"
                lines.append(f"{side} {entry['cidrBlock']} {match}{'return' if entry['ruleAction'] == 'allow' else 'drop'}")
        self.chain(name, lines + ["drop"])
        return name

    def table_of(self, subnet):
        own = [table for table in self.ec2["routes"]
               if any(one.get("subnetId") == subnet for one in table["associationSet"])]
        return (own or [table for table in self.ec2["routes"] if any(one.get("main") for one in table["associationSet"])])[0]

    def black_holes(self, subnet):
        """Blocks more special than the VPC's own."""
        return [route["destinationCidrBlock"] for route in self.table_of(subnet)["routeSet"]
                if route["state"] == "blackhole"]

    def dns_off(self, fleet):
        """A VPC without DNS has no resolver."""
        if all(attributes["enableDnsSupport"] for attributes in self.ec2["attributes"].values()):
            return []
        resolvers = interfaces([host for name, host in fleet.infra.items() if name in RESOLVERS.values()])
        return [f"iifname {interfaces(self.tasks)} oifname {resolvers} meta l4proto {{ tcp, udp }} th dport 53 drop"]

    def forwarding(self):
        lines, outs, ins = [], [], []
        for subnet in [one["subnetId"] for one in self.ec2["subnets"]]:
            inside = [task for task in self.tasks if self.by_address[task.address]["subnetId"] == subnet]
            if not inside:
                continue
            here = interfaces(inside)
            outs += [f"iifname {here} oifname != {here} ip daddr {block} drop" for block in self.black_holes(subnet)]
            outs.append(f"iifname {here} oifname != {here} jump {self.acl_chain(subnet, True)}")
            ins.append(f"oifname {here} iifname != {here} jump {self.acl_chain(subnet, False)}")
        egress = ", ".join(self.group_chain(task, True) for task in self.tasks)
        ingress = ", ".join(self.group_chain(task, False) for task in self.tasks)
        lines += outs + ins + ["ct state established,related accept"]
        if egress:
            lines += [f"iifname vmap {{ {egress} }}", f"oifname vmap {{ {ingress} }}"]
        return lines


def render(fleet, document, early):
    """One ruleset that replaces the former at once. `early`: (fault id, source tasks, the rest of the rule)."""
    filters = Filters(fleet, document)
    forwarding = filters.forwarding()
    infra = interfaces(fleet.infra.values())
    return (
        "table inet groups\ndelete table inet groups\ntable inet groups {\n" + "".join(filters.chains) +
        "  chain forwarding {\n    type filter hook forward priority 0; policy drop;\n" +
        "".join(f'    iifname {interfaces(sources)} {rule} comment "fault {number}"\n'
                for number, sources, rule in early) +
        "".join(f"    {line}\n" for line in filters.dns_off(fleet)) +
        # What AWS provides is reached whatever the rules say: the resolver by its own path.
        f"    oifname {infra} accept\n    iifname {infra} accept\n" +
        "".join(f"    {line}\n" for line in forwarding) + "  }\n}\n")
