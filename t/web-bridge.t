use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::WebBridge;
use JSON::PP;
use Test::More;

# The simulated web bridge has the habits of a real one that the other tests
# rely on.

my $guest = 'cmsweb.octavio.test';
my $inside = 'cmsweb.cms.octavio.local';
my $cms = Edge::WebBridge->start(spaces => [
    {id => '100101', name => 'Proxy webRTC', user => 'proxywebrtc'},
    {id => '100102', name => 'Board', user => 'board', passcode => '4711',
        secret => 'S3cret'},
]);
my $other = Edge::WebBridge->start(name => 'other', listen => '127.0.0.2:443');

like(ask("https://$inside/"), qr/^HTTP\S+ 400.*<h1>Bad Request/s,
    'a Host that is not its external name: 400 Bad Request');
like(ask("https://$guest/"),
    qr{^Location: https://\Q$inside\E/en-US/home\r}m,
    'it speaks of itself by its internal name');
for my $link ('/invited.sf?secret=S3cret&id=100102',
    '/invited.sf?id=100102&secret=S3cret', '/meeting/100102?secret=S3cret') {
    like(ask("https://$guest$link"),
        qr{^Location: \S+/en-US/meeting/100102\?secret=S3cret\r}m,
        "guest link $link");
}

# ---- who may join ----

my %meeting = (
    'no passcode where none is needed' => [{id => '100101'}, 200],
    'no such meeting' => [{id => '999'}, 404],
    'a passcode' => [{id => '100102', passcode => '4711'}, 200],
    'a wrong passcode' => [{id => '100102', passcode => '0815'}, 404],
    'no passcode' => [{id => '100102'}, 404],
    'a secret' => [{id => '100102', secret => 'S3cret'}, 200],
    'a wrong secret' => [{id => '100102', secret => 'other'}, 404],
);
for my $what (sort keys %meeting) {
    my ($body, $status) = @{$meeting{$what}};
    is(post('/api/meeting', $body)->{status}, $status, "$what: $status");
}
is(post('/api/join', {id => '100101', name => 'Ann'},
    '-H', 'Origin: https://elsewhere.example')->{status}, 403,
    'a foreign Origin: 403');

# ---- tokens and the Call Bridge ----

my $token = post('/api/join', {id => '100101', name => 'Ann'})->{json}{token};
is(websocket($token, $guest), 101, 'a token opens the signalling');
is(websocket("${token}x", $guest), 401, 'no other does');
is(websocket($token, $guest, '127.0.0.2'), 401,
    'another web bridge refuses it');
is(websocket($token, 'elsewhere.example'), 403,
    'and a foreign Origin opens nothing');

$cms->change(callBridge => \0);
is(ask("https://$guest/en-US/home") =~ /^HTTP\S+ (\d+)/ && $1, 200,
    'without the Call Bridge the page still loads');
like(ask("https://$guest/api/status"), qr/"callBridge":false/,
    'but offers no call');
is(post('/api/join', {id => '100101', name => 'Ann'})->{status}, 503,
    'and nobody joins');

# ---- how it fails ----

like(ask("https://$guest/", '--connect-to', '::127.0.0.2:443'),
    qr/^X-Web-Bridge: other\r/m, 'one of several says who it is');
$cms->change(outOfOrder => 503);
like(ask("https://$guest/en-US/home"), qr/^HTTP\S+ 503/,
    'out of order: it answers that and nothing else');
is(websocket($token, $guest), 503, '... to WebSockets as well');
my ($cert, $key) = Edge::Certs::cert('inside', 'elsewhere.octavio.test');
$cms->change(outOfOrder => undef, cert => $cert, key => $key);
is(ask("https://$guest/", '--no-show-error'), '',
    'a certificate that is changed is shown from the next connection on');
$cms->kill;
$cms->again;
is(websocket($token, $guest, '127.0.0.1', '-k'), 401,
    'one that is started again knows no earlier token');

# ---- one that knows its internal name alone ----

Edge::WebBridge->start(name => 'alone', listen => '127.0.0.3:443',
    external => $inside, answersTo => 'internal', absoluteUrls => \1);
my @alone = ('--connect-to', '::127.0.0.3:443');
like(ask("https://$guest/", '-k', @alone), qr/^HTTP\S+ 400.*<h1>Bad Request/s,
    'one that knows its internal name alone: the guest URI is a Bad Request');
my %spelled = (
    '/en-US/home' => "src=\"https://$inside/",
    '/en-US/goodbye' => "href=\"//$inside/",
    '/index.html' => "status=https%3A%2F%2F$inside%2Fapi",
    '/app.js' => "from 'https:\\u002f\\u002f$inside/call.js'",
    '/api/status' => "\"https:\\/\\/$inside\\/api\\/meeting\"",
);
like(ask("https://$inside$_", @alone), qr/\Q$spelled{$_}\E/,
    "$_: it says $spelled{$_}") for sort keys %spelled;
is(enters($inside), 'welcome', 'its own page enters a meeting');
is(enters($guest), "no page of mine: https://$guest/",
    '... a page at the guest URI is refused');
done_testing();

# What a participant gets who enters from a page at this host: 'welcome', or
# the reason why not.
sub enters {
    my ($host) = @_;
    local $ENV{NODE_PATH} = "$Edge::Netns::root/build/node_modules";
    open my $out, '-|', 'timeout', '10', 'node', '-e', <<'JS',
const [, ca, inside, host] = process.argv;
const fs = require('fs'), https = require('https'), WebSocket = require('ws');
const to = { ca: fs.readFileSync(ca), lookup: (name, options, found) =>
  found(null, [{ address: '127.0.0.3', family: 4 }]) };
const ask = (url, options, body) => new Promise((resolve) => {
  https.request(url, { ...to, ...options, autoSelectFamily: true }, (res) => {
    res.setEncoding('utf8').on('data', (text) => resolve(JSON.parse(text)));
  }).end(body);
});
(async () => {
  const { signalling } = await ask(`https://${inside}/api/join`,
    { method: 'POST', headers: { Cookie: 'session=1' } },
    '{"id":"100101","name":"Ann"}');
  const ws = new WebSocket(signalling, { ...to, autoSelectFamily: true });
  ws.on('message', async (data) => {
    const { type, you, confirm } = JSON.parse(data);
    if (type !== 'hello') {
      return ws.close(1000, type);
    }
    await ask(confirm);
    return ws.send(JSON.stringify({ type: 'enter', who: you.jid,
      page: `https://${host}/` }));
  });
  ws.on('close', (code, reason) => console.log(reason.toString()));
})();
JS
        Edge::Certs::ca('inside'), $inside, $host or die "node: $!";
    chomp(my $said = <$out> // 'nothing');
    return $said;
}

sub ask {
    my ($url, @more) = @_;
    my @at = map { ('--resolve', "$_:443:127.0.0.1") } $guest, $inside;
    open my $out, '-|', 'curl', '-sS', '-i', '-m', '5', '--cacert',
        Edge::Certs::ca('inside'), @at, @more, $url or die "curl: $!";
    local $/;
    return scalar <$out>;
}

sub post {
    my ($path, $body, @more) = @_;
    my $answer = ask("https://$guest$path", '-H', 'Cookie: session=1',
        '-d', encode_json($body), @more);
    my ($head, $json) = split /\r\n\r\n/, $answer, 2;
    return {status => $head =~ /^HTTP\S+ (\d+)/,
        json => eval { decode_json($json) }};
}

# The status that answers a WebSocket handshake. One that succeeds stays open
# until curl gives up, which is no error here.
sub websocket {
    my ($with, $origin, $at, @more) = @_;
    my $answer = ask("https://$guest/signal?token=$with",
        $at ? ('--connect-to', "::$at:443") : (), '--http1.1', '-m', '1',
        '--no-show-error', @more,
        '-H', "Origin: https://$origin", '-H', 'Upgrade: websocket',
        '-H', 'Connection: Upgrade', '-H', 'Sec-WebSocket-Version: 13',
        '-H', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==');
    return ($answer // '') =~ /^HTTP\S+ (\d+)/ ? $1 : 'nothing';
}
