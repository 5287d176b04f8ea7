use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Test::More;

# The variables an administrator has for logs, maps and conditions.

my $guest = 'cmsweb.octavio.test';
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9080');

my @names = qw(cms_webbridge cms_guest_uri cms_upstream_host cms_route
    cms_call_id cms_refusal cms_request);
my $edge = Edge::Nginx->start(
    log_format => join('|', '$request_length', map { "\$$_" } @names),
    http => <<"CONF");
cms_webbridge one {
    guest_uri $guest meet.octavio.test;
    internal_uri cmsweb.cms.octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge two {
    guest_uri conf.octavio.test;
    internal_uri conf.cms.octavio.test;
    upstream_host internal;
    target 127.0.0.2:9080;
    tls off;
}
server {
    listen 127.0.0.1:80;
    location / {
        cms_proxy one two;
        add_header X-Route \$cms_route;
    }
    location /elsewhere/ {
        return 200 "[\$cms_webbridge\$cms_route\$cms_refusal]";
    }
}
CONF

# vars(request text): the variables of this request as the access log has them.
sub vars {
    my ($text) = @_;
    $edge->clear_logs;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
    $c->send($text);
    my $r = $c->response;
    $edge->wait_access(qr/\n/);
    my %v;
    (my $line = $edge->access_log) =~ s/\n.*//s;
    (undef, @v{@names}) = map { $_ eq '-' ? '' : $_ } split /\|/, $line, -1;
    return \%v;
}

sub get {
    my ($target, $host) = @_;
    $host //= $guest;
    return vars("GET $target HTTP/1.1\r\nHost: $host\r\n"
        . "Connection: close\r\n\r\n");
}

my $v = get('/');
is($v->{cms_webbridge}, 'one', '$cms_webbridge names the web bridge');
is($v->{cms_guest_uri}, $guest, '$cms_guest_uri is the guest URI');
is($v->{cms_upstream_host}, $guest, '$cms_upstream_host is what goes inside');
is($v->{cms_refusal}, '', '$cms_refusal is empty for what gets in');
is($v->{cms_request}, 'GET / HTTP/1.1', '$cms_request is the request line');

$v = get('/', 'MEET.octavio.test.');
is($v->{cms_guest_uri}, 'meet.octavio.test',
    '$cms_guest_uri is the one that was asked for, as configured');
$v = get('/', 'conf.octavio.test');
is($v->{cms_webbridge}, 'two', '$cms_webbridge follows the Host');
is($v->{cms_upstream_host}, 'conf.cms.octavio.test',
    '$cms_upstream_host follows upstream_host');
$v = get('/', 'other.octavio.test');
is($v->{cms_webbridge}, '', '$cms_webbridge is empty for an unknown Host');
like($v->{cms_refusal}, qr/\w/, '$cms_refusal then says why');
$v = vars("OPTIONS / HTTP/1.1\r\nHost: $guest\r\nConnection: close\r\n\r\n");
like($v->{cms_refusal}, qr/method/i, '$cms_refusal says that of a method');

# [request line, route, call ID, the line as $cms_request shows it]
my @requests = (
    ['GET / HTTP/1.1', 'page', ''],
    ['GET /index.html?id=100101 HTTP/1.1', 'page', '100101'],
    ['GET /invited.sf?secret=aBc1&id=100101 HTTP/1.1', 'page', '100101',
        'GET /invited.sf?secret=*&id=100101 HTTP/1.1'],
    ['GET /invited.sf?id=100101&secret=aBc1 HTTP/1.1', 'page', '100101',
        'GET /invited.sf?id=100101&secret=* HTTP/1.1'],
    ['GET /meeting/100101?secret=aBc1 HTTP/1.1', 'page', '100101',
        'GET /meeting/100101?secret=* HTTP/1.1'],
    ['GET /en-US/meeting/100101?secret=aBc1 HTTP/1.1', 'page', '100101',
        'GET /en-US/meeting/100101?secret=* HTTP/1.1'],
    ['GET /en-US/home HTTP/1.1', 'page', ''],
    ['POST /api/join HTTP/1.1', 'join', ''],
    ['GET /api/join HTTP/1.1', 'api', ''],
    ['GET /api/status?access_token=eyJhbGciOi.x HTTP/1.1', 'api', '',
        'GET /api/status?access_token=* HTTP/1.1'],
    ['GET /apiary HTTP/1.1', 'page', ''],
    ['GET /x?id=1%26secret%3Dy HTTP/1.1', 'page', '',
        'GET /x?id=* HTTP/1.1'],
);
for my $case (@requests) {
    my ($line, $route, $id, $shown) = @$case;
    $v = vars("$line\r\nHost: $guest\r\nContent-Length: 0\r\n"
        . "Connection: close\r\n\r\n");
    is($v->{cms_route}, $route, "\$cms_route: $line");
    is($v->{cms_call_id}, $id, "\$cms_call_id: $line");
    is($v->{cms_request}, $shown // $line, "\$cms_request: $line");
}
$v = vars("GET /signalling HTTP/1.1\r\nHost: $guest\r\nUpgrade: websocket\r\n"
    . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
is($v->{cms_route}, 'websocket', '$cms_route of a WebSocket');

my $c = Edge::HttpClient->new(to => '127.0.0.1:80');
is($c->get('/api/join', Host => $guest)->header('X-Route'), 'api',
    'they can be used in other directives');
is($c->get('/elsewhere/', Host => $guest)->body, '[]',
    'they are empty where no cms_proxy is');

done_testing();
