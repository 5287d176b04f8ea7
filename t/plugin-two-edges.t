use strict;
use warnings;
use Edge::Netns;
use Edge::Process;
use Edge::Revocation;
use Test::More;

# Two edges on one PostgreSQL and one Redis, both under load: who is disabled or
# removed, gets another password or expires is out on both at once. That p99 is
# within 100 ms is for t/bench/turn-revocation.bench to say, when nothing else
# runs.

# A log for each of many clients would bury the others.
$Edge::Process::show_logs = 0;

my $changes = $ENV{CHANGES} // 40;
my $r = Edge::Revocation::run(changes => $changes);
is(join('; ', @{$r->{wrong}}), '',
    'disabled, removed, expired or re-keyed users are refused and stay out');
# A sanitizer takes its time.
my $limit_ms = $ENV{TURN_PRELOAD} ? 5000 : 100;
for my $kind (sort keys %{$r->{late_ms}}) {
    my @late = @{$r->{late_ms}{$kind}};
    my $median = Edge::Revocation::percentile(50, @late);
    cmp_ok($median, '<=', $limit_ms, "$kind: 401 on both edges within 100 ms");
    diag(sprintf '%s: median %.1f ms, p99 %.1f ms of %d', $kind, $median,
        Edge::Revocation::percentile(99, @late), scalar @late);
}
cmp_ok(Edge::Revocation::percentile(0, @{$r->{late_ms}{expired}}), '>', -50,
    'expired: not before it is time');
for my $total (@{$r->{load}}) {
    is_deeply($total->{refused}, {}, 'nobody else was refused meanwhile');
    cmp_ok($total->{allocations}, '>', 25 * $changes, '... in many logins');
}
done_testing();
