/* aws_config: how AWS's own tools are set up here: profile, region, endpoints.
 *
 * From the environment and the shared configuration files, in the vendor's order ("Settings
 * reference" of the AWS SDKs and Tools Reference Guide). Nothing of it is a setting of canreach.
 */
#ifndef COLLECTOR_CLOUD_AWS_CONFIG_H
#define COLLECTOR_CLOUD_AWS_CONFIG_H

#include "collector/cloud/aws_service.h"
#include "collector/cloud/ini.h"

#define AWS_REGION_MAX 64

struct aws_config {
    struct ini config, credentials;
    const char *config_path, *credentials_path; /* of the arena in `config` */
    const char *profile;
    bool is_profile_given; /* AWS_PROFILE is set */
    char region[AWS_REGION_MAX];
};

/* `region`: beats what is set up; NULL: that counts. A region may be missing ("": see
 * aws_config_needs_region). 0 or a negative errno with `err`. */
int aws_config_load(struct aws_config *config, const char *region, struct error *err);
/* The credentials file anew: another tool may have put fresh keys there. Likewise. */
int aws_config_reload_keys(struct aws_config *config, struct error *err);
void aws_config_deinit(struct aws_config *config);
/* -EINVAL with `err` where there is no region. */
int aws_config_needs_region(const struct aws_config *config, struct error *err);

/* A profile's value: from the credentials file, then from the config file; or NULL. */
const char *aws_config_value(const struct aws_config *config, const char *profile, const char *key);
bool aws_config_has_profile(const struct aws_config *config, const char *profile);

/* The environment variable, or NULL where it is not set or empty. */
const char *aws_config_variable(const char *name);

/* Where a service is called, "https://ecs.eu-west-1.amazonaws.com" without a '/' at the end, and
 * the region that its requests are signed for. */
struct aws_endpoint {
    char url[512];
    char region[AWS_REGION_MAX];
};
/* -EINVAL with `err`: a URL that is none. */
int aws_config_endpoint(const struct aws_config *config, enum aws_service_id service,
                        struct aws_endpoint *ret_endpoint, struct error *err);

#endif
