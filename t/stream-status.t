use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp spew wait_until);
use JSON::PP;
use Test::More;

# What the status page says of a shared port: each connection is counted once,
# by what became of it, and reloads go on counting.

my $host = 'cmsweb.octavio.test';
my ($cert, $key) = Edge::Certs::cert('outside', $host);
my $turn = Edge::Coturn->start(users => {guest => 'word'},
    conf => ['tcp-proxy-port=3479']);
my $status = 'server { listen 127.0.0.1:8445; location / { cms_status; } }';
my %shared = (http => <<"CONF", stream => <<"CONF");
ssl_certificate $cert;
ssl_certificate_key $key;
server { listen 127.0.0.1:4443 ssl http2; return 200 "here"; }
server { listen 127.0.0.1:4480; return 200 "here"; }
$status
CONF
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:443;
    cms_share https=127.0.0.1:4443 turns=127.0.0.1:5349 turn=127.0.0.1:3479
              proxy_protocol=on timeout=500ms;
}
server {
    listen 127.0.0.1:5349 ssl;
    cms_share http=127.0.0.1:4480 turn=127.0.0.1:3479 proxy_protocol=on;
}
server { listen 127.0.0.1:444; cms_share https=127.0.0.1:4443; }
CONF
my $edge = Edge::Nginx->start(%shared);

sub ask {
    my ($target, $port) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:' . ($port // 8445));
    return $c->request('GET', $target, [Host => '127.0.0.1'])->body;
}

sub share { return decode_json(ask('/?format=json'))->{share} }

# counts(outcome => n, ...): true once exactly these and no others are told.
sub counts {
    my (%expected) = @_;
    my %seen;
    my $same = wait_until(sub {
        my $share = share();
        %seen = (%{$share->{connections}}, opened => $share->{tls_opened});
        delete @seen{grep { $seen{$_} == 0 } keys %seen};
        return join(' ', map { "$_=$seen{$_}" } sort keys %seen)
            eq join(' ', map { "$_=$expected{$_}" } sort keys %expected);
    });
    is_deeply(\%seen, \%expected) if !$same;
    return $same;
}

sub to_443 { return Edge::HttpClient->new(to => '127.0.0.1:443', @_) }

# ---- one of each ----

ok(counts(), 'at the start nothing is counted');
my @seen;
for my $case (
    ['https', 0, sub { to_443(tls => $host)->get('/', Host => $host) }],
    ['https_opened', 1, sub {
        to_443(tls => $host, alpn => [])->get('/', Host => $host) }],
    ['turn_tcp', 0, sub { $turn->client({tcp => 1}, 'binding') }],
    ['turn_tls', 1, sub { $turn->client({tls => $host}, 'binding') }],
    ['plain_http', 0, sub { to_443()->get('/', Host => $host) }],
    ['unknown', 0, sub {
        my $c = to_443();
        $c->send("\0\1garbage" x 5);
        $c->closed(10);
    }],
    ['silent', 0, sub { to_443()->closed(10) }],
    ['gone', 0, sub { my $c = to_443(); $c->send("\x16\3\1"); $c->close }],
    ['refused', 0, sub {
        my $c = Edge::HttpClient->new(to => '127.0.0.1:444');
        $c->send(pack 'nnNx12', 1, 0, 0x2112a442);
        $c->closed(10);
    }],
) {
    my ($outcome, $opened, $do) = @$case;
    $turn->{port} = 443;
    $do->();
    push @seen, $outcome;
    my $all = grep { /https_opened|turn_tls/ } @seen;
    ok(counts((map { $_ => 1 } @seen), $all ? (opened => $all) : ()),
        "one of $outcome is counted as that and as nothing else");
}

# ---- in each form ----

my %forms = (html => ask('/'), prometheus => ask('/?format=prometheus'));
like($forms{html}, qr{<h2>Port 443</h2>.*<dt>TURN over TLS</dt><dd>1</dd>},
    'the page has it in words');
is(() = $forms{html} =~ m{<dd>1</dd>}g, 9, '... each of them');
is(() = $forms{prometheus} =~
    /^cms_edge_share_connections_total\{outcome="\w+"\} 1$/mg, 9,
    'Prometheus gets each as well');
like($forms{prometheus}, qr/^cms_edge_share_tls_opened_total 2$/m,
    '... and how many TLS connections were opened');

SKIP: {
    my ($tool) = grep { -x } "$Edge::Netns::root/build/promtool",
        map { "$_/promtool" } split /:/, $ENV{PATH};
    skip 'no promtool', 1 if !$tool;
    spew("$Edge::Netns::dir/metrics", $forms{prometheus});
    is(qx($tool check metrics < $Edge::Netns::dir/metrics 2>&1), '',
        'promtool finds no fault');
}
SKIP: {
    skip 'no JSON::Validator', 1 if !eval { require JSON::Validator; 1 };
    my $schema = decode_json(
        slurp("$Edge::Netns::root/conf-examples/nginx/status.schema.json"));
    is(join(' ', JSON::Validator->new->schema($schema)->validate(
        decode_json(ask('/?format=json')))), '',
        'the JSON is as its schema says');
}

# ---- what lasts ----

my %all = ((map { $_ => 1 } @seen), opened => 2);
ok($edge->reload, 'a reload ...');
ok(counts(%all), '... goes on counting');
to_443(tls => $host)->get('/', Host => $host);
ok(counts(%all, https => 2), '... from there');

my $other = Edge::Nginx->start(name => 'other', http => $status
    =~ s/8445/8446/r);
unlike(ask($_, 8446), qr/share|Port 443/,
    "where no port is shared $_ has no word of it")
    for '/?format=json', '/?format=prometheus', '/';
$other->stop;

unlike($edge->error_log, qr/\[(?:crit|alert|emerg)\]/,
    'nothing alarming is logged');
done_testing();
