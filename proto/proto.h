/* proto: the messages between canreach-agent and canreach-collector.
 *
 * JSON objects over NNG request/reply. Every message has "v" (the protocol version, 1) and "type";
 * every string, number and list below has a limit, and a message as a whole at most
 * PROTO_MESSAGE_MAX bytes encoded, in both directions. Unknown members are ignored, so fields can
 * be added; anything else needs a new version. `refused` keeps its shape over all versions, so
 * that two sides that do not understand each other can still say so by name.
 *
 *   agent                          collector
 *   hello      ------------------> registers the agent
 *              <------------------ welcome | refused
 *   pull       ------------------> held until there is work, at most PROTO_PULL_MAX_MS
 *              <------------------ assignment | watch | settle | idle | refused (hello-first)
 *   report     ------------------> stored, then
 *              <------------------ ack | refused; nothing while it cannot be stored
 *   watching   ------------------> the watch is on: its targets may be probed
 *              <------------------ ack
 *   witness    ------------------> what the watch saw; stored, then
 *              <------------------ ack, as for a report
 *   leaving    ------------------> the agent is gone on purpose
 *              <------------------ idle
 *
 * An agent is (cluster, service, task, instance); `instance` is new at each start. Names repeat
 * across clusters. Strings are UTF-8; control characters and what is no UTF-8 arrive as '?'.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"
#include "proto/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION      1
#define PROTO_MESSAGE_MAX  (128 * 1024) /* bytes encoded */
#define PROTO_WIRE_MAX     (256 * 1024) /* NNG's own limit: what is larger never reaches us */
#define PROTO_PULL_MAX_MS  45000        /* load balancers cut idle streams at 60 s */
#define PROTO_NAME_MAX     255          /* bytes: service, task, cluster, instance, zone */
#define PROTO_HOST_MAX     253          /* bytes: a discovery name (RFC 1035 section 2.3.4) */
#define PROTO_PATH_MAX     1024         /* bytes: an HTTP path */
#define PROTO_TEXT_MAX     200          /* bytes: a detail for a person */
#define PROTO_ROWS_MAX     2048         /* targets, probes or resolutions in one message */
#define PROTO_NAMES_MAX    8            /* discovery names of one service */
#define PROTO_ANSWERS_MAX  128          /* records of one resolution */
#define PROTO_GOT_MAX      64           /* assignments that a pull names as received */
#define PROTO_CHAIN_MAX    8            /* CNAMEs of one resolution, certificates of one probe */
#define PROTO_COUNTERS_MAX 32           /* kinds of refusal */
#define PROTO_MATCH_MAX    256          /* bytes: text that an answer has to hold */
#define PROTO_SEND_MAX     1024         /* bytes: a datagram's payload, as text */
#define PROTO_RATE_BYTES_MAX \
    (64 * 1024 * 1024)           /* of a throughput check; the agent may allow less */
#define PROTO_DAYS_MAX    400000 /* a certificate's validity */
#define PROTO_TIMEOUT_MAX 60000  /* ms: one attempt */
#define PROTO_AT_MAX      64     /* endpoints that one target names */
#define PROTO_TRIES_MAX   16     /* attempts at one endpoint within one assignment */
#define PROTO_PEERS_MAX   256    /* addresses whose connections a watch looks for */
#define PROTO_SEEN_MAX    256    /* listeners, or arrivals, of one witness */
#define PROTO_WATCH_MS    100    /* between two looks of a watch */
#define PROTO_DNS_RATE    100    /* queries a second that an agent sends by default ... */
#define PROTO_PROBE_RATE  2000   /* probes a second that an agent starts at most */
#define PROTO_DNS_MS      3000   /* ... and how long one may take: the collector waits for it */
#define PROTO_ID_MAX      INT64_C(9007199254740991)

enum proto_type {
    PROTO_HELLO,
    PROTO_WELCOME,
    PROTO_PULL,
    PROTO_ASSIGNMENT,
    PROTO_IDLE,
    PROTO_REPORT,
    PROTO_WATCH,
    PROTO_WATCHING,
    PROTO_SETTLE,
    PROTO_WITNESS,
    PROTO_ACK,
    PROTO_LEAVING,
    PROTO_REFUSED,
    PROTO_TYPE_COUNT
};

struct proto_hello {
    const char *cluster;    /* ECS cluster name or ARN; "" outside ECS */
    const char *service;    /* as the fleet file names it */
    const char *task;       /* unique within (cluster, service) */
    const char *instance;   /* 16 hex digits, new at each start of the agent */
    const char *version;    /* of the agent, e.g. 0.1.0 */
    const char *zone;       /* availability zone, "" if unknown */
    const char *mode;       /* network mode: awsvpc, host, bridge, none, or "" if unknown */
    const char *revision;   /* task definition family:revision, "" if unknown */
    const char *auth;       /* reserved for an authenticated identity; "" in version 1 */
    const char **addresses; /* global addresses of the network namespace; at most 32 */
    size_t address_count;
    const char **resolvers; /* as /etc/resolv.conf names them; at most 8 */
    size_t resolver_count;
    const char **checks; /* the checks this agent can do: tcp, http, ...; at most 32 */
    size_t check_count;
    int64_t dns_rate;  /* names a second that it resolves at most; 0: PROTO_DNS_RATE / 2 */
    const char *netns; /* names the network namespace: its host's boot and its number there; "" if
                          unknown. Agents with the same one share addresses and ports */
    int64_t age_s;     /* since the agent started */
};

struct proto_welcome {
    const char *version; /* of the collector */
    const char *fleet;   /* the fleet's name */
    bool known;          /* the fleet defines this agent's service */
};

/* How often one of the agent's own limits held, since it started. */
struct proto_counter {
    const char *name; /* address, name, memory, ... */
    int64_t count;
};

struct proto_pull {
    const char *instance;
    int64_t
        epoch; /* counts up from 1: the newest pull of an instance is the one that is answered */
    const int64_t *got; /* ids of the latest assignments received, so that none is sent twice */
    size_t got_count;
    struct proto_counter *counters;
    size_t counter_count;
    bool is_busy; /* no assignment now: only watch and settle */
};

/* One (service, check) for the agent to try: resolve its names, connect to every endpoint. */
struct proto_target {
    int64_t id;         /* the run's column, 0 to 65535 */
    const char *check;  /* tcp, http, ... */
    const char *record; /* A (with AAAA) or SRV */
    const char **names; /* discovery names, at most PROTO_NAMES_MAX */
    size_t name_count;
    int64_t port;       /* 1 to 65535; 0 with SRV: from the record */
    int64_t timeout_ms; /* one attempt, connect to the last byte; 1 to PROTO_TIMEOUT_MAX */
    bool is_sibling;    /* the agent's own service: leave out its own addresses */
    const char *path;   /* http: the request target */
    const char *status; /* http: expected statuses, "200-299,404" */
    bool is_tls;        /* http, grpc, redis: inside TLS; tls and https always are */
    bool is_unverified; /* tls: the certificate is reported, not judged */
    const char *server; /* tls: the name to ask for and to verify; "": the discovery name */
    const char *alpn;   /* tls: protocols to offer, "h2,http/1.1" */
    const char *method; /* http; "": GET */
    const char *host;   /* http: Host, grpc: :authority; "": the discovery name */
    const char *match;  /* http: text in the body, udp: in the answer; "": any */
    const char *send;   /* udp: the payload, with \xHH, \n, \r, \t, \\ */
    const char *health; /* grpc: the service asked about; "": the server as a whole */
    int64_t rate_bytes; /* http: read so much of the body and report the rate; 0: off */

    /* how, not what */
    const char **at; /* exactly these endpoints of the one name, "10.0.0.1:80"; none: resolve */
    size_t at_count;
    const char **spare; /* endpoints to leave alone: they accept and never answer */
    size_t spare_count;
    int64_t delay_ms;   /* starts are spread over the fleet: wait so long from the receipt on */
    int64_t samples;    /* an endpoint that passes is tried so often in all; 0: once */
    int64_t attempts;   /* an endpoint is tried so often, whatever comes; 0: once */
    int64_t spacing_ms; /* from one attempt's or sample's start to the next at the earliest */
    int64_t hold_ms;    /* an unanswered attempt stays open so long, for what comes late */
    bool is_patient;    /* ... also at a peer that has the request and says nothing */
};

struct proto_assignment {
    int64_t id;          /* unique in the collector's store */
    int64_t run;         /* run id */
    int64_t deadline_ms; /* the rest of the run's time, from the receipt of this message */
    struct proto_target *targets;
    size_t target_count;
    int64_t round; /* 0: sweep; 1, ...: confirm */
};

/* For the target's agent: look at your own task while others probe it. Ends with `settle`, or by
 * itself after `until_ms`. */
struct proto_watch {
    int64_t id; /* of the assignment; its witness bears it */
    int64_t run;
    int64_t round;
    int64_t until_ms;             /* from the receipt */
    struct proto_target *targets; /* its own service's checks: the ports to look at */
    size_t target_count;
    bool is_checking;   /* try the checks over loopback and over the task's own address too */
    const char **peers; /* addresses of the sources */
    size_t peer_count;
};

struct proto_watching {
    const char *instance;
    int64_t watch;
};

struct proto_settle {
    int64_t watch;
    bool is_unwanted; /* nothing failed: no witness is wanted */
};

/* What one query for (name, type) gave. */
struct proto_resolution {
    const char *name;
    const char *type; /* A, AAAA, SRV */
    enum proto_outcome outcome;
    int64_t rcode;        /* -1: no answer came */
    int64_t ttl_s;        /* the smallest in the answer; of NXDOMAIN and NODATA how long that may be
                             kept (RFC 2308 section 5); -1 if unknown */
    int64_t time_us;      /* query to answer */
    const char *resolver; /* the server asked, or "hosts": /etc/hosts */
    const char *
        *answers; /* addresses, or "priority weight port target"; at most PROTO_ANSWERS_MAX */
    size_t answer_count;
    const char *asked; /* the discovery name that led here, where it differs: by the search list, or
                          to the host of an SRV record */
    const char **chain; /* the CNAMEs on the way, in order */
    size_t chain_count;
    int64_t tries;      /* queries sent for this answer */
    bool is_truncated;  /* the answer did not fit: asked again over TCP */
    bool is_tcp;        /* over TCP */
    bool is_superseded; /* another try followed: another server, or TCP */
    bool is_reference;  /* asked of the VPC's own resolver, only to be compared */
};

/* One attempt at one endpoint. A name that gave no endpoint is one row without address. */
struct proto_probe {
    int64_t target;      /* proto_target.id */
    const char *name;    /* the discovery name */
    const char *address; /* of the endpoint, numeric; "" when the name did not resolve */
    int64_t port;
    enum proto_phase phase; /* the last phase that was entered */
    enum proto_outcome outcome;
    int64_t error;      /* errno, 0 if none */
    const char *local;  /* local address and port, "" if never bound */
    int64_t resolve_us; /* time in each phase; -1: not entered */
    int64_t connect_us;
    int64_t tls_us;
    int64_t exchange_us;
    int64_t status;     /* HTTP status, 0 if none */
    const char *detail; /* a few words for a person, "" mostly; at most PROTO_TEXT_MAX */

    /* what the kernel knows (tcp(7), TCP_INFO; ip(7), IP_RECVERR); 0 or "": nothing */
    const char
        *via; /* "hosts": the address stands in /etc/hosts; "given": it was not resolved for this */
    int64_t bytes_out; /* sent and read by us, TLS's own left out */
    int64_t bytes_in;
    int64_t retransmits; /* of the SYN, or of data */
    int64_t rtt_us;      /* smoothed */
    int64_t mss;         /* bytes, of what we send */
    int64_t pmtu;        /* bytes */
    int64_t icmp_type;   /* of the ICMP or ICMPv6 error that ended it; icmp_from "": none came */
    int64_t icmp_code;
    const char *icmp_from; /* who sent it: a router, the target, or ourselves (no ARP answer) */
    int64_t rate;          /* bytes a second of the body, where the check measures it */

    const char *tls_version; /* "TLSv1.3"; "": no handshake was completed */
    const char *alpn;
    bool is_resumed;
    int64_t verify;     /* X509_V_ERR_..., 0: the chain and the name are good */
    int64_t valid_days; /* until the leaf expires, negative: since */
    const char **chain; /* subjects, from the leaf up; at most PROTO_CHAIN_MAX */
    size_t chain_count;

    int64_t attempt;  /* 1, 2, ... at this endpoint within the assignment; 0 is 1 */
    const char *late; /* what came after the deadline while it was held open: an outcome's name; ""
                         nothing, or not held */
    int64_t late_us;  /* when, from the attempt's start */
    bool is_held;     /* it was kept open beyond its deadline */
};

/* A listening TCP socket of the watched task. */
struct proto_listener {
    const char *address; /* "0.0.0.0" and "::" are any */
    int64_t port;
    int64_t backlog; /* connections that may wait to be accepted; -1 unknown (/proc/net) */
    int64_t queue;   /* that waited, at the end ... */
    int64_t first;   /* ... at the beginning ... */
    int64_t most;    /* ... and at most */
};

/* A connection of one of the peers to a watched port, as the target's kernel has it. */
struct proto_arrival {
    const char *remote; /* "10.0.0.1:40000" */
    const char *local;
    const char *state; /* the last seen: half-open, established, closing */
    int64_t first_ms;  /* seen first and last, from the watch's beginning */
    int64_t last_ms;
    bool is_half_open_before; /* it was half-open when it was first seen */
};

/* A container of the task, as the ECS task metadata endpoint shows it. */
struct proto_container {
    const char *name;
    const char *status;  /* KnownStatus: RUNNING, ... */
    const char *health;  /* HEALTHY, UNHEALTHY, UNKNOWN; "" without a health check */
    const char *started; /* StartedAt, as it stands there */
    int64_t age_s;       /* since then, by this host's own clock; -1 unknown */
};

/* What the target saw of its own task, from the watch's beginning to its end. */
struct proto_witness {
    const char *instance;
    int64_t run;
    int64_t assignment; /* proto_watch.id */
    int64_t batch;      /* 1 */
    int64_t round;
    int64_t span_ms;
    int64_t looks;      /* snapshots taken, the first and the last included */
    int64_t cost_us;    /* of them all, CPU time */
    const char *source; /* sock_diag, or proc: /proc/net/tcp */
    struct proto_listener *listeners;
    size_t listener_count;
    struct proto_arrival *arrivals;
    size_t arrival_count;
    int64_t strangers; /* half-open connections to a watched port from other addresses: at most so
                          many more than at the beginning */
    int64_t unlisted;  /* listeners and arrivals beyond PROTO_SEEN_MAX */
    struct proto_counter *counters; /* of the network namespace, how much they rose: OutRsts (less
                                       the agent's own), ListenOverflows, ... */
    size_t counter_count;
    struct proto_probe *checks; /* its own: `via` is loopback or own-address */
    size_t check_count;
    const char *unchecked; /* why there are none, "" if there are */
    struct proto_container *containers;
    size_t container_count;
    const char *revision; /* of the task definition, "" if unknown */
    const char **resolvers;
    size_t resolver_count;
    const char **search;
    size_t search_count;
    int64_t dots;
};

struct proto_report {
    const char *instance;
    int64_t run;
    int64_t assignment;
    int64_t batch;   /* 1, 2, ... within the assignment */
    bool is_last;    /* the assignment is done: `batch` batches in all */
    int64_t dropped; /* rows of this assignment that the agent's full spool lost */
    struct proto_resolution *resolutions;
    size_t resolution_count;
    struct proto_probe *probes;
    size_t probe_count;
    struct proto_counter *counters; /* with the last batch */
    size_t counter_count;
};

/* Sent after the batch is on disk, and for a batch that will never be: the agent forgets it. */
struct proto_ack {
    int64_t assignment;
    int64_t batch;      /* 0: of `watching` */
    const char *status; /* stored, duplicate, late (stored, after the verdict), unknown (no such
                           assignment of this instance) */
};

struct proto_leaving {
    const char *instance;
};

struct proto_refused {
    const char *reason; /* version, malformed, hello-first, not-expected */
    const char *detail; /* for a person */
    int64_t min, max;   /* protocol versions the sender understands */
};

struct proto_message {
    enum proto_type type;
    union {
        struct proto_hello hello;
        struct proto_welcome welcome;
        struct proto_pull pull;
        struct proto_assignment assignment;
        struct proto_watch watch;
        struct proto_watching watching;
        struct proto_settle settle;
        struct proto_witness witness;
        struct proto_report report;
        struct proto_ack ack;
        struct proto_leaving leaving;
        struct proto_refused refused;
    };
    struct arena arena; /* owns what a decoded message points to */
};

const char *proto_type_name(enum proto_type type);

/* Appends the message. -EMSGSIZE when it does not fit PROTO_MESSAGE_MAX (the caller sends fewer
 * rows); `out` is then as it was. */
int proto_encode(const struct proto_message *message, struct buf *out);

/* A report whose rows were encoded one by one (proto_encode_resolution, proto_encode_probe), as
 * they came: `resolutions` and `probes` hold comma-separated rows.
 * `head`'s own rows are ignored. -EMSGSIZE as above. */
int proto_encode_report(const struct proto_report *head, const struct buf *resolutions,
                        const struct buf *probes, struct buf *out);
void proto_encode_resolution(struct buf *out, const struct proto_resolution *row);
void proto_encode_probe(struct buf *out, const struct proto_probe *row);

/* Decodes exactly one message; the caller calls proto_message_deinit() in any case.
 *  0         fine
 *  -EPROTO   another protocol version; `err` names it
 *  -ENOTSUP  a type that this version does not know
 *  -EMSGSIZE longer than PROTO_MESSAGE_MAX
 *  -EINVAL   malformed: `err` says which field */
int proto_decode(const void *data, size_t length, struct proto_message *ret_message,
                 struct error *err);
void proto_message_deinit(struct proto_message *message);

#define CLEANUP_MESSAGE __attribute__((cleanup(proto_message_deinit)))

#endif
