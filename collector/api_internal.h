/* api_internal: what the API's files share: what a route captured, and how a request is refused. */
#ifndef COLLECTOR_API_INTERNAL_H
#define COLLECTOR_API_INTERNAL_H

#include "collector/api.h"

#define API_SEGMENTS_MAX 4 /* captured from a path */

/* What a route captured: /runs/{0}/pairs/{1}/{2}; decoded by libmicrohttpd. */
struct captures {
    char items[API_SEGMENTS_MAX][PROTO_NAME_MAX + 1];
    size_t count;
};

typedef void (*api_fn)(struct api *api, const struct httpd_request *request,
                       const struct captures *captures, struct httpd_response *response);

/* Problem details (RFC 9457). */
void api_problem(struct httpd_response *response, int status, const char *title,
                 const char *detail);
/* The cursor of a list: `limit` and `before`; false: refused. */
bool api_read_page(const struct httpd_request *request, struct httpd_response *response,
                   int64_t *ret_limit, int64_t *ret_before);

/* ---- api_gates.c ---- */

void api_start_gate(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response);
void api_list_gates(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response);
void api_show_gate(struct api *api, const struct httpd_request *request,
                   const struct captures *captures, struct httpd_response *response);
void api_claim_gate(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response);
void api_gate_acted(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response);
void api_flagger(struct api *api, const struct httpd_request *request,
                 const struct captures *captures, struct httpd_response *response);

#endif
