/* The vendor's published test suite of signatures, and what a request of ours looks like. */
#include "collector/cloud/sigv4.h"
#include "common/json.h"
#include "tests/unit/test.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_MAX (1 << 20)

static char text[VECTORS_MAX];

static cJSON *read_vectors(void)
{
    FILE *file = fopen(TESTS_DIR "/unit/collector/cloud/sigv4-vectors.json", "re");
    struct error err;
    cJSON *document;
    size_t length;

    assert_non_null(file);
    length = fread(text, 1, sizeof(text), file);
    fclose(file);
    document = json_parse(text, length, 8, &err);
    assert_non_null(document);
    return document;
}

/* A request as it stands in the suite, cut into its parts in place. */
static void read_request(char *raw, struct sigv4_request *request, struct sigv4_header *headers)
{
    char *head = raw, *body = strstr(raw, "\n\n"), *line = strchr(raw, '\n'), *query, *end;

    *request = (struct sigv4_request){.headers = headers, .query = "", .body = ""};
    if (body) {
        *body = '\0';
        request->body = body + 2;
        request->body_length = strlen(body + 2);
    }
    *line++ = '\0';
    request->method = head;
    request->path = strchr(head, ' ') + 1;
    *strchr(head, ' ') = '\0';
    end = strstr(request->path, " HTTP/1.1");
    *end = '\0';
    query = strchr(request->path, '?');
    if (query) {
        *query = '\0';
        request->query = query + 1;
    }
    while (line && *line) {
        char *next = strchr(line, '\n'), *colon;
        while (next && next[1] == ' ') /* a folded value goes on */
            next = strchr(next + 1, '\n');
        if (next)
            *next++ = '\0';
        colon = strchr(line, ':');
        *colon = '\0';
        if (strcmp(line, "Authorization") == 0)
            break; /* the last one */
        headers[request->header_count++] = (struct sigv4_header){line, colon + 1};
        line = next;
    }
}

static void check_vector(const cJSON *vector)
{
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    struct sigv4_scope scope = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                "us-east-1", "service", "20150830T123600Z"};
    /* The token comes with the credentials: only the signed request has it. */
    bool has_token = strcmp(vector->string, "get-vanilla-with-session-token") == 0;
    char *raw = strdup(json_string(vector, has_token ? "sreq" : "req", ""));
    struct sigv4_request request;
    struct sigv4_result result;

    read_request(raw, &request, headers);
    assert_int_equal(sigv4_sign(&request, &scope, &result), 0);
    assert_string_equal(buf_text(&result.canonical), json_string(vector, "creq", ""));
    assert_string_equal(buf_text(&result.string_to_sign), json_string(vector, "sts", ""));
    assert_string_equal(buf_text(&result.authorization), json_string(vector, "authz", ""));
    sigv4_result_deinit(&result);
    free(raw);
}

static void test_published_vectors(void **state)
{
    cJSON *document = read_vectors();
    const cJSON *vector;
    int count = 0;

    (void)state;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItemCaseSensitive(document, "cases"))
    {
        print_message("%s\n", vector->string);
        check_vector(vector);
        count++;
    }
    assert_int_equal(count, 34);
    json_free(document);
}

/* '=' sorts after '-': sorted as "name=value", Param-3 would stand before Param. */
static void test_names_sort_before_values(void **state)
{
    struct sigv4_header headers[] = {{"Host", "h"}};
    struct sigv4_request request = {"GET", "/", "Param-3=a&Param=b", headers, 1, "", 0};
    struct sigv4_scope scope = {"A", "S", "r", "s", "20150830T123600Z"};
    struct sigv4_result result;

    (void)state;
    assert_int_equal(sigv4_sign(&request, &scope, &result), 0);
    assert_non_null(strstr(buf_text(&result.canonical), "\nParam=b&Param-3=a\n"));
    sigv4_result_deinit(&result);
}

static void test_too_much_is_refused(void **state)
{
    struct sigv4_header headers[SIGV4_HEADERS_MAX + 1] = {{"Host", "h"}};
    struct sigv4_request request = {"GET", "/", "", headers, SIGV4_HEADERS_MAX + 1, "", 0};
    struct sigv4_scope scope = {"A", "S", "r", "s", "20150830T123600Z"};
    struct sigv4_result result;
    char query[4 * 100] = "";

    (void)state;
    assert_int_equal(sigv4_sign(&request, &scope, &result), -E2BIG);
    sigv4_result_deinit(&result);
    for (int i = 0; i < 99; i++)
        strcat(query, "a=b&");
    request.header_count = 1;
    request.query = query;
    assert_int_equal(sigv4_sign(&request, &scope, &result), -E2BIG);
    sigv4_result_deinit(&result);
}

static void test_time(void **state)
{
    char time[SIGV4_TIME_MAX];

    (void)state;
    sigv4_time(1440938160123, time);
    assert_string_equal(time, "20150830T123600Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_names_sort_before_values),
        cmocka_unit_test(test_too_much_is_refused),
        cmocka_unit_test(test_time),
    };

    return RUN_TESTS(tests);
}
