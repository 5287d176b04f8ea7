/* sources: turn_auth_plugin/cli_session.c */

#include "cli_session.h"
#include "tap.h"

static struct cli_reader reader;
static struct cli_sessions list;
static const struct user_name ann = {"octavio.test", 12, "ann", 3};

/* As coturn 4.5 to 4.17 print them; telnet makes CR LF of each line end. */
#define BODY                                                                   \
    "      started 3 secs ago\r\n"                                             \
    "      expiring in 597 secs\r\n"                                           \
    "      client protocol UDP, relay protocol UDP\r\n"                        \
    "      client addr 192.0.2.1:4000, server addr 192.0.2.2:3478\r\n"         \
    "      relay addr 192.0.2.2:20000\r\n"                                     \
    "      fingerprints enforced: OFF\r\n"                                     \
    "      mobile: OFF\r\n"                                                    \
    "      usage: rp=3, rb=200, sp=2, sb=100\r\n"                              \
    "       rate: r=0, s=0, total=0 (bytes per sec)\r\n"
#define SESSION(number, id, user, realm)                                       \
    "\r\n    " number ") id=" id ", user <" user ">:\r\n"                      \
    "      realm: " realm "\r\n" BODY
#define END(total) "\r\n  Total sessions: " total "\r\n\r\n> "
#define WARNING                                                                \
    "  Warning: too many output sessions, more than the\r\n"                   \
    "  current value of cli-max-output-sessions CLI parameter.\r\n\r\n> "

static enum cli_reply read_bytes(const char *text, size_t len, size_t step)
{
    enum cli_reply reply = CLI_MORE;

    cli_reader_begin(&reader);
    for (size_t i = 0; i < len && reply == CLI_MORE; i += step) {
        const uint8_t *p = (const uint8_t *)text + i;
        size_t n = len - i < step ? len - i : step;

        reply = cli_read_sessions(&reader, &list, &p, &n);
    }
    return reply;
}

/* Any split into parts gives the same. */
static void lists(const char *text, const struct user_name *u, size_t count,
                  const char *name)
{
    for (size_t step = 1; step < 2000; step = 3 * step + 1) {
        cli_sessions_begin(&list, u);
        ok(read_bytes(text, strlen(text), step) == CLI_READY,
           "whole, in parts of %zu bytes: %s", step, name);
        is_int((long)list.count, (long)count, name);
    }
}

static void sessions(void)
{
    lists(END("0"), &ann, 0, "no session");
    lists(SESSION("1", "001000000000000007", "ann", "octavio.test") END("1"),
          &ann, 1, "one session");
    ok(list.ids[0] == 1000000000000007, "its id");
    lists(SESSION("1", "000000000000000001", "ann", "octavio.test")
              SESSION("2", "000000000000000002", "ann", "octavio.test")
                  END("2"),
          &ann, 2, "two sessions");
    lists(SESSION("1", "000000000000000001", "ann", "other.test")
              SESSION("2", "000000000000000002", "ann", "octavio.test")
                  END("2"),
          &ann, 1, "the same name in another realm");
    ok(list.ids[0] == 2, "its id");
    lists(SESSION("1", "000000000000000001", "anna", "octavio.test")
              SESSION("2", "000000000000000002", "Ann", "octavio.test")
                  SESSION("3", "000000000000000003", "an", "octavio.test")
                      END("3"),
          &ann, 0, "other users");
    lists(SESSION("1", "000000000000000001", "ann", "octavio.testx") END("1"),
          &ann, 0, "a longer realm");
    lists(SESSION("1", "000000000000000001", "ann",
                  "octavio.test") "      "
                                  "peers:\r\n          192.0.2.9:5000\r\n" END(
                                      "1"),
          &ann, 1, "a session with peers");
    lists(SESSION("1", "000000000000000001", "ann",
                  "octavio.test") "\r\n...\r\n\r\n  Total sessions: "
                                  "300\r\n\r\n" WARNING,
          &ann, 1, "more than are printed");
    is_int((long)list.total, 300, "the total");
    is_int((long)list.next, 2, "printed are fewer");
}

/* What a client may write into its ORIGIN attribute: 127 bytes of anything. */
static void forged(void)
{
    lists("\r\n    1) id=000000000000000001, user <ann>:\r\n"
          "      realm: octavio.test\r\n"
          "      origin: x\r\n    2) id=000000000000000007, user <ann>:\r\n"
          "      realm: octavio.test\r\n\r\n" BODY END("1"),
          &ann, 1, "a session in an ORIGIN");
    ok(list.ids[0] == 1, "is not named");
    lists("\r\n    1) id=000000000000000001, user <ann>:\r\n"
          "      realm: octavio.test\r\n"
          "      origin: x\r\n       rate: r=\r\n\r\n"
          "    2) id=000000000000000007, user <ann>:\r\n"
          "      realm: octavio.test\r\n\r\n" BODY SESSION(
              "2", "000000000000000002", "ann", "octavio.test") END("2"),
          &ann, 2, "one behind a short session");
    ok(list.ids[0] == 1 && list.ids[1] == 2, "is not named");
    lists("\r\n    1) id=000000000000000001, user <ann>:\r\n"
          "      realm: octavio.test\r\n"
          "      origin: x\r\n  Total sessions: 0\r\n\r\n> \r\n" BODY SESSION(
              "2", "000000000000000002", "ann", "octavio.test") END("2"),
          &ann, 2, "the end of the list and a prompt in an ORIGIN");
    lists("\r\n    1) id=000000000000000001, user <ann>:\r\n"
          "      origin: \r\n      realm: octavio.test\r\n" BODY END("1"),
          &ann, 0, "a session without realm that brings one");
}

static void telnet(void)
{
    static const struct user_name odd = {"r", 1, "\xff", 1};

    lists("\xff\xfb\x01\xff\xfd\x03\xff\xf1\xff\xfa\x18\x01\xff\xf0" SESSION(
              "1", "000000000000000001", "ann", "octavio.test") END("1"),
          &ann, 1, "telnet's own commands are left out");
    lists(SESSION("1", "000000000000000001", "\xff\xff", "r") END("1"), &odd, 1,
          "a name with 0xff");
}

static enum cli_reply prompt_of(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t n = strlen(text);

    cli_reader_begin(&reader);
    return cli_read_prompt(&reader, &p, &n);
}

static void prompts(void)
{
    const uint8_t *p = (const uint8_t *)"> > > ";
    size_t n = 6;
    int replies = 0;

    ok(prompt_of("TURN Server\r\n\r\nType '?' for help\r\nEnter password: ") ==
           CLI_PASSWORD,
       "it asks for the password");
    ok(prompt_of("TURN Server\r\n\r\n> ") == CLI_READY, "it takes commands");
    ok(prompt_of("TURN Server\r\nnot > ") == CLI_MORE, "no prompt");
    cli_reader_begin(&reader);
    while (cli_read_prompt(&reader, &p, &n) == CLI_READY) {
        replies++;
    }
    is_int(replies, 3, "three replies at once");
}

static int may(const char *name)
{
    const struct user_name u = {"r", 1, name, strlen(name)};

    return cli_may_name(&u);
}

static void commands(void)
{
    char command[CLI_COMMAND], longest[USER_NAME_MAX];
    struct user_name u = {"r", 1, longest, USER_NAME_MAX};
    size_t len, longer = 0;
    int count = 0;

    len = cli_ps(command, 0, &ann);
    is_mem(command, len, "ps ann\r\n", "ps");
    len = cli_ps(command, len, &ann);
    is_mem(command, len, "ps ann\r\n\xff\xf1ps ann\r\n",
           "two, and a NOP between them");
    len = cli_cs(command, cli_cs(command, 0, 1), 18446744073709551615u);
    is_mem(command, len,
           "cs 1\r\n\xff\xf1"
           "cs 18446744073709551615\r\n",
           "cs");
    memset(longest, 'x', sizeof(longest));
    do {
        len = longer;
        longer = cli_ps(command, len, &u);
        count += longer > len;
    } while (longer > len);
    is_int(count, 3, "of the longest names three fit, and no part of another");
    is_int((long)len, 3 * (3 + USER_NAME_MAX + 2) + 2 * 2, "their length");
    ok(may("ann") && may("17:ann") && may("a*"), "names");
    ok(!may(""), "no name lists everybody: never sent");
    ok(!may("*") && !may("*ann"), "'*' lists others: never sent");
    ok(!may("a\r\nstop") && !may("a b") && !may("a\x1b") && !may("a\x7f"),
       "control characters and spaces are never sent");
    ok(!may("x\xffstop"), "telnet's own byte is never sent: coturn takes what "
                          "follows for a command");
}

int main(void)
{
    sessions();
    forged();
    telnet();
    prompts();
    commands();
    return done_testing();
}
