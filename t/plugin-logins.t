use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(slurp wait_until);
use JSON::PP;
use Test::More;

# Who cannot log in, and why: coturn answers 401 to a challenge, a wrong
# password and an unknown user alike; the log and the figures tell them apart.

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', ?, 'right')", $_)
    for qw(turnuser changing disabled known);
$pg->value("select turn.disable_user('octavio.test', 'disabled')");
$pg->value("select turn.add_secret('octavio.test')");

my $figures = "$Edge::Netns::dir/figures";
mkdir $figures;
chown scalar getpwnam('turnserver'), -1, $figures;
my $turn = Edge::Coturn->start(
    plugin => 1,
    user => 'turnserver',
    conninfo => $pg->conninfo,
    settings => {figures_dir => $figures},
);
ok($turn->wait_log(qr/complete, feed live/), 'memory is complete');

sub logins {
    my $text = slurp("$figures/turn.json") or return {};
    return decode_json($text)->{logins};
}

# The logins so far are these: waits until they are, or says what they are.
sub counts {
    my ($want, $title) = @_;
    my %all = (right => 0, wrong_password => 0, unknown_name => 0,
        unanswered => 0, %$want);
    my $got;
    wait_until(sub {
        $got = logins();
        delete $got->{recent};
        return "@$got{sort keys %all}" eq "@all{sort keys %all}";
    }, 10);
    is_deeply($got, \%all, $title);
}

sub lines { scalar(() = $turn->log_text =~ /^turn_auth_plugin: user .*/mg) }

# ---- right ----

is($turn->allocate('turnuser', 'right'), 'ok', 'a right password');
is($turn->allocate('turnuser', 'right', tcp => 1), 'ok', '... and over TCP');
$turn->client({user => 'turnuser', password => 'right'}, 'allocate', 'refresh',
    'permission=192.0.2.7', 'refresh=0');
counts({right => 3}, 'right logins are counted: no challenge, nothing else');
is(lines(), 0, '... and are worth no line');

# ---- wrong password ----

is($turn->allocate('turnuser', 'wrong'), 401, 'a wrong password');
ok($turn->wait_log(qr/^turn_auth_plugin:\ user\ "turnuser"\ in\ realm
        \ "octavio\.test":\ wrong\ password;\ compare\ with
        \ turn\.check_user\(\)$/mx), 'the log says so, and what to do');
$turn->allocate('turnuser', 'wrong') for 1 .. 4;
$turn->allocate('turnuser', 'wrong', tcp => 1);
counts({right => 3, wrong_password => 6}, 'each is counted');
is(lines(), 1, '... but is not worth a line each');
{
    my $again = $turn->session({user => 'turnuser', password => 'wrong'});
    my @answers = map { $again->step('allocate') } 1 .. 3;
    is(scalar(grep { /401/ } @answers), 3, 'three in one connection');
    counts({right => 3, wrong_password => 9},
        '... are three, though coturn asks and checks again');
}

# ---- unknown ----

is($turn->allocate('nobody', 'right'), 401, 'an unknown user');
ok($turn->wait_log(qr/^turn_auth_plugin:\ user\ "nobody"\ in\ realm
        \ "octavio\.test":\ no\ such\ user,\ or\ it\ is\ disabled\ or
        \ expired;\ compare\ with\ turn\.check_user\(\)$/mx),
    '... is told from a wrong password');
is($turn->allocate('disabled', 'right'), 401, 'a disabled user');
counts({right => 3, wrong_password => 9, unknown_name => 2},
    '... counts as such');
is($turn->allocate('1500000000:guest', 'right'), 401, 'a time-limited name');
ok($turn->wait_log(qr/"1500000000:guest" .*: the time in this time-limited /),
    '... whose time is over');
{
    my ($name, $password) = @{$pg->dbh->selectrow_arrayref("select *
        from turn.issue('octavio.test', 'guest-17', interval '1 hour')")};
    is($turn->allocate($name, $password), 'ok', 'a good one');
    is($turn->allocate($name, 'wrong'), 401, '... with a wrong password');
    ok($turn->wait_log(qr/user "\Q$name\E" .*: wrong password/),
        '... is told as that');
}
counts({right => 4, wrong_password => 10, unknown_name => 3}, 'all counted');

# ---- a new password ----

{
    my $old = $turn->session({user => 'changing', password => 'new'});
    like($old->step('allocate'), qr/401/, 'a password that is not set yet');
    counts({right => 4, wrong_password => 11, unknown_name => 3},
        '... is wrong');
    $pg->value("select turn.set_password('octavio.test', 'changing', 'new')");
    ok(wait_until(sub { $turn->allocate('changing', 'new') eq 'ok' }),
        'it is set');
    my $before = logins()->{wrong_password};
    like($old->step('allocate'), qr/^allocate ok/,
        '... and in the old connection it is right, too');
    my $right = wait_until(sub { my $f = logins(); $f->{right} >= 6 && $f });
    is($right->{wrong_password}, $before,
        "... though coturn first checks with the old key");
}

# ---- what anybody can send ----

{
    my $before = lines();
    $turn->allocate("flood$_", 'x') for 1 .. 60;
    my $f = wait_until(sub { my $f = logins(); $f->{unknown_name} >= 63 && $f },
        10);
    is($f->{unknown_name}, 63, 'a flood of names is counted');
    cmp_ok(lines() - $before, '<=', 32, '... but gets no line each');
    is($turn->allocate('known', 'wrong'), 401, 'a user with a wrong password');
    ok($turn->wait_log(qr/user "known" .*: wrong password/),
        '... is named even so');
    ok(!defined logins()->{flood1}, 'figures hold no names');
    unlike(slurp("$figures/turn.json") . slurp("$figures/turn.prom"),
        qr/turnuser|nobody|flood/, '... neither file does');
    like(slurp("$figures/turn.prom"),
        qr/^cms_edge_turn_logins_total\{outcome="wrong_password"\} \d+$/m,
        'Prometheus gets them, too');
    cmp_ok(logins()->{recent}{wrong_password}, '>', 0,
        'and what is recent stands for itself');
}

# ---- nobody can be asked ----

$turn->stop;
$turn = Edge::Coturn->start(
    name => 'away',
    plugin => 1,
    user => 'turnserver',
    conninfo => "host=$Edge::Netns::dir/nowhere dbname=turn",
    settings => {figures_dir => $figures},
);
is($turn->allocate('turnuser', 'right'), 401, 'PostgreSQL was never there');
counts({unanswered => 1}, '... which is no wrong password and no unknown user');
is(lines(), 0, '... and gets no line but that of the outage');
done_testing();
