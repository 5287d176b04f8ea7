use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until);
use JSON::PP;
use Test::More;

# Nobody finds out which users there are: a wrong password and an unknown user
# get the same answer, in the same time.

my $refusals = 10_000;

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'guest', 'right')");
my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo,
);
ok($turn->wait_log(qr/complete, feed live/), 'memory is complete');
is($turn->allocate('guest', 'right'), 'ok', 'a user who is there');
is($turn->allocate('nemo', 'right'), 401, 'and one who is not');

open my $timing, '-|', "$Edge::Netns::root/build/t/turn_timing", '-s',
    $turn->address, '-u', 'guest', '-x', 'nem%d', '-n', $refusals
    or die "turn_timing: $!";
my $got = decode_json(join '', <$timing>);
close $timing;
is($got->{refused}, 2 * $refusals, 'both are refused each time');
is($got->{different}, 0, 'the bytes are the same');
my ($wrong, $unknown) = @$got{qw(wrong_us unknown_us)};
cmp_ok(abs($wrong / $unknown - 1), '<=', 0.05, sprintf
    'medians of %d: wrong password %.1f us, unknown user %.1f us', $refusals,
    $wrong, $unknown);

my ($known_line) = $turn->log_text =~ /^(.*<?guest>?.*incorrect.*)$/m;
my ($unknown_line) = $turn->log_text =~ /^(.*<?nem0>?.*incorrect.*)$/m;
ok($known_line && $unknown_line, 'coturn logs the same line for both');
unlike($turn->log_text, qr/Error retrieving PostgreSQL/,
    '... and no fault of the database');

done_testing();
