use strict;
use warnings;
use Edge::Netns;
use Edge::Guests;
use Edge::Targets;
use Test::More;
use Time::HiRes qw(time);

# Two web bridges that know nothing of each other's guests: whoever got a
# token from one must stay there from the page to the WebSocket, and find the
# other when it dies.

my $count = 100;
my $site = Edge::Targets->start(
    health => 'interval=1s timeout=800ms',
    settings => {spaces => Edge::Guests::spaces($count)},
);
my $guests = Edge::Guests->join(count => $count, meetings => $count,
    rejoin => 1);
ok($guests->wait_events($count, 'joined'), 'a hundred guests join');
is(scalar($guests->events('refused')), 0, 'each at the first attempt');

my %at = map { $_->{guest} => $_->{socket} } $guests->events('joined');
is(scalar(grep { $_->{page} ne $_->{socket} || $_->{join} ne $_->{socket} }
    $guests->events('joined')), 0,
    'page, call and WebSocket of each are with one web bridge');
my @of_one = grep { $at{$_} eq 'one' } keys %at;
cmp_ok(scalar @of_one, '>', 0.2 * $count, 'both have guests');
cmp_ok(scalar @of_one, '<', 0.8 * $count, '... both');

my $killed = time;
$site->break('one', 'killed');
ok($guests->wait_events($count + @of_one, 'joined'),
    'one is killed: all its guests join again');
my @again = grep { $_->{t} > $killed } $guests->events('joined');
note(sprintf 'the last one after %.1f s', $again[-1]{t} - $killed);
is_deeply([sort map { $_->{guest} } @again], [sort @of_one],
    '... each of them once');
is(scalar(grep { $_->{socket} ne 'two' } @again), 0, '... with the other');
is_deeply([sort map { $_->{guest} } $guests->events('dropped')],
    [sort @of_one], '... whose own guests notice nothing');
is(scalar($guests->events('refused')), 0, 'nobody had to try twice');

ok($site->wait_failed('one'), 'the dead one has failed');
$site->mend('one');
ok($site->wait_active('one'), 'it comes back');
my $newcomers = Edge::Guests->join(count => 10, meetings => 10);
$newcomers->wait_events(10, 'joined');
ok((grep { $_->{socket} eq 'one' } $newcomers->events('joined')),
    '... and gets newcomers');
$newcomers->stop;
is(scalar($guests->events('dropped')), @of_one, '... while nobody moves');
is(scalar($guests->events('unheard')), 0, 'everybody was heard all the time');
$guests->stop;
done_testing();
