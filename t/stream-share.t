use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Http2Client;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp wait_until);
use Edge::RecordingApp qw(script);
use Test::More;

# One port for everything: a browser, a client that says no protocol and a
# TURN client come to the same address and port, and each gets what it came
# for, as if it had come to a port of its own.

my $guest = 'cmsweb.octavio.test';
$SIG{PIPE} = 'IGNORE';
my $ca = Edge::Certs::ca('outside');
my ($cert, $key) = Edge::Certs::cert('outside', $guest);
my $dir = $Edge::Netns::dir;
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9080');

my $turn = Edge::Coturn->start(users => {guest => 'word'},
    conf => ['tcp-proxy-port=3479']);

my $tls = "ssl_certificate $cert; ssl_certificate_key $key;"
    . ' ssl_protocols TLSv1.2 TLSv1.3;';
my $says = '$scheme from $remote_addr to $server_addr:$server_port by'
    . ' $server_protocol, $ssl_protocol, $ssl_server_name';
my %edge = (log_format => "\$request, $says",
    http => <<"CONF", stream => <<"CONF");
$tls
cms_webbridge cmsweb {
    guest_uri $guest;
    target 127.0.0.2:9080;
    tls off;
}
server {
    listen 127.0.0.1:4443 ssl http2;
    listen 127.0.0.1:4480;
    listen unix:$dir/https.sock ssl;
    client_max_body_size 10m;
    location / { cms_proxy cmsweb; }
    location = /who { return 200 "$says"; }
    location = /moved { return 301 /elsewhere; }
}

server { listen 127.0.0.1:4450 ssl; client_header_timeout 2s; }

# several addresses on one port
server { listen 127.0.0.5:4445 ssl; return 200 "of one address"; }
server { listen 4445 ssl default_server; return 200 "of any address"; }
CONF
$tls
log_format share '\$remote_addr to \$server_port: \$cms_preread_protocol, '
    '\$cms_preread_server_name, \$cms_preread_alpn, \$status';
access_log $dir/stream.log share;

server {
    listen 127.0.0.1:443;
    listen [::1]:443;
    listen unix:$dir/share.sock;
    cms_share https=127.0.0.1:4443 turns=127.0.0.1:5349 turn=127.0.0.1:3479
        proxy_protocol=on;
}
server {
    listen 127.0.0.1:5349 ssl;
    cms_share http=127.0.0.1:4480 turn=127.0.0.1:3479 proxy_protocol=on;
}

# impatient ones
server {
    listen 127.0.0.1:450;
    cms_share https=127.0.0.1:4450 turns=127.0.0.1:5350 timeout=1s;
}
server {
    listen 127.0.0.1:451;
    cms_share https=127.0.0.1:4450 turns=127.0.0.1:5350;
}
server {
    listen 127.0.0.1:5350 ssl;
    cms_share turn=127.0.0.1:3479 timeout=1s;
}
server { listen 127.0.0.1:444; cms_share https=unix:$dir/https.sock; }
server { listen 127.0.0.1:445; cms_share https=127.0.0.5:4445; }
server { listen 127.0.0.1:446; cms_share https=127.0.0.6:4445; }
server {
    listen 127.0.0.1:447 reuseport proxy_protocol;
    set_real_ip_from 127.0.0.0/8;
    cms_share https=127.0.0.1:4443 turn=127.0.0.1:3479 proxy_protocol=on;
}

limit_conn_zone \$binary_remote_addr zone=clients:1m;
server {
    listen 127.0.0.1:448;
    limit_conn clients 2;
    cms_share https=127.0.0.1:4443;
}
server {
    listen 127.0.0.1:449;
    deny 127.0.0.13;
    cms_share https=127.0.0.1:4443 timeout=1h;
}
CONF

my $edge = Edge::Nginx->start(%edge);

sub client { return Edge::HttpClient->new(to => '127.0.0.1:443', @_) }

sub https { return client(tls => $guest, ca => $ca, @_) }

sub who {
    my ($c) = @_;
    my $r = $c && $c->get('/who', Host => $guest);
    return $r ? $r->body : $Edge::HttpClient::error // 'no answer';
}

# A STUN Binding request, after 'said'; the answer's type, or what came.
sub binding { return pack 'nnNa12', 1, 0, 0x2112A442, 'twelve bytes' }

# ---- as if each had a port of its own ----

my $h2 = Edge::Http2Client->new(to => '127.0.0.1:443', tls => $guest,
    from => '127.0.0.9');
is($h2->get($guest, '/who')->body,
    "https from 127.0.0.9 to 127.0.0.1:443 by HTTP/2.0, TLSv1.3, $guest",
    'a browser gets HTTP/2, and is seen with its own address and the port '
    . 'that it came to');

is(who(https(from => '127.0.0.9')),
    "https from 127.0.0.9 to 127.0.0.1:443 by HTTP/1.1, TLSv1.3, $guest",
    'so is a client that offers HTTP/1.1');

is(who(https(from => '127.0.0.9', alpn => [])),
    "https from 127.0.0.9 to 127.0.0.1:443 by HTTP/1.1, TLSv1.3, $guest",
    'and one that offers no protocol, which TURN clients do not either');

is(who(https(to => '[::1]:443')), "https from ::1 to ::1:443 by HTTP/1.1, "
    . "TLSv1.3, $guest", 'IPv6 clients reach the same listeners');
is(who(https(to => '[::1]:443', alpn => [])), "https from ::1 to ::1:443 by "
    . "HTTP/1.1, TLSv1.3, $guest", 'also without a protocol');

for ([tcp => 1], [tls => $guest, ca => $ca],
    [tls => $guest, ca => $ca, alpn => 'stun.turn']) {
    my %how = @$_;
    my ($mapped, $allocated) = Edge::Coturn->at('127.0.0.1:443')->client(
        {user => 'guest', password => 'word', from => '127.0.0.9', %how},
        'binding', 'allocate');
    my $kind = !$how{tls} ? 'TCP' : $how{alpn} ? "TLS as $how{alpn}" : 'TLS';
    like($mapped, qr/^binding ok mapped=127\.0\.0\.9:\d+$/,
        "coturn sees a TURN client's own address, over $kind");
    like($allocated, qr/^allocate ok/, "and gives it a relay, over $kind");
}

for my $alpn (['http/1.1'], []) {
    my $which = @$alpn ? "with $alpn->[0]" : 'without a protocol';
    my $c = https(alpn => $alpn);
    my $r = $c->get('/moved', Host => $guest);
    like($r->header('Location'), qr{^https://$guest(?::443)?/elsewhere$},
        "a redirect stays on the shared port, $which");

    my $body = "@{$alpn}" . join ' ', 1 .. 300_000;
    $r = $c->request('POST', '/api/upload', [Host => $guest], $body);
    is($r && $r->status, 200, "2 MB arrive, $which");
    ok(index(slurp("$dir/app.records"), $body) > 0,
        'all of them as they were');
    is(who($c), "https from 127.0.0.1 to 127.0.0.1:443 by HTTP/1.1, TLSv1.3, "
        . $guest, 'and the connection goes on');

    my $ws = https(alpn => $alpn);
    $r = $ws->upgrade('/ws', Host => $guest, script({websocket => 1}));
    is($r && $r->status, 101, "a WebSocket opens, $which");
    $ws->send_frame(text => 'hello');
    is_deeply([$ws->frame], [text => 'hello'], 'and carries frames');
}

my $plain = client()->get('/', Host => $guest);
is($plain->status, 400, 'HTTP without TLS gets an answer');
like($plain->body, qr/plain HTTP request was sent to HTTPS port/,
    'which says that it should be TLS');

# ---- listeners of every kind ----

is(who(https(to => '127.0.0.1:444')), 'https from 127.0.0.1 to '
    . "127.0.0.1:444 by HTTP/1.1, TLSv1.3, $guest",
    'a listener can be a unix socket');
is(who(https(to => "$dir/share.sock")), "https from unix: to unix:$dir/"
    . "share.sock: by HTTP/1.1, TLSv1.3, $guest",
    'and so can the shared port');
is(who(https(to => '127.0.0.1:445')), 'of one address',
    'of several servers on one port, the one of the address named');
is(who(https(to => '127.0.0.1:446')), 'of any address',
    'or the one for all other addresses');

{
    my $c = client(to => '127.0.0.1:447');
    $c->send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n" . binding());
    my $answer = $c->raw(32) // '';
    my ($port, $ip) = unpack 'x26nN', $answer;
    is(join(':', join('.', unpack 'C4', pack 'N', $ip ^ 0x2112A442),
        $port ^ 0x2112), '192.0.2.7:4711',
        'behind a load balancer with the PROXY protocol the address is the '
        . "client's");
}

# ---- those who do not say what they are ----

sub closed_as {
    my ($c, $re, $what) = @_;
    ok($c->closed(20), $what);
    ok($edge->wait_error($re), 'the log says why');
    $edge->clear_logs;
}

my $late = qr/did not say what it is in time/;
$edge->clear_logs;
my @hurry = (to => '127.0.0.1:450');
my @in_tls = (to => '127.0.0.1:451', alpn => []);
closed_as(client(@hurry), $late, 'a client that says nothing is not kept');
closed_as(https(@in_tls), $late, 'nor one that says nothing in TLS');
{
    my $c = client(@hurry);
    $c->send("\x16\x03\x01\x02\x00\x01");
    closed_as($c, $late, 'nor one that begins to say something');
    $c = https(@in_tls);
    $c->send(substr binding(), 0, 5);
    closed_as($c, $late, 'nor in TLS');
    $c = client();
    $c->send("\x40\x00\x00\x04data");
    closed_as($c, qr/speaks none of what is shared/,
        'a client that speaks something else is not kept');
    $c = https(alpn => []);
    $c->send("\x16\x03\x01\x02\x00\x01");
    closed_as($c, qr/speaks none of what is shared/, 'TLS in TLS neither');
    $c = client();
    $c->send("\x16\x03\x01\x02\x00\x01");
    shutdown $c->socket, 1;
    closed_as($c, qr/closed the connection before it said/,
        'a client that gives up half way is let go');
    closed_as(https(to => '127.0.0.1:451'),
        qr/client timed out .* while waiting for request/,
        "behind the shared port the http listener's own timeouts hold");
    $c = client(to => '127.0.0.1:444');
    $c->send(binding());
    closed_as($c, qr/\[info\].*"cms_share" has no target for "stun"/,
        'what has no target is closed');
}

{
    my $c = https(alpn => []);
    for my $byte (split //, binding()) {
        $c->send($byte);
    }
    is(unpack('n', $c->raw(32) // ''), 0x0101,
        'a request that comes in many TLS records is one request');
}

# ---- what the outer server allows ----

{
    my @two = map { https(to => '127.0.0.1:448') } 1 .. 2;
    like(who($_), qr/^https/, 'limit_conn lets a client in') for @two;
    ok(!https(to => '127.0.0.1:448'), 'but not once too often');
    (pop @two)->close;
    ok(wait_until(sub { https(to => '127.0.0.1:448') }),
        'and again when one of its connections has ended');
    ok(!https(to => '127.0.0.1:449', from => '127.0.0.13'),
        'deny holds for the shared port');
}

# ---- its log ----

sub logged {
    my ($line) = @_;
    return wait_until(sub {
        (slurp("$dir/stream.log") // '') =~ /^\Q$line\E$/m;
    });
}

who(https(from => '127.0.0.21'));
ok(logged("127.0.0.21 to 443: tls, $guest, http/1.1, 200"),
    'the log of the shared port says what came, for which name');
who(https(from => '127.0.0.22', alpn => []));
ok(logged("127.0.0.22 to 443: tls, $guest, -, 200"), 'also without protocol');
ok(logged("127.0.0.22 to 443: http, $guest, -, 200"),
    'and what was found in it');
{
    Edge::Coturn->at('127.0.0.1:443')->client({tcp => 1, from => '127.0.0.23'},
        'binding');
    ok(logged('127.0.0.23 to 443: stun, -, -, 200'), 'and of TURN');
    my $c = client(from => '127.0.0.24');
    $c->send('SSH'); # an upper-case letter: meant as HTTP
    $c = client(from => '127.0.0.25');
    $c->send('ssh');
    ok(logged('127.0.0.25 to 443: -, -, -, 400'), 'and what was none of it');
}

# ---- a reload ----

my $before = https();
like(who($before), qr/^https/, 'a browser is connected');
my $not_yet = client(to => '127.0.0.1:449');
ok($edge->reload, 'nginx reloads');
is(who(https()), "https from 127.0.0.1 to 127.0.0.1:443 by HTTP/1.1, TLSv1.3, "
    . $guest, 'the shared port is served');
$not_yet->send("GET /who HTTP/1.1\r\nHost: $guest\r\n\r\n");
is($not_yet->response->status, 400,
    'who connected before it, and speaks after it, is served as well');
$_->close for $before, $not_yet, $h2;

is($edge->stop, 0, 'nginx ends as it should');
unlike($edge->error_log, qr/\[(?:alert|emerg|crit)\]/,
    'without anything alarming in its log');

# ---- more clients than worker_connections ----

{
    my $small = Edge::Nginx->start(name => 'small', workers => 1,
        connections => 40, http => <<"CONF", stream => <<"CONF");
$tls
server { listen 127.0.0.1:4443 ssl; return 200 "welcome"; }
CONF
server { listen 127.0.0.1:443; cms_share https=127.0.0.1:4443 timeout=20s; }
CONF
    my @silent = map { client() } 1 .. 100;
    is(who(https()), 'welcome', 'silent clients keep nobody out');
    my @slow = map { client() } 1 .. 100;
    $_->send("\x16\x03\x01\x02\x00\x01") for @slow;
    is(who(https()), 'welcome', 'nor do those that never finish');
    like($small->error_log, qr/before its connection was needed/,
        'the log says who had to go');
    $_->close for @silent, @slow;
    $small->stop;
}

done_testing;
