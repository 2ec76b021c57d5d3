#include "collector/phrase.h"

#include "collector/phrase_cloud.h"
#include "collector/words.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define OTHERS_SHOWN 3

static const struct fleet *fleet_of(const struct phrase *phrase)
{
    return phrase->symptoms->input->fleet;
}

static const struct fleet_service *target_of(const struct phrase *phrase)
{
    return &fleet_of(phrase)->services[phrase->symptom->place.to];
}

static const struct fleet_check *check_of(const struct phrase *phrase)
{
    return fleet_column_check(fleet_of(phrase), phrase->symptom->place.column);
}

static const char *zone(const struct phrase *phrase, uint32_t number)
{
    return symptoms_text(phrase->symptoms, TEXT_ZONE, number);
}

static const struct tries_detail *detail_of(const struct phrase *phrase)
{
    return phrase->symptom->row->detail;
}

/* ---- placeholders ---- */

static void put_source(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, fleet_of(phrase)->services[phrase->symptom->place.from].name);
}

static void put_target(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, target_of(phrase)->name);
}

static void put_source_task(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, phrase->symptoms->input->sources[phrase->symptom->place.source].task);
}

static void put_address(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, phrase->symptom->row->address);
}

static void put_endpoint(const struct phrase *phrase, struct buf *out)
{
    const struct tries_row *row = phrase->symptom->row;

    if (*row->address)
        buf_printf(out, strchr(row->address, ':') ? "[%s]:%u" : "%s:%u", row->address, row->port);
    else
        buf_puts(out, row->name);
}

static void put_target_task(const struct phrase *phrase, struct buf *out)
{
    const struct owner *owner = &phrase->symptom->owner;

    if (owner->agent && (owner->kind == OWNER_TASK || owner->kind == OWNER_LEFT))
        buf_puts(out, owner->agent->task);
    else
        put_endpoint(phrase, out);
}

/* "web.1:8080"; or the address, where the task is not known. */
static void put_spot(const struct phrase *phrase, struct buf *out)
{
    const struct owner *owner = &phrase->symptom->owner;

    put_target_task(phrase, out);
    if (owner->agent && (owner->kind == OWNER_TASK || owner->kind == OWNER_LEFT))
        buf_printf(out, ":%u", phrase->symptom->row->port);
}

static void put_owner(const struct phrase *phrase, struct buf *out)
{
    const struct owner *owner = &phrase->symptom->owner;

    if (owner->agent)
        buf_puts(out, owner->agent->task);
    else
        buf_puts(out, "another service's task");
}

static void put_from(const struct phrase *phrase, struct buf *out)
{
    switch (phrase->scope) {
    case SCOPE_ONE:
    case SCOPE_TASKS:
    case SCOPE_SOURCE:
    case SCOPE_SOURCE_CHECK:
    case SCOPE_HEARD:
    case SCOPE_RESOLVER:
        put_source_task(phrase, out);
        break;
    case SCOPE_PAIR:
    case SCOPE_ROW:
    case SCOPE_SERVICES:
        put_source(phrase, out);
        break;
    case SCOPE_FROM_ZONE:
    case SCOPE_ZONES:
    case SCOPE_ZONES_PORT:
    case SCOPE_BETWEEN:
        buf_printf(out, "zone %s", zone(phrase, phrase->symptom->place.zone_from));
        break;
    case SCOPE_FLOW: /* of packets: those of a half-open connection are lost on the way back */
        buf_printf(out, "zone %s",
                   zone(phrase, fact_is(&phrase->symptom->facts, FACT_HALF_OPEN, true)
                                    ? phrase->symptom->place.zone_to
                                    : phrase->symptom->place.zone_from));
        break;
    default:
        buf_puts(out, phrase->only_from ? phrase->only_from : "everybody");
    }
}

static void put_to(const struct phrase *phrase, struct buf *out)
{
    switch (phrase->scope) {
    case SCOPE_ONE:
    case SCOPE_TASKS:
    case SCOPE_ENDPOINT:
    case SCOPE_TARGET:
    case SCOPE_TASK:
        put_target_task(phrase, out);
        break;
    case SCOPE_SOURCE:
    case SCOPE_ROW:
    case SCOPE_RESOLVER:
        buf_puts(out, phrase->only_to ? phrase->only_to : "every service");
        break;
    case SCOPE_REVISION:
        put_target(phrase, out);
        buf_printf(out, " of revision %s",
                   symptoms_text(phrase->symptoms, TEXT_REVISION, phrase->symptom->place.revision));
        break;
    case SCOPE_ZONES:
    case SCOPE_ZONES_PORT:
    case SCOPE_BETWEEN:
    case SCOPE_ZONE:
        buf_printf(out, "zone %s", zone(phrase, phrase->symptom->place.zone_to));
        break;
    case SCOPE_FLOW:
        buf_printf(out, "zone %s",
                   zone(phrase, fact_is(&phrase->symptom->facts, FACT_HALF_OPEN, true)
                                    ? phrase->symptom->place.zone_from
                                    : phrase->symptom->place.zone_to));
        break;
    default:
        put_target(phrase, out);
    }
}

static void put_port(const struct phrase *phrase, struct buf *out)
{
    unsigned port = phrase->symptom->row->port;

    buf_printf(out, "%u", port ? port : check_of(phrase)->port);
}

static void put_name(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, phrase->symptom->row->name);
}

static void put_record(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, target_of(phrase)->record);
}

static void put_resolver(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, symptoms_text(phrase->symptoms, TEXT_RESOLVER, phrase->symptom->place.resolver));
}

static void put_check(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, check_of(phrase)->type);
}

static void put_path(const struct phrase *phrase, struct buf *out)
{
    buf_puts(out, check_of(phrase)->path);
}

static void put_timeout(const struct phrase *phrase, struct buf *out)
{
    buf_printf(out, "%.1f s", (double)check_of(phrase)->timeout_ms / 1000);
}

static void put_observed(const struct phrase *phrase, struct buf *out)
{
    const struct tries_row *row = phrase->symptom->row;

    if (phrase->observed)
        buf_puts(out, phrase->observed);
    else
        words_put((enum proto_phase)row->phase, (enum proto_outcome)row->outcome, row->error,
                  row->status, out);
}

static void put_detail(const struct phrase *phrase, struct buf *out)
{
    if (detail_of(phrase) && *detail_of(phrase)->text)
        buf_puts(out, detail_of(phrase)->text);
    else
        put_observed(phrase, out);
}

static void put_icmp(const struct phrase *phrase, struct buf *out)
{
    const struct tries_detail *detail = detail_of(phrase);

    if (detail && *detail->icmp_from)
        buf_printf(out, "ICMP %u/%u from %s", detail->icmp_type, detail->icmp_code,
                   detail->icmp_from);
    else
        put_observed(phrase, out);
}

static void put_late(const struct phrase *phrase, struct buf *out)
{
    buf_printf(out, "%.1f s", detail_of(phrase) ? detail_of(phrase)->late_ms / 1000.0 : 0.0);
}

static void put_days(const struct phrase *phrase, struct buf *out)
{
    int days = detail_of(phrase) ? detail_of(phrase)->valid_days : 0;

    buf_printf(out, "%d", days < 0 ? -days : days);
}

/* The longest that a resolver promised to keep what it said of the name. */
static void put_ttl(const struct phrase *phrase, struct buf *out)
{
    const struct symptoms *symptoms = phrase->symptoms;
    int32_t ttl_s = -1, negative_s = -1;
    size_t count = 0;
    const struct answer_row *const *rows =
        symptoms->input->source_count ? symptoms_heard(symptoms, phrase->symptom->place.source,
                                                       phrase->symptom->row->name, &count)
                                      : NULL;

    for (size_t i = 0; i < count; i++) {
        bool is_good = answer_is_good(&symptoms->input->answers->answers[rows[i]->answer]);
        int32_t *longest = is_good ? &ttl_s : &negative_s;
        if (rows[i]->ttl_s > *longest)
            *longest = rows[i]->ttl_s;
    }
    if (ttl_s < 0)
        ttl_s = negative_s;
    if (ttl_s >= 0)
        buf_printf(out, "%d", ttl_s);
    else
        buf_puts(out, "?");
}

/* Services that get to the endpoint: some of them, in order. */
static void put_others(const struct phrase *phrase, struct buf *out)
{
    const struct diagnose_input *input = phrase->symptoms->input;
    const char *shown[OTHERS_SHOWN];
    size_t count = 0;
    bool has_more = false;

    for (size_t s = 0; s < input->matrix->rows; s++) {
        const struct matrix_cell *cell = matrix_at(input->matrix, s, phrase->symptom->place.column);
        if (s == phrase->symptom->place.from ||
            (cell->state != CELL_OK && cell->state != CELL_PARTIAL))
            continue;
        if (count < OTHERS_SHOWN)
            shown[count++] = input->fleet->services[s].name;
        else
            has_more = true;
    }
    if (!count)
        buf_puts(out, "other services");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", shown[i]);
    if (has_more)
        buf_puts(out, " and others");
}

static void put_ports(const struct phrase *phrase, struct buf *out)
{
    const struct diagnose_witness *witness = phrase->symptom->witness;
    size_t count = 0;

    for (size_t i = 0; witness && i < witness->seen->listener_count && count < 4; i++) {
        const struct proto_listener *listener = &witness->seen->listeners[i];
        if (strncmp(listener->address, "127.", 4) != 0 && strcmp(listener->address, "::1") != 0)
            buf_printf(out, "%s%lld", count++ ? ", " : "port ", (long long)listener->port);
    }
    if (!count)
        buf_puts(out, "no port");
}

static void put_queue(const struct phrase *phrase, struct buf *out)
{
    const struct diagnose_witness *witness = phrase->symptom->witness;

    for (size_t i = 0; witness && i < witness->seen->listener_count; i++) {
        const struct proto_listener *listener = &witness->seen->listeners[i];
        if (listener->port != phrase->symptom->row->port || listener->backlog < 0)
            continue;
        buf_printf(out, "%lld wait, %lld may", (long long)listener->most,
                   (long long)listener->backlog);
        return;
    }
    buf_puts(out, "its kernel counts overflows");
}

static void put_age(const struct phrase *phrase, struct buf *out)
{
    const struct owner_agent *agent = phrase->symptom->owner.agent;

    buf_printf(out, "%lld", agent ? (long long)agent->age_s : 0LL);
}

static void put_expected(const struct phrase *phrase, struct buf *out)
{
    buf_printf(out, "%lld", (long long)target_of(phrase)->tasks);
}

static void put_dependency(const struct phrase *phrase, struct buf *out)
{
    uint32_t column = phrase->symptoms->dependency
                          ? phrase->symptoms->dependency[phrase->symptom->place.to]
                          : SYMPTOM_NONE;

    buf_puts(out, column == SYMPTOM_NONE ? "another service"
                                         : fleet_column_service(fleet_of(phrase), column)->name);
}

static const struct placeholder {
    const char *name;
    void (*put)(const struct phrase *phrase, struct buf *out);
} placeholders[] = {
    {"S", put_source},
    {"T", put_target},
    {"s", put_source_task},
    {"t", put_target_task},
    {"from", put_from},
    {"to", put_to},
    {"spot", put_spot},
    {"at", put_endpoint},
    {"address", put_address},
    {"port", put_port},
    {"name", put_name},
    {"record", put_record},
    {"resolver", put_resolver},
    {"check", put_check},
    {"path", put_path},
    {"timeout", put_timeout},
    {"observed", put_observed},
    {"detail", put_detail},
    {"icmp", put_icmp},
    {"late", put_late},
    {"days", put_days},
    {"ttl", put_ttl},
    {"owner", put_owner},
    {"others", put_others},
    {"ports", put_ports},
    {"queue", put_queue},
    {"age", put_age},
    {"n", put_expected},
    {"dependency", put_dependency},
};

static const struct placeholder *find(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++)
        if (strlen(placeholders[i].name) == length &&
            memcmp(placeholders[i].name, name, length) == 0)
            return &placeholders[i];
    return NULL;
}

void phrase_expand(const struct phrase *phrase, const char *text, struct buf *out)
{
    while (*text) {
        size_t length = *text == '{' ? strcspn(text + 1, "{}") : 0;
        const struct placeholder *placeholder =
            length && text[length + 1] == '}' ? find(text + 1, length) : NULL;
        if (placeholder) {
            placeholder->put(phrase, out);
            text += length + 2;
        } else if (length && text[length + 1] == '}' &&
                   phrase_put_cloud(phrase, text + 1, length, out)) {
            text += length + 2;
        } else {
            buf_putc(out, *text++);
        }
    }
}

void phrase_scope(const struct phrase *phrase, struct buf *out)
{
    static const char *const scopes[SCOPE_COUNT] = {
        [SCOPE_ONE] = "{s} -> {at}",
        [SCOPE_TASKS] = "{s} -> {t}",
        [SCOPE_SOURCE_CHECK] = "{s} -> {T}",
        [SCOPE_ENDPOINT] = "{from} -> {spot}",
        [SCOPE_TARGET] = "{from} -> {t}",
        [SCOPE_SOURCE] = "{s} -> {to}",
        [SCOPE_PAIR] = "{S} -> {T}",
        [SCOPE_HEARD] = "{name} at {resolver}",
        [SCOPE_NAME] = "{name}",
        [SCOPE_REVISION] = "{from} -> {to}",
        [SCOPE_FROM_ZONE] = "{from} -> {T}",
        [SCOPE_CHECK] = "{from} -> {T}",
        [SCOPE_SERVICE] = "{from} -> {T}",
        [SCOPE_ROW] = "{S} -> {to}",
        [SCOPE_SERVICES] = "{S} <-> {T}",
        [SCOPE_ZONES_PORT] = "{from} -> {to} on port {port}",
        [SCOPE_ZONES] = "{from} -> {to}",
        [SCOPE_FLOW] = "{from} -> {to}",
        [SCOPE_TASK] = "{t} <-> everybody",
        [SCOPE_BETWEEN] = "{from} <-> {to}",
        [SCOPE_ZONE] = "{to} <-> everybody",
        [SCOPE_RESOLVER] = "{resolver}",
    };

    phrase_expand(phrase, scopes[phrase->scope], out);
}
