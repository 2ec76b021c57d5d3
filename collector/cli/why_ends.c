#include "collector/cli/why_ends.h"

#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX     64 /* of one end of one endpoint */
#define ENDPOINTS_MAX 256
#define PORTS_SHOWN   8

/* What is said of one end, line by line. */
struct lines {
    char *lines[LINES_MAX];
    size_t count;
};

struct endpoint {
    const char *address;
    int64_t port;
};

/* One endpoint of a pair, and what there is about it. */
struct view {
    const cJSON *document;
    struct endpoint endpoint;
    const cJSON *owner;   /* NULL: not known */
    const cJSON *witness; /* NULL: none */
};

static void say(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct lines *lines, const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    va_list args;

    if (lines->count == LINES_MAX)
        return;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    lines->lines[lines->count++] = mem_strdup(buf_text(&text));
}

static void forget(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        mem_free(lines->lines[i]);
    lines->count = 0;
}

static const cJSON *list_of(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool is_at(const cJSON *probe, const struct endpoint *endpoint)
{
    return strcmp(json_string(probe, "address", ""), endpoint->address) == 0 &&
           json_int(probe, "port", 0, 65535, 0) == endpoint->port;
}

/* ---- the source's end ---- */

/* What one task's attempts at the endpoint came to. */
struct attempts {
    const char *task;
    int64_t total, failed, retransmits, late;
    const cJSON *last; /* the last failure; NULL: none */
    double late_ms;    /* of the first that was answered late */
};

static struct attempts attempts_of(const struct view *view, const char *task)
{
    struct attempts attempts = {.task = task};
    const cJSON *probe;

    cJSON_ArrayForEach(probe, list_of(view->document, "probes"))
    {
        const cJSON *late = cJSON_GetObjectItemCaseSensitive(probe, "late");
        if (!is_at(probe, &view->endpoint) || strcmp(json_string(probe, "task", ""), task) != 0)
            continue;
        attempts.total++;
        attempts.retransmits += json_int(probe, "retransmits", 0, INT32_MAX, 0);
        if (strcmp(json_string(probe, "outcome", ""), "ok") == 0)
            continue;
        attempts.failed++;
        attempts.last = probe;
        if (cJSON_IsObject(late) && attempts.late++ == 0)
            attempts.late_ms = cJSON_GetNumberValue(cJSON_GetObjectItem(late, "after"));
    }
    return attempts;
}

static void say_attempts(struct lines *lines, const struct attempts *attempts)
{
    const cJSON *icmp = cJSON_GetObjectItemCaseSensitive(attempts->last, "icmp");
    const cJSON *late = cJSON_GetObjectItemCaseSensitive(attempts->last, "late");

    if (!attempts->last) {
        say(lines, "%s: %lld of %lld passed", attempts->task, (long long)attempts->total,
            (long long)attempts->total);
    } else {
        say(lines, "%s: %lld of %lld failed: %s", attempts->task, (long long)attempts->failed,
            (long long)attempts->total, json_string(attempts->last, "text", "?"));
        if (cJSON_IsObject(icmp))
            say(lines, "  ICMP %lld/%lld from %s", (long long)json_int(icmp, "type", 0, 255, 0),
                (long long)json_int(icmp, "code", 0, 255, 0), json_string(icmp, "from", "?"));
    }
    if (attempts->late)
        say(lines, "  after the deadline: %s, %.2f s after its start",
            json_string(late, "outcome", "an answer"), attempts->late_ms / 1000);
    if (attempts->retransmits)
        say(lines, "  %lld sent again (retransmissions)", (long long)attempts->retransmits);
}

static bool is_first_of_task(const struct view *view, const cJSON *probe)
{
    const cJSON *at;

    cJSON_ArrayForEach(at, list_of(view->document, "probes"))
    {
        if (at == probe)
            return true;
        if (is_at(at, &view->endpoint) &&
            strcmp(json_string(at, "task", ""), json_string(probe, "task", "")) == 0)
            return false;
    }
    return true;
}

static void say_source(const struct view *view, struct lines *lines)
{
    const cJSON *probe;

    cJSON_ArrayForEach(probe, list_of(view->document, "probes"))
    {
        if (is_at(probe, &view->endpoint) && is_first_of_task(view, probe)) {
            struct attempts attempts = attempts_of(view, json_string(probe, "task", "?"));
            say_attempts(lines, &attempts);
        }
    }
}

/* ---- the target's end ---- */

static void say_owner(const struct view *view, struct lines *lines)
{
    const char *kind = json_string(view->owner, "kind", "unknown");
    const char *task = json_string(view->owner, "task", "?");

    if (json_bool(view->owner, "reused", false))
        say(lines, "this address is %s's, of service %s: another service", task,
            json_string(view->owner, "service", "?"));
    else if (strcmp(kind, "task") == 0)
        say(lines, "%s%s", task,
            strcmp(json_string(view->owner, "agent", ""), "lost") == 0 ? " (its agent is away)"
                                                                       : "");
    else if (strcmp(kind, "shared") == 0)
        say(lines, "a host of several tasks, %s among them", task);
    else if (strcmp(kind, "left") == 0)
        say(lines, "%s, which left during the run", task);
    else if (strcmp(kind, "proxy") == 0)
        say(lines, "the source's own proxy (Service Connect)");
    else if (strcmp(kind, "nobody") == 0)
        say(lines, "nobody: every expected task is known, none has this address");
    else if (strcmp(json_string(view->document, "agents", ""), "none") == 0)
        say(lines, "not known: the target has no agents");
    else if (strcmp(json_string(view->document, "witness", ""), "unavailable") == 0)
        say(lines, "no witness: the target has no agent now that sees its own addresses (bridge "
                   "mode, or none at all)");
    else
        say(lines, "no known task has this address (NAT, a load balancer, a task without agent, "
                   "or nobody)");
}

static bool is_any(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static void say_other_ports(const cJSON *witness, struct lines *lines)
{
    CLEANUP_BUF struct buf ports = BUF_INIT(1024);
    const cJSON *listener;
    size_t count = 0;

    cJSON_ArrayForEach(listener, list_of(witness, "listeners"))
    {
        if (is_loopback(json_string(listener, "address", "")) || count++ >= PORTS_SHOWN)
            continue;
        buf_printf(&ports, "%s%lld", ports.length ? ", " : "",
                   (long long)json_int(listener, "port", 0, 65535, 0));
    }
    if (ports.length)
        say(lines, "  it listens on %s%s", buf_text(&ports), count > PORTS_SHOWN ? ", ..." : "");
}

static void say_queue(const cJSON *listener, struct lines *lines)
{
    int64_t backlog = json_int(listener, "backlog", 0, UINT32_MAX, -1);
    int64_t most = json_int(listener, "queue_most", 0, UINT32_MAX, 0);
    int64_t queue = json_int(listener, "queue", 0, UINT32_MAX, 0);

    if (backlog >= 0 && most > backlog)
        say(lines, "  accept queue full: %lld wait, %lld may", (long long)most, (long long)backlog);
    else if (most)
        say(lines, "  accept queue: %lld wait (at most %lld)%s", (long long)queue, (long long)most,
            queue ? ": it accepts nothing" : "");
}

static void say_listener(const struct view *view, struct lines *lines)
{
    const cJSON *listener, *wrong = NULL;
    int64_t port = view->endpoint.port;

    cJSON_ArrayForEach(listener, list_of(view->witness, "listeners"))
    {
        const char *address = json_string(listener, "address", "");
        if (json_int(listener, "port", 0, 65535, 0) != port)
            continue;
        if (is_any(address) || strcmp(address, view->endpoint.address) == 0) {
            say(lines, "listens on %s:%lld", address, (long long)port);
            say_queue(listener, lines);
            return;
        }
        wrong = listener;
    }
    if (wrong) {
        say(lines, "listens on %s:%lld %s", json_string(wrong, "address", "?"), (long long)port,
            is_loopback(json_string(wrong, "address", "")) ? "only: loopback" : "only");
        return;
    }
    say(lines, "nothing listens on port %lld", (long long)port);
    say_other_ports(view->witness, lines);
}

static const cJSON *arrival_from(const cJSON *witness, const char *local)
{
    const cJSON *arrival;

    cJSON_ArrayForEach(arrival, list_of(witness, "arrivals"))
    {
        if (strcmp(json_string(arrival, "remote", ""), local) == 0)
            return arrival;
    }
    return NULL;
}

/* The connections of one task that the target's kernel had, as far as a look caught them. */
static void say_arrivals_of(const struct view *view, const char *task, struct lines *lines)
{
    int64_t half_open = 0, established = 0, unanswered = 0;
    int64_t strangers = json_int(view->witness, "strangers", 0, UINT32_MAX, 0);
    const cJSON *probe;

    cJSON_ArrayForEach(probe, list_of(view->document, "probes"))
    {
        const cJSON *arrival;
        if (!is_at(probe, &view->endpoint) || strcmp(json_string(probe, "task", ""), task) != 0 ||
            json_int(probe, "round", 0, 255, 0) != json_int(view->witness, "round", 0, 255, 0))
            continue;
        arrival = arrival_from(view->witness, json_string(probe, "local", ""));
        if (arrival && strcmp(json_string(arrival, "state", ""), "half-open") == 0)
            half_open++;
        else if (arrival)
            established++;
        else if (strcmp(json_string(probe, "phase", ""), "connect") == 0 &&
                 strcmp(json_string(probe, "outcome", ""), "timeout") == 0)
            unanswered++;
    }
    if (half_open)
        say(lines, "half-open: %lld of %s arrived, the answers are lost on the way back",
            (long long)half_open, task);
    if (established)
        say(lines, "connected: %lld of %s", (long long)established, task);
    if (unanswered && strangers)
        say(lines,
            "nothing from %s's own address arrived (%lld attempts); half-open from other "
            "addresses: %lld (NAT in between?)",
            task, (long long)unanswered, (long long)strangers);
    else if (unanswered)
        say(lines, "nothing of %s arrived (%lld attempts)", task, (long long)unanswered);
}

static void say_counters(const struct view *view, struct lines *lines)
{
    static const char *const shown[] = {"ListenOverflows", "ListenDrops", "SyncookiesSent"};
    const cJSON *counters = list_of(view->witness, "counters");
    int64_t resets = json_int(counters, "OutRsts", 0, INT64_MAX / 2, 0);
    bool is_refused = false;
    const cJSON *probe;

    cJSON_ArrayForEach(probe, list_of(view->document, "probes"))
    {
        is_refused |= is_at(probe, &view->endpoint) &&
                      strcmp(json_string(probe, "outcome", ""), "refused") == 0;
    }
    if (is_refused)
        say(lines, resets ? "it sent %lld RSTs" : "it sent no RST%.0lld: somebody else refuses",
            (long long)resets);
    for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++) {
        int64_t count = json_int(counters, shown[i], 0, INT64_MAX / 2, 0);
        if (count)
            say(lines, "%s +%lld", shown[i], (long long)count);
    }
}

static void say_own_checks(const struct view *view, struct lines *lines)
{
    const char *unchecked = json_string(view->witness, "unchecked", "");
    const cJSON *check;

    cJSON_ArrayForEach(check, list_of(view->witness, "checks"))
    {
        if (json_int(check, "port", 0, 65535, 0) == view->endpoint.port)
            say(lines, "its own check over %s: %s",
                strcmp(json_string(check, "over", ""), "loopback") == 0 ? "loopback"
                                                                        : "its own address",
                json_string(check, "text", "?"));
    }
    if (*unchecked && json_int(view->witness, "round", 0, 255, 0))
        say(lines, "its own check: not tried, %s", unchecked);
}

static void say_containers(const struct view *view, struct lines *lines)
{
    const char *revision = json_string(view->witness, "revision", "");
    const cJSON *container;

    cJSON_ArrayForEach(container, list_of(view->witness, "containers"))
    {
        const char *health = json_string(container, "health", "");
        int64_t age = json_int(container, "age", 0, INT64_MAX / 2, -1);
        if (age >= 0)
            say(lines, "container %s: %s%s%s, for %lld s", json_string(container, "name", "?"),
                json_string(container, "status", "?"), *health ? ", " : "", health,
                (long long)(age / 1000));
        else
            say(lines, "container %s: %s%s%s", json_string(container, "name", "?"),
                json_string(container, "status", "?"), *health ? ", " : "", health);
    }
    if (*revision)
        say(lines, "task definition %s", revision);
}

static void say_witness(const struct view *view, struct lines *lines)
{
    const cJSON *probe;

    say_listener(view, lines);
    cJSON_ArrayForEach(probe, list_of(view->document, "probes"))
    {
        if (is_at(probe, &view->endpoint) && is_first_of_task(view, probe))
            say_arrivals_of(view, json_string(probe, "task", "?"), lines);
    }
    say_counters(view, lines);
    say_own_checks(view, lines);
    say_containers(view, lines);
    say(lines, "(%lld looks in %.1f s, by %s)",
        (long long)json_int(view->witness, "looks", 0, INT64_MAX / 2, 0),
        (double)json_int(view->witness, "span", 0, INT64_MAX / 2, 0) / 1000,
        json_string(view->witness, "source", "?"));
}

/* ---- the whole ---- */

static const cJSON *owner_of(const cJSON *document, const char *address)
{
    const cJSON *owner;

    cJSON_ArrayForEach(owner, list_of(document, "owners"))
    {
        if (strcmp(json_string(owner, "address", ""), address) == 0)
            return owner;
    }
    return NULL;
}

/* The last one of the owner's task: its rounds come in order. */
static const cJSON *witness_of(const cJSON *document, const cJSON *owner)
{
    const cJSON *witness, *found = NULL;

    cJSON_ArrayForEach(witness, list_of(document, "witnesses"))
    {
        if (strcmp(json_string(witness, "task", ""), json_string(owner, "task", "-")) == 0 &&
            strcmp(json_string(witness, "service", ""), json_string(owner, "service", "-")) == 0)
            found = witness;
    }
    return found;
}

static size_t list_endpoints(const cJSON *document, struct endpoint out[ENDPOINTS_MAX])
{
    const cJSON *probe;
    size_t count = 0, i;

    cJSON_ArrayForEach(probe, list_of(document, "probes"))
    {
        for (i = 0; i < count && !is_at(probe, &out[i]); i++)
            ;
        if (i == count && count < ENDPOINTS_MAX && *json_string(probe, "address", ""))
            out[count++] = (struct endpoint){json_string(probe, "address", ""),
                                             json_int(probe, "port", 0, 65535, 0)};
    }
    return count;
}

static void add_endpoint(struct table *table, const struct view *view)
{
    struct lines source = {.count = 0}, target = {.count = 0};
    size_t rows;

    say_source(view, &source);
    say_owner(view, &target);
    if (view->witness)
        say_witness(view, &target);
    else if (strcmp(json_string(view->owner, "kind", ""), "task") == 0)
        say(&target, "(nothing failed, or its agent bore no witness)");
    rows = source.count > target.count ? source.count : target.count;
    for (size_t i = 0; i < rows; i++) {
        if (i == 0)
            table_add(table, BOLD,
                      strchr(view->endpoint.address, ':') ? "  [%s]:%lld" : "  %s:%lld",
                      view->endpoint.address, (long long)view->endpoint.port);
        else
            table_add(table, PLAIN, " ");
        table_add(table, PLAIN, "%s", i < source.count ? source.lines[i] : "");
        table_add(table, PLAIN, "%s", i < target.count ? target.lines[i] : "");
    }
    forget(&source);
    forget(&target);
}

void why_print_ends(const struct cJSON *document)
{
    static const char *const heads[] = {"  endpoint", "seen from the source", "seen at the target"};
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t count = list_endpoints(document, endpoints);
    struct table table;

    if (!count)
        return;
    printf("\nBoth ends\n");
    table_init(&table, heads, 3);
    for (size_t i = 0; i < count; i++) {
        struct view view = {.document = document, .endpoint = endpoints[i]};
        view.owner = owner_of(document, endpoints[i].address);
        view.witness = witness_of(document, view.owner);
        add_endpoint(&table, &view);
    }
    table_print(&table);
    table_deinit(&table);
}
