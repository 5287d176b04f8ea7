use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(slurp spew wait_until);
use Edge::Site;
use Test::More;

# After joins that fail in every way, no log of nginx or coturn holds a guest
# link's secret, a passcode, a token, a TURN password or the database's.

my %planted = (
    'the secret of a guest link' => 'Zq7SecretOfTheLink42',
    'a wrong secret' => 'Zq7WrongSecretTyped43',
    'the passcode' => '8153062947',
    'a wrong passcode' => '9264173058',
    'the TURN password CMS has' => 'Zq7TurnPasswordInCms44',
    'the database password' => 'Zq7DatabasePassword45',
);
my ($secret, $wrong_secret, $passcode, $wrong_passcode)
    = @planted{'the secret of a guest link', 'a wrong secret', 'the passcode',
        'a wrong passcode'};
my $url = $Edge::Site::url;

my $site = Edge::Site->new;
$site->network;
$site->database(auth => 'scram-sha-256');
$site->pg->psql("alter role turnserver password "
        . "'$planted{'the database password'}'");
my $pgpass = '/etc/cms-edge/pgpass';
spew($pgpass, "*:*:*:turnserver:$planted{'the database password'}\n", 0600);
chown +(getpwnam 'turnserver')[2, 3], $pgpass;

$site->cms(spaces => [{id => '100101', name => 'Proxy webRTC',
    user => 'proxywebrtc', secret => $secret, passcode => $passcode}]);
$site->edge(
    nginx => sub { s/^error_log (\S+) warn/error_log $1 info/m },
    coturn => sub { s/(user=turnserver)/$1 passfile=$pgpass/ },
);
$site->turn_server($planted{'the TURN password CMS has'});

# ---- joins that fail ----

my $ann = $site->guest('ann');
$ann->open("$url/invited.sf?secret=$wrong_secret&id=100101");
ok(eval { $ann->see('Check the meeting ID and the passcode.') },
    'a wrong secret is refused') or diag($ann->text);
$ann->fill('Meeting ID' => '100101');
$ann->fill('Passcode' => $wrong_passcode);
$ann->click('Continue');
ok(eval { $ann->see('Check the meeting ID and the passcode.') },
    'a wrong passcode, too');
$ann->fill('Passcode' => $passcode);
$ann->click('Continue');
$ann->fill('Your name' => 'Ann');
$ann->click('Join call');
$ann->see('You are the first one here.');

my $bob = $site->guest('bob');
$bob->open("$url/invited.sf?secret=$secret&id=100101");
$bob->fill('Your name' => 'Bob');
$bob->click('Join call');
ok(eval { $bob->see('refused us: 401') },
    'a wrong TURN password leaves guests without media') or diag($bob->text);

($planted{"a guest's token"}) = map { $_->{url} =~ /token=([\w.-]+)/ }
    grep { $_->{status} == 101 } $site->{cms}->requests;
my $token = $planted{"a guest's token"} // die 'no token was seen';
$planted{"the token's signature"} = (split /\./, $token)[2];

$site->{cms}->stop('KILL');
$bob->open("$url/invited.sf?secret=$secret&id=100101");
ok($bob->sees('Meetings are not available'), 'a dead web bridge is no blank');
$bob->run("new Promise((done) => {
    const ws = new WebSocket('wss://cmsweb.octavio.test/signal?token=$token');
    ws.onerror = ws.onclose = done; }).then(() => true)");

# ---- what the logs say of it ----

my $error_log = '/var/log/nginx/error.log';
ok(wait_until(sub { (() = slurp($error_log) =~ /Connection refused/g) >= 2 },
    5), 'nginx logged the dead web bridge') or diag(slurp($error_log));
my $logs = $site->logs;
like($logs, qr{/invited\.sf\?.*id=100101}, 'and which meeting was asked for');
like($logs, qr/turnuser/, "coturn's log is there");
for my $what (sort keys %planted) {
    my @lines = grep { index($_, $planted{$what}) >= 0 } split /\n/, $logs;
    is(scalar @lines, 0, "no log holds $what") or diag(@lines[0 .. 0]);
}
done_testing();
