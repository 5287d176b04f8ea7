use strict;
use warnings;
use Edge::Netns;
use Edge::Demo;
use Test::More;

# `make demo`, as a test: the whole chain from the how-to's Verify chapter.

Edge::Demo->new->run(sub {
    my ($title, $error) = @_;
    ok(!defined $error, $title) or diag($error);
});
done_testing();
