/* An answer of any of AWS's APIs, read into every kind of record, written and read back. The first
 * byte picks the protocol. */
#include "collector/cloud/aws_request.h"
#include "collector/cloud/estate.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void round_trip(struct estate *estate, enum estate_part part)
{
    struct buf before = BUF_INIT(BUF_UNBOUNDED), after = BUF_INIT(BUF_UNBOUNDED);
    struct estate *copy = estate_new();

    estate_write_part(estate, part, &before);
    estate_copy_part(copy, estate, part);
    estate_write_part(copy, part, &after);
    if (strcmp(buf_text(&before), buf_text(&after)) != 0)
        abort();
    estate_free(copy);
    buf_deinit(&before);
    buf_deinit(&after);
}

static void read_everywhere(const struct tree *root)
{
    for (int part = 0; part < ESTATE_PART_COUNT; part++) {
        struct estate *estate = estate_new();
        record_read(&estate->arena, estate_type((enum estate_part)part),
                    estate_add(estate, (enum estate_part)part), root, RECORD_VENDOR);
        record_read_list(&estate->arena, estate_type((enum estate_part)part), &estate->parts[part],
                         root->first, RECORD_VENDOR);
        round_trip(estate, (enum estate_part)part);
        estate_free(estate);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_answer answer = {.error = "", .error_type = ""};
    struct arena arena = {0};
    struct aws_outcome outcome;
    const struct tree *root;
    char *body;

    if (!size)
        return 0;
    body = malloc(size);
    memcpy(body, data + 1, size - 1);
    body[size - 1] = '\0';
    answer.status = data[0] & 0x40 ? 400 : 200;
    answer.body = body;
    answer.length = size - 1;
    root = aws_answer_read(&arena, (enum aws_service_id)((data[0] & 0x3f) % AWS_SERVICE_COUNT),
                           &answer, &outcome);
    if (!root && outcome.fault == AWS_FINE)
        abort();
    if (root)
        read_everywhere(root);
    arena_deinit(&arena);
    free(body);
    return 0;
}
