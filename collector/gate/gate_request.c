/* The body of POST /api/v1/gates. */
#include "collector/gate/gates.h"

#include "common/json.h"
#include "common/text.h"
#include "proto/proto.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BODY_DEPTH_MAX 6

static const char *const rollbacks[] = {"none", "ecs", "codedeploy", "command"};
static const char *const known[] = {"service",   "deployment",     "baseline", "rollback",
                                    "revision",  "tasks",          "wait",     "dry_run",
                                    "execution", "on_inconclusive"};

static int read_text(const cJSON *object, const char *key, const char **ret_text, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    *ret_text = "";
    if (!item || cJSON_IsNull(item))
        return 0;
    if (!cJSON_IsString(item) || strlen(item->valuestring) > GATE_NAME_MAX)
        return error_set(err, -EINVAL, "'%s' is not a text of at most %d bytes", key,
                         GATE_NAME_MAX);
    for (const char *at = item->valuestring; *at; at++)
        if ((unsigned char)*at < ' ')
            return error_set(err, -EINVAL, "'%s' holds control characters", key);
    *ret_text = item->valuestring;
    return 0;
}

static bool is_baseline_cell(const cJSON *cell)
{
    return cJSON_IsObject(cell) && *json_string(cell, "source", "") &&
           *json_string(cell, "target", "") && *json_string(cell, "state", "");
}

/* "last-good", a run's id, or a list of cells (a matrix that somebody kept). */
static int read_baseline(const cJSON *object, struct gate_baseline *baseline, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "baseline"), *cell;

    *baseline = (struct gate_baseline){.kind = BASELINE_LAST_GOOD};
    if (!item || cJSON_IsNull(item) ||
        (cJSON_IsString(item) && strcmp(item->valuestring, "last-good") == 0))
        return 0;
    if (cJSON_IsArray(item)) {
        cJSON_ArrayForEach(cell, item)
        {
            if (!is_baseline_cell(cell))
                return error_set(err, -EINVAL,
                                 "'baseline' holds something that is not {source, target, check, "
                                 "state}");
        }
        baseline->kind = BASELINE_FILE;
        baseline->cells = item;
        return 0;
    }
    baseline->kind = BASELINE_RUN;
    if (cJSON_IsString(item) && text_to_int(item->valuestring, 1, INT64_MAX, &baseline->run))
        return 0;
    return error_set(err, -EINVAL,
                     "'baseline' is neither \"last-good\", a run's id, nor a list of cells");
}

static int read_rollback(const cJSON *object, struct gate_request *request, struct error *err)
{
    const char *text = json_string(object, "rollback", "none");

    for (size_t i = 0; i < ARRAY_SIZE(rollbacks); i++)
        if (strcmp(text, rollbacks[i]) == 0) {
            request->rollback = (enum gate_rollback)i;
            return 0;
        }
    return error_set(err, -EINVAL,
                     "'rollback' is '%.40s'; expected none, ecs, codedeploy or command", text);
}

static int read_numbers(const cJSON *object, struct gate_request *request, struct error *err)
{
    int r = json_duration_ms(object, "wait", GATE_WAIT_MIN_MS, GATE_WAIT_MAX_MS, &request->wait_ms,
                             err);
    const cJSON *tasks = cJSON_GetObjectItemCaseSensitive(object, "tasks");
    const char *word = json_string(object, "on_inconclusive", "3");

    if (r < 0)
        return r;
    if (tasks && !cJSON_IsNull(tasks) &&
        (!json_is_int(tasks, &request->tasks) || request->tasks < 1 ||
         request->tasks > FLEET_TASKS_MAX))
        return error_set(err, -EINVAL, "'tasks' is not a number from 1 to %d", FLEET_TASKS_MAX);
    if (strcmp(word, "pass") != 0 && strcmp(word, "fail") != 0 && strcmp(word, "3") != 0)
        return error_set(err, -EINVAL, "'on_inconclusive' is '%.40s'; expected pass, fail or 3",
                         word);
    request->is_dry = json_bool(object, "dry_run", false);
    request->passes_inconclusive = strcmp(word, "pass") == 0;
    return 0;
}

/* What one member says about another. */
static int check_together(const struct gate_request *request, struct error *err)
{
    if (!*request->service)
        return error_set(err, -EINVAL, "'service' is needed: the one that was deployed");
    if (request->rollback == ROLLBACK_CODEDEPLOY && !*request->deployment)
        return error_set(err, -EINVAL,
                         "rollback codedeploy needs 'deployment': CodeDeploy's id, d-...");
    if (*request->execution && request->rollback != ROLLBACK_CODEDEPLOY)
        return error_set(err, -EINVAL, "'execution' goes with rollback codedeploy alone");
    return 0;
}

int gate_request_parse(const char *body, size_t length, struct gate_request *ret_request,
                       struct error *err)
{
    struct gate_request *request = ret_request;
    const cJSON *object;
    int r;

    *request =
        (struct gate_request){.service = "", .deployment = "", .revision = "", .execution = ""};
    request->json = json_parse_body(body, length, BODY_DEPTH_MAX, known, ARRAY_SIZE(known), err);
    object = request->json;
    if (!object)
        return -EINVAL;
    r = read_text(object, "service", &request->service, err);
    if (r == 0)
        r = read_text(object, "deployment", &request->deployment, err);
    if (r == 0)
        r = read_text(object, "revision", &request->revision, err);
    if (r == 0)
        r = read_text(object, "execution", &request->execution, err);
    if (r == 0)
        r = read_baseline(object, &request->baseline, err);
    if (r == 0)
        r = read_rollback(object, request, err);
    if (r == 0)
        r = read_numbers(object, request, err);
    return r < 0 ? r : check_together(request, err);
}

void gate_request_deinit(struct gate_request *request)
{
    json_free(request->json);
    request->json = NULL;
}
