use strict;
use warnings;
use Edge::Netns;
use Edge::Site;
use Test::More;

# Dual domain: the web bridge speaks of itself only by its internal name, in
# redirects, cookies and its content security policy, and holds the Origin to
# the name it answers to. A guest must notice nothing of it, whichever of the
# two names the edge uses inside.

my $site = Edge::Site->new;
$site->network;
$site->cms(answersTo => 'internal', speaksAs => 'internal');
$site->database;
$site->edge(nginx => sub {
    s/(cms_webbridge cmsweb \{)/$1 upstream_host internal;/;
});
$site->turn_server;

my $ann = $site->guest('ann');
my $answer = $ann->open("$Edge::Site::url/meeting/100101");
is($answer->{status}, 200, 'upstream_host internal: the page loads');
is($answer->{url}, "$Edge::Site::url/en-US/meeting/100101",
    'the redirect to the internal name stays outside');
my $said = join "\n", map { "$_: $answer->{headers}{$_}" }
    sort keys %{$answer->{headers}};
unlike($said, qr/octavio\.local/, 'no header names the inside');

$ann->fill('Your name' => 'Ann');
$ann->click('Join call');
ok(eval { $ann->see('You are the first one here.') },
    'cookie, Origin and policy let the guest join') or diag($ann->text);

my ($socket) = grep { $_->{status} == 101 } $site->{cms}->requests;
is($socket->{headers}{host}, 'cmsweb.cms.octavio.local',
    'the web bridge saw its own name as Host');
is($socket->{headers}{origin}, 'https://cmsweb.cms.octavio.local',
    'and as Origin');
done_testing();
