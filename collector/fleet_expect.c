/* The `expect` section of a fleet file: who is expected to reach whom. */
#include "collector/fleet_parser.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

static char *trim(char *text)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return text;
}

/* SIZE_MAX for "*"; false with a message for a service that nothing defines. */
static bool find_service(struct parser *parser, const yaml_node_t *node, const char *name,
                         size_t *ret_service)
{
    const struct fleet *fleet = parser->fleet;
    const char **names;

    *ret_service = SIZE_MAX;
    if (strcmp(name, "*") == 0)
        return true;
    *ret_service = fleet_find_service(fleet, name);
    if (*ret_service != SIZE_MAX)
        return true;
    names = mem_array(fleet->service_count, sizeof(*names));
    for (size_t i = 0; i < fleet->service_count; i++)
        names[i] = fleet->services[i].name;
    parser_fail(parser, node, "no service '%.60s' is defined%s", name,
                parser_suggest(name, names, fleet->service_count));
    mem_free(names);
    return false;
}

static bool find_check(struct parser *parser, const yaml_node_t *node, size_t target,
                       const char *check, size_t *ret_check)
{
    const struct fleet_service *service;

    *ret_check = SIZE_MAX;
    if (!check)
        return true;
    if (target == SIZE_MAX) {
        parser_fail(parser, node, "'*:%.60s': a check needs one service, not '*'", check);
        return false;
    }
    service = &parser->fleet->services[target];
    for (size_t i = 0; i < service->check_count; i++)
        if (strcmp(service->checks[i].name, check) == 0) {
            *ret_check = i;
            return true;
        }
    parser_fail(parser, node, "service '%s' has no check '%.60s'", service->name, check);
    return false;
}

/* No two shapes of line weigh the same, so that no pair is decided by the order of lines: a named
 * source beats a named target, a named check only breaks a tie. */
static int specificity(const struct fleet_rule *rule)
{
    return 5 * (rule->source != SIZE_MAX) + 3 * (rule->target != SIZE_MAX) +
           (rule->check != SIZE_MAX);
}

static void add_rule(struct parser *parser, const yaml_node_t *node, const struct fleet_rule *rule)
{
    struct fleet *fleet = parser->fleet;

    for (size_t i = 0; i < fleet->rule_count; i++) {
        const struct fleet_rule *other = &fleet->rules[i];
        if (other->source == rule->source && other->target == rule->target &&
            other->check == rule->check && other->expected != rule->expected) {
            parser_fail(parser, node, "the same pair stands under both 'allow' and 'deny'");
            return;
        }
    }
    if (fleet->rule_count == FLEET_RULES_MAX)
        parser_fail(parser, node, "more than %d expectations", FLEET_RULES_MAX);
    else
        fleet->rules[fleet->rule_count++] = *rule;
}

/* "source -> target[:check], target[:check]" */
static void read_line(struct parser *parser, const yaml_node_t *node, char *line,
                      enum expectation expected)
{
    char *arrow = strstr(line, "->"), *rest, *target;
    struct fleet_rule rule = {.expected = expected};

    if (!arrow) {
        parser_fail(parser, node, "'%.60s': expected 'source -> target, target:check'", line);
        return;
    }
    *arrow = '\0';
    if (!find_service(parser, node, trim(line), &rule.source))
        return;
    if (rule.source != SIZE_MAX && !parser->fleet->services[rule.source].has_agents) {
        parser_fail(parser, node, "service '%s' has 'agents: none': nothing can probe from it",
                    parser->fleet->services[rule.source].name);
        return;
    }
    for (rest = arrow + 2; (target = strsep(&rest, ","));) {
        char *name = trim(target), *check = strchr(name, ':');
        if (check)
            *check++ = '\0';
        if (find_service(parser, node, name, &rule.target) &&
            find_check(parser, node, rule.target, check, &rule.check)) {
            if (rule.target != SIZE_MAX && parser->fleet->services[rule.target].check_count == 0)
                parser_fail(parser, node, "service '%s' has 'check: none': it cannot be reached",
                            parser->fleet->services[rule.target].name);
            else
                add_rule(parser, node, &rule);
        }
    }
}

static void read_rules(struct parser *parser, const yaml_node_t *node, enum expectation expected)
{
    const yaml_node_item_t *item;

    if (node->type != YAML_SEQUENCE_NODE) {
        parser_fail(parser, node, "%s is %s; expected a list of 'source -> target'",
                    expectation_name(expected), parser_kind_of(node));
        return;
    }
    for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *line = parser_node(parser, *item);
        const char *text = parser_scalar(parser, line, "an expectation");
        char *copy;
        if (!text || ++parser->visited > PARSER_NODES_MAX)
            continue;
        copy = mem_strdup(text);
        read_line(parser, line, copy, expected);
        mem_free(copy);
    }
}

static void on_expect(struct parser *parser, const char *key, const yaml_node_t *key_node,
                      const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"default", "allow", "deny", "observe"};
    static const char *const words[] = {"allow", "deny", "observe"};
    const char *word;

    (void)ctx;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(key, words[i]) == 0) {
            read_rules(parser, value, (enum expectation)i);
            return;
        }
    if (strcmp(key, "default") != 0) {
        parser_unknown_key(parser, key_node, key, "expect", known, ARRAY_SIZE(known));
        return;
    }
    word = parser_one_of(parser, value, "default", words, ARRAY_SIZE(words));
    for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
        if (word == words[i])
            parser->fleet->fallback = (enum expectation)i;
}

static int by_specificity(const void *a, const void *b)
{
    return specificity(b) - specificity(a);
}

static size_t count_rules(struct parser *parser, const yaml_node_t *expect)
{
    size_t count = 0;

    for (const yaml_node_pair_t *pair = expect->data.mapping.pairs.start;
         pair < expect->data.mapping.pairs.top; pair++) {
        const yaml_node_t *list = parser_node(parser, pair->value);
        if (list->type != YAML_SEQUENCE_NODE)
            continue;
        for (const yaml_node_item_t *item = list->data.sequence.items.start;
             item < list->data.sequence.items.top; item++) {
            const yaml_node_t *line = parser_node(parser, *item);
            count++;
            if (line->type == YAML_SCALAR_NODE)
                for (const char *c = (const char *)line->data.scalar.value; *c; c++)
                    count += *c == ',';
        }
    }
    return count < FLEET_RULES_MAX ? count : FLEET_RULES_MAX;
}

void parser_read_expect(struct parser *parser, const yaml_node_t *expect)
{
    struct fleet *fleet = parser->fleet;

    if (!parser_is_mapping(parser, expect, "expect"))
        return;
    fleet->rules = arena_alloc(&fleet->arena, count_rules(parser, expect), sizeof(*fleet->rules));
    parser_each_key(parser, expect, on_expect, NULL);
    qsort(fleet->rules, fleet->rule_count, sizeof(*fleet->rules), by_specificity);
}
