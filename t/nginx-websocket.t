use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;
use Time::HiRes qw(time sleep);

# A guest's WebSocket through the edge, over TLS on both sides: quiet for as
# long as a quiet meeting is, whole, and closed when one side closes it.

my $guest = 'cmsweb.octavio.test';
my ($cert, $key) = Edge::Certs::cert('outside', $guest);
my $inside_ca = Edge::Certs::ca('inside');
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9443',
    cert => [Edge::Certs::cert('inside', $guest)]);
my $plain_app = Edge::RecordingApp->start(name => 'plain',
    listen => '127.0.0.2:9080');

my $edge = Edge::Nginx->start(http => <<"CONF");
cms_webbridge cmsweb {
    guest_uri $guest;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
}
cms_webbridge plain {
    guest_uri $guest;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge short {
    guest_uri $guest;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
    websocket_timeout 2s;
}
server {
    listen 127.0.0.1:443 ssl http2;
    listen 127.0.0.1:80;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location / { cms_proxy cmsweb; }
    location /plain/ { cms_proxy plain; }
    location /short/ { cms_proxy short; }
    location /pages/ { cms_proxy cmsweb; proxy_read_timeout 1s; }
    location /pages-short/ { cms_proxy short; proxy_read_timeout 60s; }
}
CONF

sub client {
    return Edge::HttpClient->new(to => '127.0.0.1:443', tls => $guest, @_)
        // die $Edge::HttpClient::error;
}

sub websocket {
    my ($path, @o) = @_;
    my $c = client(@o);
    my $r = $c->upgrade($path, Host => $guest, script({ websocket => 1 }));
    is($r && $r->status, 101, "a WebSocket at $path opens");
    return $c;
}

sub echoes {
    my ($c, $title, $type, $payload) = @_;
    $type //= 'text';
    $payload //= "hello $title";
    $c->send_frame($type, $payload);
    my ($t, $p) = $c->frame;
    ok(defined $t && $t eq $type && $p eq $payload, $title);
}

# The quiet ones open first and are looked at last.
my $opened = time;
my %quiet = (
    'TLS on both sides' => websocket('/quiet'),
    'a plain leg inside' => websocket('/plain/quiet'),
    'with proxy_read_timeout 1s for pages' => websocket('/pages/quiet'),
);

# ---- timeouts ----

{
    my $c = websocket('/short/');
    my $start = time;
    ok($c->closed(20), 'websocket_timeout 2s closes a quiet WebSocket');
    my $took = time - $start;
    cmp_ok($took, '>', 1.5, 'but not before');

    $c = websocket('/pages-short/');
    $start = time;
    ok($c->closed(20), 'a longer proxy_read_timeout for pages');
    cmp_ok(time - $start, '<', 20, 'does not lengthen it');

    $c = websocket('/short/talking');
    for (1 .. 8) {
        # A word now and then: the point is the time that passes.
        sleep 0.4;
        echoes($c, "a WebSocket that talks outlives its timeout ($_)");
    }

    my $r = client()->get('/pages/x', Host => $guest,
        script({ wait => 2 }, answer(200, 'late')));
    is($r->status, 504, 'proxy_read_timeout in the location: a page gives up');
    $r = client()->get('/short/x', Host => $guest,
        script({ wait => 3 }, answer(200, 'late')));
    is($r->status, 200, 'websocket_timeout is nothing to a page');
}

# ---- content ----

{
    my $c = websocket('/content');
    my ($upgrade) = $app->sent('Upgrade');
    is($upgrade, 'websocket', 'Upgrade goes inside');
    like(join(',', $app->sent('Connection')), qr/^upgrade$/i,
        'with its Connection');
    is_deeply([map { $app->sent($_) } qw(Sec-WebSocket-Version
        Sec-WebSocket-Key)], [13, 'dGhlIHNhbXBsZSBub25jZQ=='],
        'and the handshake as it came');
    echoes($c, 'text comes back');
    echoes($c, 'an empty frame comes back', 'text', '');
    echoes($c, 'binary comes back', 'binary', join '', map { chr } 0 .. 255);
    echoes($c, 'a frame of 3 MB comes back', 'binary',
        join '', map { pack 'N', $_ * 2654435761 & 0xffffffff } 1 .. 750_000);
    $c->send_frame('ping', 'are you there');
    is_deeply([$c->frame], ['pong', 'are you there'], 'a ping gets its pong');

    $c->send_frame('text', "frame $_") for 1 .. 500;
    my $right = 0;
    for (1 .. 500) {
        my ($type, $payload) = $c->frame;
        $right++ if defined $type && $payload eq "frame $_";
    }
    is($right, 500, '500 frames without waiting all come back, in order');

    $c->send_frame('text', 'close me 1001');
    is_deeply([$c->frame], ['close', pack 'n', 1001],
        'the web bridge closes: its code reaches the guest');
    ok($c->closed(15), 'and the connection ends');
}
{
    my $c = websocket('/content');
    $app->clear;
    $c->send_close(1000);
    my $closed = $app->wait_event('close');
    is($closed && $closed->{code}, 1000,
        'the guest closes: the code reaches the web bridge');
    is_deeply([$c->frame], ['close', pack 'n', 1000], 'which answers it');
    ok($c->closed(15), 'and the connection ends');

    $c = websocket('/content');
    $app->clear;
    $c->socket->stop_SSL(SSL_no_shutdown => 1);
    $c->close;
    ok($app->wait_event('end'), 'the guest vanishes: the web bridge learns it');

    $c = client();
    $c->upgrade('/content', Host => $guest, script({ websocket => 1 },
        { wait => 0.3 }, { reset => 1 }));
    ok($c->closed(15), 'the web bridge vanishes: the guest learns it');
}
{
    # What comes right behind the handshake must not get lost.
    my $c = client();
    my ($name, $value) = script({ websocket => 1 });
    my $frame = pack('CCN', 0x81, 0x85, 0) . 'early';
    $c->send("GET /early HTTP/1.1\r\nHost: $guest\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        . "$name: $value\r\n\r\n$frame");
    is($c->response->status, 101, 'a handshake with a frame right behind');
    is_deeply([$c->frame], ['text', 'early'], 'loses nothing');
}
{
    my $c = client();
    my ($name, $value) = script({ websocket => 1 });
    $c->get('/', Host => $guest);
    my $r = $c->upgrade('/later', Host => $guest, $name => $value);
    is($r->status, 101, 'a kept connection can become a WebSocket');
    echoes($c, 'that works');
}

my @many = map {
    my $c = client();
    my $r = $c->upgrade("/many/$_", Host => $guest, script({ websocket => 1 }));
    $r && $r->status == 101 ? $c : ();
} 1 .. 60;
is(@many, 60, '60 WebSockets open at once');
$many[$_]->send_frame('text', "guest $_") for 0 .. $#many;
is(scalar(grep {
    my ($type, $payload) = $many[$_]->frame;
    defined $type && $payload eq "guest $_";
} 0 .. $#many), 60, 'and each hears its own');

{
    my $c = websocket('/reload');
    ok($edge->reload, 'nginx loads its configuration again');
    echoes($c, 'an open WebSocket survives it');
}

# ---- quiet for 90 s ----

for my $title (sort keys %quiet) {
    my $c = $quiet{$title};
    my $left = $opened + 91 - time;
    ok(!$c->closed($left > 0 ? $left : 0),
        "$title: a WebSocket quiet for 90 s stays open");
    echoes($c, "$title: and then works");
}

unlike($edge->error_log, qr/\[(?:crit|alert|emerg)\]|exited on signal/,
    'nothing alarming is logged');
done_testing();
