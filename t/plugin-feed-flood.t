use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;
use Time::HiRes qw(time sleep);

# Anyone who may connect to the database may notify. 100,000 notifications a
# second, malformed and forged, neither admit nor evict anybody, and cost little.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 99) i");
my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo,
    settings => {map { $_ => '1h' } qw(fresh_ttl negative_ttl poll_interval)});
ok($turn->wait_log(qr/complete, feed live/), 'all users are in memory');

sub notify {
    my ($channel, $payload, $count) = @_;
    $pg->psql("do \$\$ begin for i in 1 .. $count loop
        perform pg_notify('$channel', $payload); end loop; end \$\$");
}

# ---- forged ----

$pg->psql('create role stranger login');
sub as_stranger { $pg->psql($_[0], user => 'stranger') }
for my $payload ('', 'user1', 'octavio.test user1', '{"name":"user1"}', "\t'",
    'DELETE', '-1', 'x' x 7999) {
    as_stranger(sprintf "select pg_notify('turn_users', %s)",
        $pg->dbh->quote($payload));
}
as_stranger("notify turn_tables, 'octavio'");
as_stranger('notify elsewhere');
sleep 0.2;
is($turn->allocate('user1', 'right'), 'ok', 'forged: nobody is evicted');
is($turn->allocate('nobody', 'right'), 401, '... or admitted');
ok($turn->process->alive, '... and turnserver goes on');

# ---- many ----

sub cpu_s {
    my ($pid) = @_;
    my $s = 0;
    for my $file (glob "/proc/$pid/task/*/stat") {
        my $text = Edge::Process::slurp($file) // next;
        next if $text !~ /\(turn-auth-store\) (.*)/;
        my @field = split ' ', $1;
        $s += ($field[11] + $field[12]) / 100;
    }
    return $s;
}

my $load = $turn->load(clients => 8, seconds => 6, user => 'user%d',
    users => 50, password => 'right', interval_ms => 1000);
wait_until(sub { scalar $load->lines }, 5);
my ($sent, $begun, $cpu) = (0, time, cpu_s($turn->pid));
while (time < $begun + 3) {
    notify('turn_users', "'x' || i", 100_000);
    $sent += 100_000;
}
my $seconds = time - $begun;
$cpu = cpu_s($turn->pid) - $cpu;
diag(sprintf '%.0f notifications a second cost %.0f %% of a core',
    $sent / $seconds, 100 * $cpu / $seconds);
cmp_ok($sent / $seconds, '>', 10_000, 'a flood of notifications');
cmp_ok($cpu / $seconds, '<', 0.25, '... costs less than a quarter of a core');
$pg->value("select turn.disable_user('octavio.test', 'user60')");
$begun = time;
ok(wait_until(sub { $turn->allocate('user60', 'right') eq '401' }, 5),
    '... changes are noticed');
cmp_ok(time - $begun, '<', 2, '... soon');
my $total = $load->total;
is_deeply($total->{refused}, {}, '... nobody is refused');
is($total->{timeouts}, 0, '... or goes without an answer');
is(scalar(() = $turn->log_text =~ /a flood of notifications/g), 1,
    '... and one line says so');

ok(wait_until(sub {
    notify('turn_users', "''", 1);
    $pg->value("select turn.disable_user('octavio.test', 'user61')");
    $turn->allocate('user61', 'right') eq '401';
}, 5), 'afterwards it goes on');

done_testing();
