/* gather_internal: what the parts of gather share: gather.c (stages, deadline), gather_ecs.c,
 * gather_names.c (Cloud Map, Route 53) and gather_network.c (EC2, load balancers). */
#ifndef COLLECTOR_CLOUD_GATHER_INTERNAL_H
#define COLLECTOR_CLOUD_GATHER_INTERNAL_H

#include "collector/cloud/gather.h"

struct ask;
typedef void (*gather_page_fn)(struct gather *gather, struct ask *ask, const struct tree *root);

/* A call that is under way. */
struct ask {
    struct ask *next;
    struct gather *gather;
    enum aws_operation_id operation;
    struct aws_call *call;
    gather_page_fn on_page;
    bool is_last;   /* page: what depends on all of them can be asked now */
    const char *of; /* the cluster, registry, ...; of the estate's arena */
};

/* What the clusters and the registry have; the network of their VPCs, and the load balancers'; the
 * registries that differ from tasks and records; the prefix lists that rules and routes speak of.
 * What needs one answer only is asked for when that is there. */
enum gather_stage { STAGE_FLEET, STAGE_NETWORK, STAGE_REST, STAGE_PREFIX_LISTS, STAGE_OVER };

struct gather {
    struct aws *aws;
    struct loop *loop;
    struct estate *estate;
    const struct estate *former;
    bool is_fleet_only, is_fresh;
    struct record_list clusters, vpcs; /* texts */
    int64_t deadline_ms;

    enum gather_stage stage;
    struct ask *asks;
    size_t stopped; /* tasks that were asked for, of all clusters */
    size_t asked_registries;
    struct loop_timer deadline, patience; /* patience: the next stage does not wait for ever */
    struct loop_deferred kick;
    gather_fn fn;
    void *ctx;
};

/* ---- gather.c ---- */

/* Takes over the parameters; `of` is copied. Without `fn` the items go into their part as they are.
 */
void gather_ask(struct gather *gather, enum aws_operation_id operation, struct aws_params *params,
                const char *of, gather_page_fn fn);
void gather_ask_plainly(struct gather *gather, enum aws_operation_id operation, gather_page_fn fn);
void gather_ask_by(struct gather *gather, enum aws_operation_id operation, const char *parameter,
                   const char *value, gather_page_fn fn);
/* That a call was not made in time, which would have told about something that is there; unless it
 * is missing already. */
void gather_note_unasked(struct gather *gather, enum aws_operation_id operation);
void gather_note_missing(struct gather *gather, enum aws_operation_id operation, const char *of,
                         const char *code, const char *text, bool is_permission);
/* Reads the items of a page into a part; the first new one. */
void *gather_read_items(struct gather *gather, enum estate_part part, const struct tree *items);
size_t gather_count(const struct gather *gather, enum estate_part part);

/* ---- the parts, by stage ---- */

void gather_ecs(struct gather *gather);
void gather_registries(struct gather *gather);
void gather_zones(struct gather *gather);
void gather_instances(struct gather *gather);
void gather_target_health(struct gather *gather);
void gather_keep_used_target_groups(struct gather *gather);
/* The VPCs of our services' subnets, into gather->vpcs. */
void gather_find_vpcs(struct gather *gather);
void gather_subnets(struct gather *gather);
void gather_network(struct gather *gather);
void gather_prefix_lists(struct gather *gather);
/* What no service of ours has to do with goes. */
void gather_prune_ecs(struct gather *gather);
void gather_prune_names(struct gather *gather);
/* At the end: what is there, and was to be asked about, and was not. */
void gather_note_unread_names(struct gather *gather);
void gather_note_unread_network(struct gather *gather);

#endif
