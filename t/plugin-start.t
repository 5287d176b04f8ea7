use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(spew wait_until);
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time sleep);

# turnserver starts whatever state PostgreSQL is in, and needs no restart when
# it comes.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'guest', 'right')");

# How long this coturn takes with a database that works.
my $usual = time;
Edge::Coturn->start(name => 'usual', plugin => 1,
    conninfo => $pg->conninfo)->stop;
$usual = time - $usual;

sub starts {
    my ($how, $port, $conninfo, $return) = @_;
    my $begun = time;
    my $turn = Edge::Coturn->start(name => $how =~ s/\W+/-/gr, port => $port,
        plugin => 1, conninfo => $conninfo);
    cmp_ok(time - $begun, '<', $usual + 4, "$how: turnserver starts");
    is($turn->allocate('guest', 'right'), 401, "$how: users are refused");
    $begun = time;
    $turn->allocate('guest', 'right') for 1 .. 5;
    cmp_ok(time - $begun, '<', 2, "$how: ... at once");
    my @away = $turn->log_text =~ /^turn_auth_plugin: .*is away/mg;
    is(scalar @away, 1, "$how: one line says so");

    $return->();
    $begun = time;
    ok(wait_until(sub { $turn->allocate('guest', 'right') eq 'ok' }, 5),
        "$how: when PostgreSQL comes, users get in");
    cmp_ok(time - $begun, '<', 2.5, "$how: ... within 2 s");
    $turn->stop;
}

my $proxy = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432');
my @far = (tcp => 1, port => 5433);

$proxy->tell('refuse');
starts('PostgreSQL refuses', 3481, $pg->conninfo(@far),
    sub { $proxy->tell('accept') });

$proxy->tell('hold');
starts('PostgreSQL is silent on connect', 3482, $pg->conninfo(@far),
    sub { $proxy->tell('pass') });

$pg->freeze;
starts('PostgreSQL is frozen', 3483, $pg->conninfo, sub { $pg->thaw });

$pg->stop;
starts('PostgreSQL is stopped', 3484, $pg->conninfo, sub { $pg->up });

# A name server that is silent: the one thing libpq waits for without a limit.
my $silent = IO::Socket::INET->new(Proto => 'udp',
    LocalAddr => '127.0.0.53:53') or die $!;
spew("$Edge::Netns::dir/resolv.conf", "nameserver 127.0.0.53\n");
system('mount', '--bind', "$Edge::Netns::dir/resolv.conf",
    '/etc/resolv.conf') == 0 or die "mount: $?";
my $begun = time;
my $lost = Edge::Coturn->start(name => 'lost', port => 3485, plugin => 1,
    conninfo => $pg->conninfo(host => 'db.octavio.test'));
SKIP: {
    skip 'this coturn asks the name server itself', 1
        if $lost->log_text =~ /could not resolve PostgreSQL/;
    cmp_ok(time - $begun, '<', $usual + 4,
        'silent name server: turnserver starts');
}
is($lost->allocate('guest', 'right'), 401, '... users are refused');
$begun = time;
$lost->allocate('guest', 'right') for 1 .. 5;
cmp_ok(time - $begun, '<', 0.8, '... at once');
$lost->stop;

# A database that is there and says no is not an outage without a word.
$pg->psql('revoke select on turn.turnusers_lt, turn.user_record
    from turn_server');
my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo);
is($turn->allocate('guest', 'right'), 401, 'without rights nobody gets in');
ok($turn->wait_log(qr/^turn_auth_plugin: .* does not tell users \(permission/m),
    'and a line says why');
$pg->psql('grant select on turn.turnusers_lt, turn.user_record
    to turn_server');
ok(wait_until(sub { $turn->allocate('guest', 'right') eq 'ok' }, 8),
    'with them they do');

done_testing();
