/* fleet: the services under test, how each is found and checked, and who is expected to reach whom.
 *
 * Read from a YAML or JSON file (fleet_parse), then never changed. Rows of the matrix are services
 * with agents; its columns are (service, check).
 */
#ifndef COLLECTOR_FLEET_H
#define COLLECTOR_FLEET_H

#include "common/arena.h"
#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_BYTES_MAX    (1024 * 1024) /* of the file */
#define FLEET_SERVICES_MAX 2048
#define FLEET_CHECKS_MAX   16 /* of one service */
#define FLEET_RULES_MAX    65536
#define FLEET_ERRORS_MAX   20 /* reported at once */
#define FLEET_TASKS_MAX    100000
#define FLEET_THROUGH_MAX  8
#define FLEET_CLUSTERS_MAX 16
#define FLEET_MYSQL_PORT   3306

enum expectation { EXPECT_ALLOW, EXPECT_DENY, EXPECT_OBSERVE };

struct fleet_check {
    const char *name; /* unique within the service; the type unless the file names it */
    const char *type; /* tcp, tls, http, https, grpc, udp, mysql, postgres or redis */
    uint16_t port;    /* 0 with SRV: from the record */
    int64_t timeout_ms;
    const char *path, *status, *method, *host; /* http; "" (method, host): the default */
    const char *match;                         /* http: in the body; udp: in the answer; "": any */
    const char *send;                          /* udp: the payload */
    const char *health;                        /* grpc: the service asked about */
    const char *server, *alpn;                 /* tls; "": the default */
    bool is_tls, is_unverified;
    int64_t rate_bytes; /* http: of a throughput check, 0: none */
};

struct fleet_service {
    const char *name;
    const char **names; /* discovery names */
    size_t name_count;
    const char *record;   /* A or SRV */
    bool has_agents;      /* false: agents: none - a column, no row */
    int64_t tasks;        /* that are expected to run, each with an agent; 0: not said */
    const char **through; /* services whose tasks stand before this one's: gateways, proxies */
    size_t through_count;
    struct fleet_check *checks; /* none for a worker */
    size_t check_count;
};

struct fleet_column {
    size_t service;
    size_t check;
};

struct fleet {
    const char *name;
    bool is_followed;      /* source: ecs - services come out of the clusters, too */
    const char **clusters; /* ECS: what the cloud says of the fleet is asked there */
    size_t cluster_count;
    const char *region; /* "": as AWS's own tools find it */
    struct fleet_service *services;
    size_t service_count;
    struct fleet_column *columns;
    size_t column_count;
    uint8_t *expected; /* enum expectation, service_count x column_count */
    size_t rule_count; /* lines of `expect`, one a target */
    enum expectation fallback;
    unsigned references;
    struct arena arena;
};

/* What was wrong, a line each: "FILE:LINE:COLUMN: error: what, what was expected". */
struct fleet_messages {
    struct buf text;
    size_t errors, warnings;
};

/* Reads YAML 1.1 or JSON. Returns NULL when there was an error; warnings alone do not hinder.
 * `origin` names the text in messages. The result has one reference. */
struct fleet *fleet_parse(const char *origin, const char *text, size_t length,
                          struct fleet_messages *messages);
/* The same from a file; its bytes are handed on in `ret_text` when that is not NULL. */
struct fleet *fleet_load(const char *path, struct fleet_messages *messages, struct buf *ret_text);
void fleet_messages_deinit(struct fleet_messages *messages);

struct fleet *fleet_ref(struct fleet *fleet);
struct fleet *fleet_unref(struct fleet *fleet); /* accepts NULL */

/* SIZE_MAX when there is none such. */
size_t fleet_find_service(const struct fleet *fleet, const char *name);
size_t fleet_find_column(const struct fleet *fleet, const char *service, const char *check);

enum expectation fleet_expected(const struct fleet *fleet, size_t source, size_t column);
const char *expectation_name(enum expectation expected);
enum expectation expectation_from_name(const char *name); /* EXPECT_OBSERVE if it is none */

const struct fleet_service *fleet_column_service(const struct fleet *fleet, size_t column);
const struct fleet_check *fleet_column_check(const struct fleet *fleet, size_t column);

/* The whole fleet with every default filled in, as one JSON object. */
void fleet_to_json(const struct fleet *fleet, struct buf *out);

#endif
