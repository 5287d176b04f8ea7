package Edge::Strangers;

# Clients of all kinds who come to a shared port in numbers and leave again at
# any moment (t/strangers/strangers.c, which says what kinds there are).
#
#   my $silent = Edge::Strangers->start(kinds => ['silent'], at_a_time => 5000);
#   ... who else comes is served ...
#   my $went = $silent->stop;
#   is($went->{silent}{failed}, 0, 'all could connect');

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process;
use JSON::PP;

my ($built, $started);

# start(...): returns once they are there.
#   kinds       ['h2', 'silent', ...], in turn
#   count       so many in all; without, until stop()
#   at_a_time   100
#   per_second  begin at most, or as fast as they can
#   stay_ms     three of four leave within this time, by chance; the others, and
#               without it all, once they have their answer or are closed
#   to          '127.0.0.1:443'
sub start {
    my ($class, %o) = @_;
    $built++ or system("$Edge::Netns::root/t/strangers/build") == 0
        or croak 't/strangers/build failed';
    return bless {process => Edge::Process->start(
        name => 'strangers' . ++$started,
        argv => ["$Edge::Netns::root/build/t/strangers",
            '-s', $o{to} // '127.0.0.1:443', '-k', join(',', @{$o{kinds}}),
            '-n', $o{count} // 0, '-c', $o{at_a_time} // 100,
            '-r', $o{per_second} // 0, '-m', $o{stay_ms} // 0],
        stdin => 'pipe',
        ready_log => qr/^ready$/m,
        timeout => 60,
    )}, $class;
}

# stop: all leave. wait(seconds): until all have come and left. Both say how
# it went: {h2 => {begun =>, answered =>, closed =>, left =>, failed =>}, ...}.
sub stop {
    my ($self) = @_;
    close delete $self->{process}{stdin};
    return $self->wait(60);
}

sub wait {
    my ($self, $seconds) = @_;
    my $status = $self->{process}->wait_end($seconds);
    croak 'the strangers did not end' if !defined $status;
    my ($said) = $self->{process}->log_text =~ /^(\{.*\})$/m;
    croak 'the strangers failed: ' . $self->{process}->log_text
        if $status || !$said;
    return decode_json($said);
}

1;
