use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(slurp wait_until);
use Edge::Site;
use Test::More;

# Dual domain without split DNS: the web bridge answers to its internal name
# alone and writes it into all it sends – redirects, cookies, policy, pages,
# scripts, JSON, WebSocket messages – in the spellings that are usual there.
# What the browser needs next it always learns from these, so one name left as
# it is would end the story. Guests must notice nothing of it.

my $internal = 'cmsweb.cms.octavio.local';
my $guest = 'cmsweb.octavio.test';
my $url = $Edge::Site::url;

my $site = Edge::Site->new(internal_name_only => 1);
$site->network;
$site->cms;
$site->database;
$site->edge;
$site->turn_server;
my $net = $site->{net};

is($net->resolve('ann', $guest), '203.0.113.156',
    'outside, DNS knows the guest URI');
is($net->resolve('ann', $internal), undef, '... and no name of the inside');
is($net->resolve('edge', $guest), undef, 'inside, it knows no guest URI');

my $ann = $site->guest('ann');
my $bob = $site->guest('bob');
my $answer = $ann->open("$url/meeting/100101");
is($answer->{status}, 200, 'the page loads');
is($answer->{url}, "$url/en-US/meeting/100101", '... at the guest URI');
ok(eval { join_call($ann, 'Ann'); $ann->see('You are the first one here.') },
    'script, JSON, cookie, policy and WebSocket let a guest in')
    or diag($ann->text);
$bob->open("$url/");
$bob->click('Join call');
$bob->fill('Meeting ID' => '100101');
$bob->click('Continue');
join_call($bob, 'Bob');
for (['ann', $ann, 2], ['bob', $bob, 1]) {
    my ($who, $person, $other) = @$_;
    ok(eval { $person->see('Connected', timeout => 40000) },
        "$who is connected") or diag($person->text);
    my ($call) = $person->call(sub { $_[0]{framesDecoded} >= 15 });
    is($call->{local}{candidateType}, 'relay', '... over a relay');
    like($person->text, qr/guest\d+\@octavio\.test.*guest\d+\@octavio\.test/s,
        '... and sees who is there, as user@outside');
}
$bob->click('Leave');
ok(eval { $bob->see('You have left the call') }, 'a guest leaves')
    or diag($bob->text);
is($bob->run('location.href'), "$url/en-US/goodbye",
    '... to a page at the guest URI');

# ---- what the browsers saw, and the web bridge ----

for (['ann', $ann], ['bob', $bob]) {
    my ($who, $person) = @$_;
    my $seen = $person->find('octavio.local');
    is_deeply($seen->{unread}, [], "all that came to $who was recorded");
    cmp_ok($seen->{answers}, '>=', 10, '... answers');
    cmp_ok($seen->{messages}, '>=', 8, '... and WebSocket messages');
    is_deeply($seen->{found}, [], '... no name of the inside among them');
}
ok(@{$ann->find('octavio.test')->{found}} > 20, '(a name would be found)');

my @requests = $site->{cms}->requests;
my ($socket) = grep { $_->{status} == 101 } @requests;
is($socket->{headers}{origin}, "https://$internal",
    'the web bridge saw its own name as Origin');
is_deeply([grep { $_->{headers}{host} ne $internal } @requests], [],
    '... and as Host of every request');
unlike($site->{cms}->process->log_text, qr/^refused/m,
    '... and in every message a guest sent');
unlike(slurp('/var/log/nginx/error.log'), qr/\[(?:error|crit|alert|emerg)\]/,
    'the error log has nothing to say');

# ---- checksums of what is rewritten ----

# A page is looked at for checksums once an hour: here one that is new.
$site->{cms}->change(integrity => \1);
$bob->open("$url/index.html");
ok(wait_until(sub { @{$bob->find("'integrity' attribute")->{found}} }, 10),
    'a script with a checksum, in which a name is replaced, is refused');
ok($bob->run('document.styleSheets[0].cssRules.length'),
    '... and a style sheet without such a name is not');
like(slurp('/var/log/nginx/error.log'),
    qr{\[warn\].*the page "/index.html" has hashes of scripts or styles},
    '... and the error log names the page');
done_testing();

sub join_call {
    my ($person, $name) = @_;
    $person->fill('Your name' => $name);
    $person->click('Join call');
}
