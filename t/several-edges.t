use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Coturn;
use Edge::Examples;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use File::Copy qw(copy);
use Test::More;

# conf-examples/several-edges: two edges, PostgreSQL with a standby, Redis, with
# the very files and commands, on one machine with all their addresses.

my $here = "$Edge::Netns::root/conf-examples/several-edges";
my %edge = (one => ['192.0.2.168', '198.51.100.61'],
    two => ['192.0.2.169', '198.51.100.62']);
Edge::Coturn::add_addresses(map({ @$_ } values %edge), '192.0.2.180',
    map { "192.0.2.$_" } 181 .. 183);
Edge::Examples::install();
spew('/etc/hosts', "192.0.2.181 db1.octavio.test\n"
        . "192.0.2.182 db2.octavio.test\n");

# ---- secrets ----

my ($secrets, $acl, $roles, $each_edge)
    = slurp("$here/README.md") =~ /^```sh\n(.*?)^```/msg;
is(sh($secrets . $acl), 0, 'README: secrets');
is(join(' ', map { sprintf '%o', (stat "/etc/cms-edge/$_")[2] & 07777 }
    qw(seal-keys redis-password pgpass)), '600 600 600',
    '... which only turnserver can read');
my ($password) = slurp('/etc/cms-edge/pgpass') =~ /:(\w{64})\n/;
ok($password, 'the database password is in the passfile');

# ---- Redis ----

make_path_as('redis', '/etc/redis');
copy("$Edge::Netns::dir/commands/cms-edge.acl", '/etc/redis/cms-edge.acl');
spew('/etc/redis/cms-edge.conf',
    Edge::Examples::substituted(slurp("$here/redis.conf")));
my $redis = Edge::Process->start(
    name => 'redis',
    argv => ['/usr/bin/redis-server', '/etc/redis/cms-edge.conf'],
    ready_tcp => '192.0.2.183:6379',
);
like(redis('ping'), qr/NOAUTH|WRONGPASS/, 'Redis wants a password');
my ($redis_password) = slurp('/etc/cms-edge/redis-password') =~ / (\w+)$/;
my @as = ('--user', 'cms-edge', '--pass', $redis_password);
is(redis(@as, 'ping'), "PONG\n", '... that of the edges');
like(redis(@as, split / /), qr/NOPERM/, "... who have no use for $_")
    for 'keys *', 'flushall', 'config get *', 'acl list', 'get cms-edge:x',
        'set other 1';

# ---- PostgreSQL ----

my ($cert, $key) = Edge::Certs::cert('inside', 'db1.octavio.test',
    'db2.octavio.test');
copy(Edge::Certs::ca('inside'), '/etc/cms-edge/db-ca.pem');
make_path_as('postgres', '/etc/postgresql');
copy($cert, '/etc/postgresql/db.pem');
copy($key, '/etc/postgresql/db.key');
chmod 0600, '/etc/postgresql/db.key';
chown scalar getpwnam('postgres'), -1, '/etc/postgresql/db.key';
my @conf = grep { /^\w/ && !/^listen_addresses/ } split /\n/,
    slurp("$here/postgresql.conf");
my $primary = Edge::Postgres->start(
    name => 'db1',
    host => '192.0.2.181',
    conf => \@conf,
    # On one machine a connection comes from the address that it goes to.
    hba => ['local all all trust', 'local replication all trust',
        map { s,2\.16[89]/32,2.180/28,r } grep { /^host/ } split /\n/,
        Edge::Examples::substituted(slurp("$here/pg_hba.conf"))],
);
$primary->install;
{
    my $at = 'PGHOST=' . $primary->socket_dir . ' PGUSER=postgres';
    # Both ask twice; without a terminal they read it from stdin.
    $roles =~ s/^createuser/printf '%s\\n' '$password' '$password' | $at setsid -w createuser/mg;
    is(sh($roles), 0, 'README: the roles');
}
my ($via) = slurp("$here/README.md") =~ /^pg_basebackup .* -d '(.*)'$/m;
$via = Edge::Examples::substituted($via) . " password=$password";
copy(Edge::Certs::ca('inside'), '/etc/postgresql/db-ca.pem');
my $standby = $primary->standby(name => 'db2', port => 5432, via => $via,
    conf => ["listen_addresses = '192.0.2.182'"]);
ok(wait_until(sub { $primary->value('select count(*)
    from pg_stat_replication join pg_stat_ssl using (pid) where ssl') == 1 }),
    'README: the standby follows, over TLS');
my %password = map { $_ => $primary->value(
    "select turn.add_user('octavio.test', ?)", $_) } 'turnuser', 'leaving';

# ---- the edges ----

my %turn;
for my $name (sort keys %edge) {
    Edge::Examples::cli_password();
    is(sh($each_edge), 0, "README: edge $name");
    my ($lan1, $lan2) = @{$edge{$name}};
    my $conf = slurp('/etc/turnserver.conf');
    $conf =~ s/192\.0\.2\.168/$lan1/g;
    $conf =~ s/198\.51\.100\.61/$lan2/g;
    # Both are on one machine here.
    my $cli = $name eq 'one' ? 5766 : 5767;
    $conf =~ s/^cli-port=.*/cli-port=$cli/m;
    $conf .= "pidfile=$Edge::Netns::dir/$name/pid\n";
    make_path_as('turnserver', "$Edge::Netns::dir/$name");
    make_path_as('turnserver', "/run/$name");
    spew("$Edge::Netns::dir/$name.conf", $conf, 0644);
    my $settings = slurp('/etc/cms-edge/turn-auth.conf');
    $settings =~ s/:5766/:$cli/;
    $turn{$name} = Edge::Coturn->start(
        name => $name,
        ip => $lan1,
        plugin => 1,
        user => 'turnserver',
        conf_file => "$Edge::Netns::dir/$name.conf",
        settings => $settings . "figures_dir = /run/$name\n",
    );
}

sub log_in { join ' ', map { $turn{$_}->allocate($_[0], $password{$_[0]}) }
    'one', 'two' }

is(log_in('turnuser'), 'ok ok', 'a user gets in on both edges');
ok(wait_until(sub { redis(@as, 'getrange', 'cms-edge:octavio.test turnuser', 0,
    9) =~ /^./ }), '... and goes to Redis');
is(log_in('leaving'), 'ok ok', 'another, too');
$primary->value("select turn.disable_user('octavio.test', 'leaving')");
ok(wait_until(sub { log_in('leaving') eq '401 401' }, 5),
    '... and is out on both once disabled');
unlike($_->log_text, qr/$password/, 'no log has the database password')
    for values %turn;

ok(wait_until(sub { (slurp("/run/$_/turn.json") // '')
    =~ /"cache": .*"complete": true.*"feed": \{"state": "live"/s }),
    "edge $_: turn.json says that memory is complete and the feed live")
    for sort keys %edge;

$redis->stop;
is(log_in('turnuser'), 'ok ok', 'Redis away: known users get in');
$standby->catch_up($primary);
$primary->kill;
is(log_in('turnuser'), 'ok ok', 'the primary away: so they do');
$standby->promote;
$password{new} = $standby->value("select turn.add_user('octavio.test', 'new')");
ok(wait_until(sub { log_in('new') eq 'ok ok' }, 20),
    'the standby promoted: a new user gets in');
$standby->value("select turn.disable_user('octavio.test', 'turnuser')");
ok(wait_until(sub { log_in('turnuser') eq '401 401' }, 5),
    '... and a disabled one does not');
done_testing();

# Commands as the README has them, with the names replaced.
sub sh {
    my ($commands) = @_;
    my $checkout = "$Edge::Netns::dir/commands";
    if (!-d $checkout) {
        mkdir $checkout, 0755;
        for my $file (glob("$here/*")) {
            my $to = "$checkout/conf-examples/several-edges";
            File::Path::make_path($to);
            spew($to . '/' . File::Basename::basename($file),
                Edge::Examples::substituted(slurp($file)), 0644);
        }
    }
    $commands =~ s/^systemctl restart coturn\n//m;
    my $out = qx(cd $checkout && (set -e\n$commands) 2>&1);
    diag($out) if $?;
    return $? >> 8;
}

sub redis {
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', 'redis-cli', '-h',
        '192.0.2.183', '--no-auth-warning', @_ or die "redis-cli: $!";
    local $/;
    return <$out>;
}

sub make_path_as {
    my ($user, $path) = @_;
    mkdir $path, 0755;
    chown scalar getpwnam($user), -1, $path;
}
