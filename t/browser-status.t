use strict;
use warnings;
use Edge::Netns;
use Edge::Browser;
use Edge::Certs;
use Edge::Coturn;
use Edge::Dns;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use Edge::Targets;
use File::Path qw(make_path);
use JSON::PP;
use Test::More;

# The status page in real browsers, as wide as a phone and as a desk: readable
# while all is well and with each fault, which stands at the top in one line.
# What they saw is in build/status/.

my @widths = (390, 1280);
my $shots = "$Edge::Netns::root/build/status";
make_path($shots);

# ---- a site ----

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'turnuser', 'right')");
my $figures = "$Edge::Netns::dir/figures";
mkdir $figures;
my %coturn = (plugin => 1, conninfo => $pg->conninfo,
    settings => {figures_dir => $figures, query_timeout => '200ms'});
my $turn = Edge::Coturn->start(%coturn);

my @soon = Edge::Certs::cert({days => 3}, 'outside', 'meet.octavio.test');
my $health = 'interval=1s timeout=900ms fails=1';
my $site = Edge::Targets->start(health => $health,
    webbridge => "least_conn;\n target unix:/run/tunnel.sock down;",
    http => <<"CONF");
server {
    listen 127.0.0.1:8445;
    server_name edge.octavio.test;
    location / { cms_status turn=$figures/turn.json; }
}
CONF

# Another web bridge beside it, whose certificate ends soon.
my $inside_ca = Edge::Certs::ca('inside');
my $meet = <<"CONF";
cms_webbridge meet {
    guest_uri meet.octavio.test;
    target 127.0.0.3:443;
    trusted_certificate $inside_ca;
    verify off;
}
server {
    listen 127.0.0.1:443 ssl;
    server_name meet.octavio.test;
    ssl_certificate $soon[0];
    ssl_certificate_key $soon[1];
    location / { cms_proxy meet; }
}
CONF

my $url = 'http://127.0.0.1:8445/';
my $browsers = Edge::Browser->start;
my %person = map {
    $_ => $browsers->person("width$_", size => [$_, $_ < 500 ? 2000 : 900])
} @widths;

sub problems {
    my $json = decode_json(scalar qx(curl -sS -m 10 '$url?format=json'));
    return map { $_->{text} } @{$json->{problems}};
}

# Texts that lie over each other or leave the window, as seen on the page.
my $faults = <<'JS';
(() => {
    const found = [], seen = [];
    if (document.documentElement.scrollWidth > innerWidth) {
        found.push('wider than the window');
    }
    const walk = document.createTreeWalker(document.body,
        NodeFilter.SHOW_TEXT);
    for (let n; (n = walk.nextNode());) {
        if (!n.data.trim()) continue;
        const range = document.createRange();
        range.selectNodeContents(n);
        for (const r of range.getClientRects()) {
            if (r.right > innerWidth + 1 || r.left < -1) {
                found.push('outside: ' + n.data);
            }
            for (const s of seen) {
                const width = Math.min(r.right, s.r.right)
                    - Math.max(r.left, s.r.left);
                const height = Math.min(r.bottom, s.r.bottom)
                    - Math.max(r.top, s.r.top);
                if (width > 1 && height > 3) {
                    found.push(n.data + ' over ' + s.text);
                }
            }
            seen.push({ r, text: n.data });
        }
        if (parseFloat(getComputedStyle(n.parentElement).fontSize) < 12) {
            found.push('small: ' + n.data);
        }
    }
    return found.slice(0, 5).join('; ');
})()
JS

# One look at each width; re: what must stand at the top, or undef.
sub look {
    my ($name, $re) = @_;
    my $told = wait_until(sub {
        my @all = problems();
        return $re ? grep { $_ =~ $re } @all : !@all;
    }, 30);
    ok($told, "$name: it is told") or diag(join "\n", problems());
    for my $width (@widths) {
        my $p = $person{$width};
        # where the page comes again by itself just then, once more
        wait_until(sub { eval { $p->open($url); 1 } });
        my $top
            = $p->run("document.querySelector('.problems,.fine').innerText");
        like($top, $re // qr/^No problem found/, "... at the top at $width px");
        is($p->run($faults), '', '... readable, nothing over anything else');
        $p->screenshot("$shots/$name-$width.png");
    }
}

# ---- healthy ----

# Some life for the figures.
system('sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do curl -sko /dev/null'
    . ' --resolve cmsweb.octavio.test:443:127.0.0.1'
    . ' https://cmsweb.octavio.test/en-US/home; done');
$turn->allocate('turnuser', 'right');
wait_until(sub { -e "$figures/turn.json" });
look('healthy', undef);

# ---- targets ----

for my $case (['killed', qr/^1 of 2 targets of cmsweb failed: .*refused/],
    ['frozen', qr/^1 of 2 targets of cmsweb failed: no answer within 900ms/],
    ['wrong certificate',
        qr/^1 of 2 targets of cmsweb failed: certificate: names other\.oct/],
    ['answers 503', qr/^1 of 2 targets of cmsweb failed: .*503/]) {
    my ($fault, $re) = @$case;
    $site->break('one', $fault);
    look($fault =~ tr/ /-/r, $re);
    $site->mend('one');
}
$site->edge->reload(http => $site->http(
    health => qq($health uri=/index.html "match=No such words")))
    or die 'no reload';
look('text-missing', qr/all 2 targets of cmsweb failed: .*No such words/);

# ---- DNS ----

my $dns = Edge::Dns->start('cms.octavio.test' => {A => ['127.0.0.3']});
my @named = (http => "resolver 127.0.0.1; $site->{conf}{http}",
    targets => ['127.0.0.2:443', 'cms.octavio.test:443']);
$site->edge->reload(http => $site->http(@named)) or die 'no reload';
look('name', undef);
$dns->set('cms.octavio.test' => {rcode => 'NXDOMAIN'});
look('dns-failing',
    qr/^target cms\.octavio\.test:443 of cmsweb does not resolve: no such/);
$dns->set('cms.octavio.test' => {A => ['127.0.0.3']});

# ---- certificates ----

$site->edge->reload(http => $site->http(http => $site->{conf}{http},
    server => 'server_name cmsweb.octavio.test;') . $meet)
    or die 'no reload';
look('certificate-expiring',
    qr/certificate \S+ of meet\.octavio\.test expires in 2 days/);
$site->edge->reload(http => $site->http);

# ---- TURN ----

$pg->stop('immediate');
look('postgresql-away', qr/^TURN: PostgreSQL is away/);
$turn->process->signal('KILL');
look('turn-down', qr/^TURN: turnserver is not running since/);
unlink "$figures/turn.json";
look('turn-missing', qr/^TURN: \S+turn\.json does not exist/);

$browsers->stop;
done_testing();
