/* path_internal: an estate made ready to be walked: blocks as bits, rules sorted, ACLs in the order
 * of their numbers, who has which address. What path_map.c makes and path.c asks. */
#ifndef COLLECTOR_CLOUD_PATH_INTERNAL_H
#define COLLECTOR_CLOUD_PATH_INTERNAL_H

#include "collector/cloud/path.h"

#include <uthash.h>

#define PATH_ALL (-1) /* protocols, ports, types */

/* A block in the form in which it is compared fastest. */
struct net {
    uint64_t bits[2], mask[2];
    int family;
};

struct blocks { /* of a prefix list */
    const char *id;
    bool is_read;
    struct net *items;
    unsigned *lengths; /* of their prefixes */
    size_t count;
};

struct rule {
    const struct estate_rule *record;
    int protocol, from, to;
    bool is_for_peer;
    uint32_t peer;             /* group, if it is for one */
    const struct blocks *list; /* or a prefix list; one that is not there is not read */
    struct net block;          /* or a block */
};

struct rules {
    struct rule *items; /* first those for blocks, then those for groups, by group */
    size_t count, blocks;
};

struct group {
    const char *id;
    bool is_read;
    struct rules in, out;
    UT_hash_handle hh;
    uint32_t number;
};

struct entry {
    const struct estate_acl_entry *record;
    int protocol, from, to, icmp_type, icmp_code;
    struct net block;
    bool is_allow;
};

struct entries {
    struct entry *items; /* by number */
    size_t count;
    bool is_whole;
};

struct acl {
    const struct estate_acl *record;
    struct entries in, out;
};

struct route {
    const struct estate_route *record;
    struct net block;
    unsigned length; /* of the prefix */
    int rank;        /* of equally long ones the lowest wins */
};

struct table {
    const struct estate_route_table *record;
    struct route *items;
    size_t count;
    bool is_whole;
};

struct subnet {
    const char *id, *vpc;
    struct net blocks[2];
    size_t block_count;
    const struct acl *acl;     /* NULL: not known */
    const struct table *table; /* likewise */
};

struct path_end {
    const struct estate_interface *record;
    const struct subnet *subnet; /* NULL: not known */
    struct group **groups;
    size_t group_count;
};

struct address {
    struct {
        uint8_t bytes[16];
        int family;
    } key;
    const struct path_end *end;
    struct address *next; /* another interface with it, in another VPC */
    UT_hash_handle hh;
};

struct path_map {
    const struct estate *estate;
    struct arena arena;
    struct group *groups; /* by id */
    uint32_t group_count;
    struct blocks *lists;
    size_t list_count;
    struct acl *acls;
    struct table *tables;
    struct subnet *subnets;
    struct path_end *ends;
    struct address *addresses;
};

enum route_rank { RANK_LOCAL, RANK_STATIC, RANK_PREFIX_LIST, RANK_PROPAGATED };

struct net path_net_of(const struct cidr *cidr);

static inline bool path_covers(const struct net *net, const struct net *address)
{
    return net->family == address->family && !((net->bits[0] ^ address->bits[0]) & net->mask[0]) &&
           !((net->bits[1] ^ address->bits[1]) & net->mask[1]);
}

#endif
