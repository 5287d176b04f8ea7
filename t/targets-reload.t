use strict;
use warnings;
use Edge::Netns;
use Edge::Guests;
use Edge::Targets;
use Test::More;
use Time::HiRes qw(sleep time);

# nginx loads its configuration again every second while guests load pages and
# sit in meetings: none of them notices, and what is known of the web bridges
# stays known. The full figures are taken by t/bench/targets.bench.

my $sockets = 40;
my $site = Edge::Targets->start(
    bridges => {one => '127.0.0.2', two => '127.0.0.3', sick => '127.0.0.4'},
    health => 'interval=1s timeout=800ms',
    settings => {spaces => Edge::Guests::spaces($sockets)},
);
$site->break('sick', 'answers 503');
ok($site->wait_failed('sick'), 'one of three web bridges fails');
my $seen = () = $site->bridge('sick')->requests;

my $meetings = Edge::Guests->join(count => $sockets, meetings => $sockets);
ok($meetings->wait_events($sockets, 'joined'), 'guests are in meetings');
my $load = Edge::Guests->load(rate => 50, guests => 10, cookies => 0);
for (1 .. 5) {
    sleep 1;
    $site->edge->reload;
}
sleep 1;
my @requests = $load->stop;
note(Edge::Guests::summary(@requests));
is(scalar(grep { !$_->{ok} } @requests), 0, 'five reloads: no request fails');
is(scalar($meetings->events('dropped')), 0, '... no WebSocket ends');
is(scalar($meetings->events('unheard')), 0, '... each still works');
is(scalar($site->bridge('sick')->requests), $seen,
    '... what had failed gets no guest');
is(scalar(() = $site->edge->error_log =~ /127\.0\.0\.4:443 .* failed:/g), 1,
    '... and is not found out anew');
$site->mend('sick');
ok($site->wait_active('sick'), 'mended, it is active again');
$meetings->stop;

unlike($site->edge->error_log, qr/\[(?:crit|alert|emerg)\]|exited on signal/,
    'nothing alarming is logged');
done_testing();
