#include "agent/identity.h"

#include "agent/metadata.h"
#include "common/json.h"
#include "common/log.h"
#include "common/text.h"
#include "proto/proto.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define METADATA_DEPTH_MAX 16

static void take(struct identity *identity, const char **field, const char *value)
{
    if (!*field && value && *value && strlen(value) <= PROTO_NAME_MAX)
        *field = arena_strdup(&identity->arena, value);
}

static const char *after_last(const char *text, char separator)
{
    const char *at = text ? strrchr(text, separator) : NULL;

    return at ? at + 1 : text;
}

/* The app's containers; the pause container and Service Connect's have other types. */
static const cJSON *first_normal_container(const cJSON *document)
{
    const cJSON *containers = cJSON_GetObjectItemCaseSensitive(document, "Containers");
    const cJSON *container;

    cJSON_ArrayForEach(container, containers)
    {
        if (strcmp(json_string(container, "Type", "NORMAL"), "NORMAL") == 0)
            return container;
    }
    return NULL;
}

static const char *service_of_group(const char *group)
{
    return group && strncmp(group, "service:", 8) == 0 ? group + 8 : NULL;
}

int identity_parse_metadata(struct identity *identity, const char *json, size_t length,
                            struct error *err)
{
    CLEANUP_JSON cJSON *document = json_parse(json, length, METADATA_DEPTH_MAX, err);
    const cJSON *networks;
    const char *family;

    if (!document)
        return -EINVAL;
    if (!cJSON_IsObject(document))
        return error_set(err, -EINVAL, "the task metadata is not an object");
    take(identity, &identity->cluster, json_string(document, "Cluster", NULL));
    take(identity, &identity->task, after_last(json_string(document, "TaskARN", NULL), '/'));
    take(identity, &identity->service, json_string(document, "ServiceName", NULL));
    take(identity, &identity->service, service_of_group(json_string(document, "Group", NULL)));
    take(identity, &identity->zone, json_string(document, "AvailabilityZone", NULL));
    family = json_string(document, "Family", NULL);
    if (family && !identity->revision)
        take(identity, &identity->revision,
             arena_printf(&identity->arena, "%s:%s", family,
                          json_string(document, "Revision", "?")));
    networks = cJSON_GetObjectItemCaseSensitive(first_normal_container(document), "Networks");
    take(identity, &identity->mode,
         json_string(cJSON_GetArrayItem(networks, 0), "NetworkMode", NULL));
    return 0;
}

static int read_metadata(struct identity *identity, const char *url, struct error *err)
{
    CLEANUP_BUF struct buf document = BUF_INIT(METADATA_MAX);
    int r = metadata_fetch(url, &document, err);

    return r < 0 ? r : identity_parse_metadata(identity, buf_text(&document), document.length, err);
}

int identity_complete(struct identity *identity, struct error *err)
{
    const char *url = getenv(METADATA_ENV);
    struct error why;
    uint64_t random;
    char name[PROTO_NAME_MAX + 1] = "";

    identity->is_ecs = url && *url;
    if (identity->is_ecs && read_metadata(identity, url, &why) < 0)
        log_warn("metadata-unavailable", "error=%s", LOG_QUOTE(why.text));
    if (gethostname(name, sizeof(name) - 1) == 0)
        take(identity, &identity->task, name);
    if (!identity->service)
        return error_set(err, -EINVAL,
                         "no service name: give --service (CANREACH_SERVICE), or run inside an ECS "
                         "task, where %s names it",
                         METADATA_ENV);
    if (!identity->task)
        return error_set(err, -EINVAL, "no task name: give --task (CANREACH_TASK)");
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return error_set(err, -errno, "no random number for the instance: %s", strerror(errno));
    snprintf(identity->instance, sizeof(identity->instance), "%016llx", (unsigned long long)random);
    return 0;
}

void identity_deinit(struct identity *identity)
{
    arena_deinit(&identity->arena);
}
