#include "collector/cloud/inquiry.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_PAGE    50 /* the newest of a resource */
#define DETAIL_MAX     4096
#define LINE_MAX_BYTES 400 /* of a log's line; more is cut off */
#define NAME_MAX_BYTES 256
#define FORMAT_DEFAULT                                                                      \
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} " \
    "${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"

struct question;
typedef void (*answer_fn)(struct inquiry *inquiry, struct question *question,
                          const struct tree *root);

struct question {
    struct question *next;
    struct inquiry *inquiry;
    struct aws_call *call;
    enum aws_operation_id operation;
    answer_fn fn;
    const char *of, *format; /* what was asked about */
    const struct inquiry_task *task;
};

struct inquiry {
    struct aws *aws;
    struct loop *loop;
    struct inquiry_request request;
    struct estate *estate;
    struct question *questions;
    struct loop_timer deadline;
    struct loop_deferred end;
    inquiry_fn fn;
    void *ctx;
};

void inquiry_request_deinit(struct inquiry_request *request)
{
    arena_deinit(&request->arena);
}

bool inquiry_request_has_any(const struct inquiry_request *request)
{
    return request->resources.count || request->interfaces.count || request->tasks.count;
}

/* At most so many bytes of it, whole characters; what moves a terminal's cursor is a space. */
static const char *clean(struct arena *arena, const char *text, size_t most)
{
    char *out = arena_alloc(arena, most + 1, 1);
    size_t length = 0;

    while (*text) {
        size_t size = text_utf8_length(text);
        bool is_plain = size && (unsigned char)*text >= ' ' && *text != 0x7f;
        if (length + (size ? size : 1) > most)
            break;
        memcpy(out + length, is_plain ? text : " ", is_plain ? size : 1);
        length += is_plain ? size : 1;
        text += size ? size : 1;
    }
    return out;
}

/* ---- asking ---- */

static void note(struct inquiry *inquiry, const struct question *question, const char *code,
                 const char *text, bool is_permission)
{
    char call[96];

    aws_permission(question->operation, call, sizeof(call));
    estate_note_missing(inquiry->estate, call, question->of, code, text, is_permission);
}

static void drop(struct inquiry *inquiry, struct question *question)
{
    for (struct question **at = &inquiry->questions; *at; at = &(*at)->next)
        if (*at == question) {
            *at = question->next;
            break;
        }
    mem_free(question);
    if (!inquiry->questions)
        loop_defer(inquiry->loop, &inquiry->end);
}

static void on_page(void *ctx, const struct aws_page *page)
{
    struct question *question = ctx;
    struct inquiry *inquiry = question->inquiry;

    /* A log group or stream that is not there: nothing was logged. */
    if (page->root)
        question->fn(inquiry, question, page->root);
    else if (strcmp(page->outcome->code, "ResourceNotFoundException") != 0)
        note(inquiry, question, page->outcome->code, page->outcome->text,
             page->outcome->fault == AWS_NOT_ALLOWED);
    if (page->is_last)
        drop(inquiry, question);
}

static struct question *ask(struct inquiry *inquiry, enum aws_operation_id operation,
                            struct aws_params *params, const char *of, answer_fn fn)
{
    struct question *question = mem_alloc(sizeof(*question));

    *question = (struct question){
        .next = inquiry->questions,
        .inquiry = inquiry,
        .operation = operation,
        .fn = fn,
        .of = arena_strdup(&inquiry->estate->arena, of),
        .format = "",
    };
    inquiry->questions = question;
    question->call = aws_call(inquiry->aws, operation, params, on_page, question);
    return question;
}

/* ---- CloudTrail ---- */

/* Who, and the parameters, out of the event's own document. */
static void read_detail(struct inquiry *inquiry, struct estate_trail_event *event)
{
    struct arena *arena = &inquiry->estate->arena;
    CLEANUP_JSON cJSON *document = json_parse(event->detail, strlen(event->detail), 32, NULL);
    const cJSON *user = cJSON_GetObjectItemCaseSensitive(document, "userIdentity");
    const cJSON *parameters = cJSON_GetObjectItemCaseSensitive(document, "requestParameters");
    char *text = parameters ? cJSON_PrintUnformatted(parameters) : NULL;

    event->by = clean(arena, *event->by ? event->by : json_string(user, "arn", ""), NAME_MAX_BYTES);
    event->detail = text ? clean(arena, text, DETAIL_MAX) : "";
    cJSON_free(text);
}

static void on_events(struct inquiry *inquiry, struct question *question, const struct tree *root)
{
    const struct record_type *type = estate_type(ESTATE_TRAIL);

    for (const struct tree *item = tree_items(root, "Events"); item; item = item->next) {
        struct estate_trail_event *event = estate_add(inquiry->estate, ESTATE_TRAIL);
        record_read(&inquiry->estate->arena, type, event, item, RECORD_VENDOR);
        event->of = question->of;
        read_detail(inquiry, event);
    }
}

static void ask_trail(struct inquiry *inquiry, const char *resource)
{
    struct aws_params params = aws_params_of(CT_LOOKUP_EVENTS);

    aws_put_lookup(&params, "ResourceName", resource);
    aws_put_int(&params, "StartTime", inquiry->request.since_ms / 1000);
    aws_put_int(&params, "MaxResults", EVENTS_PAGE);
    ask(inquiry, CT_LOOKUP_EVENTS, &params, resource, on_events);
}

/* ---- flow logs ---- */

static void take_field(struct arena *arena, struct estate_flow *flow, const char *name,
                       const char *value)
{
    const struct {
        const char *name;
        const char **place;
    } texts[] = {{"${interface-id}", &flow->interface},
                 {"${srcaddr}", &flow->from},
                 {"${dstaddr}", &flow->to},
                 {"${action}", &flow->action},
                 {"${log-status}", &flow->status}};
    const struct {
        const char *name;
        int64_t *place;
    } numbers[] = {{"${srcport}", &flow->from_port}, {"${dstport}", &flow->to_port},
                   {"${protocol}", &flow->protocol}, {"${packets}", &flow->packets},
                   {"${start}", &flow->begin_ms},    {"${end}", &flow->end_ms}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            *texts[i].place = arena_strdup(arena, value);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            text_to_int(value, 0, INT64_C(1) << 40, numbers[i].place);
}

/* The next word of `*at` into `word`; false at the end. */
static bool next_word(const char **at, char *word, size_t size)
{
    size_t length;

    *at += strspn(*at, " \t\r\n");
    length = strcspn(*at, " \t\r\n");
    snprintf(word, size, "%.*s", (int)(length < size ? length : size - 1), *at);
    *at += length;
    return length > 0;
}

bool inquiry_read_flow(struct arena *arena, const char *format, const char *line,
                       struct estate_flow *ret_flow)
{
    struct estate_flow flow = {.interface = "", .from = "", .to = "", .action = "", .status = ""};
    const char *names = *format ? format : FORMAT_DEFAULT;
    char name[64], value[128];

    while (next_word(&names, name, sizeof(name))) {
        if (!next_word(&line, value, sizeof(value)))
            return false;
        if (strcmp(value, "-") != 0)
            take_field(arena, &flow, name, value);
    }
    flow.begin_ms *= 1000;
    flow.end_ms *= 1000;
    *ret_flow = flow;
    return *flow.from && *flow.to;
}

static void on_flows(struct inquiry *inquiry, struct question *question, const struct tree *root)
{
    for (const struct tree *item = tree_items(root, "events"); item; item = item->next) {
        struct estate_flow flow;
        if (estate_count(inquiry->estate, ESTATE_FLOWS) < INQUIRY_FLOWS_MAX * 4 &&
            inquiry_read_flow(&inquiry->estate->arena, question->format,
                              tree_text(item, "message", ""), &flow))
            *(struct estate_flow *)estate_add(inquiry->estate, ESTATE_FLOWS) = flow;
    }
}

static void ask_flows(struct inquiry *inquiry, const struct estate_flow_log *log,
                      const char *interface)
{
    struct aws_params params = aws_params_of(LOGS_FILTER_EVENTS);

    aws_put(&params, "logGroupName", log->group);
    aws_put(&params, "logStreamNamePrefix", interface);
    aws_put_int(&params, "startTime", inquiry->request.now_ms - INQUIRY_FLOWS_MS);
    aws_put_int(&params, "limit", INQUIRY_FLOWS_MAX);
    ask(inquiry, LOGS_FILTER_EVENTS, &params, log->group, on_flows)->format =
        arena_strdup(&inquiry->estate->arena, log->format);
}

/* Streams are called after the interface: eni-1-all, eni-1-reject. */
static void on_flow_logs(struct inquiry *inquiry, struct question *question,
                         const struct tree *root)
{
    size_t before = estate_count(inquiry->estate, ESTATE_FLOW_LOGS);
    const struct estate_flow_log *logs;

    (void)question;
    record_read_list(&inquiry->estate->arena, estate_type(ESTATE_FLOW_LOGS),
                     &inquiry->estate->parts[ESTATE_FLOW_LOGS], tree_items(root, "flowLogSet"),
                     RECORD_VENDOR);
    logs = inquiry->estate->parts[ESTATE_FLOW_LOGS].items;
    for (size_t i = before; i < estate_count(inquiry->estate, ESTATE_FLOW_LOGS); i++)
        for (size_t n = 0; n < inquiry->request.interfaces.count && *logs[i].group &&
                           strcmp(logs[i].status, "ACTIVE") == 0 && i < 4;
             n++)
            ask_flows(inquiry, &logs[i], record_text(&inquiry->request.interfaces, n));
}

/* ---- task logs ---- */

static void on_lines(struct inquiry *inquiry, struct question *question, const struct tree *root)
{
    struct arena *arena = &inquiry->estate->arena;

    for (const struct tree *item = tree_items(root, "events"); item; item = item->next) {
        struct estate_log_line *line = estate_add(inquiry->estate, ESTATE_LOG_LINES);
        *line = (struct estate_log_line){
            .task = arena_strdup(arena, question->task->task),
            .container = arena_strdup(arena, question->task->container),
            .group = arena_strdup(arena, question->task->group),
            .text = clean(arena, tree_text(item, "message", ""), LINE_MAX_BYTES),
            .at_ms = tree_int(item, "timestamp", 0),
        };
    }
}

static void ask_lines(struct inquiry *inquiry, const struct inquiry_task *task)
{
    struct aws_params params = aws_params_of(LOGS_GET_EVENTS);

    aws_put(&params, "logGroupName", task->group);
    aws_put(&params, "logStreamName", task->stream);
    aws_put_int(&params, "limit", INQUIRY_LINES_MAX);
    ask(inquiry, LOGS_GET_EVENTS, &params, task->group, on_lines)->task = task;
}

/* ---- life ---- */

static struct inquiry *free_inquiry(struct inquiry *inquiry)
{
    while (inquiry->questions) {
        struct question *question = inquiry->questions;
        inquiry->questions = question->next;
        aws_cancel(inquiry->aws, question->call);
        mem_free(question);
    }
    loop_timer_stop(inquiry->loop, &inquiry->deadline);
    loop_undefer(inquiry->loop, &inquiry->end);
    inquiry_request_deinit(&inquiry->request);
    estate_free(inquiry->estate);
    mem_free(inquiry);
    return NULL;
}

static void finish(void *ctx)
{
    struct inquiry *inquiry = ctx;
    struct estate *estate = inquiry->estate;
    inquiry_fn fn = inquiry->fn;
    void *of = inquiry->ctx;

    estate_sort(estate);
    inquiry->estate = NULL;
    free_inquiry(inquiry);
    fn(of, estate);
}

static void on_deadline(void *ctx)
{
    struct inquiry *inquiry = ctx;

    for (const struct question *one = inquiry->questions; one; one = one->next) {
        const struct aws_outcome *trouble = aws_call_trouble(one->call);
        bool is_silent = trouble->fault == AWS_FINE;
        note(inquiry, one, is_silent ? "no-answer" : trouble->code,
             is_silent ? "no answer in the time that a failing run waits" : trouble->text, false);
    }
    finish(inquiry);
}

struct inquiry *inquiry_begin(struct aws *aws, struct loop *loop, struct inquiry_request *request,
                              int64_t deadline_ms, inquiry_fn fn, void *ctx)
{
    struct inquiry *inquiry = mem_alloc(sizeof(*inquiry));
    const struct inquiry_task *tasks = request->tasks.items;

    *inquiry = (struct inquiry){.aws = aws,
                                .loop = loop,
                                .request = *request,
                                .estate = estate_new(),
                                .fn = fn,
                                .ctx = ctx};
    *request = (struct inquiry_request){0};
    inquiry->deadline = (struct loop_timer){.fn = on_deadline, .ctx = inquiry};
    inquiry->end = (struct loop_deferred){.fn = finish, .ctx = inquiry};
    for (size_t i = 0; i < inquiry->request.resources.count && i < INQUIRY_RESOURCES_MAX; i++)
        ask_trail(inquiry, record_text(&inquiry->request.resources, i));
    if (inquiry->request.interfaces.count) {
        struct aws_params params = aws_params_of(EC2_FLOW_LOGS);
        ask(inquiry, EC2_FLOW_LOGS, &params, "", on_flow_logs);
    }
    for (size_t i = 0; i < inquiry->request.tasks.count && i < INQUIRY_TASKS_MAX; i++)
        ask_lines(inquiry, &tasks[i]);
    if (!inquiry->questions)
        loop_defer(loop, &inquiry->end);
    loop_timer_in_ms(loop, &inquiry->deadline, (uint64_t)deadline_ms);
    return inquiry;
}

struct inquiry *inquiry_cancel(struct inquiry *inquiry)
{
    return inquiry ? free_inquiry(inquiry) : NULL;
}
