/* What is known of a symptom: from its attempts, the target's witness, the fleet, the pattern. */
#include "collector/symptom.h"

#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define YOUNG_S     120 /* a task that started so shortly ago, while the fleet is older */
#define YOUNGER_S   8   /* than most by so much at least */
#define LOSSY_MIN   3   /* attempts between two services, and ... */
#define LOSSY_SHARE 7   /* ... one in so many: something had to be sent again */

static const struct tries_detail no_detail = {.local = "", .text = "", .via = "", .icmp_from = ""};

static const struct tries_detail *detail_of(const struct tries_row *row)
{
    return row->detail ? row->detail : &no_detail;
}

/* ---- what was seen ---- */

static enum fact unreachable_fact(const struct tries_row *row)
{
    const struct tries_detail *detail = detail_of(row);
    size_t length = strlen(detail->icmp_from);
    bool is_own = length && strncmp(detail->local, detail->icmp_from, length) == 0;

    if (!length || is_own)
        return row->error == EHOSTUNREACH || row->outcome == OUTCOME_TIMEOUT ? FACT_NO_ARP
                                                                             : FACT_UNREACHABLE;
    if (detail->icmp_type == 3 && (detail->icmp_code == 2 || detail->icmp_code == 3))
        return FACT_ICMP_PORT;
    if (detail->icmp_type == 3 &&
        (detail->icmp_code == 9 || detail->icmp_code == 10 || detail->icmp_code == 13))
        return FACT_PROHIBITED;
    return FACT_UNREACHABLE;
}

static enum fact timeout_fact(const struct tries_row *row)
{
    if (row->phase == PHASE_CONNECT)
        return row->late == OUTCOME_UNREACHABLE ? unreachable_fact(row)
               : row->late == OUTCOME_REFUSED   ? FACT_RST
                                                : FACT_SYN_LOST;
    if (row->late == OUTCOME_OK && !row->retransmits)
        return FACT_SLOW;
    return row->is_silent ? FACT_MUTE : FACT_STALLED;
}

static enum fact status_fact(unsigned status)
{
    if (status == 401 || status == 403 || status == 407)
        return FACT_STATUS_AUTH;
    if (status == 404)
        return FACT_STATUS_404;
    return status >= 500 ? FACT_STATUS_5XX : FACT_STATUS_OTHER;
}

static enum fact fact_of(const struct tries_row *row)
{
    switch ((enum proto_outcome)row->outcome) {
    case OUTCOME_NXDOMAIN:
        return FACT_NXDOMAIN;
    case OUTCOME_NODATA:
        return FACT_NODATA;
    case OUTCOME_SERVFAIL:
    case OUTCOME_DNS_REFUSED:
    case OUTCOME_DNS_ERROR:
        return FACT_SERVFAIL;
    case OUTCOME_DNS_TRUNCATED:
        return FACT_DNS_TCP;
    case OUTCOME_DNS_TIMEOUT:
        return FACT_DNS_SILENT;
    case OUTCOME_DNS_UNREACHABLE:
        return FACT_DNS_DOWN;
    case OUTCOME_REFUSED:
        return *detail_of(row)->icmp_from ? FACT_ICMP_PORT : FACT_RST;
    case OUTCOME_TIMEOUT:
        return timeout_fact(row);
    case OUTCOME_UNREACHABLE:
        return unreachable_fact(row);
    case OUTCOME_RESET:
        return FACT_RESET;
    case OUTCOME_CLOSED:
        return FACT_CLOSED;
    case OUTCOME_BAD_REPLY:
        return FACT_GARBLED;
    case OUTCOME_BAD_STATUS:
        return status_fact(row->status);
    case OUTCOME_BAD_CONTENT:
        return FACT_CONTENT;
    case OUTCOME_NOT_SERVING:
        return FACT_NOT_SERVING;
    case OUTCOME_REUSED:
        return FACT_REUSED;
    case OUTCOME_LOCAL_ROUTE:
        return FACT_LOCAL_ROUTE;
    case OUTCOME_TLS_EXPIRED:
        return FACT_TLS_EXPIRED;
    case OUTCOME_TLS_NOT_YET:
        return FACT_TLS_NOT_YET;
    case OUTCOME_TLS_NAME:
        return FACT_TLS_NAME;
    case OUTCOME_TLS_UNTRUSTED:
        return FACT_TLS_UNTRUSTED;
    case OUTCOME_TLS_CLIENT_CERT:
        return FACT_TLS_CLIENT;
    case OUTCOME_TLS_PLAIN:
        return FACT_TLS_PLAIN;
    case OUTCOME_TLS_EXPECTED:
        return FACT_TLS_WANTED;
    case OUTCOME_TLS_ERROR:
        return FACT_TLS_ERROR;
    case OUTCOME_SPARED:
        return FACT_MUTE;
    default:
        return FACT_NONE;
    }
}

/* Words of proxies that answer for nobody: Envoy, HAProxy, nginx, an Application Load Balancer. */
static bool is_proxy_page(const char *text)
{
    static const char *const pages[] = {
        "envoy",
        "no healthy upstream",
        "upstream connect error",
        "No server is available to handle this request",
        "awselb",
        "502 Bad Gateway",
    };

    for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
        if (strcasestr(text, pages[i]))
            return true;
    return false;
}

/* A late error says more than the silence before. */
static void find_what(const struct symptoms *symptoms, struct symptom *symptom)
{
    const struct tries *tries = symptom->tries;

    if (matrix_at(symptoms->input->matrix, symptom->place.from, symptom->place.column)->state ==
        CELL_LEAK) {
        symptom->what = FACT_LEAK;
        return;
    }

    symptom->what = fact_of(symptom->row);
    for (size_t i = 0; i < tries->count && symptom->what == FACT_SYN_LOST; i++) {
        enum fact what = fact_of(tries->rows[i]);
        if (what == FACT_NO_ARP || what == FACT_UNREACHABLE || what == FACT_PROHIBITED) {
            symptom->what = what;
            symptom->row = tries->rows[i];
        }
    }
    if (symptom->row->is_reused)
        symptom->what = FACT_REUSED;
}

static int by_endpoint(const void *a, const void *b)
{
    const struct symptom *x = *(struct symptom *const *)a, *y = *(struct symptom *const *)b;
    int order = strcmp(x->row->address, y->row->address);

    return order ? order : (int)x->row->port - (int)y->row->port;
}

static bool was_held(const struct symptom *symptom)
{
    for (size_t i = 0; i < symptom->tries->count; i++)
        if (detail_of(symptom->tries->rows[i])->is_held)
            return true;
    return false;
}

/* Few wait long enough to see that an endpoint answers late: they speak for the others. */
static void spread_slowness(struct symptoms *symptoms)
{
    struct symptom **order = mem_array(symptoms->count, sizeof(*order));

    for (size_t i = 0; i < symptoms->count; i++)
        order[i] = &symptoms->items[i];
    qsort(order, symptoms->count, sizeof(*order), by_endpoint);
    for (size_t start = 0, end; start < symptoms->count; start = end) {
        const struct symptom *slow = NULL;
        for (end = start; end < symptoms->count && by_endpoint(&order[start], &order[end]) == 0;
             end++)
            if (order[end]->what == FACT_SLOW)
                slow = order[end];
        for (size_t i = start; i < end && slow; i++)
            if (order[i]->what == FACT_MUTE && !was_held(order[i])) {
                order[i]->what = FACT_SLOW;
                order[i]->row = slow->row;
            }
    }
    mem_free(order);
}

static void find_source_facts(struct symptom *symptom)
{
    struct facts *facts = &symptom->facts;
    const struct tries *tries = symptom->tries;

    if (symptom->what != FACT_NONE)
        fact_set(facts, symptom->what, true);
    fact_set(facts, FACT_SOMETIMES, tries->passed > 0);
    if (!*symptom->row->address)
        return;
    fact_set(facts, FACT_PROXY, strncmp(symptom->row->address, "127.255.", 8) == 0);
    fact_set(facts, FACT_PROXY_SAYS,
             symptom->row->status >= 500 && is_proxy_page(detail_of(symptom->row)->text));
}

/* ---- the target's end ---- */

static bool is_any(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static bool is_port_of(const struct fleet_service *service, int64_t port)
{
    for (size_t i = 0; i < service->check_count; i++)
        if (service->checks[i].port == port)
            return true;
    return false;
}

static void find_listener_facts(const struct symptoms *symptoms, struct symptom *symptom)
{
    const struct proto_witness *seen = symptom->witness->seen;
    const struct fleet_service *target = &symptoms->input->fleet->services[symptom->place.to];
    bool listens = false, loopback = false, other = false;

    for (size_t i = 0; i < seen->listener_count; i++) {
        const struct proto_listener *listener = &seen->listeners[i];
        bool is_port = listener->port == symptom->row->port;
        if (is_port &&
            (is_any(listener->address) || strcmp(listener->address, symptom->row->address) == 0)) {
            listens = true;
            fact_set(&symptom->facts, FACT_QUEUED, listener->queue > 0 && listener->most > 0);
            if (listener->backlog >= 0)
                fact_set(&symptom->facts, FACT_QUEUE_FULL, listener->most > listener->backlog);
        } else if (is_port) {
            loopback |= is_loopback(listener->address);
        } else {
            other |= !is_loopback(listener->address) && !is_port_of(target, listener->port);
        }
    }
    if (seen->unlisted && !listens)
        return;
    fact_set(&symptom->facts, FACT_LISTENS, listens);
    fact_set(&symptom->facts, FACT_LOOPBACK, !listens && loopback);
    fact_set(&symptom->facts, FACT_OTHER_PORT, !listens && !loopback && other);
}

static const struct proto_arrival *arrival_of(const struct proto_witness *seen, const char *local)
{
    for (size_t i = 0; i < seen->arrival_count; i++)
        if (strcmp(seen->arrivals[i].remote, local) == 0)
            return &seen->arrivals[i];
    return NULL;
}

/* Of the attempts that one round's witness could see. */
static void find_arrivals(struct symptom *symptom, const struct proto_witness *seen)
{
    const struct tries *tries = symptom->tries;
    bool is_watched = false, arrived = false, half_open = false;

    for (size_t i = 0; i < tries->count; i++) {
        const struct tries_row *row = tries->rows[i];
        const char *local = detail_of(row)->local;
        const struct proto_arrival *arrival;
        if (row->round != seen->round || row->phase != PHASE_CONNECT || !*local ||
            row->outcome != OUTCOME_TIMEOUT)
            continue;
        is_watched = true;
        arrival = arrival_of(seen, local);
        arrived |= arrival != NULL;
        half_open |= arrival && strcmp(arrival->state, "half-open") == 0;
    }
    if (arrived) {
        fact_set(&symptom->facts, FACT_ARRIVED, true);
        fact_set(&symptom->facts, FACT_HALF_OPEN, half_open);
    } else if (is_watched && !seen->strangers && !seen->unlisted &&
               !fact_is(&symptom->facts, FACT_ARRIVED, true)) {
        fact_set(&symptom->facts, FACT_ARRIVED, false);
        fact_set(&symptom->facts, FACT_HALF_OPEN, false);
    }
}

static int64_t counter_of(const struct proto_witness *seen, const char *name)
{
    for (size_t i = 0; i < seen->counter_count; i++)
        if (strcmp(seen->counters[i].name, name) == 0)
            return seen->counters[i].count;
    return 0;
}

static void find_own_checks(struct symptom *symptom, const struct proto_witness *seen)
{
    bool has_any = false, passes = false, is_alike = false;

    for (size_t i = 0; i < seen->check_count; i++) {
        const struct proto_probe *check = &seen->checks[i];
        if (check->port != symptom->row->port || check->target != symptom->tries->column ||
            strcmp(check->via, "loopback") == 0)
            continue;
        has_any = true;
        passes |= check->outcome == OUTCOME_OK;
        is_alike |= check->outcome == (enum proto_outcome)symptom->row->outcome &&
                    check->status == symptom->row->status &&
                    (check->phase > PHASE_CONNECT) == (symptom->row->phase > PHASE_CONNECT);
    }
    if (!has_any)
        return;
    fact_set(&symptom->facts, FACT_OWN_OK, passes);
    fact_set(&symptom->facts, FACT_OWN_ALIKE, !passes && is_alike);
}

static void find_container(struct symptom *symptom, const struct proto_witness *seen)
{
    for (size_t i = 0; i < seen->container_count; i++) {
        if (strcmp(seen->containers[i].health, "UNHEALTHY") == 0)
            fact_set(&symptom->facts, FACT_UNHEALTHY, true);
        else if (strcmp(seen->containers[i].health, "HEALTHY") == 0 &&
                 !fact_is_known(&symptom->facts, FACT_UNHEALTHY))
            fact_set(&symptom->facts, FACT_UNHEALTHY, false);
    }
}

static int compare_witness(const void *key, const void *element)
{
    const struct owner_agent *agent = key;
    const struct diagnose_witness *witness = element;
    int order = strcmp(agent->service, witness->service);

    return order ? order : strcmp(agent->task, witness->task);
}

/* Those of the owner lie side by side, by round: the first; and how many. */
static const struct diagnose_witness *
witnesses_of(const struct symptoms *symptoms, const struct owner_agent *agent, size_t *ret_count)
{
    const struct diagnose_witness *all = symptoms->input->witnesses, *found, *first, *end;

    *ret_count = 0;
    found = symptoms->input->witness_count
                ? bsearch(agent, all, symptoms->input->witness_count, sizeof(*all), compare_witness)
                : NULL;
    if (!found)
        return NULL;
    for (first = found; first > all && compare_witness(agent, first - 1) == 0;)
        first--;
    for (end = found + 1;
         end < all + symptoms->input->witness_count && compare_witness(agent, end) == 0;)
        end++;
    *ret_count = (size_t)(end - first);
    return first;
}

static void find_target_facts(const struct symptoms *symptoms, struct symptom *symptom)
{
    size_t count;
    const struct diagnose_witness *witnesses;
    int64_t resets = 0, resent = 0, overflows = 0;

    if (symptom->owner.kind != OWNER_TASK)
        return;
    witnesses = witnesses_of(symptoms, symptom->owner.agent, &count);
    if (!witnesses)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct proto_witness *seen = witnesses[i].seen;
        symptom->witness = &witnesses[i];
        find_listener_facts(symptoms, symptom);
        find_arrivals(symptom, seen);
        find_own_checks(symptom, seen);
        find_container(symptom, seen);
        resets += counter_of(seen, "OutRsts");
        resent += counter_of(seen, "RetransSegs");
        overflows += counter_of(seen, "ListenOverflows");
    }
    fact_set(&symptom->facts, FACT_SENT_RST, resets > 0);
    fact_set(&symptom->facts, FACT_RESENT, resent > 0);
    if (overflows > 0)
        fact_set(&symptom->facts, FACT_QUEUE_FULL, true);
}

/* ---- the fleet and the pattern ---- */

static bool is_young(const struct symptoms *symptoms, int64_t age_s)
{
    return age_s < YOUNG_S && symptoms->median_age_s - age_s >= YOUNGER_S &&
           age_s * 5 < symptoms->median_age_s * 3;
}

static void find_fleet_facts(const struct symptoms *symptoms, struct symptom *symptom)
{
    struct facts *facts = &symptom->facts;
    const struct fleet_service *target = &symptoms->input->fleet->services[symptom->place.to];

    if (target->has_agents)
        fact_set(facts, FACT_TASKS_LIVE, symptoms->is_live[symptom->place.to]);
    if (!*symptom->row->address || !target->has_agents)
        return;
    if (symptom->owner.kind == OWNER_TASK) {
        fact_set(facts, FACT_OWNED, strcmp(symptom->owner.agent->service, target->name) == 0);
        if (symptom->owner.agent->age_s >= 0 && symptoms->median_age_s >= 0)
            fact_set(facts, FACT_YOUNG, is_young(symptoms, symptom->owner.agent->age_s));
    }
    if (symptom->owner.kind == OWNER_TASK || symptom->owner.kind == OWNER_SHARED)
        fact_set(facts, FACT_STRANGE, false);
    if (symptom->owner.kind == OWNER_NOBODY || symptom->owner.kind == OWNER_UNKNOWN)
        fact_set(facts, FACT_STRANGE, true);
    if (symptom->owner.kind == OWNER_NOBODY)
        fact_set(facts, FACT_NOBODYS, true);
    else if (symptom->owner.kind != OWNER_UNKNOWN)
        fact_set(facts, FACT_NOBODYS, false);
}

static uint32_t ok_in(const struct symptoms *symptoms, enum scope_kind kind,
                      const struct symptom *symptom)
{
    uint64_t keys[SCOPE_KEYS_MAX];
    const struct health *health;

    if (!scope_keys(kind, &symptom->place, 0, keys))
        return 0;
    health = symptoms_health(symptoms, keys[0]);
    return health ? health->ok[symptom->layer] : 0;
}

/* Both ways: an answer that is lost makes the way there lossy. */
static bool is_lossy(const struct symptoms *symptoms, uint32_t from, uint32_t to)
{
    const struct diagnose_input *input = symptoms->input;
    const struct fleet_service *services = input->fleet->services;
    uint32_t lossy = 0, tries = 0;

    for (int way = 0; way < 2; way++) {
        uint32_t source = way ? to : from, target = way ? from : to;
        for (size_t i = 0; i < services[target].check_count; i++) {
            size_t column = fleet_find_column(input->fleet, services[target].name,
                                              services[target].checks[i].name);
            const struct matrix_cell *cell = matrix_at(input->matrix, source, column);
            lossy += cell->lossy;
            tries += cell->tries;
        }
    }
    return lossy >= LOSSY_MIN && lossy * LOSSY_SHARE >= tries;
}

static void find_pattern_facts(const struct symptoms *symptoms, struct symptom *symptom)
{
    struct facts *facts = &symptom->facts;

    if (*symptom->row->address) {
        uint32_t all = ok_in(symptoms, SCOPE_ENDPOINT, symptom);
        uint32_t kin = ok_in(symptoms, SCOPE_FROM_ENDPOINT, symptom);
        fact_set(facts, FACT_REACHED, all > kin);
        fact_set(facts, FACT_KIN_REACHED, kin > 0);
    }
    fact_set(facts, FACT_LOSSY, is_lossy(symptoms, symptom->place.from, symptom->place.to));
    fact_set(facts, FACT_SIBLINGS_OK, ok_in(symptoms, SCOPE_SOURCE_CHECK, symptom) > 0);
    if (symptom->what == FACT_LOCAL_ROUTE)
        fact_set(facts, FACT_ROUTE_BROKEN, true);
    else if (symptom->place.target_task != SYMPTOM_NONE)
        fact_set(facts, FACT_ROUTE_BROKEN, symptoms->has_no_route[symptom->place.target_task]);
    fact_set(facts, FACT_SOURCE_WORKS, ok_in(symptoms, SCOPE_SOURCE, symptom) > 0);
    fact_set(facts, FACT_DEPENDS,
             symptoms->dependency[symptom->place.to] != SYMPTOM_NONE &&
                 symptoms->dependency[symptom->place.to] != symptom->place.column);
}

static void find_live_services(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;

    symptoms->is_live = mem_array(input->fleet->service_count, sizeof(*symptoms->is_live));
    for (size_t i = 0; i < input->agent_count; i++) {
        size_t service = fleet_find_service(input->fleet, input->agents[i].service);
        if (service != SIZE_MAX && input->agents[i].state != OWNER_HAS_LEFT)
            symptoms->is_live[service] = true;
    }
}

/* Which service each service needs and does not reach, as far as that may be why it is red: a task
 * that does not reach it either, and is well, speaks against it. */
static void find_dependencies(struct symptoms *symptoms)
{
    size_t services = symptoms->input->fleet->service_count;
    bool *is_red = mem_array(symptoms_count(symptoms, TEXT_TASK), sizeof(*is_red));

    symptoms->dependency = mem_array(services, sizeof(*symptoms->dependency));
    symptoms->has_no_route =
        mem_array(symptoms_count(symptoms, TEXT_TASK), sizeof(*symptoms->has_no_route));
    for (size_t s = 0; s < services; s++)
        symptoms->dependency[s] = SYMPTOM_NONE;
    for (size_t i = 0; i < symptoms->count; i++) {
        const struct symptom *symptom = &symptoms->items[i];
        const struct place *place = &symptom->place;
        if (place->target_task != SYMPTOM_NONE &&
            (symptom->what == FACT_STATUS_5XX || symptom->what == FACT_NOT_SERVING))
            is_red[place->target_task] = true;
        if (symptom->what == FACT_LOCAL_ROUTE)
            symptoms->has_no_route[place->source_task] = true;
        if (place->from != place->to && symptom->expected == EXPECT_ALLOW &&
            place->column < symptoms->dependency[place->from])
            symptoms->dependency[place->from] = place->column;
    }
    for (size_t i = 0; i < symptoms->count; i++) {
        const struct place *place = &symptoms->items[i].place;
        if (place->from != place->to && !is_red[place->source_task])
            symptoms->dependency[place->from] = SYMPTOM_NONE;
    }
    mem_free(is_red);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void find_median_age(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;
    int64_t *ages = mem_array(input->agent_count, sizeof(*ages));
    size_t count = 0;

    for (size_t i = 0; i < input->agent_count; i++)
        if (input->agents[i].state == OWNER_IS_LIVE && input->agents[i].age_s >= 0)
            ages[count++] = input->agents[i].age_s;
    qsort(ages, count, sizeof(*ages), by_number);
    if (count)
        symptoms->median_age_s = ages[count / 2];
    mem_free(ages);
}

void symptoms_see(struct symptoms *symptoms)
{
    for (size_t i = 0; i < symptoms->count; i++)
        find_what(symptoms, &symptoms->items[i]);
    for (size_t i = 0; i < symptoms->count; i++)
        if (symptoms->items[i].layer == LAYER_NAME)
            symptoms->items[i].what = symptoms_name_trouble(symptoms, &symptoms->items[i]);
    spread_slowness(symptoms);
}

void symptoms_find_facts(struct symptoms *symptoms)
{
    find_live_services(symptoms);
    find_median_age(symptoms);
    find_dependencies(symptoms);
    for (size_t i = 0; i < symptoms->count; i++) {
        struct symptom *symptom = &symptoms->items[i];
        symptom->owner = (struct owner){OWNER_UNKNOWN, NULL};
        if (*symptom->row->address)
            symptom->owner = ownership_find(symptoms->input->ownership, symptom->place.to,
                                            symptom->row->address);
        if (symptom->what == FACT_LEAK) {
            fact_set(&symptom->facts, FACT_LEAK, true);
            if (symptoms->input->map)
                symptoms_find_path_facts(symptoms, symptom);
            continue;
        }
        find_source_facts(symptom);
        if (symptom->layer == LAYER_NAME)
            symptoms_find_name_facts(symptoms, symptom);
        find_target_facts(symptoms, symptom);
        find_fleet_facts(symptoms, symptom);
        find_pattern_facts(symptoms, symptom);
        if (symptoms->input->map) {
            symptoms_find_path_facts(symptoms, symptom);
            symptoms_find_cloud_facts(symptoms, symptom);
        }
    }
}
