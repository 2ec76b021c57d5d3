#include "collector/cloud/aws_credentials.h"

#include "collector/cloud/aws_metadata.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REFRESH_MS   (5 * 60 * 1000) /* before they expire */
#define RETRY_MS     (60 * 1000)     /* a renewal that failed, while the old ones are good */
#define FAILED_MS    (10 * 1000)     /* so long nobody asks again */
#define ROLES_MAX    5
#define STS_TRIES    3
#define STS_RETRY_MS 300

struct waiter {
    struct waiter *next;
    aws_keys_fn fn;
    void *ctx;
};

/* A role that is assumed with the keys before it. */
struct role {
    const char *arn, *session, *external_id;
};

struct keys {
    char access[256], secret[256], *token; /* token: owned, never NULL once there are keys */
    bool is_there;
    int64_t expires_ms; /* wall clock; 0: never */
};

/* The question that STS is asked. */
struct sts {
    const char *operation;
    struct aws_params params;
    bool is_signed;
    int64_t skew_ms; /* its clock less ours */
    unsigned tries;
};

struct aws_credentials {
    struct loop *loop;
    struct http *http;
    struct aws_config *config;

    struct keys current, next; /* next: while they are fetched; a role's own source is never used */
    bool is_stale;
    int64_t retry_ms;  /* no renewal before */
    int64_t failed_ms; /* when there were none, and why */
    struct error failure;
    char source[128];

    struct waiter *waiters;
    bool is_fetching;
    bool is_last_source; /* IMDS without any sign of an instance: "no credentials" if it fails */
    struct role roles[ROLES_MAX];
    size_t role_count;
    struct aws_metadata *metadata;
    struct sts sts;
    struct http_call *call; /* of STS */
    struct loop_timer timer;
};

static void go_on_with_keys(struct aws_credentials *credentials);

/* ---- the keys ---- */

static void forget_keys(struct keys *keys)
{
    OPENSSL_cleanse(keys->access, sizeof(keys->access));
    OPENSSL_cleanse(keys->secret, sizeof(keys->secret));
    aws_metadata_wipe(keys->token);
    mem_free(keys->token);
    *keys = (struct keys){.token = NULL};
}

static bool is_one_line(const char *text, size_t limit)
{
    return strlen(text) < limit && strcspn(text, "\r\n") == strlen(text);
}

/* False: too long, or empty. */
static bool keep_keys(struct aws_credentials *credentials, const char *access, const char *secret,
                      const char *token, int64_t expires_ms)
{
    struct keys *keys = &credentials->next;
    char *copy;

    if (!access || !*access || !secret || !*secret || !is_one_line(access, sizeof(keys->access)) ||
        !is_one_line(secret, sizeof(keys->secret)) ||
        (token && !is_one_line(token, AWS_SECRET_MAX)))
        return false;
    copy = mem_strdup(token ? token : "");
    forget_keys(keys);
    text_copy(keys->access, sizeof(keys->access), access);
    text_copy(keys->secret, sizeof(keys->secret), secret);
    keys->token = copy;
    keys->expires_ms = expires_ms;
    keys->is_there = true;
    return true;
}

static struct aws_keys keys_of(const struct keys *keys)
{
    return (struct aws_keys){keys->access, keys->secret, keys->token};
}

/* ---- who waits ---- */

static void answer_all(struct aws_credentials *credentials, const char *why)
{
    struct aws_keys keys = keys_of(&credentials->current);

    while (credentials->waiters) {
        struct waiter *waiter = credentials->waiters;
        credentials->waiters = waiter->next;
        waiter->fn(waiter->ctx, why ? NULL : &keys, why ? why : "");
        mem_free(waiter);
    }
}

static bool are_good_until(const struct aws_credentials *credentials, int64_t wall_ms)
{
    const struct keys *keys = &credentials->current;

    return keys->is_there && !credentials->is_stale &&
           (!keys->expires_ms || wall_ms < keys->expires_ms);
}

static void fail(struct aws_credentials *credentials, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct aws_credentials *credentials, const char *format, ...)
{
    struct error err;
    va_list args;

    va_start(args, format);
    vsnprintf(err.text, sizeof(err.text), format, args);
    va_end(args);
    credentials->is_fetching = false;
    if (are_good_until(credentials, clock_wall_ms())) { /* a renewal, too early to worry */
        log_warn("credentials-not-renewed", "why=%s", LOG_QUOTE(err.text));
        credentials->retry_ms = clock_wall_ms() + RETRY_MS;
        answer_all(credentials, NULL);
        return;
    }
    credentials->failed_ms = clock_wall_ms();
    credentials->failure = err;
    answer_all(credentials, err.text);
}

static void succeed(struct aws_credentials *credentials)
{
    forget_keys(&credentials->current);
    credentials->current = credentials->next;
    credentials->next = (struct keys){.token = NULL};
    credentials->is_stale = false;
    credentials->failed_ms = 0;
    credentials->is_fetching = false;
    answer_all(credentials, NULL);
}

/* ---- what the endpoints hand out ---- */

static void say_none(struct aws_credentials *credentials, const char *imds)
{
    fail(credentials,
         "no AWS credentials: AWS_ACCESS_KEY_ID is not set; %s%.100s; neither "
         "AWS_WEB_IDENTITY_TOKEN_FILE nor AWS_CONTAINER_CREDENTIALS_*_URI is set; %s",
         credentials->config->credentials.is_there || credentials->config->config.is_there
             ? "no keys and no role in profile "
             : "no file ",
         credentials->config->credentials.is_there || credentials->config->config.is_there
             ? credentials->config->profile
             : credentials->config->credentials_path,
         imds);
}

static void take_handed_keys(struct aws_credentials *credentials,
                             const struct aws_metadata_keys *keys, const char *source,
                             const char *why)
{
    if (!keys && credentials->is_last_source) {
        say_none(credentials, why);
    } else if (!keys) {
        fail(credentials, "AWS credentials: %s", why);
    } else if (!keep_keys(credentials, keys->access, keys->secret, keys->token, keys->expires_ms)) {
        fail(credentials, "AWS credentials: the %s hands out keys that are none", source);
    } else {
        snprintf(credentials->source, sizeof(credentials->source), "%s", source);
        go_on_with_keys(credentials);
    }
}

static void on_container_keys(void *ctx, const struct aws_metadata_keys *keys, const char *why)
{
    take_handed_keys(ctx, keys, "container endpoint", why);
}

static void on_instance_keys(void *ctx, const struct aws_metadata_keys *keys, const char *why)
{
    take_handed_keys(ctx, keys, "instance role (IMDSv2)", why);
}

/* ---- STS ---- */

static void try_sts(void *ctx);

/* True: it will be tried again. By the service's clock, where that differs from ours. */
static bool tries_sts_again(struct aws_credentials *credentials, const struct aws_outcome *outcome,
                            int64_t date_ms)
{
    if (credentials->sts.tries == STS_TRIES ||
        (outcome->fault != AWS_TRY_AGAIN && (outcome->fault != AWS_SKEWED || !date_ms)))
        return false;
    if (outcome->fault == AWS_SKEWED)
        credentials->sts.skew_ms = date_ms - clock_wall_ms();
    loop_timer_in_ms(credentials->loop, &credentials->timer, STS_RETRY_MS);
    return true;
}

static void on_sts(void *ctx, const struct http_answer *answer)
{
    struct aws_credentials *credentials = ctx;
    struct arena arena = {0};
    struct aws_outcome outcome;
    const struct tree *root = aws_answer_read(&arena, AWS_STS, answer, &outcome);
    const struct tree *keys = tree_get(root, "AssumeRoleResult/Credentials");
    int64_t expires_ms = 0;

    credentials->call = NULL;
    if (!keys)
        keys = tree_get(root, "AssumeRoleWithWebIdentityResult/Credentials");
    if (root && clock_from_rfc3339(tree_text(keys, "Expiration", ""), &expires_ms) &&
        keep_keys(credentials, tree_text(keys, "AccessKeyId", NULL),
                  tree_text(keys, "SecretAccessKey", NULL), tree_text(keys, "SessionToken", NULL),
                  expires_ms))
        go_on_with_keys(credentials);
    else if (root)
        fail(credentials, "AWS credentials: STS answers without keys");
    else if (!tries_sts_again(credentials, &outcome, answer->date_ms))
        fail(credentials, "AWS credentials: the role is not to be had from STS: %s%s%.200s",
             outcome.code, *outcome.text ? ": " : "", outcome.text);
    arena_deinit(&arena);
}

static void try_sts(void *ctx)
{
    struct aws_credentials *credentials = ctx;
    struct sts *sts = &credentials->sts;
    struct aws_endpoint endpoint;
    struct aws_request request = {0};
    struct aws_keys keys = keys_of(&credentials->next);
    struct error err = {""};
    int r = aws_config_needs_region(credentials->config, &err);

    sts->tries++;
    if (r == 0)
        r = aws_config_endpoint(credentials->config, AWS_STS, &endpoint, &err);
    if (r == 0)
        r = aws_request_build(&request, AWS_STS, sts->operation, NULL, &sts->params, &endpoint,
                              sts->is_signed ? &keys : NULL, clock_wall_ms() + sts->skew_ms, &err);
    if (r == 0) {
        credentials->call = http_send(credentials->http, &request.http, on_sts, credentials);
        if (!credentials->call)
            r = error_set(&err, -ENOMEM, "%s cannot be asked", endpoint.url);
    }
    aws_request_deinit(&request);
    if (r < 0)
        fail(credentials, "AWS credentials: %s", err.text);
}

static void forget_sts(struct sts *sts)
{
    if (sts->params.text.data)
        OPENSSL_cleanse(sts->params.text.data, sts->params.text.length);
    aws_params_deinit(&sts->params);
}

/* Takes over the parameters. */
static void ask_sts(struct aws_credentials *credentials, const char *operation,
                    struct aws_params params, bool is_signed)
{
    forget_sts(&credentials->sts);
    credentials->sts = (struct sts){.operation = operation,
                                    .params = params,
                                    .is_signed = is_signed,
                                    .skew_ms = credentials->sts.skew_ms};
    try_sts(credentials);
}

static struct aws_params sts_params(const struct role *role)
{
    struct aws_params params = {.protocol = AWS_QUERY, .text = BUF_INIT(AWS_PARAMS_MAX)};

    aws_put(&params, "RoleArn", role->arn);
    aws_put(&params, "RoleSessionName", role->session ? role->session : "canreach");
    return params;
}

/* There are keys: the roles are assumed one after the other, the innermost first. */
static void go_on_with_keys(struct aws_credentials *credentials)
{
    struct aws_params params;
    const struct role *role;

    if (!credentials->role_count) {
        succeed(credentials);
        return;
    }
    role = &credentials->roles[--credentials->role_count];
    params = sts_params(role);
    if (role->external_id)
        aws_put(&params, "ExternalId", role->external_id);
    snprintf(credentials->source, sizeof(credentials->source), "role %.100s", role->arn);
    ask_sts(credentials, "AssumeRole", params, true);
}

static void begin_web_identity(struct aws_credentials *credentials, const char *path,
                               const struct role *role)
{
    CLEANUP_BUF struct buf token = BUF_INIT(AWS_SECRET_MAX);
    struct aws_params params;
    struct error err;

    if (!role->arn) {
        fail(credentials, "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not");
        return;
    }
    if (aws_metadata_read_secret(path, &token, &err) < 0) {
        fail(credentials, "the web identity's token: %s", err.text);
        return;
    }
    params = sts_params(role);
    aws_put(&params, "WebIdentityToken", buf_text(&token));
    snprintf(credentials->source, sizeof(credentials->source), "web identity");
    ask_sts(credentials, "AssumeRoleWithWebIdentity", params, false);
    aws_metadata_wipe(token.data);
}

/* ---- environment and profiles ---- */

static bool take_environment(struct aws_credentials *credentials)
{
    const char *access = aws_config_variable("AWS_ACCESS_KEY_ID");
    const char *secret = aws_config_variable("AWS_SECRET_ACCESS_KEY");

    if (!access && !secret)
        return false;
    snprintf(credentials->source, sizeof(credentials->source), "environment");
    if (!access || !secret)
        fail(credentials, "%s is set, %s is not",
             access ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
             access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    else if (!keep_keys(credentials, access, secret, aws_config_variable("AWS_SESSION_TOKEN"), 0))
        fail(credentials, "AWS_ACCESS_KEY_ID and its companions: too long, or a line end in them");
    else
        succeed(credentials);
    return true;
}

static void begin_source(struct aws_credentials *credentials, const char *profile,
                         const char *source)
{
    if (strcmp(source, "Environment") == 0) {
        if (keep_keys(credentials, aws_config_variable("AWS_ACCESS_KEY_ID"),
                      aws_config_variable("AWS_SECRET_ACCESS_KEY"),
                      aws_config_variable("AWS_SESSION_TOKEN"), 0))
            go_on_with_keys(credentials);
        else
            fail(credentials,
                 "profile '%s': credential_source is Environment, and there are no keys", profile);
    } else if (strcmp(source, "EcsContainer") == 0 && aws_metadata_has_container()) {
        aws_metadata_ask_container(credentials->metadata, on_container_keys, credentials);
    } else if (strcmp(source, "Ec2InstanceMetadata") == 0) {
        aws_metadata_ask_instance(credentials->metadata, on_instance_keys, credentials);
    } else {
        fail(credentials, "profile '%s': credential_source '%.40s' is not to be had here", profile,
             source);
    }
}

static bool take_static(struct aws_credentials *credentials, const char *profile)
{
    const struct aws_config *config = credentials->config;
    const char *access = aws_config_value(config, profile, "aws_access_key_id");
    const char *secret = aws_config_value(config, profile, "aws_secret_access_key");

    if (!access && !secret)
        return false;
    snprintf(credentials->source, sizeof(credentials->source), "profile %.100s", profile);
    if (keep_keys(credentials, access, secret,
                  aws_config_value(config, profile, "aws_session_token"), 0))
        go_on_with_keys(credentials);
    else
        fail(credentials,
             "profile '%s': aws_access_key_id and aws_secret_access_key belong together", profile);
    return true;
}

/* The keys of a profile; where it assumes a role, first those of its source. False: it has none. */
static bool take_profile(struct aws_credentials *credentials, const char *profile)
{
    static const char *const elsewhere[] = {"sso_session", "sso_start_url", "credential_process"};
    const struct aws_config *config = credentials->config;
    const char *arn = aws_config_value(config, profile, "role_arn");
    const char *next = aws_config_value(config, profile, "source_profile");
    const char *source = aws_config_value(config, profile, "credential_source");
    const char *token = aws_config_value(config, profile, "web_identity_token_file");
    struct role role = {arn, aws_config_value(config, profile, "role_session_name"),
                        aws_config_value(config, profile, "external_id")};

    if (arn && token) {
        begin_web_identity(credentials, token, &role);
        return true;
    }
    if (arn && (next || source)) {
        if (credentials->role_count == ROLES_MAX) {
            fail(credentials, "profile '%s': its source_profile leads in a circle, or too far",
                 profile);
            return true;
        }
        credentials->roles[credentials->role_count++] = role;
        if (source)
            begin_source(credentials, profile, source);
        else if (strcmp(next, profile) == 0 ? !take_static(credentials, next)
                                            : !take_profile(credentials, next))
            fail(credentials, "profile '%s': no keys in its source_profile '%.80s'", profile, next);
        return true;
    }
    if (take_static(credentials, profile))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
        if (aws_config_value(config, profile, elsewhere[i])) {
            fail(credentials,
                 "profile '%s' uses %s, which canreach does not: eval \"$(aws configure "
                 "export-credentials --profile %s --format env)\" and try again",
                 profile, elsewhere[i], profile);
            return true;
        }
    return false;
}

static void fetch(struct aws_credentials *credentials)
{
    struct aws_config *config = credentials->config;
    const char *token_file = aws_config_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    struct role role = {aws_config_variable("AWS_ROLE_ARN"),
                        aws_config_variable("AWS_ROLE_SESSION_NAME"), NULL};
    struct error err;

    credentials->is_fetching = true;
    credentials->role_count = 0;
    credentials->is_last_source = false;
    if (credentials->is_stale && aws_config_reload_keys(config, &err) < 0) {
        fail(credentials, "%s", err.text);
        return;
    }
    if (take_environment(credentials))
        return;
    if (config->is_profile_given && !aws_config_has_profile(config, config->profile)) {
        fail(credentials, "AWS_PROFILE: no profile '%.80s' in %.120s or %.120s", config->profile,
             config->config_path, config->credentials_path);
        return;
    }
    if (take_profile(credentials, config->profile))
        return;
    if (token_file) {
        begin_web_identity(credentials, token_file, &role);
    } else if (aws_metadata_has_container()) {
        aws_metadata_ask_container(credentials->metadata, on_container_keys, credentials);
    } else {
        credentials->is_last_source = true;
        aws_metadata_ask_instance(credentials->metadata, on_instance_keys, credentials);
    }
}

/* ---- for others ---- */

void aws_credentials_get(struct aws_credentials *credentials, aws_keys_fn fn, void *ctx)
{
    int64_t now_ms = clock_wall_ms();
    struct aws_keys keys = keys_of(&credentials->current);
    struct waiter *waiter;

    if (are_good_until(credentials, now_ms) &&
        (are_good_until(credentials, now_ms + REFRESH_MS) || now_ms < credentials->retry_ms)) {
        fn(ctx, &keys, "");
        return;
    }
    if (credentials->failed_ms && now_ms < credentials->failed_ms + FAILED_MS) {
        fn(ctx, NULL, credentials->failure.text);
        return;
    }
    waiter = mem_alloc(sizeof(*waiter));
    *waiter = (struct waiter){credentials->waiters, fn, ctx};
    credentials->waiters = waiter;
    if (!credentials->is_fetching && !waiter->next)
        fetch(credentials);
}

void aws_credentials_forget(struct aws_credentials *credentials, const void *ctx)
{
    struct waiter **at = &credentials->waiters;

    while (*at) {
        struct waiter *waiter = *at;
        if (waiter->ctx != ctx) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        mem_free(waiter);
    }
}

void aws_credentials_expire(struct aws_credentials *credentials)
{
    credentials->is_stale = true;
}

const char *aws_credentials_source(const struct aws_credentials *credentials)
{
    return credentials->source;
}

struct aws_credentials *aws_credentials_new(struct loop *loop, struct http *http,
                                            struct aws_config *config)
{
    struct aws_credentials *credentials = mem_alloc(sizeof(*credentials));

    *credentials = (struct aws_credentials){.loop = loop, .http = http, .config = config};
    credentials->metadata = aws_metadata_new(loop, http);
    credentials->timer = (struct loop_timer){.fn = try_sts, .ctx = credentials};
    return credentials;
}

struct aws_credentials *aws_credentials_free(struct aws_credentials *credentials)
{
    if (!credentials)
        return NULL;
    http_cancel(credentials->http, credentials->call);
    aws_metadata_free(credentials->metadata);
    loop_timer_stop(credentials->loop, &credentials->timer);
    forget_sts(&credentials->sts);
    while (credentials->waiters) {
        struct waiter *waiter = credentials->waiters;
        credentials->waiters = waiter->next;
        mem_free(waiter);
    }
    forget_keys(&credentials->current);
    forget_keys(&credentials->next);
    mem_free(credentials);
    return NULL;
}
