#include "collector/config.h"

#include "collector/parser.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS     86400000LL
#define SECRET_MAX 4096
#define REMIND_MS  DAY_MS
#define TO_MAX     50

/* ---- small pieces ---- */

static void read_bool(struct parser *parser, const yaml_node_t *node, const char *what,
                      bool *ret_value)
{
    static const char *const words[] = {"true", "false", "yes", "no"};
    const char *word = parser_one_of(parser, node, what, words, ARRAY_SIZE(words));

    if (word)
        *ret_value = strcmp(word, "true") == 0 || strcmp(word, "yes") == 0;
}

static void read_text(struct parser *parser, const yaml_node_t *node, const char *what,
                      const char **ret_text)
{
    const char *text = parser_scalar(parser, node, what);

    if (!text)
        return;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ') {
            parser_fail(parser, node, "%s holds control characters", what);
            return;
        }
    *ret_text = parser_keep(parser, text);
}

/* ---- gate ---- */

static bool read_weight(struct parser *parser, const char *key, const yaml_node_t *value,
                        struct gate_rules *rules)
{
    static const char *const words[] = {"ignore", "inconclusive", "fail"};
    struct {
        const char *key;
        enum gate_weight *weight;
    } places[] = {{"known-failures", &rules->known},
                  {"draining", &rules->draining},
                  {"stale-records", &rules->stale},
                  {"app-errors", &rules->app_error}};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const char *word;
        if (strcmp(key, places[i].key) != 0)
            continue;
        word = parser_one_of(parser, value, key, words, ARRAY_SIZE(words));
        for (size_t w = 0; word && w < ARRAY_SIZE(words); w++)
            if (strcmp(word, words[w]) == 0)
                *places[i].weight = (enum gate_weight)w;
        return true;
    }
    return false;
}

static void on_gate_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                        const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"known-failures", "draining",    "stale-records",
                                        "app-errors",     "stale-grace", "wait",
                                        "poll",           "look",        "follow"};
    struct gate_settings *gate = &((struct config *)ctx)->gate;

    if (read_weight(parser, key, value, &gate->rules))
        return;
    if (strcmp(key, "stale-grace") == 0)
        parser_duration(parser, value, key, 0, 3600000, &gate->rules.stale_ms);
    else if (strcmp(key, "wait") == 0)
        parser_duration(parser, value, key, GATE_WAIT_MIN_MS, GATE_WAIT_MAX_MS, &gate->wait_ms);
    else if (strcmp(key, "poll") == 0)
        parser_duration(parser, value, key, 500, 60000, &gate->poll_ms);
    else if (strcmp(key, "look") == 0)
        parser_duration(parser, value, key, 500, 60000, &gate->look_ms);
    else if (strcmp(key, "follow") == 0)
        parser_duration(parser, value, key, 10000, DAY_MS, &gate->follow_ms);
    else
        parser_unknown_key(parser, key_node, key, "gate", known, ARRAY_SIZE(known));
}

/* ---- retention ---- */

static void on_retention_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                             const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"runs", "age"};
    struct retention_settings *retention = &((struct config *)ctx)->retention;

    if (strcmp(key, "runs") == 0)
        parser_int(parser, value, key, 2, 1000000, &retention->runs);
    else if (strcmp(key, "age") == 0)
        parser_duration(parser, value, key, 3600000, 3650 * DAY_MS, &retention->age_ms);
    else
        parser_unknown_key(parser, key_node, key, "retention", known, ARRAY_SIZE(known));
}

/* ---- schedules ---- */

struct schedule_keys {
    struct schedule_settings *schedule;
    const yaml_node_t *cron, *zone;
};

static void add_service(struct parser *parser, const yaml_node_t *item, void *ctx)
{
    const char *text = parser_scalar(parser, item, "a service");

    if (text)
        options_list_add(ctx, text, strlen(text));
}

static void on_schedule_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                            const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"name", "cron",   "zone",     "jitter",
                                        "from", "missed", "deadline", "to"};
    static const char *const policies[] = {"run", "skip"};
    struct schedule_keys *keys = ctx;
    struct schedule_settings *schedule = keys->schedule;

    if (strcmp(key, "name") == 0)
        read_text(parser, value, key, &schedule->name);
    else if (strcmp(key, "cron") == 0)
        keys->cron = value;
    else if (strcmp(key, "zone") == 0)
        keys->zone = value;
    else if (strcmp(key, "jitter") == 0)
        parser_duration(parser, value, key, 0, 6 * 3600000, &schedule->jitter_ms);
    else if (strcmp(key, "deadline") == 0)
        parser_duration(parser, value, key, RUN_DEADLINE_MIN_MS, RUN_DEADLINE_MAX_MS,
                        &schedule->deadline_ms);
    else if (strcmp(key, "missed") == 0) {
        const char *word = parser_one_of(parser, value, key, policies, ARRAY_SIZE(policies));
        schedule->catches_up = word && strcmp(word, "run") == 0;
    } else if (strcmp(key, "from") == 0)
        parser_each_item(parser, value, key, OPTIONS_LIST_MAX, add_service, &schedule->from);
    else if (strcmp(key, "to") == 0)
        parser_each_item(parser, value, key, OPTIONS_LIST_MAX, add_service, &schedule->to);
    else
        parser_unknown_key(parser, key_node, key, "a schedule", known, ARRAY_SIZE(known));
}

static void read_times(struct parser *parser, const yaml_node_t *item,
                       const struct schedule_keys *keys)
{
    struct schedule_settings *schedule = keys->schedule;
    const char *zone = keys->zone ? parser_scalar(parser, keys->zone, "zone") : "UTC";
    struct error err;

    if (!keys->cron)
        parser_fail(parser, item, "a schedule without 'cron'");
    else
        read_text(parser, keys->cron, "cron", &schedule->text);
    if (schedule->text && cron_parse(schedule->text, &schedule->cron, &err) < 0)
        parser_fail(parser, keys->cron, "cron: %s", err.text);
    if (zone && zone_load(zone, clock_wall_ms() / 1000, &schedule->zone, &err) < 0)
        parser_fail(parser, keys->zone, "zone: %s", err.text);
    if (schedule->text && schedule->zone &&
        !cron_next(&schedule->cron, schedule->zone, clock_wall_ms() / 1000))
        parser_warn(parser, keys->cron, "'%s' never comes", schedule->text);
}

static void on_schedule(struct parser *parser, const yaml_node_t *item, void *ctx)
{
    struct config *config = ctx;
    struct schedule_keys keys = {.schedule = &config->schedules[config->schedule_count]};

    if (!parser_is_mapping(parser, item, "a schedule"))
        return;
    config->schedule_count++;
    parser_each_key(parser, item, on_schedule_key, &keys);
    if (!keys.schedule->name || !*keys.schedule->name)
        parser_fail(parser, item, "a schedule without 'name'");
    for (size_t i = 0; i + 1 < config->schedule_count && keys.schedule->name; i++)
        if (config->schedules[i].name &&
            strcmp(config->schedules[i].name, keys.schedule->name) == 0)
            parser_fail(parser, item, "two schedules are named '%.60s'", keys.schedule->name);
    read_times(parser, item, &keys);
}

/* ---- alerts ---- */

/* "env:NAME" or "file:PATH": a secret itself does not belong into this file. */
static void read_secret(struct parser *parser, const yaml_node_t *node, const char *what,
                        const char **ret_secret)
{
    const char *text = parser_scalar(parser, node, what);
    char secret[SECRET_MAX] = "";
    FILE *file;

    if (!text)
        return;
    if (strncmp(text, "env:", 4) == 0) {
        const char *value = getenv(text + 4);
        if (!value || !*value)
            parser_fail(parser, node, "%s: the environment has no %.80s", what, text + 4);
        else
            *ret_secret = parser_keep(parser, value);
        return;
    }
    if (strncmp(text, "file:", 5) != 0) {
        parser_fail(parser, node, "%s: expected env:NAME or file:PATH, not the secret itself",
                    what);
        return;
    }
    file = fopen(text + 5, "re");
    if (!file || !fgets(secret, sizeof(secret), file))
        parser_fail(parser, node, "%s: %.200s: %s", what, text + 5,
                    file ? "nothing in it" : strerror(errno));
    if (file)
        fclose(file);
    secret[strcspn(secret, "\r\n")] = '\0';
    *ret_secret = parser_keep(parser, secret);
}

static void add_recipient(struct parser *parser, const yaml_node_t *item, void *ctx)
{
    struct destination *destination = ctx;
    const char *text = parser_scalar(parser, item, "an address");

    if (text && (!strchr(text, '@') || strpbrk(text, " <>\r\n")))
        parser_fail(parser, item, "'%.60s' is no e-mail address", text);
    else if (text)
        destination->to[destination->to_count++] = parser_keep(parser, text);
}

struct destination_keys {
    struct destination *destination;
    const yaml_node_t *type;
};

static void on_destination_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                               const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"name",  "type",    "url",      "secret", "user",
                                        "topic", "project", "from",     "to",     "issuetype",
                                        "ca",    "plain",   "namespace"};
    struct destination_keys *keys = ctx;
    struct destination *destination = keys->destination;
    struct {
        const char *key;
        const char **text;
    } texts[] = {{"name", &destination->name},
                 {"url", &destination->url},
                 {"user", &destination->user},
                 {"topic", &destination->topic},
                 {"project", &destination->project},
                 {"issuetype", &destination->issue_type},
                 {"from", &destination->from},
                 {"namespace", &destination->space},
                 {"ca", &destination->ca}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strcmp(key, texts[i].key) == 0) {
            read_text(parser, value, key, texts[i].text);
            return;
        }
    if (strcmp(key, "type") == 0) {
        keys->type = value;
    } else if (strcmp(key, "secret") == 0) {
        read_secret(parser, value, key, &destination->secret);
    } else if (strcmp(key, "plain") == 0) {
        read_bool(parser, value, key, &destination->is_plain);
    } else if (strcmp(key, "to") == 0) {
        destination->to = arena_alloc(parser->arena, TO_MAX, sizeof(*destination->to));
        parser_each_item(parser, value, key, TO_MAX, add_recipient, destination);
    } else {
        parser_unknown_key(parser, key_node, key, "a destination", known, ARRAY_SIZE(known));
    }
}

static bool has_scheme(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

/* What its type cannot do without. */
static void check_destination(struct parser *parser, const yaml_node_t *item,
                              struct destination *destination)
{
    bool is_http =
        has_scheme(destination->url, "http://") || has_scheme(destination->url, "https://");
    const char *lack = NULL;

    switch (destination->type) {
    case DESTINATION_WEBHOOK:
    case DESTINATION_SLACK:
        lack = is_http ? NULL : "'url': http://... or https://...";
        break;
    case DESTINATION_PAGERDUTY:
        if (!*destination->url)
            destination->url = "https://events.pagerduty.com/v2/enqueue";
        lack = *destination->secret ? NULL : "'secret': its routing key";
        break;
    case DESTINATION_JIRA:
        lack = !is_http                 ? "'url': https://..."
               : !*destination->project ? "'project'"
               : !*destination->secret  ? "'secret': a token"
                                        : NULL;
        break;
    case DESTINATION_SNS:
        lack = has_scheme(destination->topic, "arn:") ? NULL : "'topic': an ARN";
        break;
    case DESTINATION_SMTP:
        lack = !has_scheme(destination->url, "smtp://") && !has_scheme(destination->url, "smtps://")
                   ? "'url': smtp://HOST:PORT or smtps://HOST:PORT"
               : !strchr(destination->from, '@') ? "'from': an address"
               : !destination->to_count          ? "'to': a list of addresses"
                                                 : NULL;
        break;
    default:
        break;
    }
    if (lack)
        parser_fail(parser, item, "destination '%.60s' (%s) needs %s", destination->name,
                    destination_type_name(destination->type), lack);
}

static void on_destination(struct parser *parser, const yaml_node_t *item, void *ctx)
{
    struct config *config = ctx;
    struct destination *destination = &config->destinations[config->alerts.count];
    struct destination_keys keys = {.destination = destination};
    const char *types[DESTINATION_TYPE_COUNT], *word;

    *destination = (struct destination){.name = "",
                                        .url = "",
                                        .secret = "",
                                        .user = "",
                                        .topic = "",
                                        .project = "",
                                        .issue_type = "Bug",
                                        .from = "",
                                        .space = "Canreach",
                                        .ca = ""};
    if (!parser_is_mapping(parser, item, "a destination"))
        return;
    config->alerts.count++;
    parser_each_key(parser, item, on_destination_key, &keys);
    if (!*destination->name)
        parser_fail(parser, item, "a destination without 'name'");
    for (size_t i = 0; i + 1 < config->alerts.count; i++)
        if (strcmp(config->destinations[i].name, destination->name) == 0)
            parser_fail(parser, item, "two destinations are named '%.60s'", destination->name);
    for (size_t i = 0; i < DESTINATION_TYPE_COUNT; i++)
        types[i] = destination_type_name((enum destination_type)i);
    if (!keys.type) {
        parser_fail(parser, item, "a destination without 'type'");
        return;
    }
    word = parser_one_of(parser, keys.type, "type", types, DESTINATION_TYPE_COUNT);
    for (size_t i = 0; word && i < DESTINATION_TYPE_COUNT; i++)
        if (strcmp(word, types[i]) == 0)
            destination->type = (enum destination_type)i;
    if (word)
        check_destination(parser, item, destination);
}

static void on_alert_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                         const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"remind",   "retry",  "url",         "observed",
                                        "warnings", "manual", "destinations"};
    struct config *config = ctx;
    struct alert_settings *alerts = &config->alerts;

    if (strcmp(key, "remind") == 0)
        parser_duration(parser, value, key, 0, 365 * DAY_MS, &alerts->remind_ms);
    else if (strcmp(key, "retry") == 0)
        parser_duration(parser, value, key, 100, ALERT_BACKOFF_MAX_MS, &alerts->backoff_ms);
    else if (strcmp(key, "url") == 0)
        read_text(parser, value, key, &alerts->url);
    else if (strcmp(key, "observed") == 0)
        read_bool(parser, value, key, &alerts->wants_observed);
    else if (strcmp(key, "warnings") == 0)
        read_bool(parser, value, key, &alerts->wants_warnings);
    else if (strcmp(key, "manual") == 0)
        read_bool(parser, value, key, &alerts->takes_manual);
    else if (strcmp(key, "destinations") == 0)
        parser_each_item(parser, value, key, ALERT_DESTINATIONS_MAX, on_destination, config);
    else
        parser_unknown_key(parser, key_node, key, "alerts", known, ARRAY_SIZE(known));
}

/* ---- the whole ---- */

static void on_section(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"gate", "retention", "schedules", "alerts"};
    static const parser_key_fn readers[] = {on_gate_key, on_retention_key, NULL, on_alert_key};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(key, known[i]) != 0)
            continue;
        if (!readers[i])
            parser_each_item(parser, value, key, SCHEDULES_MAX, on_schedule, ctx);
        else if (parser_is_mapping(parser, value, key))
            parser_each_key(parser, value, readers[i], ctx);
        return;
    }
    parser_unknown_key(parser, key_node, key, "the configuration", known, ARRAY_SIZE(known));
}

void config_init(struct config *config)
{
    *config = (struct config){
        .gate = GATE_SETTINGS_DEFAULT,
        .retention = {RETENTION_RUNS, RETENTION_AGE_MS},
        .alerts = {.remind_ms = REMIND_MS, .backoff_ms = ALERT_BACKOFF_MS, .url = ""},
    };
    config->schedules = mem_array(SCHEDULES_MAX, sizeof(*config->schedules));
    config->destinations = mem_array(ALERT_DESTINATIONS_MAX, sizeof(*config->destinations));
    config->alerts.destinations = config->destinations;
}

void config_deinit(struct config *config)
{
    for (size_t i = 0; i < config->schedule_count; i++) {
        zone_free(config->schedules[i].zone);
        options_list_deinit(&config->schedules[i].from);
        options_list_deinit(&config->schedules[i].to);
    }
    mem_free(config->schedules);
    mem_free(config->destinations);
    arena_deinit(&config->arena);
}

int config_parse(struct config *config, const char *origin, const char *text, size_t length,
                 struct fleet_messages *messages)
{
    struct parser parser = {.origin = origin, .messages = messages, .arena = &config->arena};
    const yaml_node_t *root;

    if (!messages->text.limit)
        messages->text = BUF_INIT(BUF_UNBOUNDED);
    if (!parser_load(&parser, text, length))
        return -EINVAL;
    root = yaml_document_get_root_node(&parser.document);
    if (root && parser_is_mapping(&parser, root, "the configuration"))
        parser_each_key(&parser, root, on_section, config);
    yaml_document_delete(&parser.document);
    return messages->errors ? -EINVAL : 0;
}

int config_load(struct config *config, const char *path, struct fleet_messages *messages)
{
    CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_BYTES_MAX);
    struct parser parser = {.origin = path, .messages = messages};
    FILE *file = fopen(path, "rbe");
    char chunk[8192];
    size_t length;

    if (!messages->text.limit)
        messages->text = BUF_INIT(BUF_UNBOUNDED);
    if (!file) {
        parser_fail(&parser, NULL, "%s", strerror(errno));
        return -EINVAL;
    }
    while ((length = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(&text, chunk, length);
    fclose(file);
    if (buf_is_full(&text)) {
        parser_fail(&parser, NULL, "more than %d bytes", CONFIG_BYTES_MAX);
        return -EINVAL;
    }
    return config_parse(config, path, buf_text(&text), text.length, messages);
}
