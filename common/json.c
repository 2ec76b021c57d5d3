#include "common/json.h"

#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define JSON_INT_MAX 9007199254740992.0 /* 2^53: beyond it a double skips whole numbers */

static bool depth_is_within(const char *text, size_t length, unsigned max_depth)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max_depth)
                return false;
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return true;
}

struct cJSON *json_parse(const char *text, size_t length, unsigned max_depth, struct error *err)
{
    const char *end = NULL;
    cJSON *value;

    if (!depth_is_within(text, length, max_depth)) {
        error_set(err, -EINVAL, "JSON is nested deeper than %u levels", max_depth);
        return NULL;
    }
    value = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!value) {
        error_set(err, -EINVAL, "not JSON: error at byte %zu of %zu",
                  end ? (size_t)(end - text) : 0, length);
        return NULL;
    }
    while (end < text + length && (*end == ' ' || *end == '\n' || *end == '\r' || *end == '\t'))
        end++;
    if (end != text + length) {
        error_set(err, -EINVAL, "text after the JSON value, at byte %zu", (size_t)(end - text));
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

void json_free(struct cJSON *value)
{
    cJSON_Delete(value);
}

void json_free_pointer(struct cJSON **value)
{
    cJSON_Delete(*value);
}

const char *json_string(const struct cJSON *object, const char *key, const char *fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : fallback;
}

bool json_is_int(const struct cJSON *value, int64_t *ret_value)
{
    if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble) ||
        fabs(value->valuedouble) > JSON_INT_MAX || floor(value->valuedouble) != value->valuedouble)
        return false;
    *ret_value = (int64_t)value->valuedouble;
    return true;
}

int64_t json_int(const struct cJSON *object, const char *key, int64_t min, int64_t max,
                 int64_t fallback)
{
    int64_t value;

    if (!json_is_int(cJSON_GetObjectItemCaseSensitive(object, key), &value) || value < min ||
        value > max)
        return fallback;
    return value;
}

bool json_bool(const struct cJSON *object, const char *key, bool fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

static int check_keys(const cJSON *object, const char *const *known, size_t count,
                      struct error *err)
{
    const cJSON *item;
    char list[256] = "";

    cJSON_ArrayForEach(item, object)
    {
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known |= strcmp(item->string, known[i]) == 0;
        if (is_known)
            continue;
        for (size_t i = 0; i < count && strlen(list) + 34 < sizeof(list); i++)
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%.30s", i ? ", " : "",
                     known[i]);
        return error_set(err, -EINVAL, "unknown member '%.40s' (known: %s)", item->string, list);
    }
    return 0;
}

struct cJSON *json_parse_body(const char *text, size_t length, unsigned max_depth,
                              const char *const *known, size_t count, struct error *err)
{
    cJSON *object = json_parse(text, length, max_depth, err);

    if (object && !cJSON_IsObject(object))
        error_set(err, -EINVAL, "the body is not a JSON object");
    else if (object && check_keys(object, known, count, err) == 0)
        return object;
    json_free(object);
    return NULL;
}

int json_duration_ms(const struct cJSON *object, const char *key, int64_t min_ms, int64_t max_ms,
                     int64_t *ret_ms, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    *ret_ms = 0;
    if (!item || cJSON_IsNull(item))
        return 0;
    if (!(cJSON_IsString(item) && text_to_duration_ms(item->valuestring, ret_ms)) &&
        !json_is_int(item, ret_ms))
        return error_set(err, -EINVAL, "'%s' is neither \"30s\" nor milliseconds", key);
    if (*ret_ms < min_ms || *ret_ms > max_ms)
        return error_set(err, -EINVAL, "'%s' is out of range, %lld ms to %lld ms", key,
                         (long long)min_ms, (long long)max_ms);
    return 0;
}

void json_account_memory(void)
{
    cJSON_Hooks hooks = {mem_lib_malloc, mem_free};

    cJSON_InitHooks(&hooks);
}
