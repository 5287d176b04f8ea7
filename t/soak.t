use strict;
use warnings;
use FindBin;

# The short form of `make soak`.

chdir "$FindBin::Bin/.." or die;
$ENV{RESPONSES} //= 5000;
$ENV{WEBSOCKETS} //= 50;
exec $^X, '-It/lib', 't/soak/rewriting.t';
