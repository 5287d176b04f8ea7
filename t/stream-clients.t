use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Nginx;
use Edge::Process qw(slurp wait_until);
use Edge::WireClient;
use Socket qw(inet_ntop AF_INET AF_INET6);
use Test::More;

# Whoever comes to the shared port, and however its first bytes are cut: it
# reaches the right side under its own address, or its connection ends.

my $host = 'cmsweb.octavio.test';
my ($cert, $key) = Edge::Certs::cert('outside', $host);
my $tls = "ssl_certificate $cert;\nssl_certificate_key $key;\n"
    . "ssl_protocols TLSv1.2 TLSv1.3;\n";

my $turn = Edge::Coturn->start(conf => ['tcp-proxy-port=3479']);

# Port 443 waits longer than this test may take, 444 for a second.
my $stream = "preread_timeout 300s;\n$tls";
for ([443, 5349, '300s'], [444, 5350, '1s']) {
    my ($port, $inner, $timeout) = @$_;
    $stream .= <<"CONF";
server {
    listen 127.0.0.1:$port;
    listen [::1]:$port;
    cms_share https=127.0.0.1:4443 turns=127.0.0.1:$inner
              turn=127.0.0.1:3479 proxy_protocol=on timeout=$timeout;
}
server {
    listen 127.0.0.1:$inner ssl;
    cms_share http=127.0.0.1:4480 turn=127.0.0.1:3479 proxy_protocol=on
              timeout=$timeout;
}
CONF
}

my $says = '$remote_addr:$remote_port port=$server_port $scheme $ssl_protocol'
    . ' $ssl_server_name $server_protocol';
my $edge = Edge::Nginx->start(stream => $stream, http => <<"CONF");
$tls
client_header_timeout 300s;
server { listen 127.0.0.1:4443 ssl http2; return 200 "here: https $says\\n"; }
server { listen 127.0.0.1:4480; return 200 "here: opened $says\\n"; }
CONF
ok(wait_until(sub { $edge->workers == 2 }, 30), 'nginx serves');
my @workers = $edge->workers;

# connections(pid): its sockets but those that listen or lead to the master.
sub connections {
    my ($pid) = @_;
    my @listening = map { (split)[9] } grep { /^ *\d+: \S+ \S+ 0A / }
        map { split /\n/, slurp("/proc/$pid/net/$_") } qw(tcp tcp6);
    my @unix = map { (split)[6] } split /\n/, slurp("/proc/$pid/net/unix");
    my %known = map { $_ => 1 } @listening, @unix;
    return grep { /^socket:\[(\d+)\]/ && !$known{$1} }
        map { readlink // '' } glob "/proc/$pid/fd/*";
}

# ---- what clients say ----

my $get = "GET / HTTP/1.1\r\nHost: $host\r\n\r\n";

# HTTP/2: settings, and GET / in fields of the static table and a literal.
my $get2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '')
    . frame(1, 5, 1, "\x82\x84\x87\x41" . chr(length $host) . $host);

sub frame {
    my ($type, $flags, $id, $payload) = @_;
    return substr(pack('N', length $payload), 1)
        . pack('CCN', $type, $flags, $id) . $payload;
}

my $cookie = pack 'N', 0x2112a442;
my $id = 'transaction.';
my $stun = pack('nn', 1, 0) . $cookie . $id;

my $hello = Edge::WireClient->client_hello(name => $host);

# ---- what becomes of them ----

# The client address in a Binding response: 'address:port'.
sub mapped {
    my ($heard) = @_;
    my ($port, $address) = $heard =~
        /\x00\x20\x00(?:\x08\x00\x01|\x14\x00\x02)(..)(.{4,16})/s or return '';
    my $family = $heard =~ /\x00\x20\x00\x08\x00\x01/ ? AF_INET : AF_INET6;
    my $n = $family == AF_INET ? 4 : 16;
    return inet_ntop($family, substr($address, 0, $n)
        ^ substr("$cookie$id", 0, $n)) . ':' . (unpack('n', $port) ^ 0x2112);
}

# One line about what it heard and how it ended.
sub outcome {
    my ($c) = @_;
    my $as = sub { $_[0] eq $c->name ? 'itself' : $_[0] };
    $c->hears(qr{here:.*\n|</html>|^\x01\x01.{18}.*\x00\x20\x00|^\x15\x03}sm);
    my $heard = $c->heard;
    if ($heard =~ /here: (\S+) (\S+) (.*)\n/) {
        return "$1 as " . $as->($2) . " $3";
    }
    return 'TURN as ' . $as->(mapped($heard)) if $heard =~ /^\x01\x01/;
    my $end = $c->closed ? 'closed' : 'stays open';
    return $heard =~ /plain HTTP request was sent/ ? "use HTTPS, $end"
        : $heard =~ m{^HTTP/1\.1 (\d+)} ? "$1, $end"
        : $heard =~ /^\x15\x03.\x00\x02\x02(.)/s
            ? 'alert ' . ord($1) . ", $end"
        : $heard eq '' ? $end : 'heard ' . unpack('H*', $heard) . ", $end";
}

# client(title, option => value ...): does what they say, and returns the
# code that compares the outcome.
#   to, from   addresses; 127.0.0.1:443 and another one of loopback
#   cut        'segments' or 'records', see Edge::WireClient
#   tls        a version: it opens TLS, with these alpn, name and ticket
#   say        bytes, in TLS or without
#   then       'fin', 'close_notify' or 'reset' behind it
#   want       the outcome
sub client {
    my ($title, %o) = @_;
    my $c = Edge::WireClient->new(to => $o{to} // '127.0.0.1:443',
        from => $o{from} // '127.0.0.77', cut => $o{cut})
        // return sub { fail("$title: $!") };
    if ($o{tls} && !$c->start_tls(version => $o{tls}, alpn => $o{alpn},
            name => $o{name} // $host, ticket => $o{ticket})) {
        my $alert = $c->{alert} // 'no TLS';
        return sub { is($alert, $o{want}, $title) };
    }
    $c->send($o{say}) if length($o{say} // '');
    my $then = $o{then} // '';
    $c->finish if $then eq 'fin';
    $c->close_tls if $then eq 'close_notify';
    if ($then eq 'reset') {
        $c->reset;
        return sub { pass($title) };
    }
    return sub { is(outcome($c), $o{want}, $title) };
}

# ---- those who wait for what never comes ----

my @quiet = (
    ['nothing at all'],
    ['a first byte of TLS', say => "\x16"],
    ['half a ClientHello', say => substr($hello, 0, 100)],
    ['half of one, byte by byte', say => substr($hello, 0, 100),
        cut => 'segments'],
    ['a first byte of STUN', say => "\0"],
    ['half a STUN header', say => substr($stun, 0, 10)],
    ['the beginning of a large ClientHello',
        say => "\x16\3\1\x40\0\1\0\xf0\0" . 'x' x 16000],
    ['nothing inside TLS', tls => '1.3'],
    ['half a STUN header inside TLS', tls => '1.3',
        say => substr($stun, 0, 10)],
    ['half of one inside TLS, byte by byte', tls => '1.2',
        say => substr($stun, 0, 10), cut => 'records'],
);
my @later = map { client(@$_, to => '127.0.0.1:444',
    want => 'closed') } @quiet;

# ---- TLS ----

my $no_alpn = 'no application protocol';
my @offers = (
    ['h2', ['h2'], $get2, 'https', 'HTTP/2.0'],
    ['http/1.1', ['http/1.1'], $get, 'https', 'HTTP/1.1'],
    ['h2 and http/1.1', ['h2', 'http/1.1'], $get2, 'https', 'HTTP/2.0'],
    ['an odd one and http/1.1', ['odd', 'http/1.1'], $get, 'https', 'HTTP/1.1'],
    ['no ALPN, HTTP', [], $get, 'opened', 'HTTP/1.1'],
    ['no ALPN, STUN', [], $stun, 'TURN'],
    ['stun.turn', ['stun.turn'], $stun, 'TURN'],
    ['stun.nat-discovery', ['stun.nat-discovery'], $stun, 'TURN'],
    ['only an odd one', ['odd'], '', $no_alpn],
);

for my $version ('1.2', '1.3') {
    for my $name ($host, '') {
        for my $cut ('', 'segments', 'records') {
            for (@offers) {
                my ($title, $alpn, $say, $side, $protocol) = @$_;
                my $want = $protocol ? "$side as itself port=443 https"
                    . " TLSv$version $name $protocol"
                    : $side eq 'TURN' ? 'TURN as itself' : $side;
                client(join(', ', "TLS $version", $name ? 'SNI' : 'no SNI',
                    $cut ? "$cut of a byte" : 'whole', $title),
                    tls => $version, name => $name, cut => $cut,
                    alpn => $alpn, say => $say, want => $want)->();
            }
        }
    }
}

my $served = "as itself port=443 https TLSv1.2 $host";
my @large = (
    ['a ClientHello of 20 KB', ticket => 20000, alpn => ['h2'],
        say => $get2, want => "https $served HTTP/2.0"],
    ['one of 20 KB byte by byte', ticket => 20000, alpn => ['h2'],
        say => $get2, cut => 'segments', want => "https $served HTTP/2.0"],
    ['one of 60 KB', ticket => 60000, alpn => ['stun.turn'], say => $stun,
        want => 'TURN as itself'],
    ['one of 60 KB in records of a byte', ticket => 9800, alpn => ['h2'],
        say => $get2, cut => 'records', want => "https $served HTTP/2.0"],
    ['one of more than 64 KB', ticket => 65400, alpn => ['http/1.1'],
        say => $get, want => "https $served HTTP/1.1"],
);
client(@$_, tls => '1.2')->() for @large;

# Many that have begun, each at another byte, and come to an end in the
# other order.
my @begun;
for my $i (0 .. 59) {
    my ($title, $alpn, $say, $side, $protocol) = @{$offers[$i % 8]};
    my $version = $i % 16 < 8 ? '1.2' : '1.3';
    my $c = Edge::WireClient->new(to => '127.0.0.1:443', from => '127.0.0.77');
    $c->begin_tls(1 + 3 * $i, version => $version, name => "n$i.$host",
        alpn => $alpn);
    push @begun, sub {
        $c->finish_tls && $c->send($say);
        is(outcome($c), $protocol ? "$side as itself port=443 https"
            . " TLSv$version n$i.$host $protocol" : 'TURN as itself',
            "TLS $version that began among others, $title");
    };
}
(pop @begun)->() while @begun;

# ---- without TLS, or what is none ----

my @others = (
    ['STUN', say => $stun, want => 'TURN as itself'],
    ['STUN byte by byte', say => $stun, cut => 'segments',
        want => 'TURN as itself'],
    ['STUN over IPv6', to => '[::1]:443', from => '::1', say => $stun,
        want => 'TURN as itself'],
    ['a page over IPv6', to => '[::1]:443', from => '::1', tls => '1.2',
        alpn => ['h2'], say => $get2, want => "https $served HTTP/2.0"],

    ['plain HTTP', say => $get, want => 'use HTTPS, closed'],
    ['plain HTTP byte by byte', say => $get, cut => 'segments',
        want => 'use HTTPS, closed'],
    ['plain HTTP/2', say => $get2, want => '400, closed'],
    ['a PROXY header', say => "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n$stun",
        want => '400, closed'],
    ['SSH', say => "SSH-2.0-client\r\n", want => '400, closed'],

    ['a binary PROXY header', say => "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        want => 'closed'],
    ['ChannelData', say => "\x40\0\0\x04data", want => 'closed'],
    ['an answer of STUN', say => pack('nn', 0x101, 0) . "$cookie$id",
        want => 'closed'],
    ['STUN without its cookie', say => "\0\1\0\0" . 'x' x 16,
        want => 'closed'],
    ['a hello of SSLv2', say => "\x80\x2e\1\3\1\0\x15\0\0\0\x10" . 'x' x 37,
        want => 'closed'],
    ['a request in small letters', say => lc $get, want => 'closed'],
    ['zeroes', say => "\0" x 100, want => 'closed'],
    ['noise', say => "\xfe\xff\xfd" x 30000, want => 'closed'],
    ['an alert of TLS', say => "\x15\3\1\0\2\1\0", want => 'closed'],
    ['a ServerHello', say => "\x16\3\1\0\4\2\0\0\0",
        want => 'alert 10, closed'],

    ['the end at once', then => 'fin', want => 'closed'],
    ['half a ClientHello, then the end', then => 'fin',
        say => substr($hello, 0, 100), want => 'closed'],
    ['half a STUN header, then the end', then => 'fin',
        say => substr($stun, 0, 10), want => 'closed'],
    ['close_notify in TLS', tls => '1.3', then => 'close_notify',
        want => 'closed'],
    ['the end in TLS', tls => '1.3', then => 'fin', want => 'closed'],
    ['half a STUN header in TLS, then the end', tls => '1.3', then => 'fin',
        say => substr($stun, 0, 10), want => 'closed'],

    ['TLS in TLS', tls => '1.3', say => $hello, want => 'closed'],
    ['ChannelData in TLS', tls => '1.3', say => "\x40\0\0\x04data",
        want => 'closed'],
    ['small letters in TLS', tls => '1.2', say => lc $get, want => 'closed'],
    ['zeroes in TLS, byte by byte', tls => '1.2', say => "\0" x 100,
        cut => 'records', want => 'closed'],
);
client(@$_)->() for @others;

my @resets = (
    ['at once'],
    ['in a ClientHello', say => substr($hello, 0, 100)],
    ['behind a ClientHello', say => $hello],
    ['in a STUN header', say => substr($stun, 0, 10)],
    ['behind STUN', say => $stun],
    ['behind plain HTTP', say => $get],
    ['behind noise', say => "\xff" x 100],
    ['in TLS', tls => '1.3'],
    ['in TLS, in a STUN header', tls => '1.3', say => substr($stun, 0, 10)],
    ['in TLS, behind STUN', tls => '1.3', say => $stun],
    ['in TLS, behind a request', tls => '1.3', say => $get],
);
for (@resets) {
    my ($title, @options) = @$_;
    client("a reset $title", @options, then => 'reset')->();
}

# ---- at the end ----

$_->() for @later;
{
    my $c = Edge::WireClient->new(to => '127.0.0.1:444');
    my $sent = 0;
    $c->send(substr $hello, $sent++, 1)
        until $c->closed(0.1) || $sent == length $hello;
    cmp_ok($sent, '<', length $hello,
        'who says a byte at a time has no longer than others');
}
my @claimed = $edge->access_log =~ /^(\S+) .*"PROXY TCP4 /mg;
is_deeply(\@claimed, ['127.0.0.77'], 'nobody has the address that it claims');
is_deeply([$edge->workers], \@workers, 'no worker came to its end');
unlike($edge->error_log, qr/\[(?:alert|crit|emerg)\]/,
    'none of it is a reason for alarm');
ok(wait_until(sub { !map { connections($_) } @workers }, 30),
    'and no connection is left')
    or diag(join ' ', map { connections($_) } @workers);
done_testing();
