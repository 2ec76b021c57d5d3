/* canreach help, canreach version. */
#include "collector/cli/command.h"
#include "common/text.h"
#include "common/version.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} pages[] = {
    {"run",
     "Starts a run over all pairs, or those of --from and --to, waits for the verdict and prints\n"
     "the matrix and why what is red is red: causes, evidence, fix. On a terminal a progress bar\n"
     "shows the agents that are done.\n\n"
     "  --from SERVICE...          only from these services\n"
     "  --to SERVICE[:CHECK]...    only to these\n"
     "  --deadline TIME            judge after this time at the latest, e.g. 30s\n"},
    {"matrix",
     "Prints the matrix of a run. States in parentheses are observed: they do not count.\n\n"
     "  ok           every endpoint passed its check\n"
     "  partial      some did\n"
     "  fail         none did\n"
     "  denied       expected deny: closed, and the target was seen listening\n"
     "  leak         expected deny, but it answered\n"
     "  unproven     neither shown\n"
     "  no-data      nobody probed it\n"
     "  probe-error  canreach's own fault\n"
     "  gone         the source, or the endpoint's task, left during the run\n"
     "  skipped      only address families that the source does not have\n"
     "  not-probed   left out by --from and --to\n"
     "  n/a          a service with one task, seen from itself\n"},
    {"why",
     "Shows one pair: the cause, how sure, where on the way it broke, the evidence, the fix, what "
     "was\n"
     "ruled out, since when, and what changed since the pair last worked. canreach-causes(7)\n"
     "explains each cause. Then each endpoint from both ends: what the tasks of SOURCE saw, and "
     "what\n"
     "the target's own agent saw meanwhile; where AWS may be asked, the two views step by step: "
     "what\n"
     "its rules do, and what both ends saw; what each task resolved; and each attempt.\n\n"
     "  --run RUN                  of this run [last]\n"
     "  -o markdown                the cause as a Markdown page\n"},
    {"diff",
     "What changed between two runs: the pairs whose state differs, and what AWS says: security\n"
     "group rules, network ACL entries, routes, task revisions, registrations, target health,\n"
     "attributes; added, removed, changed, and, where CloudTrail may be asked, when and by whom.\n"
     "RUN is an id, 'last' or 'last-good' (the last that passed).\n\n"
     "  -o markdown                as a Markdown list\n"},
    {"gate",
     "After a deployment: waits until the new revision's tasks have agents, runs the pairs of "
     "SERVICE\n"
     "in both directions, compares with the baseline, and decides:\n\n"
     "  PASS (0)           all its expected pairs work\n"
     "  FAIL (1)           pairs fail that worked before, and nothing speaks against this "
     "deployment\n"
     "                     as the reason; or the new revision is cut off\n"
     "  INCONCLUSIVE (3)   agents are missing, canreach itself has a fault, the pair failed "
     "before, the\n"
     "                     former revision fails alike, the other end fails for others, too\n\n"
     "While it waits it looks at each pair every second and reports the gaps. A deployment has "
     "one\n"
     "gate: who asks again gets the same. After FAIL it acts as --rollback says, once, never "
     "after\n"
     "INCONCLUSIVE, follows the deployment to its end, runs the pairs again and says whether they "
     "are\n"
     "mended. canreach(1) has the rules.\n\n"
     "  --deployment ID            an ECS service deployment's ARN, CodeDeploy's d-..., or any "
     "name\n"
     "  --revision FAMILY:N        the new task definition [what ECS says]\n"
     "  --tasks N                  of the new revision [what ECS, or the fleet file, says]\n"
     "  --wait TIME                for the new tasks' agents [5m, or as the collector is set]\n"
     "  --baseline WHAT            last-good, a run, or a file (canreach matrix -o json)\n"
     "  --rollback HOW             ecs, codedeploy, command or none [none]\n"
     "  --command COMMAND          for --rollback command: run here, by /bin/sh, with "
     "CANREACH_GATE,\n"
     "                             _SERVICE, _DEPLOYMENT, _REVISION and _FORMER\n"
     "  --execution ID             for --rollback codedeploy: of the lifecycle event hook\n"
     "  --on-inconclusive HOW      exit status of INCONCLUSIVE: pass (0), fail (1) or 3\n"
     "  --dry-run                  judge, say what would be done, do nothing\n"
     "  --attach GATE              wait for a gate that goes on already\n"},
    {"watch",
     "Looks at each pair again and again, once, without confirmation: a line when one goes away, "
     "and\n"
     "when it is back; at the end, for how long each was away. On a terminal a line shows how "
     "many\n"
     "work just now. Exit status: 1 if a pair is away at the end, 3 if it is not known.\n\n"
     "  --about SERVICE...         only pairs with one of these as either end\n"
     "  --from SERVICE...          only from these services\n"
     "  --to SERVICE[:CHECK]...    only to these\n"
     "  --every TIME               between two looks [1s]\n"
     "  --for TIME                 and then end [until Ctrl-C]\n"},
    {"agents",
     "Lists the agents: link (live, or lost and for how long), age, version, how often their own\n"
     "limits refused or dropped something (with -o json: which), address.\n"},
    {"services",
     "Lists the fleet's services: agents, checks, record type, discovery names. Where the fleet\n"
     "file names ECS clusters: also tasks (running of desired) and deployments, as they were at "
     "the\n"
     "last run, and what could not be read. With a service: all of it, with its tasks, groups and\n"
     "rules, registry, records, target groups and events.\n"},
    {"runs",
     "Lists earlier runs, the newest first. With an id: the tasks that took part, and which were\n"
     "late, missing or departed.\n\n"
     "  --outages                  from when to when pairs did not work, and why\n"
     "  --limit N                  the newest N [20]\n"},
    {"fleet",
     "check FILE: validates a fleet file (YAML or JSON) and says line, column and what was\n"
     "expected. With -o json: the fleet with every default filled in.\n\n"
     "import: writes a fleet file to stdout, out of ECS and Cloud Map. Credentials and region are\n"
     "found as AWS's own tools find them (environment, profile, web identity, container, "
     "instance);\n"
     "deploy/aws/collector-policy.json lists the permissions. Exit status 3: written, but "
     "something\n"
     "could not be read; stderr says what.\n\n"
     "  --cluster NAME             the ECS cluster, name or ARN; several: again, or with commas\n"
     "  --region REGION            [AWS_REGION, or the profile's]\n"
     "  --name NAME                of the fleet [the first cluster's]\n"
     "  --timeout TIME             for all of it [60s]\n\n"
     "A fleet file, in short (canreach-fleet(5) has all of it):\n\n"
     "  fleet: shop\n"
     "  namespace: shop.local\n"
     "  defaults: { check: http, port: 8080, path: /health, timeout: 2s }\n"
     "  services:\n"
     "    web:      {}                          # web.shop.local:8080, GET /health\n"
     "    payments: { record: SRV }             # port from the SRV record\n"
     "    cache:    { check: tcp, port: 6379 }\n"
     "    worker:   { check: none }             # a row, no column\n"
     "  expect:\n"
     "    default: observe\n"
     "    allow: [ \"web -> payments, cache\" ]\n"
     "    deny:  [ \"cache -> payments\" ]\n"},
};

static int print_overview(void)
{
    puts("Can every service reach every other one, by its name, right now?\n\n"
         "Usage: canreach COMMAND [OPTION...]\n");
    for (size_t i = 0; i < command_count; i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
        printf("  %-40s %s\n", left, commands[i].summary);
    }
    puts("\nEvery command takes --url URL (or CANREACH_URL): http://HOST:PORT or unix:///PATH\n"
         "[" CLIENT_URL_DEFAULT "], and where it prints results, -o table|json; run, matrix and\n"
         "gate also csv|junit|markdown|github.\n\n"
         "Exit status: 0 every expected pair works; 1 an expected pair does not, or a denied one\n"
         "does; 2 usage or configuration; 3 no verdict: no data, an incomplete run, no collector.");
    return EXIT_PASS;
}

int cmd_help(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    char known[96];

    if (!word)
        return print_overview();
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, word) != 0)
            continue;
        printf("Usage: canreach %s %s\n\n", word, commands[i].arguments);
        for (size_t j = 0; j < ARRAY_SIZE(pages); j++)
            if (strcmp(pages[j].name, word) == 0)
                puts(pages[j].text);
        puts("  --url URL                  the collector (CANREACH_URL) [" CLIENT_URL_DEFAULT "]");
        printf("  -o, --output FORMAT        %s\n", command_formats(word, known, sizeof(known)));
        return EXIT_PASS;
    }
    return command_error("help", EXIT_USAGE, "there is no command '%.60s'", word);
}

int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("canreach " CANREACH_VERSION);
    return EXIT_PASS;
}
