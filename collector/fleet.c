#include "collector/fleet.h"

#include "common/mem.h"
#include "common/text.h"

#include <string.h>

struct fleet *fleet_ref(struct fleet *fleet)
{
    fleet->references++;
    return fleet;
}

struct fleet *fleet_unref(struct fleet *fleet)
{
    if (fleet && --fleet->references == 0) {
        arena_deinit(&fleet->arena);
        mem_free(fleet);
    }
    return NULL;
}

size_t fleet_find_service(const struct fleet *fleet, const char *name)
{
    for (size_t i = 0; i < fleet->service_count; i++)
        if (strcmp(fleet->services[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

const struct fleet_service *fleet_column_service(const struct fleet *fleet, size_t column)
{
    return &fleet->services[fleet->columns[column].service];
}

const struct fleet_check *fleet_column_check(const struct fleet *fleet, size_t column)
{
    return &fleet_column_service(fleet, column)->checks[fleet->columns[column].check];
}

size_t fleet_find_column(const struct fleet *fleet, const char *service, const char *check)
{
    for (size_t i = 0; i < fleet->column_count; i++)
        if (strcmp(fleet_column_service(fleet, i)->name, service) == 0 &&
            (!check || strcmp(fleet_column_check(fleet, i)->name, check) == 0))
            return i;
    return SIZE_MAX;
}

enum expectation fleet_expected(const struct fleet *fleet, size_t source, size_t column)
{
    return (enum expectation)fleet->expected[source * fleet->column_count + column];
}

static const char *const expectations[] = {"allow", "deny", "observe"};

const char *expectation_name(enum expectation expected)
{
    return expectations[expected];
}

enum expectation expectation_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(expectations); i++)
        if (strcmp(expectations[i], name) == 0)
            return (enum expectation)i;
    return EXPECT_OBSERVE;
}

static void put_given(struct buf *out, const char *key, const char *value)
{
    if (!*value)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json(out, value);
}

static void check_to_json(const struct fleet_check *check, struct buf *out)
{
    buf_puts(out, "{\"name\":");
    buf_put_json(out, check->name);
    buf_puts(out, ",\"check\":");
    buf_put_json(out, check->type);
    buf_printf(out, ",\"port\":%d,\"timeout\":%lld", check->port, (long long)check->timeout_ms);
    put_given(out, "path", check->path);
    put_given(out, "status", check->status);
    put_given(out, "method", check->method);
    put_given(out, "host", check->host);
    put_given(out, strcmp(check->type, "udp") == 0 ? "answer" : "body", check->match);
    put_given(out, "send", check->send);
    put_given(out, "grpc_service", check->health);
    put_given(out, "server_name", check->server);
    put_given(out, "alpn", check->alpn);
    if (check->is_tls)
        buf_puts(out, ",\"tls\":true");
    if (check->is_unverified)
        buf_puts(out, ",\"verify\":false");
    if (check->rate_bytes)
        buf_printf(out, ",\"throughput\":{\"bytes\":%lld}", (long long)check->rate_bytes);
    buf_putc(out, '}');
}

static void service_to_json(const struct fleet_service *service, struct buf *out)
{
    buf_puts(out, "{\"name\":");
    buf_put_json(out, service->name);
    buf_printf(out, ",\"record\":\"%s\",\"agents\":\"%s\",\"names\":", service->record,
               service->has_agents ? "expected" : "none");
    buf_put_json_list(out, service->names, service->name_count);
    if (service->tasks)
        buf_printf(out, ",\"tasks\":%lld", (long long)service->tasks);
    if (service->through_count) {
        buf_puts(out, ",\"through\":");
        buf_put_json_list(out, service->through, service->through_count);
    }
    buf_puts(out, ",\"checks\":[");
    for (size_t i = 0; i < service->check_count; i++) {
        buf_puts(out, i ? "," : "");
        check_to_json(&service->checks[i], out);
    }
    buf_puts(out, "]}");
}

static void pairs_to_json(const struct fleet *fleet, struct buf *out)
{
    const char *separator = "";

    for (size_t source = 0; source < fleet->service_count; source++)
        for (size_t column = 0; column < fleet->column_count; column++) {
            enum expectation expected = fleet_expected(fleet, source, column);
            if (expected == fleet->fallback || !fleet->services[source].has_agents)
                continue;
            buf_printf(out, "%s{\"source\":", separator);
            buf_put_json(out, fleet->services[source].name);
            buf_puts(out, ",\"target\":");
            buf_put_json(out, fleet_column_service(fleet, column)->name);
            buf_puts(out, ",\"check\":");
            buf_put_json(out, fleet_column_check(fleet, column)->name);
            buf_printf(out, ",\"expected\":\"%s\"}", expectation_name(expected));
            separator = ",";
        }
}

void fleet_to_json(const struct fleet *fleet, struct buf *out)
{
    buf_puts(out, "{\"schema\":1,\"fleet\":");
    buf_put_json(out, fleet->name);
    if (fleet->is_followed)
        buf_puts(out, ",\"source\":\"ecs\"");
    if (fleet->cluster_count) {
        buf_puts(out, ",\"clusters\":");
        buf_put_json_list(out, fleet->clusters, fleet->cluster_count);
    }
    put_given(out, "region", fleet->region);
    buf_puts(out, ",\"services\":[");
    for (size_t i = 0; i < fleet->service_count; i++) {
        buf_puts(out, i ? "," : "");
        service_to_json(&fleet->services[i], out);
    }
    buf_printf(out, "],\"expect\":{\"default\":\"%s\",\"pairs\":[",
               expectation_name(fleet->fallback));
    pairs_to_json(fleet, out);
    buf_puts(out, "]}}");
}
