use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew);
use Edge::Redis;
use Test::More;
use Time::HiRes qw(time);

# What was read before a change never holds after it, in whatever order things
# arrive: commits that become visible out of order, answers of PostgreSQL and
# Redis that are held until they are old, a database that goes back in time.

my $pg = Edge::Postgres->start(conf => ['log_statement = all']);
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, 299) i");
my %hours = map { $_ => '1h' } qw(fresh_ttl negative_ttl poll_interval);

sub is_soon {
    my ($turn, $user, $password, $want, $title) = @_;
    ok(wait_until(sub { $turn->allocate($user, $password) eq $want }, 5),
        $title);
}

# ---- commits out of order ----

my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo,
    settings => \%hours);
ok($turn->wait_log(qr/complete, feed live/), 'all users are in memory');
my $slow = $pg->new_dbh;
$slow->begin_work;
$slow->do("select turn.disable_user('octavio.test', 'user1')");
$pg->value("select turn.disable_user('octavio.test', 'user2')");
is_soon($turn, 'user2', 'right', 401, 'a change that is committed first');
is($turn->allocate('user1', 'right'), 'ok',
    '... does not bring the one before it');
$slow->commit;
is_soon($turn, 'user1', 'right', 401,
    'which is noticed when it is committed, though its number is lower');

# ---- a backup is put back ----

is($turn->allocate("user$_", 'right'), 'ok', "user$_ is in") for 3 .. 4;
my $backup = $pg->backup;
$pg->value("select turn.set_password('octavio.test', 'user3', ?)", "new$_")
    for 1 .. 50;
$pg->value("select turn.remove_user('octavio.test', 'user4')");
$pg->value("select turn.add_user('octavio.test', 'late', 'right')");
is_soon($turn, 'user4', 'right', 401, 'a removed user is out');
is($turn->allocate('user3', 'new50'), 'ok', '... a new password works');
$pg->put_back($backup);
is_soon($turn, 'user4', 'right', 'ok', 'an old backup is put back: who was in is');
is($turn->allocate('user3', 'right'), 'ok', '... with the password of then');
is($turn->allocate('user3', 'new50'), 401, '... not with the later one');
is($turn->allocate('late', 'right'), 401, '... and who was added later is not');
$pg->value("select turn.set_password('octavio.test', 'user3', 'newest')");
is_soon($turn, 'user3', 'newest', 'ok',
    'a change then counts, though its number is lower');

my $file = $pg->dump("$Edge::Netns::dir/dump");
chmod 0644, $file;
$pg->value("select turn.remove_user('octavio.test', 'user4')");
is_soon($turn, 'user4', 'right', 401, 'a removed user is out');
$pg->restore($file);
is_soon($turn, 'user4', 'right', 'ok', 'a dump is restored: who was in is');
$pg->value("select turn.disable_user('octavio.test', 'user4')");
is_soon($turn, 'user4', 'right', 401, '... and what changes then counts');
$turn->stop;

# ---- answers that are old when they come ----

# More users than memory holds: some are asked for when they log in.
my $redis = Edge::Redis->start(port => 6379);
spew("$Edge::Netns::dir/seal.keys", '0123456789abcdef' x 4 . "\n", 0600);
my $to_pg = Edge::Coturn::delay(listen => '127.0.0.1:5433',
    to => '127.0.0.1:5432');
my $to_redis = Edge::Coturn::delay(listen => '127.0.0.1:6380',
    to => '127.0.0.1:6379');
my %with_redis = (redis => '127.0.0.1:6380', redis_timeout => '4s',
    seal_key_file => "$Edge::Netns::dir/seal.keys");

# While what holds answers holds, finds a user whom memory does not hold, and
# changes the password. The old one must not get in, then or later.
sub changed_meanwhile {
    my ($name, $proxy, $hold, %settings) = @_;
    my $edge = Edge::Coturn->start(name => $name, plugin => 1,
        conninfo => $pg->conninfo(tcp => 1, port => 5433),
        settings => {%hours, cache_size => 100, query_timeout => '4s',
            %settings});
    ok($edge->wait_log(qr/more than cache_size, feed live/),
        "$name: memory holds some of the users");
    $proxy->tell($hold);
    my ($user, $answer, $held);
    for (5 .. 299) {
        ($answer) = $edge->client({user => "user$_", password => 'right',
            wait_ms => 400}, 'allocate');
        $user = $_;
        last if $answer =~ /timeout/ && ($held = $proxy->held(1));
    }
    ok($held, "$name: one is asked for, and the answer held");
    $pg->value("select turn.set_password('octavio.test', ?, 'new')",
        "user$user");
    ok(wait_until(sub { $pg->value(
        "select count(*) from pg_stat_activity where usename = 'turn_server'
            and query ~ 'user_record where xact' and query_start > ?",
        $pg->value('select changed from turn.user_change where name = ?',
            "user$user")) }), "$name: the change is noticed");
    $proxy->tell('release');
    is_soon($edge, "user$user", 'new', 'ok', "$name: the new password works");
    is($edge->allocate("user$user", 'right'), 401, "$name: the old one does not");
    $edge->stop;
    return "user$user";
}

# What the feed is told comes late, and is that the table is another one now.
my $late = Edge::Coturn->start(name => 'late', plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, port => 5433), settings => \%hours);
ok($late->wait_log(qr/feed live/), 'an edge whose feed is held');
$to_pg->tell('hold-answers asked user_record where xact');
$pg->psql('vacuum full turn.credential');
ok($to_pg->held(2), '... while the table is written anew');
sleep 1;
$pg->value("select turn.disable_user('octavio.test', 'user9')");
is($late->allocate('user9', 'right'), 'ok', '... for longer than query_timeout');
$to_pg->tell('release');
is_soon($late, 'user9', 'right', 401, '... notices changes afterwards');
$pg->value("select turn.disable_user('octavio.test', 'user10')");
is_soon($late, 'user10', 'right', 401, '... one by one');
$late->stop;

changed_meanwhile('PostgreSQL', $to_pg,
    'hold-answers asked user_record where name');

my %fill = (%hours, %with_redis, redis => $redis->address);
my $filler = Edge::Coturn->start(name => 'filler', plugin => 1,
    conninfo => $pg->conninfo, settings => \%fill);
ok(wait_until(sub { my @users = $redis->users; @users >= 300 }, 10),
    'Redis holds all users');
$filler->stop;
my $user = changed_meanwhile('Redis', $to_redis, 'hold-answers', %with_redis);
$pg->stop;
my $cold = Edge::Coturn->start(name => 'cold', plugin => 1,
    conninfo => $pg->conninfo, settings => \%fill);
is_soon($cold, $user, 'new', 'ok',
    'Redis: the new password works from it, too, after a restart');
is($cold->allocate($user, 'right'), 401, 'Redis: the old one does not');

done_testing();
