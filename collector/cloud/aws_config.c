#include "collector/cloud/aws_config.h"

#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *aws_config_variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* ---- files ---- */

static const char *path_of(struct arena *arena, const char *variable, const char *name)
{
    const char *path = aws_config_variable(variable), *home = aws_config_variable("HOME");

    return path ? arena_strdup(arena, path)
                : arena_printf(arena, "%s/.aws/%s", home ? home : "", name);
}

/* "[default]", but "[profile NAME]" in the config file. */
static void section_of(const char *profile, char *section, size_t size)
{
    snprintf(section, size, "%s%s", strcmp(profile, "default") == 0 ? "" : "profile ", profile);
}

bool aws_config_has_profile(const struct aws_config *config, const char *profile)
{
    char section[256];

    section_of(profile, section, sizeof(section));
    return ini_has_section(&config->credentials, profile) ||
           ini_has_section(&config->config, section);
}

static const char *from_config(const struct aws_config *config, const char *profile,
                               const char *key)
{
    char section[256];

    section_of(profile, section, sizeof(section));
    return ini_get(&config->config, section, key);
}

const char *aws_config_value(const struct aws_config *config, const char *profile, const char *key)
{
    const char *value = ini_get(&config->credentials, profile, key);

    return value ? value : from_config(config, profile, key);
}

/* ---- region ---- */

static bool is_region(const char *text)
{
    size_t length = strlen(text);

    return length && length < AWS_REGION_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length && *text != '-';
}

static int find_region(struct aws_config *config, const char *region, struct error *err)
{
    const char *source = "--region";

    if (!region) {
        source = "AWS_REGION";
        region = aws_config_variable(source);
    }
    if (!region) {
        source = "AWS_DEFAULT_REGION";
        region = aws_config_variable(source);
    }
    if (!region) {
        source = config->config_path;
        region = aws_config_value(config, config->profile, "region");
    }
    if (!region)
        return 0;
    if (!is_region(region))
        return error_set(err, -EINVAL, "%s: '%.80s' is not a region, such as eu-west-1", source,
                         region);
    text_copy(config->region, sizeof(config->region), region);
    return 0;
}

int aws_config_needs_region(const struct aws_config *config, struct error *err)
{
    if (*config->region)
        return 0;
    return error_set(err, -EINVAL,
                     "no AWS region: give --region, set AWS_REGION, or 'region' of the profile "
                     "'%s' in %s",
                     config->profile, config->config_path);
}

int aws_config_load(struct aws_config *config, const char *region, struct error *err)
{
    int r;

    *config = (struct aws_config){0};
    config->config_path = path_of(&config->config.arena, "AWS_CONFIG_FILE", "config");
    config->credentials_path =
        path_of(&config->config.arena, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    config->profile = aws_config_variable("AWS_PROFILE");
    config->is_profile_given = config->profile != NULL;
    if (!config->profile)
        config->profile = "default";
    r = ini_load(&config->config, config->config_path, err);
    if (r == 0)
        r = ini_load(&config->credentials, config->credentials_path, err);
    if (r == 0)
        r = find_region(config, region, err);
    return r;
}

int aws_config_reload_keys(struct aws_config *config, struct error *err)
{
    ini_deinit(&config->credentials);
    return ini_load(&config->credentials, config->credentials_path, err);
}

void aws_config_deinit(struct aws_config *config)
{
    ini_deinit(&config->credentials);
    ini_deinit(&config->config);
}

/* ---- endpoints ---- */

static const char *in_services(const struct aws_config *config, const char *key)
{
    const char *name = from_config(config, config->profile, "services");
    char section[256], path[128];

    if (!name)
        return NULL;
    snprintf(section, sizeof(section), "services %s", name);
    snprintf(path, sizeof(path), "%s/endpoint_url", key);
    return ini_get(&config->config, section, path);
}

/* The vendor's precedence: the service's variable, the general one, the service's entry in the
 * config file, the general one. */
static const char *configured(const struct aws_config *config, const struct aws_service *service,
                              const char **ret_source)
{
    const char *ignore = aws_config_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), *url;
    char variable[64];

    if (ignore && strcasecmp(ignore, "true") == 0)
        return NULL;
    snprintf(variable, sizeof(variable), "AWS_ENDPOINT_URL_%s", service->variable);
    *ret_source = "AWS_ENDPOINT_URL";
    url = aws_config_variable(variable);
    if (!url)
        url = aws_config_variable("AWS_ENDPOINT_URL");
    if (url)
        return url;
    *ret_source = config->config_path;
    url = in_services(config, service->key);
    return url ? url : from_config(config, config->profile, "endpoint_url");
}

struct partition {
    const char *prefix; /* of its regions */
    const char *suffix; /* of its hosts */
    const char *global; /* the region that Route 53's requests are signed for */
};

static const struct partition *partition_of(const char *region)
{
    static const struct partition partitions[] = {
        {"cn-", "amazonaws.com.cn", "cn-northwest-1"},
        {"us-gov-", "amazonaws.com", "us-gov-west-1"},
        {"", "amazonaws.com", "us-east-1"},
    };
    size_t i = 0;

    while (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) != 0)
        i++;
    return &partitions[i];
}

int aws_config_endpoint(const struct aws_config *config, enum aws_service_id id,
                        struct aws_endpoint *ret_endpoint, struct error *err)
{
    const struct aws_service *service = aws_service(id);
    const struct partition *partition = partition_of(config->region);
    const char *source = "", *url = configured(config, service, &source);
    bool is_gov = strncmp(config->region, "us-gov-", 7) == 0;

    text_copy(ret_endpoint->region, sizeof(ret_endpoint->region),
              id == AWS_ROUTE53 ? partition->global : config->region);
    if (!url) {
        if (id == AWS_ROUTE53)
            snprintf(ret_endpoint->url, sizeof(ret_endpoint->url), "https://route53.%s%s",
                     is_gov ? "us-gov." : "", partition->suffix);
        else
            snprintf(ret_endpoint->url, sizeof(ret_endpoint->url), "https://%s.%s.%s",
                     service->host, config->region, partition->suffix);
        return 0;
    }
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        strcspn(url, " ?#@\r\n") != strlen(url) ||
        !text_copy(ret_endpoint->url, sizeof(ret_endpoint->url), url))
        return error_set(err, -EINVAL, "%s: '%.120s' is not a URL such as http://127.0.0.1:5000",
                         source, url);
    while (ret_endpoint->url[strlen(ret_endpoint->url) - 1] == '/')
        ret_endpoint->url[strlen(ret_endpoint->url) - 1] = '\0';
    return 0;
}
