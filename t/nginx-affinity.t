use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Http2Client;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(spew wait_tcp);
use Edge::RecordingApp qw(script answer);
use Test::More;

# With several targets a guest stays on one, from page to WebSocket, as long as
# it answers; a cookie says which, and says it to nobody else.

my $guest = 'cmsweb.octavio.test';
my %at = (one => '127.0.0.2:9080', two => '127.0.0.3:9080',
    three => '127.0.0.4:9080');
my %app = map { $_ => start($_) } sort keys %at;
my ($cert, $key) = Edge::Certs::cert('outside', $guest);

my $secret = "$Edge::Netns::dir/affinity.key";
spew($secret, 'ab' x 32 . "\n");
chmod 0640, $secret;

sub start {
    my ($name) = @_;
    my $app = Edge::RecordingApp->start(name => $name, listen => $at{$name});
    wait_tcp($at{$name}, 20);
    return $app;
}

# Answers once on a connection, and closes it on the second request: what a
# web bridge does whose idle timeout ends just then.
my $worn_server = <<'PERL';
use IO::Socket::INET;
my ($at, $name) = @ARGV;
$SIG{CHLD} = 'IGNORE';
my $l = IO::Socket::INET->new(LocalAddr => $at, Listen => 64, ReuseAddr => 1)
    or die "$at: $!";
while (my $c = $l->accept) {
    next if fork;
    my ($in, $n) = ('', 0);
    while (1) {
        until ($in =~ s/^.*?\r\n\r\n//s) {
            sysread $c, $in, 65536, length $in or exit;
        }
        exit if $n++;
        syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n$name:";
    }
}
PERL
my %worn = (left => '127.0.0.6:9080', rite => '127.0.0.7:9080');
Edge::Process->start(name => $_, ready_tcp => $worn{$_},
    argv => ['perl', '-e', $worn_server, $worn{$_}, $_]) for sort keys %worn;

sub webbridge {
    my ($name, @lines) = @_;
    return join "\n    ", "cms_webbridge $name {", 'tls off;',
        (grep({ /guest_uri/ } @lines) ? () : "guest_uri $guest;"),
        @lines, "}\n";
}

my @all = map { "target $at{$_};" } sort keys %at;

sub conf {
    my ($port) = @_;
    my $http = join '', webbridge(all => @all),
        webbridge(off => 'affinity off;', @all),
        webbridge(key => "affinity cookie key=$secret;", @all),
        webbridge(alone => "target $at{one};"),
        webbridge(port => 'guest_uri cmsweb.octavio.test:8443;', @all),
        # of these nobody remembers a failure
        webbridge(spare => 'health_check off;', "target $at{one} max_fails=0;",
            map { "target $at{$_} backup max_fails=0;" } qw(two three)),
        webbridge(full => map { "target $at{$_} max_conns=1;" } sort keys %at),
        webbridge(worn => map { "target $worn{$_};" } sort keys %worn);
    my $locations = join '', map { "location /$_/ { cms_proxy $_; }\n" }
        qw(all off key alone port spare full worn);
    return <<"CONF";
$http
server {
    listen 127.0.0.1:$port;
    listen 127.0.0.1:443 ssl http2;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    server_name $guest;
    $locations
}
CONF
}

my $edge = Edge::Nginx->start(http => conf(80));

# ask(path, cookie, ...): the response; cookie undef sends none.
my %client;

sub ask {
    my ($path, $cookie, %o) = @_;
    my $to = $o{to} // '127.0.0.1:80';
    my @fields = (Host => $o{host} // $guest,
        (defined $cookie ? (Cookie => $cookie) : ()), @{$o{fields} // []});
    for my $try (1, 2) {
        $client{$to} //= Edge::HttpClient->new(to => $to)
            // die $Edge::HttpClient::error;
        my $r = $client{$to}->request($o{method} // 'GET', $path, \@fields,
            $o{body});
        return $r if $r;
        delete $client{$to};
    }
    die "no answer to $path\n";
}

sub who { ($_[0]->body =~ /^(\w+):/)[0] // '' }

sub cookie {
    my ($r) = @_;
    my ($set) = grep { /^cms_affinity/ } $r->all('Set-Cookie');
    return ($set // '') =~ /^([^;]+)/ ? $1 : undef;
}

# Everyone's cookie, by who answered.
sub cookies {
    my ($path, @o) = @_;
    my %cookie;
    for (1 .. 60) {
        my $r = ask($path, undef, @o);
        $cookie{who($r)} //= cookie($r);
        last if keys %cookie == 3;
    }
    return \%cookie;
}

# ---- staying ----

my $first = ask('/all/', undef);
my $mine = who($first);
my $cookie = cookie($first);
my ($set) = $first->all('Set-Cookie');
like($set,
    qr{^cms_affinity=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax$},
    'a session cookie, for no script and no other site');
unlike($set, qr/127|9080|$mine/, '... that names nothing inside');
is(scalar(grep { who(ask('/all/', $cookie)) eq $mine } 1 .. 12), 12,
    'a guest stays on one target');
is(cookie(ask('/all/', $cookie)), undef, '... and is not told so again');
is(who(ask('/all/', $cookie, method => 'POST', body => 'x')), $mine,
    'with a POST too');
my $ws = Edge::HttpClient->new(to => '127.0.0.1:80');
$app{$_}->clear for keys %app;
is($ws->upgrade('/all/ws', Host => $guest, Cookie => $cookie,
    script({ websocket => 1 }))->status, 101, 'and a WebSocket');
is(scalar $app{$mine}->requests, 1, '... that goes to the same target');
my $head = ask('/all/', undef, method => 'HEAD');
ok(cookie($head), 'the answer to HEAD has the cookie');
ok(cookie(ask('/all/', undef, fields => [script(answer(304))])),
    'a 304 has it');
my $both = ask('/all/', undef, fields => [script(answer(200,
    'Set-Cookie' => 'session=1; Path=/', 'ok'))]);
is_deeply([map { /^(\w+)/ } $both->all('Set-Cookie')],
    ['session', 'cms_affinity'], "it stands beside the web bridge's own");

my $by = cookies('/all/');
is(keys %$by, 3, 'new guests are spread over the targets');
my ($other) = grep { $_ ne $mine } sort keys %$by;

# ---- what a client may send ----

for (["garbage", 'cms_affinity=xyz; a=b', undef],
    ['an ID of nobody', 'cms_affinity=0123456789abcdef', undef],
    ['garbage, then an ID', "cms_affinity=; $by->{$other}", $other],
    ['two IDs', "$by->{$other}; $by->{$mine}", $other],
    ['an ID among others', "a=b; $by->{$other} ; c=d", $other]) {
    my ($what, $sent, $want) = @$_;
    my $r = ask('/all/', $sent);
    ok(defined $want ? who($r) eq $want && !cookie($r)
        : $r->status == 200 && cookie($r), "a cookie with $what");
}
my $twice = ask('/all/', 'a=b', fields => [Cookie => $by->{$other}]);
is(who($twice), $other, 'several Cookie headers are read');

my $tls = Edge::HttpClient->new(to => '127.0.0.1:443', tls => $guest);
my $r = $tls->get('/all/', Host => $guest);
like(($r->all('Set-Cookie'))[0], qr/; Secure$/, 'under TLS it stays there');
my $h2 = Edge::Http2Client->new(to => '127.0.0.1:443', tls => $guest);
$r = $h2->request([':method' => 'GET', ':scheme' => 'https',
    ':path' => '/all/', ':authority' => $guest, cookie => 'a=b',
    cookie => $by->{$other}, cookie => 'c=d']);
is($r && who($r), $other, 'HTTP/2 with its cookies one by one');

# ---- where there is none ----

is(cookie(ask('/alone/', undef)), undef, 'one target needs no cookie');
my $off = ask('/off/', $by->{$other});
is(cookie($off), undef, 'affinity off: no cookie');
is(scalar(grep { who(ask('/off/', $by->{$other})) ne $other } 1 .. 6) > 0, 1,
    '... and none is followed');
is(scalar(grep { who(ask('/key/', $by->{$other})) ne $other } 1 .. 6) > 0, 1,
    "another web bridge's cookie says nothing");

my $port = ask('/port/', undef, host => "$guest:8443");
like(($port->all('Set-Cookie'))[0], qr/^cms_affinity_8443=/,
    'a guest URI with a port has a cookie of its own');
is(who(ask('/port/', cookie($port), host => "$guest:8443")), who($port),
    '... which is followed');

# ---- several edges, reloads ----

my $second = Edge::Nginx->start(name => 'second',
    http => conf(81) =~ s/listen 127.0.0.1:443.*//r);
my $shared = ask('/key/', undef);
is(scalar(grep { who(ask('/key/', cookie($shared), to => '127.0.0.1:81'))
    eq who($shared) } 1 .. 6), 6, 'edges with the same key agree');
is(scalar(grep { who(ask('/all/', $by->{$other}, to => '127.0.0.1:81'))
    ne $other } 1 .. 6) > 0, 1, '... those without do not');
$second->stop;

$edge->reload;
is(scalar(grep { who(ask('/all/', $by->{$other})) eq $other } 1 .. 6), 6,
    'a reload moves nobody');

# ---- moving ----

is(scalar(grep { who(ask('/full/', cookies('/full/')->{$other})) eq $other }
    1 .. 6), 6, 'what the balancer counts stays right');
my $spare = cookies('/spare/');
is_deeply([keys %$spare], ['one'], 'backup targets get no new guests');

$app{$_}->clear for keys %app;
my $slow = ask('/all/slow', $by->{$other},
    fields => [script({ wait => 3 }, answer(200, 'late'))]);
is($slow->body, 'late', 'a page may take its time');
is_deeply([map { scalar grep { $_->{head} =~ /slow/ } $app{$_}->requests }
    $other, $mine], [1, 0], '... nobody else is asked for it');
is(cookie($slow), undef, '... and its guest stays');

my $worn = ask('/worn/', undef);
is(scalar(grep { my $r = ask('/worn/', cookie($worn));
    who($r) eq who($worn) && !cookie($r) } 1 .. 8), 8,
    'a kept-alive connection that is closed when it is used moves nobody');

$app{$other}->stop;
my $moved = ask('/all/', $by->{$other});
ok(who($moved) && who($moved) ne $other && cookie($moved),
    'a guest whose target is gone gets another, at once');
is(cookie($moved), $by->{who($moved)}, '... and its cookie');
is(scalar(grep { who(ask('/all/', $by->{$mine})) eq $mine } 1 .. 6), 6,
    'guests of other targets notice nothing');
$ws->send_frame('text', 'still here');
is(($ws->frame)[1], 'still here', 'the WebSocket never noticed any of it');

$app{one}->stop if $other ne 'one';
my $backup = ask('/spare/', undef);
ok(who($backup) =~ /two|three/, 'a backup target takes over');
$app{$_} = start($_) for grep { $other eq $_ || $_ eq 'one' } sort keys %app;
is(scalar(grep { who(ask('/all/', cookie($moved))) eq who($moved) } 1 .. 6), 6,
    'when the target is back nobody moves');
is(scalar(grep { who(ask('/spare/', cookie($backup))) eq who($backup) }
    1 .. 6), 6, '... nor from a backup one');
$app{who($backup)}->stop;
is(who(ask('/spare/', cookie($backup))), 'one',
    '... until that fails, when the primary one has them again');

unlike($edge->error_log, qr/\[(?:alert|emerg)\]|exited on signal/,
    'no alerts');

# ---- the configuration ----

sub refused {
    my ($line, $re, $what) = @_;
    my ($status, $said) = Edge::Nginx->test_conf(
        http => webbridge(x => $line, @all));
    ok($status && $said =~ $re && $said =~ /nginx\.conf:\d+/, "refused: $what")
        or diag $said;
}

refused('affinity maybe;', qr/"maybe" in "affinity"; expected/, 'a bad word');
refused('affinity off key=x;', qr/"off" in "affinity"|expected/,
    'a key that is not used');
refused('affinity cookie secret;', qr/expected is "key=FILE"/, 'no key=');
refused('affinity cookie key=/nowhere;', qr{cannot read .*"/nowhere"},
    'a key file that is not there');
refused("affinity cookie key=$Edge::Netns::dir;", qr/no regular file/,
    'a folder');
spew("$secret.bad", "not hex\n");
chmod 0600, "$secret.bad";
refused("affinity cookie key=$secret.bad;", qr/64 hex digits/, 'no key in it');
chmod 0644, $secret;
refused("affinity cookie key=$secret;", qr/can be read by everybody/,
    'a key that everybody may read');
refused("affinity off;\naffinity cookie;", qr/is duplicate/, 'two lines');

done_testing;
