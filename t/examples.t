use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Examples;
use Edge::Process qw(slurp spew wait_until);
use Edge::Site;
use Test::More;

# conf-examples/: complete, accepted by the programs they are for, and doing
# what they say, on the how-to's network.

my $guest = 'cmsweb.octavio.test';
my $secret = 'Xk3vPq8zWcT5';
my $site = Edge::Site->new;
$site->network;

# ---- accepted ----

{
    my ($status, $said) = $site->output('edge', 'nginx', '-t');
    is($status, 0, 'nginx -t accepts the example') or diag($said);
    # From 1.25.1 on nginx would have "http2 on", which 1.22 does not know.
    $said =~ s/^.*"listen \.\.\. http2" directive is deprecated.*\n//m;
    unlike($said, qr/\[warn\]/, 'without a warning');
}

SKIP: {
    skip 'no systemd-analyze here', 2 if !-x '/usr/bin/systemd-analyze';
    my ($status, $said) = $site->output(undef, 'systemd-analyze', 'verify',
        '--man=no', 'coturn.service');
    # Debian's own unit has a line that newer systemd calls obsolete.
    $said = join "\n", grep { /cms-edge\.conf|Assert|turn_auth/ }
        split /\n/, $said;
    is($said, '', 'systemd-analyze verify finds no fault in the drop-in');
    (undef, $said) = $site->output(undef, 'systemd-analyze', 'security',
        '--no-pager', '--offline=true', 'coturn.service');
    my ($exposure) = $said =~ /exposure level .*: ([\d.]+)/;
    cmp_ok($exposure // 10, '<', 2.5, 'and calls the service well confined')
        or diag($said);
}

# ---- the plugin's settings ----

{
    # The table in settings.c: its keys and defaults.
    my %unit = (MS => 'ms', SECOND => 's', MINUTE => 'm', HOUR => 'h',
        DAY => 'd');
    my $dir = "$Edge::Netns::root/turn_auth_plugin";
    my $table = slurp("$dir/settings.c");
    my %named = (slurp("$dir/settings.h") . $table)
        =~ /^#define (\w+) ("[^"]*")$/mg;
    my $names = join '|', map { quotemeta } keys %named;
    $table =~ s/\b($names)\b/$named{$1}/g if %named;
    my %default;
    while ($table =~ /\{"(\w+)",\s+([A-Z_]+),\s+AT\(\w+\),\s+([^,]+),[^"]*
            "([^"]*)",\s+(?:"([^"]*)"|NULL)/gx) {
        my ($key, $type, $number, $range, $text) = ($1, $2, $3, $4, $5);
        $number =~ s/^(\d+) \* (\w+)$/$1$unit{$2}/;
        $default{$key} = defined $text ? $text || 'none' : $number;
    }
    my %shown = slurp("$Edge::Netns::root/conf-examples/coturn/turn-auth.conf")
        =~ /^#?(\w+) = (\S+)$/mg;
    is_deeply([sort keys %shown], [sort keys %default],
        'turn-auth.conf names every setting of the plugin, and no other');
    delete @shown{qw(cli cli_password_file)};
    delete @default{qw(cli cli_password_file)};
    is_deeply(\%shown, \%default, '... and shows their defaults');
}

# ---- the commands of conf-examples/README.md, in their order ----

my ($install, $cli, $database, $start, $turn_user)
    = slurp("$Edge::Netns::root/conf-examples/README.md")
        =~ /^```sh\n(.*?)^```/msg;
{
    (my $commands = $install) =~ s{ (/(?:usr|etc)/)}{ \$root$1}g;
    my $root = "$Edge::Netns::dir/installed";
    $commands = "set -e; mkdir -p \$root/usr/lib/nginx/modules"
        . " \$root/usr/local/bin \$root/etc/nginx\n$commands";
    my ($status, $said) = $site->commands($commands, root => $root);
    is($status, 0, 'README: install') or diag($said);
    for my $example (sort keys %Edge::Examples::place) {
        my $there = $Edge::Examples::place{$example};
        is(slurp("$root$there"),
            slurp("$Edge::Netns::root/conf-examples/$example"),
            "$example is put to $there");
    }
}
{
    my ($status, $said) = $site->commands("set -e\n$cli");
    is($status, 0, "README: a password for coturn's CLI") or diag($said);
    Edge::Examples::cli_on();
    my @others = grep { -e && (stat)[2] & 06 }
        '/etc/cms-edge/cli-password', "$Edge::Netns::dir/installed/etc/turnserver.conf";
    is("@others", '', '... which others cannot read');
}
$site->postgres;
{
    my ($status, $said) = $site->commands("set -e\n$database");
    is($status, 0, 'README: the database') or diag($said);
}
$site->cms(spaces => [{id => '100101', name => 'Proxy webRTC',
    user => 'proxywebrtc', secret => $secret}]);
$site->edge;

{
    my $head = $site->curl('-I',
        "http://$guest/invited.sf?secret=$secret&id=100101");
    like($head, qr{^HTTP/1.1 301 }, 'http leads guests on');
    my $link = quotemeta "/invited.sf?secret=$secret&id=100101";
    like($head, qr{^Location: https://\Q$guest\E$link\r}m,
        'to the same link over https');
    unlike($site->curl('-I', 'http://203.0.113.156/'), qr/^Location/m,
        'but no other name');
}
{
    my $head = $site->curl('-I', "https://$guest/en-US/home");
    like($head, qr{^HTTP/2 200}, 'guests are served over HTTP/2');
    like($head, qr/^strict-transport-security: max-age=\d{8}/mi,
        'and told to come back with https only (HSTS)');
    unlike($head, qr{^server:.*\d}mi, 'the server tells no version');
    unlike($head, qr/octavio\.local/, 'nothing inside is named');
}
{
    my @gzip = ('-D', '-', '-o', '/dev/null', '-H', 'Accept-Encoding: gzip');
    my $script = $site->curl(@gzip, "https://$guest/app.js");
    like($script, qr/^content-encoding: gzip/mi, 'scripts are packed');
    like($script, qr/^vary: accept-encoding/mi, '... and caches told so');
    unlike($site->curl(@gzip, "https://$guest/api/status"),
        qr/^content-encoding/mi, 'JSON, which may hold tokens, is not');
}
{
    my @curl = ('curl', '-sS', '-m', '10');
    my $status = 'http://192.0.2.168:8445/';
    my (undef, $page) = $site->output('inside', @curl, $status);
    like($page, qr/<h3>cmsweb</, 'the status page is for the inside');
    (undef, $page) = $site->output('inside', @curl,
        "$status?format=prometheus");
    like($page, qr/^cms_edge_target_up\{webbridge="cmsweb",/m,
        '... where Prometheus may come from, too');
    (undef, $page) = $site->output('edge', @curl, '-o', '/dev/null', '-w',
        '%{http_code}', '--interface', '198.51.100.61', $status);
    is($page, 403, 'from an outside address it is refused');
}
{
    my ($status) = $site->output('ann', 'openssl', 's_client', '-tls1_1',
        '-cipher', 'ALL:@SECLEVEL=0', '-connect', "$guest:443");
    isnt($status, 0, 'TLS 1.1 is refused');
}
{
    $site->curl("https://$guest/meeting/100101?secret=$secret");
    my $log = '/var/log/nginx/access.log';
    ok(wait_until(sub { slurp($log) =~ m{/meeting/100101} }, 5),
        'the access log says which meeting was asked for');
    unlike(slurp($log), qr/\Q$secret\E/, 'and keeps the secret to itself')
        or diag(slurp($log));
}

{
    like($start, qr/^nginx -t\n/, 'README: start (done above)');
    my ($status, $said) = $site->commands($turn_user);
    is($status, 0, 'README: the TURN user') or diag($said);
    like($said, qr/^[\w-]{36}\n/, 'CMS gives its TURN server an ID');
}
like($site->cms_tool('list'), qr/<turnServers total="1">/,
    'cms/turn-server: list');
my ($id) = $site->cms_tool('list') =~ /id="([\w-]+)"/;
like($site->cms_tool("show $id"), qr{<clientAddress>203\.0\.113\.156<},
    'show ID');
unlike($site->cms_tool("show $id"), qr/password/, '(without the password)');
like($site->cms_tool("status $id"), qr{<status>success</status>}, 'status ID');
is($site->cms_tool("password $id", "another\n"), '', 'password ID');
ok(!eval { $site->cms_tool('add', ''); 1 },
    'add refuses an empty password, as of a command that failed');
spew('/etc/cms-edge/cms-api.netrc', "machine admin.cms.octavio.local login"
        . " admin password wrong\n");
ok(!eval { $site->cms_tool('add', "another\n"); 1 },
    'and says so when CMS refuses');

{
    my $pid = $site->{coturn}->pid;
    my $status = slurp("/proc/$pid/status");
    like($status, qr/^Uid:\s+(?!0\s)\d+/m, 'coturn runs without root');
    like($status, qr/^CapBnd:\s+0+$/m, 'without any capability');
    like(slurp("/proc/$pid/maps"), qr/turn_auth_plugin\.so/,
        'with the plugin');
    my (undef, $cli_said) = $site->output('edge', $^X, '-MIO::Socket::INET',
        '-e', <<'PERL');
    my $cli = IO::Socket::INET->new('127.0.0.1:5766') or die "CLI: $@";
    alarm 5;
    local $/ = 'password: ';
    <$cli>;
    open my $file, '<', '/etc/cms-edge/cli-password' or die;
    print {$cli} <$file>;
    local $/ = '> ';
    print "in\n" if <$cli>;
PERL
    is($cli_said, "in\n", "and coturn's CLI takes the plugin's password");
    my $seen = slurp("/proc/$pid/cmdline") . slurp("/proc/$pid/environ");
    unlike($seen, qr/password/,
        'and no secret in its environment or command line');
}

# ---- when something is missing ----

{
    $site->{cms}->stop('KILL');
    my $page = $site->curl('-i', "https://$guest/");
    like($page, qr{^HTTP/2 502.*Meetings are not available}s,
        'a web bridge that is down gives a page for people');
    unlike($page, qr/octavio\.local|192\.0\.2\./, 'that names nothing inside');
}
{
    my $plugin = "$Edge::Netns::dir/lib/turn_auth_plugin.so";
    spew($plugin, 'not a library', 0755);
    ok(!eval { Edge::Examples::coturn(); 1 }, 'a plugin that cannot be'
        . ' loaded stops coturn.service');
    like($@, qr/ExecStartPre/, 'by the check before the start');
    unlink $plugin;
    ok(!eval { Edge::Examples::coturn(); 1 }, 'and so does a missing one');
    like($@, qr/AssertPathExists/, 'by the assertion');
}
done_testing();
