/* throttle: how hard the whole fleet may be on one endpoint, over all runs: a few probes in flight,
 * so many starts a second, spread; and an endpoint that accepts and never answers is left alone.
 *
 * Agents learn addresses by themselves, so what is counted is a place: a service and a port. Places
 * that turn out to share an endpoint (two names for one load balancer) share their limits from then
 * on. Time is handed in; nothing here is stored: a new collector begins with an empty memory.
 */
#ifndef COLLECTOR_THROTTLE_H
#define COLLECTOR_THROTTLE_H

#include "proto/proto.h"

#include <uthash.h>

#define THROTTLE_IN_FLIGHT 5
/* 50 starts, this far apart at least, in any such period: it is longer than the second that is
 * promised, for the few that come late. */
#define THROTTLE_STARTS        50
#define THROTTLE_SPACING_US    10000
#define THROTTLE_PERIOD_US     1100000
#define THROTTLE_AVERAGE_US    (THROTTLE_PERIOD_US / THROTTLE_STARTS)
#define THROTTLE_AHEAD_US      500000 /* a start is promised so long ahead at most */
#define THROTTLE_ENDPOINTS_MAX 65536  /* remembered; beyond, an endpoint is treated as healthy */
/* An unanswered connection stays in the accept queue of a hung app after we have closed ours. */
#define THROTTLE_HUNG_AFTER     4  /* unanswered ones: it is hung */
#define THROTTLE_UNANSWERED_MAX 48 /* then only one now and again: 128 is a common backlog */
#define THROTTLE_RETRY_US       UINT64_C(43200000000) /* 12 h: so seldom then */

struct throttle_limits {
    unsigned in_flight;
    uint64_t next_us; /* no start before */
    uint64_t *starts; /* the last ones, at most THROTTLE_STARTS, oldest first; owned */
    unsigned start_count;
};

/* Where addresses are not known yet: each probe may reach any endpoint of the place. */
struct throttle_place {
    char *key;
    struct throttle_place *leader; /* whose limits count; itself, or another place */
    struct throttle_limits limits;
    unsigned given, most; /* in flight at single endpoints: in all, and at most at one since none
                             was */
    UT_hash_handle hh;
};

struct throttle_endpoint {
    char *key; /* "address port" */
    struct throttle_place *place;
    struct throttle_limits limits; /* probes of this endpoint alone */
    unsigned unanswered; /* connections of ours that it took and never answered, in a row */
    uint64_t tried_us;
    int64_t scout_run; /* the run in which somebody may look whether it is still hung */
    UT_hash_handle hh;
};

struct throttle {
    struct throttle_place *places;
    struct throttle_endpoint *endpoints;
    size_t hung;       /* of these */
    uint64_t retry_us; /* see throttle_retry_us() */
};

/* The place of a service's port (0: from its SRV record); made when it is new. */
struct throttle_place *throttle_place(struct throttle *throttle, const char *service, int64_t port);

/* What is to be started: `weight` probes in flight at once at one endpoint (1 to
 * THROTTLE_IN_FLIGHT), `reserve` places left to others, `starts` connections in all. */
struct throttle_wish {
    unsigned weight, reserve, starts;
};

/* Takes places for probes that start `ret_delay_us` from now. False: not now. */
bool throttle_take(struct throttle *throttle, struct throttle_place *place,
                   const struct throttle_wish *wish, uint64_t now_us, uint64_t *ret_delay_us);
void throttle_give(struct throttle_place *place, unsigned weight);
/* The same for one endpoint, whose address is known. */
bool throttle_take_endpoint(struct throttle *throttle, struct throttle_place *place,
                            const char *address, int64_t port, const struct throttle_wish *wish,
                            uint64_t now_us, uint64_t *ret_delay_us);
void throttle_give_endpoint(struct throttle *throttle, const char *address, int64_t port,
                            unsigned weight);
/* When the first of what was refused may be asked for again; 0: all of it waits for a probe in
 * flight to end. */
uint64_t throttle_retry_us(const struct throttle *throttle, uint64_t now_us);

/* Takes note of one attempt of any run. */
void throttle_note(struct throttle *throttle, struct throttle_place *place,
                   const struct proto_probe *probe, uint64_t now_us);
/* The accept queue of an endpoint, as its own task sees it. */
void throttle_note_queue(struct throttle *throttle, const char *address, int64_t port,
                         int64_t queue);
/* A new agent has the address: what was known of the former task is over. */
void throttle_forget(struct throttle *throttle, const char *address);
/* Whether a row says: it took the connection, and then nothing came. */
bool throttle_is_hung_row(const struct proto_probe *probe);

/* The endpoints of a place that are to be left alone by the next source of `run`, as
 * "address:port" of `arena`: hung ones, but for one source a run that looks again. */
size_t throttle_spared(struct throttle *throttle, const struct throttle_place *place, int64_t run,
                       uint64_t now_us, struct arena *arena, const char **out, size_t max);

void throttle_deinit(struct throttle *throttle);

#endif
