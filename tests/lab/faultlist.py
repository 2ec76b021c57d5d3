"""What ./tests/lab/accuracy plants, and what canreach is to say of it.

A case is the faults' words, and the causes of which the first diagnosis has to name one. Where the
hosts alone cannot tell causes apart, `twins` are those that have to be named as well: as the cause,
or as an alternative of it.
"""

from dataclasses import dataclass, field


@dataclass
class Case:
    fault: str
    cause: str
    rule: str = ""  # with the cloud's view: what the evidence has to say, down to the rule; "" the APIs do not show it
    cloud: str = ""  # the cause that is named then, where it is another one
    only_cloud: bool = False  # without it, nothing tells it from another
    fixed: bool = False  # the printed commands mend it, though no rule is behind it
    twins: tuple = ()  # without the cloud's view: causes with the same evidence: said beside it
    why: str = ""  # ... and why they cannot be told apart
    is_warning: bool = False  # nothing is red for it
    touches: frozenset = field(default_factory=frozenset)  # services; pairs of cases touch none in common
    age: float = 0  # seconds that the fleet has to have run before
    settle: float = 0  # seconds to wait before the run
    cached: float = 0  # the same after a healthy run, until the resolvers have forgotten its answers

    def __post_init__(self):
        if not self.touches:
            self.touches = frozenset(word.split(".")[0] for word in self.fault.split()
                                     if word.split(".")[0] in SERVICES)


SERVICES = ("web", "api", "payments", "cache", "shop")
EVERYTHING = frozenset(SERVICES)

SAME_SILENCE = ("a dropped SYN looks the same whichever of the two security groups lacks the rule, "
                "until the cloud's rules can be read")
SAME_SUBNETS = ("a NACL and a route that drop packets between two subnets look the same from the hosts, until the "
                "cloud's NACLs and route tables can be read")

CASES = (
    # the network
    Case("drop web payments", "network.sg-ingress", "(payments) has no rule for tcp 8080 from",
         twins=("network.sg-egress",), why=SAME_SILENCE),
    Case("drop api cache", "network.sg-ingress", "(cache) has no rule for tcp 6379 from",
         twins=("network.sg-egress",), why=SAME_SILENCE),
    Case("ingress cache", "network.sg-ingress", "(cache) has no rule for tcp 6379 from"),
    Case("egress web", "network.sg-egress", "(web) has no egress rule for tcp"),
    Case("egress web.1", "source.isolated", "(web.1) has no egress rule for tcp", "network.sg-egress"),
    Case("nacl a b", "network.nacl-forward", "entry 90 of acl-",
         twins=("network.no-route",), why=SAME_SUBNETS, touches=EVERYTHING),
    Case("nacl a b 8080", "network.nacl-forward", "entry 90 of acl-", touches=EVERYTHING),
    Case("blackhole a b", "network.no-route", "which is gone (black hole)", touches=EVERYTHING, only_cloud=True),
    Case("ephemeral a b", "network.nacl-return", "entry 90 of acl-", touches=EVERYTHING),
    Case("lost web api", "network.nacl-return", cloud="network.filtered"),
    Case("hidden web api", "network.filtered", only_cloud=True),
    Case("isolate b", "network.isolated", "entry 90 of acl-", touches=EVERYTHING),
    Case("isolate api.2", "network.isolated", "(api.2) has no"),
    Case("refuse web api", "network.firewall"),
    Case("reset web api", "network.firewall"),
    Case("reject web api admin-prohibited", "network.firewall"),
    Case("reject web api host-prohibited", "network.firewall"),
    Case("reject web api net-prohibited", "network.firewall"),
    Case("reject web api port-unreachable", "network.firewall"),
    Case("reject web api prot-unreachable", "network.firewall"),
    Case("reject web api host-unreachable", "network.no-route"),
    Case("reject web api net-unreachable", "network.no-route"),
    Case("route web.1 blackhole", "network.no-route"),
    Case("route web.1 unreachable", "network.no-route"),
    Case("route web.1 prohibit", "network.no-route"),
    Case("route web.1 none", "network.no-route"),
    Case("loss web api 35", "network.loss"),
    Case("mtu web shop 700", "network.mtu"),
    # the target
    Case("stop api", "target.not-listening"),
    Case("stop api.2", "target.not-listening"),
    Case("loop api.1", "target.crash-loop", settle=1),
    Case("starting api.2 30", "target.starting", age=12),
    Case("hang api.1", "target.hung"),
    Case("hang shop", "target.hung"),
    Case("overload api.1 3", "target.overloaded"),
    Case("bound api", "target.loopback-only"),
    Case("port api.2 9090", "target.other-port"),
    Case("revision api 9090", "target.other-port"),
    Case("queue api.1 4 full", "target.queue-full"),
    Case("health api.2 503", "target.unhealthy"),
    Case("health api 500", "target.unhealthy"),
    Case("health api 404", "http.path"),
    Case("health api 401", "http.auth"),
    Case("health api 403", "http.auth"),
    Case("health api 301", "http.status"),
    Case("dependency api web", "http.dependency"),
    # TLS
    Case("cert shop expired", "tls.expired"),
    Case("cert shop future", "tls.not-yet-valid"),
    Case("cert shop name", "tls.name"),
    Case("cert shop untrusted", "tls.untrusted"),
    Case("cert shop client", "tls.client-cert"),
    Case("plain shop", "tls.plain"),
    Case("plain api", "tls.expected"),
    # names
    Case("stale api", "dns.stale", fixed=True),
    Case("reused api web.1", "dns.reused", fixed=True),
    Case("unregister cache", "dns.not-registered"),
    Case("dns cache nxdomain", "dns.not-registered"),
    Case("alias api-v2.lab.local", "dns.no-such-name", touches=frozenset({"api"})),
    Case("dns cache nodata", "dns.no-record-type"),
    Case("dns cache servfail", "dns.resolver-failing"),
    Case("dns cache refused", "dns.resolver-failing"),
    Case("dns cache silent", "dns.resolver-failing"),
    Case("negative cache", "dns.negative-cache"),
    Case("missing payments", "dns.left-over", fixed=True),
    Case("unlisted api.2", "dns.missing-task", is_warning=True, age=21),
    Case("ttl api 3600", "dns.ttl-high", is_warning=True),
    Case("zones cache", "dns.zones-differ", is_warning=True),
    Case("slow-dns 0.6", "dns.resolver-slow", is_warning=True, touches=EVERYTHING),
    Case("kill resolver", "dns.resolver-down", touches=EVERYTHING),
    Case("kill registry", "dns.resolver-failing", touches=EVERYTHING, cached=12),
    Case("dns-off", "dns.vpc-dns-off", "enableDnsSupport of vpc-", touches=EVERYTHING, only_cloud=True),
    Case("resolver web.1 dead", "dns.resolver-down"),
    Case("resolver web.1 public", "dns.wrong-resolver"),
    Case("block web.1 udp 53", "source.resolver"),
    Case("throttle web.1 1", "dns.throttled"),
    # Service Connect
    Case("connect cache.1 api down", "http.proxy"),
    Case("newer web.1 cache", "mesh.endpoint-newer"),
    # canreach's own
    Case("kill web.1", "probe.agent-lost"),
    Case("cut web.1", "probe.agent-lost"),
    Case("old web.1", "probe.agent-old"),
    Case("narrow web.1", "probe.not-allowed"),
)
