/* path: what the VPC's configuration does to a connection, step by step: the source's security
 * groups, its subnet's network ACL and route table, the target's ACL and groups, and the way back.
 * Pure; of an estate.
 *
 * Sources: Amazon VPC User Guide: "Security group rules" (stateful: answers need no rule), "Network
 * ACL rules" (stateless, by number, the first that matches decides, a last one denies; not for
 * traffic within a subnet), "Route priority" (longest prefix; then the VPC's own, static, prefix
 * lists, propagated), "Reference security groups" (also of a peered VPC).
 *
 * What lies beyond a transit gateway, a middlebox or the way out of the VPC is not looked at: such
 * a step is PATH_UNKNOWN, and says why.
 */
#ifndef COLLECTOR_CLOUD_PATH_H
#define COLLECTOR_CLOUD_PATH_H

#include "collector/cloud/estate.h"
#include "common/cidr.h"

enum path_verdict {
    PATH_SKIPPED, /* nothing looks at it there: within a subnet, within the task, over before */
    PATH_ALLOWED,
    PATH_UNKNOWN, /* not all could be read, or it is decided elsewhere */
    PATH_PARTLY,  /* some of the ports on the way back are closed */
    PATH_DENIED
};

enum path_kind {
    PATH_GROUP_OUT, /* the source's security groups */
    PATH_ACL_OUT,   /* its subnet's ACL */
    PATH_ROUTE,     /* its subnet's route table */
    PATH_ACL_IN,    /* the target's subnet's ACL */
    PATH_GROUP_IN,
    PATH_BACK_ACL_OUT,
    PATH_BACK_ROUTE,
    PATH_BACK_ACL_IN,
    PATH_KIND_COUNT
};

/* Protocol numbers (IANA). */
enum path_protocol { PATH_ICMP = 1, PATH_TCP = 6, PATH_UDP = 17, PATH_ICMP6 = 58 };

#define PATH_EPHEMERAL_FROM 32768 /* Linux: net.ipv4.ip_local_port_range */
#define PATH_EPHEMERAL_TO   60999

/* Why a step is not known. */
enum path_doubt {
    PATH_SURE,
    PATH_NOT_READ,  /* a group, ACL, table or prefix list is missing in the estate */
    PATH_TRANSIT,   /* a transit gateway's own tables decide */
    PATH_MIDDLEBOX, /* an instance or interface forwards it, or not */
    PATH_OUTSIDE    /* it leaves the VPC; what comes back is not looked at */
};

struct path_step {
    enum path_verdict verdict;
    enum path_doubt doubt;
    const char *of; /* group, ACL or route table that decided; of several groups the first; "" */
    const struct estate_rule *rule;       /* the one that allows; NULL: none does */
    const struct estate_acl_entry *entry; /* that decided; NULL: none matches, so it is denied */
    const struct estate_route *route;     /* likewise */
};

struct path {
    enum path_verdict verdict; /* of all: denied, else partly, else unknown, else allowed */
    struct path_step steps[PATH_KIND_COUNT];
};

struct path_map; /* of an estate, which has to stay; ready to be asked */
struct path_end; /* an interface */

/* A connection, or a datagram and its answer. */
struct path_flow {
    const struct path_end *source, *target; /* target: NULL where no interface has the address */
    struct cidr from, to;                   /* addresses: all their bits */
    enum path_protocol protocol;
    int port;               /* of the target; of ICMP the type, -1 code: see `code` */
    int code;               /* of ICMP */
    int back_from, back_to; /* ports of the source, one of which it has */
};

struct path_map *path_map_new(const struct estate *estate);
struct path_map *path_map_free(struct path_map *map); /* accepts NULL */

/* The interface with that address; where several have it, in VPCs that overlap, the one in `near`'s
 * VPC. NULL: none, or nobody knows which. */
const struct path_end *path_find(const struct path_map *map, const char *address,
                                 const struct path_end *near);
const struct estate_interface *path_interface(const struct path_end *end);

/* From one address to a port of the other, from any ephemeral port of Linux. False: no one
 * interface has the source's address, or one is no address. */
bool path_flow_of(const struct path_map *map, enum path_protocol protocol, const char *from,
                  const char *to, int port, struct path_flow *ret_flow);

void path_walk(const struct path_map *map, const struct path_flow *flow, struct path *ret_path);

bool path_is_back(enum path_kind kind);
const char *path_kind_name(enum path_kind kind);          /* "group-out", ... */
const char *path_verdict_name(enum path_verdict verdict); /* "allowed", ... */

#endif
