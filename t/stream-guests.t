use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Guests;
use Edge::Nginx;
use Edge::Process qw(slurp wait_until);
use Edge::Strangers;
use Edge::WebBridge;
use IPC::Open2;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use Time::HiRes qw(sleep);

# Guests whom everything reaches by one shared port: page, WebSocket and TURN.
# Strangers who are silent there or talk garbage do not keep them out, and what
# they have goes on through reloads.
# $SILENT (1000) silent ones at a time, $GARBAGE (500) talkers a second,
# $CONNECTIONS for each worker (more than all of these), $GUESTS (10),
# $SECONDS (6) of reloads, $RATE (20) pages a second meanwhile, $FLOOD (0)
# seconds longer of strangers, $WORKERS (1).

my $silent = $ENV{SILENT} || 1000;
my $garbage = $ENV{GARBAGE} || 500;
my $connections = $ENV{CONNECTIONS} || 2 * $silent + 2000;
my $guests = $ENV{GUESTS} || 10;
my $seconds = $ENV{SECONDS} || 6;
# Of pages and of new connections, a second.
my $rate = $ENV{RATE} || ($ENV{ASAN_OPTIONS} ? 5 : 20);
my $host = 'cmsweb.octavio.test';
my $peer = '192.0.2.7';
my $turn_ip = '192.0.2.168';

my ($cert, $key) = Edge::Certs::cert('outside', $host);
my $ca = Edge::Certs::ca('inside');
Edge::Coturn::add_addresses($peer, $turn_ip);
my $cms = Edge::WebBridge->start(listen => '127.0.0.2:443',
    spaces => Edge::Guests::spaces($guests));
my $turn = Edge::Coturn->start(ip => $turn_ip, users => {guest => 'word'},
    conf => ['tcp-proxy-port=3479']);
my $tls = "ssl_certificate $cert; ssl_certificate_key $key;"
    . ' ssl_protocols TLSv1.2 TLSv1.3;';
my $edge = Edge::Nginx->start(log_format => undef, error_level => 'notice',
    workers => $ENV{WORKERS} || 1,
    connections => $connections,
    main => 'worker_rlimit_nofile ' . ($connections + 500) . ';',
    http => <<"CONF", stream => <<"CONF");
$tls
cms_webbridge cmsweb {
    guest_uri $host;
    internal_uri cmsweb.cms.octavio.local;
    target 127.0.0.2:443;
    trusted_certificate $ca;
}
server {
    listen 127.0.0.1:4443 ssl http2;
    listen 127.0.0.1:4480;
    location / { cms_proxy cmsweb; }
}
CONF
$tls
server {
    listen 127.0.0.1:443 backlog=4096;
    cms_share https=127.0.0.1:4443 turns=127.0.0.1:5349 turn=$turn_ip:3479
              proxy_protocol=on;
}
server {
    listen 127.0.0.1:5349 ssl;
    cms_share http=127.0.0.1:4480 turn=$turn_ip:3479 proxy_protocol=on;
}
CONF
my $shared = Edge::Coturn->at('127.0.0.1:443');

# joins(n): guests who join now, each with page, WebSocket and both ways to
# TURN: what did not work, '' when all did.
sub joins {
    my ($n) = @_;
    my $join = Edge::Guests->join(count => $n, meetings => $n);
    my @wrong;
    for my $i (1 .. $n) {
        for my $tls ($host, undef) {
            my ($said) = $shared->client({user => 'guest', password => 'word',
                tcp => 1, tls => $tls}, 'allocate');
            push @wrong, $said if ($said // 'nothing') !~ /^allocate ok/;
        }
    }
    $join->wait_events($n, 'joined');
    my @events = $join->stop;
    push @wrong, map { "$_->{event} $_->{step}: $_->{why}" }
        grep { $_->{event} eq 'refused' } @events;
    push @wrong, 'not all joined'
        if $n != grep { $_->{event} eq 'joined' } @events;
    return join '; ', @wrong;
}

# Private memory of the workers, in kB.
sub memory {
    return sum(map { map { /^Private_\w+:\s+(\d+)/ ? $1 : () }
        split /\n/, slurp("/proc/$_/smaps_rollup") } $edge->workers);
}

is(joins($guests), '', 'guests join');

# ---- strangers ----

# flood: strangers, and guests who join meanwhile; how it went for strangers.
sub flood {
    my ($which) = @_;
    my @strangers = (
        Edge::Strangers->start(kinds => ['silent'], at_a_time => $silent),
        Edge::Strangers->start(kinds => ['garbage', 'hello'],
            at_a_time => $garbage / 2, per_second => $garbage,
            stay_ms => 500));
    ok(wait_until(sub { open_files() >= $silent }, 30),
        "$which: $silent say nothing, $garbage a second talk garbage")
        if $connections > $silent;
    is(joins($guests), '', '... and guests join');
    sleep $ENV{FLOOD} || 0;
    is(joins($guests), '', '... again');
    my %said = map { %{$_->stop} } @strangers;
    is(join(' ', grep { $said{$_}{failed} } keys %said), '',
        '... the others are let in, too') or diag(encode_json(\%said));
}

sub open_files {
    return sum(map { scalar(() = glob "/proc/$_/fd/*") } $edge->workers);
}

my @workers = $edge->workers;
# (The address sanitizer keeps what is freed.)
my $before = memory();
flood('strangers');
my $while = memory();
my $now;
ok(wait_until(sub {
    $now = memory();
    return $ENV{ASAN_OPTIONS} || $now <= 1.05 * $before;
}, 30), 'within 30 s the memory of the workers is what it was before')
    or diag("$before, $while, $now kB");
diag("memory before, with strangers, afterwards: $before, $while, $now kB")
    if $ENV{SILENT};
is(join(' ', $edge->workers), "@workers", '... who are the same');

# ---- reloads ----

system('gcc', qw(-std=gnu11 -O2 -g -o), "$Edge::Netns::dir/turn_media",
    "$Edge::Netns::root/t/bench/turn_media.c",
    "$Edge::Netns::root/t/turn-client/stun.c", qw(-lssl -lcrypto)) == 0
    or die "cannot build turn_media\n";

# relays(argument ...): media both ways through relays of the shared port,
# numbered by count, from now on for $seconds.
sub relays {
    my $pid = open2(my $out, my $in, "$Edge::Netns::dir/turn_media",
        '-s', '127.0.0.1:443', '-a', $peer,
        qw(-u guest -p word -n 4 -l 400 -r 1 -T), $seconds, @_);
    (readline $out // '') eq "ready\n" or die "no channels\n";
    return {pid => $pid, in => $in, out => $out};
}

my %relays = ('TURN over TLS' => relays('-V', '1.3', '-c', $host),
    'TURN over TCP' => relays());
my $meeting = Edge::Guests->join(count => $guests, meetings => $guests);
ok($meeting->wait_events($guests, 'joined'), 'guests are in a meeting');
my $pages = Edge::Guests->load(rate => $rate, guests => 10,
    limitMs => 60_000);
my @kinds = qw(h2 tls stun stun-tls);
my $new = Edge::Strangers->start(kinds => \@kinds, count => $rate * $seconds,
    per_second => $rate);
syswrite $_->{in}, "\n" for values %relays;
my $reloads = 0;
while ($reloads < 3 || $new->{process}->alive) {
    $edge->reload or die 'a reload failed';
    $reloads++;
    sleep 1;
}
note("$reloads reloads");
for my $what (sort keys %relays) {
    my $line = readline $relays{$what}{out} // '{}';
    my $r = decode_json($line);
    waitpid $relays{$what}{pid}, 0;
    is($?, 0, "through reloads no relay is lost: $what");
    is($r->{received}, $r->{sent}, '... and no message')
        or diag($line);
    diag("$what: $line") if $ENV{SECONDS};
}
my $said = $new->wait(60);
is_deeply([map { @{$said->{$_}}{qw(answered failed)} } @kinds],
    [map { ($said->{$_}{begun}, 0) } @kinds],
    '... whoever came has an answer') or diag(encode_json($said));
my @pages = $pages->stop;
is(scalar(grep { !$_->{ok} } @pages), 0, '... every page as well');
diag(Edge::Guests::summary(@pages))
    if $ENV{SECONDS} || grep { !$_->{ok} } @pages;
is(join(' ', map { $_->{event} } grep { $_->{event} ne 'joined' }
    $meeting->events), '', '... and no WebSocket is lost');
$meeting->stop;

$edge->stop;
# (Garbage that begins as TLS does is "crit" to a stock nginx.)
my @alarming = grep { /\[(?:alert|emerg|crit)\]|exited on signal/
    && !/SSL_do_handshake\(\) failed/ } split /\n/, $edge->error_log;
is_deeply(\@alarming, [], 'nothing alarming is logged')
    or diag(join "\n", @alarming[0 .. 9]);
done_testing();
