/* sources: ngx_cms_proxy_module/cms_name_files.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/* /etc/hosts and /etc/resolv.conf. */

#include "cms_name_files.h"
#include "tap.h"

#define U(s) ((const unsigned char *)(s))

static const char hosts[] =
    "# a comment\n"
    "127.0.0.1\tlocalhost\n"
    "\n"
    "192.0.2.1  cms.octavio.test cms # not.octavio.test\n"
    "::1 localhost ip6-localhost\r\n"
    "192.0.2.9\n"
    "#192.0.2.3 old.octavio.test\n"
    "  192.0.2.2 CMS.Octavio.TEST";

static const char resolv[] =
    "; generated\n"
    "search octavio.test\n"
    "nameserver 192.0.2.53\n"
    "#nameserver 192.0.2.54\n"
    "nameservers 192.0.2.55\n"
    "nameserver\n"
    "\tnameserver\t2001:db8::53  # inside\n"
    "options edns0";

/* all answers, with a space after each */
static const char *
all(int is_hosts, const char *text, const char *name)
{
    static char got[256];
    const unsigned char *p;
    size_t pos = 0, len, n = 0, total = strlen(text);

    while (is_hosts ? cms_hosts_next(U(text), total, &pos, U(name),
                                     strlen(name), &p, &len)
                    : cms_nameserver_next(U(text), total, &pos, &p, &len)) {
        memcpy(got + n, p, len);
        n += len;
        got[n++] = ' ';
    }
    got[n] = '\0';
    return got;
}

#define is_all(is_hosts, text, name, want, title)      \
    do {                                               \
        const char *got_ = all(is_hosts, text, name);  \
        is_mem(got_, strlen(got_), want, title);       \
    } while (0)

int
main(void)
{
    is_all(1, hosts, "cms.octavio.test", "192.0.2.1 192.0.2.2 ",
           "all addresses of a name, in any letter case, the last line too");
    is_all(1, hosts, "cms", "192.0.2.1 ", "an alias counts");
    is_all(1, hosts, "localhost", "127.0.0.1 ::1 ", "IPv4 and IPv6");
    is_all(1, hosts, "ip6-localhost", "::1 ", "a carriage return is blank");
    is_all(1, hosts, "not.octavio.test", "", "not what is in a comment");
    is_all(1, hosts, "old.octavio.test", "", "nor a line in one");
    is_all(1, hosts, "192.0.2.9", "", "an address is no name");
    is_all(1, hosts, "octavio.test", "", "only the whole name counts");
    is_all(1, "", "cms", "", "an empty file");
    is_all(0, resolv, NULL, "192.0.2.53 2001:db8::53 ", "name servers");
    is_all(0, "", NULL, "", "none");
    return done_testing();
}
