#include "agent/dnsmsg.h"

#include <errno.h>
#include <string.h>

#define HEADER_SIZE  12
#define CLASS_IN     1
#define POINTERS_MAX 64 /* compression pointers followed for one name */

struct reader {
    const uint8_t *data;
    size_t length;
    size_t at;
};

static bool read_u16(struct reader *reader, uint16_t *ret_value)
{
    if (reader->length - reader->at < 2)
        return false;
    *ret_value = (uint16_t)(reader->data[reader->at] << 8 | reader->data[reader->at + 1]);
    reader->at += 2;
    return true;
}

static bool read_u32(struct reader *reader, uint32_t *ret_value)
{
    uint16_t high, low;

    if (!read_u16(reader, &high) || !read_u16(reader, &low))
        return false;
    *ret_value = (uint32_t)high << 16 | low;
    return true;
}

static bool append_label(char *name, size_t *used, const uint8_t *label, size_t length)
{
    if (!name)
        return true;
    if (*used + length + 1 >= DNSMSG_NAME_MAX)
        return false;
    if (*used)
        name[(*used)++] = '.';
    for (size_t i = 0; i < length; i++) {
        uint8_t c = label[i];
        /* A dot or an unprintable byte inside a label would make another name of it. */
        name[(*used)++] = (char)(c > 0x20 && c < 0x7f && c != '.' ? c : '?');
    }
    name[*used] = '\0';
    return true;
}

/* Reads, or with NULL skips, a possibly compressed name (RFC 1035 section 4.1.4). */
static bool read_name(struct reader *reader, char *name)
{
    size_t at = reader->at, used = 0;
    bool jumped = false;

    if (name)
        name[0] = '\0';
    for (int pointers = 0; pointers <= POINTERS_MAX;) {
        uint8_t length;
        if (at >= reader->length)
            return false;
        length = reader->data[at];
        if ((length & 0xc0) == 0xc0) {
            if (at + 1 >= reader->length)
                return false;
            if (!jumped)
                reader->at = at + 2;
            jumped = true;
            pointers++;
            at = (size_t)(length & 0x3f) << 8 | reader->data[at + 1];
            continue;
        }
        if (length & 0xc0 || at + 1 + length > reader->length)
            return false;
        if (length == 0) {
            if (!jumped)
                reader->at = at + 1;
            return true;
        }
        if (!append_label(name, &used, reader->data + at + 1, length))
            return false;
        at += 1U + length;
    }
    return false;
}

static bool read_srv(struct reader data, struct dns_record *record)
{
    return read_u16(&data, &record->priority) && read_u16(&data, &record->weight) &&
           read_u16(&data, &record->port) && read_name(&data, record->name);
}

/* One resource record (RFC 1035 section 4.1.3); `reader` stands behind it afterwards. */
struct record_head {
    uint16_t type, class, length;
    uint32_t ttl;
    size_t data; /* where its data begin */
};

static bool read_head(struct reader *reader, struct record_head *head)
{
    if (!read_name(reader, NULL) || !read_u16(reader, &head->type) ||
        !read_u16(reader, &head->class) || !read_u32(reader, &head->ttl) ||
        !read_u16(reader, &head->length) || reader->length - reader->at < head->length)
        return false;
    /* A TTL with the top bit set counts as 0 (RFC 2181 section 8). */
    head->ttl = head->ttl > INT32_MAX ? 0 : head->ttl;
    head->data = reader->at;
    reader->at += head->length;
    return true;
}

static bool take_record(const struct reader *reader, const struct record_head *head,
                        struct dns_answer *answer)
{
    size_t size = head->type == DNS_A ? 4 : head->type == DNS_AAAA ? 16 : 0;
    struct dns_record *record = &answer->records[answer->count];

    if (answer->count == DNSMSG_ANSWERS_MAX)
        return true;
    if (size && head->length != size)
        return false;
    memset(record, 0, sizeof(*record));
    if (size)
        memcpy(record->address, reader->data + head->data, size);
    /* A name may point anywhere into the message. */
    if (head->type == DNS_SRV &&
        !read_srv((struct reader){reader->data, reader->length, head->data}, record))
        return false;
    answer->count++;
    return true;
}

static bool take_answer(const struct reader *reader, const struct record_head *head,
                        enum dns_type wanted, struct dns_answer *answer)
{
    struct reader data = {reader->data, reader->length, head->data};

    if (head->class != CLASS_IN || (head->type != wanted && head->type != DNS_CNAME))
        return true;
    if (head->ttl < answer->ttl_s)
        answer->ttl_s = head->ttl;
    if (head->type == wanted)
        return take_record(reader, head, answer);
    return answer->chain_count == DNSMSG_CHAIN_MAX ||
           read_name(&data, answer->chain[answer->chain_count++]);
}

/* The lesser of the SOA's own TTL and its MINIMUM field (RFC 2308 section 5). */
static bool take_authority(const struct reader *reader, const struct record_head *head,
                           struct dns_answer *answer)
{
    struct reader data = {reader->data, reader->length, head->data};
    uint32_t numbers[5] = {0}; /* serial, refresh, retry, expire, minimum */

    if (head->class != CLASS_IN || head->type != DNS_SOA)
        return true;
    for (int i = 0; i < 2; i++) /* the primary server, the mailbox */
        if (!read_name(&data, NULL))
            return false;
    for (int i = 0; i < 5; i++)
        if (!read_u32(&data, &numbers[i]))
            return false;
    answer->negative_ttl_s = numbers[4] < head->ttl ? numbers[4] : head->ttl;
    return true;
}

int dnsmsg_parse(const uint8_t *data, size_t length, enum dns_type type,
                 struct dns_answer *ret_answer)
{
    struct reader reader = {data, length, 0};
    uint16_t id, flags, counts[4];
    struct record_head head;

    ret_answer->rcode = -1;
    ret_answer->count = ret_answer->chain_count = 0;
    ret_answer->ttl_s = UINT32_MAX;
    ret_answer->negative_ttl_s = -1;
    ret_answer->is_truncated = false;
    if (length < HEADER_SIZE || !read_u16(&reader, &id) || !read_u16(&reader, &flags))
        return -EINVAL;
    ret_answer->rcode = flags & 0xf;
    ret_answer->is_truncated = flags & 0x0200;
    for (int i = 0; i < 4; i++)
        read_u16(&reader, &counts[i]);
    for (unsigned i = 0; i < counts[0]; i++) {
        uint32_t type_and_class;
        if (!read_name(&reader, NULL) || !read_u32(&reader, &type_and_class))
            return -EINVAL;
    }
    for (unsigned i = 0; i < counts[1]; i++)
        if (!read_head(&reader, &head) || !take_answer(&reader, &head, type, ret_answer))
            return -EINVAL;
    for (unsigned i = 0; i < counts[2] && ret_answer->count == 0; i++)
        if (!read_head(&reader, &head) || !take_authority(&reader, &head, ret_answer))
            return -EINVAL;
    return 0;
}
