use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;

# The TLS leg to the web bridge: its certificate is verified unless someone
# writes that it is not, and neither connections nor sessions are thrown away.

my $guest = 'cmsweb.octavio.test';
my $internal = 'cmsweb.cms.octavio.test';
my $ca = Edge::Certs::ca('inside');

my %app;
my $port = 9440;
my $conf = '';

# web_bridge(name, certificate, lines): an app with this certificate, and two
# web bridges for it, NAME and NAME_unverified, each with a location.
sub web_bridge {
    my ($name, $cert, $lines) = @_;
    my $at = '127.0.0.2:' . ++$port;
    $app{$name} = Edge::RecordingApp->start(name => $name, listen => $at,
        cert => $cert);
    $conf .= "cms_webbridge $name {\n guest_uri $guest meet.octavio.test;\n"
        . " internal_uri $internal;\n target $at;\n $lines\n}\n"
        . "cms_webbridge ${name}_unverified {\n"
        . " guest_uri $guest meet.octavio.test;\n"
        . " internal_uri $internal;\n target $at;\n $lines\n verify off;\n}\n";
}

# How OpenSSL puts it depends on how much of a chain was sent.
my $untrusted = qr/unable to (?:get local issuer|verify the first) certificate/;
my $trust = "trusted_certificate $ca;";
my @cases = (
    ['good', [Edge::Certs::cert('inside', $guest)], $trust],
    ['by_internal_name', [Edge::Certs::cert('inside', $internal)],
        "$trust upstream_host internal;"],
    ['other_name', [Edge::Certs::cert('inside', 'other.octavio.test')],
        $trust, 'certificate of another name', qr/does not match "\Q$guest\E"/],
    ['internal_name', [Edge::Certs::cert('inside', $internal)],
        $trust, 'certificate of the internal name only',
        qr/does not match "\Q$guest\E"/],
    ['guest_name', [Edge::Certs::cert('inside', $guest)],
        "$trust upstream_host internal;",
        'certificate of the guest URI, where the internal name goes inside',
        qr/does not match "\Q$internal\E"/],
    ['self_signed', [Edge::Certs::cert({ self_signed => 1 }, 'inside', $guest)],
        $trust, 'self-signed certificate', qr/self.signed certificate/],
    ['expired', [Edge::Certs::cert({ days => -1 }, 'inside', $guest)],
        $trust, 'expired certificate', qr/certificate has expired/],
    ['other_ca', [Edge::Certs::cert('other', $guest)],
        $trust, 'certificate of a CA that is not trusted',
        $untrusted],
    ['system_ca', [Edge::Certs::cert('inside', $guest)], '',
        'private CA, where only the system\'s are trusted',
        $untrusted],
);
web_bridge(@$_[0 .. 2]) for @cases;
my @names = map { ($$_[0], "$$_[0]_unverified") } @cases;
my $locations = join '', map { " location /$_/ { cms_proxy $_; }\n" } @names;

my $edge = Edge::Nginx->start(workers => 1, http => <<"CONF");
$conf
server {
    listen 127.0.0.1:80;
$locations
}
CONF

sub get {
    my ($name, @rest) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
    return $c->get("/$name/", Host => $guest, @rest);
}

is(get('good')->status, 200, 'a good certificate is accepted');
is(get('by_internal_name')->status, 200,
    'one of the internal name, where that goes inside');
is($app{good}->last_request->{sni}, $guest, 'SNI is the guest URI');
is($app{by_internal_name}->last_request->{sni}, $internal,
    'or the internal name, where that goes inside');

for my $case (@cases) {
    my ($name, undef, undef, $title, $re) = @$case;
    next if !$title;
    subtest $title => sub {
        $edge->clear_logs;
        my $r = get($name);
        is($r->status, 502, 'is refused with 502');
        unlike($r->text, qr/certificate|cms\.octavio|127\.0\.0\.2/,
            'the answer says nothing of the inside');
        like($edge->error_log, qr/\[error\] .*$re/, 'the log names the check');
        is(scalar $app{$name}->requests, 0, 'no request was sent');
        is(get("${name}_unverified")->status, 200,
            'is accepted where someone wrote verify off');
    };
}

# ---- nothing is thrown away ----

$app{good}->clear;
get('good') for 1 .. 20;
my %connections = map { $_->{connection} => 1 } $app{good}->requests;
is(scalar $app{good}->requests, 20, '20 requests of 20 guests');
is(keys %connections, 1, 'share one connection inward');
like($app{good}->last_request->{head}, qr{^GET \S+ HTTP/1\.1\r\n},
    'over HTTP/1.1');

$app{good}->clear;
get('good', script(answer(200, Connection => 'close', 'x'), { close => 1 }))
    for 1 .. 5;
my @requests = $app{good}->requests;
%connections = map { $_->{connection} => 1 } @requests;
is(keys %connections, 5 - (grep { $_->{connection} == $requests[0]{connection} }
    @requests[1 .. 4]), 'where the web bridge closes, each has its own');
is(scalar(grep { $_->{reused} } @requests[1 .. 4]), 4,
    'and resumes the TLS session');

# A connection that the web bridge has dropped meanwhile costs no guest a page.
get('good');
$app{good}->stop;
$app{good} = Edge::RecordingApp->start(name => 'good_again',
    listen => '127.0.0.2:9441', cert => $cases[0][1]);
is(get('good')->status, 200, 'a web bridge that restarts is found again');

done_testing();
