use strict;
use warnings;
use Edge::Netns;
use Edge::Guests;
use Edge::Targets;
use Test::More;
use Time::HiRes qw(sleep time);

# One of two web bridges fails under load: guests do not notice. The figures,
# at full rate, are taken by t/bench/targets.bench; here the machine may be
# busy with other tests.

my $site = Edge::Targets->start(health => 'interval=1s timeout=800ms');

for my $fault (Edge::Targets::faults()) {
    # Those who keep cookies stay where they are, the others go round.
    my ($staying, $roaming) = my @load = map {
        Edge::Guests->load(rate => 40, guests => 10, cookies => $_)
    } 1, 0;
    $roaming->wait_served($_) for 'one', 'two';

    $site->break('one', $fault);
    my $failed = $site->wait_failed('one');
    ok($failed, "$fault: it is found out") or next;
    my $found = time;
    note(sprintf 'after %.1f s: %s', @$failed{qw(after reason)});
    sleep 1;
    my $mended = time;
    $site->mend('one');
    ok($site->wait_active('one'), "$fault: once mended it is active again");
    ok($roaming->wait_served('one'), '... and gets guests');

    my @r = map { $_->stop } @load;
    note(Edge::Guests::summary(@r));
    my @before = grep { $_->{start} < $found } @r;
    my @bad = grep { !$_->{ok} } @before;
    cmp_ok(scalar @bad, '<=', $fault eq 'killed' ? 0 : 0.01 * @before,
        "$fault: " . ($fault eq 'killed' ? 'no request fails'
            : 'at most 1 % of the requests fail until then'));
    is(scalar(grep { !$_->{ok} && $_->{start} >= $found } @r), 0,
        "$fault: and none after");
    is(scalar(grep { $_->{start} > $found && $_->{start} < $mended
        && $_->{who} eq 'one' } @r), 0, "$fault: it gets no guests");
}
done_testing();
