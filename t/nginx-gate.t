use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Http2Client;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;

# Who and what gets in: the names guests may use, the methods, the one
# protocol a connection may switch to, and what a guest may claim about itself.

my ($cert, $key) = Edge::Certs::cert('outside', 'cmsweb.octavio.test',
    'meet.octavio.test', 'conf.octavio.test');
my $inside_ca = Edge::Certs::ca('inside');
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9443',
    cert => [Edge::Certs::cert('inside', 'cmsweb.octavio.test',
        'meet.octavio.test', 'conf.octavio.test')]);

# Some machines have no IPv6; the rest does not depend on it.
my $ipv6 = IO::Socket::IP->new(LocalAddr => '[::1]:8081', Listen => 1);
$ipv6 &&= $ipv6->close;

my $edge = Edge::Nginx->start(
    log_format => '$status|$cms_refusal|$cms_request',
    http => <<"CONF");
cms_webbridge bridge_one {
    guest_uri cmsweb.octavio.test meet.octavio.test conf.octavio.test:8443;
    internal_uri cmsweb.cms.octavio.test;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
}
cms_webbridge bridge_methods {
    guest_uri cmsweb.octavio.test;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
    methods GET OPTIONS PATCH;
}
cms_webbridge bridge_dead {
    guest_uri cmsweb.octavio.test;
    internal_uri cmsweb.cms.octavio.test;
    target 127.0.0.2:9444;
}
cms_webbridge bridge_slow {
    guest_uri cmsweb.octavio.test;
    internal_uri cmsweb.cms.octavio.test;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
    proxy_read_timeout 500ms;
}
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:443 ssl http2;
    listen 127.0.0.1:8443 ssl;
    listen 127.0.0.1:80;
    listen 8080;
    @{[$ipv6 ? 'listen [::]:8081 ipv6only=on;' : '']}
    listen unix:$Edge::Netns::dir/edge.sock;
    location / { cms_proxy bridge_one; }
    location /methods/ { cms_proxy bridge_methods; }
    location /dead/ { cms_proxy bridge_dead; }
    location /slow/ { cms_proxy bridge_slow; }
}
CONF

# What a guest must never learn: names and addresses inside, our names for them.
my $inside = qr/127\.0\.0\.2|944[34]|cms\.octavio\.test|bridge_|upstream/i;
my $guest = 'cmsweb.octavio.test';

sub client {
    my ($port) = @_;
    $port //= 443;
    return Edge::HttpClient->new(to => "127.0.0.1:$port",
        ($port == 80 ? () : (tls => $guest)))
        // die $Edge::HttpClient::error;
}

# One request, as given, on a connection of its own.
sub exchange {
    my ($text, $port) = @_;
    $app->clear;
    my $c = client($port);
    $c->send($text);
    return scalar $c->response;
}

sub is_refused {
    my ($r, $status, $title) = @_;
    subtest $title => sub {
        ok($r, 'there is an answer') or return;
        like($r->status, qr/^(?:$status)$/, "status $status");
        unlike($r->text, $inside, 'the answer names nothing inside');
        cmp_ok(length $r->body, '<', 2048, 'the page is short');
        is(scalar $app->requests, 0, 'nothing reaches the web bridge');
    };
}

sub is_let_in {
    my ($r, $title) = @_;
    subtest $title => sub {
        ok($r, 'there is an answer') or return;
        is($r->status, 200, 'status 200');
        is(scalar $app->requests, 1, 'the web bridge sees it');
        like(join('', $app->sent('Host')),
            qr/^(?:cmsweb|meet|conf)\.octavio\.test(?::\d+)?$/,
            'under a configured name');
    };
}

# ---- names ----

my @let_in = (
    ['the guest URI', 'cmsweb.octavio.test'],
    ['another guest URI', 'meet.octavio.test'],
    ['a trailing dot', 'cmsweb.octavio.test.'],
    ['upper case', 'CMSWEB.Octavio.TEST'],
    ['the port of the listener', 'cmsweb.octavio.test:443'],
    ['upper case, dot and port', 'CMSWEB.OCTAVIO.TEST.:443'],
);
my @refused = (
    ['an unknown name', 'other.octavio.test'],
    ['the internal name', 'cmsweb.cms.octavio.test'],
    ['an IPv4 address', '127.0.0.1'],
    ['an IPv4 address as a number', '2130706433'],
    ['an IPv6 address', '[::1]'],
    ['an IPv6 address with the port', '[::1]:443'],
    ['the name of the web bridge in our configuration', 'bridge_one'],
    ['a target', '127.0.0.2:9443'],
    ['an empty Host', ''],
    ['a port that is not the listener\'s', 'cmsweb.octavio.test:444'],
    ['the port of another listener', 'cmsweb.octavio.test:8443'],
    ['a port of a web bridge', 'cmsweb.octavio.test:9443'],
    ['a port beyond all', 'cmsweb.octavio.test:99999'],
    ['a port that is no number', 'cmsweb.octavio.test:https'],
    ['two ports', 'cmsweb.octavio.test:443:443'],
    ['a guest URI without the port it is configured with', 'conf.octavio.test'],
    ['a guest URI with another port', 'conf.octavio.test:443'],
    ['a port alone', ':443'],
    ['two trailing dots', 'cmsweb.octavio.test..'],
    ['a leading dot', '.cmsweb.octavio.test'],
    ['a name that ends alike', 'xcmsweb.octavio.test'],
    ['a name that begins alike', 'cmsweb.octavio.test.example'],
    ['a parent domain', 'octavio.test'],
    ['a child of the guest URI', 'a.cmsweb.octavio.test'],
    ['user information', 'guest@cmsweb.octavio.test'],
    ['user information that looks like the name',
        'cmsweb.octavio.test@other.octavio.test'],
    ['a path', 'cmsweb.octavio.test/'],
    ['a list', 'cmsweb.octavio.test, cmsweb.octavio.test'],
    ['a space inside', 'cmsweb.octavio.test x'],
    ['an encoded name', 'cmsweb%2Eoctavio%2Etest'],
    ['markup', '<script>alert(1)</script>'],
    ['bytes that are no text', "\xff\xfe\x01"],
    ['a NUL after the name', "cmsweb.octavio.test\0"],
    ['a very long name', 'a' x 3000 . '.octavio.test'],
);

for my $case (@let_in) {
    my ($title, $host) = @$case;
    is_let_in(exchange("GET / HTTP/1.1\r\nHost: $host\r\n\r\n"),
        "HTTP/1.1: $title gets in");
    is_let_in(exchange("GET / HTTP/1.0\r\nHost: $host\r\n\r\n"),
        "HTTP/1.0: $title gets in");
}
for my $case (@refused) {
    my ($title, $host) = @$case;
    is_refused(exchange("GET / HTTP/1.1\r\nHost: $host\r\n\r\n"), 400,
        "HTTP/1.1: $title is refused");
    is_refused(exchange("GET / HTTP/1.0\r\nHost: $host\r\n\r\n"), 400,
        "HTTP/1.0: $title is refused");
}

is_refused(exchange("GET / HTTP/1.1\r\n\r\n"), 400, 'HTTP/1.1: no Host');
is_refused(exchange("GET / HTTP/1.0\r\n\r\n"), 400, 'HTTP/1.0: no Host');
for my $pair ([$guest, $guest], [$guest, 'meet.octavio.test'],
    [$guest, 'other.octavio.test'], ['other.octavio.test', $guest],
    [$guest, ''], ['', $guest]) {
    is_refused(exchange("GET / HTTP/1.1\r\nHost: $$pair[0]\r\n"
        . "Host: $$pair[1]\r\n\r\n"), 400,
        "HTTP/1.1: two Hosts are refused ('$$pair[0]', '$$pair[1]')");
}

is_let_in(exchange("GET / HTTP/1.1\r\nHost: $guest:8443\r\n\r\n", 8443),
    'on another listener its own port matches');
is_let_in(exchange("GET / HTTP/1.1\r\nHost: $guest\r\n\r\n", 8443),
    'on another listener no port matches');
is_refused(exchange("GET / HTTP/1.1\r\nHost: $guest:443\r\n\r\n", 8443), 400,
    'on another listener port 443 is refused');
is_let_in(exchange("GET / HTTP/1.1\r\nHost: conf.octavio.test:8443\r\n\r\n",
    8443), 'a guest URI with a port gets in with exactly this port');
is_let_in(exchange("GET / HTTP/1.1\r\nHost: $guest:80\r\n\r\n", 80),
    'without TLS the listener\'s own port matches as well');

# [where to connect, Host, gets in, title]
for my $case (
    ['127.0.0.3:8080', "$guest:8080", 1, 'listening everywhere, its port'],
    ['127.0.0.3:8080', $guest, 1, 'listening everywhere, no port'],
    ['127.0.0.3:8080', "$guest:80", 0, 'listening everywhere, port 80'],
    ['[::1]:8081', "$guest:8081", 1, 'over IPv6, its port'],
    ['[::1]:8081', "$guest:8080", 0, 'over IPv6, another port'],
    ["$Edge::Netns::dir/edge.sock", $guest, 1, 'on a unix socket, no port'],
    ["$Edge::Netns::dir/edge.sock", "$guest:80", 0, 'on a unix socket, a port'],
) {
    my ($at, $host, $good, $title) = @$case;
    next if $at =~ /::1/ && !$ipv6;
    $app->clear;
    my $r = Edge::HttpClient->new(to => $at)->get('/', Host => $host);
    $good ? is_let_in($r, "$title: gets in")
        : is_refused($r, 400, "$title: is refused");
}

{
    my $c = client();
    $app->clear;
    is($c->get('/1', Host => $guest)->status, 200,
        'a first request on a connection gets in');
    is($c->get('/2', Host => 'other.octavio.test')->status, 400,
        'a second one for another host does not');
    is(scalar $app->requests, 1, 'and does not reach the web bridge');

    $c = client();
    $c->send("GET /1 HTTP/1.1\r\nHost: $guest\r\n\r\n"
        . "GET /2 HTTP/1.1\r\nHost: other.octavio.test\r\n\r\n");
    is_deeply([map { $c->response->status } 1, 2], [200, 400],
        'nor where both were sent at once');
}

# ---- absolute URI and :authority ----

my @absolute = (
    ["https://$guest/", $guest, 1, 'an absolute URI that agrees with Host'],
    ["https://$guest/", 'meet.octavio.test', 0,
        'an absolute URI and a Host that are both ours but disagree'],
    ["https://$guest/", 'other.octavio.test', 0,
        'an absolute URI of ours with an unknown Host'],
    ['https://other.octavio.test/', $guest, 0,
        'an unknown absolute URI with our Host'],
    ['http://127.0.0.2:9443/', $guest, 0, 'the absolute URI of a target'],
    ["https://x\@$guest/", $guest, 0, 'an absolute URI with user information'],
);
for my $case (@absolute) {
    my ($uri, $host, $good, $title) = @$case;
    my $r = exchange("GET $uri HTTP/1.1\r\nHost: $host\r\n\r\n");
    $good ? is_let_in($r, "$title gets in")
        : is_refused($r, 400, "$title is refused");
}
is_refused(exchange("GET https://$guest/ HTTP/1.1\r\n\r\n"), 400,
    'an absolute URI does not stand in for a missing Host');

sub h2 {
    my (@fields) = @_;
    $app->clear;
    my $c = Edge::Http2Client->new(to => '127.0.0.1:443', tls => $guest)
        // die $Edge::HttpClient::error;
    return scalar $c->request([':method' => 'GET', ':scheme' => 'https',
        ':path' => '/', @fields]);
}

for my $case (@let_in) {
    is_let_in(h2(':authority' => $$case[1]), "HTTP/2: $$case[0] gets in");
}
for my $case (@refused) {
    my $r = h2(':authority' => $$case[1]);
    if (!$r) {
        # A malformed field resets the stream, as RFC 9113 has it.
        is(scalar $app->requests, 0, "HTTP/2: $$case[0] is refused");
        next;
    }
    is_refused($r, 400, "HTTP/2: $$case[0] is refused");
}
is_let_in(h2(host => $guest), 'HTTP/2: Host instead of :authority gets in');
is_refused(h2(), 400, 'HTTP/2: neither :authority nor Host is refused');
is_refused(h2(':authority' => $guest, host => 'other.octavio.test'), 400,
    'HTTP/2: :authority of ours with an unknown Host is refused');
is_refused(h2(':authority' => 'other.octavio.test', host => $guest), 400,
    'HTTP/2: an unknown :authority with our Host is refused');
is_refused(h2(':authority' => $guest, host => 'meet.octavio.test'), 400,
    'HTTP/2: two names of ours that disagree are refused');
is_refused(h2(host => $guest, host => $guest), 400,
    'HTTP/2: two Hosts are refused');

# ---- what the administrator sees ----

$edge->clear_logs;
is_refused(exchange("GET /?secret=s3cret HTTP/1.1\r\n"
    . "Host: other.octavio.test\r\n\r\n"), 400, 'a refusal to be logged');
ok($edge->wait_access(qr/^400\|[^|]+\|GET /),
    '$cms_refusal says in the access log why');
my @lines = grep { /client: 127\.0\.0\.1/ } split /\n/, $edge->error_log;
is(@lines, 1, 'one line in the error log');
like($lines[0] // '', qr/other\.octavio\.test/, 'which names the Host');
exchange("GET / HTTP/1.1\r\nHost: $guest\r\n\r\n");
ok($edge->wait_access(qr/^200\|-?\|GET /m),
    '$cms_refusal is empty for what gets in');

# ---- methods ----

for my $m (qw(GET HEAD)) {
    $app->clear;
    is(client()->request($m, '/', [Host => $guest])->status, 200, "$m gets in");
    is(scalar $app->requests, 1, "$m reaches the web bridge");
}
for my $m (qw(POST PUT DELETE)) {
    $app->clear;
    is(client()->request($m, '/', [Host => $guest], 'x')->status, 200,
        "$m gets in");
    is($app->last_request->{body}, 'x', "$m reaches the web bridge");
}
for my $m (qw(OPTIONS TRACE PATCH PROPFIND MKCOL COPY LOCK FOO)) {
    is_refused(exchange("$m / HTTP/1.1\r\nHost: $guest\r\n\r\n"), 405,
        "$m is refused");
}
# nginx itself refuses these, older ones as a request line that is none.
for my $target ("$guest:443", '/') {
    is_refused(exchange("CONNECT $target HTTP/1.1\r\nHost: $guest\r\n\r\n"),
        '400|405', "CONNECT $target is refused");
}
for my $m (qw(OPTIONS PATCH)) {
    is_let_in(exchange("$m /methods/ HTTP/1.1\r\nHost: $guest\r\n\r\n"),
        "`methods` lets $m in");
}
is_refused(exchange("POST /methods/ HTTP/1.1\r\nHost: $guest\r\n"
    . "Content-Length: 0\r\n\r\n"), 405, '`methods` replaces the default list');
for my $case (['/', 'DELETE GET HEAD POST PUT'],
    ['/methods/', 'GET OPTIONS PATCH']) {
    my ($path, $methods) = @$case;
    my $r = client()->request('LOCK', $path, [Host => $guest]);
    is(join(' ', sort split /, */, $r->header('Allow') // ''), $methods,
        "a refusal says which methods $path allows");
}
is_refused(exchange("OPTIONS / HTTP/1.1\r\nHost: other.octavio.test\r\n\r\n"),
    400, 'an unknown host is refused before its method is looked at');

# ---- switching protocols ----

my $switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
my @tunnel = ({ write => "${switch}Upgrade: h2c\r\n\r\n" }, { tunnel => 1 });

# The request gets in as a page, or is refused; no Upgrade gets in.
sub upgrade_stays_out {
    my ($text, $title) = @_;
    subtest $title => sub {
        my $r = exchange($text);
        ok($r, 'there is an answer') or return;
        like($r->status, qr/^(?:200|400)$/, 'no switch of protocols');
        is_deeply([map { $app->sent($_) } qw(Upgrade HTTP2-Settings)], [],
            'no Upgrade reaches the web bridge');
        unlike(join(',', $app->sent('Connection')), qr/upgrade/i,
            'nor does Connection speak of one');
        unlike($r->text, $inside, 'the answer names nothing inside');
    };
}

my $h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    . "HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
my $ws = "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n$h2c\r\n",
    'Upgrade: h2c stays outside');
for my $other ('websocket, h2c', 'h2c, websocket', 'websocket/13',
    'websocketx', 'TLS/1.0', 'connect-udp', '') {
    upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n${ws}"
        . "Upgrade: $other\r\n\r\n", "Upgrade: '$other' stays outside");
}
upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n${ws}Upgrade: websocket"
    . "\r\nUpgrade: h2c\r\n\r\n", 'two Upgrade fields stay outside');
upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n${ws}Upgrade: h2c"
    . "\r\nUpgrade: websocket\r\n\r\n",
    'two Upgrade fields stay outside, in the other order too');
upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n${ws}"
    . "Upgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
    'two Upgrade fields stay outside even where both say websocket');
upgrade_stays_out("GET / HTTP/1.1\r\nHost: $guest\r\n"
    . "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    'Upgrade without Connection: Upgrade stays outside');
for my $m (qw(POST PUT DELETE)) {
    upgrade_stays_out("$m / HTTP/1.1\r\nHost: $guest\r\n${ws}"
        . "Upgrade: websocket\r\nContent-Length: 0\r\n\r\n",
        "Upgrade: websocket on $m stays outside");
}
upgrade_stays_out("GET / HTTP/1.0\r\nHost: $guest\r\n${ws}"
    . "Upgrade: websocket\r\n\r\n", 'Upgrade in HTTP/1.0 stays outside');

for my $spelling (qw(websocket WebSocket)) {
    my $c = client();
    is($c->get('/', Host => $guest, Upgrade => $spelling,
        Connection => 'Upgrade', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==',
        script({ websocket => 1 }))->status, 101,
        "GET with Upgrade: $spelling is switched");
    $c->send_frame('text', 'hello');
    is_deeply([$c->frame], ['text', 'hello'], 'and frames go both ways');
}

# An answer 101 that does not fit: 502, and the connection is no tunnel.
sub no_tunnel {
    my ($fields, $steps, $title) = @_;
    subtest $title => sub {
        $app->clear;
        my $c = client();
        my $r = $c->get('/', Host => $guest, @$fields, script(@$steps));
        ok($r, 'there is an answer') or return;
        is($r->status, 502, 'status 502');
        unlike($r->text, $inside, 'the answer names nothing inside');
        $c->send("tunnelled bytes\r\n\r\n");
        ok(!$app->wait_event('tunnel', 0.2), 'no byte gets through');
    };
}

my @ws = (Upgrade => 'websocket', Connection => 'Upgrade',
    'Sec-WebSocket-Version' => 13,
    'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==');
no_tunnel([], [{ write => "${switch}Upgrade: websocket\r\n\r\n" },
    { tunnel => 1 }], 'a 101 nobody asked for is no tunnel');
no_tunnel([Upgrade => 'h2c', Connection => 'Upgrade'], \@tunnel,
    'a 101 to h2c, where h2c was asked for, is no tunnel');
no_tunnel(\@ws, \@tunnel,
    'a 101 to h2c, where websocket was asked for, is none');
no_tunnel(\@ws, [{ write => "$switch\r\n" }, { tunnel => 1 }],
    'a 101 that names no protocol is none');
no_tunnel(\@ws, [{ write => "${switch}Upgrade: websocket\r\n"
    . "Upgrade: h2c\r\n\r\n" }, { tunnel => 1 }],
    'a 101 that names a protocol twice over is none');
no_tunnel(\@ws, [{ write => "${switch}Upgrade: websocket, h2c\r\n\r\n" },
    { tunnel => 1 }], 'a 101 that names two protocols is none');

{
    my $c = client();
    my $r = $c->get('/', Host => $guest, @ws, script(answer(403, 'no')));
    is($r->status, 403, 'a web bridge may decline a WebSocket');
    is($c->get('/', Host => $guest)->status, 200,
        'and the connection goes on as before');
}

# ---- what a guest claims ----

my @forged = ('X-Forwarded-For' => '192.0.2.66', 'X-Forwarded-For' => '::1',
    'X-Forwarded-Host' => 'evil.example', 'X-Forwarded-Proto' => 'gopher',
    'X-Forwarded-Port' => '6666', 'X-Real-IP' => '192.0.2.67',
    Forwarded => 'for=192.0.2.68;host=evil.example', 'Client-IP' => '1');
my %claim = (https => 443, http => 80);
for my $scheme (sort keys %claim) {
    $app->clear;
    client($claim{$scheme})->get('/', Host => $guest, @forged);
    is_deeply([$app->sent('X-Forwarded-For')], ['127.0.0.1'],
        "$scheme: X-Forwarded-For is who really asks");
    is_deeply([$app->sent('X-Forwarded-Proto')], [$scheme],
        "$scheme: X-Forwarded-Proto is what was really used");
    is_deeply([$app->sent('X-Forwarded-Host')], [$guest],
        "$scheme: X-Forwarded-Host is the guest URI");
    like(join(',', $app->sent('X-Forwarded-Port')), qr/^(?:$claim{$scheme})?$/,
        "$scheme: X-Forwarded-Port is no forged one");
    like(join(',', $app->sent('X-Real-IP')), qr/^(?:127\.0\.0\.1)?$/,
        "$scheme: X-Real-IP is no forged one");
    is_deeply([$app->sent('Forwarded')], [], "$scheme: Forwarded is dropped");
    unlike($app->last_request->{head}, qr/192\.0\.2\.|evil|gopher|6666/,
        "$scheme: nothing forged is left");
}

# ---- answers of our own ----

{
    my $r = exchange("GET /dead/ HTTP/1.1\r\nHost: $guest\r\n\r\n");
    is($r->status, 502, 'a dead web bridge is a 502');
    unlike($r->text, $inside, 'which names nothing inside');
    $r = client()->get('/slow/', Host => $guest, script({ wait => 2 }));
    is($r->status, 504, 'a silent web bridge is a 504');
    unlike($r->text, $inside, 'which names nothing inside');
    $r = client()->get('/', Host => $guest,
        script({ write => "HTTP/1.1 200 OK\r\n" },
            { write => "X-Long: xxxxxxxx\r\n", times => 10_000 }));
    is($r->status, 502, 'a web bridge that says too much is a 502');
    unlike($r->text, $inside, 'which names nothing inside');
}

done_testing();
