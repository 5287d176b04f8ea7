use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;

# What can be written in nginx.conf, what it then does, and what nginx says of
# what cannot be: always the file and the line.

my ($cert, $key) = Edge::Certs::cert('outside', 'cmsweb.octavio.test',
    'meet.octavio.test', 'conf.octavio.test');
my $inside_ca = Edge::Certs::ca('inside');
my $guest = 'cmsweb.octavio.test';

# ---- accepted ----

my $web_bridge = "guest_uri $guest;\n target 127.0.0.2:9443;";
my $server = "server { listen 127.0.0.1:80;\n"
    . " location / { cms_proxy cmsweb; }\n}\n";

my @accepted = (
    ['the least there is', $web_bridge],
    ['more guest and internal URIs on further lines',
        "guest_uri $guest;\n guest_uri meet.test;\n internal_uri a.test;\n"
            . "internal_uri b.test;\n target 127.0.0.2;"],
    ['several guest and internal URIs, with and without port',
        "guest_uri a.test b.test:8443 C.test.;\n internal_uri x.test y.test:1;"
            . "\n target 127.0.0.2;"],
    ['a target on a unix socket',
        "guest_uri $guest;\n target unix:/run/cms-tunnel/cmsweb.sock;"],
    ['a target with the parameters of a stock server',
        "guest_uri $guest;\n target 127.0.0.2:9443 weight=2 max_fails=3"
            . " fail_timeout=5s max_conns=9;\n target 127.0.0.3:9443 backup;"],
    ['a target by IPv6 address', "guest_uri $guest;\n target [::1]:443;"],
    ['hash beside our directives',
        "hash \$remote_addr consistent;\n $web_bridge"],
    ['least_conn, zone and keepalive beside our directives',
        "zone cms 128k;\n least_conn;\n $web_bridge\n keepalive 4;\n"
            . 'keepalive_timeout 30s;'],
    ['ip_hash beside our directives', "ip_hash;\n $web_bridge"],
    ['a stock server beside a target',
        "$web_bridge\n server 127.0.0.3:9443;"],
    ['tls on', "$web_bridge\n tls on;"],
    ['tls off', "$web_bridge\n tls off;"],
    ['verify off', "$web_bridge\n verify off;"],
    ['verify on with a CA file',
        "$web_bridge\n verify on;\n trusted_certificate $inside_ca;"],
    ['upstream_host guest', "$web_bridge\n upstream_host guest;"],
    ['upstream_host internal',
        "$web_bridge\n internal_uri x.test;\n upstream_host internal;\n"
            . 'rewrite_websocket on;'],
    ['domain', "$web_bridge\n domain cms.test octavio.test;"],
    ['methods', "$web_bridge\n methods GET POST OPTIONS;"],
    ['websocket_timeout', "$web_bridge\n websocket_timeout 2h;"],
    ['stock proxy directives',
        "$web_bridge\n proxy_read_timeout 5s;\n proxy_buffering off;\n"
            . "proxy_set_header X-One 1;\n proxy_set_header X-Two 2;\n"
            . "proxy_connect_timeout 1s;\n proxy_ssl_verify_depth 3;\n"
            . 'proxy_hide_header X-Powered-By;'],
);
for my $case (@accepted) {
    my ($title, $body) = @$case;
    my ($status, $said) = Edge::Nginx->test_conf(
        http => "cms_webbridge cmsweb {\n$body\n}\n$server");
    ok($status == 0 && $said !~ /\[(?:warn|error|crit|alert|emerg)\]/,
        "accepted, without a word: $title") or diag $said;
}

# ---- accepted, with a warning ----

for my $off ('', 'rewrite_websocket off;') {
    my ($status, $said) = Edge::Nginx->test_conf(
        http => "cms_webbridge cmsweb {\n$web_bridge\n internal_uri x.test;\n"
            . "upstream_host internal;\n$off\n}\n$server");
    my @warnings = $said =~ /^.*\[warn\].*$/mg;
    ok($status == 0 && @warnings == 1 && $warnings[0] =~
        /cms_webbridge "cmsweb" has "upstream_host internal" without "rewrite_websocket on".* in \S+nginx\.conf:\d+$/,
        'a warning, once, with the place: upstream_host internal and '
            . ($off || 'no rewrite_websocket')) or diag $said;
}

# ---- refused ----

sub is_refused {
    my ($title, $http, $at, $re) = @_;
    my ($status, $said) = Edge::Nginx->test_conf(http => $http);
    my $line = Edge::Nginx->conf_line($at);
    subtest "refused: $title" => sub {
        isnt($status, 0, 'nginx -t fails');
        my ($emerg) = $said =~ /\[emerg\] (.*)/;
        $emerg //= '';
        like($emerg, qr/in \Q$line\E$/, 'it names the file and the line')
            or diag $said;
        like($emerg, $re, 'and says what is wrong');
    };
}

# What is wrong inside a block: [title, body, text on the line, message].
my @refused_inside = (
    ['no guest_uri', 'target 127.0.0.2:9443;', undef, qr/guest_uri/],
    ['a guest URI twice', "guest_uri $guest $guest;\n target 127.0.0.2;",
        'guest_uri', qr/\Q$guest\E/],
    ['a guest URI twice, spelled differently',
        "guest_uri $guest CMSWEB.octavio.test.;\n target 127.0.0.2;",
        'guest_uri', qr/octavio/i],
    ['a guest URI that is an address', "guest_uri 192.0.2.1;\n target x;",
        'guest_uri', qr/192\.0\.2\.1/],
    ['a guest URI that is an IPv6 address', "guest_uri [::1];\n target x;",
        'guest_uri', qr/::1/],
    ['a guest URI with a scheme', "guest_uri https://$guest;\n target x;",
        'guest_uri', qr/https:/],
    ['a guest URI with a path', "guest_uri $guest/x;\n target x;",
        'guest_uri', qr{/x}],
    ['a guest URI with a port too high', "guest_uri $guest:65536;\n target x;",
        'guest_uri', qr/65536/],
    ['a guest URI with port 0', "guest_uri $guest:0;\n target x;",
        'guest_uri', qr/:0/],
    ['an internal URI that is no host', "$web_bridge\n internal_uri a/b;",
        'internal_uri', qr{a/b}],
    ['guest_uri without a value', "guest_uri;\n target x;", 'guest_uri',
        qr/invalid number of arguments/],
    ['target without a value', "guest_uri $guest;\n target;", 'target;',
        qr/invalid number of arguments/],
    ['a target with an unknown parameter',
        "guest_uri $guest;\n target 127.0.0.2 wait=3;", 'target', qr/wait=3/],
    ['a target with a port too high',
        "guest_uri $guest;\n target 127.0.0.2:99999;", 'target',
        qr/port|99999/],
    ['a target with a scheme', "guest_uri $guest;\n target https://a.test;",
        'target', qr{https://a\.test}],
    ['tls neither on nor off', "$web_bridge\n tls yes;", 'tls', qr/"?yes"?/],
    ['tls twice', "$web_bridge\n tls on;\n tls off;", 'tls off', qr/duplicate/],
    ['verify neither on nor off', "$web_bridge\n verify optional;", 'verify',
        qr/optional/],
    ['a CA file that is not there',
        "$web_bridge\n trusted_certificate /nonexistent.pem;", undef,
        qr{/nonexistent\.pem}],
    ['upstream_host with another word', "$web_bridge\n upstream_host both;",
        'upstream_host', qr/both/],
    ['upstream_host internal without an internal URI',
        "$web_bridge\n upstream_host internal;", undef, qr/internal_uri/],
    ['an unknown method', "$web_bridge\n methods GET FETCH;", 'methods',
        qr/FETCH/],
    ['methods without a value', "$web_bridge\n methods;", 'methods',
        qr/invalid number of arguments/],
    ['methods twice', "$web_bridge\n methods GET;\n methods POST;",
        'methods POST', qr/duplicate/],
    ['a websocket_timeout that is no time',
        "$web_bridge\n websocket_timeout long;", 'websocket_timeout',
        qr/long|invalid value/],
    ['an unknown directive', "$web_bridge\n guest_url x;", 'guest_url',
        qr/unknown directive "guest_url"/],
    ['an unknown proxy directive', "$web_bridge\n proxy_reed_timeout 1s;",
        'proxy_reed', qr/unknown directive "proxy_reed_timeout"/],
    ['a proxy directive with a bad value',
        "$web_bridge\n proxy_read_timeout soon;", 'proxy_read',
        qr/invalid value/],
    ['a proxy directive twice',
        "$web_bridge\n proxy_read_timeout 1s;\n proxy_read_timeout 2s;",
        'proxy_read_timeout 2s', qr/duplicate/],
    ['proxy_pass in a web bridge', "$web_bridge\n proxy_pass http://x;",
        'proxy_pass', qr/proxy_pass/],
);
for my $case (@refused_inside) {
    my ($title, $body, $at, $re) = @$case;
    is_refused($title, "cms_webbridge cmsweb {\n $body\n}\n$server",
        $at // 'cms_webbridge cmsweb', $re);
}

is_refused("our directive '$_' in a stock upstream",
    "upstream stock {\n server 127.0.0.2:1;\n $_;\n}\n", $_,
    do { my ($name) = split / /; qr/"\Q$name\E"/ })
    for "guest_uri $guest", 'internal_uri x.test', 'target 127.0.0.2:1',
        'tls on', 'verify off', 'upstream_host guest', 'methods GET',
        'websocket_timeout 1h', "trusted_certificate $inside_ca",
        'proxy_read_timeout 1s', 'proxy_set_header A b';

# What is wrong around blocks.
my $block = "cms_webbridge cmsweb {\n $web_bridge\n}\n";
is_refused('cms_proxy with an unknown name',
    "$block server {\n location / {\n  cms_proxy other;\n }\n}\n",
    'cms_proxy other', qr/"other"/);
is_refused('cms_proxy with the name of a stock upstream',
    "${block}upstream stock { server 127.0.0.2:1; }\n"
        . "server {\n location / {\n  cms_proxy stock;\n }\n}\n",
    'cms_proxy stock', qr/"stock"/);
is_refused('cms_proxy without a name',
    "$block server {\n location / {\n  cms_proxy;\n }\n}\n", 'cms_proxy;',
    qr/invalid number of arguments/);
is_refused('cms_proxy twice in a location',
    "$block server {\n location / {\n  cms_proxy cmsweb;\n"
        . "  cms_proxy  cmsweb;\n }\n}\n", 'cms_proxy  cmsweb', qr/duplicate/);
is_refused('cms_proxy with a name twice',
    "$block server {\n location / {\n  cms_proxy cmsweb cmsweb;\n }\n}\n",
    'cms_proxy cmsweb', qr/"cmsweb"|duplicate/);
is_refused('cms_proxy in a server', "$block server {\n cms_proxy cmsweb;\n}\n",
    'cms_proxy cmsweb', qr/not allowed here/);
is_refused('cms_proxy beside proxy_pass',
    "$block server {\n location / {\n  cms_proxy cmsweb;\n"
        . "  proxy_pass http://127.0.0.2:1;\n }\n}\n",
    'proxy_pass http', qr/"proxy_pass".*"cms_proxy"/);
is_refused('cms_webbridge in a server',
    "server {\n cms_webbridge x {\n $web_bridge\n }\n}\n", 'cms_webbridge x',
    qr/not allowed here/);
is_refused('two web bridges of one cms_proxy with one guest URI',
    "${block}cms_webbridge second {\n $web_bridge\n}\n"
        . "server {\n location / {\n  cms_proxy cmsweb second;\n }\n}\n",
    'cms_proxy cmsweb second', qr/\Q$guest\E.*"cmsweb".*"second"/);
{
    my ($status, $said) = Edge::Nginx->test_conf(
        http => "$block${block}$server");
    isnt($status, 0, 'refused: two web bridges of one name');
    like($said, qr/\[emerg\] .*"cmsweb".* in \S+nginx\.conf:\d+/,
        'it names the file and the line');

    ($status, $said) = Edge::Nginx->test_conf(
        http => "cms_webbridge cmsweb {\n guest_uri $guest;\n"
            . " target nowhere.octavio.test;\n}\n$server");
    is($status, 0, 'a target that does not resolve does not stop nginx');
}

# ---- several web bridges behind one location ----

my %app = map {
    $$_[0] => Edge::RecordingApp->start(name => $$_[0], listen => $$_[1],
        ($$_[2] ? (cert => [Edge::Certs::cert('inside', @$_[2 .. $#$_])]) : ()))
} ['one', '127.0.0.2:9443', $guest], ['two', '127.0.0.2:9444',
    'meet.octavio.test'], ['three', '127.0.0.2:9445', 'conf.octavio.test'],
    ['plain', '127.0.0.2:9080'], ['socket', "$Edge::Netns::dir/cms.sock"];

my @common = ("trusted_certificate $inside_ca;");
my $edge = Edge::Nginx->start(http => <<"CONF");
cms_webbridge one {
    guest_uri $guest; target 127.0.0.2:9443; @common
}
cms_webbridge two {
    guest_uri meet.octavio.test; target 127.0.0.2:9444; @common
}
cms_webbridge three {
    guest_uri conf.octavio.test; target 127.0.0.2:9445; @common
}
cms_webbridge plain {
    guest_uri $guest; target 127.0.0.2:9080; tls off;
}
cms_webbridge socket {
    guest_uri $guest; target unix:$Edge::Netns::dir/cms.sock; tls off;
}
cms_webbridge unresolved {
    guest_uri $guest; target nowhere.octavio.test:443;
}
cms_webbridge balanced {
    guest_uri $guest; tls off;
    target 127.0.0.2:9099 max_fails=0;
    target 127.0.0.2:9080 backup;
}
cms_webbridge headers {
    guest_uri $guest; target 127.0.0.2:9080; tls off;
    proxy_set_header X-Block block;
    proxy_set_header X-Forwarded-Proto from-block;
    proxy_hide_header X-Hidden;
}
cms_webbridge slow {
    guest_uri $guest; target 127.0.0.2:9080; tls off;
    proxy_read_timeout 300ms;
}
server {
    listen 127.0.0.1:80;
    location / { cms_proxy one two three; }
    location /plain/ { cms_proxy plain; }
    location /socket/ { cms_proxy socket; }
    location /unresolved/ { cms_proxy unresolved; }
    location /balanced/ { cms_proxy balanced; }
    location /headers/ { cms_proxy headers; }
    location /headers-location/ {
        cms_proxy headers;
        proxy_set_header X-Location location;
    }
    location /host/ {
        cms_proxy plain;
        proxy_set_header Host own.octavio.test;
        proxy_set_header X-Forwarded-For own;
    }
    location /slow/ { cms_proxy slow; }
    location /slow-above/ { proxy_read_timeout 30s; cms_proxy slow; }
    location /slow-below/ { cms_proxy slow; proxy_read_timeout 30s; }
    location /above/ { proxy_read_timeout 300ms; cms_proxy plain; }
    location /below/ { cms_proxy plain; proxy_read_timeout 300ms; }
    location /outer/ {
        cms_proxy plain;
        location /outer/nested/ { cms_proxy two; }
        location /outer/static/ { return 204; }
    }
    location ~ ^/regex/(.*)\$ { cms_proxy plain; }
    location = /exact { cms_proxy plain; }
    location /own-page/ {
        cms_proxy plain;
        error_page 400 405 502 =200 /sorry;
    }
    location = /sorry { return 200 "sorry"; }
    location /old/ { rewrite ^/old/(.*)\$ /new/\$1 break; cms_proxy plain; }
}
CONF

my $c;
sub get {
    my ($target, $host, @rest) = @_;
    $c //= Edge::HttpClient->new(to => '127.0.0.1:80');
    my $r = $c->get($target, Host => $host // $guest, @rest)
        // die "no answer for $target";
    $c = undef if ($r->header('Connection') // '') eq 'close';
    return $r;
}
sub seen_by { return scalar $app{$_[0]}->requests }

for my $case ([$guest, 'one'], ['meet.octavio.test', 'two'],
    ['conf.octavio.test', 'three'], ['CONF.octavio.test.', 'three']) {
    my ($host, $name) = @$case;
    like(get('/x', $host)->body, qr/^$name: /,
        "several web bridges: $host reaches its own");
}
is(get('/x', 'other.octavio.test')->status, 400,
    'several web bridges: an unknown name reaches none');
is(get('/plain/x', 'meet.octavio.test')->status, 400,
    'the name of another web bridge does not get into this one');

like(get('/plain/x')->body, qr/^plain: GET \/plain\/x HTTP\/1\.1/,
    'tls off: the leg inside is plain HTTP/1.1');
is_deeply([$app{plain}->sent('Host')], [$guest], 'to the guest URI');
like(get('/socket/x')->body, qr/^socket: GET \/socket\/x/,
    'a target may be a unix socket');
is_deeply([$app{socket}->sent('Host')], [$guest], 'the guest URI goes there');
is(get('/unresolved/')->status, 502,
    'a target that does not resolve stops nobody: its guests get 502');
like(get('/balanced/')->body, qr/^plain: /,
    'a backup target takes over from a dead one');
like(get('/plain/%2e%2E/a%20b?x=%41&y=//z')->body,
    qr{GET /plain/%2e%2E/a%20b\?x=%41&y=//z HTTP},
    'the path and the query go inside as they came');
like(get('/plain//a/../b')->body, qr{GET /plain//a/\.\./b HTTP},
    'not even normalised');
like(get('/regex/a')->body, qr{^plain: GET /regex/a },
    'in a location by regular expression');
like(get('/exact?x')->body, qr{^plain: GET /exact\?x },
    'in a location by exact name');
like(get('/old/a')->body, qr{^plain: GET /new/a }, 'after a stock rewrite');
like(get('/outer/x')->body, qr/^plain: /, 'an outer location');
like(get('/outer/nested/x', 'meet.octavio.test')->body, qr/^two: /,
    'a nested location has a web bridge of its own');
is(get('/outer/nested/x')->status, 400, 'and its own gate');
is(get('/outer/static/x')->status, 204,
    'a nested location without one has none');

is(get('/own-page/x', 'other.octavio.test')->body, 'sorry',
    'a refusal may have an error_page of its own');
is(get('/own-page/x')->status, 200, 'beside which guests get in');

# ---- stock proxy directives: the location wins, both win over our defaults --

get('/headers/');
is_deeply([map { [$app{plain}->sent($_)] }
    qw(X-Block X-Forwarded-Proto Host X-Forwarded-For)],
    [['block'], ['from-block'], [$guest], ['127.0.0.1']],
    'proxy_set_header in the block: set, wins, and the rest of ours stays');
get('/headers-location/');
is_deeply([map { [$app{plain}->sent($_)] } qw(X-Location Host)],
    [['location'], [$guest]],
    'proxy_set_header in the location is set, and Host stays ours');
get('/host/');
is_deeply([map { [$app{plain}->sent($_)] } qw(Host X-Forwarded-For)],
    [['own.octavio.test'], ['own']],
    'proxy_set_header in the location wins over ours, without a second one');

my @late = script({ wait => 1 }, answer(200, 'late'));
my @together = (
    ['/slow/', 504, 'proxy_read_timeout in the block is obeyed'],
    ['/slow-above/', 200, 'the one in the location, above cms_proxy, wins'],
    ['/slow-below/', 200, 'the one in the location, below cms_proxy, wins'],
    ['/above/', 504, 'above cms_proxy it wins over the default'],
    ['/below/', 504, 'below cms_proxy it wins over the default'],
    ['/plain/', 200, 'the default is longer'],
);
my @clients = map { Edge::HttpClient->new(to => '127.0.0.1:80') } @together;
for my $i (0 .. $#together) {
    $clients[$i]->send("GET $together[$i][0] HTTP/1.1\r\nHost: $guest\r\n"
        . "$late[0]: $late[1]\r\n\r\n");
}
for my $i (0 .. $#together) {
    my (undef, $status, $title) = @{$together[$i]};
    is($clients[$i]->response->status, $status, $title);
}

# ---- reload ----

ok($edge->reload, 'the configuration can be loaded again');
$c = undef;
like(get('/x', 'meet.octavio.test')->body, qr/^two: /, 'and works as before');
ok(!$edge->reload(http => "cms_webbridge x {\n proxy_read_timeout 1s;\n}\n"),
    'a wrong configuration is refused while running');
like(get('/x', 'meet.octavio.test')->body, qr/^two: /,
    'and the old one goes on');
ok($edge->reload(http => "cms_webbridge two { guest_uri new.octavio.test;"
    . " target 127.0.0.2:9080; tls off; proxy_set_header X-New 1; }\n"
    . "server { listen 127.0.0.1:80; location / { cms_proxy two; } }\n"),
    'another configuration can be loaded');
$c = undef;
is(get('/x', 'meet.octavio.test')->status, 400, 'the old guest URI is gone');
like(get('/x', 'new.octavio.test')->body, qr/^plain: /, 'the new one is there');
is_deeply([$app{plain}->sent('X-New')], ['1'], 'with what its block says');
unlike($edge->error_log, qr/\[(?:crit|alert)\]/, 'nothing alarming is logged');

done_testing();
