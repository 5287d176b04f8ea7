use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Http2Client;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp spew wait_until);
use Edge::RecordingApp qw(script answer);
use Compress::Zlib qw(memGzip memGunzip);
use File::Path qw(make_path);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_RCVBUF TCP_NODELAY);
use Test::More;

# Bodies of a web bridge name the guest URI that was asked for instead of the
# internal one, however they come and whoever asks; all that says how long a
# body is, or what its bytes are, says it of the body that the guest gets.
# Which spellings count is another test's: rewrite-spellings.t.

my $in = 'cmsweb.cms.octavio.test';
my $out = 'cmsweb.octavio.test';
my $long = 'the-meeting-place-of-all-guests.octavio.test';   # grows
my $docs = "$Edge::Netns::dir/docs";
my ($cert, $key) = Edge::Certs::cert('outside', $out, $long);

make_path($docs, "$Edge::Netns::dir/store");
spew("$docs/page.html", "https://$in/ of the edge itself\n");
spew("$docs/include.html", "<!--#include virtual=\"/in\" -->, it said\n");
spew("$docs/add.html", "head\n");
chmod 0777, "$Edge::Netns::dir/store";

# Debian's nginx has the addition module, others may not.
my $addition = `$Edge::Nginx::binary -V 2>&1` =~ /http_addition_module/
    ? "location /added/ {
        alias $docs/;
        add_after_body /in;
        addition_types *;
    }
    location /added-to/ {
        cms_proxy cmsweb;
        add_after_body /in;
        addition_types *;
    }" : '';

my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9080');
my $edge = Edge::Nginx->start(http => <<"CONF");
proxy_cache_path $Edge::Netns::dir/cache keys_zone=cache:1m;
gzip_types *;
cms_webbridge cmsweb {
    guest_uri $out $long;
    internal_uri $in;
    domain cms.octavio.test octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge internal {
    guest_uri $out $long;
    internal_uri $in;
    target 127.0.0.2:9080;
    tls off;
    upstream_host internal;
}
cms_webbridge text_too {
    guest_uri $out $long;
    internal_uri $in;
    target 127.0.0.2:9080;
    tls off;
    rewrite_types text/plain;
}
cms_webbridge all_types {
    guest_uri $out $long;
    internal_uri $in;
    target 127.0.0.2:9080;
    tls off;
    rewrite_types *;
}
cms_webbridge stream {
    guest_uri $out;
    internal_uri $in;
    target 127.0.0.2:9081;
    tls off;
    health_check off;
}
cms_webbridge off {
    guest_uri $out $long;
    internal_uri $in;
    target 127.0.0.2:9080;
    tls off;
    rewrite_body off;
}
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:80;
    listen 127.0.0.1:443 ssl http2;
    root $docs;
    location / { cms_proxy cmsweb; }
    location /text/ { cms_proxy text_too; }
    location /all/ { cms_proxy all_types; }
    location /off/ { cms_proxy off; }
    location /unbuffered/ { cms_proxy cmsweb; proxy_buffering off; }
    location /packed/ {
        cms_proxy cmsweb;
        gzip on;
        gzip_min_length 1;
        gzip_proxied any;
    }
    location /unopened/ { cms_proxy cmsweb; gunzip off; }
    location /cached/ {
        cms_proxy internal;
        proxy_cache cache;
        proxy_cache_valid 1h;
    }
    location /slow/ {
        cms_proxy cmsweb;
        proxy_buffer_size 4k;
        proxy_busy_buffers_size 4k;
        proxy_buffers 3 4k;
    }
    location /no-file/ {
        cms_proxy cmsweb;
        proxy_buffer_size 4k;
        proxy_busy_buffers_size 4k;
        proxy_buffers 4 4k;
        proxy_max_temp_file_size 0;
    }
    location /limited/ { cms_proxy cmsweb; limit_rate 4m; }
    location /sendfile/ {
        cms_proxy cmsweb;
        proxy_buffer_size 4k;
        proxy_busy_buffers_size 4k;
        proxy_buffers 3 4k;
        sendfile on;
        aio threads;
    }
    location /stored/ {
        cms_proxy cmsweb;
        proxy_store $Edge::Netns::dir/store/file;
        proxy_store_access all:rw;
    }
    location /mine/ { cms_proxy cmsweb; proxy_set_header Range \$http_range; }
    location = /page.html { }
    location = /include.html { ssi on; }
    location /stream/ { cms_proxy stream; }
    location /ssi/ { cms_proxy cmsweb; ssi on; }
    location /slice/ { cms_proxy cmsweb; slice 8; }
    $addition
    location /asked/ { cms_proxy cmsweb; auth_request /auth; }
    location = /auth { internal; cms_proxy cmsweb; }
    location /errors/ {
        cms_proxy cmsweb;
        proxy_intercept_errors on;
        error_page 404 /page.html;
        error_page 500 =200 /sorry;
    }
}
CONF

my $c;

# get(path, host, fields and steps ...): on a kept connection; undef when the
# answer was not whole.
sub get { return request('GET', @_) }

sub request {
    my ($method, $path, $host, @rest) = @_;
    $c //= Edge::HttpClient->new(to => '127.0.0.1:80')
        // die $Edge::HttpClient::error;
    my $r = $c->request($method, $path, [Host => $host, @rest]);
    undef $c if !$r || ($r->header('Connection') // '') eq 'close';
    return $r;
}

# page(host): what the web bridge says of itself, or what a guest is told.
sub page {
    my ($name) = @_;
    my $domain = $name eq $in ? 'cms.octavio.test' : 'octavio.test';
    return "<a href=\"https://$name/x\">anna\@$domain</a> Gr\xc3\xbc\xc3\x9fe\n";
}

sub html { return answer(200, 'Content-Type' => 'text/html', @_) }

# pages(n): the steps that send it so many times.
sub pages {
    my ($n) = @_;
    return ({ write => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
            . 'Content-Length: ' . $n * length(page($in)) . "\r\n\r\n" },
        { write => page($in), times => $n });
}

# ---- which bodies ----

for my $case (
    ['text/html', 1], ['TEXT/HTML', 1], ['text/html; charset=utf-8', 1],
    ['text/html ;x=y', 1], ['application/xhtml+xml', 1], ['text/css', 1],
    ['text/javascript', 1], ['application/javascript; charset=utf-8', 1],
    ['application/x-javascript', 1], ['application/json', 1],
    ['application/json;odata=verbose', 1], ['application/manifest+json', 1],
    ['application/problem+json', 1], ['text/xml', 1], ['application/xml', 1],
    ['image/svg+xml', 1], ['text/event-stream', 1],
    ['text/plain', 0], ['image/png', 0], ['application/octet-stream', 0],
    ['text/htmlx', 0], ['text', 0], ['x' x 300, 0], [undef, 0],
) {
    my ($type, $rewritten) = @$case;
    my $r = get('/', $out, script(answer(200,
        defined $type ? ('Content-Type' => $type) : (), page($in))));
    is($r->body, page($rewritten ? $out : $in),
        ($type // 'no type') . ($rewritten ? '' : ' stays as it is'));
    is($r->header('Content-Type'), $type, '... and the type') if $type;
}
is(get('/text/', $out, script(answer(200, 'Content-Type' => 'text/plain',
    "https://$in/")))->body, "https://$out/", 'rewrite_types adds a type');
is(get('/text/', $out, script(html("https://$in/")))->body, "https://$out/",
    'text/html always is one');
is(get('/text/', $out, script(answer(200, 'Content-Type' => 'text/css',
    "https://$in/")))->body, "https://$in/", '... the others then are not');
is(get('/all/', $out, script(answer(200, 'Content-Type' => 'x/y',
    "https://$in/")))->body, "https://$out/", 'rewrite_types *: all types');
is(get('/off/', $out, script(html("https://$in/")))->body, "https://$in/",
    'rewrite_body off: no body');
is(get('/off/', $out, script(html('Link' => "<https://$in/>")))
    ->header('Link'), "<https://$out/>", '... but headers');

for my $status (200, 201, 301, 302, 400, 401, 403, 404, 500, 502, 503) {
    is(get('/', $out, script(answer($status, 'Content-Type' => 'text/html',
        page($in))))->body, page($out), "a page with status $status");
}
{
    my $r = get('/', $out, script(answer(206, 'Content-Type' => 'text/html',
        'Content-Range' => 'bytes 0-' . (length(page($in)) - 1) . '/1000',
        ETag => '"a"', page($in))));
    is($r->status . ' ' . $r->body, '206 ' . page($in),
        'a part that nobody asked for stays as it is');
    is($r->header('ETag') . $r->header('Content-Length'),
        '"a"' . length page($in), '... with its ETag and its length');
    is(get('/', $out, script(answer(204, ETag => '"a"')))->status, 204,
        'no body at all with 204');
    $r = get('/', $out, 'If-None-Match' => 'W/"a"', script(answer(304,
        'Content-Type' => 'text/html', ETag => 'W/"a"')));
    is($r->status . $r->header('ETag'), '304W/"a"', 'nor with 304');
    is_deeply([$app->sent('If-None-Match')], ['W/"a"'],
        '... for which the web bridge is asked');
    my @not_modified = script(answer(304, ETag => '"a"'));
    is(get('/', $out, 'If-None-Match' => '"x", W/"a"', @not_modified)
        ->header('ETag'), 'W/"a"', '... and which says the ETag as it was told');
    is(get('/', $out, 'If-None-Match' => '"a"', @not_modified)
        ->header('ETag'), '"a"', '... or as the web bridge does');
}

# ---- what is said of them ----

my @about = ('Last-Modified' => 'Sun, 06 Nov 2033 08:49:37 GMT',
    'Accept-Ranges' => 'bytes', 'Content-MD5' => 'x', 'Digest' => 'sha-256=x',
    'Content-Digest' => 'sha-256=:x:', 'Repr-Digest' => 'sha-256=:x:',
    'Cache-Control' => 'no-store');

sub about {
    my ($r) = @_;
    return join ' ', sort map { "$_->[0]: $_->[1]" } grep {
        $_->[0] !~ /^(?:Date|Server|Connection|Content-Type|Transfer-Encoding)$/
    } $r->fields;
}

for my $method (qw(GET HEAD)) {
    my $r = request($method, '/', $out, script(html(ETag => '"a"', @about,
        $method eq 'GET' ? page($in) : ())));
    is(about($r), 'Cache-Control: no-store ETag: W/"a"'
        . ' Last-Modified: Sun, 06 Nov 2033 08:49:37 GMT',
        "$method: no length, no digest, no ranges, and a weak ETag");
    is($r->header('Transfer-Encoding') // 'none', 'chunked', "$method: chunked")
        if $method eq 'GET';
    $r = request($method, '/', $out, script(answer(200, 'ETag' => '"a"',
        'Content-Type' => 'image/png', 'Content-MD5' => 'x',
        $method eq 'GET' ? page($in) : ())));
    is(about($r), 'Content-Length: ' . ($method eq 'GET' ? length page($in) : 0)
        . ' Content-MD5: x ETag: "a"', "$method: all of it stays with an image");
}
is(get('/', $out, script(html(ETag => 'W/"a"', page($in))))->header('ETag'),
    'W/"a"', 'an ETag that is weak stays');
is(get('/', $out, script(html('Content-Type' => 'x', page($in))))->status, 200,
    'and the connection goes on');

# ---- parts ----

{
    my $r = get('/', $out, Range => 'bytes=5-9', 'If-Range' => '"a"',
        'Accept-Encoding' => 'gzip, br', script(html(page($in))));
    is($r->status . $r->body, '200' . page($out),
        'Range: a page that is rewritten comes whole');
    is_deeply([map { $app->sent($_) } qw(Range If-Range Accept-Encoding)], [],
        '... and was asked for whole, and unpacked');
    my @png = ('Content-Type' => 'image/png', ETag => '"a"', '0123456789');
    for my $said ([], ['Accept-Ranges' => 'bytes']) {
        $r = get('/', $out, Range => 'bytes=5-7', script(answer(200, @$said,
            @png)));
        is(join(' ', $r->status, $r->header('Content-Range') // '-', $r->body),
            '206 bytes 5-7/10 567', 'of an image a part is taken out of it'
                . (@$said ? ', also where the web bridge does that' : ''));
    }
    $r = get('/', $out, script(answer(200, 'Accept-Ranges' => 'bytes', @png)));
    is_deeply([$r->all('Accept-Ranges')], ['bytes'],
        'that it gives parts the edge says once');
    $r = get('/', $out, script(answer(200, 'Accept-Ranges' => 'none', @png)));
    is_deeply([$r->all('Accept-Ranges')], ['none'],
        'that it gives none the web bridge may say');
    $r = get('/', $out, Range => 'bytes=5-7', script(answer(200,
        'Accept-Ranges' => 'none', @png)));
    is($r->status . $r->body . join(',', $r->all('Accept-Ranges')),
        '206567', '... and the edge may know better');
    $r = get('/', $out, script(html('Accept-Ranges' => 'none', page($in))));
    is($r->body . join(',', $r->all('Accept-Ranges')), page($out),
        'of a page that is rewritten nothing is said');
    $r = get('/', $out, Range => 'bytes=20-', script(answer(200, @png)));
    is($r->status, 416, 'a part behind its end is none');
    $r = get('/', $out, Range => 'bytes=1-2', 'If-Range' => '"b"',
        script(answer(200, @png)));
    is($r->status . $r->body, '2000123456789',
        'If-Range with another ETag: the whole');
    $r = request('POST', '/', $out, Range => 'bytes=1-2',
        script(answer(200, @png)));
    is($r->status . $r->body, '2000123456789', 'POST: the whole');
    get('/off/', $out, Range => 'bytes=5-9', 'Accept-Encoding' => 'gzip');
    is_deeply([map { $app->sent($_) } qw(Range Accept-Encoding)],
        ['bytes=5-9', 'gzip'], 'rewrite_body off: both go inside');
    get('/mine/', $out, Range => 'bytes=5-9');
    is_deeply([$app->sent('Range')], ['bytes=5-9'],
        'so does a Range that the location sets');
}

# ---- packed ----

for my $path ('/', '/unbuffered/', '/unopened/') {
    for my $accept ('gzip', undef) {
        my $r = get($path, $out,
            defined $accept ? ('Accept-Encoding' => $accept) : (),
            script(html('Content-Encoding' => 'gzip', ETag => '"a"',
                memGzip(page($in) x 100))));
        is($r->body, page($out) x 100,
            "$path: what comes gzip'd all the same is opened, for a client "
                . ($accept ? 'with gzip' : 'without'));
        is($r->header('Content-Encoding'), undef, '... and sent so');
    }
}
{
    my $r = get('/packed/', $out, 'Accept-Encoding' => 'gzip',
        script(html('Content-Encoding' => 'gzip', memGzip(page($in)))));
    is($r->header('Content-Encoding'), 'gzip', 'gzip on packs it again');
    is(memGunzip($r->body), page($out), '... rewritten');
    $r = get('/packed/', $out, 'Accept-Encoding' => 'gzip',
        script(pages(1000)));
    is(memGunzip($r->body), page($out) x 1000, 'and what came unpacked');
    my $packed = memGzip(page($in));
    $r = get('/', $out, 'Accept-Encoding' => 'gzip', script(answer(200,
        'Content-Type' => 'text/plain', 'Content-Encoding' => 'gzip',
        ETag => '"a"', $packed)));
    is($r->body, $packed, 'of other types it stays packed');
    is(about($r), 'Content-Encoding: gzip Content-Length: ' . length($packed)
        . ' ETag: "a"', '... with all that is said of it');
    $r = request('HEAD', '/', $out, 'Accept-Encoding' => 'gzip',
        script(html('Content-Encoding' => 'gzip', ETag => '"a"')));
    is(about($r), 'ETag: W/"a"', 'HEAD says what GET would');
    for my $coding (qw(br zstd)) {
        $edge->clear_logs;
        $r = get("/some/$coding?secret=abc", $out, script(html(
            'Content-Encoding' => $coding, ETag => '"a"', page($in))));
        is($r->body . $r->header('ETag'), page($in) . '"a"',
            "what comes as $coding stays as it is");
        ok($edge->wait_error(qr/\[warn\].*"\/some\/$coding" are not rewritten.*Content-Encoding "$coding"/),
            '... and the log says so');
        unlike($edge->error_log, qr/abc/, '... without the query');
    }
    $edge->clear_logs;
    get($_, $out, script(html('Content-Encoding' => 'br', page($in))))
        for '/some/br', ('/br/1') x 3, map { "/br/$_" } 2 .. 20;
    get('/last', $out);    # logged behind them
    $edge->wait_access(qr/"GET \/last /);
    is(join(' ', $edge->error_log =~ /the body of "(\S+)" are not/g),
        join(' ', map { "/br/$_" } 1 .. 8),
        '... once for a page, and ten times an hour');
    $r = get('/', $out, script(html('Content-Encoding' => 'identity',
        page($in))));
    is($r->body, page($out), 'identity is no coding');
    $r = get('/', $out, script(html('Content-Encoding' => 'gzip',
        'no gzip at all')));
    is($r ? $r->body : 'cut off', 'cut off',
        'what only claims to be gzip is no whole answer');
}

# ---- however it ends ----

for my $case (["https://$in", "https://$out"], ["see $in", "see $out"],
    ["see $in.", "see $out."], ['see cmsweb.cms.oct'], ['c'], [''],
    ["$in$in"], ["x\@cms.octavio.test", "x\@octavio.test"]) {
    my ($said, $told) = @$case;
    $told //= $said;
    my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
    my $half = int length($said) / 2;
    my @half = (substr($said, 0, $half), substr $said, $half);
    for my $way (
        ['with a length', html($said)],
        ['in chunks', { write => "${head}Transfer-Encoding: chunked\r\n\r\n"
            . join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                grep({ length } @half), '' }],
        ['to the end', { write => "${head}Connection: close\r\n\r\n$said" },
            { close => 1 }],
        ['in two parts', { write => $head . 'Content-Length: '
            . length($said) . "\r\n\r\n$half[0]" }, { wait => 0.02 },
            { write => $half[1] }],
        ["gzip'd", html('Content-Encoding' => 'gzip', memGzip($said))],
    ) {
        my ($how, @steps) = @$way;
        is(get($_, $out, script(@steps))->body, $told,
            "$_: '$said' is all, $how") for '/', '/unbuffered/';
    }
}

{
    my $client = Edge::HttpClient->new(to => '127.0.0.1:80');
    my ($name, $script) = script(html(page($in)));
    my $late = 0;
    for (1 .. 30) {
        $client->send("GET / HTTP/1.1\r\nHost: $out\r\n"
            . "$name: $script\r\n\r\n");
        $client->closed(0) until length $client->{in};
        $late++ if $client->{in} !~ /\r\n0\r\n\r\n\z/;
        $client->response;
    }
    is($late, 0, 'the last chunk comes with the body, not behind it');
}

# ---- other clients, other ways ----

for my $keep (0, 1) {
    my $old = Edge::HttpClient->new(to => '127.0.0.1:80');
    my ($name, $script) = script(pages(50));
    $old->send("GET / HTTP/1.0\r\nHost: $out\r\n$name: $script\r\n"
        . ($keep ? "Connection: keep-alive\r\n\r\n" : "\r\n"));
    my $r = $old->response;
    is($r->body, page($out) x 50, 'HTTP/1.0: whole'
        . ($keep ? ', also with keep-alive' : ''));
    is($r->header('Transfer-Encoding'), undef, '... and not chunked');
    ok($old->closed, '... until the connection ends');
}
for my $host ($out, $long) {
    my $h2 = Edge::Http2Client->new(to => '127.0.0.1:443', tls => $out);
    for my $path ('/', '/unbuffered/') {
        my $r = $h2->get($host, $path, script(pages(3000)));
        is($r->body, page($host) x 3000, "HTTP/2, $path: $host");
    }
}
for my $path ('/', '/unbuffered/', '/off/') {
    for my $host ($out, $long) {
        my $events = Edge::HttpClient->new(to => '127.0.0.1:80');
        my ($name, $script) = script(
            { write => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                . "\r\ndata: https://$in/a\n\n" },
            { wait => 0.2 }, { write => "data: https://cmsweb.cms.oct" },
            { wait => 0.2 }, { write => "avio.test/b\n\n" },
            { wait => 60 });
        $events->send("GET $path HTTP/1.1\r\nHost: $host\r\n"
            . "$name: $script\r\n\r\n");
        my ($all, $text, $want) = ('', '', join '', map {
            'data: https://' . ($path eq '/off/' ? $in : $host) . "/$_\n\n"
        } qw(a b));
        while (length $text < length $want) {
            $all .= $events->raw(1) // last;
            $text = $all =~ s/^.*?(?:\r\n\r\n|\z)//sr
                =~ s/(?:\r\n)?[0-9a-f]+\r\n//gr;
        }
        is($text, $want, "$path: events come while the stream goes on ($host)");
    }
}

# A stream that may go on for days: each event is half a name at most.
SKIP: {
    skip 'sanitizers keep freed memory', 2 if $ENV{ASAN_OPTIONS};
    my $events = Edge::HttpClient->new(to => '127.0.0.1:80');
    my ($pid) = $edge->workers;
    my $kb = sub {
        slurp("/proc/$pid/smaps_rollup") =~ /^Private_Dirty:\s+(\d+)/m;
        return $1;
    };
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.2:9081',
        Listen => 1, ReuseAddr => 1) or die "listen: $!\n";
    $events->send("GET /stream/ HTTP/1.1\r\nHost: $out\r\n\r\n");
    my $bridge = $listener->accept or die "accept: $!\n";
    setsockopt $bridge, IPPROTO_TCP, TCP_NODELAY, 1;
    $bridge->syswrite("HTTP/1.1 200 OK\r\n"
        . "Content-Type: text/event-stream\r\n\r\n");
    # Names, letter by letter; whether all came through.
    my $say = sub {
        for (1 .. $_[0]) {
            for my $letter (split(//, $in), "\n") {
                $bridge->syswrite($letter);
                select undef, undef, undef, 0.00001;
            }
            my $read = '';
            while ($read !~ /\Q$out\E/) {
                $read .= $events->raw(1) // return 0;
            }
        }
        return 1;
    };
    ok($say->(100), 'an event stream may say a name letter by letter');
    my $before = $kb->();
    $say->(400);
    cmp_ok($kb->() - $before, '<', 64, '... for as long as it likes');
    $bridge->close;
}

# ---- inside nginx ----

{
    my @page = script(html("https://$in/"));
    my $r = get('/include.html', $out, @page);
    is($r->body, "https://$out/, it said\n", 'an SSI include is rewritten');
    for my $tail ('', " and https://$in/ again") {
        $r = get('/ssi/', $out, script(html(
            "https://$in/: <!--#include virtual=\"/page.html\" -->$tail")));
        is($r->body, "https://$out/: https://$in/ of the edge itself\n"
            . $tail =~ s/$in/$out/r, 'a page that includes another');
    }
    $r = get('/slice/', $out, @page);
    is($r->body, "https://$out/", 'a page that was asked for in slices');
    $r = get('/slice/', $out, script(answer(200, 'Content-Type' => 'image/png',
        "https://$in/")));
    is($r->body, "https://$in/", 'what stays, asked for in slices');
    SKIP: {
        skip 'this nginx has no addition module', 2 if !$addition;
        $r = get('/added/add.html', $out, @page);
        is($r->body, "head\nhttps://$out/", 'so is what is added to a page');
        $r = get('/added-to/', $out, @page);
        is($r->body, "https://$out/" x 2, 'a page that another is added to');
    }
    $r = get('/asked/', $out, @page);
    is($r->body, "https://$out/", 'a location that asks another first');
    $r = get('/errors/', $out, script(answer(404, 'Content-Type' =>
        'text/html', "https://$in/")));
    is($r->body, "https://$in/ of the edge itself\n",
        "an error page of the edge's own stays as it is");
    is($r->header('Content-Length'), length $r->body, '... with its length');
    $r = get('/', $out, script(answer(200, 'X-Accel-Redirect' => '/page.html')));
    is($r->body, "https://$in/ of the edge itself\n",
        'so does a file that X-Accel-Redirect leads to');
    $r = get('/', $out, script({ close => 1 }));
    is($r->status, 502, 'where no web bridge answers');
    is($r->header('Content-Length'), length $r->body,
        '... the page has its length');
    $app->clear;
    my @told = map { get('/cached/', $_, @page)->body } $out, $long, $out;
    is_deeply(\@told, [map { "https://$_/" } $out, $long, $out],
        'an answer from the cache names for everybody the URI they asked for');
    is(scalar $app->requests, 1, '... and was asked for once');
    $r = get('/cached/', $long, Range => 'bytes=0-3', @page);
    is($r->status . $r->body, "200https://$long/", '... and comes whole');
    $r = get('/stored/', $long, script(pages(5000)));
    is($r->body, page($long) x 5000, 'proxy_store: the guest gets it rewritten');
    is(slurp("$Edge::Netns::dir/store/file"), page($in) x 5000,
        '... and the file has it as it came');
}

# ---- large ones ----

for my $path ('/', '/unbuffered/', '/no-file/', '/sendfile/', '/limited/') {
    for my $host ($out, $long) {
        my $r = get($path, $host, script(pages(20_000)));
        ok($r && $r->body eq page($host) x 20000,
            "$path: more than a megabyte, for $host");
    }
}
for my $host ($out, $long) {
    $edge->clear_logs;
    my $slow = Edge::HttpClient->new(to => '127.0.0.1:80', timeout => 30);
    setsockopt $slow->socket, SOL_SOCKET, SO_RCVBUF, 4096;
    my ($name, $script) = script(pages(100_000));
    $slow->send("GET /slow/ HTTP/1.1\r\nHost: $host\r\n$name: $script\r\n\r\n");
    ok($edge->wait_error(qr/buffered to a temporary file/),
        'for a slow client a body goes through a file');
    setsockopt $slow->socket, SOL_SOCKET, SO_RCVBUF, 1 << 20;
    my $r = $slow->response;
    ok($r && $r->body eq page($host) x 100_000, "... and arrives, for $host");
}

# ---- hashes of scripts ----

# warned(path, steps): what the log says of hashes in the page.
sub warned {
    my ($path, @steps) = @_;
    $edge->clear_logs;
    get($path, $out, script(@steps));
    get('/', $out);    # logged behind it
    $edge->wait_access(qr/"GET \/ /);
    return join '', grep { /hashes/ } split /^/, $edge->error_log;
}

{
    my $hash = 'sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1';
    my $script = "<script src=/a.js integrity=\"$hash\"></script>\n";
    like(warned('/hashes/1?secret=abc', html($script)),
        qr/\[warn\].*the page "\/hashes\/1" has hashes of scripts or styles \(integrity=\): browsers refuse those of them in which names are replaced; name no such types in rewrite_types of cms_webbridge "cmsweb"/,
        'a page with integrity= is warned of, without its query');
    is(warned('/hashes/1', html($script)), '', '... once');
    my @parts = (html($script =~ tr/"/'/r)->{write} =~ /\A(.*='sha3)(.*)\z/s);
    isnt(warned('/unbuffered/2', { write => $parts[0] }, { wait => 0.1 },
        { write => $parts[1] }), '', '... however it comes, and is quoted');
    is(warned('/hashes/3', html('sha384 of sha256 - shark')), '', 'other text is not');
    my $policy = "script-src 'self' 'sha256-abcdefghijk='";
    my @field = ('Content-Security-Policy' => $policy);
    like(warned('/hashes/4', html(@field, page($in))),
        qr/names are replaced in the page "\/hashes\/4", of whose scripts or styles a Content-Security-Policy has hashes/,
        'so is a policy with hashes, where a name was replaced');
    is(warned('/hashes/5', html(@field, 'no name')), '', '... but not where none was');
    isnt(warned('/hashes/6', html('<meta content="' . $policy . '">'
        . page($in))), '', '... also in the page');
    my $lines = join '', map { warned("/many/$_", html($script)) } 1 .. 20;
    is($lines =~ tr/\n//, 6, 'ten lines an hour are enough');
}

# ---- when it goes wrong ----

for my $path ('/', '/unbuffered/') {
    for my $host ($out, $long) {
        my $r = get($path, $host, script({ write => "HTTP/1.1 200 OK\r\n"
            . "Content-Type: text/html\r\nContent-Length: 100\r\n\r\n"
            . "https://$in/ and https://cmsweb.cms." }, { close => 1 }));
        is($r, undef, "$path: what the web bridge cuts off does not look whole"
            . " ($host)");
    }
}
for my $path ('/', '/unbuffered/', '/slow/') {
    my $gone = Edge::HttpClient->new(to => '127.0.0.1:80');
    my ($name, $script) = script(pages(20_000));
    $gone->send("GET $path HTTP/1.1\r\nHost: $long\r\n$name: $script\r\n\r\n");
    $gone->raw(10_000);
    $gone->close;
    ok(get($path, $long, script(html(page($in))))->body eq page($long),
        "$path: when a client goes away in the middle, the next one is served");
}
unlike($edge->error_log, qr/\[(?:alert|crit|emerg)\]|exited on signal/,
    'nothing went wrong inside');

# ---- configuration ----

sub check {
    my (@lines) = @_;
    return Edge::Nginx->test_conf(http => join "\n", 'cms_webbridge cmsweb {',
        "guest_uri $out;", 'target 127.0.0.2:9080;', 'tls off;', @lines, '}',
        "server { listen 127.0.0.1:81; location / { cms_proxy cmsweb; } }");
}

{
    my ($status, $text) = check('internal_uri ' . join(' ', map { "h$_.test" }
        1 .. 9) . ';', map { "domain d$_.test e$_.test;" } 1 .. 8);
    my $where = Edge::Nginx->conf_line('cms_webbridge cmsweb');
    like($text, qr/"cmsweb" has more than 16 names in internal_uri and domain together in \Q$where\E/,
        'more than 16 names are refused');
    ($status, $text) = check("internal_uri $in;", 'rewrite_websocket on;',
        'guest_uri ' . join(' ', map { "g$_.octavio.test" } 1 .. 16) . ';');
    like($text, qr/more than 16 names in guest_uri and domain together.*rewrite_websocket on.* in \Q$where\E/,
        'so are more than 16 for WebSockets');
    ($status, $text) = check("internal_uri $in;",
        'guest_uri ' . join(' ', map { "g$_.octavio.test" } 1 .. 16) . ';');
    is($status, 0, '... but not without') or diag $text;
    ($status, $text) = check('internal_uri cmsweb;');
    like($text, qr/\[warn\].*internal_uri "cmsweb" of cms_webbridge "cmsweb" has no dot: the word "cmsweb" is replaced wherever it stands in headers and pages, in \Q$where\E/,
        'an internal_uri that is one word is warned of');
    is($status, 0, '... and taken') or diag $text;
    ($status, $text) = check('rewrite_types text/css TEXT/CSS;');
    like($text, qr/\[warn\].*duplicate MIME type "text\/css"/,
        'a type that is named twice is warned of');
    ($status, $text) = check('rewrite_body maybe;');
    like($text, qr/invalid value "maybe" in "rewrite_body" directive.*:\d+/,
        'rewrite_body is on or off');
    for my $line ('rewrite_body on', 'rewrite_types *',
        'rewrite_websocket on') {
        ($status, $text) = Edge::Nginx->test_conf(
            http => "upstream stock { server 127.0.0.2:9080; $line; }");
        my ($name) = split / /, $line;
        like($text, qr/"$name" directive is not allowed here, but in a "cms_webbridge" block in /,
            "$name is refused in a stock upstream block");
    }
}

done_testing();
