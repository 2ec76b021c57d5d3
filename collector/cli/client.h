/* client: one HTTP request to the collector, and its JSON answer. */
#ifndef COLLECTOR_CLI_CLIENT_H
#define COLLECTOR_CLI_CLIENT_H

#include "common/error.h"

#define CLIENT_URL_DEFAULT "http://127.0.0.1:7780"
#define CLIENT_ANSWER_MAX  (256 * 1024 * 1024) /* bytes */
#define CLIENT_CONNECT_MS  5000
#define CLIENT_TIMEOUT_MS  60000

struct cJSON;
struct client;

/* `url`: http://, https:// or unix:///PATH; NULL: CANREACH_URL, else the default. NULL with `err`.
 */
struct client *client_new(const char *url, struct error *err);
struct client *client_free(struct client *client);

/* GET, or POST when `body` is not NULL. The answer is the caller's (json_free).
 *  0        2xx
 *  -EINVAL  the collector says that the request is wrong (4xx): `err` holds its words
 *  -ENOENT  404
 *  -EBUSY   409
 *  -EIO     no connection, no HTTP, no JSON, 5xx: nothing is known */
int client_call(struct client *client, const char *path, const char *body,
                struct cJSON **ret_answer, struct error *err);

/* A path segment, percent-encoded (RFC 3986 section 2.1) into `out`. */
const char *client_escape(const char *text, char *out, unsigned long size);

#endif
