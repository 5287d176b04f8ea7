use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(wait_until);
use Edge::Site;
use Edge::Tunnel;
use Test::More;

# A guest joins through the ssh tunnel of conf-examples/ssh, while the edge can
# open no connection to the inside; the tunnel is cut, and comes back.

my $url = $Edge::Site::url;
my $site = Edge::Site->new;
$site->network;
system('ip', 'netns', 'exec', 'edge', 'nft', 'table ip inner { chain out {'
        . ' type filter hook output priority 0; oif "lan1" ct state new drop; };'
        . ' }') == 0 or die "nft failed\n";
my $tunnel = Edge::Tunnel->new(edge => [$site->in('edge')],
    inside => [$site->in('inside')]);
$tunnel->sshd;
my $client = $tunnel->client('cmsweb');
$site->database;
$site->cms;
my $snippet = Edge::Tunnel::nginx_snippet();
$site->edge(nginx => sub { s/^ +target .*\n/$snippet/m });
$site->turn_server;

my $ann = $site->guest('ann');
is(join_call($ann, 'Ann'), 'joined', 'a guest joins through the tunnel');
my ($socket) = grep { $_->{status} == 101 } $site->{cms}->requests;
is($socket->{headers}{host}, 'cmsweb.octavio.test',
    '... and the web bridge is asked for the guest URI');

kill 'KILL', $tunnel->ssh_of($client);
ok(eval { $ann->see(button => 'Try again') },
    'the tunnel is cut: the guest is told') or diag($ann->text);
ok(wait_until(sub {
    eval { $ann->click('Try again') if $ann->sees(button => 'Try again') };
    return $ann->sees('You are the first one here.');
}, 30), '... and is in the meeting again when it is back')
    or diag($ann->text);

$client->stop;
my $bob = $site->guest('bob');
is($bob->open("$url/")->{status}, 502, 'no tunnel: 502');
like($bob->text, qr/not available/, '... with a page for people');
unlike($bob->text, qr/tunnel|unix|octavio\.local/,
    '... which names nothing inside');
$client = $tunnel->client('cmsweb');
ok(wait_until(sub { $bob->open("$url/")->{status} == 200 }, 20),
    'the tunnel is there again: the page comes');
is(join_call($bob, 'Bob'), 'joined', '... and the next guest gets in');
done_testing();

sub join_call {
    my ($guest, $name) = @_;
    return eval {
        $guest->open("$url/meeting/100101");
        $guest->fill('Your name' => $name);
        $guest->click('Join call');
        $guest->see('You are the first one here.');
        'joined';
    } // $@;
}
