use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp wait_until);
use Edge::RecordingApp qw(script answer);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

# With "rewrite_websocket on" a guest and a web bridge that know each other by
# different names talk over a WebSocket: each hears its own names in text
# messages, however they are cut into frames and packets, and all else as it
# was sent. TLS on both sides but where a path says "plain".

my $guest = 'cmsweb.octavio.test';
my $inside = 'web.cms.octavio.test';
my $short = 'w.octavio.test';
my ($cert, $key) = Edge::Certs::cert('outside', $guest);
my @inside_cert = Edge::Certs::cert('inside', $guest);
my $inside_ca = Edge::Certs::ca('inside');

my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9443',
    cert => \@inside_cert);
my $plain_app = Edge::RecordingApp->start(name => 'plain',
    listen => '127.0.0.2:9080');
$ENV{EDGE_ROOT} = $Edge::Netns::root;
my $ws = Edge::Process->start(name => 'ws-server',
    argv => ['node', "$Edge::Netns::root/t/lib/ws-peer.js", 'serve',
        '127.0.0.2:9444', @inside_cert],
    ready_log => qr/^listening/m, timeout => 30);

my $names = "guest_uri $guest; internal_uri $inside; internal_uri $short;"
    . ' domain cms.octavio.test octavio.test;'
    . " trusted_certificate $inside_ca;";
my $edge = Edge::Nginx->start(workers => 1, http => <<"CONF");
cms_webbridge cmsweb {
    $names target 127.0.0.2:9443;
    rewrite_websocket on;
}
cms_webbridge plain {
    $names target 127.0.0.2:9080;
    tls off;
    rewrite_websocket on;
}
cms_webbridge off {
    $names target 127.0.0.2:9443;
}
cms_webbridge short {
    $names target 127.0.0.2:9443;
    rewrite_websocket on;
    websocket_timeout 2s;
}
cms_webbridge ws {
    $names target 127.0.0.2:9444;
    rewrite_websocket on;
}
large_client_header_buffers 4 128k;
server {
    listen 127.0.0.1:443 ssl;
    listen 127.0.0.1:80;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location / { cms_proxy cmsweb; }
    location /plain/ { cms_proxy plain; }
    location /off/ { cms_proxy off; }
    location /short/ { cms_proxy short; }
    location /ws/ { cms_proxy ws; }
}
CONF

my %opcode = (more => 0, text => 1, binary => 2, close => 8, ping => 9,
    pong => 10);

# A frame with these bits; masked unless key is ''.
sub frame {
    my ($type, $payload, %o) = @_;
    my $n = length $payload;
    my $key = $o{key} // "\x12\x34\xab\xcd";
    my $bit = length $key ? 0x80 : 0;
    return pack('C', ($o{unfinished} ? 0 : 0x80) | ($o{reserved} // 0)
            | ($opcode{$type} // $type))
        . ($n < 126 ? pack('C', $bit | $n)
            : $n < 65536 ? pack('Cn', $bit | 126, $n)
            : pack('CQ>', $bit | 127, $n))
        . $key . ($payload ^ substr($key x (1 + $n / 4), 0, $bit ? $n : 0));
}

sub told { frame(@_, key => '') }

# The next frame, masked or not: {type, fin, payload}.
sub read_frame {
    my ($c) = @_;
    my %name = reverse %opcode;
    my ($first, $second) = unpack 'CC', $c->raw(2) // return;
    my $n = $second & 127;
    $n = unpack $n == 126 ? 'n' : 'Q>', $c->raw($n == 126 ? 2 : 8) if $n > 125;
    my $key = $second & 128 ? $c->raw(4) : "\0\0\0\0";
    my $payload = $c->raw($n) // return;
    $payload ^= substr $key x (1 + $n / 4), 0, $n;
    return { type => $name{$first & 15} // $first & 15, fin => $first >> 7,
        payload => $payload };
}

# The next message, [type, payload, number of frames]; control frames inside
# of it are added to @$between.
sub message {
    my ($c, $between) = @_;
    my ($type, $n, $all) = ('', 0, '');
    while (my $f = read_frame($c)) {
        if ($f->{type} =~ /^(?:close|ping|pong)$/) {
            return [$f->{type}, $f->{payload}, 1] if !$n;
            push @$between, "$f->{type} $f->{payload}";
            next;
        }
        last if $n && $f->{type} ne 'more';
        $type = $f->{type} if !$n++;
        $all .= $f->{payload};
        return [$type, $all, $n] if $f->{fin};
    }
    return ['nothing', $all, $n];
}

my $switch = { write => "HTTP/1.1 101 Switching Protocols\r\n"
    . "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" };

# A WebSocket whose web bridge takes these steps; none: bytes come back.
sub websocket {
    my ($path, @steps) = @_;
    my @tls = $path =~ /plain/ ? (to => '127.0.0.1:80')
        : (to => '127.0.0.1:443', tls => $guest);
    my $c = Edge::HttpClient->new(@tls) // die $Edge::HttpClient::error;
    my $r = $c->upgrade($path, Host => $guest,
        script($switch, @steps ? @steps : { tunnel => 1 }));
    $r && $r->status == 101 or die "no WebSocket at $path";
    return $c;
}

# What the web bridge has heard, byte for byte, once it is that long.
sub heard {
    my ($n, $from) = @_;
    my $all;
    wait_until(sub {
        $all = join '', map { $_->{data} }
            grep { $_->{event} eq 'tunnel' } ($from // $app)->records;
        length $all >= $n;
    }, 15);
    return $all;
}

# ---- both ways ----

for my $path ('/', '/plain/') {
    my $at = $path eq '/' ? $app : $plain_app;
    my $c = websocket($path);
    $at->clear;
    my $sent = frame(text =>
        qq({"call":"https://$guest/1","to":"bob\@octavio.test"}));
    my $want = frame(text =>
        qq({"call":"https://$inside/1","to":"bob\@cms.octavio.test"}));
    $c->send($sent);
    is(heard(length $want, $at), $want,
        "$path: a web bridge hears its own names");
    is_deeply(message($c), ['text',
        qq({"call":"https://$guest/1","to":"bob\@octavio.test"}), 1],
        'and so does the guest');
    $c->send(frame(text => "nothing of interest"));
    is(message($c)->[1], 'nothing of interest', 'other text stays');
    $c->send(frame(binary => "https://$guest/"));
    is_deeply(message($c), ['binary', "https://$guest/", 1],
        'binary messages stay');
}
{
    my $c = websocket('/off/');
    $app->clear;
    my $sent = frame(text => "https://$guest/");
    $c->send($sent);
    is(heard(length $sent), $sent, 'off, the default: nothing is changed');
}
{
    my $c = websocket('/', { write => told(text => "wss://$inside/") });
    is(message($c)->[1], "wss://$guest/", 'right after its handshake');
    $c = Edge::HttpClient->new(to => '127.0.0.1:443', tls => $guest);
    my ($name, $value) = script({ wait => 0.3 }, $switch, { tunnel => 1 });
    $app->clear;
    $c->send("GET / HTTP/1.1\r\nHost: $guest\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\n$name: $value\r\n\r\n"
        . frame(text => $guest));
    $c->response;
    is(message($c)->[1], $guest, 'a frame right behind the request');
    is(heard(1), frame(text => $inside), 'is rewritten too');
}

# ---- pieces ----

{
    my $c = websocket('/');
    my $text = "a https://$guest/ b " x 10;
    $c->send($_) for split //, frame(text => $text);
    is_deeply(message($c), ['text', $text, 1],
        'a message that comes byte by byte stays one frame');

    $app->clear;
    my $half = int(length($guest) / 2);
    $c->send(frame(text => 'x ' . substr($guest, 0, $half), unfinished => 1));
    $c->send(frame(ping => 'in between'));
    is_deeply([map { $_->{type}, $_->{payload} } read_frame($c),
        read_frame($c)], ['text', 'x ', 'ping', 'in between'],
        'a ping in a fragmented message does not wait for its end');
    $c->send(frame(more => substr($guest, $half), unfinished => 1)
        . frame(more => ' y'));
    is_deeply(message($c), ['more', "$guest y", 2],
        'a name across fragments comes back whole');
    like(join('', map { $_->{payload} } frames(heard(58))),
        qr/^x in between\Q$inside\E y$/, 'and was rewritten on the way');
}
{
    my $c = websocket('/');
    my $right = 0;
    my $all = join '', map { frame(text => "$_ https://$guest/$_") }
        1 .. 10_000;
    $c->send($all);
    for (1 .. 10_000) {
        my $m = message($c);
        $right++ if $m->[1] eq "$_ https://$guest/$_" && $m->[2] == 1;
    }
    is($right, 10_000, '10,000 frames at once come back, each as it was');

    my $binary = join '', map { pack 'N', $_ * 2654435761 & 0xffffffff }
        1 .. 750_000;
    $c->send(frame(binary => $binary));
    ok(message($c)->[1] eq $binary, '3 MB of binary come back');

    my $text = join ' ', map { "$_ https://$guest/$_" } 1 .. 80_000;
    $c->send(frame(text => $text));
    my $m = message($c);
    ok($m->[1] eq $text, '3 MB of text in one frame come back');
    cmp_ok($m->[2], '>', 50, 'in fragments');
    ok($edge->wait_error(qr/message of the guest is, or became, larger than 32768 bytes/),
        'which a line in the log says');
}
{
    my $text = join ' ', map { "https://$short/$_" } 1 .. 1200;
    my $c = websocket('/', { write => told(text => $text) });
    (my $want = $text) =~ s/\Q$short/$guest/g;
    cmp_ok(length $text, '<', 32768, 'a message below the limit');
    cmp_ok(length $want, '>', 32768, 'that grows beyond');
    my $m = message($c);
    is($m->[0], 'text', 'arrives');
    ok($m->[1] eq $want, 'whole and rewritten');
}

# ---- what is none of ours ----

{
    my %odd = (
        'a text with RSV1, compressed' =>
            frame(text => "https://$guest/", reserved => 0x40),
        'a continuation of nothing' => frame(more => $guest),
        'a reserved opcode' => frame(5, $guest),
        'an unfinished ping' => frame(ping => $guest, unfinished => 1),
        'a ping of 200 bytes' => frame(ping => "$guest " x 10),
        'a close with a reason' => frame(close => pack('n', 1001) . $guest),
        'a text inside a text' =>
            frame(text => 'a ', unfinished => 1) . frame(binary => $guest),
        'a length over 2^63' => "\x81\xff" . "\xff" x 8 . $guest x 3,
        'continuations of a compressed message' =>
            frame(text => $guest, unfinished => 1, reserved => 0x40)
            . frame(more => $guest),
    );
    for my $what (sort keys %odd) {
        my $c = websocket('/');
        $app->clear;
        $c->send($odd{$what});
        is(heard(length $odd{$what}), $odd{$what},
            "$what passes byte for byte");
    }
    ok($edge->wait_error(qr/\[warn\].*the guest sends WebSocket text with an/),
        'compressed text that was not asked for: the log says so');
    ok($edge->wait_error(qr/\[warn\].*the guest sent a WebSocket frame of an/),
        'and that a length was impossible');
}
{
    my $c = websocket('/', { write => told(close => pack('n', 4002)) },
        { close => 1 });
    is_deeply(message($c), ['close', pack('n', 4002), 1],
        'a close code reaches the guest');
    ok($c->closed(15), 'and the connection ends');
}
{
    my $c = Edge::HttpClient->new(to => '127.0.0.1:443', tls => $guest);
    $c->upgrade('/', Host => $guest,
        'Sec-WebSocket-Extensions' => 'permessage-deflate',
        script($switch, { tunnel => 1 }));
    is_deeply([$app->sent('Sec-WebSocket-Extensions')], [],
        'compression is not offered to the web bridge');
}

# ---- who is slow, and who goes ----

# 0 under the sanitizers, which keep freed memory
sub worker_kb {
    return 0 if $ENV{ASAN_OPTIONS};
    my ($pid) = $edge->workers;
    my ($kb) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kb;
}
{
    my $one = join ' ', map { "https://$short/$_" } 1 .. 1200;
    my $before = worker_kb();
    my $c = websocket('/', { write => told(text => $one), times => 400 },
        { tunnel => 1 });
    # The web bridge has 12 MB for a guest that does not read.
    sleep 0.7;
    cmp_ok(worker_kb() - $before, '<', 2048,
        'a guest that does not read costs no memory');
    (my $want = $one) =~ s/\Q$short/$guest/g;
    my $right = 0;
    for (1 .. 400) {
        $right++ if message($c)->[1] eq $want;
    }
    is($right, 400, 'and gets it all');
}
{
    my @c = map { websocket('/plain/half') } 1 .. 120;
    my $before = worker_kb();
    my $half = substr frame(text => 'x' x 30_000), 0, 100;
    $_->send($half) for @c[0 .. 59];
    my $endless = "\x81\xff" . pack('Q>', 2**62) . 'mask' . 'y' x 50;
    $_->send($endless) for @c[60 .. 119];
    my $c = websocket('/');
    $c->send(frame(text => 'done'));
    message($c);
    cmp_ok(worker_kb() - $before, '<', 120 * 4,
        'half a frame holds no more than what came of it');
}
{
    my $c = websocket('/', { write => substr told(text => "$inside " x 9), 0,
        99 }, { close => 1 });
    my $f = read_frame($c);
    like($f->{payload} // '', qr/^(?:\Q$guest\E )/,
        'a web bridge that goes in the middle of a frame: what came arrives');
    is($f->{fin}, 0, 'as something unfinished');
    ok($c->closed(15), 'and the guest learns that it went');

    $c = websocket('/');
    $app->clear;
    $c->send(substr frame(text => $guest), 0, 12);
    $c->close;
    ok($app->wait_event('end'), 'a guest that goes: the web bridge learns it');
}
{
    my $c = websocket('/short/');
    my @bytes = split //, frame(text => "$guest!");
    for (@bytes[0 .. 9]) {
        $c->send($_);
        sleep 0.3;
    }
    $c->send(join '', @bytes[10 .. $#bytes]);
    is(message($c)->[1], "$guest!",
        'bytes that are held back count as life for websocket_timeout');
}
{
    my $c = websocket('/');
    $c->send(substr frame(text => "to $guest"), 0, 12);
    ok($edge->reload, 'nginx loads its configuration again');
    $c->send(substr frame(text => "to $guest"), 12);
    is(message($c)->[1], "to $guest", 'an open WebSocket goes on');
}

# ---- a third party ----

{
    my @messages = ("join https://$guest/1", "mail alice\@octavio.test",
        "x" x 50_000 . " $guest", 'bye');
    open my $out, '-|', 'node', "$Edge::Netns::root/t/lib/ws-peer.js", 'ask',
        'wss://127.0.0.1/ws/', $guest, Edge::Certs::ca('outside'), @messages
        or die $!;
    my $said = decode_json(join '', <$out>);
    is_deeply([@$said{qw(code reason extensions)}], [4001, 'as asked', ''],
        'npm ws on both sides: a WebSocket without extensions, its close code');
    is_deeply([map { decode_json($_)->{heard} } @{$said->{answers}}],
        \@messages, 'and all messages, sent in fragments');
}

sub frames {
    my ($bytes) = @_;
    my @all;
    my $c = bless { bytes => $bytes }, 'Bytes';
    while (my $f = read_frame($c)) {
        push @all, $f;
    }
    return @all;
}

sub Bytes::raw {
    my ($self, $n) = @_;
    return length $self->{bytes} < $n ? undef
        : substr $self->{bytes}, 0, $n, '';
}

unlike($edge->error_log, qr/\[(?:crit|alert|emerg)\]|exited on signal/,
    'nothing alarming is logged');
done_testing();
