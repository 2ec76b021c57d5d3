#include "collector/parser.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define NESTING_MAX 64

/* ---- messages ---- */

static void __attribute__((format(printf, 4, 0)))
say(struct parser *parser, const yaml_mark_t *mark, bool is_error, const char *format, va_list args)
{
    struct fleet_messages *messages = parser->messages;

    if (is_error && ++messages->errors > FLEET_ERRORS_MAX)
        return;
    if (!is_error && ++messages->warnings > FLEET_ERRORS_MAX)
        return;
    buf_printf(&messages->text, "%s:", parser->origin);
    if (mark)
        buf_printf(&messages->text, "%zu:%zu:", mark->line + 1, mark->column + 1);
    buf_puts(&messages->text, is_error ? " error: " : " warning: ");
    buf_vprintf(&messages->text, format, args);
    buf_putc(&messages->text, '\n');
}

void parser_fail(struct parser *parser, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(parser, node ? &node->start_mark : NULL, true, format, args);
    va_end(args);
}

void parser_warn(struct parser *parser, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(parser, node ? &node->start_mark : NULL, false, format, args);
    va_end(args);
}

const char *parser_suggest(const char *word, const char *const *candidates, size_t count)
{
    static char text[96];
    const char *closest = text_closest(word, candidates, count);

    if (!closest)
        return "";
    snprintf(text, sizeof(text), "; did you mean '%.60s'?", closest);
    return text;
}

const char *parser_list_of(const char *const *words, size_t count)
{
    static char text[256];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "", words[i]);
    return text;
}

/* ---- nodes ---- */

void parser_lack(struct parser *parser, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(parser, node ? &node->start_mark : NULL, !parser->is_lenient, format, args);
    va_end(args);
}

const yaml_node_t *parser_node(struct parser *parser, int index)
{
    return yaml_document_get_node(&parser->document, index);
}

const char *parser_kind_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE     ? "a single value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a mapping";
}

/* The text of a scalar, or NULL with a message. */
const char *parser_scalar(struct parser *parser, const yaml_node_t *node, const char *what)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE) {
        parser_fail(parser, node, "%s is %s; expected a single value", what, parser_kind_of(node));
        return NULL;
    }
    text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        parser_fail(parser, node, "%s contains a NUL byte", what);
        return NULL;
    }
    return text;
}

bool parser_is_mapping(struct parser *parser, const yaml_node_t *node, const char *what)
{
    if (node->type == YAML_MAPPING_NODE)
        return true;
    parser_fail(parser, node, "%s is %s; expected a mapping of keys and values", what,
                parser_kind_of(node));
    return false;
}

/* Calls `fn` for each key, after refusing what is no key and what stands twice. */
void parser_each_key(struct parser *parser, const yaml_node_t *mapping, parser_key_fn fn, void *ctx)
{
    const yaml_node_pair_t *first = mapping->data.mapping.pairs.start;

    if (mapping->data.mapping.pairs.top - first > PARSER_KEYS_MAX) {
        parser_fail(parser, mapping, "%td keys; at most %d",
                    mapping->data.mapping.pairs.top - first, PARSER_KEYS_MAX);
        return;
    }
    for (const yaml_node_pair_t *pair = first; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key_node = parser_node(parser, pair->key);
        const char *key = parser_scalar(parser, key_node, "a key");
        bool is_repeated = false;

        if (!key || ++parser->visited > PARSER_NODES_MAX)
            continue;
        for (const yaml_node_pair_t *at = first; at < pair && !is_repeated; at++) {
            const yaml_node_t *other = parser_node(parser, at->key);
            is_repeated = other->type == YAML_SCALAR_NODE &&
                          strcmp((const char *)other->data.scalar.value, key) == 0;
            if (is_repeated)
                parser_fail(parser, key_node, "'%.60s' stands twice; first in line %zu", key,
                            other->start_mark.line + 1);
        }
        if (!is_repeated)
            fn(parser, key, key_node, parser_node(parser, pair->value), ctx);
    }
}

bool parser_each_item(struct parser *parser, const yaml_node_t *list, const char *what, size_t most,
                      parser_item_fn fn, void *ctx)
{
    size_t count;

    if (list->type != YAML_SEQUENCE_NODE) {
        parser_fail(parser, list, "%s is %s; expected a list", what, parser_kind_of(list));
        return false;
    }
    count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count > most) {
        parser_fail(parser, list, "%s has %zu entries; at most %zu", what, count, most);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (++parser->visited <= PARSER_NODES_MAX)
            fn(parser, parser_node(parser, list->data.sequence.items.start[i]), ctx);
    return true;
}

bool parser_duration(struct parser *parser, const yaml_node_t *node, const char *what,
                     int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
    const char *text = parser_scalar(parser, node, what);
    int64_t ms;

    if (!text)
        return false;
    if (!text_to_duration_ms(text, &ms)) {
        parser_fail(parser, node,
                    "%s is '%.40s'; expected a duration such as 500ms, 90s, 5m, 2h or 30d", what,
                    text);
        return false;
    }
    if (ms < min_ms || ms > max_ms) {
        parser_fail(parser, node, "%s is out of range, %lld to %lld seconds", what,
                    (long long)(min_ms / 1000), (long long)(max_ms / 1000));
        return false;
    }
    *ret_ms = ms;
    return true;
}

bool parser_int(struct parser *parser, const yaml_node_t *node, const char *what, int64_t min,
                int64_t max, int64_t *ret_value)
{
    const char *text = parser_scalar(parser, node, what);

    if (!text)
        return false;
    if (text_to_int(text, min, max, ret_value))
        return true;
    parser_fail(parser, node, "%s is '%.40s'; expected a number from %lld to %lld", what, text,
                (long long)min, (long long)max);
    return false;
}

void parser_unknown_key(struct parser *parser, const yaml_node_t *node, const char *key,
                        const char *where, const char *const *known, size_t count)
{
    parser_fail(parser, node, "unknown key '%.60s' in %s%s (known: %s)", key, where,
                parser_suggest(key, known, count), parser_list_of(known, count));
}

const char *parser_keep(struct parser *parser, const char *text)
{
    return arena_strdup(parser->arena, text);
}

const char *parser_one_of(struct parser *parser, const yaml_node_t *node, const char *what,
                          const char *const *words, size_t count)
{
    const char *text = parser_scalar(parser, node, what);

    if (!text)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0)
            return words[i];
    parser_fail(parser, node, "%s is '%.60s'; expected one of %s%s", what, text,
                parser_list_of(words, count), parser_suggest(text, words, count));
    return NULL;
}

/* ---- the document ---- */

/* Refuses what would cost libyaml too much before it sees it: depth (its scanner looks at every
 * open level for each token). Brackets inside strings count too; no fleet file has so many. */
static bool is_too_deep(const char *text, size_t length)
{
    unsigned depth = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '[' || text[i] == '{')
            depth++;
        else if ((text[i] == ']' || text[i] == '}') && depth)
            depth--;
        if (depth > NESTING_MAX)
            return true;
    }
    return false;
}

bool parser_load(struct parser *parser, const char *text, size_t length)
{
    yaml_parser_t yaml;
    bool is_loaded;

    if (is_too_deep(text, length)) {
        parser_fail(parser, NULL, "nested deeper than %d levels", NESTING_MAX);
        return false;
    }
    if (!yaml_parser_initialize(&yaml))
        return false;
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    is_loaded = yaml_parser_load(&yaml, &parser->document);
    if (!is_loaded) {
        yaml_node_t place = {.start_mark = yaml.problem_mark};
        if (yaml.error == YAML_READER_ERROR)
            parser_fail(parser, NULL, "byte %zu: %s", yaml.problem_offset,
                        yaml.problem ? yaml.problem : "not readable");
        else
            parser_fail(parser, &place, "not YAML or JSON: %s",
                        yaml.problem ? yaml.problem : "syntax");
    }
    yaml_parser_delete(&yaml);
    return is_loaded;
}
