use strict;
use warnings;
use Edge::Netns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_until);
use Edge::RecordingApp qw(script answer);
use Test::More;

# A location with cms_proxy beside everything else nginx can do with one: it
# behaves as a location with proxy_pass does, and the gate stays where it is.

my $guest = 'cmsweb.octavio.test';
my $inside = 'cmsweb.cms.octavio.test';
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9080');
my $other = Edge::RecordingApp->start(listen => '127.0.0.2:9081',
    name => 'other');
my $slice = `nginx -V 2>&1` =~ /http_slice_module/
    && !$ENV{NGINX_BINARY} ? 'slice 10;' : '';

my ($version) = `$Edge::Nginx::binary -v 2>&1` =~ m{nginx/1\.(\d+)};
my $hints = $version >= 29 ? 'early_hints 1;' : '';

my $edge = Edge::Nginx->start(
    log_format => '$uri $status "$cms_webbridge" "$cms_refusal"',
    http => <<"CONF");
proxy_cache_path $Edge::Netns::dir/cache keys_zone=c:1m;
proxy_connect_timeout 7s;
proxy_set_header X-From-Http yes;
proxy_set_header X-Forwarded-For from-http;
cms_webbridge one {
    guest_uri $guest meet.octavio.test;
    internal_uri $inside;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge dead {
    guest_uri $guest;
    target 127.0.0.2:9;
    tls off;
}
cms_webbridge Loop {
    guest_uri loop.octavio.test;
    target 127.0.0.1:80;
    tls off;
}
server {
    listen 127.0.0.1:80;
    location / { cms_proxy one loop; }
    location /update/ {
        cms_proxy one;
        proxy_cache c;
        proxy_cache_valid 200 1s;
        proxy_cache_use_stale updating;
        proxy_cache_background_update on;
    }
    location /slice/ {
        cms_proxy one;
        $slice
        proxy_cache c;
        proxy_cache_valid 200 206 1h;
        proxy_cache_key \$uri\$slice_range;
        proxy_set_header Range \$slice_range;
    }
    location /limited/ {
        cms_proxy one;
        limit_except GET { allow 127.0.0.1; deny all; }
    }
    location /if/ {
        cms_proxy one;
        add_header X-Of location;
        if (\$arg_x) { add_header X-Of if; }
    }
    location = /verdict { cms_proxy one; proxy_set_header X-Test-Script ""; }
    location /asks/ {
        auth_request /verdict;
        proxy_pass http://127.0.0.2:9081;
        proxy_set_header X-Web-Bridge \$cms_webbridge;
    }
    location /guarded/ {
        auth_request /verdict;
        cms_proxy one;
    }
    location /own-page/ {
        cms_proxy one;
        error_page 400 = \@stock;
    }
    location /failover/ {
        cms_proxy dead;
        error_page 502 \@spare;
    }
    location /failover-200/ {
        cms_proxy dead;
        error_page 502 =200 \@spare;
    }
    location \@spare { cms_proxy one; }
    location /hints/ { cms_proxy one; $hints }
    location /cached/ {
        cms_proxy one;
        proxy_cache c;
        proxy_cache_valid 200 1h;
    }
    location \@stock { proxy_pass http://127.0.0.2:9081; }
}
CONF
$edge->reload;

sub request {
    my ($method, $target, $host, @fields) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
    return $c->request($method, $target, [Host => $host, @fields]);
}
sub get { request('GET', @_) }

# ---- what the server and http levels say ----

get('/', $guest);
is_deeply([$app->sent('X-From-Http')], ['yes'],
    'a header set for all of http goes inside');
is_deeply([$app->sent('X-Forwarded-For')], ['127.0.0.1'],
    'but not in the place of one that must be true');

# ---- requests that nginx makes itself ----

my @stored = script(answer(200, 'x'));
get('/update/x', $guest, @stored);
ok(wait_until(sub {
    get('/update/x', $guest, @stored);
    return $app->requests > 2;
}, 5), 'a stale page is fetched again in the background');
is_deeply([map { /^Host: (.*?)\r$/mi } map { $_->{head} } $app->requests],
    [($guest) x $app->requests], 'under the name of the guest URI');

SKIP: {
    skip 'this nginx has no slice module', 2 if !$slice;
    $app->clear;
    my $r = get('/slice/x', $guest, script({ write =>
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/20\r\n"
        . "Content-Length: 10\r\nETag: \"e\"\r\n\r\n0123456789" }));
    ok(wait_until(sub { $app->requests > 1 }, 5), 'a second slice is fetched');
    is_deeply([map { /^Host: (.*?)\r$/mi } map { $_->{head} } $app->requests],
        [($guest) x $app->requests], 'under the name of the guest URI');
}

# ---- blocks inside the location ----

is(request('POST', '/limited/x', $guest, 'Content-Length' => 0)->status, 200,
    'a method that limit_except allows goes to the web bridge');
is(request('POST', '/limited/x', 'evil.test', 'Content-Length' => 0)->status,
    400, 'and through the gate');
is(get('/if/x?x=1', $guest)->header('X-Of'), 'if',
    'what an if block sets holds');
like(get('/if/x?x=1', $guest)->body, qr/^app: /,
    'for a page of the web bridge');
is(get('/if/x?x=1', 'evil.test')->status, 400, 'behind the gate');
is(get('/if/x', $guest)->header('X-Of'), 'location',
    'and without it what the location sets');

# ---- subrequests ----

$edge->clear_logs;
$other->clear;
my $r = get('/asks/x', $guest,
    script(answer(302, Location => "https://$inside/x", '')));
is($r->status, 302, 'a location that asks a web bridge for permission');
is($r->header('Location'), "https://$inside/x",
    'is not taken for the web bridge: its headers stay');
is_deeply([$other->sent('X-Web-Bridge')], [],
    'and has no web bridge of its own');
ok($edge->wait_access(qr{^/asks/x 302 "-" "-"$}m), 'nor in the log');
is(get('/guarded/x', 'evil.test')->status, 500,
    'a verdict asked for a foreign name is none');

my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
$app->clear;
my $open = $c->upgrade('/guarded/ws', Host => $guest,
    script({ websocket => 1 }));
is($open && $open->status, 101, 'a WebSocket behind auth_request opens');
is(scalar(grep { $_->{head} =~ /^Upgrade:/mi } $app->requests), 1,
    'and only its own request asks for it');

# ---- error pages ----

$edge->clear_logs;
like(get('/own-page/x', 'evil.test')->body, qr/^other: /,
    'a refused request can be given to another server');
ok($edge->wait_access(qr{^/own-page/x \d+ "-" "Host is no guest URI"$}m),
    'and the log still says why it was refused');

for my $failover ('failover', 'failover-200') {
    my $client = Edge::HttpClient->new(to => '127.0.0.1:80');
    my $answer = $client->upgrade("/$failover/x", Host => $guest, script(
        { write => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
            . "Connection: Upgrade\r\n\r\n" }, { tunnel => 1 }));
    is($answer && $answer->status, 502,
        "/$failover/: a spare web bridge cannot open a tunnel either");
    $client = Edge::HttpClient->new(to => '127.0.0.1:80');
    $answer = $client->upgrade("/$failover/ws", Host => $guest,
        script({ websocket => 1 }));
    is($answer && $answer->status, 101, '... but a WebSocket');
}

# ---- a cache ----

get('/cached/x', $guest, script(answer(200, "for $guest")));
is(get('/cached/x', 'meet.octavio.test',
    script(answer(200, 'for meet')))->body, 'for meet',
    'a cache does not mix the pages of two guest URIs');
is(get('/cached/x', $guest)->body, "for $guest", 'but keeps both');

is(get('/if', $guest)->status, 301, 'a name without its slash is led to it');

SKIP: {
    skip 'this nginx has no early_hints', 1 if !$hints;
    my $client = Edge::HttpClient->new(to => '127.0.0.1:80');
    $client->send("GET /hints/ HTTP/1.1\r\nHost: $guest\r\n"
        . join(': ', script({ write => "HTTP/1.1 103 Early Hints\r\n"
            . "Link: <https://$inside/a.css>; rel=preload\r\n\r\n" },
            answer(200, 'x'))) . "\r\n\r\n");
    my $early = $client->response;
    is($early->header('Link'), "<https://$guest/a.css>; rel=preload",
        'a hint before the answer does not name the inside');
}

# ---- a target that leads back ----

$edge->clear_logs;
is(get('/', 'loop.octavio.test')->status, 508,
    'a target that leads back here is found out');
ok($edge->wait_access(qr{^/ 508 "Loop" "-"}m), 'soon');
my @lines = $edge->access_log =~ /^/mg;
cmp_ok(scalar @lines, '<', 8, 'after a few rounds');
ok($edge->wait_error(qr/proxy loop, the target leads back here/),
    'and the log says so');
is(get('/', $guest, 'CDN-Loop' => 'another; v=1')->status, 200,
    'who came through another proxy gets in');
is_deeply([$app->sent('CDN-Loop')], ['another; v=1, cms-edge'],
    'and whom through is passed on');

done_testing();
