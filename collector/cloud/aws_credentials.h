/* aws_credentials: where the keys come from, in the vendor's order ("Standardized credential
 * providers" of the AWS SDKs and Tools Reference Guide), and their renewal.
 *
 * environment; a profile (static keys, or roles to assume); web identity; the container's endpoint;
 * the instance's (IMDSv2). What is set up and does not work is an error: the next source is only
 * for what is not set up at all. SSO and credential_process are not taken: the error says what to
 * do.
 */
#ifndef COLLECTOR_CLOUD_AWS_CREDENTIALS_H
#define COLLECTOR_CLOUD_AWS_CREDENTIALS_H

#include "collector/cloud/aws_config.h"
#include "collector/cloud/aws_request.h"

struct aws_credentials;

/* Keys valid for a while, or NULL and why. Borrowed until the callee returns. */
typedef void (*aws_keys_fn)(void *ctx, const struct aws_keys *keys, const char *why);

/* `config` and `http` are borrowed. */
struct aws_credentials *aws_credentials_new(struct loop *loop, struct http *http,
                                            struct aws_config *config);
struct aws_credentials *aws_credentials_free(struct aws_credentials *credentials);

/* Calls `fn` at once where there are keys, later where they have to be fetched. */
void aws_credentials_get(struct aws_credentials *credentials, aws_keys_fn fn, void *ctx);
/* Whoever waits with this `ctx` is not called any more. */
void aws_credentials_forget(struct aws_credentials *credentials, const void *ctx);
/* They were refused as expired: the next get fetches new ones. */
void aws_credentials_expire(struct aws_credentials *credentials);
/* Where they come from, e.g. "environment"; "" before the first. */
const char *aws_credentials_source(const struct aws_credentials *credentials);

#endif
