use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use IPC::Open2;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

# Live relays of a revoked user are closed through coturn's CLI: all of them,
# soon, and nobody else's. (401 for new logins: t/plugin-two-edges.t.)

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select count(turn.add_user('octavio.test', name, 'right')) from
    (select unnest('{guest,guest2,other,full,changing,expiring,forger,rekeyed}'
        ::text[]) as name union all
    select 'many' || i from generate_series(1, 200) i) as names");

my $figures_dir = "$Edge::Netns::dir/figures";
mkdir $figures_dir;
my $password_file = "$Edge::Netns::dir/cli-password";
spew($password_file, "secret\n", 0600);

# Newer ones have the CLI off unless told.
my @cli = ('cli-password=secret', 'cli-ip=127.0.0.1', 'cli-port=5766');
push @cli, 'cli' if qx($Edge::Coturn::turnserver --help 2>&1)
    =~ /^\s*--cli\s/m;

sub start {
    my (%o) = @_;
    my $turn = Edge::Coturn->start(
        plugin => 1,
        conninfo => $pg->conninfo,
        conf => \@cli,
        settings => {cli => '127.0.0.1:5766', figures_dir => $figures_dir,
            cli_password_file => $password_file},
        %o,
    );
    $turn->wait_log(qr/feed live/) or die 'no feed';
    return $turn;
}

# That many relays of this user; ->alive asks how many still are.
package Held {

    sub new {
        my ($class, $user, $count, @options) = @_;
        my $self = bless {}, $class;
        $self->{pid} = IPC::Open2::open2($self->{out}, $self->{in},
            "$Edge::Netns::root/build/t/turn_hold", '-s', '127.0.0.1:3478',
            '-u', $user, '-p', 'right', '-n', $count, @options);
        my $line = readline $self->{out};
        die "turn_hold: $line" if $line ne "hold $count\n";
        return $self;
    }

    sub alive {
        my ($self) = @_;
        print {$self->{in}} "\n";
        return (readline($self->{out}) =~ /^alive (\d+)$/)[0];
    }

    sub DESTROY {
        my ($self) = @_;
        local $?;
        close $self->{in};
        waitpid $self->{pid}, 0;
    }
}

my $turn = start();

sub closed {
    my $text = slurp("$figures_dir/turn.json") // return -1;
    return decode_json($text)->{counters}{relays_closed};
}

# Sockets of relays are what is left of an allocation, and cost nobody time.
sub relay_sockets {
    my $n = 0;
    open my $table, '<', '/proc/net/udp' or die;
    while (<$table>) {
        my ($port) = /^\s*\d+:\s*[0-9A-F]{8}:([0-9A-F]{4})\s/ or next;
        $n++ if hex($port) >= 10000 && hex($port) <= 30000;
    }
    return $n;
}

# ---- one user's, and nobody else's ----

{
    my %held = map { $_ => Held->new($_, 3) } 'guest', 'guest2', 'other';
    $pg->value("select turn.disable_user('octavio.test', 'guest')");
    ok(wait_until(sub { $held{guest}->alive == 0 }, 2),
        'a disabled user has no live relay');
    ok($turn->wait_log(qr/^turn_auth_plugin:\ user\ "guest"\ in\ realm\ "octavio.test"
            \ is\ revoked:\ live\ relays\ closed:\ 3$/mx),
        '... and a line says so');
    is($held{guest2}->alive, 3, '... one with a longer name keeps them');
    is($held{other}->alive, 3, '... and so do others');
    $pg->value("select turn.remove_user('octavio.test', 'guest2')");
    ok(wait_until(sub { $held{guest2}->alive == 0 }, 2), 'nor has a removed one');
    is($held{other}->alive, 3, '... others keep them again');
}
{
    my $held = Held->new('changing', 2, '-t');
    $pg->value("select turn.set_password('octavio.test', 'changing', 'new')");
    ok(wait_until(sub { $held->alive == 0 }, 2),
        'nor, with another password, one over TCP');
    is($turn->allocate('changing', 'new'), 'ok', '... who may log in with it');
}
{
    my $held = Held->new('expiring', 2);
    my $until = time + 1;
    $pg->value("update turn.users set valid_until = to_timestamp(?)
        where name = 'expiring' returning 1", $until);
    is($held->alive, 2, 'until valid_until has passed, relays live');
    ok(wait_until(sub { $held->alive == 0 }, 4), '... and then no longer');
    cmp_ok(time - $until, '<=', 1.2, '... within a second');
}

# ---- very many ----

{
    my $others = relay_sockets();
    my @held = map { Held->new("many$_", 1) } 1 .. 200;
    is(relay_sockets(), $others + 200, 'two hundred users have live relays');
    $pg->psql("update turn.credential set enabled = false
        where name like 'many%'");
    my $committed = time;
    ok(wait_until(sub { relay_sockets() == $others }, 10),
        'disabled by one statement: all are closed');
    my $took = time - $committed;
    cmp_ok($took, '<=', 1, '... within a second');
    diag(sprintf '%.3f s', $took);
}

# ---- a thousand and eight hundred ----

{
    my $bystander = Held->new('other', 1);
    # Those whose clients went without a word live on.
    my $others = relay_sockets();
    my $closed = closed();
    my $held = Held->new('full', 1800);
    is(relay_sockets(), $others + 1800, 'one user has 1,800 live relays');
    $pg->value("select turn.disable_user('octavio.test', 'full')");
    my $committed = time;
    ok(wait_until(sub { relay_sockets() == $others }, 10),
        'disabled: all are closed');
    my $took = time - $committed;
    cmp_ok($took, '<=', 1, '... within a second');
    diag(sprintf '%.3f s', $took) if $took > 0.5;
    is($bystander->alive, 1, '... but not that of another user');
    ok(wait_until(sub { closed() >= 1800 + $closed }), 'the figures count them');
}

# ---- who logs in with the new password ----

# The second look closes who is there by then, and nobody who comes later.
{
    $pg->value("select turn.set_password('octavio.test', 'rekeyed', 'new')");
    my $held = Held->new('rekeyed', 3000, '-p', 'new');
    sleep 0.5;
    cmp_ok($held->alive, '>', 500,
        'a user who logs in all the time with a new password keeps relays');
}

# ---- forged lists ----

# coturn prints the ORIGIN of a client as it is: here, a list of sessions that
# names all that another user may have. (IDs are so many from 0, and from 10^15
# for the next thread.)
$turn->stop;
$turn = start(name => 'forged', conf => [@cli, 'verbose']);
{
    my $victim = Held->new('other', 2);
    my @ids;
    wait_until(sub {
        my %ids = map { $_ => 1 }
            $turn->log_text =~ /session 0*(\d+): .*<other>/g;
        return (@ids = keys %ids) == 2;
    }, 2);
    is(scalar(@ids), 2, "a user's two sessions are known");
    my @forgers = map {
        Held->new('forger', 1, '-o', "x\\n\\n    2) id=$_, user <forger>:\\n"
            . '      realm: octavio.test\\n\\n  Total sessions: 0\\n\\n> ')
    } @ids[0, 1];
    $pg->value("select turn.remove_user('octavio.test', 'forger')");
    ok(wait_until(sub { !grep { $_->alive } @forgers }, 2),
        'one who forges a list of sessions is closed');
    sleep 0.3;
    is($victim->alive, 2, '... and closes nobody else by that');
}
is(scalar(() = $turn->log_text =~ /CLI authentication error/g), 0,
    'the CLI took every password');
$turn->stop;

# ---- the CLI is not there ----

$pg->value("select turn.enable_user('octavio.test', 'guest')");
$turn = start(name => 'no-cli', conf => ['no-cli']);
ok($turn->wait_log(qr/^turn_auth_plugin: coturn's CLI 127.0.0.1:5766 is away \(/m),
    'a CLI that is not there is worth a line');
{
    my $held = Held->new('guest', 1);
    $pg->value("select turn.disable_user('octavio.test', 'guest')");
    ok(wait_until(sub { $turn->allocate('guest', 'right') eq '401' }, 2),
        '... revoked users are refused all the same');
    is($held->alive, 1, '... and their live relays last');
}
is(scalar(() = $turn->log_text =~ /coturn's CLI/g), 1, '... one line, no more');
$turn->stop;

spew($password_file, "wrong\n", 0600);
$turn = start(name => 'wrong');
ok($turn->wait_log(qr/coturn's CLI 127.0.0.1:5766 is away \(it does not take /),
    'a wrong password for the CLI is told at start');
unlike($turn->log_text, qr/wrong\b.*\n.*secret/, '... without the password');

done_testing();
