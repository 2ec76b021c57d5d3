"""Namespaces, links, and the filters between them.

Each task hangs on an interface of its own at one router (this process' namespace), with a /32
route and proxy ARP: two tasks of one subnet reach each other "directly", an address that nobody
has fails by ARP after 3 s, and the filters (security groups) stand outside the task, where its own
counters do not see them - as in a VPC.
"""

import os

from . import shell
from .model import ZONES, INFRA

ROUTER_SYSCTLS = """
net.ipv4.ip_forward=1
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.default.rp_filter=0
net.ipv4.conf.default.proxy_arp=1
net.ipv4.conf.all.send_redirects=0
net.ipv4.conf.default.send_redirects=0
net.ipv4.icmp_ratelimit=0
net.ipv6.conf.all.disable_ipv6=1
net.ipv6.conf.default.disable_ipv6=1
"""

# Ports below 1024 for servers that are not root; SYN retransmits at 1, 3, 7 s as on production
# kernels; awsvpc tasks here are IPv4 only.
HOST_SYSCTLS = ("net.ipv4.ip_unprivileged_port_start=0 net.ipv4.tcp_syn_linear_timeouts=0 "
                "net.ipv6.conf.all.disable_ipv6=1")


def set_up_router(fleet):
    os.makedirs("/run/netns", exist_ok=True)
    shell.run(["sysctl", "-q", "-p", "-"], ROUTER_SYSCTLS)
    lines = ["link set lo up"]
    lines += [f"addr add {network[1]}/32 dev lo" for network in [INFRA, *ZONES.values()]]
    # An address that nobody has is not answered for, and the router says nothing: as a VPC's does.
    lines += [f"route add blackhole {network}" for network in [INFRA, *ZONES.values()]]
    lines += [f"netns add {host.name}" for host in fleet.hosts()]
    for host in fleet.hosts():
        lines.append(f"link add {host.interface} type veth peer name eth0 address {host.mac} netns {host.name}")
        lines.append(f"link set {host.interface} up")
        lines.append(f"route add {host.address}/32 dev {host.interface}")
    shell.run(["ip", "-batch", "-"], "\n".join(lines))
    # Answered at once, not after up to 0.8 s; there is no default for this in a namespace.
    shell.run(["sysctl", "-q", "-p", "-"],
              "".join(f"net.ipv4.neigh.{host.interface}.proxy_delay=0\n" for host in fleet.hosts()))
    for host in fleet.hosts():
        set_up_host(host)


def set_up_host(host):
    script = f"""
        ip -batch - <<END
link set lo up
addr add {host.address}/{host.network.prefixlen} dev eth0
link set eth0 up
route add default via {host.gateway}
END
        for pair in {HOST_SYSCTLS}; do sysctl -q -e -w $pair; done
    """
    shell.run(["nsenter", f"--net=/run/netns/{host.name}", "sh", "-e", "-c", script])


def render_filters(fleet, planted, early):
    """The security groups, as one ruleset that replaces the former at once.

    `planted` are faults: (fault id, drop or accept, source tasks, target tasks); `early` rules that
    come before all others: (fault id, source tasks, the rest of the rule).
    """
    chains, jumps = [], []
    for target in fleet.services.values():
        rules = [rule for fault in planted for rule in fault_rules(fault, target)]
        rules += [rule for source in fleet.services.values() for rule in allow_rules(fleet, source, target)]
        chains.append(f"  chain in-{target.name} {{\n" + "".join(f"    {rule}\n" for rule in rules) + "  }\n")
        jumps += [f'"{task.interface}" : jump in-{target.name}' for task in target.tasks]
    infra = ", ".join(f'"{host.interface}"' for host in fleet.infra.values())
    vmap = f"    oifname vmap {{ {', '.join(jumps)} }}\n" if jumps else ""
    return (
        "table inet groups\ndelete table inet groups\ntable inet groups {\n" + "".join(chains) +
        "  chain forwarding {\n    type filter hook forward priority 0; policy drop;\n" +
        "".join(f'    iifname {interfaces(sources)} {rule} comment "fault {number}"\n'
                for number, sources, rule in early) +
        "    ct state established,related accept\n"
        f"    oifname {{ {infra} }} accept\n    iifname {{ {infra} }} accept\n{vmap}  }}\n}}\n")


def interfaces(tasks):
    return "{ " + ", ".join(f'"{task.interface}"' for task in tasks) + " }"


def fault_rules(fault, target):
    number, verdict, sources, targets = fault
    hit = [task for task in targets if task in target.tasks]
    if hit:
        yield f'iifname {interfaces(sources)} oifname {interfaces(hit)} {verdict} comment "fault {number}"'


def allow_rules(fleet, source, target):
    for protocol in ("tcp", "udp"):
        ports = {str(check["port"]) for check in target.checks
                 if protocol_of(check) == protocol and (source.name, target.name, check["name"]) not in fleet.denied}
        if ports and source.tasks:
            yield (f"iifname {interfaces(source.tasks)} {protocol} dport {{ {', '.join(sorted(ports))} }} accept "
                   f'comment "{source.name} to {target.name}"')


def protocol_of(check):
    return "udp" if check["check"] == "udp" else "tcp"


def load_filters(rules):
    shell.run(["nft", "-f", "-"], rules)
