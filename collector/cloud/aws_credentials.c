#include "collector/cloud/aws_credentials.h"

#include "common/cidr.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define METADATA_TIMEOUT_MS 2000 /* the vendor's documents: 1 to 2 s, a few tries */
#define METADATA_TRIES      3
#define METADATA_RETRY_MS   200
#define METADATA_LIMIT      ((size_t)64 << 10)
#define REFRESH_MS          (5 * 60 * 1000) /* before they expire */
#define RETRY_MS            (60 * 1000)     /* a renewal that failed, while the old ones are good */
#define FAILED_MS           (10 * 1000)     /* so long nobody asks again */
#define SECRET_MAX          16384
#define ROLES_MAX           5
#define CONTAINER_HOST      "http://169.254.170.2"
#define IMDS_HOST           "http://169.254.169.254"
#define IMDS_ROLE_PATH      "/latest/meta-data/iam/security-credentials/"

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

enum step { STEP_NONE, STEP_CONTAINER, STEP_IMDS_TOKEN, STEP_IMDS_ROLE, STEP_IMDS_KEYS, STEP_STS };

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
    enum step step;
    bool is_last_source; /* IMDS without any sign of an instance: "no credentials" if it fails */
    struct role roles[ROLES_MAX];
    size_t role_count;
    char imds_token[1024], imds_role[256];
    char *what; /* url of the metadata call, for messages; owned */
    char *headers[2];
    size_t header_count;
    unsigned tries;
    struct http_call *call;
    struct loop_timer timer;
};

static void begin_imds(struct aws_credentials *credentials);
static void go_on_with_keys(struct aws_credentials *credentials);

/* ---- the keys ---- */

static void wipe(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
}

static void forget_keys(struct keys *keys)
{
    OPENSSL_cleanse(keys->access, sizeof(keys->access));
    OPENSSL_cleanse(keys->secret, sizeof(keys->secret));
    wipe(keys->token);
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
        !is_one_line(secret, sizeof(keys->secret)) || (token && !is_one_line(token, SECRET_MAX)))
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
    credentials->step = STEP_NONE;
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
    credentials->step = STEP_NONE;
    answer_all(credentials, NULL);
}

/* ---- metadata endpoints ---- */

static void drop_headers(struct aws_credentials *credentials)
{
    for (size_t i = 0; i < credentials->header_count; i++) {
        wipe(credentials->headers[i]);
        mem_free(credentials->headers[i]);
    }
    credentials->header_count = 0;
}

static void add_header(struct aws_credentials *credentials, const char *name, const char *value)
{
    CLEANUP_BUF struct buf line = BUF_INIT(SECRET_MAX + 256);

    buf_printf(&line, "%s: %s", name, value);
    credentials->headers[credentials->header_count++] = mem_strdup(buf_text(&line));
    wipe(line.data);
}

static void on_metadata(void *ctx, const struct http_answer *answer);

static void try_metadata(void *ctx)
{
    struct aws_credentials *credentials = ctx;
    struct http_request request = {
        .method = credentials->step == STEP_IMDS_TOKEN ? "PUT" : "GET",
        .url = credentials->what,
        .headers = (const char *const *)credentials->headers,
        .header_count = credentials->header_count,
        .timeout_ms = METADATA_TIMEOUT_MS,
        .limit = METADATA_LIMIT,
        .is_direct = true,
    };

    credentials->tries++;
    credentials->call = http_send(credentials->http, &request, on_metadata, credentials);
    if (!credentials->call)
        fail(credentials, "%s: not a URL that can be asked", credentials->what);
}

static void ask_metadata(struct aws_credentials *credentials, enum step step, const char *url)
{
    mem_free(credentials->what);
    credentials->what = mem_strdup(url);
    credentials->step = step;
    credentials->tries = 0;
    try_metadata(credentials);
}

static const char *imds_host(void)
{
    const char *endpoint = aws_config_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");

    return endpoint ? endpoint : IMDS_HOST;
}

static void ask_imds(struct aws_credentials *credentials, enum step step, const char *path)
{
    char url[1024];
    const char *host = imds_host();
    size_t length = strlen(host);

    while (length && host[length - 1] == '/')
        length--;
    snprintf(url, sizeof(url), "%.*s%s", (int)length, host, path);
    drop_headers(credentials);
    if (step == STEP_IMDS_TOKEN)
        add_header(credentials, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
    else
        add_header(credentials, "X-aws-ec2-metadata-token", credentials->imds_token);
    ask_metadata(credentials, step, url);
}

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

/* The keys as the endpoints give them (both use the same members). */
static void take_keys(struct aws_credentials *credentials, const struct http_answer *answer)
{
    struct arena arena = {0};
    struct error err = {""};
    const struct tree *root = tree_parse_json(&arena, answer->body, answer->length, &err);
    const char *expiration = tree_text(root, "Expiration", "");
    int64_t expires_ms = 0;
    bool is_container = credentials->step == STEP_CONTAINER;

    if (!root)
        fail(credentials, "%s: %s", credentials->what, err.text);
    else if (*expiration && !clock_from_rfc3339(expiration, &expires_ms))
        fail(credentials, "%s: Expiration '%.40s' is no time", credentials->what, expiration);
    else if (!keep_keys(credentials, tree_text(root, "AccessKeyId", NULL),
                        tree_text(root, "SecretAccessKey", NULL), tree_text(root, "Token", NULL),
                        expires_ms))
        fail(credentials, "%s: no keys in the answer%s%.80s", credentials->what,
             *tree_text(root, "Code", "") ? ": " : "", tree_text(root, "Code", ""));
    else {
        snprintf(credentials->source, sizeof(credentials->source), "%s",
                 is_container ? "container endpoint" : "instance role (IMDSv2)");
        go_on_with_keys(credentials);
    }
    arena_deinit(&arena);
}

static void take_word(struct aws_credentials *credentials, const struct http_answer *answer)
{
    char path[512];
    size_t length = strcspn(answer->body, "\r\n");

    if (credentials->step == STEP_IMDS_TOKEN) {
        snprintf(credentials->imds_token, sizeof(credentials->imds_token), "%.*s", (int)length,
                 answer->body);
        ask_imds(credentials, STEP_IMDS_ROLE, IMDS_ROLE_PATH);
        return;
    }
    snprintf(credentials->imds_role, sizeof(credentials->imds_role), "%.*s", (int)length,
             answer->body);
    snprintf(path, sizeof(path), "%s%s", IMDS_ROLE_PATH, credentials->imds_role);
    ask_imds(credentials, STEP_IMDS_KEYS, path);
}

static void metadata_failed(struct aws_credentials *credentials, const struct http_answer *answer)
{
    char why[256];

    if (answer->status)
        snprintf(why, sizeof(why), "%.160s answers %d", credentials->what, answer->status);
    else
        snprintf(why, sizeof(why), "%.120s: %.120s", credentials->what, answer->error);
    if (credentials->is_last_source)
        say_none(credentials, why);
    else
        fail(credentials, "AWS credentials: %s", why);
}

static void on_metadata(void *ctx, const struct http_answer *answer)
{
    struct aws_credentials *credentials = ctx;
    bool is_passing = !answer->status || answer->status >= 500 || answer->status == 429;

    credentials->call = NULL;
    if (answer->status == 200 &&
        (credentials->step == STEP_CONTAINER || credentials->step == STEP_IMDS_KEYS))
        take_keys(credentials, answer);
    else if (answer->status == 200)
        take_word(credentials, answer);
    else if (is_passing && credentials->tries < METADATA_TRIES)
        loop_timer_in_ms(credentials->loop, &credentials->timer, METADATA_RETRY_MS);
    else
        metadata_failed(credentials, answer);
}

static void begin_imds(struct aws_credentials *credentials)
{
    const char *disabled = aws_config_variable("AWS_EC2_METADATA_DISABLED");

    if (disabled && strcasecmp(disabled, "true") == 0)
        say_none(credentials, "AWS_EC2_METADATA_DISABLED is true");
    else
        ask_imds(credentials, STEP_IMDS_TOKEN, "/latest/api/token");
}

/* ---- the container's endpoint ---- */

/* The hosts that may have the authorization token over plain HTTP. */
static bool is_trusted_host(const char *url)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1", "169.254.170.2", "169.254.170.23",
                                         "fd00:ec2::23"};
    const char *host = url + strlen("http://");
    bool has_brackets = *host == '[';
    size_t length = has_brackets ? strcspn(host + 1, "]") : strcspn(host, ":/?");
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *address = NULL;
    char text[64];
    struct cidr cidr;

    snprintf(text, sizeof(text), "%.*s", (int)(length < sizeof(text) ? length : sizeof(text) - 1),
             host + has_brackets);
    if (strcasecmp(text, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        address = (struct sockaddr *)&v4;
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        address = (struct sockaddr *)&v6;
    for (size_t i = 0; address && i < ARRAY_SIZE(blocks); i++)
        if (cidr_parse(blocks[i], &cidr) && cidr_contains(&cidr, address))
            return true;
    return false;
}

/* A file's text without the line end; false with `err`. */
static bool read_secret(const char *path, struct buf *out, struct error *err)
{
    FILE *file = fopen(path, "re");
    char data[4096];
    size_t n;

    if (!file) {
        error_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
        return false;
    }
    while ((n = fread(data, 1, sizeof(data), file)) > 0 && !buf_is_full(out))
        buf_append(out, data, n);
    OPENSSL_cleanse(data, sizeof(data));
    fclose(file);
    while (out->length && strchr("\r\n", out->data[out->length - 1]))
        buf_truncate(out, out->length - 1);
    if (!out->length || buf_is_full(out) || strcspn(out->data, "\r\n") != out->length) {
        error_set(err, -EINVAL, "%s: not one line of at most %d bytes", path, SECRET_MAX);
        return false;
    }
    return true;
}

static bool add_authorization(struct aws_credentials *credentials)
{
    const char *path = aws_config_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_config_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    CLEANUP_BUF struct buf text = BUF_INIT(SECRET_MAX);
    struct error err;

    drop_headers(credentials);
    if (path && !read_secret(path, &text, &err)) {
        fail(credentials, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s", err.text);
        return false;
    }
    if (!path && token && (strcspn(token, "\r\n") != strlen(token) || strlen(token) > SECRET_MAX)) {
        fail(credentials, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line end, or is too long");
        return false;
    }
    if (path || token)
        add_header(credentials, "Authorization", path ? buf_text(&text) : token);
    wipe(text.data);
    return true;
}

static void begin_container(struct aws_credentials *credentials)
{
    const char *relative = aws_config_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *url = aws_config_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char text[1024];

    if (relative) {
        snprintf(text, sizeof(text), "%s%s%s", CONTAINER_HOST, *relative == '/' ? "" : "/",
                 relative);
        url = text;
    } else if (strncasecmp(url, "https://", 8) != 0 &&
               (strncasecmp(url, "http://", 7) != 0 || !is_trusted_host(url))) {
        fail(credentials,
             "AWS_CONTAINER_CREDENTIALS_FULL_URI: '%.120s' is neither https nor on loopback, "
             "169.254.170.2, 169.254.170.23 or fd00:ec2::23",
             url);
        return;
    }
    if (add_authorization(credentials))
        ask_metadata(credentials, STEP_CONTAINER, url);
}

/* ---- STS ---- */

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
    if (!root)
        fail(credentials, "AWS credentials: the role is not to be had from STS: %s%s%.200s",
             outcome.code, *outcome.text ? ": " : "", outcome.text);
    else if (!clock_from_rfc3339(tree_text(keys, "Expiration", ""), &expires_ms) ||
             !keep_keys(credentials, tree_text(keys, "AccessKeyId", NULL),
                        tree_text(keys, "SecretAccessKey", NULL),
                        tree_text(keys, "SessionToken", NULL), expires_ms))
        fail(credentials, "AWS credentials: STS answers without keys");
    else
        go_on_with_keys(credentials);
    arena_deinit(&arena);
}

static void ask_sts(struct aws_credentials *credentials, const char *operation,
                    const struct aws_params *params, bool is_signed)
{
    struct aws_endpoint endpoint;
    struct aws_request request = {0};
    struct aws_keys keys = keys_of(&credentials->next);
    struct error err = {""};
    int r = aws_config_needs_region(credentials->config, &err);

    credentials->step = STEP_STS;
    if (r == 0)
        r = aws_config_endpoint(credentials->config, AWS_STS, &endpoint, &err);
    if (r == 0)
        r = aws_request_build(&request, AWS_STS, operation, NULL, params, &endpoint,
                              is_signed ? &keys : NULL, clock_wall_ms(), &err);
    if (r == 0) {
        credentials->call = http_send(credentials->http, &request.http, on_sts, credentials);
        if (!credentials->call)
            r = error_set(&err, -ENOMEM, "%s cannot be asked", endpoint.url);
    }
    aws_request_deinit(&request);
    if (r < 0)
        fail(credentials, "AWS credentials: %s", err.text);
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
    ask_sts(credentials, "AssumeRole", &params, true);
    aws_params_deinit(&params);
}

static void begin_web_identity(struct aws_credentials *credentials, const char *path,
                               const struct role *role)
{
    CLEANUP_BUF struct buf token = BUF_INIT(SECRET_MAX);
    struct aws_params params;
    struct error err;

    if (!role->arn) {
        fail(credentials, "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not");
        return;
    }
    if (!read_secret(path, &token, &err)) {
        fail(credentials, "the web identity's token: %s", err.text);
        return;
    }
    params = sts_params(role);
    aws_put(&params, "WebIdentityToken", buf_text(&token));
    snprintf(credentials->source, sizeof(credentials->source), "web identity");
    ask_sts(credentials, "AssumeRoleWithWebIdentity", &params, false);
    OPENSSL_cleanse(params.text.data, params.text.length);
    aws_params_deinit(&params);
    wipe(token.data);
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
    } else if (strcmp(source, "EcsContainer") == 0 &&
               (aws_config_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
                aws_config_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))) {
        begin_container(credentials);
    } else if (strcmp(source, "Ec2InstanceMetadata") == 0) {
        begin_imds(credentials);
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
    } else if (aws_config_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
               aws_config_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        begin_container(credentials);
    } else {
        credentials->is_last_source = true;
        begin_imds(credentials);
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
    if (credentials->step == STEP_NONE && !waiter->next)
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
    credentials->timer = (struct loop_timer){.fn = try_metadata, .ctx = credentials};
    return credentials;
}

struct aws_credentials *aws_credentials_free(struct aws_credentials *credentials)
{
    if (!credentials)
        return NULL;
    http_cancel(credentials->http, credentials->call);
    loop_timer_stop(credentials->loop, &credentials->timer);
    while (credentials->waiters) {
        struct waiter *waiter = credentials->waiters;
        credentials->waiters = waiter->next;
        mem_free(waiter);
    }
    drop_headers(credentials);
    forget_keys(&credentials->current);
    forget_keys(&credentials->next);
    OPENSSL_cleanse(credentials->imds_token, sizeof(credentials->imds_token));
    mem_free(credentials->what);
    mem_free(credentials);
    return NULL;
}
