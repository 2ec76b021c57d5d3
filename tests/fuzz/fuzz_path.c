/* An estate, as it stands in a store, half and half with another: the rules are walked between all
 * its interfaces, what they say is put into words, what opens them into commands; the two are
 * compared. The parts stand a line each: "NAME JSON"; after a line "then" they are the other's. And
 * each line is read as one of a flow log, in the format that the line before it gives. */
#include "collector/cloud/changes.h"
#include "collector/cloud/concern.h"
#include "collector/cloud/inquiry.h"
#include "collector/cloud/lookup.h"
#include "collector/cloud/path_words.h"
#include "collector/cloud/remedy.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define ENDS_MAX 6

static void read_line(struct estate *estate, char *line)
{
    char *json = strchr(line, ' ');

    if (!json)
        return;
    *json++ = '\0';
    for (int part = 0; part < ESTATE_PART_COUNT; part++)
        if (strcmp(line, estate_part_name((enum estate_part)part)) == 0)
            estate_read_part(estate, (enum estate_part)part, json, strlen(json), NULL);
}

static const char *address_of(const struct estate *estate, size_t index)
{
    const struct estate_interface *interfaces = estate->parts[ESTATE_INTERFACES].items;

    return index < estate_count(estate, ESTATE_INTERFACES) && interfaces[index].addresses.count
               ? record_text(&interfaces[index].addresses, 0)
               : "10.0.0.9";
}

static void walk(const struct estate *estate, const struct estate *good)
{
    struct path_map *map = path_map_new(estate);
    struct remedies *remedies = remedies_new(estate, good);
    struct buf out = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; i < ENDS_MAX; i++)
        for (size_t j = 0; j < ENDS_MAX; j++) {
            struct path_flow flow;
            struct path path;
            if (!path_flow_of(map, PATH_TCP, address_of(estate, i), address_of(estate, j), 80,
                              &flow))
                continue;
            path_walk(map, &flow, &path);
            for (int kind = 0; kind < PATH_KIND_COUNT; kind++)
                path_words_put(estate, &flow, &path, (enum path_kind)kind, &out);
            remedies_add(remedies, &flow, &path);
        }
    for (size_t i = 0; i < remedies_count(remedies); i++)
        remedies_put(remedies, i, &out);
    buf_deinit(&out);
    remedies_free(remedies);
    path_map_free(map);
}

static void look_up(const struct estate *estate)
{
    const struct estate_service *services = estate->parts[ESTATE_SERVICES].items;
    struct buf out = BUF_INIT(BUF_UNBOUNDED);
    struct concern concern = {0};

    for (size_t i = 0; i < estate_count(estate, ESTATE_SERVICES) && i < ENDS_MAX; i++) {
        const struct estate_registry *registry = lookup_registry(estate, services[i].name);
        const struct estate_registration *registration =
            lookup_registration(&services[i], registry);
        concern_add(&concern, estate, services[i].name);
        lookup_instance(estate, services[i].name, address_of(estate, 0));
        lookup_resolver_rule(estate, services[i].name, lookup_vpc(estate, &services[i]));
        lookup_placement_event(&services[i]);
        lookup_target_group(estate, &services[i]);
        if (registration)
            lookup_registration_fault(estate, &services[i], registration, registry, &out);
    }
    concern_deinit(&concern);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct estate *now = estate_new(), *then = estate_new(), *into = now;
    char *text = malloc(size + 1), *save = NULL;
    struct changes *changes;
    struct arena arena = {0};
    const char *before = "";

    memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct estate_flow flow;
        inquiry_read_flow(&arena, before, line, &flow);
        before = arena_strdup(&arena, line);
        if (strcmp(line, "then") == 0)
            into = then;
        else
            read_line(into, line);
    }
    walk(now, then);
    look_up(now);
    changes = changes_find(then, now);
    changes_attribute(changes, now, 0);
    changes_free(changes);
    changes = changes_find(now, now);
    if (changes->count)
        abort(); /* nothing differs from itself */
    changes_free(changes);
    arena_deinit(&arena);
    estate_free(now);
    estate_free(then);
    free(text);
    return 0;
}
