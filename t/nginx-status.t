use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp spew wait_until);
use Edge::Targets;
use JSON::PP;
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(time);

# cms_status: who may read it, what it says in each of its three forms, and
# that nothing which lies in place of the coturn plugin's files harms it.

my $guest = $Edge::Targets::guest;
my $dir = "$Edge::Netns::dir/figures";
mkdir $dir;
my $turn = "$dir/turn.json";
my $site = Edge::Targets->start(
    health => 'interval=2s timeout=1s fails=1',
    server => 'cms_certificate_check warn;',
    http => <<"CONF");
server {
    listen 127.0.0.1:8445;
    listen [::1]:8445;
    server_name edge.octavio.test *.inside.octavio.test ~^any\\.;
    location / { cms_status turn=$turn; }
    location /without/ { cms_status; }
}
server {
    listen 127.0.0.1:8446;
    cms_status turn=$turn;
    if (\$arg_if) { set \$if 1; }
    location /if/ {
        cms_status;
        if (\$arg_if) { set \$if 1; }
        limit_except GET { deny all; }
    }
}
server {
    listen [::]:8447 ipv6only=off;
    location / { cms_status; }
}
CONF
my $edge = $site->edge;

# One request of its own connection: the response.
sub ask {
    my ($target, %o) = @_;
    my $c = Edge::HttpClient->new(to => $o{to} // '127.0.0.1:8445')
        // die $Edge::HttpClient::error;
    return $c->request($o{method} // 'GET', $target,
        [Host => $o{host} // '127.0.0.1:8445'], $o{body});
}

sub status { return decode_json(ask('/?format=json')->body) }

# The problems that it tells of, in one string.
sub problems {
    return join "\n", map { "$_->{level}: $_->{text}" }
        @{status()->{problems}};
}

# Once it says so: true.
sub tells {
    my ($re) = @_;
    my $said;
    my $found = wait_until(sub { $said = problems(); $said =~ $re }, 20);
    diag($said) if !$found;
    return $found;
}

# ---- who may read it ----

for my $host ('127.0.0.1', '127.0.0.1:8445', 'edge.octavio.test',
    'EDGE.octavio.test.:8445', 'a.inside.octavio.test', 'localhost',
    'localhost:8445') {
    is(ask('/', host => $host)->status, 200, "Host $host is answered");
}
for my $host ('rebound.attacker.test', $guest, 'any.octavio.test',
    'edge.octavio.test.attacker.test', '127.0.0.2', '127.0.0.1.attacker.test',
    'localhost.attacker.test', '2130706433', '[::1]') {
    my $r = ask('/', host => $host);
    is($r->status, 403, "Host $host is refused");
    is($r->body, '', '... without a word');
}
ok(wait_until(sub { $edge->error_log =~
    /\[error\].* cms_status refused the request: Host is no server_name/ }, 5),
    '... and with a line in the error log');
is(ask('/', to => '[::1]:8445', host => '[::1]:8445')->status, 200,
    'an IPv6 address of the listener is answered');
is(ask('/', to => '[::1]:8445', host => '127.0.0.1')->status, 403,
    '... and another address is not');
is(ask('/', to => '127.0.0.1:8447', host => '127.0.0.1:8447')->status, 200,
    'a listener of both families knows its IPv4 address');
is(ask('/', to => '127.0.0.1:8446', host => '127.0.0.1:8446')->status, 200,
    'cms_status may stand in a server');
is(ask('/', to => '127.0.0.1:8446', host => 'edge.octavio.test')->status, 403,
    '... which has names of its own');
is(ask($_, to => '127.0.0.1:8446', host => '127.0.0.1:8446')->status, 200,
    "an \"if\" beside it changes nothing: $_") for '/?if=1', '/if/?if=1';
is(ask('/if/', to => '127.0.0.1:8446', host => '127.0.0.1', method => 'POST')
    ->status, 403, '"limit_except" beside it holds');

for my $method (qw(POST PUT DELETE OPTIONS PROPFIND)) {
    my $r = ask('/', method => $method);
    is($r->status, 405, "$method is refused");
    is($r->header('Allow'), 'GET, HEAD', '... and told what is not');
}
is(ask('/', method => 'POST', body => 'x' x 100000)->status, 405,
    'a POST with a body, too');
{
    my $c = Edge::HttpClient->new(to => '127.0.0.1:8445');
    $c->send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my $r = $c->response('HEAD');
    is($r->status, 200, 'HEAD is answered');
    cmp_ok($r->header('Content-Length'), '>', 1000, '... with the length');
    is($c->get('/?format=xml', Host => 'localhost')->status, 400,
        'a format that there is not is refused');
}

# ---- the page ----

{
    my $r = ask('/');
    is($r->header('Content-Type'), 'text/html; charset=utf-8', 'HTML');
    is($r->header('Cache-Control'), 'no-store', 'nobody keeps it');
    like($r->header('Content-Security-Policy'), qr/^default-src 'none'; style/,
        'nothing but its own style is allowed in it');
    unlike($r->body, qr/<script|<img|<link|javascript:|https?:/i,
        'no script, nothing from elsewhere');
    like($r->body, qr/<meta http-equiv="refresh" content="10">/,
        'it comes again by itself');
    like($r->body, qr/\Q$guest\E/, 'with the guest URI');
    like($r->body, qr/>127\.0\.0\.3:443</, 'and the targets');
}

# ---- web bridges ----

ok(wait_until(sub {
    my @states = map { $_->{state} } map { @{$_->{addresses}} }
        @{status()->{webbridges}[0]{targets}};
    return "@states" eq 'active active';
}, 20), 'both targets are active');
{
    my ($wb) = @{status()->{webbridges}};
    is($wb->{name}, 'cmsweb', 'the name of a web bridge');
    is_deeply($wb->{guest_uris}, [$guest], '... its guest URIs');
    is_deeply([map { $_->{target} } @{$wb->{targets}}],
        ['127.0.0.2:443', '127.0.0.3:443'], '... its targets, as written');
    my $a = $wb->{targets}[0]{addresses}[0];
    is($a->{address}, '127.0.0.2:443', '... their addresses');
    cmp_ok(abs($a->{probed} - time), '<', 10, '... when they were probed');
    ok($a->{latency} > 0 && $a->{latency} < 5, '... how long that took');
}
for my $case (['killed', qr/refused/], ['wrong certificate', qr/certificate/],
    ['answers 503', qr/503/], ['frozen', qr/no answer within/]) {
    my ($fault, $words) = @$case;
    $site->break('one', $fault);
    ok(tells(qr/^warning: 1 of 2 targets of cmsweb failed: .*$words/m),
        "one target $fault: told in one line");
    my $a = status()->{webbridges}[0]{targets}[0]{addresses}[0];
    is($a->{state}, 'failed', '... it is Failed');
    like($a->{reason}, $words, '... with the reason');
    like(ask('/')->body, qr{Failed</span>.*class="why">[^<]*$words},
        '... on the page as well');
    like(ask('/?format=prometheus')->body,
        qr/^cms_edge_target_up\{[^}]*address="127\.0\.0\.2:443"\} 0$/m,
        '... and in the figures');
    $site->mend('one');
    ok(wait_until(sub { problems() !~ /cmsweb/ }, 20),
        '... until it is back');
}
$site->break($_, 'killed') for 'one', 'two';
ok(tells(qr/^error: all 2 targets of cmsweb failed: .*refused/m),
    'all targets down: an error');
$site->mend($_) for 'one', 'two';
ok(wait_until(sub { problems() !~ /cmsweb/ }, 20), '... until they are back');

# ---- TURN ----

# What the plugin writes, so long ago.
sub figures {
    my ($age, %more) = @_;
    my $now = time;
    return encode_json({version => '1.0', pid => 7, started => $now - 1000,
        updated => $now - $age, status => 'active',
        listening => [{protocol => 'udp', address => '192.0.2.1', port => 3478},
            {protocol => 'tcp', address => '2001:db8::1', port => 3478}],
        clients => {tcp => 3, udp => 5}, relays => {tcp => 3, udp => 6},
        stores => {postgresql => 'up', redis => 'off', cli => 'up'},
        cache => {users => 2, absent => 1, bytes => 400,
            complete => JSON::PP::true},
        feed => {state => 'live', lag => 0.1}, counters => {redis_fills => 4},
        look_ups => {}, %more});
}

like(problems(), qr/^error: TURN: \Q$turn\E does not exist: turnserver is not/m,
    'no file: TURN is not running');
spew($turn, figures(1));
unlike(problems(), qr/TURN/, 'a fresh file: no problem with TURN');
{
    my $t = status()->{turn};
    is($t->{state}, 'running', 'it is running');
    is_deeply([$t->{relays}, $t->{clients}],
        [{tcp => 3, udp => 6}, {tcp => 3, udp => 5}], '... with its figures');
    like(ask('/')->body, qr/192\.0\.2\.1:3478 udp.*\[2001:db8::1\]:3478 tcp/,
        '... on the page as well');
    ok(!exists decode_json(ask('/without/?format=json')->body)->{turn},
        'without turn= there is no word of it');
}
spew($turn, figures(3600));
like(problems(), qr/^error: TURN: turnserver is not running since \d{4}-\d\d-/m,
    'an old file: not running, and since when');
for my $case (
    [{stores => {postgresql => 'away'}}, qr/PostgreSQL is away/],
    [{stores => {redis => 'away'}}, qr/Redis is away/],
    [{stores => {cli => 'away'}}, qr/CLI is away/],
    [{feed => {state => 'broken', lag => undef}}, qr/feed .* is broken/],
) {
    spew($turn, figures(0, %{$case->[0]}));
    like(problems(), qr/^warning: TURN: .*$case->[1]/m,
        'told in words: ' . encode_json($case->[0]));
}

# What may lie there instead; the worker goes on, and says what it is.
for my $case (
    ['nothing in it', sub { spew($turn, '') }, qr/is damaged/],
    ['half of it', sub { spew($turn, substr figures(0), 0, 100) },
        qr/is damaged/],
    ['another kind of JSON', sub { spew($turn, '[1]') }, qr/is damaged/],
    ['JSON that is deep', sub { spew($turn, '[' x 100000) }, qr/is damaged/],
    ['a word for a number', sub {
        spew($turn, figures(0, clients => {udp => 'many'})) },
        qr/is damaged: "clients\.udp" should be a number/],
    ['no word but markup', sub {
        spew($turn, figures(0, stores => {redis => '<b>up</b> '})) },
        qr/is damaged: "stores\.redis"/],
    ['zeros', sub { spew($turn, "\0" x 1000) }, qr/is damaged/],
    ['a large file', sub { spew($turn, ' ' x 300000) }, qr/larger than 256 KB/],
    ['a FIFO', sub { mkfifo($turn, 0644) }, qr/no regular file/],
    ['a directory', sub { mkdir $turn }, qr/no regular file/],
    ['a symbolic link', sub { symlink '/etc/passwd', $turn },
        qr/symbolic link/],
    # root, as whom workers run under the sanitizers, may
    ($ENV{NGINX_USER} // '') eq 'root' ? () :
        ['what others may not read', sub { spew($turn, figures(0), 0600) },
            qr/permission denied/],
) {
    my ($title, $make, $words) = @$case;
    -d $turn ? rmdir $turn : unlink $turn;
    $make->();
    like(problems(), qr/^error: TURN: \Q$turn\E .*$words/m,
        "$title in place of turn.json is told");
}
rmdir $turn, unlink $turn;

# ---- markup ----

{
    my $evil = '"><script>alert(1)</script>';
    symlink '/', "$dir/$evil";
    my $other = Edge::Nginx->start(name => 'other', http => <<"CONF");
cms_webbridge cmsweb { guest_uri $guest; target 'unix:/<b>"&\\'x'; tls off; }
server {
    listen 127.0.0.1:8448;
    location / { cms_status turn="$dir/<i>&.json"; }
}
CONF
    my $page = ask('/', to => '127.0.0.1:8448', host => '127.0.0.1')->body;
    like($page, qr{unix:/&lt;b&gt;&quot;&amp;&#39;x}, 'names are escaped');
    like($page, qr{&lt;i&gt;&amp;\.json}, '... of files as well');
    unlike($page, qr/<b>|<i>/, '... everywhere');
    $other->stop;
}

# ---- JSON by its schema, figures by promtool ----

sub promtool {
    my ($text) = @_;
    my ($tool) = grep { -x } "$Edge::Netns::root/build/promtool",
        map { "$_/promtool" } split /:/, $ENV{PATH};
    return 'no promtool' if !$tool;
    my $file = "$Edge::Netns::dir/metrics";
    spew($file, $text);
    return qx($tool check metrics < $file 2>&1);
}

SKIP: {
    my $r = ask('/?format=prometheus');
    is($r->header('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8',
        "Prometheus' text format");
    like($r->body, qr/^cms_edge_target_requests_total\{webbridge="cmsweb",/m,
        '... with figures of targets');
    my $said = promtool($r->body);
    skip $said, 5 if $said eq 'no promtool';
    is($said, '', '... in which promtool finds no fault');

    spew($turn, figures(1));
    my $own = "# HELP cms_edge_turn_relays Relays.\n"
        . "# TYPE cms_edge_turn_relays gauge\n"
        . "cms_edge_turn_relays{protocol=\"udp\"} 6\n";
    spew("$dir/turn.prom", $own);
    my $with = ask('/?format=prometheus')->body;
    like($with, qr/\Q$own\E\z/, "the plugin's figures are passed on");
    is(promtool($with), '', '... and promtool is content');
    for my $bad ("cms_edge_target_up 1\n", "cms_edge_turn_x one\n",
        "cms_edge_turn_x 1", "cms_edge_turn_x{a=\"b} 1\n", "<html>\n") {
        spew("$dir/turn.prom", $own . $bad);
        my $text = ask('/?format=prometheus')->body;
        unlike($text, qr/cms_edge_turn_/, "... not with: $bad");
    }
    spew("$dir/turn.prom", $own);
    spew($turn, figures(100));
    my $old = ask('/?format=prometheus')->body;
    unlike($old, qr/cms_edge_turn_relays/, 'nor when turnserver has ended');
    like($old, qr/^cms_edge_status_turn_running 0$/m, '... which is told');
}

SKIP: {
    skip 'no JSON::Validator', 4 if !eval { require JSON::Validator; 1 };
    my $schema = decode_json(
        slurp("$Edge::Netns::root/conf-examples/nginx/status.schema.json"));
    my $validator = JSON::Validator->new->schema($schema);
    my $valid = sub {
        my ($title) = @_;
        my @faults = $validator->validate(status());
        is("@faults", '', "the JSON is as its schema says: $title");
    };
    unlink $turn;
    $valid->('without TURN');
    spew($turn, figures(0));
    $valid->('with TURN');
    $site->break('one', 'killed');
    tells(qr/1 of 2 targets/);
    $valid->('with a target failed');
    my $wrong = status();
    $wrong->{webbridges}[0]{targets}[0]{addresses}[0]{state} = 'ill';
    isnt(scalar $validator->validate($wrong), 0, '(and it would find a fault)');
    $site->mend('one');
}

unlike($edge->error_log, qr/\[(?:crit|alert|emerg)\]/,
    'nothing alarming is logged');
done_testing();
