/* The `expect` section of a fleet file: who is expected to reach whom. */
#include "collector/fleet_parser.h"

#include "common/mem.h"
#include "common/text.h"

#include <string.h>
#include <uthash.h>

/* One source and one target of a line; SIZE_MAX stands for all. */
struct rule {
    struct pair {
        size_t source, target, check;
    } pair;
    enum expectation expected;
    UT_hash_handle hh;
};

struct rules {
    struct rule *known; /* by pair */
    struct arena arena;
};

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
    parser_lack(parser, node, "no service '%.60s' is defined%s", name,
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
    parser_lack(parser, node, "service '%s' has no check '%.60s'", service->name, check);
    return false;
}

/* A pair twice under the same word is harmless; under two words it is a mistake. */
static void add_rule(struct parser *parser, const yaml_node_t *node, struct rules *rules,
                     const struct rule *wanted)
{
    struct rule *rule;

    HASH_FIND(hh, rules->known, &wanted->pair, sizeof(wanted->pair), rule);
    if (rule && rule->expected != wanted->expected)
        parser_fail(parser, node, "the same pair stands under both '%s' and '%s'",
                    expectation_name(rule->expected), expectation_name(wanted->expected));
    if (rule)
        return;
    if (HASH_COUNT(rules->known) == FLEET_RULES_MAX) {
        parser_fail(parser, node, "more than %d expectations", FLEET_RULES_MAX);
        return;
    }
    rule = arena_alloc(&rules->arena, 1, sizeof(*rule));
    *rule = *wanted;
    HASH_ADD(hh, rules->known, pair, sizeof(rule->pair), rule);
}

/* "source -> target[:check], target[:check]" */
static void read_line(struct parser *parser, const yaml_node_t *node, char *line,
                      enum expectation expected, struct rules *rules)
{
    char *arrow = strstr(line, "->"), *rest, *target;
    struct rule rule = {.expected = expected};

    if (!arrow) {
        parser_fail(parser, node, "'%.60s': expected 'source -> target, target:check'", line);
        return;
    }
    *arrow = '\0';
    if (!find_service(parser, node, trim(line), &rule.pair.source))
        return;
    if (rule.pair.source != SIZE_MAX && !parser->fleet->services[rule.pair.source].has_agents) {
        parser_fail(parser, node, "service '%s' has 'agents: none': nothing can probe from it",
                    parser->fleet->services[rule.pair.source].name);
        return;
    }
    for (rest = arrow + 2; (target = strsep(&rest, ","));) {
        char *name = trim(target), *check = strchr(name, ':');
        if (check)
            *check++ = '\0';
        if (find_service(parser, node, name, &rule.pair.target) &&
            find_check(parser, node, rule.pair.target, check, &rule.pair.check)) {
            if (rule.pair.target != SIZE_MAX &&
                parser->fleet->services[rule.pair.target].check_count == 0)
                parser_lack(parser, node, "service '%s' has 'check: none': it cannot be reached",
                            parser->fleet->services[rule.pair.target].name);
            else
                add_rule(parser, node, rules, &rule);
        }
    }
}

static void read_rules(struct parser *parser, const yaml_node_t *node, enum expectation expected,
                       struct rules *rules)
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
        read_line(parser, line, copy, expected, rules);
        mem_free(copy);
    }
}

static void on_expect(struct parser *parser, const char *key, const yaml_node_t *key_node,
                      const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"default", "allow", "deny", "observe"};
    static const char *const words[] = {"allow", "deny", "observe"};
    const char *word;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(key, words[i]) == 0) {
            read_rules(parser, value, (enum expectation)i, ctx);
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

/* Which of two lines wins: no two shapes weigh the same, so that no pair is decided by the order of
 * lines. A named source beats a named target, a named check only breaks a tie. */
static int specificity(const struct rule *rule)
{
    return 5 * (rule->pair.source != SIZE_MAX) + 3 * (rule->pair.target != SIZE_MAX) +
           (rule->pair.check != SIZE_MAX);
}

static int by_specificity(const struct rule *a, const struct rule *b)
{
    return specificity(a) - specificity(b);
}

static void apply(struct fleet *fleet, const struct rule *rule)
{
    const struct pair *pair = &rule->pair;
    size_t first = pair->source == SIZE_MAX ? 0 : pair->source;
    size_t end = pair->source == SIZE_MAX ? fleet->service_count : pair->source + 1;

    for (size_t c = 0; c < fleet->column_count; c++) {
        const struct fleet_column *column = &fleet->columns[c];
        if ((pair->target != SIZE_MAX && pair->target != column->service) ||
            (pair->check != SIZE_MAX && pair->check != column->check))
            continue;
        for (size_t s = first; s < end; s++)
            fleet->expected[s * fleet->column_count + c] = (uint8_t)rule->expected;
    }
}

void parser_read_expect(struct parser *parser, const yaml_node_t *expect)
{
    struct fleet *fleet = parser->fleet;
    size_t cells = fleet->service_count * fleet->column_count;
    struct rules rules = {0};
    struct rule *rule, *next;

    fleet->expected = arena_alloc(&fleet->arena, cells, sizeof(*fleet->expected));
    if (!expect || !parser_is_mapping(parser, expect, "expect"))
        return;
    parser_each_key(parser, expect, on_expect, &rules);
    memset(fleet->expected, (int)fleet->fallback, cells);
    fleet->rule_count = HASH_COUNT(rules.known);
    /* The more specific a line, the later it has its say. */
    HASH_SORT(rules.known, by_specificity);
    HASH_ITER(hh, rules.known, rule, next)
    {
        apply(fleet, rule);
    }
    HASH_CLEAR(hh, rules.known);
    arena_deinit(&rules.arena);
}
