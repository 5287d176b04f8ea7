package Edge::Bench;

# What the benches of coturn share: rounds of load on several servers in turn,
# medians, and the lines of JSON that t/bench/run reads.
#
#   my $bench = Edge::Bench->new(rounds => 7, seconds => 2, load => {...});
#   $bench->server(plugin => $coturn);
#   $bench->run;
#   $bench->figure('allocations', 'plugin', 'static', 'static users', '>= 0.9');

use strict;
use warnings;
use JSON::PP ();
use Exporter 'import';

our @EXPORT_OK = qw(median print_figure);

# load: what Edge::Coturn's load() takes. $ROUNDS and $SECONDS win.
sub new {
    my ($class, %o) = @_;
    $o{rounds} = $ENV{ROUNDS} // $o{rounds} // 7;
    $o{seconds} = $ENV{SECONDS} // $o{seconds} // 2;
    return bless {%o, order => [], server => {}, totals => {}}, $class;
}

# may: a pattern of what may go wrong without ending the bench ('timeouts',
# 'refused').
sub server {
    my ($self, $name, $coturn, %o) = @_;
    push @{$self->{order}}, $name;
    $self->{server}{$name} = {%o, coturn => $coturn};
}

# Loads one after the other, in another order each round; round 0 warms up.
sub run {
    my ($self) = @_;
    my @order = @{$self->{order}};
    for my $round (0 .. $self->{rounds}) {
        my %line;
        for my $name (@order) {
            my $total = $self->{server}{$name}{coturn}->load(
                name => "round$round",
                %{$self->{load}},
                seconds => $round ? $self->{seconds} : 1,
            )->total;
            $self->_check($name, $total) if $round;
            push @{$self->{totals}{$name}}, $total if $round;
            $line{$name} = sprintf '%s %.0f/s (p99 %.1f ms)', $name,
                $total->{per_second}, $total->{p99_ms};
        }
        print STDERR "  round $round: ",
            join(', ', @line{@{$self->{order}}}), "\n";
        push @order, shift @order;
    }
}

sub _check {
    my ($self, $name, $total) = @_;
    my $may = $self->{server}{$name}{may} // '^$';
    my @wrong;
    push @wrong, 'refused: ' . join ' ', %{$total->{refused}}
        if %{$total->{refused}} && 'refused' !~ /$may/;
    push @wrong, "$total->{timeouts} timeouts"
        if $total->{timeouts} && 'timeouts' !~ /$may/;
    push @wrong, "$total->{flood_allowed} of the flood got in"
        if $total->{flood_allowed};
    die "$name: @wrong\n" if @wrong;
}

# Logins a second of one beside those of another; the ratio is the median of
# the rounds' ratios.
sub figure {
    my ($self, $what, $ours, $peer, $whose, $limit) = @_;
    my @ours = map { $_->{per_second} } @{$self->{totals}{$ours}};
    my @peer = map { $_->{per_second} } @{$self->{totals}{$peer}};
    my @ratios = map { $peer[$_] ? $ours[$_] / $peer[$_] : () } 0 .. $#ours;
    print_figure(name => $what, value => median(@ours), unit => '1/s',
        peer => $whose, peer_value => median(@peer),
        ratio => median(@ratios), rounds => scalar @ours, limit => $limit);
}

# print_figure(name =>, value =>, unit =>, ...): see t/bench/run.
sub print_figure {
    my (%f) = @_;
    delete @f{grep { !defined $f{$_} } keys %f};
    $f{$_} = sprintf('%.4g', $f{$_}) + 0
        for grep { defined $f{$_} } qw(value peer_value ratio);
    local $| = 1;
    print JSON::PP->new->canonical->encode(\%f), "\n";
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return if !@sorted;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

1;
