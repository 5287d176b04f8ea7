use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(spew slurp);
use Test::More;
use Time::HiRes qw(time sleep);

# LD_PRELOAD is inherited: in programs that are not turnserver the plugin does
# nothing, in turnadmin it only passes statements on - though never for ever.

my $pg = Edge::Postgres->start(conf => ["log_statement = 'all'"]);
$pg->install;
system('mount', '-t', 'tmpfs', 'log', '/var/log') == 0 or die "mount: $?";

sub preloaded {
    my (@argv) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        $ENV{LD_PRELOAD} = join ' ', grep { defined } $ENV{TURN_PRELOAD},
            $Edge::Coturn::plugin;
        # A wrong file must not matter to them.
        $ENV{TURN_AUTH_CONF} = '/nowhere/turn.conf';
        $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
        exec @argv;
    }
    local $/;
    my $text = <$out>;
    close $out;
    return $text;
}

is(preloaded('sh', '-c', 'echo hello; exit 3'), "hello\n", 'a shell works');
is($? >> 8, 3, '... with its exit code');
is(preloaded($pg->psql_argv, '-c', 'select 41 + 1'), "42\n", 'psql works');
is(preloaded($^X, '-MDBI', '-e', 'my ($dsn) = @ARGV;
    my $d = DBI->connect($dsn, "postgres", "", {RaiseError => 1});
    print $d->selectrow_array("select hmackey from turn.turnusers_lt
        where name = ?", undef, "x") // "none";
    my $s = $d->prepare("select ?::int + 1"); $s->execute(41);
    print " ", $s->fetchrow_array',
    "dbi:Pg:dbname=turn;host=@{[$pg->socket_dir]}"), 'none 42',
    'Perl with DBD::Pg, which calls PQconnectdb, works');

# ---- turnadmin ----

my @admin = ('turnadmin', '-e', $pg->conninfo(user => 'turn_admin'));
preloaded(@admin, '-a', '-r', 'octavio.test', '-u', 'guest', '-p', 'right');
is($? >> 8, 0, 'turnadmin adds a user');
is($pg->value("select turn.check_user('octavio.test', 'guest', 'right')"), 'ok',
    '... who is there');
like(preloaded(@admin, '-l'), qr/^guest\[octavio.test\]$/m, '... and listed');

# A turnadmin that had connected when the database froze.
$pg->psql("create function slow() returns trigger language plpgsql as
    'begin perform pg_sleep(60); return old; end'; create trigger slow before
    delete on turn.credential for each row execute function slow()");
like(preloaded(@admin, '-d', '-r', 'octavio.test', '-u', 'guest'),
    qr/^turn_auth_plugin: the database does not answer$/m,
    'a delete that does not come to an end is given up, and told');
$pg->psql("select pg_terminate_backend(pid) from pg_stat_activity
    where usename = 'turn_admin'");
$pg->psql('drop trigger slow on turn.credential');

$pg->freeze;
my $begun = time;
like(preloaded(@admin, '-l'), qr/Cannot open PostgreSQL DB connection/,
    'frozen: turnadmin says that it cannot reach the database');
cmp_ok(time - $begun, '<', 7, '... and does not wait for ever');
$pg->thaw;
$pg->stop;
$begun = time;
like(preloaded(@admin, '-d', '-r', 'octavio.test', '-u', 'guest'),
    qr/Cannot open PostgreSQL DB connection/, 'stopped: turnadmin says so');
cmp_ok(time - $begun, '<', 2, '... at once');
$pg->up;
preloaded(@admin, '-d', '-r', 'octavio.test', '-u', 'guest');
unlike(preloaded(@admin, '-l'), qr/guest/, 'and works again when it is back');

# ---- the preload itself ----

my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo);
my @threads = map { slurp($_) } glob '/proc/' . $turn->pid . '/task/*/comm';
is(scalar(grep { /^turn-auth-store$/ } @threads), 1,
    'turnserver has one thread of ours');
my $without = Edge::Coturn->start(name => 'without', port => 3479,
    conninfo => $pg->conninfo);
$_->stop('TERM') for $turn, $without;
is($turn->process->{status}, $without->process->{status},
    'and ends on SIGTERM as it does without us');

# -o: turnserver goes into the background after the plugin was loaded.
my $conf = "$Edge::Netns::dir/background.conf";
spew($conf, slurp("$turn->{dir}/turnserver.conf")
    . "pidfile=$Edge::Netns::dir/background.pid\n");
$pg->value("select turn.add_user('octavio.test', 'guest', 'right')");
preloaded('sh', '-c', "unset TURN_AUTH_CONF; $Edge::Coturn::turnserver"
    . " -o -c $conf");
ok(Edge::Process::wait_until(sub { $turn->answers }, 5), 'turnserver -o starts');
is($turn->allocate('guest', 'right'), 'ok', '... and knows the users');
like(preloaded(qw(timeout 20 turnutils_uclient -v -y -c -n 1 -m 1),
        qw(-u guest -w right 127.0.0.1)), qr/refresh response.*\n.*success/,
    "coturn's own client, which calls OpenSSL's HMAC as well, works");
my ($pid) = (slurp("$Edge::Netns::dir/background.pid") // '') =~ /^(\d+)/;
kill 'TERM', $pid;
ok(Edge::Process::wait_until(sub { !-e "/proc/$pid" || !kill 0, $pid }, 15),
    '... and ends');

done_testing();
