use strict;
use warnings;
use FindBin;
use Test::More;

# The short form of `make sanitize`: a round through module and plugin, and the
# plugin's threads under load.

chdir "$FindBin::Bin/.." or die;
my @tests = map { "t/$_.t" } qw(nginx-variables nginx-headers plugin-look-ups);
my $said = `t/sanitize @tests 2>&1`;
is($?, 0, 'no sanitizer finds anything in module or plugin') or diag($said);
like($said, qr/^Files=3, Tests=[1-9]\d/m, 'in tests that did run');

$said = `CHANGES=8 t/sanitize -t t/plugin-two-edges.t 2>&1`;
is($?, 0, 'the thread sanitizer finds nothing in the plugin') or diag($said);
like($said, qr/^Result: PASS/m, 'in a test that passes');
done_testing();
