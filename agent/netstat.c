#include "agent/netstat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 16384 /* bytes; netstat has about 5,000 */

static const char *const names[NETSTAT_COUNTERS] = {
    [NETSTAT_OUT_RSTS] = "OutRsts",
    [NETSTAT_RETRANS_SEGS] = "RetransSegs",
    [NETSTAT_ATTEMPT_FAILS] = "AttemptFails",
    [NETSTAT_PASSIVE_OPENS] = "PassiveOpens",
    [NETSTAT_LISTEN_OVERFLOWS] = "ListenOverflows",
    [NETSTAT_LISTEN_DROPS] = "ListenDrops",
    [NETSTAT_SYNCOOKIES_SENT] = "SyncookiesSent",
};

const char *netstat_name(enum netstat_counter counter)
{
    return names[counter];
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " ");
}

static void take_word(struct netstat *netstat, const char *name, size_t length, const char *value)
{
    for (int i = 0; i < NETSTAT_COUNTERS; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            netstat->values[i] = strtoull(value, NULL, 10);
}

/* "Tcp: A B C" and, on the next line, "Tcp: 1 2 3". */
static void take_pair(struct netstat *netstat, const char *head, const char *values)
{
    head = skip_blanks(head);
    values = skip_blanks(values);
    while (*head && *head != '\n' && *values && *values != '\n') {
        size_t length = strcspn(head, " \n");
        take_word(netstat, head, length, values);
        head = skip_blanks(head + length);
        values = skip_blanks(values + strcspn(values, " \n"));
    }
}

void netstat_parse(struct netstat *netstat, const char *text)
{
    for (const char *line = text, *next; line; line = next) {
        size_t prefix = strcspn(line, ":\n");
        next = strchr(line, '\n');
        next = next ? next + 1 : NULL;
        if (!next || strncmp(line, "Tcp", 3) != 0 || strncmp(line, next, prefix + 1) != 0)
            continue;
        take_pair(netstat, line + prefix + 1, next + prefix + 1);
        next = strchr(next, '\n');
        next = next ? next + 1 : NULL;
    }
}

static void read_file(struct netstat *netstat, const char *path)
{
    char text[FILE_MAX];
    size_t length = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    while (length < sizeof(text) - 1 &&
           (n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    text[length] = '\0';
    netstat_parse(netstat, text);
}

void netstat_read(struct netstat *netstat)
{
    memset(netstat, 0, sizeof(*netstat));
    read_file(netstat, "/proc/net/snmp");
    read_file(netstat, "/proc/net/netstat");
}
