#include "agent/policy.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

static const char *const default_networks[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                               "100.64.0.0/10", "fc00::/7"};

/* IPv4-mapped IPv6 (::ffff:0:0/96) would be a way around the IPv4 rules. */
static const char *const never[POLICY_NEVER_COUNT] = {
    "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/3",  "::1/128",
    "::/128",      "fe80::/10",      "ff00::/8",  "::ffff:0:0/96"};

static int add_network(struct policy *policy, const char *text, struct error *err)
{
    if (policy->network_count == POLICY_NETWORK_MAX)
        return error_set(err, -EINVAL, "more than %d allowed networks", POLICY_NETWORK_MAX);
    if (!cidr_parse(text, &policy->networks[policy->network_count]))
        return error_set(err, -EINVAL,
                         "--allow-net: '%.60s' is not a network such as 10.0.0.0/8 or fc00::/7",
                         text);
    policy->network_count++;
    return 0;
}

int policy_init(struct policy *policy, const struct options_list *networks,
                const struct options_list *suffixes, const struct host *host, struct error *err)
{
    int r = 0;

    *policy = (struct policy){.suffixes = suffixes};
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        cidr_parse(never[i], &policy->never[i]);
    for (size_t i = 0; i < networks->count && r == 0; i++)
        r = add_network(policy, networks->items[i], err);
    if (r < 0 || networks->count)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(default_networks); i++)
        add_network(policy, default_networks[i], NULL);
    for (size_t i = 0; i < host->address_count; i++)
        policy->networks[policy->network_count++] = host->subnets[i];
    return 0;
}

static bool is_never_allowed(const struct policy *policy, const struct sockaddr *address)
{
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        if (cidr_contains(&policy->never[i], address))
            return true;
    return false;
}

bool policy_allows_address(const struct policy *policy, const struct sockaddr *address)
{
    if (is_never_allowed(policy, address))
        return false;
    for (size_t i = 0; i < policy->network_count; i++)
        if (cidr_contains(&policy->networks[i], address))
            return true;
    return false;
}

bool policy_allows_proxy(const struct sockaddr *address)
{
    struct cidr network;

    return cidr_parse("127.255.0.0/16", &network) && cidr_contains(&network, address);
}

bool policy_allows_own(const struct host *host, const struct sockaddr *address, const char *text)
{
    struct cidr v4, v6;
    bool is_loopback = cidr_parse("127.0.0.0/8", &v4) && cidr_parse("::1/128", &v6) &&
                       (cidr_contains(&v4, address) || cidr_contains(&v6, address));

    return (is_loopback && !policy_allows_proxy(address)) || host_owns(host, text);
}

bool policy_allows_check(const struct policy *policy, const char *check)
{
    size_t count = policy->checks ? policy->checks->count : 0;

    for (size_t i = 0; i < count; i++)
        if (strcmp(policy->checks->items[i], check) == 0)
            return true;
    return count == 0;
}

bool policy_allows_name(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->suffixes->count; i++)
        if (text_has_domain_suffix(name, policy->suffixes->items[i]))
            return true;
    return policy->suffixes->count == 0;
}
