/* aws_metadata: the endpoints that hand out a role's keys to whoever runs there: a container's
 * (ECS, EKS), and an instance's (IMDSv2: a token first).
 *
 * After "Container credential provider" and "IMDS credential provider" of the AWS SDKs and Tools
 * Reference Guide: short time-outs, a few tries, never through a proxy.
 */
#ifndef COLLECTOR_CLOUD_AWS_METADATA_H
#define COLLECTOR_CLOUD_AWS_METADATA_H

#include "collector/cloud/http.h"
#include "common/error.h"

#define AWS_SECRET_MAX 16384 /* bytes of a token */

struct aws_metadata;

/* Borrowed until the callee returns; a text that is not there is NULL. */
struct aws_metadata_keys {
    const char *access, *secret, *token;
    int64_t expires_ms; /* wall clock; 0: never */
};

/* Keys, or NULL and why. May be called before the question returns. */
typedef void (*aws_metadata_fn)(void *ctx, const struct aws_metadata_keys *keys, const char *why);

struct aws_metadata *aws_metadata_new(struct loop *loop, struct http *http);
struct aws_metadata *aws_metadata_free(struct aws_metadata *metadata); /* accepts NULL */

/* One question at a time. */
void aws_metadata_ask_container(struct aws_metadata *metadata, aws_metadata_fn fn, void *ctx);
void aws_metadata_ask_instance(struct aws_metadata *metadata, aws_metadata_fn fn, void *ctx);
/* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI is set. */
bool aws_metadata_has_container(void);

/* A file of one line, without its end. The caller wipes it. -EINVAL or -errno with `err`. */
int aws_metadata_read_secret(const char *path, struct buf *out, struct error *err);
/* Overwrites a secret. Accepts NULL. */
void aws_metadata_wipe(char *text);

#endif
