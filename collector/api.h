/* api: the HTTP API: routes, parameters, problem details (RFC 9457). Runs on the loop. */
#ifndef COLLECTOR_API_H
#define COLLECTOR_API_H

#include "collector/httpd.h"
#include "collector/run.h"

#define API_PAGE_DEFAULT 50
#define API_PAGE_MAX     500

struct alerts;
struct gates;
struct schedules;

struct api {
    struct runs *runs;
    struct gates *gates;
    struct alerts *alerts;
    struct schedules *schedules;
    void (*on_run_started)(void *ctx, struct run *run); /* hand its assignments out now */
    void *ctx;
};

void api_handle(void *api, const struct httpd_request *request, struct httpd_response *response);

/* The body of POST /api/v1/runs. -EINVAL with `err`; the caller frees with run_request_deinit(). */
int api_parse_run_request(const char *body, size_t length, struct run_request *ret_request,
                          struct error *err);
void run_request_deinit(struct run_request *request);

#endif
