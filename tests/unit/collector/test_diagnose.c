/* The diagnosis, over the cases in tests/unit/collector/diagnose (diagnose_world.h has their
 * lines):
 *   => CAUSE [| SCOPE]                         the first diagnosis; "=> none"
 *   % PERCENT [TEXT...]                        at least so sure; evidence or command holds each
 *                                              ('_' stands for ' ')
 *   ~ CAUSE                                    named beside it
 *   > CAUSE                                    a further diagnosis
 */
#include "tests/unit/collector/diagnose_world.h"

#define CASES TESTS_DIR "/unit/collector/diagnose"

static size_t complaints;

/* The next case is tried all the same. */
#define complain(...)             \
    do {                          \
        print_error(__VA_ARGS__); \
        print_error("\n");        \
        complaints++;             \
    } while (0)

static bool is_covered[128]; /* causes that a case expects */

/* ---- what is expected ---- */

static void note_cause(const char *cause)
{
    for (size_t i = 0; i < cause_count; i++)
        if (strcmp(causes[i].code, cause) == 0)
            is_covered[i] = true;
}

/* Everything that a diagnosis says is said, and nothing is left to fill in. */
static void is_whole(const struct diagnosis *diagnosis)
{
    assert_true(diagnosis->confidence > 0 && diagnosis->confidence < 1);
    assert_true(*diagnosis->summary && *diagnosis->fix && *diagnosis->scope);
    assert_true(diagnosis->evidence_count > 0);
    for (size_t i = 0; i < diagnosis->evidence_count; i++)
        assert_null(strstr(diagnosis->evidence[i].fact, "{"));
    assert_null(strstr(diagnosis->summary, "{"));
    for (size_t i = 0; i < diagnosis->ruled_out_count; i++)
        assert_string_not_equal(diagnosis->ruled_out[i].cause, diagnosis->cause);
}

static void list(const struct diagnoses *diagnoses, struct buf *out)
{
    for (size_t i = 0; i < diagnoses->count; i++)
        buf_printf(out, "%s%s %.2f [%s]", i ? ", " : "", diagnoses->items[i].cause,
                   diagnoses->items[i].confidence, diagnoses->items[i].scope);
}

static void is_first(const struct diagnoses *diagnoses, char *line)
{
    char *bar = strstr(line, " | ");
    const char *scope = bar ? bar + 3 : NULL;
    CLEANUP_BUF struct buf all = BUF_INIT(8192);

    list(diagnoses, &all);
    if (bar)
        *bar = '\0';
    note_cause(line);
    if (strcmp(line, "none") == 0) {
        if (diagnoses->count)
            complain("%s: expected none, got %s", world.title, buf_text(&all));
        return;
    }
    if (!diagnoses->count || strcmp(diagnoses->items[0].cause, line) != 0 ||
        (scope && strcmp(diagnoses->items[0].scope, scope) != 0))
        complain("%s: expected %s [%s], got %s", world.title, line, scope ? scope : "",
                 buf_text(&all));
    for (size_t i = 0; i < diagnoses->count; i++)
        is_whole(&diagnoses->items[i]);
}

static void has_rival(const struct diagnoses *diagnoses, const char *cause)
{
    const struct diagnosis *first = &diagnoses->items[0];

    for (size_t i = 0; i < first->alternative_count; i++)
        if (strcmp(first->alternatives[i].cause, cause) == 0)
            return;
    complain("%s: %s is not beside %s", world.title, cause, first->cause);
}

static void has_further(const struct diagnoses *diagnoses, const char *cause)
{
    note_cause(cause);
    for (size_t i = 1; i < diagnoses->count; i++)
        if (strcmp(diagnoses->items[i].cause, cause) == 0)
            return;
    complain("%s: %s is not among the diagnoses", world.title, cause);
}

/* '_' in what is wanted stands for ' '. */
static bool has_words(const char *text, const char *wanted)
{
    size_t length = strlen(wanted);

    for (; strlen(text) >= length; text++) {
        size_t same = 0;
        while (same < length &&
               (text[same] == wanted[same] || (wanted[same] == '_' && text[same] == ' ')))
            same++;
        if (same == length)
            return true;
    }
    return false;
}

static bool is_said(const struct diagnosis *diagnosis, const char *wanted)
{
    for (size_t i = 0; i < diagnosis->evidence_count; i++)
        if (has_words(diagnosis->evidence[i].fact, wanted))
            return true;
    for (size_t i = 0; i < diagnosis->command_count; i++)
        if (has_words(diagnosis->commands[i], wanted))
            return true;
    return false;
}

static void is_sure(const struct diagnoses *diagnoses, char *line)
{
    const struct diagnosis *first = &diagnoses->items[0];
    char *save = NULL, *word = strtok_r(line, " ", &save);

    if (!diagnoses->count || first->confidence * 100 < atoi(word))
        complain("%s: %.2f is not %s %%", world.title, diagnoses->count ? first->confidence : 0,
                 word);
    while (diagnoses->count && (word = strtok_r(NULL, " ", &save)))
        if (!is_said(first, word)) {
            complain("%s: nothing says '%s'", world.title, word);
            for (size_t i = 0; i < first->evidence_count; i++)
                print_error("  %s\n", first->evidence[i].fact);
            for (size_t i = 0; i < first->command_count; i++)
                print_error("  %s\n", first->commands[i]);
        }
}

static void run_directive(char *line)
{
    char *words[WORDS], *save = NULL;
    size_t count = 0;

    for (char *word = strtok_r(line, " \t", &save); word && count < WORDS;
         word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    for (size_t i = 0; count && i < ARRAY_SIZE(directives); i++)
        if (strcmp(directives[i].name, words[0]) == 0 && count >= directives[i].words) {
            directives[i].run(words, count);
            return;
        }
    if (count)
        fail_msg("%s: what is '%s'?", world.title, words[0]);
}

static size_t run_cases(const char *path)
{
    FILE *file = fopen(path, "r");
    struct diagnoses *diagnoses = NULL;
    char line[2048];
    size_t count = 0;

    if (!file)
        fail_msg("%s cannot be read", path);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line == '#') {
            begin(line + 2);
            diagnoses = diagnoses_free(diagnoses);
            count++;
        } else if (strncmp(line, "=> ", 3) == 0) {
            diagnoses = diagnose_world();
            is_first(diagnoses, line + 3);
        } else if (*line == '~') {
            has_rival(diagnoses, line + 2);
        } else if (*line == '%') {
            is_sure(diagnoses, line + 2);
        } else if (*line == '>') {
            has_further(diagnoses, line + 2);
        } else {
            run_directive(line);
        }
    }
    diagnoses_free(diagnoses);
    fclose(file);
    return count;
}

static void test_cases(void **state)
{
    static const char *const files[] = {"names",   "network",  "target", "tls-http",
                                        "pattern", "findings", "cloud"};
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[512];
        snprintf(path, sizeof(path), CASES "/%s", files[i]);
        count += run_cases(path);
    }
    assert_int_equal(complaints, 0);
    assert_true(count > 80);
}

/* Whoever adds a rule adds a case. */
static void test_every_rule_has_a_case(void **state)
{
    (void)state;
    for (size_t r = 0; r < rule_count; r++) {
        const struct cause *cause = cause_find(rules[r].cause);
        assert_string_equal(cause->code, rules[r].cause); /* it has a sentence and a fix */
        if (!is_covered[cause - causes])
            fail_msg("no case expects %s", rules[r].cause);
    }
}

/* The manual explains each. */
static void test_every_cause_has_a_section(void **state)
{
    FILE *file = fopen(TESTS_DIR "/../collector/cli/canreach-causes.7", "r");
    char *page = mem_alloc(1 << 18), head[64];

    (void)state;
    assert_non_null(file);
    assert_true(fread(page, 1, (1 << 18) - 1, file) > 0);
    fclose(file);
    for (size_t i = 0; i < cause_count; i++) {
        snprintf(head, sizeof(head), "\n.B %s\n", causes[i].code);
        assert_contains(page, head);
    }
    mem_free(page);
}

static void test_facts_have_texts(void **state)
{
    (void)state;
    for (int fact = FACT_NONE + 1; fact < FACT_COUNT; fact++) {
        assert_non_null(fact_infos[fact].name);
        assert_non_null(fact_infos[fact].yes);
    }
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&world.arena);
    buf_deinit(&world.expect);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_every_rule_has_a_case),
        cmocka_unit_test(test_every_cause_has_a_section),
        cmocka_unit_test(test_facts_have_texts),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
