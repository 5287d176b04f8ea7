use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use IPC::Open2;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep stat time);

# turn.prom and turn.json: right, whole, fresh, for others to read, and no harm
# where they cannot be written.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', ?, 'right')", $_)
    for 'guest', 'leaving';

# Small enough to fill.
my $dir = "$Edge::Netns::dir/figures";
mkdir $dir;
system('mount', '-t', 'tmpfs', '-o', 'size=64k,mode=755', 'figures', $dir) == 0
    or die "mount: $?";
my (undef, undef, $uid, $gid) = getpwnam 'turnserver';
chown $uid, $gid, $dir;

sub start {
    my (%o) = @_;
    return Edge::Coturn->start(
        plugin => 1,
        user => 'turnserver',
        conninfo => $pg->conninfo,
        settings => {figures_dir => $dir},
        conf => ['cli-password=secret', 'cli-ip=127.0.0.1'],
        %o,
    );
}

sub figures {
    my $text = slurp("$dir/turn.json") or return;
    return decode_json($text);
}

# The first figures from after now for which this is true.
sub figures_when {
    my ($true) = @_;
    my $now = time;
    return wait_until(sub {
        my $f = figures() or return;
        return $f->{updated} > $now && $true->($f) && $f;
    }, 10);
}

# so many relays of user guest, while the test lives.
my @held;
sub hold {
    my ($count, @options) = @_;
    my $pid = open2(my $out, my $in, "$Edge::Netns::root/build/t/turn_hold",
        '-s', '127.0.0.1:3478', '-u', 'guest', '-p', 'right', '-n', $count,
        @options);
    is(readline $out, "hold $count\n", "$count relays @options");
    push @held, {pid => $pid, in => $in, out => $out};
}

sub let_go {
    for my $h (splice @held) {
        close $h->{in};
        waitpid $h->{pid}, 0;
    }
}

my $begun = time;
my $turn = start();
my $f = figures_when(sub { $_[0]{feed}{state} eq 'live' });
ok($f, 'figures are written');
ok($f && $f->{started} >= $begun - 1 && $f->{started} <= $f->{updated},
    '... with the time of start and of writing');
is($f->{pid}, $turn->pid, '... and the process');
is_deeply([sort map { "$_->{protocol} $_->{address} $_->{port}" }
    @{$f->{listening}}], ['tcp 127.0.0.1 3478', 'udp 127.0.0.1 3478'],
    'where it listens, without its CLI');
is_deeply($f->{clients}, {tcp => 0, udp => 0}, 'no client yet');
is_deeply($f->{stores}, {postgresql => 'up', redis => 'off', cli => 'off'},
    'states of the stores');
is($f->{cache}{users}, 2, 'users in memory');
ok($f->{cache}{complete}, '... are all there are');
cmp_ok($f->{feed}{lag}, '<', 2, 'the feed lags little behind');

is(sprintf('%04o', (stat "$dir/$_")[2] & 07777), '0644',
    "$_ is for others to read") for 'turn.prom', 'turn.json';
system('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups',
    'grep', '-q', 'active', "$dir/turn.json");
is($?, 0, '... in practice, too');

# ---- clients and relays ----

hold(5);
hold(3, '-t');
$f = figures_when(sub { $_[0]{relays}{tcp} + $_[0]{relays}{udp} == 8 });
is_deeply($f && $f->{relays}, {tcp => 3, udp => 5}, 'relays over TCP and UDP');
is_deeply($f && $f->{clients}, {tcp => 3, udp => 5}, 'clients, too');
let_go();
$f = figures_when(sub { $_[0]{clients}{tcp} == 0 });
is($f && $f->{clients}{tcp}, 0, 'they are gone when they are gone');

# ---- look-ups ----

my $before = $f->{look_ups};
$turn->allocate('guest', 'right') for 1 .. 3;
$turn->allocate("nobody$_", 'right') for 1 .. 2;
$f = figures_when(sub {
    $_[0]{look_ups}{valid}{memory} >= $before->{valid}{memory} + 3
        && $_[0]{look_ups}{refused}{memory} >= $before->{refused}{memory} + 2;
});
ok($f, 'look-ups by outcome, and by who answered');
is($f && $f->{look_up_seconds}{count}, eval {
    my $n = 0;
    $n += $_ for map { values %$_ } values %{$f->{look_ups}};
    $n;
}, '... and all of them by time');
my $prom = slurp("$dir/turn.prom");
like($prom, qr/^cms_edge_turn_look_ups_total\{outcome="valid",tier="memory"\} /m,
    'the same for Prometheus');
unlike($prom . slurp("$dir/turn.json"), qr/guest|nobody|leaving/,
    'and no name of a user');
SKIP: {
    my ($promtool) = grep { -x } map { "$_/promtool" } split(/:/, $ENV{PATH}),
        "$Edge::Netns::root/build";
    skip 'there is no promtool', 1 if !$promtool;
    is(qx($promtool check metrics < $dir/turn.prom 2>&1), '',
        'promtool finds no fault');
}

# ---- a revocation that nobody enforces ----

is($turn->allocate('leaving', 'right'), 'ok', 'a user logs in');
$pg->value("select turn.disable_user('octavio.test', 'leaving')");
$f = figures_when(sub { $_[0]{counters}{revoked_users} });
is($f && $f->{counters}{revoked_unenforced}, 1,
    'without cli, a revocation counts as not enforced');
like($turn->log_text, qr/^turn_auth_plugin: no cli is set: live relays of /m,
    '... as a line at start said');

# ---- a full disk ----

my $filled = '';
open my $filler, '>', "$dir/filler" or die;
$filler->autoflush(1);
while (print {$filler} 'x' x 1024) { }
ok($turn->wait_log(qr/turn_auth_plugin: figures_dir \Q$dir\E: No space left/),
    'a full disk is worth a line');
ok(eval { figures()->{pid} == $turn->pid }, '... the old figures stay whole');
is($turn->allocate('guest', 'right'), 'ok', '... and logins go on');
close $filler;
unlink "$dir/filler";
ok(figures_when(sub { 1 }), 'when there is room, figures are written');
is(scalar(() = $turn->log_text =~ /figures_dir/g), 2,
    '... which is worth another line, and no more');

# ---- killed ----

for my $ms (0, 1400) {
    figures_when(sub { 1 });
    sleep $ms / 1000;
    $turn->stop('KILL');
    my $killed = time;
    my $last = eval { figures() };
    ok($last && $killed - $last->{updated} <= 5,
        "killed $ms ms after a writing: figures are whole, not 5 s old");
    like(slurp("$dir/turn.prom"), qr/^\S+relays_closed_total \d+\n\z/m,
        '... those for Prometheus too');
    spew("$dir/turn.json.new", '{"half', 0600) if $ms;
    $turn = start(name => "again$ms");
}
ok(figures_when(sub { $_[0]{pid} == $turn->pid }),
    'what a killed one left behind does not matter');
$turn->stop;

# ---- no directory ----

$turn = start(name => 'nowhere', settings => {figures_dir => '/nowhere/at/all'});
ok($turn->wait_log(qr{figures_dir /nowhere/at/all: No such file or directory}),
    'a missing directory is worth a line');
is($turn->allocate('guest', 'right'), 'ok', '... and logins go on');
$turn->stop;
$turn = start(name => 'none', settings => {figures_dir => 'none'});
is($turn->allocate('guest', 'right'), 'ok', 'none: no figures');
unlike($turn->log_text, qr/figures_dir/, '... and no line');

done_testing();
