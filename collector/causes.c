/* What the causes are called, in one sentence each, and what mends them. canreach-causes(7) has a
 * section for each code. What the cloud's
 * view does not tell stands in <angle brackets>. */
#include "collector/rules.h"

#include "common/text.h"

#include <string.h>

const struct cause causes[] = {
    /* ---- names ---- */
    {"dns.not-registered", STAGE_RESOLVER,
     "{name} does not exist, though tasks of {T} run: none of them is registered",
     "Give the ECS service of {T} its service registry (serviceRegistries) for {name}, and look at "
     "its events for registration errors",
     "aws ecs describe-services --cluster {cluster} --services {T} --query "
     "'services[].[serviceRegistries,events[:5]]'",
     NULL},
    {"dns.registration-missing", STAGE_RESOLVER,
     "{name} does not exist: the ECS service of {T} has no service registry for it",
     "Give the service its registry; the tasks that run then are replaced",
     "aws ecs update-service --cluster {cluster} --service {T} --service-registries "
     "registryArn={registry-arn} --force-new-deployment",
     NULL},
    {"dns.registration-failed", STAGE_RESOLVER,
     "{name} does not exist: ECS cannot register tasks of {T}: {register-event}",
     "Give ECS what it lacks: its service-linked role (AWSServiceRoleForECS) registers, and needs "
     "the registry to be there and its permissions not to be denied",
     "aws ecs describe-services --cluster {cluster} --services {T} --query 'services[].events[:5]'",
     NULL},
    {"dns.registration-wrong", STAGE_RESOLVER, "{name} does not exist: {registration}",
     "Let registration, task definition and record type fit: a container and port that the task "
     "definition has; A records need network mode awsvpc, bridge and host take SRV only",
     "aws ecs describe-services --cluster {cluster} --services {T} --query "
     "'services[].serviceRegistries'",
     NULL},
    {"dns.registry-unhealthy", STAGE_RESOLVER,
     "{name} leads nowhere: the registry takes every task of {T} for unhealthy",
     "See why their health checks fail: the registry leaves unhealthy instances out of its answers",
     "aws servicediscovery get-instances-health-status --service-id {registry}", NULL},
    {"dns.vpc-dns-off", STAGE_RESOLVER,
     "DNS is switched off in the VPC of {from}: nothing resolves there", "Switch it on",
     "aws ec2 modify-vpc-attribute --vpc-id {vpc} --enable-dns-support Value=true", NULL},
    {"dns.zone-not-associated", STAGE_RESOLVER,
     "the hosted zone of {name} is not associated with the VPC of {from}", "Associate it",
     "aws route53 associate-vpc-with-hosted-zone --hosted-zone-id {zone-id} --vpc "
     "VPCRegion={region},VPCId={vpc}",
     NULL},
    {"dns.resolver-rule", STAGE_RESOLVER, "a resolver rule is in the way: {resolver-rule}",
     "Take the rule off this VPC, or let its resolvers know {name}",
     "aws route53resolver disassociate-resolver-rule --resolver-rule-id {rule-id} --vpc-id {vpc}",
     NULL},
    {"dns.no-such-name", STAGE_RESOLVER, "{name} does not exist",
     "Correct the name where it is configured (fleet file, app settings), or create it",
     "aws servicediscovery list-services --filters Name=NAMESPACE_ID,Values={namespace}", NULL},
    {"dns.no-record-type", STAGE_RESOLVER, "{name} exists, but has no {record} record",
     "Let the Cloud Map service of {T} publish {record} records (DnsConfig), or set `record:` of "
     "{T} in the fleet file to what it publishes",
     NULL, NULL},
    {"dns.negative-cache", STAGE_RESOLVER,
     "{resolver} still says that {name} does not exist, others know it: a negative answer is "
     "cached",
     "Wait for the cached answer to end ({ttl} s at most); to avoid it, lower the SOA minimum of "
     "the zone, and do not ask for a name before it is registered",
     NULL, NULL},
    {"dns.wrong-resolver", STAGE_RESOLVER,
     "{from} asks {resolver}, which knows none of the fleet's names: not the VPC's resolver",
     "Let the task use the VPC's resolver: remove `dnsServers` from its task definition, and set "
     "the VPC's DHCP options to AmazonProvidedDNS",
     NULL, NULL},
    {"dns.resolver-down", STAGE_RESOLVER, "the resolver {resolver} does not answer",
     "Restart or replace the resolver {resolver}; in a VPC check enableDnsSupport, and the "
     "outbound endpoint or forwarder behind it",
     "aws ec2 describe-vpc-attribute --vpc-id {vpc} --attribute enableDnsSupport", NULL},
    {"source.resolver", STAGE_SOURCE,
     "{from} gets no answer from its resolver, which answers others",
     "Let {from} reach {resolver} on port 53, UDP and TCP: security group egress and subnet NACL "
     "of {from}; look at what else the task asks (1,024 packets a second)",
     NULL, NULL},
    {"dns.resolver-failing", STAGE_RESOLVER, "the resolver fails at {name}: {observed}",
     "Ask the name server behind it: dig {name} @{resolver}; check the hosted zone's association "
     "with this VPC, and the resolver rules for {name}",
     NULL, NULL},
    {"dns.resolver-slow", STAGE_RESOLVER, "the resolver {resolver} is slow: {observed}",
     "Look at the forwarder or outbound endpoint behind {resolver}, its distance and its load",
     NULL, NULL},
    {"dns.throttled", STAGE_RESOLVER,
     "questions of {from} to {resolver} get lost: it asks too much, or too fast",
     "Reduce the task's DNS queries below 1,024 packets a second for each interface: cache in the "
     "app or the task, lower ndots, use absolute names",
     NULL, NULL},
    {"dns.tcp-blocked", STAGE_RESOLVER,
     "the answer for {name} needs TCP, and TCP to {resolver} on port 53 is blocked",
     "Allow port 53 over TCP, too, from {from} to {resolver}; or register fewer records under "
     "{name} (multivalue answers have 8 at most)",
     NULL, NULL},
    {"dns.left-over", STAGE_RESOLVER,
     "{name} has an SRV record whose host has no address: a left-over record",
     "Deregister the instance",
     "aws servicediscovery deregister-instance --service-id {registry} --instance-id {instance}",
     NULL},
    {"dns.stale", STAGE_RESOLVER, "{name} leads to {at}, which no known task has: a stale record",
     "Deregister it; lower the record's TTL ({ttl} s)",
     "aws servicediscovery deregister-instance --service-id {registry} --instance-id {instance}",
     NULL},
    {"dns.reused", STAGE_RESOLVER,
     "{name} leads to {at}, which is {owner}'s now: a stale record, its address reused",
     "Deregister it",
     "aws servicediscovery deregister-instance --service-id {registry} --instance-id {instance}",
     NULL},
    {"dns.missing-task", STAGE_RESOLVER, "{to} runs, and {name} does not lead to it",
     "Look at its registration: a task that Cloud Map takes for unhealthy is left out of the "
     "answers",
     "aws servicediscovery get-instances-health-status --service-id {registry}", NULL},
    {"dns.ttl-high", STAGE_RESOLVER,
     "the records of {name} may be kept for {ttl} s: retired tasks are called for so long",
     "Lower it to 60 s or less",
     "aws servicediscovery update-service --id {registry} --service "
     "'DnsConfig={DnsRecords=[{Type={record},TTL=60}]}'",
     NULL},
    {"dns.zones-differ", STAGE_RESOLVER,
     "{name} leads to other addresses in one zone than in another: {observed}",
     "Compare the hosted zones and resolver rules that each zone's resolver uses for {name}", NULL,
     NULL},
    {"dns.disagree", STAGE_RESOLVER, "tasks get different answers for {name}: {observed}",
     "If a deployment is under way, wait for the TTL ({ttl} s) and run again; else compare the "
     "resolvers",
     NULL, NULL},

    /* ---- the network ---- */
    {"network.sg-ingress", STAGE_NETWORK,
     "security group ingress: what {from} sends to {to} on port {port} never arrives",
     "Allow port {port} in the security group of {T}, from that of {S}",
     "aws ec2 authorize-security-group-ingress --group-id {T-group} --protocol tcp --port {port} "
     "--source-group {S-group}",
     "security group ingress: {group-in}"},
    {"network.sg-egress", STAGE_NETWORK,
     "security group egress: nothing of {from} gets out to {to}",
     "Allow it in the security group of {S}, outbound",
     "aws ec2 authorize-security-group-egress --group-id {S-group} --ip-permissions "
     "'IpProtocol=tcp,FromPort={port},ToPort={port},UserIdGroupPairs=[{GroupId={T-group}}]'",
     "security group egress: {group-out}"},
    {"network.nacl-forward", STAGE_NETWORK,
     "NACL: what {from} sends to {to} is dropped between their subnets",
     "Look at the NACL entries from {from} to {to}, outbound of the one and inbound of the other",
     "aws ec2 describe-network-acls --filters "
     "Name=association.subnet-id,Values={S-subnet},{T-subnet}",
     "NACL: {acls}"},
    {"network.nacl-return", STAGE_NETWORK,
     "NACL, return path: {to} answers, and the answers to {from} are dropped (ephemeral ports)",
     "Allow ports 1024-65535 on the way back, outbound from {to}'s subnet and inbound to {from}'s",
     "aws ec2 describe-network-acls --filters "
     "Name=association.subnet-id,Values={S-subnet},{T-subnet}",
     "NACL, return path: {acl-back}"},
    {"network.no-route", STAGE_NETWORK, "no route: {observed} from {from} to {to}",
     "Look at the route table of {from}'s subnet for a missing or black-hole route",
     "aws ec2 describe-route-tables --filters Name=association.subnet-id,Values={S-subnet}",
     "no route: {routes}"},
    {"network.isolated", STAGE_NETWORK,
     "{to} is cut off: nothing gets through between it and the rest",
     "Look at what is its alone: its subnet's NACL and route table, its interface and security "
     "group",
     "aws ec2 describe-network-interfaces --filters "
     "Name=addresses.private-ip-address,Values={address}",
     "{to} is cut off: {closed}"},
    {"network.filtered", STAGE_NETWORK,
     "something between {from} and {to} drops what is sent to port {port}",
     "Look for what no API shows: an appliance or a firewall on the way, the hosts' own filters "
     "(iptables), limits of the interfaces; or compare groups, subnets and NACLs of {from} and "
     "{to} "
     "with those of their sibling tasks",
     NULL, NULL},
    {"network.firewall", STAGE_NETWORK,
     "a firewall between {from} and {to} rejects the connection: {observed}",
     "Find the device that answers ({icmp}), and allow port {port} from {from} to {to} there", NULL,
     NULL},
    {"network.loss", STAGE_NETWORK, "packets get lost between {from} and {to}: {observed}",
     "Look at the interfaces' limits (bandwidth, packets a second, connections tracked: ethtool "
     "-S, *_allowance_exceeded) on both sides, and at what lies between",
     NULL, NULL},
    {"network.mtu", STAGE_NETWORK,
     "an MTU black hole: small packets pass between {from} and {to}, large ones vanish",
     "Let ICMP type 3 code 4 through, or lower the MTU of the path's ends (ip link set dev eth0 "
     "mtu 1400); check peering, VPN and transit gateway (8,500 bytes)",
     NULL, NULL},
    {"network.rules-differ", STAGE_NETWORK,
     "{S} reaches {T}, though by the rules it is closed: {closed}",
     "Either the rules were changed while the run went on, or something else lets it through that "
     "could not be read: run again, and look at the rules of both",
     "aws ec2 describe-security-group-rules --filters Name=group-id,Values={S-group},{T-group}",
     NULL},
    {"network.leak", STAGE_NETWORK, "{from} reaches {to}, which is denied",
     "Remove what allows port {port} from {from}", "{leak}", NULL},
    {"source.isolated", STAGE_SOURCE, "{from} reaches nothing at all: its own way out is closed",
     "Look at what is its alone: its subnet's NACL and route table, its interface and security "
     "group; or stop the task, so that another takes its place",
     NULL, NULL},

    /* ---- the target ---- */
    {"target.not-listening", STAGE_PORT, "nothing listens on port {port} of {to}",
     "Start the app, or see why it ended: stopped reason, exit code, its log",
     "aws ecs describe-tasks --cluster {cluster} --tasks {T-task}", NULL},
    {"target.loopback-only", STAGE_PORT,
     "{to} listens on loopback only: nobody outside the task can connect",
     "Bind the app to 0.0.0.0 (and ::) in place of 127.0.0.1", NULL, NULL},
    {"target.other-port", STAGE_PORT, "{to} listens on {ports}, not on {port}",
     "Set the port of the app, of the registration and of the fleet file to the same", NULL, NULL},
    {"target.starting", STAGE_PORT, "{to} has just started, and does not serve yet",
     "Wait, and run again; if it takes longer each time, give the app a health check with a start "
     "period (healthCheck.startPeriod), so that it is registered when it serves",
     NULL, NULL},
    {"target.crash-loop", STAGE_PORT, "{to} comes and goes: its app starts, and ends again",
     "Look at why it stops (stoppedReason, exit code), and at the end of its log",
     "aws ecs list-tasks --cluster {cluster} --service-name {T} --desired-status STOPPED", NULL},
    {"target.queue-full", STAGE_PORT,
     "the accept queue of {to} is full: it does not take connections fast enough",
     "Give {T} more tasks, or let the app accept faster; a larger backlog (listen, "
     "net.core.somaxconn) only hides it",
     NULL, NULL},
    {"target.hung", STAGE_APP, "{to} hangs: it accepts connections and never answers",
     "Take a stack dump of the app if it can be had, then stop the task; let its health check find "
     "this",
     "aws ecs stop-task --cluster {cluster} --task {T-task}", NULL},
    {"target.overloaded", STAGE_APP, "{to} is too slow: it answers after the time-out",
     "Look at the CPU and memory of {T}, give it more tasks; or raise `timeout:` in the fleet file "
     "if this is normal",
     NULL, NULL},
    {"target.unhealthy", STAGE_APP, "{to} is unhealthy: it fails its own check, too ({observed})",
     "Look at the app's log; stop the task if it does not recover",
     "aws ecs stop-task --cluster {cluster} --task {T-task}", NULL},
    {"target.no-task", STAGE_PORT, "no task of {T} runs", "See why: desired count, events",
     "aws ecs describe-services --cluster {cluster} --services {T}", NULL},
    {"target.scaled-to-zero", STAGE_PORT, "no task of {T} runs: its desired count is 0",
     "Scale it up",
     "aws ecs update-service --cluster {cluster} --service {T} --desired-count <how many>", NULL},
    {"target.capacity", STAGE_PORT, "ECS finds no place for tasks of {T}: {event}",
     "Make room: free addresses in its subnets, interfaces, CPU or memory, or another capacity "
     "provider",
     "aws ecs describe-services --cluster {cluster} --services {T} --query 'services[].events[:5]'",
     NULL},
    {"target.deployment-failed", STAGE_PORT, "the deployment of {T} failed: {deployment}",
     "See why its tasks stop; go back to the task definition that worked",
     "aws ecs list-tasks --cluster {cluster} --service-name {T} --desired-status STOPPED", NULL},
    {"target.deploying", STAGE_PORT, "the deployment of {T} is in progress: {deployment}",
     "Wait for its end, and run again",
     "aws ecs wait services-stable --cluster {cluster} --services {T}", NULL},
    {"target.below-desired", STAGE_PORT, "fewer tasks of {T} run than are wanted: {counts}",
     "See why in its events",
     "aws ecs describe-services --cluster {cluster} --services {T} --query 'services[].events[:5]'",
     NULL},
    {"target.health-grace", STAGE_PORT,
     "{to} fails within its health-check grace period: ECS does not count its health yet",
     "Wait for its end; if the app starts faster than that, shorten it",
     "aws ecs describe-services --cluster {cluster} --services {T} --query "
     "'services[].healthCheckGracePeriodSeconds'",
     NULL},
    {"target.zone-imbalance", STAGE_PORT,
     "all tasks of {T} are in {one-zone}, though its subnets are in others too",
     "Spread them: a new deployment rebalances",
     "aws ecs update-service --cluster {cluster} --service {T} --force-new-deployment", NULL},
    {"lb.unhealthy", STAGE_APP,
     "the load balancer of {T} takes its targets for unhealthy: {targets}",
     "Mend what its health check meets: path, port, status, security group of the balancer",
     "aws elbv2 describe-target-health --target-group-arn {target-group}", NULL},
    {"lb.zone-empty", STAGE_APP, "the load balancer of {T} has no healthy target in {zones}",
     "Run tasks there, or switch on cross-zone balancing",
     "aws elbv2 modify-target-group-attributes --target-group-arn {target-group} --attributes "
     "Key=load_balancing.cross_zone.enabled,Value=true",
     NULL},

    /* ---- TLS ---- */
    {"tls.expired", STAGE_TLS, "the certificate of {to} has expired",
     "Renew it and restart the tasks of {T}; alert before it ends (canreach shows the days left)",
     NULL, NULL},
    {"tls.not-yet-valid", STAGE_TLS, "the certificate of {to} is not valid yet",
     "Check the clocks of the CA and of {S}, or wait", NULL, NULL},
    {"tls.name", STAGE_TLS, "the certificate of {to} is for another name than {name}",
     "Issue it with {name} among its subject alternative names, or set `server_name:` in the fleet "
     "file to the name it has",
     NULL, NULL},
    {"tls.untrusted", STAGE_TLS, "{from} does not trust the CA that signed the certificate of {to}",
     "Add the CA to the trust store of {S} (and to the agent's --tls-ca), or sign with one that is "
     "trusted; let the server send its intermediate certificates",
     NULL, NULL},
    {"tls.client-cert", STAGE_TLS, "{to} wants a client certificate",
     "Give {S} a certificate that {T}'s CA signed (and the agent --tls-cert, --tls-key), or do not "
     "require one",
     NULL, NULL},
    {"tls.plain", STAGE_TLS, "{to} speaks plain text where TLS is expected",
     "Switch TLS on in {T}, or set the check of {T} in the fleet file to plain (http, tcp)", NULL,
     NULL},
    {"tls.expected", STAGE_TLS, "{to} expects TLS where plain text is spoken",
     "Speak TLS to {T}: set its check in the fleet file to https or tls", NULL, NULL},
    {"tls.handshake", STAGE_TLS, "the TLS handshake with {to} fails: {observed}",
     "Compare the protocol versions and ciphers of both: openssl s_client -connect {at} "
     "-servername {name}",
     NULL, NULL},

    /* ---- HTTP ---- */
    {"http.status", STAGE_APP,
     "{to} answers {from} with {observed}, though it passes its own check",
     "Compare what differs: Host header, path, source address, a proxy in between", NULL, NULL},
    {"http.path", STAGE_APP, "{to} does not know the path {path} ({observed})",
     "Set `path:` in the fleet file to one that the app has, or add it to the app", NULL, NULL},
    {"http.auth", STAGE_APP, "{to} wants credentials for {path} ({observed})",
     "Give the check a path that needs none, or accept the status in the fleet file (`status:`)",
     NULL, NULL},
    {"http.content", STAGE_APP, "{to} answers, without the text that the check wants",
     "Look at what it says: curl -i http://{at}{path}", NULL, NULL},
    {"http.dependency", STAGE_APP,
     "{to} answers {observed}, since it fails to reach {dependency} itself",
     "Mend {T} -> {dependency} first: canreach why {T} {dependency}", NULL, NULL},
    {"http.proxy", STAGE_APP, "the proxy before {to} answers for itself: {detail}",
     "See why it has nobody behind it: the endpoints of {T} in its namespace, their health, its "
     "own log",
     NULL, NULL},
    {"mesh.endpoint-newer", STAGE_RESOLVER,
     "{from} started before {T} joined Service Connect: {name} is not in its /etc/hosts, others "
     "have it",
     "Deploy {S} anew, so that its tasks learn of {T}",
     "aws ecs update-service --cluster {cluster} --service {S} --force-new-deployment", NULL},
    {"mesh.namespace", STAGE_RESOLVER,
     "{S} and {T} are in different namespaces of Service Connect: {namespaces}",
     "Give both the same namespace",
     "aws ecs update-service --cluster {cluster} --service {S} --service-connect-configuration "
     "enabled=true,namespace={T-namespace}",
     NULL},
    {"mesh.proxy-down", STAGE_NETWORK, "the Service Connect proxy of {from} refuses at {at}",
     "Look at the proxy's container in {from}: its status and log", NULL, NULL},

    /* ---- canreach's own ---- */
    {"probe.no-agent", STAGE_PROBE, "no agent of {from} is there: nobody could try",
     "Add canreach-agent to the task definition of {S}, or see why it does not reach the "
     "collector: canreach agents",
     NULL, NULL},
    {"probe.agent-lost", STAGE_PROBE, "the agent of {from} is gone, or cut off from the collector",
     "See canreach agents, and the agent's log in {from}; it needs the collector's port and "
     "nothing else",
     NULL, NULL},
    {"probe.agent-late", STAGE_PROBE, "the agent of {from} did not finish in time",
     "Give the run more time (--deadline), or the agent more CPU", NULL, NULL},
    {"probe.dropped", STAGE_PROBE, "the agent of {from} lost results: its spool was full",
     "Look at the collector's disk and at the link between them", NULL, NULL},
    {"probe.not-allowed", STAGE_PROBE, "the agent of {from} may not connect to {at}",
     "Widen its --allow-net or --allow-suffix (CANREACH_ALLOW_NET, CANREACH_ALLOW_SUFFIX)", NULL,
     NULL},
    {"probe.over-budget", STAGE_PROBE, "the agent of {from} is at its limits: {detail}",
     "Ask less of it at once; canreach agents -o json shows which limit held", NULL, NULL},
    {"probe.agent-old", STAGE_PROBE, "the agent of {from} cannot do the check {check} of {T}",
     "Update the agent of {S}, or allow the check (--checks)", NULL, NULL},
    {"probe.local-error", STAGE_PROBE, "the agent of {from} could not try: {detail}",
     "Look at the limits of the task of {S}: open files, ports, memory", NULL, NULL},
    {"unknown", STAGE_NETWORK,
     "{from} does not get through to {to}: {observed}. The evidence fits no cause that is known",
     "Look at both ends: canreach why {S} {T}", NULL, NULL},
};

const size_t cause_count = ARRAY_SIZE(causes);

const struct cause *cause_find(const char *code)
{
    for (size_t i = 0; i < cause_count; i++)
        if (strcmp(causes[i].code, code) == 0)
            return &causes[i];
    return &causes[cause_count - 1];
}
