/* An answer of EC2's, as a tree and as records, against libexpat alone over the same bytes. */
#include "collector/cloud/estate.h"
#include "common/buf.h"
#include "common/clock.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

#define RULES 20000 /* about 9 MB: a large account's */
#define TRIES 5
#define GOAL  3.0

static void write_answer(struct buf *out)
{
    buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeSecurityGroupRulesResponse "
                  "xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n<securityGroupRuleSet>\n");
    for (int i = 0; i < RULES; i++)
        buf_printf(
            out,
            "  <item>\n    <securityGroupRuleId>sgr-%017x</securityGroupRuleId>\n"
            "    <groupId>sg-%017x</groupId>\n    <groupOwnerId>123456789012</groupOwnerId>\n"
            "    <isEgress>false</isEgress>\n    <ipProtocol>tcp</ipProtocol>\n"
            "    <fromPort>8080</fromPort>\n    <toPort>8080</toPort>\n"
            "    <referencedGroupInfo>\n      <groupId>sg-%017x</groupId>\n"
            "      <userId>123456789012</userId>\n    </referencedGroupInfo>\n"
            "    <description>from web &amp; api</description>\n    <tagSet/>\n  </item>\n",
            i, i % 200, i % 100);
    buf_puts(out, "</securityGroupRuleSet>\n</DescribeSecurityGroupRulesResponse>\n");
}

static size_t seen;

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    (void)ctx;
    (void)name;
    (void)attributes;
    seen++;
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    (void)ctx;
    (void)name;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int length)
{
    (void)ctx;
    (void)text;
    seen += (size_t)length;
}

static uint64_t bare_us(const struct buf *text)
{
    uint64_t began_us = clock_mono_us();
    XML_Parser parser = XML_ParserCreate(NULL);

    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    if (XML_Parse(parser, buf_text(text), (int)text->length, XML_TRUE) == XML_STATUS_ERROR)
        abort();
    XML_ParserFree(parser);
    return clock_mono_us() - began_us;
}

static uint64_t ours_us(const struct buf *text)
{
    const struct record_type *type = record_nested(estate_type(ESTATE_GROUPS), "rules");
    struct arena arena = {0}, kept = {0};
    struct record_list rules = {0};
    uint64_t began_us = clock_mono_us();
    const struct tree *root = tree_parse_xml(&arena, buf_text(text), text->length, NULL);

    record_read_list(&kept, type, &rules, tree_items(root, "securityGroupRuleSet"), RECORD_VENDOR);
    arena_deinit(&arena);
    began_us = clock_mono_us() - began_us;
    if (rules.count != RULES)
        abort();
    arena_deinit(&kept);
    return began_us;
}

static uint64_t best_of(uint64_t (*measure)(const struct buf *), const struct buf *text)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        uint64_t us = measure(text);
        best = us < best ? us : best;
    }
    return best;
}

int main(void)
{
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);
    uint64_t bare, ours;
    double ratio;

    write_answer(&text);
    bare = best_of(bare_us, &text);
    ours = best_of(ours_us, &text);
    ratio = (double)ours / (double)bare;
    printf("xml_to_records\t%.0f\tMB/s\t%.2f\t%.1f\t%s\n", (double)text.length / (double)ours,
           ratio, GOAL, ratio <= GOAL ? "ok" : "short");
    return 0;
}
