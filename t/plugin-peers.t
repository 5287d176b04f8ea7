use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use IO::Socket::INET;
use Test::More;

# Whom a TURN user may reach: what the database says, what it said last when it
# is away, and nobody before it ever said anything. 192.0.2.1 is the edge,
# 192.0.2.180 the Call Bridge, 203.0.113.5 a machine that a rule denies.

my ($edge, $bridge, $denied) = ('192.0.2.1', '192.0.2.180', '203.0.113.5');
Edge::Coturn::add_addresses($edge, $bridge, $denied, '198.51.100.9',
    '2001:db8::1', '2001:db8::180', '2001:db8::5');

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'guest', 'right')");
$pg->psql("select turn.allow_peer('octavio.test', '$bridge');
    select turn.allow_peer('octavio.test', '2001:db8::180');
    select turn.deny_peer('octavio.test', '203.0.113.0/24');
    select turn.deny_peer('octavio.test', '2001:db8::/64')");

my $call_bridge = IO::Socket::INET->new(Proto => 'udp',
    LocalAddr => "$bridge:5000") or die $!;

# Permissions for these peers, as a hash of peer => answer; v6 relays for IPv6.
sub permissions {
    my ($turn, @peers) = @_;
    my %answer;
    for my $v6 (0, 1) {
        my @some = grep { ($v6 xor !/:/) } @peers;
        my ($allocated, @lines) = $turn->client(
            {user => 'guest', password => 'right'},
            $v6 ? 'allocate=v6' : 'allocate', map { "permission=$_" } @some);
        die "allocate: $allocated" if $allocated !~ /^allocate ok/;
        @answer{@some} = map { /^permission (?:error )?(\w+)/ } @lines;
    }
    return \%answer;
}

my %as_ruled = (
    $bridge => 'ok', '2001:db8::180' => 'ok',
    $denied => 403, '2001:db8::5' => 403,
    "::ffff:$denied" => 403, '::ffff:203.0.113.77' => 403,
    "::$denied" => 403, '64:ff9b::cb00:7105' => 403, '2002:cb00:7105::1' => 403,
    '127.0.0.1' => 403, '::1' => 403, '0.0.0.0' => 403,
    '224.0.0.1' => 403, 'ff02::1' => 403,
);

sub reaches_call_bridge {
    my ($turn, $title) = @_;
    my $guest = $turn->session({user => 'guest', password => 'right'});
    my ($relay) = $guest->step('allocate') =~ /relay=(\S+)/;
    $guest->step("permission=$bridge");
    $guest->step("send=$bridge:5000,hello");
    my $from = $call_bridge->recv(my $data, 100);
    is($data, 'hello', "$title: the Call Bridge hears the guest");
    $call_bridge->send('there', 0, $from);
    is($guest->step('receive=2000'), "receive from=$bridge:5000 there",
        "$title: and the guest the Call Bridge");
    my ($port, $ip) = Socket::sockaddr_in($from);
    is(Socket::inet_ntoa($ip) . ":$port", $relay, "$title: through the relay");
}

sub no_tcp_relay {
    my ($turn, $title) = @_;
    my ($line, $connect) = $turn->client(
        {user => 'guest', password => 'right', tcp => 1},
        'allocate=tcp', "connect=$bridge:5432");
    like($line, qr/^allocate error 4\d\d/, "$title: no TCP relay ($line)");
    like($connect, qr/^connect error/, "$title: no TCP connection to a peer");
}

sub start {
    my ($name, %o) = @_;
    return Edge::Coturn->start(
        name => $name,
        ip => $edge,
        plugin => 1,
        conninfo => $pg->conninfo,
        conf => ['no-tcp-relay', 'no-multicast-peers',
            'listening-ip=2001:db8::1', 'relay-ip=2001:db8::1',
            @{$o{conf} || []}],
    );
}

# ---- up, then away ----

my $turn = start('up');
is_deeply(permissions($turn, keys %as_ruled), \%as_ruled, 'up: as ruled');
reaches_call_bridge($turn, 'up');
no_tcp_relay($turn, 'up');

$pg->stop;
ok($turn->wait_log(qr/is away/), 'PostgreSQL stops');
# coturn asks for the rules every 5 s: see to it that it has asked meanwhile.
sleep 6;
is_deeply(permissions($turn, keys %as_ruled), \%as_ruled, 'down: the same');
reaches_call_bridge($turn, 'down');
no_tcp_relay($turn, 'down');
$turn->stop;

# ---- never up ----

# A static user: somebody must be able to log in.
my @static = (conf => ['user=guest:right']);
$turn = start('never', @static);
my %nobody = map { $_ => 403 } keys %as_ruled, '198.51.100.9', '8.8.8.8',
    '::ffff:198.51.100.9', '2001:db8:1::1';
is_deeply(permissions($turn, keys %nobody), \%nobody,
    'never up: no peer at all is reachable');
no_tcp_relay($turn, 'never up');
$pg->up;
my $got;
ok(wait_until(sub {
    $got = permissions($turn, $bridge, $denied);
    $got->{$bridge} eq 'ok';
}, 8), 'when it comes up, the Call Bridge is reachable');
is($got->{$denied}, 403, '... and the denied machine is not');
reaches_call_bridge($turn, 'never up, then up');
$turn->stop;

# ---- the configuration's own ranges ----

$pg->stop;
$turn = start('static', conf => [@{$static[1]}, "allowed-peer-ip=$edge"]);
is_deeply(permissions($turn, $edge, $bridge), {$edge => 'ok', $bridge => 403},
    'never up: what turnserver.conf allows (its own relays) stays reachable');
$turn->stop;

# ---- rules that cannot be read ----

$pg->up;
$pg->psql('revoke select on turn.denied_peer_ip from turn_server');
$turn = start('unreadable');
is_deeply(permissions($turn, $bridge, $denied),
    {$bridge => 403, $denied => 403},
    'denied peers cannot be read: nobody is reachable');
like($turn->log_text,
    qr/^turn_auth_plugin: .*cannot read denied_peer_ip \(permission/m,
    'and a line says so');

done_testing();
