package Edge::Netns;

# `use Edge::Netns;` as the first line of a test gives it a network of its own
# (only loopback, every port free) and a file system corner of its own (a
# tmpfs at $Edge::Netns::dir that everybody can traverse and that vanishes
# with the test). Tests therefore use fixed ports, run in parallel, and reach
# nothing outside. The script starts itself again under unshare(1).

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);

our $root = abs_path(dirname(__FILE__) . '/../../..');
our $dir;

sub import {
    return if defined $dir;

    # Private mounts hide what is under them: keep clear of the checkout.
    $dir = $root =~ m{^/mnt(/|$)} ? '/srv' : '/mnt';

    if (!$ENV{EDGE_NETNS}) {
        if ($> != 0) {
            print "1..0 # SKIP network namespaces need root\n";
            exit 0;
        }
        $ENV{EDGE_NETNS} = 1;
        exec 'unshare', '-n', '-m', '--propagation', 'private', 'sh', '-c',
            "ip link set lo up && mount -t tmpfs -o mode=755 edge $dir"
            . ' && exec "$@"', 'sh', $^X, (map { "-I$_" } grep { !ref } @INC),
            $0, @ARGV
            or die "unshare: $!\n";
    }
    delete $ENV{EDGE_NETNS};
    # prove's; programs in Perl that run as another user may not read it.
    delete $ENV{PERL5LIB};
}

1;
