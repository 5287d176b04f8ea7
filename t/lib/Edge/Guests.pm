package Edge::Guests;

# Guests in numbers, without browsers (t/guests/): those who ask for pages at
# a steady rate, and those who join a meeting and stay.
#
#   my $load = Edge::Guests->load(rate => 200);
#   ... something goes wrong and is well again ...
#   is(scalar(grep { !$_->{ok} } $load->stop), 0, 'nobody noticed');
#
#   my $guests = Edge::Guests->join(count => 100, rejoin => 1);
#   ok($guests->wait_events(100, 'joined'), 'all join');

use strict;
use warnings;
use Edge::Certs;
use Edge::Netns;
use Edge::Process qw(wait_until);
use JSON::PP;
use Time::HiRes qw(time);

my $json = JSON::PP->new->canonical->utf8;
my $started = 0;

# Of both kinds: where the edge is, and how long a request may take.
my %edge = (address => '127.0.0.1', port => 443,
    host => 'cmsweb.octavio.test', limitMs => 10_000);

# load(...): options, beside those of %edge:
#   rate      200 requests a second
#   guests    40, each with its own connections and cookies
#   cookies   1; 0: guests who refuse them
#   path      '/en-US/home'
sub load {
    my ($class, %o) = @_;
    $o{cookies} = $o{cookies} // 1 ? \1 : \0;
    return $class->_start('load', rate => 200, guests => 40,
        path => '/en-US/home', %o);
}

# join(...): options, beside those of %edge:
#   count         100 guests, one every everyMs (10)
#   meetings      1; how many meetings they go to, from the one with
#   firstMeeting  100101 on, whose ID it is
#   rejoin        0; 1: whoever was refused or dropped tries again
#   sayEveryMs    1000
sub join {
    my ($class, %o) = @_;
    $o{rejoin} = $o{rejoin} ? \1 : \0;
    return $class->_start('join', count => 100, everyMs => 10, meetings => 1,
        firstMeeting => 100101, sayEveryMs => 1000, %o);
}

# spaces(n): the meetings for join(meetings => n), as a setting of
# Edge::WebBridge.
sub spaces {
    my ($n) = @_;
    return [map { {id => "" . (100101 + $_), name => "Space $_",
        user => "space$_"} } 0 .. $n - 1];
}

# stop: load() sends no more and waits for what is under way, join() leaves.
# All that happened, as requests() or events() return it.
sub stop {
    my ($self) = @_;
    close delete $self->{process}{stdin} if $self->{process}{stdin};
    $self->{process}->wait_end(30);
    return $self->{kind} eq 'load' ? $self->requests : $self->events;
}

# requests: of load(), those that ended so far: {start (seconds since the
# epoch), ms, outcome (status or error), who (X-Web-Bridge), repeated, ok}.
# ok is a 2xx or 3xx within the limit.
sub requests {
    my ($self) = @_;
    push @{$self->{requests}}, map {
        my %r;
        @r{qw(start ms outcome who repeated)} = split;
        $r{start} /= 1000;
        $r{ok} = $r{outcome} =~ /^[23]..$/ && $r{ms} <= $self->{limitMs};
        \%r;
    } grep { /^\d+ \d/ } $self->_new_lines;
    return @{$self->{requests}};
}

# wait_served('one', seconds): true once a request of load() that begins now,
# or later, was answered by that web bridge. Guests with cookies stay where
# they are: ask those without.
sub wait_served {
    my ($self, $who, $timeout) = @_;
    my $from = time;
    my $i = 0;
    return wait_until(sub {
        my @requests = $self->requests;
        for (; $i < @requests; $i++) {
            my $r = $requests[$i];
            return 1 if $r->{who} eq $who && $r->{start} >= $from;
        }
        return 0;
    }, $timeout // 30);
}

# events('joined'): of join(), those so far, or all (t/guests/join.js).
sub events {
    my ($self, $of) = @_;
    push @{$self->{events}}, map { $json->decode($_) }
        grep { /^\{.*\}$/ } $self->_new_lines;
    return grep { !defined $of || $_->{event} eq $of } @{$self->{events}};
}

# wait_events(n, 'joined', seconds): true when there were n of them.
sub wait_events {
    my ($self, $n, $of, $timeout) = @_;
    return wait_until(sub { my @e = $self->events($of); @e >= $n },
        $timeout // 60);
}

# summary(requests): one line for people: how many, what failed, how slow.
sub summary {
    my @r = sort { $a->{ms} <=> $b->{ms} } @_;
    return 'no requests' if !@r;
    my (%failed, %who);
    $who{$_->{who}}++ for @r;
    $failed{$_->{outcome}}++ for grep { !$_->{ok} } @r;
    return sprintf '%d requests, %d repeated, median %d ms, 99 %% %d ms,'
        . ' slowest %d ms; answered by %s; failed: %s', scalar @r,
        scalar(grep { $_->{repeated} } @r), $r[$#r / 2]{ms},
        $r[$#r * 0.99]{ms}, $r[-1]{ms}, _list(%who), _list(%failed) || 'none';
}

sub _list {
    my (%n) = @_;
    return CORE::join ', ', map { "$_ $n{$_}" } sort keys %n;
}

# What it has printed since the last call, whole lines only.
sub _new_lines {
    my ($self) = @_;
    my $text = substr $self->{process}->log_text, $self->{read};
    $text =~ s/[^\n]*\z//;
    $self->{read} += length $text;
    return split /\n/, $text;
}

sub _start {
    my ($class, $kind, %o) = @_;
    %o = (%edge, ca => Edge::Certs::ca('outside'), %o);
    my $name = 'guests' . ++$started;
    my $self = bless {kind => $kind, limitMs => $o{limitMs}, read => 0,
        requests => [], events => []}, $class;
    $self->{process} = Edge::Process->start(
        name => $name,
        argv => ['node', "$Edge::Netns::root/t/guests/$kind.js",
            $json->encode(\%o)],
        env => {NODE_PATH => "$Edge::Netns::root/build/node_modules"},
        stdin => 'pipe',
        ready_log => qr/^ready$/m,
        timeout => 30,
    );
    return $self;
}

1;
