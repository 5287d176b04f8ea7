use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(spew wait_until);
use Edge::Site;
use Test::More;
use Time::HiRes qw(time sleep);

# The how-to's last trouble: "WebRTC client connects but never gets connected
# and then it timed out". CMS has another TURN password than the edge. Here
# guests are told at once, and the repair needs no restart.

my $fresh_ttl = 3;
my $in_cms = 'cisco4guests';

my $site = Edge::Site->new;
$site->network;
$site->database;
$site->cms;
spew('/etc/cms-edge/turn-auth.conf', "fresh_ttl = ${fresh_ttl}s\n", 0644);
$site->edge;
$site->turn_server($in_cms);

my %people;
for my $who (qw(Ann Bob)) {
    my $person = $people{$who} = $site->guest(lc $who);
    $person->open("$Edge::Site::url/index.html?id=100101");
    $person->fill('Your name' => $who);
    $person->click('Join call');
}
for my $who (qw(Ann Bob)) {
    my $person = $people{$who};
    my $call = $person->call(sub { $_[0]{gathering} eq 'complete' });
    my ($refused) = grep { $_->{code} == 401 } @{$call->{errors}};
    ok($refused, "$who\'s browser is told 401");
    cmp_ok($refused->{ms} // 1e9, '<', 1000, 'within a second');
    is_deeply($call->{candidates}, [], 'and gets no candidate');
    ok(eval { $person->see('refused us: 401') }, 'the page says so')
        or diag($person->text);
}

my $pid = $site->{coturn}->pid;
$site->pg->value('select turn.set_password(?, ?, ?)', 'octavio.test',
    'turnuser', $in_cms);
my $changed = time;
my $joined = wait_until(sub {
    my $ann = $people{Ann};
    $ann->click('Try again') if $ann->sees(button => 'Try again');
    return eval { $ann->see('Connected', timeout => 900) };
}, $fresh_ttl + 10);
my $took = time - $changed;
ok($joined, 'after turn.set_password the same page joins')
    or diag($people{Ann}->text);
# Beside it: up to a second for the page to try again, and to connect.
cmp_ok($took, '<', $fresh_ttl + 6, 'after fresh_ttl at most');
ok($site->{coturn}->alive && $site->{coturn}->pid == $pid,
    'without a restart');
ok(eval { $people{Ann}->call(sub { $_[0]{framesDecoded} >= 10 }) },
    'and video comes') or diag($@);
done_testing();
