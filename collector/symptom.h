/* symptom: one thing that fails: a task's attempts at an endpoint, or at a name; where it is, and
 * what is known of it. Pure. Part of diagnose.
 */
#ifndef COLLECTOR_SYMPTOM_H
#define COLLECTOR_SYMPTOM_H

#include "collector/cloud/path.h"
#include "collector/diagnose.h"
#include "collector/fact.h"
#include "collector/health.h"

#define SYMPTOM_NONE UINT32_MAX

/* What is numbered. */
enum text_kind {
    TEXT_ADDRESS,
    TEXT_TASK,
    TEXT_ZONE,
    TEXT_REVISION,
    TEXT_NAME,
    TEXT_RESOLVER,
    TEXT_COUNT
};

/* How far an attempt got. */
enum layer { LAYER_NAME, LAYER_CONNECT, LAYER_CHECK, LAYER_COUNT };

struct cloud_spot; /* symptom_cloud.c */

/* Where an attempt is, as numbers: what a scope can take together. SYMPTOM_NONE: not known. */
struct place {
    uint32_t source, column;
    uint32_t from, to; /* services */
    uint32_t address;
    uint16_t port;
    uint32_t source_task, target_task;
    uint32_t zone_from, zone_to;
    uint32_t revision; /* of the target task */
    uint32_t name, resolver;
};

/* What one cause may reach, the narrowest first: of scopes that explain the same, that is said. */
enum scope_kind {
    SCOPE_ONE,          /* this attempt alone */
    SCOPE_TASKS,        /* task -> task */
    SCOPE_SOURCE_CHECK, /* task -> service:check */
    SCOPE_ENDPOINT,     /* everybody -> one address and port */
    SCOPE_TARGET,       /* everybody -> one address */
    SCOPE_SOURCE,       /* task -> everybody */
    SCOPE_PAIR,         /* service -> service:check */
    SCOPE_NAME,         /* one name */
    SCOPE_HEARD,        /* one name at one resolver */
    SCOPE_REVISION,     /* everybody -> one revision of a service */
    SCOPE_FROM_ZONE,    /* zone -> service:check */
    SCOPE_CHECK,        /* everybody -> service:check */
    SCOPE_SERVICE,      /* everybody -> service */
    SCOPE_ROW,          /* service -> everybody */
    SCOPE_SERVICES,     /* service <-> service */
    SCOPE_ZONES_PORT,   /* connections zone -> zone on one port */
    SCOPE_ZONES,        /* connections zone -> zone */
    SCOPE_FLOW,         /* packets zone -> zone */
    SCOPE_TASK,         /* one task <-> everybody */
    SCOPE_BETWEEN,      /* zone <-> zone */
    SCOPE_ZONE,         /* zone <-> all others */
    SCOPE_RESOLVER,     /* every name at one resolver */
    SCOPE_COUNT,

    /* only looked up */
    SCOPE_FROM_ENDPOINT = SCOPE_COUNT, /* service -> address and port */
    SCOPE_ALL_COUNT
};

#define SCOPE_KEYS_MAX 2

/* What the configuration does to its connection. */
struct symptom_path {
    struct path_flow flow;
    struct path path;
};

struct symptom {
    const struct tries *tries;
    struct place place;
    enum layer layer; /* that it failed in */
    enum fact what;   /* what was seen */
    enum expectation expected;
    const struct tries_row *row; /* the example */
    struct owner owner;
    const struct diagnose_witness *witness; /* the last one of the owner; NULL: none */
    const struct symptom_path *path;        /* NULL: the cloud's view is not there */
    struct facts facts;
};

struct symptoms {
    const struct diagnose_input *input;
    struct symptom *items;
    size_t count, capacity;
    struct health_table health; /* what gets through, in the scopes of the symptoms */
    struct interner *texts[TEXT_COUNT];
    struct place *sources;               /* per source: what of its places is always the same */
    const struct owner_agent **agent_of; /* per source, where there is a map; NULL: not known */
    /* Of the cloud's view, where it is there: per service, and per address. */
    const struct estate_service **ecs_of;
    struct cloud_spot *cloud_spots;
    struct spot *spots; /* per address */
    size_t spot_capacity;
    struct answers_index index;
    size_t *answers_of; /* per source, and one more: where its answer rows begin ... */
    const struct answer_row **answer_rows; /* ... in here, by their names */
    uint8_t *beside; /* per name: whether others of its domain resolve, once it was asked for */
    struct hearing *hearings; /* per source; found when it is asked for */
    bool *is_mixed;           /* per service: its tasks are of several revisions */
    bool *is_live;            /* per service: a task of it says hello */
    uint32_t *dependency; /* per service: a column that its tasks, all that are red, fail to reach;
                             SYMPTOM_NONE */
    bool *has_no_route;   /* per task */
    int64_t median_age_s; /* of the agents; -1 unknown */
    struct arena arena;
};

void symptoms_init(struct symptoms *symptoms, const struct diagnose_input *input);
void symptoms_deinit(struct symptoms *symptoms);

/* The scopes of a kind that a symptom is in; how many (0 to SCOPE_KEYS_MAX). `index` is the
 * symptom's own. */
size_t scope_keys(enum scope_kind kind, const struct place *place, size_t index,
                  uint64_t ret_keys[SCOPE_KEYS_MAX]);
/* NULL: no symptom is in it. */
const struct health *symptoms_health(const struct symptoms *symptoms, uint64_t key);

/* The text behind a number of struct place; "?" for SYMPTOM_NONE. */
size_t symptoms_count(const struct symptoms *symptoms, enum text_kind kind);
const char *symptoms_text(const struct symptoms *symptoms, enum text_kind kind, uint32_t number);

/* What each symptom is, by itself; then what else is known of it (symptom_facts.c). */
void symptoms_see(struct symptoms *symptoms);
void symptoms_find_facts(struct symptoms *symptoms);
/* Of a name that does not resolve (symptom_names.c): what it is, with all answers at hand; and what
 * else is known of it. */
enum fact symptoms_name_trouble(const struct symptoms *symptoms, const struct symptom *symptom);
void symptoms_find_name_facts(struct symptoms *symptoms, struct symptom *symptom);
/* The agents of the sources, the ECS services; then what the rules say of a symptom's path
 * (symptom_path.c). */
void symptoms_find_sources(struct symptoms *symptoms);
/* False: an address is not the VPC's, or not known. */
bool symptoms_walk(const struct symptoms *symptoms, uint32_t source, const struct tries_row *row,
                   struct symptom_path *ret_at);
void symptoms_find_path_facts(struct symptoms *symptoms, struct symptom *symptom);
/* ... and what ECS, the registry, the load balancer say (symptom_cloud.c). */
void symptoms_find_cloud_facts(struct symptoms *symptoms, struct symptom *symptom);
/* What a task heard of a name: `*ret_count` rows. */
const struct answer_row *const *symptoms_heard(const struct symptoms *symptoms, uint32_t source,
                                               const char *name, size_t *ret_count);
/* The resolver that a task asked for a name, as far as it is known. */
const char *symptoms_resolver(const struct symptoms *symptoms, const struct tries *tries);

#endif
