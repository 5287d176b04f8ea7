use strict;
use warnings;
use Edge::Netns;
use Edge::RewriteCases qw(random_case expected shrink describe);
use IPC::Open2;
use Test::More;

# The core of the rewriting against the reference, whatever stands in a text,
# wherever it is cut, and in whichever way it is searched. CASES=N SEED=M
# repeats a run, or goes on longer.

my $cases = $ENV{CASES} // 10_000;
my $seed = $ENV{SEED} // int rand 1e9;

my $core = "$Edge::Netns::dir/rewrite";
chdir $Edge::Netns::root or die;
my @sanitize = ('-fsanitize=address,undefined',
    '-fno-sanitize-recover=undefined');
system(qw(gcc -std=gnu11 -g -O1), @sanitize,
    '-Ingx_cms_proxy_module', '-o', $core,
    't/rewrite/rewrite.c', map { "ngx_cms_proxy_module/cms_$_.c" }
        qw(rewrite search authority)) == 0 or die "gcc failed\n";

my ($from, $to);
sub start_core {
    open2($from, $to, $core);
    binmode $_ for $from, $to;
}

# What the core makes of a case; undef when it ended instead.
sub by_core {
    my ($case) = @_;
    my $job = pack 'V', scalar @{$case->{mappings}};
    for my $m (@{$case->{mappings}}) {
        $job .= pack 'V V/a V V/a V', $m->{kind} eq 'domain' ? 1
            : defined $m->{to} ? 0 : 2, $m->{from}, $m->{from_port},
            $m->{to} // '', $m->{to_port};
    }
    $job .= pack 'V/a V V V V', @$case{qw(to to_port also_port way)},
        scalar @{$case->{pieces}};
    $job .= pack 'V/a', $_ for @{$case->{pieces}};
    local $SIG{PIPE} = 'IGNORE';
    if (print {$to} $job and $to->flush and read($from, my $n, 4) == 4) {
        my $len = unpack 'V', $n;
        return '' if !$len;
        return $n if read($from, $n, $len) == $len;
    }
    start_core();
    return;
}

start_core();
my ($names, $differences, $bytes, $with) = (0, 0, 0, 0);
for my $n (0 .. $cases - 1) {
    srand($seed + $n);
    my $case = random_case();
    my ($wanted, $found) = expected($case);
    my $came = by_core($case);
    $names += $found;
    $with++ if $found;
    $bytes += length $wanted;
    next if defined $came && $came eq $wanted;
    $case = shrink($case, sub {
        my ($w) = expected($_[0]);
        my $c = by_core($_[0]);
        return !defined $c || $c ne $w;
    });
    diag('SEED=', $seed + $n, " CASES=1 repeats this one, made short:\n",
        describe($case, by_core($case)));
    last if ++$differences == 3;
}
is($differences, 0, "$cases random texts are what the reference makes of them")
    or diag("SEED=$seed");
cmp_ok($with, '>', $cases * 0.3, 'in a good part of them something is replaced');
note(sprintf 'SEED=%d: %d names in %d texts of %.1f MB', $seed, $names, $cases,
    $bytes / 1e6);
done_testing();
