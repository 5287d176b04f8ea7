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
use Edge::Process qw(slurp wait_until);
use JSON::PP ();
use Exporter 'import';

our @EXPORT_OK = qw(instructions median print_figure under_callgrind);

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

# instructions(nginx, fields ..., url): user-space instructions for one request
# to an Edge::Nginx that has been stopped. Undef where there is no valgrind. The
# fields are curl's ('Host: cmsweb.octavio.test').
sub instructions {
    my ($nginx, @fields) = @_;
    my $url = pop @fields;
    my ($at) = $url =~ m{^http://([^/]+)};
    my ($each) = under_callgrind($nginx, $at, [200, 1200, sub {
        my ($n) = @_;
        system('curl', '-sS', '-o', '/dev/null', (map { ('-H', $_) } @fields),
            $url . ($url =~ /\?/ ? '&' : '?') . "n=[1-$n]") == 0
            or die "curl failed\n";
    }]);
    return $each;
}

# under_callgrind(nginx, address it listens at, [few, many, load], ...):
# user-space instructions for one of each load, a sub that is told how many, in
# an nginx that has been stopped; counted by callgrind: the difference of few
# and many, so it has no noise. Nothing where there is no valgrind.
sub under_callgrind {
    my ($nginx, $at, @loads) = @_;
    return if !grep { -x "$_/valgrind" } split /:/, $ENV{PATH};
    my $file = $nginx->prefix . '/callgrind';
    my $p = Edge::Process->start(name => 'valgrind',
        argv => ['valgrind', '--tool=callgrind',
            "--callgrind-out-file=$file", $Edge::Nginx::binary,
            '-p', $nginx->prefix, '-c', $nginx->conf_file,
            '-g', 'daemon off; master_process off; error_log stderr error;'
                . ' pid ' . $nginx->prefix . '/valgrind.pid;'],
        ready_tcp => $at, timeout => 120);
    my $dumps = 0;
    my $count = sub {
        my ($load, $n) = @_;
        $load->($n);
        my $dump = "$file." . ++$dumps;
        system('callgrind_control --dump ' . $p->pid . ' >/dev/null 2>&1') == 0
            or die "callgrind_control failed\n";
        my $total;
        wait_until(sub {
            ($total) = (slurp($dump) // '') =~ /^totals: (\d+)/m;
        }) or die "callgrind left no total\n";
        return $total;
    };
    my @each;
    for my $l (@loads) {
        my ($few, $many, $load) = @$l;
        $count->($load, $few);    # warms up, and takes what was before
        push @each, (-$count->($load, $few) + $count->($load, $many))
            / ($many - $few);
    }
    $p->stop('QUIT');
    return @each;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return if !@sorted;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

1;
