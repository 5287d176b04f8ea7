use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_until);
use Edge::Strangers;
use IO::Socket::SSL;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

# A shared port under clients of all kinds who leave at any moment: no worker
# ends, nothing of them is left, and http's own timeouts hold.
# $EACH (250) clients of each kind, $AT_A_TIME (100).

my $each = $ENV{EACH} || 250;
my $at_a_time = $ENV{AT_A_TIME} || 100;
my @kinds = qw(h2 tls stun-tls stun http garbage hello silent);
my $host = 'cmsweb.octavio.test';
my ($cert, $key) = Edge::Certs::cert('outside', $host);
$SIG{PIPE} = 'IGNORE';
my $turn = Edge::Coturn->start(conf => ['tcp-proxy-port=3479']);
my $tls = "ssl_certificate $cert; ssl_certificate_key $key;"
    . ' ssl_protocols TLSv1.2 TLSv1.3;';
my $edge = Edge::Nginx->start(log_format => undef,
    connections => 4 * $at_a_time + 512,
    main => 'worker_rlimit_nofile ' . (4 * $at_a_time + 1024) . ';',
    http => <<"CONF", stream => <<"CONF");
$tls
client_header_timeout 2s;
keepalive_timeout 2s;
server { listen 127.0.0.1:4443 ssl http2; return 200 "here\\n"; }
server { listen 127.0.0.1:4480; return 200 "here\\n"; }
CONF
$tls
ssl_handshake_timeout 2s;
server {
    listen 127.0.0.1:443;
    cms_share https=127.0.0.1:4443 turns=127.0.0.1:5349 turn=127.0.0.1:3479
              proxy_protocol=on timeout=2s;
}
server {
    listen 127.0.0.1:5349 ssl;
    cms_share http=127.0.0.1:4480 turn=127.0.0.1:3479 proxy_protocol=on
              timeout=2s;
}
CONF
ok(wait_until(sub { $edge->workers == 2 }, 30), 'nginx serves');
my @workers = $edge->workers;

sub open_files {
    return join ' ', map { scalar(() = glob "/proc/$_/fd/*") } @_;
}

# One of each kind first: what a worker opens once is open then.
sub one_of_each {
    return Edge::Strangers->start(kinds => [grep { $_ ne 'silent' } @kinds],
        count => 70, at_a_time => 20, stay_ms => 100)->wait(60);
}

one_of_each();
wait_until(sub { open_files(@workers) eq open_files(@workers) });
my $before;
ok(wait_until(sub {
    my $now = open_files(@workers);
    my $same = defined $before && $now eq $before;
    $before = $now;
    select undef, undef, undef, 0.3;
    return $same;
}, 30), 'at rest');
my $of_turn = open_files($turn->pid);

# ---- they come and go ----

my $load = Edge::Strangers->start(kinds => \@kinds, count => $each * @kinds,
    at_a_time => $at_a_time, stay_ms => 300);

# http's and stream's own timeouts, meanwhile and afterwards
sub timeouts {
    my ($when) = @_;
    my @cases = (
        ['half a request by HTTP/1.1', sub { half(alpn => ['http/1.1']) }],
        ['half a request in opened TLS', sub { half(alpn => []) }],
        ['a kept connection', sub { kept(alpn => ['http/1.1']) }],
        ['a kept connection in opened TLS', sub { kept(alpn => []) }],
        ['a handshake that stops, for https=', sub { hello('http/1.1') }],
        ['a handshake that stops, for turns=', sub { hello() }],
        ['opened TLS that says nothing', sub {
            Edge::HttpClient->new(to => '127.0.0.1:443', tls => $host,
                alpn => []) }],
        ['one that says nothing', sub {
            Edge::HttpClient->new(to => '127.0.0.1:443') }],
    );
    my @open = map { [$_->[0], $_->[1]->()] } @cases;
    for (@open) {
        my ($what, $c) = @$_;
        my $fd = fileno($c->isa('Edge::HttpClient') ? $c->socket : $c);
        ok(wait_until(sub { is_closed($fd) }, 20), "$when, $what is closed");
    }
}

sub half {
    my $c = Edge::HttpClient->new(to => '127.0.0.1:443', tls => $host, @_);
    $c->send("GET / HTTP/1.1\r\nHost: ");
    return $c;
}

sub kept {
    my $c = Edge::HttpClient->new(to => '127.0.0.1:443', tls => $host, @_);
    $c->get('/', Host => $host)->status == 200 or die 'no answer';
    return $c;
}

# A whole ClientHello, and no word more.
sub hello {
    my (@alpn) = @_;
    my $s = IO::Socket::SSL->new(PeerAddr => '127.0.0.1:443',
        SSL_startHandshake => 0, SSL_hostname => $host,
        SSL_verify_mode => SSL_VERIFY_NONE,
        @alpn ? (SSL_alpn_protocols => \@alpn) : ()) // die "hello: $!";
    $s->blocking(0);
    $s->connect_SSL;
    return $s;
}

sub is_closed {
    my ($fd) = @_;
    my $set = '';
    vec($set, $fd, 1) = 1;
    while (select my $ready = $set, undef, undef, 0) {
        my $n = POSIX::read($fd, my $bytes, 4096);
        return 1 if !defined $n || $n == 0;
    }
    return 0;
}

timeouts('meanwhile');
my $went = $load->wait(600);
for my $kind (@kinds) {
    my $k = $went->{$kind};
    is($k->{begun} - $k->{failed}, $each, "$each came: $kind");
}
cmp_ok($went->{$_}{answered}, '>', $each / 10, "... of $_ some get their"
    . ' answer') for qw(h2 tls stun-tls stun http);
diag(join "\n", map { my $k = $_; "$k: " . join ', ', map {
    "$_ $went->{$k}{$_}" } sort keys %{$went->{$k}} } @kinds) if $ENV{EACH};

# ---- what is left ----

is(join(' ', $edge->workers), "@workers", 'no worker ended');
ok(wait_until(sub { open_files(@workers) eq $before }, 60),
    'no descriptor is left')
    or diag("before $before, now " . open_files(@workers));
ok(wait_until(sub { open_files($turn->pid) eq $of_turn }, 60),
    '... nor at coturn') or diag("$of_turn, now " . open_files($turn->pid));
timeouts('afterwards');
my $after = one_of_each();
is(scalar(grep { $_->{failed} } values %$after), 0, 'and all goes on');

# ---- more of them than connections ----

my $small = Edge::Nginx->start(name => 'small', workers => 1,
    connections => 96, log_format => undef, error_level => 'notice',
    http => "$tls server { listen 127.0.0.1:4444 ssl; return 200 here; }",
    stream => <<"CONF");
server { listen 127.0.0.1:444; cms_share https=127.0.0.1:4444 timeout=1h; }
CONF
my $silent = Edge::Strangers->start(kinds => ['silent'], at_a_time => 300,
    per_second => 100, to => '127.0.0.1:444');
my @answers = map {
    my $c = Edge::HttpClient->new(to => '127.0.0.1:444', tls => $host);
    $c ? $c->get('/', Host => $host)->status : 'none';
} 1 .. 20;
is("@answers", join(' ', (200) x 20),
    'where connections run out, those go first who say nothing');
$silent->stop;
$small->stop;
unlike($small->error_log, qr/\[(?:alert|emerg|crit)\]/,
    '... and nothing alarming is logged');

# nginx tells at its end of what it lost sight of
$edge->stop;
unlike($edge->error_log, qr/\[(?:alert|emerg|crit)\]|exited on signal/,
    'nothing alarming is logged, at the end neither')
    or diag(join "\n", (grep { /\[(?:alert|emerg|crit)\]|exited on/ }
        split /\n/, $edge->error_log)[0 .. 9]);
done_testing();
