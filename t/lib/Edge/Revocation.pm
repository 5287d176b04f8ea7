package Edge::Revocation;

# How soon who is disabled or removed, gets another password or expires is
# refused: two edges on one PostgreSQL and one Redis, both under load. Called by
# t/plugin-two-edges.t and t/bench/turn-revocation.bench.
#
#   my $r = Edge::Revocation::run(changes => 100, per_second => 1000);
#   $r->{late_ms}{disabled}   milliseconds from the end of COMMIT (or from
#                             valid_until) to 401, two for each change
#   $r->{wrong}               what should not have been, in words
#   $r->{load}                turn_load's total on each edge
#   $r->{select_1_ms}         what `select 1` took meanwhile, 50 times a second,
#                             on a connection of its own
#   $r->{cpu}                 CPUs in use by all that was started
#
# per_second: logins on each edge, besides those of the user who is to be
# refused; without, as many as clients get done that begin anew at once.

use strict;
use warnings;
use Edge::Coturn;
use Edge::Netns;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use Edge::Redis;
use List::Util qw(sum);
use POSIX ();
use Time::HiRes qw(time);

# Each is told a user's name; returns the unix time from which on that user is
# to be refused, where that is not now.
my %change = (
    disabled => sub {
        my ($pg, $user) = @_;
        $pg->value("select turn.disable_user('octavio.test', ?)", $user);
        return;
    },
    removed => sub {
        my ($pg, $user) = @_;
        $pg->value("select turn.remove_user('octavio.test', ?)", $user);
        return;
    },
    're-keyed' => sub {
        my ($pg, $user) = @_;
        $pg->value("select turn.set_password('octavio.test', ?, 'new')", $user);
        return;
    },
    expired => sub {
        my ($pg, $user) = @_;
        return $pg->value("update turn.users set valid_until
            = clock_timestamp() + interval '0.2 s' where name = ?
            returning date_part('epoch', valid_until)", $user);
    },
);

# Then what the user's own do on each.
my $user_per_second = 200;

sub run {
    my (%o) = @_;
    my $pg = Edge::Postgres->start;
    $pg->install;
    $pg->value("select count(turn.add_user('octavio.test', n || i, 'right'))
        from generate_series(0, ?::int - 1) i, unnest('{load, user}'::text[]) n",
        $o{changes});
    my $self = bless {pg => $pg, late_ms => {}, wrong => [],
        per_second => $o{per_second}};
    my $redis = $self->{redis} = Edge::Redis->start;
    $self->{edges} = [map { _edge($_, $pg, $redis) } 1, 2];
    wait_until(sub { $self->_log_in('load0') eq 'ok ok' })
        or die "nobody gets in\n";
    my @load = map { $_->load(clients => $o{per_second} ? 32 : 4,
        seconds => 600, user => 'load%d', users => $o{changes},
        password => 'right', name => 'background',
        per_second => $o{per_second}) }
        @{$self->{edges}};
    my $select_1 = $self->_select_1;
    my ($begun, $cpu) = (time, $self->_cpu_seconds(@load));
    my @kinds = sort keys %change;
    $self->_change($kinds[$_ % @kinds], "user$_") for 0 .. $o{changes} - 1;
    $self->{cpu} = ($self->_cpu_seconds(@load) - $cpu) / (time - $begun);
    $select_1->stop('INT');
    $self->{select_1_ms} = [$select_1->log_text =~ /^Time: ([\d.]+) ms/mg];
    $self->{load} = [map { $_->stop } @load];
    return $self;
}

sub _select_1 {
    my ($self) = @_;
    my $file = "$Edge::Netns::dir/select-1.sql";
    spew($file, "\\timing on\nselect 1 \\watch 0.02\n", 0644);
    return Edge::Process->start(name => 'select-1',
        argv => [$self->{pg}->psql_argv, '-f', $file], ready_log => qr/Time:/);
}

# Of this, its children that have ended, and those that go on.
sub _cpu_seconds {
    my ($self, @load) = @_;
    my @pids = ($self->{pg}->pids, map { $_->{process}->pid } @load,
        $self->{redis}, @{$self->{edges}});
    my $ticks = 0;
    for my $pid (@pids) {
        my ($values) = (slurp("/proc/$pid/stat") // '') =~ /\) (.*)/ or next;
        $ticks += $_ for (split ' ', $values)[11 .. 14];
    }
    return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK()) + sum(times);
}

# Addresses of their own, lest they fight for relay ports.
sub _edge {
    my ($n, $pg, $redis) = @_;
    my $keys = "$Edge::Netns::dir/seal-keys";
    spew($keys, unpack('H*', pack 'N8', 1 .. 8) . "\n", 0600);
    return Edge::Coturn->start(
        name => "edge$n",
        ip => "127.0.0.$n",
        plugin => 1,
        conninfo => $pg->conninfo,
        settings => {redis => $redis->address, seal_key_file => $keys,
            figures_dir => 'none'},
    );
}

sub _log_in {
    my ($self, $user, $password) = @_;
    return join ' ', map { $_->allocate($user, $password // 'right') }
        @{$self->{edges}};
}

# The user logs in on both edges again and again, until that fails.
sub _change {
    my ($self, $kind, $user) = @_;
    my $wrong = $self->{wrong};
    my @clients = map { $_->load(clients => 1, seconds => 10, user => $user,
        password => 'right', until_refused => 1, interval_ms => 20,
        name => $user,
        per_second => $self->{per_second} && $user_per_second) }
        @{$self->{edges}};
    for my $client (@clients) {
        wait_until(sub { grep { $_->{allocations} } $client->lines })
            or push @$wrong, "$user does not get in";
    }
    my $begun = $change{$kind}->($self->{pg}, $user) // time;
    for my $client (@clients) {
        my $total = $client->total(20);
        push @$wrong, "$user: $total->{timeouts} requests are not answered"
            if $total->{timeouts};
        if ($total->{refused_at}) {
            push @{$self->{late_ms}{$kind}},
                1e3 * ($total->{refused_at} - $begun);
        } else {
            push @$wrong, "$user is not refused when $kind";
        }
    }
    my $again = $self->_log_in($user);
    push @$wrong, "$user, $kind, tries again: $again" if $again ne '401 401';
    if ($kind eq 're-keyed') {
        my $new = $self->_log_in($user, 'new');
        push @$wrong, "$user with the new password: $new" if $new ne 'ok ok';
    }
}

# percentile(50, @values)
sub percentile {
    my ($percent, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    return $sorted[int($percent / 100 * $#sorted + 0.5)];
}

1;
