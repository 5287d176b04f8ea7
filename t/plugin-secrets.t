use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(wait_until spew slurp);
use Test::More;

# No key, secret or password in coturn's log, in the plugin's lines, on the
# command line, or in the memory that goes into a core file.

my $pg = Edge::Postgres->start(
    hba => ['local all postgres trust', 'host all all 127.0.0.1/32 scram-sha-256',
        'local all all trust'],
);
$pg->install;
$pg->psql("alter role turn_server login password 'geheim-db'");
$pg->value("select turn.add_user('octavio.test', 'guest', 'geheim-user')");
$pg->psql("insert into turn.turn_secret (realm, value)
    values ('octavio.test', 'geheim-rest')");
my $key = $pg->value("select rtrim(hmackey) from turn.turnusers_lt
    where name = 'guest'");

my $passfile = "$Edge::Netns::dir/passfile";
spew($passfile, "127.0.0.1:*:*:turn_server:geheim-db\n", 0600);

my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, passfile => $passfile),
    conf => ['verbose'],
    settings => {fresh_ttl => '1s'},
);
my $rest = Edge::Coturn->start(
    name => 'rest',
    port => 3479,
    plugin => 1,
    conninfo => $pg->conninfo(tcp => 1, passfile => $passfile),
    conf => ['verbose', 'use-auth-secret'],
);

# Everything that makes them write: logins, errors, outages.
sub provoke {
    for my $t ($turn, $rest) {
        $t->allocate('guest', 'geheim-user');
        $t->allocate('guest', 'geheim-wrong');
        $t->allocate('nobody', 'geheim-user');
    }
}
is($turn->allocate('guest', 'geheim-user'), 'ok', 'the password file works');
provoke();
$pg->psql('revoke select on turn.turnusers_lt, turn.user_record
    from turn_server');
ok(wait_until(sub {
    $turn->allocate('nobody', 'x');
    $turn->log_text =~ /does not tell users/;
}, 12), 'an error');
provoke();
$pg->psql('grant select on turn.turnusers_lt, turn.user_record
    to turn_server');
$pg->psql("alter role turn_server password 'geheim-new'");
$pg->psql("select pg_terminate_backend(pid) from pg_stat_activity
    where usename = 'turn_server'");
ok($turn->wait_log(qr/is away \(.*password authentication failed/),
    'the database takes the password no more: an outage');
provoke();
$pg->stop;
provoke();

for my $t ($turn, $rest) {
    my $log = $t->log_text;
    unlike($log, qr/geheim/, "$t->{name}: no password or secret in its log");
    unlike($log, qr/$key/i, "$t->{name}: no key in its log");
    unlike(slurp('/proc/' . $t->pid . '/cmdline'), qr/geheim|$key/,
        "$t->{name}: nor on its command line");
}

# 4.6.1 logs the connection string itself; the plugin's lines do not hold it.
for my $conninfo ($pg->conninfo(tcp => 1, password => 'geheim-db'),
    'postgresql://turn_server:geheim-db@127.0.0.1/turn') {
    my $uri = Edge::Coturn->start(name => 'with-password', port => 3481,
        plugin => 1, conninfo => $conninfo);
    my ($line) = $uri->log_text =~ /^(turn_auth_plugin: .*is away.*)$/m;
    like($line, qr{PostgreSQL 127.0.0.1/turn is away},
        'a connection string with a password: host and database are named');
    unlike($line, qr/geheim|turn_server/, '... and nothing else of it');
    $uri->stop;
}

# Where keys are kept, no core dump goes ("dd"): the mappings that the plugin
# made, which hold the key in binary.
my $found = memory_with(pack('H*', $key));
ok($found->{kept_out}, 'the key is in memory that a core file leaves out');
diag("key also in: @{$found->{dumped}}") if @{$found->{dumped}};

# The mappings in which these bytes are, by whether a core file would hold them.
sub memory_with {
    my ($bytes) = @_;
    my %found = (kept_out => 0, dumped => []);
    no warnings 'portable';
    my $pid = $turn->pid;
    open my $mem, '<:raw', "/proc/$pid/mem" or die $!;
    my ($from, $to, $name, $hit);
    for (split /\n/, slurp("/proc/$pid/smaps")) {
        if (/^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)/) {
            ($from, $to, $name) = (hex $1, hex $2, $3);
            sysseek $mem, $from, 0;
            my $n = sysread $mem, my $text, $to - $from;
            $hit = $n && index($text, $bytes) >= 0;
        } elsif (/^VmFlags:(.*)/ && $hit) {
            $hit = 0;
            if ($1 =~ /\bdd\b/) {
                $found{kept_out}++;
            } else {
                push @{$found{dumped}}, $name || 'anonymous';
            }
        } elsif (/^[0-9a-f]+-/) {
            $hit = 0;
        }
    }
    return \%found;
}

done_testing();
