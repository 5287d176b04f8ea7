use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(slurp wait_until);
use JSON::PP;
use Test::More;

# A flood of names that nobody has, 64 at a time, with PostgreSQL 10 ms away
# each way: real users are let in all the while, whether all of them are in
# memory or not, and the flood costs PostgreSQL nothing.

my $users = 1500;
my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right'))
    from generate_series(0, $users - 1) i");
my $away = Edge::Coturn::delay(listen => '127.0.0.1:15432',
    to => '127.0.0.1:5432', ms => 10);
my $port = 3478;

sub figures { decode_json(slurp("$_[0]/turn.json") || '{}') }

# What PostgreSQL was asked by auth workers so far.
sub asked {
    my ($look_ups) = @_;
    my $n = 0;
    $n += $_->{postgresql} // 0 for values %$look_ups;
    return $n;
}

sub flooded {
    my ($what, $known, $users_there, %settings) = @_;
    my $dir = "$Edge::Netns::dir/figures-$port";
    mkdir $dir;
    my $turn = Edge::Coturn->start(plugin => 1, name => $port, port => $port,
        conf => ['no-cli'], settings => {%settings, figures_dir => $dir},
        conninfo => $pg->conninfo(tcp => 1, port => 15432,
            sslmode => 'disable', gssencmode => 'disable'));
    $port += 10;
    ok($turn->wait_log(qr/\($known, feed live\)/), "$what: all users were read");
    my $total = $turn->load(clients => 16, seconds => 3, user => 'user%d',
        users => $users_there, password => 'right', flood => 64)->total;
    is_deeply($total->{refused}, {}, '... and none is refused in the flood');
    is($total->{timeouts}, 0, '... or left without an answer');
    cmp_ok($total->{per_second}, '>', 20, '... logins a second');
    is($total->{flood_allowed}, 0, '... and nobody of the flood gets in');
    my $f;
    my $since = figures($dir)->{updated};
    wait_until(sub { ($f = figures($dir))->{updated} > $since + 0.1 }, 5);
    my $refused = $f->{look_ups}{refused}{memory};
    cmp_ok($refused, '>', 200, '... who are refused from memory');
    return asked($f->{look_ups});
}

is(flooded('all in memory', 'complete', 200), 0,
    '... without a question to PostgreSQL');
cmp_ok(flooded('not all in memory', 'more than cache_size', 700,
    cache_size => 500), '>', 0, '... and users who are not are asked for');
done_testing;
