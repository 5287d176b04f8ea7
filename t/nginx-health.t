use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(wait_until slurp spew);
use Edge::RecordingApp qw(script);
use IO::Select;
use IO::Socket::INET;
use POSIX qw(_exit strftime);
use Socket qw(SOL_SOCKET SO_LINGER pack_sockaddr_in);
use Test::More;

# health_check: a target that does not answer as it should gets no guests, and
# the log says once, in the words of the problem, what is wrong with it.

my $guest = 'cmsweb.octavio.test';
my $ca = Edge::Certs::ca('inside');
my $once = 'fails=1 interval=60s timeout=60s';  # the first probe tells
my $soon = 'fails=1 interval=1s timeout=1s';

# ---- web bridges that speak TLS: nginx with certificates of all kinds ----

my @good = Edge::Certs::cert('inside', $guest);
my $dir = $Edge::Netns::dir;

sub day { return strftime($_[1], gmtime(time + 86400 * $_[0])) }

# valid for a day longer than that, less the seconds until it is looked at
my $starts = day(6, '%Y%m%d%H%M%SZ');
my $valid_from = day(6, '%Y-%m-%d');
my $expired = day(-3, '%Y-%m-%d');
my @tls = (
    ['expired', [Edge::Certs::cert({days => -3}, 'inside', $guest)],
        "certificate: expired 3 days ago ($expired)"],
    ['not yet valid', [Edge::Certs::cert({startdate => $starts}, 'inside',
        $guest)],
        "certificate: not yet valid for 5 days (from $valid_from)"],
    ['self-signed', [Edge::Certs::cert({self_signed => 1}, 'inside', $guest)],
        "certificate: self-signed, not in $ca"],
    ['of another CA', [Edge::Certs::cert('other', $guest)],
        'certificate: issued by "cms-edge test CA other", and no chain from '
            . "there to a CA in $ca"],
    ['of other names', [Edge::Certs::cert('inside', map { "cms$_.octavio.test" }
        1 .. 5)], 'certificate: names cms1.octavio.test, cms2.octavio.test, '
            . "cms3.octavio.test and 2 more, not $guest"],
    ['without a name', [Edge::Certs::cert({no_san => 1}, 'inside',
        'other.octavio.test')], 'certificate: has no DNS name '
            . qq{(CN "other.octavio.test"), not $guest}],
);
my ($servers, $bridges, $locations) = ('', '', '');
my $port = 9500;
my @faults;  # [title, name of the web bridge, what the log says]

# web_bridge(name, target, lines): with a location of its own
sub web_bridge {
    my ($name, $target, $lines) = @_;
    $bridges .= "cms_webbridge $name {\n guest_uri $guest;\n target $target;\n"
        . " trusted_certificate $ca;\n $lines\n}\n";
    $locations .= " location /$name/ { cms_proxy $name; }\n";
}

for my $case (@tls) {
    my ($title, $cert, $reason) = @$case;
    my $at = '127.0.0.2:' . ++$port;
    $servers .= "server { listen $at ssl; ssl_certificate $$cert[0];"
        . " ssl_certificate_key $$cert[1]; return 200; }\n";
    web_bridge("tls$port", $at, "health_check $once;");
    push @faults, ["a certificate $title", "tls$port", $reason];
}
$servers .= <<"CONF";
server {
    listen 127.0.0.2:9443 ssl;
    ssl_certificate $good[0];
    ssl_certificate_key $good[1];
    ssl_protocols TLSv1.2;
    return 200;
}
server {
    listen 127.0.0.2:9444 ssl;
    ssl_reject_handshake on;
}
CONF
my $inside = Edge::Nginx->start(name => 'inside', modules => [], workers => 1,
    http => $servers);

web_bridge('old', '127.0.0.2:9443',
    "health_check $once; proxy_ssl_protocols TLSv1.3;");
push @faults, ['no common version of TLS', 'old',
    'TLS: the web bridge refuses it: protocol version'];
web_bridge('alert', '127.0.0.2:9444', "health_check $once;");
push @faults, ['a TLS alert', 'alert',
    'TLS: the web bridge refuses it: unrecognized name'];

# ---- web bridges that misbehave: one process, a port for each ----

my $page = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
my %behaviour;
sub misbehaves {
    my ($title, $code, $lines, $reason) = @_;
    my $name = 'raw' . ++$port;
    $behaviour{$port} = $code;
    web_bridge($name, "127.0.0.1:$port", $lines =~ /tls on/ ? $lines
        : "tls off; $lines");
    push @faults, [$title, $name, $reason] if $reason;
    return $name;
}

sub answers {
    my ($text) = @_;
    return sub { sysread $_[0], my $request, 4096; syswrite $_[0], $text };
}
sub endless {
    my ($head, $more) = @_;
    return sub {
        sysread $_[0], my $request, 4096;
        syswrite $_[0], $head;
        1 while defined syswrite $_[0], $more;
    };
}

misbehaves('status 503', answers("HTTP/1.1 503 Out\r\n\r\n"),
    "health_check $once;", 'status 503');
misbehaves('status 404', answers("HTTP/1.1 404 No\r\n\r\n"),
    "health_check $once;", 'status 404');
misbehaves('status 400', answers("HTTP/1.1 400 Bad Request\r\n\r\n"),
    "health_check $once;", 'status 400: the web bridge does not accept the '
        . "name $guest (upstream_host)");
misbehaves('a page without the text',
    answers("$page\r\nGuests cannot join.\n"),
    qq{health_check "match=Join call" $once;}, 'text "Join call" is missing: '
        . 'the link to the Call Bridge is probably down');
misbehaves('a compressed page',
    answers("${page}Content-Encoding: gzip\r\n\r\nxx"),
    qq{health_check match=Join $once;},
    'text "Join" is missing: the answer is compressed');
misbehaves('a body without end', endless("$page\r\n", 'x' x 16384),
    "health_check match=Join $once;",
    'text "Join" is missing: not in the first megabyte');
misbehaves('a header without end', endless("$page", "X: y\r\n" x 1024),
    "health_check $once;", 'header longer than 64 KB');
misbehaves('garbage', answers("\x15\x03\x03\x00\x02\x02\x28"),
    "health_check $once;", 'the answer is not HTTP/1');
misbehaves('a connection that is closed at once', sub { },
    "health_check $once;", 'closed the connection without an answer');
misbehaves('a connection that is reset at once', sub {
    setsockopt $_[0], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
}, "health_check $once;", 'closed the connection without an answer');
misbehaves('an answer cut short', answers("HTTP/1.1 200 OK\r\nServer: x"),
    "health_check $once;", 'closed the connection in the middle of the answer');
misbehaves('silence', sub { sleep 60 }, "health_check $soon;",
    'no answer within 1s');
misbehaves('an answer that drips', sub {
    sysread $_[0], my $request, 4096;
    $SIG{PIPE} = sub { _exit(0) };
    syswrite($_[0], $_), select undef, undef, undef, 0.05
        for split //, $page . 'x' x 1000;
}, "health_check $soon;", 'the answer is not complete within 1s');
misbehaves('plain HTTP where TLS is expected', answers(
    "HTTP/1.1 400 Bad Request\r\n\r\n"), "tls on; health_check $once;",
    'TLS: what answers on this port is not TLS');
misbehaves('TLS that is closed at once', sub { sysread $_[0], my $hello, 4096 },
    "tls on; health_check $once;",
    'closed the connection in the TLS handshake');
misbehaves('TLS that is never answered', sub { sleep 60 },
    "tls on; health_check $soon;",
    'no answer within 1s in the TLS handshake');

# those that are well
my @well = (
    misbehaves('302', answers("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"),
        "health_check $once;"),
    misbehaves('the text in two chunks', answers(
        "${page}Transfer-Encoding: chunked\r\n\r\n4\r\nJoin\r\n"
            . "5\r\n call\r\n0\r\n\r\n"),
        qq{health_check "match=Join call" $once;}));

my %listener = map {
    $_ => IO::Socket::INET->new(LocalAddr => "127.0.0.1:$_", Listen => 16,
        ReuseAddr => 1) // die "port $_: $!"
} keys %behaviour;
my $parent = $$;
my $child = fork() // die;
if (!$child) {
    $SIG{CHLD} = 'IGNORE';
    $SIG{TERM} = 'DEFAULT';
    setpgrp 0, 0;
    my $select = IO::Select->new(values %listener);
    while (getppid() == $parent) {
        for my $l ($select->can_read(1)) {
            my $c = $l->accept or next;
            next if fork;
            $SIG{CHLD} = 'DEFAULT';
            $behaviour{$l->sockport}->($c);
            close $c;
            _exit(0);
        }
    }
    kill 'KILL', 0;
}
END { kill 'KILL', -$child if $child }

# ---- those that nobody reaches ----

web_bridge('refused', '127.0.0.1:9', "tls off; health_check $once;");
push @faults, ['nobody listening', 'refused', 'connection refused'];
web_bridge('no-route', '192.0.2.1:443', "health_check $once;");
push @faults, ['no route', 'no-route', 'unreachable: there is no route to it'];
web_bridge('no-socket', "unix:$dir/none.sock", "tls off; health_check $once;");
push @faults, ['no socket', 'no-socket',
    'there is no such socket (is the tunnel up?)'];
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1:9400', Listen => 1);
listen $full, 0;  # which IO::Socket takes for 5
my @waiting = map { my $s = IO::Socket::INET->new(Proto => 'tcp',
    Blocking => 0); $s->connect(pack_sockaddr_in(9400, "\x7f\0\0\1")); $s }
    1 .. 3;
web_bridge('full', '127.0.0.1:9400', "tls off; health_check $soon;");
push @faults, ['nobody who takes the connection', 'full',
    'no answer within 1s: nobody takes the connection'];

# ---- one that goes and comes, one that is off, one as guests see it ----

web_bridge('restarted', '127.0.0.3:9080',
    'tls off; health_check fails=2 passes=2 interval=1s timeout=1s;');
web_bridge('switched', '127.0.0.3:9082', "tls off; health_check $once;");
web_bridge('off', '127.0.0.3:9081', 'tls off; health_check off;');
web_bridge('as_guests', '127.0.0.3:9443',
    'internal_uri cms.octavio.test; health_check uri=/index.html?x=1 '
    . 'interval=500ms timeout=500ms fails=1000;');
web_bridge('internal', '127.0.0.3:9444', 'internal_uri cms.octavio.test:8443;'
    . ' upstream_host internal; health_check;');

web_bridge('pair', '127.0.0.3:9084 fail_timeout=60s',
    'target 127.0.0.3:9085 fail_timeout=60s; tls off; affinity off;'
    . 'health_check interval=1s timeout=1s fails=1000;');

sub app {
    my ($name, $at, @cert) = @_;
    return Edge::RecordingApp->start(name => $name, listen => $at,
        @cert ? (cert => [Edge::Certs::cert('inside', @cert)]) : ());
}
my $restarted = app('restarted', '127.0.0.3:9080');
my $off = app('off', '127.0.0.3:9081');
my $as_guests = app('as_guests', '127.0.0.3:9443', $guest);
my @pair = map { app("pair$_", "127.0.0.3:908$_") } 4, 5;
my $internal = app('internal', '127.0.0.3:9444', 'cms.octavio.test');

my $http = <<"CONF";
$bridges
server {
    listen 127.0.0.1:80;
$locations
}
CONF
my $edge = Edge::Nginx->start(http => $http);

# said(name): what the log has said of that web bridge's targets
sub said {
    my ($name) = @_;
    my @said = $edge->error_log
        =~ /target \S+ of cms_webbridge "\Q$name\E" (.*)$/mg;
    return @said;
}

for my $case (@faults) {
    my ($title, $name, $reason) = @$case;
    wait_until(sub { said($name) }, 60);
    is((said($name))[0], "failed: $reason", "$title: the log says so");
}
is(scalar(said($$_[1])), 1, "$$_[0]: once") for @faults;

for my $name ('refused', 'tls9501') {
    my $r = Edge::HttpClient->new(to => '127.0.0.1:80')->get("/$name/",
        Host => $guest);
    is($r->status, 502, "a guest of $name gets 502");
    unlike($r->text, qr/refused|127\.0|certificate/, 'and nothing of why');
}

# ---- what a probe sends ----

my $probe = $as_guests->wait_event('probe');
is($probe->{head}, join("\r\n", 'GET /index.html?x=1 HTTP/1.1',
    "Host: $guest", 'User-Agent: cms-edge', 'Accept: */*',
    'Accept-Encoding: identity', 'Connection: close'),
    'a probe is a GET for uri, with the Host of guests');
is($probe->{sni}, $guest, 'and their SNI');
$probe = $internal->wait_event('probe');
like($probe->{head}, qr/^Host: cms\.octavio\.test:8443\r?$/m,
    'upstream_host internal: that is the Host');
is($probe->{sni}, 'cms.octavio.test', 'and the SNI');
ok(wait_until(sub { my @p = grep { $_->{event} eq 'probe' }
    $as_guests->records; @p >= 3 && !grep { $_->{reused} } @p }),
    'each shows the whole certificate: no TLS session is resumed');
is(scalar(said($_)), 0, "$_: nothing is said of one that is well")
    for 'as_guests', 'internal', @well;
unlike($edge->access_log, qr{as_guests|internal|index\.html},
    'probes are in no access log');
is(scalar(grep { $_->{event} eq 'probe' } $off->records), 0,
    'health_check off: nobody probes');

# ---- there and back ----

sub get {
    my ($name) = @_;
    return Edge::HttpClient->new(to => '127.0.0.1:80')->get("/$name/x",
        Host => $guest);
}
is(get('restarted')->status, 200, 'a web bridge that is well serves guests');
$restarted->stop;
ok(wait_until(sub { said('restarted') }, 30), 'it goes:');
is_deeply([said('restarted')], ['failed: connection refused'],
    'the log says so');
$restarted = app('restarted_again', '127.0.0.3:9080');
ok(wait_until(sub { said('restarted') > 1 }, 30), 'it comes back:');
is_deeply([said('restarted')],
    ['failed: connection refused', 'is active again'], 'in one line');
is(get('restarted')->status, 200, 'and serves guests');

# ---- what guests' requests make of it ----

# One page fails, for whatever reason: nginx takes the target out for its
# fail_timeout, a probe that passes puts it in again.
Edge::HttpClient->new(to => '127.0.0.1:80')->request('POST', '/pair/x',
    [Host => $guest, script({reset => 1})], 'x');
$_->clear for @pair;
ok(wait_until(sub { get('pair'); 2 == grep { $_->requests } @pair }, 20),
    'a page that fails takes no target away that answers its probes');

# ---- switched off ----

ok(said('switched'), 'a target that is not there fails');
my $switched = app('switched', '127.0.0.3:9082');
is(get('switched')->status, 502, 'and has no guests until the next probe');
$edge->reload(http => $http =~ s/(9082;.*?)health_check $once;/$1
    health_check off;/sr);
is(get('switched')->status, 200,
    'with health_check off nothing keeps guests from it');
$edge->reload(http => $http);
ok(wait_until(sub { grep { $_->{event} eq 'probe' } $switched->records }, 30),
    'with health_check on again it is probed');

# ---- workers come and go ----

ok($edge->reload, 'a reload');
ok(wait_until(sub { !grep { !/worker process$/ }
    map { slurp("/proc/$_/cmdline") =~ s/\0.*//sr } $edge->_workers }),
    'probes do not hold the workers of before');
is(scalar(said($$_[1])), 1, "$$_[0]: still known, and not said again")
    for grep { $$_[1] =~ /refused|tls/ } @faults;

my ($worker) = $edge->workers;
kill 'KILL', $worker;
ok(wait_until(sub { !grep { $_ == $worker } $edge->workers }),
    'a worker is killed');
$restarted->stop;
ok(wait_until(sub { said('restarted') >= 3 }, 30),
    'probing goes on');

# a worker that stops for a while has seen no timeouts of targets
my @seen = said('as_guests');
kill 'STOP', $edge->workers;
select undef, undef, undef, 1.5;
kill 'CONT', $edge->workers;
$as_guests->clear;
ok($as_guests->wait_event('probe'), 'workers that stood still probe again');
is_deeply([said('as_guests')], \@seen, 'and take no target for failed');

$edge->stop;
unlike($edge->error_log, qr/open socket|\[alert\](?!.*signal 9)/,
    'no connection is left behind');

# ---- more dead targets than there are connections for ----

my $many = join '', map { "cms_webbridge w$_ {\n guest_uri $guest;\n tls off;\n"
    . " target 127.0.0.1:9400;\n health_check interval=300ms timeout=300ms;\n"
    . "}\n" } 1 .. 20;
my $crowded = app('crowded', '127.0.0.3:9083');
$edge = Edge::Nginx->start(name => 'crowded', workers => 1, connections => 32,
    http => <<"CONF");
$many
cms_webbridge well {
    guest_uri $guest; tls off; target 127.0.0.3:9083;
    health_check interval=300ms timeout=300ms fails=1000;
}
server {
    listen 127.0.0.1:80;
    location / { cms_proxy well; }
@{[map { "location /w$_/ { cms_proxy w$_; }\n" } 1 .. 20]}
}
CONF
my @refused;
ok(wait_until(sub {
    push @refused, grep { $_->status != 200 } get('x');
    20 == grep { said("w$_") } 1 .. 20;
}, 60), 'twenty dead targets, where four can be probed at a time, are found');
is(scalar(@refused), 0, 'guests of another one do not notice');
$crowded->clear;
ok($crowded->wait_event('probe'), 'and it is probed as well');
unlike($edge->error_log, qr/not enough/, 'there are connections left');
$edge->stop;

# ---- what cannot be written ----

for my $case (
    ['an unknown parameter', 'health_check often;', qr/unknown "often"/],
    ['off and more', 'health_check off uri=/;', qr/unknown "off"/],
    ['no time', 'health_check interval=;', qr/bad "interval="/],
    ['a time that is none', 'health_check interval=abc;', qr/"interval=abc"/],
    ['too often', 'health_check interval=99ms;', qr/100ms to 1h/],
    ['too seldom', 'health_check interval=2h;', qr/100ms to 1h/],
    ['a probe longer than its interval',
        'health_check interval=1s timeout=2s;', qr/longer than its interval/],
    ['no failure', 'health_check fails=0;', qr/from 1 to 1000/],
    ['too many passes', 'health_check passes=1001;', qr/from 1 to 1000/],
    ['a number that is none', 'health_check fails=two;', qr/"fails=two"/],
    ['a path without a slash', 'health_check uri=index.html;',
        qr/begins with "\/"/],
    ['a path with a space', 'health_check "uri=/a b";', qr/"uri=\/a b"/],
    ['an empty text', 'health_check match=;', qr/match=TEXT/],
    ['a text in quotes of its own', 'health_check match="Join call";',
        qr/quotes around all of it/],
    ['a text that is too long', 'health_check match=' . 'x' x 256 . ';',
        qr/1 to 255 bytes/],
    ['twice', "health_check;\n health_check off;", qr/duplicate/],
) {
    my ($title, $line, $re) = @$case;
    my ($status, $text) = Edge::Nginx->test_conf(http =>
        "cms_webbridge x {\n guest_uri $guest;\n target 127.0.0.1;\n $line\n}\n"
        . "server {\n listen 127.0.0.1:81;\n location / { cms_proxy x; }\n}\n");
    isnt($status, 0, "refused: $title");
    like($text, qr/\[emerg\] .*$re.* in \S+nginx\.conf:\d+$/m,
        'with the reason, the file and the line');
}
{
    my ($status, $text) = Edge::Nginx->test_conf(http =>
        "upstream x {\n server 127.0.0.1;\n health_check;\n}\n");
    isnt($status, 0, 'refused: health_check of a stock upstream');
    like($text, qr/"health_check" directive is not allowed here/, 'it says so');
}

done_testing();
