use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Nginx;
use Test::More;

# What can be written about a shared port in nginx.conf, and what nginx says
# of what cannot be, or would not do what it says: always the file and the
# line.

my ($cert, $key) = Edge::Certs::cert('outside', 'cmsweb.octavio.test');
my $tls = "ssl_certificate $cert;\nssl_certificate_key $key;";
my $http = <<"CONF";
$tls
server { listen 127.0.0.1:4443 ssl; listen 127.0.0.1:4480; }
server { listen 127.0.0.1:4444 ssl proxy_protocol; }
server { listen 4445 ssl; listen [::1]:4446 ssl; }
server { listen unix:$Edge::Netns::dir/https.sock ssl; }
server { listen 127.0.0.2:4447; }
server { listen 127.0.0.1:4447 ssl; }
CONF
my $stream = <<"CONF";
$tls
server { listen 127.0.0.1:5349 ssl; proxy_pass 127.0.0.1:3479; }
server { listen 127.0.0.1:5350; proxy_pass 127.0.0.1:3479; }
CONF

# share(parameters, other lines of the server, stream, http): (exit status,
# output) of nginx -t.
sub share {
    my ($parameters, $beside, $more, %o) = @_;
    $beside //= 'listen 127.0.0.1:443;';
    $more //= '';
    return Edge::Nginx->test_conf(http => $http, %o,
        stream => "$stream\n$more\nserver {\n$beside\n"
            . "cms_share $parameters;\n}\n");
}

# ---- accepted ----

for (
    ['every target', 'https=127.0.0.1:4443 turns=127.0.0.1:5349 '
        . 'http=127.0.0.1:4480 turn=127.0.0.1:3479 proxy_protocol=on '
        . 'timeout=5s'],
    ['one target', 'https=127.0.0.1:4443'],
    ['TURN alone', 'turn=127.0.0.1:3479 proxy_protocol=off timeout=500ms'],
    ['an upstream', 'turn=coturns', undef,
        'upstream coturns { server 127.0.0.1:3479; server 127.0.0.2:3479; }'],
    ['a variable', 'turn=$remote_addr:3479'],
    ['stock directives of the proxy',
        'turn=127.0.0.1:3479', "listen 443;\nproxy_timeout 1h;\n"
            . "proxy_connect_timeout 1s;\nproxy_protocol on;"],
    ['a listener of all addresses', 'https=127.0.0.1:4445'],
    ['a listener of IPv6', 'https=[::1]:4446'],
    ['a listener by name', 'https=localhost:4443'],
    ['a unix socket', "https=unix:$Edge::Netns::dir/https.sock"],
    ['the one of several listeners on a port', 'https=127.0.0.1:4447'],
    ['an inner server', 'http=127.0.0.1:4480', 'listen 127.0.0.1:5351 ssl;'],
    ['one server that is outer and inner', 'https=127.0.0.1:4443 '
        . 'turns=127.0.0.1:5351 http=127.0.0.1:4480',
        "listen 443;\nlisten 127.0.0.1:5351 ssl;"],
) {
    my ($what, @conf) = @$_;
    my ($status, $said) = share(@conf);
    is($status, 0, "$what is accepted") or diag $said;
    unlike($said, qr/\[warn\]/, 'without a warning');
}

{
    my $first = Edge::Nginx->conf(name => 'conf', http => $http,
        stream => "$stream\nserver {"
        . 'listen 443; cms_share https=127.0.0.1:4443; }');
    $first =~ s/^(http \{.*^\}\n)(stream \{.*)/$2$1/ms;
    my ($status, $said) = Edge::Nginx->test_conf(conf => $first);
    is($status, 0, 'stream { } can stand before http { }') or diag $said;
}

# ---- refused ----

my $file = qr/in \S+nginx\.conf/;

for (
    ['no parameter', '', qr/invalid number of arguments in "cms_share"/],
    ['no target', 'timeout=1s', qr/"cms_share" directive needs a target: /],
    ['an unknown parameter', 'https=127.0.0.1:4443 sip=127.0.0.1:5060',
        qr/invalid parameter "sip=127\.0\.0\.1:5060"/],
    ['an empty one', 'https=', qr/invalid parameter "https="/],
    ['a listener that is none', 'https=127.0.0.1:9',
        qr/"https=127\.0\.0\.1:9" is no listener of this nginx/],
    ['a listener of another address', 'https=127.0.0.2:4443',
        qr/"https=127\.0\.0\.2:4443" is no listener of this nginx/],
    ['every address of a port', 'https=0.0.0.0:4445',
        qr/"https=0\.0\.0\.0:4445" names no address of a listener, but all/],
    ['a unix socket that is none', 'http=unix:/none',
        qr/"http=unix:\/none" is no listener of this nginx/],
    ['https= without ssl', 'https=127.0.0.1:4480',
        qr/"https=127\.0\.0\.1:4480" is no http listener with ssl/],
    ['https= without ssl beside one with it', 'https=127.0.0.2:4447',
        qr/"https=127\.0\.0\.2:4447" is no http listener with ssl/],
    ['https= of stream', 'https=127.0.0.1:5349',
        qr/"https=127\.0\.0\.1:5349" is no http listener with ssl/],
    ['http= with ssl', 'http=127.0.0.1:4443',
        qr/"http=127\.0\.0\.1:4443" is no http listener without ssl/],
    ['turns= without ssl', 'turns=127.0.0.1:5350',
        qr/"turns=127\.0\.0\.1:5350" is no stream listener with ssl/],
    ['turns= of http', 'turns=127.0.0.1:4443',
        qr/"turns=127\.0\.0\.1:4443" is no stream listener with ssl/],
    ['a listener that wants the PROXY protocol', 'https=127.0.0.1:4444',
        qr/"https=127\.0\.0\.1:4444" is a listener with proxy_protocol/],
    ['no port', 'https=127.0.0.1', qr/no port in "https=127\.0\.0\.1"/],
    ['a port that is none', 'https=127.0.0.1:99999',
        qr/invalid port in "https=127\.0\.0\.1:99999"/],
    ['a name that does not exist', 'https=none.octavio.test:443',
        qr/host not found in "https=none\.octavio\.test:443"/],
    ['an upstream that does not exist', 'turn=coturns',
        qr/host not found in upstream "coturns"|no port in upstream "coturns"/],
    ['a time that is none', 'turn=127.0.0.1:3479 timeout=soon',
        qr/invalid parameter "timeout=soon"/],
    ['no time', 'turn=127.0.0.1:3479 timeout=0',
        qr/invalid parameter "timeout=0"/],
    ['proxy_protocol=yes', 'turn=127.0.0.1:3479 proxy_protocol=yes',
        qr/invalid parameter "proxy_protocol=yes"/],
    (map { [ "$_ twice", "https=127.0.0.1:4443 $_ $_",
        qr/duplicate parameter "\Q$_\E"/ ] } 'turns=127.0.0.1:5349',
        'http=127.0.0.1:4480', 'turn=127.0.0.1:3479', 'proxy_protocol=on',
        'timeout=1s'),
    ['cms_share twice', 'turn=127.0.0.1:3479',
        qr/"cms_share" directive is duplicate/, "listen 443;\n"
            . "cms_share https=127.0.0.1:4443;"],
    ['proxy_pass above', 'https=127.0.0.1:4443',
        qr/"cms_share" directive stands beside another directive/,
        "listen 443;\nproxy_pass 127.0.0.1:3479;"],
    ['proxy_pass below', "https=127.0.0.1:4443;\nproxy_pass 127.0.0.1:1",
        qr/another directive takes the connections of the server/],
    ['proxy_pass below turn=', "turn=127.0.0.1:3479;\nproxy_pass 127.0.0.1:1",
        qr/"proxy_pass" directive is duplicate/],
    ['proxy_protocol twice', 'turn=127.0.0.1:3479 proxy_protocol=on',
        qr/"proxy_protocol" is duplicate, beside "cms_share"/,
        "listen 443;\nproxy_protocol on;"],
    ['udp', 'turn=127.0.0.1:3479',
        qr/"cms_share" in a server that listens on udp 127\.0\.0\.1:443/,
        'listen 127.0.0.1:443 udp;'],
    ['https= where TLS is opened', 'https=127.0.0.1:4443',
        qr/"https=" or "turns=" in a server that listens with ssl only/,
        'listen 127.0.0.1:5351 ssl;'],
    ['turn= of itself', 'turn=127.0.0.1:3478',
        qr/"turn=127\.0\.0\.1:3478" is itself a port with "cms_share"/,
        'listen 3478;'],
    ['ssl_preread', 'https=127.0.0.1:4443',
        qr/"ssl_preread" takes what "cms_share" hands on/,
        "listen 443;\nssl_preread on;"],
) {
    my ($what, $parameters, $re, $beside) = @$_;
    my ($status, $said) = share($parameters, $beside);
    isnt($status, 0, "$what is refused");
    like($said, qr/\[emerg\] .*$re.* $file:\d+$/m, 'and it says why and where')
        or diag $said;
}

for my $method (qw(poll select)) {
    my ($status, $said) = share('https=127.0.0.1:4443', undef, undef,
        events => "use $method;");
  SKIP: {
    skip "this nginx has no $method", 2 if $said =~ /invalid event type/;
    isnt($status, 0, "use $method is refused");
    like($said, qr/\[emerg\].*"cms_share" needs "use epoll".*$file:\d+$/m,
        'and it says why and where') or diag $said;
  }
}

{
    my ($status, $said) = share('https=127.0.0.1:4443');
    ($status, $said) = share('http=127.0.0.1:9');
    my $where = Edge::Nginx->conf_line('http=127.0.0.1:9');
    like($said, qr/ in \Q$where\E$/m, 'the line is the one of cms_share');

    ($status, $said) = Edge::Nginx->test_conf(http => "server { listen 80;\n"
        . "cms_share https=127.0.0.1:4443;\n}", stream => '');
    like($said, qr/"cms_share" directive is not allowed here $file:\d+$/m,
        'it is a directive of stream servers');
}

# ---- certificates of clients ----

my $ask = "listen 127.0.0.1:5351 ssl;\nssl_client_certificate $cert;\n"
    . 'ssl_verify_client';

sub verify {
    my ($in_http, $beside) = @_;
    return share('http=127.0.0.1:4490', $beside // 'listen 5351 ssl;', '',
        http => "$http\nserver { listen 127.0.0.1:4490; server_name a; }\n"
        . "server { listen 127.0.0.1:4490; server_name b;\n"
        . "ssl_client_certificate $cert; ssl_verify_client $in_http; }");
}

{
    my $unasked = qr/"ssl_verify_client on" of the server $file:\d+ would/;
    my ($status, $said) = verify('on');
    isnt($status, 0, 'a server behind http= that wants client certificates '
        . 'needs the stream server to ask for them');
    like($said, qr/$unasked not hold .*"http=127\.0\.0\.1:4490" $file:\d+/,
        'and the error names both');
    ($status, $said) = verify('on', "$ask optional;");
    isnt($status, 0, 'optional is not enough');
    ($status, $said) = verify('on', "$ask on;");
    is($status, 0, 'on is') or diag $said;
    ($status, $said) = verify('optional');
    is($status, 0, 'one that leaves it to its locations is accepted');
    like($said, qr/\[warn\].*"ssl_verify_client" of the server/,
        'with a warning');
    ($status, $said) = verify('optional', "$ask optional;");
    unlike($said, qr/\[warn\]/, 'unless the stream server asks');
    ($status, $said) = verify('off; ssl_reject_handshake on');
    like($said, qr/\[warn\].*"ssl_reject_handshake" of the server/,
        'one that rejects handshakes is told that there are none');
    my $other = Edge::Certs::ca('outside');
    for my $asks ('on', 'optional') {
        ($status, $said) = verify($asks,
            ($ask =~ s/(_certificate) \S+;/$1 $other;/r) . " $asks;");
        isnt($status, 0, "$asks: whose certificates it trusts is the same");
        like($said, qr/the server $file:\d+ trusts other .* $file:\d+/,
            'and the error says so');
    }
}

done_testing;
