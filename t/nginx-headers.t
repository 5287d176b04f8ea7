use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Http2Client;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;

# What the web bridge says of itself by its internal name reaches the guest
# under the guest URI that was asked for; what belongs to others stays as it
# is, byte for byte.

my $in = 'cmsweb.cms.octavio.test';     # internal URI
my $out = 'cmsweb.octavio.test';        # guest URI, the canonical one
my $out2 = 'meet.octavio.test';         # another

my ($cert, $key) = Edge::Certs::cert('outside', $out, $out2);
my $inside_ca = Edge::Certs::ca('inside');
my $guest_app = Edge::RecordingApp->start(name => 'guest-app',
    listen => '127.0.0.2:9443',
    cert => [Edge::Certs::cert('inside', $out, $out2)]);
my $internal_app = Edge::RecordingApp->start(name => 'internal-app',
    listen => '127.0.0.2:9444', cert => [Edge::Certs::cert('inside', $in)]);

my $edge = Edge::Nginx->start(http => <<"CONF");
proxy_cache_path $Edge::Netns::dir/cache keys_zone=cache:1m;
cms_webbridge by_guest_name {
    guest_uri $out $out2;
    internal_uri $in web.cms.octavio.test:8443;
    domain cms.octavio.test octavio.test;
    target 127.0.0.2:9443;
    trusted_certificate $inside_ca;
}
cms_webbridge by_internal_name {
    guest_uri $out $out2;
    internal_uri $in web.cms.octavio.test:8443;
    domain cms.octavio.test octavio.test;
    target 127.0.0.2:9444;
    upstream_host internal;
    trusted_certificate $inside_ca;
}
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:443 ssl http2;
    listen 127.0.0.1:8443 ssl;
    location / { cms_proxy by_guest_name; }
    location /internal/ { cms_proxy by_internal_name; }
    location /cached/ {
        cms_proxy by_guest_name;
        proxy_cache cache;
        proxy_cache_valid 1h;
    }
}
CONF

my %client;

# get(path, host, fields ..., steps ...): the answer, on a kept connection.
sub get {
    my ($path, $host, @rest) = @_;
    my ($port) = $host =~ /:(\d+)$/ ? $1 : 443;
    my $c = $client{$port} //= Edge::HttpClient->new(
        to => "127.0.0.1:$port", tls => $out) // die $Edge::HttpClient::error;
    my $r = $c->get($path, Host => $host, @rest) // die "no answer for $path";
    delete $client{$port} if ($r->header('Connection') // '') eq 'close';
    return $r;
}

# ---- which name goes inside ----

for my $host ($out, $out2, "$out:443", uc $out) {
    get('/', $host);
    my ($sent) = $guest_app->sent('Host');
    like($sent, qr/^(?:\Q$out\E|\Q$out2\E)$/,
        "upstream_host guest: a configured guest URI goes inside ($host)");
    get('/internal/', $host);
    is_deeply([$internal_app->sent('Host')], [$in],
        "upstream_host internal: the internal URI goes inside ($host)");
}
my ($first) = $guest_app->requests;
is($first->{sni}, $out, 'upstream_host guest: SNI says the guest URI');
($first) = $internal_app->requests;
is($first->{sni}, $in, 'upstream_host internal: SNI says the internal URI');

# ---- responses ----

# [field, what the web bridge says, what the guest is told (undef: the same)];
# {in} stands for the internal URI, {out} for the guest URI that was asked for.
my @response = (
    # An absolute reference, in every shape of it.
    ['Location', 'https://{in}/meeting/1', 'https://{out}/meeting/1'],
    ['Location', 'https://{in}', 'https://{out}'],
    ['Location', 'https://{in}/', 'https://{out}/'],
    ['Location', 'https://{in}?x=1', 'https://{out}?x=1'],
    ['Location', 'https://{in}#top', 'https://{out}#top'],
    ['Location', 'https://{in}:443/x', 'https://{out}/x'],
    ['Location', 'https://web.cms.octavio.test:8443/x', 'https://{out}/x'],
    ['Location', '//{in}/x', '//{out}/x'],
    ['Location', 'wss://{in}/x', 'wss://{out}/x'],
    ['Location', 'https://CMSWEB.Cms.Octavio.Test/x', 'https://{out}/x'],
    ['Location', 'HTTPS://{in}/x', 'HTTPS://{out}/x'],
    ['Location', 'https://{in}./x', 'https://{out}/x'],
    ['Location', '/meeting/1?secret=a&id=b'],
    ['Location', 'meeting/1'],
    ['Location', '?x'],
    ['Location', ''],
    # Inside another's reference, as a sign-on service has it, too.
    ['Location', 'https://other.example/?back=https://{in}/x',
        'https://other.example/?back=https://{out}/x'],
    ['Location', 'https://other.example/?back=https%3A%2F%2F{in}%2Fx',
        'https://other.example/?back=https%3A%2F%2F{outcoded}%2Fx'],
    ['Location', 'https://other.example/{in}', 'https://other.example/{out}'],
    # What is no name of the web bridge stays.
    ['Location', 'https://other.example/'],
    ['Location', 'https://x{in}/'],
    ['Location', 'https://x.{in}/'],
    ['Location', 'https://{in}.example/'],
    ['Location', 'https://{in}-2/'],
    ['Location', 'https://x-{in}/'],
    ['Location', 'https://{in}_x/'],
    ['Location', 'https://octavio.test/'],
    ['Content-Location', 'https://{in}/page.html', 'https://{out}/page.html'],
    ['Content-Location', '/page.html'],
    ['Refresh', '5; url=https://{in}/x', '5; url=https://{out}/x'],
    ['Refresh', '0;URL="https://{in}:443/x"', '0;URL="https://{out}/x"'],
    ['Refresh', '5; url=/x'],
    ['Refresh', '5'],
    ['Refresh', '5; url=https://{in}.example/'],
    ['Link', '<https://{in}/a.css>; rel=preload; as=style',
        '<https://{out}/a.css>; rel=preload; as=style'],
    ['Link', '<https://{in}/a>; rel=preload, </b>; rel=next, <//{in}/c>; r=1',
        '<https://{out}/a>; rel=preload, </b>; rel=next, <//{out}/c>; r=1'],
    ['Link', '<https://fonts.example>; rel=preconnect'],
    ['Access-Control-Allow-Origin', 'https://{in}', 'https://{out}'],
    ['Access-Control-Allow-Origin', '*'],
    ['Access-Control-Allow-Origin', 'null'],
    ['Access-Control-Allow-Origin', 'https://other.example'],
    ['Access-Control-Allow-Origin', 'https://{in}.example'],
    ['Content-Security-Policy',
        "default-src 'self' https://{in} wss://{in};"
            . " report-uri https://{in}/r",
        "default-src 'self' https://{out} wss://{out};"
            . " report-uri https://{out}/r"],
    ['Content-Security-Policy', "connect-src {in} wss://{in}:443 https://x{in}",
        "connect-src {out} wss://{out} https://x{in}"],
    ['Content-Security-Policy', "script-src 'self' https://cdn.example"],
    ['Content-Security-Policy-Report-Only', 'connect-src wss://{in}',
        'connect-src wss://{out}'],
    # user@INSIDE, as `domain` has it.
    ['Location', '/x?to=anna@cms.octavio.test', '/x?to=anna@octavio.test'],
    ['Location', 'sip:anna@CMS.octavio.test;x=1', 'sip:anna@octavio.test;x=1'],
    ['Location', '/x?to=anna%40cms.octavio.test', '/x?to=anna%40octavio.test'],
    ['Location', '/x?to=anna@xcms.octavio.test'],
    ['Location', '/x?to=anna@cms.octavio.test.example'],
    ['Location', 'https://cms.octavio.test/'],
    # A cookie's Domain has no port; everything else of it is not ours.
    ['Set-Cookie', 'sid=1; Domain={in}; Path=/; Secure; HttpOnly',
        'sid=1; Domain={outhost}; Path=/; Secure; HttpOnly'],
    ['Set-Cookie', 'sid=1; domain={in}', 'sid=1; domain={outhost}'],
    ['Set-Cookie', 'sid=1;DOMAIN=CMSWEB.CMS.OCTAVIO.TEST;SameSite=None',
        'sid=1;DOMAIN={outhost};SameSite=None'],
    ['Set-Cookie', 'sid=1; Domain=.{in}', 'sid=1; Domain=.{outhost}'],
    # A parent domain of the web bridge's is none of the guest URI's.
    ['Set-Cookie', 'sid=1; Domain=cms.octavio.test',
        'sid=1; Domain={outhost}'],
    ['Set-Cookie', 'sid=1; Domain=octavio.test'],
    ['Set-Cookie', 'sid=1; Domain='],
    ['Set-Cookie', 'sid=1; Path=/; Secure'],
    ['Set-Cookie', 'where=https://{in}/; Path=/'],
    ['Set-Cookie', 'domain={in}; Path=/'],
    ['Set-Cookie', 'sid=1; Domain=other.example'],
    ['Set-Cookie', 'sid=1; Domain=x{in}'],
    ['Set-Cookie', 'sid=1; Domain={in}.example'],
    ['Set-Cookie', 'sid=1; Expires=Sun, 06 Nov 2033 08:49:37 GMT; X="a;b"'],
    # Fields that nobody promised to touch.
    ['X-Where', 'https://{in}/x'],
    ['ETag', '"{in}"'],
    ['Vary', 'Origin'],
);

for my $mode (['/', 'upstream_host guest'],
    ['/internal/', 'upstream_host internal']) {
    my ($path, $how) = @$mode;
    for my $host ($out, $out2, "$out:8443") {
        subtest "$how, asked for $host" => sub {
            (my $name = $host) =~ s/:.*//;
            for my $case (@response) {
                my ($field, $said, $told) = @$case;
                $told //= $said;
                my $coded = $host =~ s/:/%3A/r;
                $told =~ s/\{outhost\}/$name/g;
                $told =~ s/\{outcoded\}/$coded/g;
                for ($said, $told) {
                    s/\{in\}/$in/g;
                    s/\{out\}/$host/g;
                }
                my $r = get($path, $host, script(
                    answer($field =~ /^Location/ ? 302 : 200, $field => $said,
                        'Some body')));
                is($r->header($field), $told, "$field: $said");
            }
        };
    }
}

{
    my $r = get('/', $out, script(answer(200,
        'Set-Cookie' => "a=1; Domain=$in",
        'Link' => "<https://$in/a>; rel=next",
        'X-Between' => 'stays',
        'Set-Cookie' => 'b=2',
        'Link' => '</b>; rel=prev',
        'Set-Cookie' => "c=3; Domain=$in; Secure",
        'Link' => "<//$in/c>; rel=prev",
        'Content-Security-Policy' => "connect-src https://$in",
        'Content-Security-Policy' => "img-src https://$in")));
    is_deeply([$r->all('Set-Cookie')], ["a=1; Domain=$out", 'b=2',
        "c=3; Domain=$out; Secure"], 'several Set-Cookie keep their order');
    is_deeply([$r->all('Link')], ["<https://$out/a>; rel=next",
        '</b>; rel=prev', "<//$out/c>; rel=prev"], 'so do several Link');
    is_deeply([$r->all('Content-Security-Policy')],
        ["connect-src https://$out", "img-src https://$out"],
        'and several Content-Security-Policy');
    is($r->header('X-Between'), 'stays', 'what stands between them stays');
}
for my $status (201, 301, 302, 303, 307, 308, 401, 404, 500) {
    my $r = get('/', $out,
        script(answer($status, Location => "https://$in/x", 'b')));
    is($r->header('Location'), "https://$out/x",
        "whatever the status: Location with $status");
}
{
    my $long = '<https://IN/a>; rel=preload, ' x 80;
    (my $said = $long) =~ s/IN/$in/g;
    (my $told = $long) =~ s/IN/$out/g;
    my $r = get('/', $out, script(answer(200, Link => $said)));
    is($r->header('Link') . ' ', $told, 'a field with eighty names in it');
}
{
    my $c = Edge::Http2Client->new(to => '127.0.0.1:443', tls => $out);
    my $r = $c->get($out2, '/', script(answer(302,
        Location => "https://$in/x", 'Set-Cookie' => "a=1; Domain=$in",
        'Set-Cookie' => 'b=2')));
    is($r->header('Location'), "https://$out2/x", 'over HTTP/2: Location');
    is_deeply([$r->all('Set-Cookie')], ["a=1; Domain=$out2", 'b=2'],
        'over HTTP/2: Set-Cookie');
}
{
    $guest_app->clear;
    my @told = map { get('/cached/', $_, script(answer(302,
        Location => "https://$in/x")))->header('Location') } $out, $out2;
    is(scalar $guest_app->requests, 2,
        'answers that stock nginx cached, one for each guest URI');
    is_deeply(\@told, ["https://$out/x", "https://$out2/x"],
        'names for everybody the guest URI they asked for');
}
{
    my $body = "<a href=\"https://$in/\">x</a>";
    my $r = get('/', $out, script(answer(200, 'Content-Type' => 'text/css',
        $body)));
    is(length $r->body, $r->header('Content-Length') // length $r->body,
        'the length of the body is what the field says');
}

# ---- requests ----

# [field, what the guest sends, what reaches a web bridge that is called by
# its internal name (undef: the same)]
my @request = (
    ['Origin', 'https://{out}', 'https://{in}'],
    ['Origin', 'https://CMSWEB.OCTAVIO.TEST', 'https://{in}'],
    ['Origin', 'https://{out}:443', 'https://{in}'],
    ['Origin', 'https://other.example'],
    ['Origin', 'https://{out}.example'],
    ['Origin', 'https://x{out}'],
    ['Origin', 'https://x.{out}'],
    ['Origin', 'null'],
    # Nobody outside is at home on the internal name.
    ['Origin', 'https://{in}', 'null'],
    ['Referer', 'https://{out}/meeting/1?secret=abc',
        'https://{in}/meeting/1?secret=abc'],
    ['Referer', 'https://{out}', 'https://{in}'],
    ['Referer', 'https://{out}/?back=https://other.example/',
        'https://{in}/?back=https://other.example/'],
    ['Referer', 'https://other.example/{out}'],
    ['Referer', 'https://{out}.example/x'],
    ['Cookie', 'a={out}; b=2'],
    ['X-Where', 'https://{out}/'],
    ['User-Agent', '{out}'],
    ['Authorization', 'Bearer {out}'],
    ['Content-Type', 'text/plain; x={out}'],
);
for my $case (@request) {
    my ($field, $sent, $seen) = @$case;
    $seen //= $sent;
    for ($sent, $seen) {
        s/\{in\}/$in/g;
        s/\{out\}/$out/g;
    }
    get('/', $out, $field => $sent);
    is_deeply([$guest_app->sent($field)], [$sent],
        "upstream_host guest: $field: $sent stays");
    get('/internal/', $out, $field => $sent);
    is_deeply([$internal_app->sent($field)], [$seen],
        "upstream_host internal: $field: $sent"
            . ($seen eq $sent ? ' stays' : ''));
}
get('/internal/', $out);
is_deeply([map { $internal_app->sent($_) } qw(Origin Referer)], [],
    'where a guest sends no Origin or Referer, none is made up');
get('/internal/', $out2, Origin => "https://$out2");
is_deeply([$internal_app->sent('Origin')], ["https://$in"],
    'the Origin of another guest URI becomes the internal one as well');
get('/internal/', "$out:8443", Origin => "https://$out:8443");
is_deeply([$internal_app->sent('Origin')], ["https://$in"],
    'so does one with the port of the listener');
get('/internal/', $out, Cookie => 'a=1', Accept => 'text/html',
    'X-One' => '1', 'X-One' => '2');
is_deeply([map { [$internal_app->sent($_)] } qw(Cookie Accept X-One)],
    [['a=1'], ['text/html'], ['1', '2']], 'all else goes inside as it came');
{
    my $c = $client{443};
    my $body = "see https://$out/ and $in";
    $c->request('POST', '/internal/', [Host => $out], $body);
    is($internal_app->last_request->{body}, $body,
        'a request body goes inside as it came');
}

done_testing();
