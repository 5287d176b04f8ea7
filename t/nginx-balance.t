use strict;
use warnings;
use Edge::Netns;
use Edge::Dns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_tcp wait_until);
use Edge::RecordingApp qw(script answer);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

# Several targets of one web bridge, before any probe has found out that one
# fails: a guest's request goes to another while that harms nobody.

my $guest = 'cmsweb.octavio.test';
my %at = (one => '127.0.0.2:9080', two => '127.0.0.3:9080');
my %app = map {
    $_ => Edge::RecordingApp->start(name => $_, listen => $at{$_})
} sort keys %at;

my $dns = Edge::Dns->start('moves.octavio.test' => {A => ['127.0.0.2']});

sub webbridge {
    my ($name, @lines) = @_;
    return join "\n    ", "cms_webbridge $name {", "guest_uri $guest;",
        'tls off;', 'affinity off;', @lines, "}\n";
}

my @both = map { "target $at{$_};" } qw(one two);
my $http = join '', webbridge(two => @both),
    webbridge(least => 'least_conn;', @both),
    webbridge(hash => 'hash $request_uri consistent;', @both),
    webbridge(random => 'random two least_conn;', @both),
    webbridge(weighted => "target $at{one} weight=3 max_fails=2;",
        "target $at{two};"),
    webbridge(spare => "target $at{one};", "target $at{two} backup;"),
    webbridge(full => "target $at{one} max_conns=1;",
        "target $at{two} max_conns=1;"),
    webbridge(dead => 'target 127.0.0.4:9;', 'target 127.0.0.5:9;'),
    webbridge(alone => "target $at{one};"),
    webbridge(lost => 'health_check interval=1s timeout=500ms;',
        "target $at{one};"),
    webbridge(moves => 'target moves.octavio.test:9080;');
my $locations = join '', map { <<"CONF" } qw(two least hash random weighted
    location /$_/ { cms_proxy $_; proxy_read_timeout 4s; }
CONF
    spare full dead alone lost);

my $edge = Edge::Nginx->start(
    log_format => '$request_method $uri $status $upstream_addr',
    http => <<"CONF");
resolver 127.0.0.1;
$http
server {
    listen 127.0.0.1:80;
$locations
    location = /status { cms_status; }
    server_name localhost;
    location /moves/ { cms_proxy moves; }
    location /patient/ { cms_proxy two; }
    location /stay/ { cms_proxy two; proxy_next_upstream off; }
    location /sorry/ {
        cms_proxy dead;
        error_page 502 \@sorry;
    }
    location \@sorry { return 502 "ours"; }
}
CONF

my $c;

sub ask {
    my ($method, $path, @fields) = @_;
    my $body = $method eq 'POST' ? 'x' : undef;
    for my $try (1, 2) {
        $c //= Edge::HttpClient->new(to => '127.0.0.1:80')
            // die $Edge::HttpClient::error;
        my $r = $c->request($method, $path, [Host => $guest, @fields], $body);
        return $r if $r;
        undef $c;
    }
    return;
}

# How many of n requests got this status.
sub count {
    my ($status, $n, @request) = @_;
    return scalar grep { (ask(@request) // next)->status == $status } 1 .. $n;
}

sub asked {
    my ($app, $re) = @_;
    return scalar grep { $_->{head} =~ $re } $app{$app}->requests;
}

sub clear { $_->clear for values %app }

# ---- one of two is gone ----

is(count(200, 3, 'GET', '/alone/'), 3, 'a single target serves');

my @balancers = qw(two least hash random weighted spare);
is(count(200, 4, 'GET', "/$_/"), 4, "$_: both serve") for @balancers;
$app{one}->stop;
for (@balancers) {
    is(count(200, 10, 'GET', "/$_/gone?$_"), 10,
        "$_: nobody notices that a target is gone");
}
clear();
is(count(200, 10, 'POST', '/two/post'), 10,
    'a POST that could not be sent is sent to the other');
is(asked('two', qr/^POST/), 10, '... once each');
$app{one} = Edge::RecordingApp->start(name => 'one', listen => $at{one});
wait_tcp($at{one}, 20);

# ---- one of two cuts what it was sent ----

clear();
my $cut = ask('POST', '/two/cut', script({ reset => 1 }));
is($cut && $cut->status, 502, 'a POST that was sent is not sent again');
is(asked('one', qr/^POST/) + asked('two', qr/^POST/), 1,
    '... though the target hung up');
is(count(200, 10, 'GET', '/two/'), 10,
    'the target that hung up is not missed');

# Both hung up on somebody: stock nginx would now answer 502 for 10 s.
for my $w (@balancers) {
    ask('GET', "/$w/cut", script({ reset => 1 })) for 1, 2;
    is(count(200, 10, 'GET', "/$w/after"), 10,
        "$w: requests that failed everywhere do not shut others out");
}

clear();
my $unavailable = ask('GET', '/two/unavailable', script(answer(503)));
is($unavailable->status, 503, 'where all answer 503, the guest gets it');
is(asked('one', qr/unavailable/) + asked('two', qr/unavailable/), 2,
    '... after each was asked');
clear();
is(ask('GET', '/stay/', script({ reset => 1 }))->status, 502,
    "the administrator's own proxy_next_upstream wins");

# ---- slow and frozen ----

clear();
my $slow = ask('GET', '/two/slow', script({ wait => 3 }, answer(200, 'late')));
is($slow->status, 200, 'a slow page comes, though the target is idle else');
is(asked('one', qr/slow/) + asked('two', qr/slow/), 1,
    '... from the target that was asked: its probe passed');

$app{one}{process}->signal('STOP');
my $start = time;
is(ask('POST', '/lost/')->status, 504,
    'a POST that a frozen target has got is not sent again');
cmp_ok(time - $start, '<', 40, '... and given up once that is found out');
$start = time;
is(count(200, 4, 'GET', '/patient/frozen'), 4,
    'a frozen target: guests get pages');
cmp_ok(time - $start, '<', 40, '... long before proxy_read_timeout');
$app{one}{process}->signal('CONT');
is(asked('two', qr{^POST /lost}), 0, 'nobody else got that POST');

# ---- none at all ----

my $page = ask('GET', '/dead/');
is($page->status, 502, 'no target answers: 502');
like($page->body, qr/meeting service does not answer/,
    '... on a page for guests');
unlike($page->text, qr/127\.0\.0|dead|nginx.*nginx/,
    '... which names nothing inside');
is($page->header('Content-Length'), length $page->body, '... and is whole');
my $head = ask('HEAD', '/dead/');
ok($head->status == 502 && $head->body eq '', 'HEAD gets its head');
is(ask('GET', '/sorry/')->body, 'ours', "the administrator's page wins");
is(ask('GET', '/dead/')->status, 502, 'the connection goes on');

# ---- what the balancer counts ----

is(count(200, 40, 'GET', '/full/'), 40,
    'connections are counted down as they are counted up');

# The address that this name has now, and a figure of it.
sub live {
    my ($webbridge) = grep { $_->{name} eq 'moves' }
        @{decode_json(ask_status()->body)->{webbridges}};
    return map { "$_->{address} $_->{$_[0]}" }
        map { @{$_->{addresses}} } @{$webbridge->{targets}};
}

sub ask_status {
    return Edge::HttpClient->new(to => '127.0.0.1:80')
        ->get('/status?format=json', Host => 'localhost');
}

sub websockets {
    return map {
        my $ws = Edge::HttpClient->new(to => '127.0.0.1:80');
        $ws->upgrade('/moves/', Host => $guest, script({ websocket => 1 }));
        $ws;
    } 1 .. 3;
}

sub live_is {
    my ($want, $what, $figure) = @_;
    my $is;
    wait_until(sub {
        ($is) = live($figure // 'websockets');
        ($is // '') eq $want;
    }, 20);
    is($is, $want, $what);
}

# It was frozen for a while.
wait_until(sub { ask('GET', '/moves/')->status == 200 }, 20);
my @ws = websockets();
live_is("$at{one} 3", 'live WebSockets are counted with their target');
$dns->set('moves.octavio.test' => {A => ['127.0.0.3']});
live_is("$at{two} 0", '... not with another that takes its place');
push @ws, websockets();
live_is("$at{two} 3", '... which has its own');
$edge->reload(http => "cms_webbridge more {\n guest_uri more.octavio.test;\n"
    . " target 127.0.0.2:9;\n}\n$edge->{http}");
live_is("$at{two} 3", '... over a reload that changes the targets of others');
$_->close for splice @ws, 0, 3;
$_->close for splice @ws, 0, 1;
live_is("$at{two} 2", '... until they end');
$dns->set('moves.octavio.test' => {A => ['127.0.0.2']});
live_is("$at{one} 0", '... and the first, back again, begins anew');
$_->close for @ws;

my $late = Edge::HttpClient->new(to => '127.0.0.1:80');
$late->send("POST /moves/ HTTP/1.1\r\nHost: $guest\r\nContent-Length: 0\r\n"
    . join(': ', script({ wait => 8 }, { reset => 1 })) . "\r\n\r\n");
wait_until(sub { asked('one', qr{^POST /moves/}) }, 20);
$dns->set('moves.octavio.test' => {A => ['127.0.0.3']});
live_is("$at{two} 0", 'a request is under way when its target goes');
is($late->response->status, 502, '... and fails there');
live_is("$at{two} 0", '... which is not held against the next', 'failures');

unlike($edge->error_log, qr/\[(?:alert|emerg)\]|exited on/, 'no alerts');

done_testing;
