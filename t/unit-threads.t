#!/usr/bin/perl

# Unit tests of what several threads share (t/unit/*_threads.c), once more
# under the thread sanitizer.

use strict;
use warnings;
use Test::More;
use File::Path qw(make_path);

plan skip_all => 'needs clang, which the thread sanitizer comes with'
    if system('clang --version > /dev/null 2>&1');
make_path('build/unit/threads');

for my $source (glob 't/unit/*_threads.c') {
    my ($name) = $source =~ m{([^/]+)\.c$};
    my $program = "build/unit/threads/$name";
    open my $in, '<', $source or die "$source: $!\n";
    my @needed = map { m{^/\* sources: (.*) \*/$} ? split(' ', $1) : () } <$in>;
    is(system('clang', qw(-std=gnu11 -g -O1 -Wall -Wextra -Werror),
        qw(-fsanitize=thread -Iturn_auth_plugin -It/unit -pthread),
        '-o', $program, $source, @needed, '-lcrypto'), 0,
        "$name builds");
    my $out = `$program 2>&1`;
    is($?, 0, "$name passes without a data race")
        or diag(substr($out, 0, 4000));
}
done_testing;
