use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Examples;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp spew wait_until);
use Edge::Tunnel;
use Edge::WebBridge;
use IO::Select;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(time);

# The tunnel from inside, as conf-examples has it: it carries guests, comes
# back, and lets whoever has its key do nothing else.

my $guest = 'cmsweb.octavio.test';
my $socket = '/run/cms-tunnel/cmsweb.sock';
my $ssh_config = '/etc/cms-edge/tunnel/ssh_config';

Edge::Coturn::add_addresses('192.0.2.168', '192.0.2.180');
Edge::Examples::install();
my $tunnel = Edge::Tunnel->new;
pass('README: edge and inside host are set up, with each other\'s keys');

# ---- the units ----

SKIP: {
    skip 'no systemd-analyze here', 4 if !-x '/usr/bin/systemd-analyze';
    my $units = '/etc/systemd/system';
    for (['edge', "$units/cms-tunnel-sshd.service"],
        ['inside', "$units/cms-tunnel\@cmsweb.service"]) {
        my ($host, $unit) = @$_;
        $tunnel->on($host, "cp $units/cms-tunnel@.service $unit")
            if $host eq 'inside';
        my (undef, $said) = $tunnel->on($host,
            "systemd-analyze verify --man=no $unit");
        is($said, '', "systemd-analyze verify finds no fault in $unit");
        (undef, $said) = $tunnel->on($host,
            "systemd-analyze security --no-pager --offline=true $unit");
        my ($exposure) = $said =~ /exposure level .*: ([\d.]+)/;
        cmp_ok($exposure // 10, '<=', 2.5, '... and calls it well confined');
    }
}

# ---- a guest ----

my $cms = Edge::WebBridge->start(listen => '192.0.2.180:443',
    answersTo => 'external', speaksAs => 'internal');
my $sshd = $tunnel->sshd;
my $client = $tunnel->client('cmsweb');
my ($cert, $key) = Edge::Certs::cert('outside', $guest);
my $nginx = Edge::Nginx->start(http => http());

like(curl(), qr{^HTTP/1\.1 200 .*<title>}s,
    'a guest gets the page through the tunnel');
my $request = wait_until(sub { ($cms->requests)[0] });
is($request->{headers}{host}, $guest, '... by the guest URI');
shows('outside', $guest);
like(curl(), qr/^HTTP\S+ 502/,
    'a web bridge with a certificate of another CA is not let in between');
shows('inside', 'other.octavio.test');
like(curl(), qr/^HTTP\S+ 502/, '... nor one with another name');
shows('inside', $guest);
ok(up(), '... but the right one is');

# ---- who else ----

is(as('www-data', $socket), 'open', "nginx's user may connect");
is(as($_, $socket), 'Permission denied', "$_ may not")
    for 'nobody', 'postgres', 'turnserver';
is((stat "/etc/cms-edge/tunnel/host_key")[2] & 077, 0,
    'the host key is for root');
is((stat $tunnel->etc('inside') . '/cms-edge/tunnel/key')[2] & 077, 0,
    "the inside host's key for its account");

# ---- cut, and back ----

comes_back('the inside host\'s ssh killed', sub {
    kill 'KILL', $tunnel->ssh_of($client);
});
comes_back('its session on the edge killed', sub {
    kill 'KILL', $tunnel->sessions;
});
comes_back('sshd killed with all its sessions', sub {
    kill 'KILL', $tunnel->listener;
});

{
    my ($old) = $tunnel->ssh_of($client);
    kill 'STOP', $old;
    ok(wait_until(sub { !$tunnel->sessions }, 20),
        'an inside host that is frozen: the edge ends its session');
    like(curl(), qr/^HTTP\S+ 502/, '... and guests are told so at once');
    kill 'CONT', $old;
    ok(up(), '... and it comes back when the host does');
}
{
    $tunnel->freeze;
    my $end = wait_until(sub { !$tunnel->sessions }, 20);
    ok($end, 'a path that swallows everything: the edge ends the session');
    like(curl(), qr/^HTTP\S+ 502/, '... and guests are told so at once');
    ok(wait_until(sub {
        () = $client->log_text =~ /not responding|timed out/g }, 20),
        '... the inside host notices as well');
    my $free = time;
    $tunnel->thaw;
    ok(up(), '... and is back when the path is');
    diag(sprintf 'back %.1f s after the path', time - $free);
}
{
    # The old session lives on behind a path that forgot it, the new one is
    # there; then the old one ends.
    my ($old) = $tunnel->sessions;
    my $second = $tunnel->client('cmsweb', ready => 0);
    ok(wait_until(sub { my @s = $tunnel->sessions; @s == 2 }, 20),
        'a second tunnel takes the socket of one that still lives');
    kill 'KILL', $old;
    $client->stop;
    ok(wait_until(sub { my @s = $tunnel->sessions; @s == 1 }, 20),
        '... the old one ends');
    ok(up(), '... and the new one goes on');
    $second->stop;
    ok(wait_until(sub { !$tunnel->sessions }, 20), 'no tunnel any more');
}
ok(-S $socket, 'the socket of a tunnel that is gone is still there');
like(curl(), qr/^HTTP\S+ 502/, '... and refuses guests');
ok($nginx->wait_error(qr/Connection refused/), '... which nginx logs');
is(scalar(() = $tunnel->commands), 0, 'no process of a tunnel is left behind');
$client = $tunnel->client('cmsweb');
ok(up(), 'the next tunnel takes its place');

# ---- what the account tries beyond its job ----

# What there is to steal: it says "secret" to whoever connects.
my $service = Edge::Process->start(name => 'service', argv => [$^X,
    '-MIO::Socket::INET', '-MIO::Socket::UNIX', '-MIO::Select', '-e', <<'PERL'],
umask 0;
my $ready = IO::Select->new(
    IO::Socket::UNIX->new(Local => '/run/secret.sock', Listen => 5),
    IO::Socket::INET->new(LocalAddr => '127.0.0.1:5432', Listen => 5));
$| = 1;
print "ready\n";
while (1) {
    print {$_->accept} "secret\n" for $ready->can_read;
}
PERL
    ready_log => qr/ready/);
my @at = $tunnel->at;
my $loot = "$Edge::Netns::dir/loot";

for (['root', $tunnel->at('root')],
    ['in by a password', '-o', 'BatchMode=no', '-o', 'PubkeyAuthentication=no',
        '-o', 'PreferredAuthentications=password,keyboard-interactive', @at]) {
    my ($what, @arguments) = @$_;
    like(($tunnel->ssh(@arguments))[0], qr/Permission denied \(publickey\)/,
        "refused: to be $what");
}
{
    my ($said, $in) = $tunnel->ssh(@at, "id; touch /run/cms-tunnel/x");
    ok($in, 'refused: a command');
    unlike($said, qr/uid=/, '... it says nothing');
    my $terminal;
    $tunnel->ssh({while => sub {
        $terminal = $_[0]->wait_log(qr/PTY allocation request failed/, 20);
    }}, '-tt', @at);
    ok($terminal, 'refused: a terminal');
    my ($sftp) = $tunnel->ssh('-o', 'StdinNull=no', '-s', @at, 'sftp');
    like($sftp, qr/subsystem request failed/, 'refused: sftp');
    spew("$Edge::Netns::dir/mine", "mine\n", 0644);
    my @scp = ({program => 'scp'}, '-o', 'StdinNull=no', '-P', 2222);
    $tunnel->ssh(@scp, $_, "$Edge::Netns::dir/mine",
        'cms-tunnel@192.0.2.168:/run/cms-tunnel/x') for '-O', '-s';
    mkdir $loot;
    chmod 0777, $loot;
    $tunnel->ssh(@scp, $_, 'cms-tunnel@192.0.2.168:/etc/passwd',
        "$loot/passwd") for '-O', '-s';
    ok(!-e "$loot/passwd", 'refused: scp from the edge');
    ok(!-e '/run/cms-tunnel/x', 'refused: scp to the edge');
}
{
    my @environment;
    $tunnel->ssh({while => sub {
        wait_until(sub { my @c = $tunnel->commands; @c >= 2 }, 20);
        @environment = map { slurp("/proc/$_/environ") } $tunnel->commands;
    }}, '-o', 'SetEnv=LC_X=1 LD_PRELOAD=x', '-A', '-X', @at);
    cmp_ok(scalar @environment, '>=', 2, 'what another ssh asks for:');
    unlike("@environment", qr/LC_X|LD_PRELOAD/,
        'refused: environment variables');
    unlike("@environment", qr/SSH_AUTH_SOCK|DISPLAY/,
        'refused: agent and X11 forwarding');
}
SKIP: {
    skip 'no tun device here', 1 if !-c '/dev/net/tun';
    like(($tunnel->ssh({root => 1}, '-w', '7:8', @at))[0],
        qr/Tunnel forwarding failed/, 'refused: a tun device');
}

is(local_service('/run/secret.sock'), "secret\n",
    'what there is to be had on the edge, by a unix socket and TCP:');
for (['-L to TCP', '-L', '/tmp/l:127.0.0.1:5432'],
    ['-L to a unix socket', '-L', '/tmp/l:/run/secret.sock'],
    ['-L to its own socket', '-L', "/tmp/l:$socket"],
    ['-D', '-D', '1080'],
    ['what ~C adds: -L to TCP', undef, '-L /tmp/l:127.0.0.1:5432'],
    ['what ~C adds: -L to a unix socket', undef,
        '-L /tmp/l:/run/secret.sock']) {
    my ($what, $option, $value) = @$_;
    my $seen = length $sshd->log_text;
    is(through($option, $value), '', "refused: $what");
    like(substr($sshd->log_text, $seen),
        qr/refused (?:local|streamlocal) port forward/, '... as sshd says');
}
for (['-R of a TCP port', '9999:127.0.0.1:443'], ['-R as a proxy', '9999'],
    ['-R of any TCP port', '0:127.0.0.1:443']) {
    my ($what, $value) = @$_;
    like(($tunnel->ssh('-R', $value, @at))[0],
        qr/remote port forwarding failed/, "refused: $what");
}
{
    # Where an account may write on a usual machine, and where it must not.
    my @paths = ('/tmp/cms-edge-x', '/var/tmp/cms-edge-x',
        '/dev/shm/cms-edge-x', '/run/x', '/run/lock/x', '/run/sshd/x', '/x',
        '/etc/cms-edge/tunnel/x', "$loot/x", '/run/cms-tunnel/../x');
    my @files = ('/run/secret.sock', '/etc/cms-edge/tunnel/cms-tunnel.keys');
    my %was = map { $_ => join ' ', (stat)[1, 7, 9] } @files;
    my (undef, $in) = $tunnel->ssh('-o', 'ExitOnForwardFailure=no',
        (map { ('-R', "$_:127.0.0.1:443") } @paths, @files,
            '/run/cms-tunnel/allowed'), @at);
    ok($in && -S '/run/cms-tunnel/allowed', 'of many sockets, one can be made');
    ok(!-e, "refused: a socket $_") for @paths;
    is(join(' ', (stat)[1, 7, 9]), $was{$_}, "refused: to replace $_")
        for @files;
}

# ---- another inside host ----

$tunnel->inside_host('inside2', 1);
$client->stop;
$sshd->stop;
$sshd = $tunnel->sshd;
{
    my $env = $tunnel->etc('inside2') . '/cms-edge/tunnel/cmsweb.env';
    spew($env, slurp($env) =~ s/^#(ACCOUNT=)/$1/mr);
}
$client = $tunnel->client('cmsweb');
my $other = $tunnel->client('cmsweb', on => 'inside2');
is($other->{socket}, '/run/cms-tunnel-2/cmsweb.sock',
    'another inside host has a directory of its own');
is(as('www-data', $other->{socket}), 'open', '... that nginx may use');
my $inode = (stat $socket)[1];
my @at2 = $tunnel->at('cms-tunnel-2');
$tunnel->ssh({on => 'inside2'}, '-R', "$socket:127.0.0.1:443",
    @at2);
is((stat $socket)[1], $inode, '... and cannot replace the first one\'s socket');
$tunnel->ssh({on => 'inside2'}, '-R',
    '/run/cms-tunnel/new.sock:127.0.0.1:443', @at2);
ok(!-e '/run/cms-tunnel/new.sock', '... or add one there');
like(($tunnel->ssh({on => 'inside2'}, @at))[0], qr/Permission denied/,
    '... or be the first account');

# ---- new keys, while a tunnel runs ----

{
    my ($pid) = $tunnel->ssh_of($client);
    my $old = slurp($tunnel->etc('inside') . '/cms-edge/tunnel/key');
    $tunnel->step('client_new', 'inside');
    $tunnel->let_in('inside', 'client_key', 'key.new');
    like($tunnel->step('client_swap', 'inside'), qr/^Authenticated/m,
        'README: a new client key gets in');
    $tunnel->step('client_end');
    $tunnel->step('host_new');
    $tunnel->tell_host_key($_, 'host_key.new') for 'inside', 'inside2';
    $tunnel->step('host_swap');
    ok($tunnel->reload_sshd, 'README: sshd takes a new host key');
    $tunnel->step('host_end', $_) for 'inside', 'inside2';
    is(($tunnel->ssh_of($client))[0], $pid,
        '... and the tunnel went on all the time');
    ok(up(), '... with guests in it');
    kill 'KILL', $pid;
    ok(up(), 'the next one comes up with the new keys');
    my $stolen = "$Edge::Netns::dir/old";
    spew($stolen, $old, 0600);
    chown scalar getpwnam('cms-tunnel'), -1, $stolen;
    like(($tunnel->ssh('-o', "IdentityFile=$stolen", '-o',
        'IdentityFile=none', '-F', 'none', '-o', 'IdentitiesOnly=yes',
        '-o', 'StrictHostKeyChecking=no', @at))[0],
        qr/Permission denied \(publickey\)/, 'the old client key does not');
    spew($tunnel->etc('inside') . '/cms-edge/tunnel/known_hosts',
        'cms-edge ' . slurp($tunnel->etc('inside')
            . '/cms-edge/tunnel/key.pub'));
    like(($tunnel->ssh(@at))[0], qr/Host key verification failed/,
        'an edge with another host key is not talked to');
}
done_testing();

sub http {
    return <<"CONF";
cms_webbridge cmsweb {
    guest_uri $guest;
    internal_uri cmsweb.cms.octavio.local;
    @{[Edge::Tunnel::nginx_snippet()]}
    trusted_certificate @{[Edge::Certs::ca('inside')]};
}
server {
    listen 127.0.0.1:443 ssl;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location / { cms_proxy cmsweb; }
}
CONF
}

# The web bridge shows another certificate, also to those who knew it.
sub shows {
    my ($file, $its_key) = Edge::Certs::cert(@_);
    $cms->change(cert => $file, key => $its_key);
    $nginx->reload;
}

# What a guest gets.
sub curl {
    return (run('curl', '-sS', '-i', '-m', '15', '--resolve',
        "$guest:443:127.0.0.1", '--cacert', Edge::Certs::ca('outside'),
        "https://$guest/en-US/home"))[1];
}

# Guests are served again, within so many seconds.
sub up {
    my ($seconds) = @_;
    return wait_until(sub { curl() =~ m{^HTTP/1\.1 200 } }, $seconds // 20);
}

sub comes_back {
    my ($what, $cut) = @_;
    my %before = map { $_ => 1 } $tunnel->sessions;
    my $begun = time;
    $cut->();
    ok(wait_until(sub { !grep { $before{$_} } $tunnel->sessions }, 20)
        && wait_until(sub { $tunnel->sessions }, 20) && up(),
        "$what: the tunnel comes back");
    diag(sprintf '%s: back after %.1f s', $what, time - $begun);
}


# What connecting to a socket as this user gives.
sub as {
    my ($user, $path) = @_;
    return (run('setpriv', "--reuid=$user", '--regid=' . (getpwnam $user)[3],
        '--init-groups', $^X, '-MIO::Socket::UNIX', '-e',
        'print IO::Socket::UNIX->new(Peer => shift) ? "open" : $!', $path))[1];
}

sub local_service {
    my ($path) = @_;
    my $s = IO::Socket::UNIX->new(Peer => $path) or return "no $path: $!";
    return IO::Select->new($s)->can_read(5) ? <$s> // '' : 'silence';
}

# What comes out of a forwarding from here. Without an option it is added to an
# ssh that runs already.
sub through {
    my ($option, $value) = @_;
    my $got = '';
    my @master = ('-o', 'ControlMaster=yes', '-S', '/tmp/master');
    unlink '/tmp/l', '/tmp/master';
    $tunnel->ssh({while => sub {
        $tunnel->on('inside', "ssh -F $ssh_config -S /tmp/master -O forward"
                . " $value x") if !defined $option;
        my ($status, $text) = ($option // '') eq '-D'
            ? run(qw(curl -sS -m 5 --socks5 127.0.0.1:1080
                telnet://127.0.0.1:5432))
            : (0, local_service('/tmp/l'));
        $got = $text if $text =~ /secret|silence|^no /;
    }}, '-v', defined $option ? ($option, $value) : @master, @at);
    return $got;
}

sub run {
    my @argv = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @argv;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}
