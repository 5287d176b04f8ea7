use strict;
use warnings;
use Edge::Netns;
use Edge::Postgres;
use Test::More;

# coturn's own turnadmin on our database: add, change, delete, list, without
# the plugin and with it preloaded.

# turnadmin opens a log file there, whatever it is told.
system('mount', '-t', 'tmpfs', 'log', '/var/log') == 0 or die "mount: $?";

my $pg = Edge::Postgres->start;
$pg->install;
my $plugin = "$Edge::Netns::root/build/turn_auth_plugin.so";
my $preload;
my $role;

# What turnadmin prints, without its log lines; $? is its status.
sub turnadmin {
    my (@args) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        $ENV{LD_PRELOAD} = $preload if $preload;
        exec 'turnadmin', '-e', $pg->conninfo(user => $role), @args;
    }
    my $text = join '', grep { !/^\d+: : (?!.*ERROR)/ } <$out>;
    close $out;
    return $text;
}

sub user { return ('-r', 'octavio.test', '-u', @_) }

sub check {
    my ($name, $password) = @_;
    return $pg->value("select turn.check_user('octavio.test', ?, ?)", $name,
        $password);
}

sub everything {
    $role = 'turn_admin';

    is(turnadmin('-a', user('guest'), '-p', 'cisco'), '', 'add says nothing');
    is($? >> 8, 0, 'and succeeds');
    is(check('guest', 'cisco'), 'ok', 'the user may log in');
    my ($key) = turnadmin('-k', user('guest'), '-p', 'cisco')
        =~ /0x([0-9a-f]{32})/;
    is($pg->value("select rtrim(hmackey) from turn.turnusers_lt
        where name = 'guest'"), $key, 'with the key that -k prints');

    is(turnadmin('-a', user('guest'), '-p', 'other'), '',
        'change says nothing');
    is(check('guest', 'other'), 'ok', 'the new password counts');
    unlike($pg->log_text, qr/$key/, 'no key is in the server log');

    turnadmin('-a', user('second'), '-p', 'cisco');
    is(turnadmin('-l'), "guest[octavio.test]\nsecond[octavio.test]\n", 'list');
    is(turnadmin('-l', '-r', 'other.test'), '', 'list of another realm');

    is(turnadmin('-d', user('second')), '', 'delete says nothing');
    is(turnadmin('-l', '-r', 'octavio.test'), "guest[octavio.test]\n",
        'the user is gone');
    like(turnadmin('-d', user('second')),
        qr/WARNING:  no such user: nothing is changed/,
        'a second delete is told so');

    # Users whom coturn does not see.
    $pg->value("select turn.disable_user('octavio.test', 'guest')");
    is(turnadmin('-l'), "guest[octavio.test]\n", 'list shows a disabled user');
    like(turnadmin('-a', user('guest'), '-p', 'third'),
        qr/WARNING:  user "guest" has the new key and is still disabled/,
        'change of a disabled user says that it stays so');
    like(check('guest', 'third'), qr/^disabled/, 'the key is changed');
    is(turnadmin('-d', user('guest')), '', 'delete');
    like(check('guest', 'third'), qr/^unknown/, 'takes a disabled user away');

    $role = 'postgres';
    $pg->value("select turn.add_user('octavio.test', 'guest', 'cisco')");
    $pg->value("select turn.disable_user('octavio.test', 'guest')");
    like(turnadmin('-d', user('guest')), qr/WARNING:  no such user: /,
        'a superuser, who does not see the disabled one, is told as much');
    $role = 'turn_admin';
    turnadmin('-d', user('guest'));

    # Names that turnadmin takes and cms-edge does not.
    like(turnadmin('-a', user('*x'), '-p', 'cisco'),
        qr/WARNING:  user name "\*x" begins with "\*"/,
        'a name that is refused is refused with the reason');
    is(turnadmin('-l'), '', 'and not there');
    ($key) = turnadmin('-k', user('*x'), '-p', 'cisco') =~ /0x([0-9a-f]{32})/;
    unlike($pg->log_text, qr/$key/, 'nor is its key in the server log');

    # turnadmin deletes a secret before it adds it.
    like(turnadmin('-s', 'secret1', '-r', 'octavio.test'),
        qr/NOTICE:  no such secret was there.*NOTICE:  secret \w{8} is added/s,
        'add a secret: says that it is new and added');
    turnadmin('-s', 'secret2', '-r', 'octavio.test');
    unlike(turnadmin('-s', 'secret1', '-r', 'octavio.test'), qr/no such/,
        'added again: says that it was there');
    is(turnadmin('-S', '-r', 'octavio.test'),
        "secret1[octavio.test]\nsecret2[octavio.test]\n", 'list secrets');
    unlike($pg->log_text, qr/secret[12]/, 'none is in the server log');
    is(turnadmin('--delete-secret=secret1', '-r', 'octavio.test'), '',
        'delete one says nothing');
    is(turnadmin('-S'), "secret2[octavio.test]\n", 'and it is gone');
    like(turnadmin('--delete-secret=secret1', '-r', 'octavio.test'),
        qr/NOTICE:  no such secret was there/, 'a second delete is told so');
    $pg->psql("update turn.shared_secret set valid_until = now()");
    is(turnadmin('-S'), '', 'a secret that has ended is not listed');
    like(turnadmin('--delete-secret=secret2', '-r', 'octavio.test'),
        qr/no such secret.*turn\.secrets also shows/s,
        'deleting it says where it is');
    like(turnadmin('-s', 'secret2', '-r', 'octavio.test'),
        qr/WARNING:  the secret was there, until .*: it has no end any more/,
        'adding it says that it counts again');
    is(turnadmin('-S'), "secret2[octavio.test]\n", 'and it does');
    $pg->psql("update turn.shared_secret set valid_until = '2099-01-01 UTC'");
    like(turnadmin('-s', 'secret2', '-r', 'octavio.test'),
        qr/WARNING:  the secret still ends at 2099-01-01.*rotate_secret/s,
        'added while it is rotated out: says that it keeps its end');
    is($pg->value("select valid_until = '2099-01-01 UTC'
        from turn.shared_secret where value = 'secret2'"), 1, 'which it does');
    is(turnadmin('--delete-secret=secret2', '-r', 'octavio.test'), '',
        'deleted');
    unlike(turnadmin('-s', 'secret2', '-r', 'octavio.test'), qr/WARNING/,
        '... and then added, it is new');
    is($pg->value("select valid_until from turn.shared_secret
        where value = 'secret2'"), undef, '... and has no end');
    turnadmin('--delete-all-secrets', '-r', 'octavio.test');
    is(turnadmin('-S'), '', 'delete all');

    is(turnadmin('-g', '-r', 'octavio.test', '--total-quota=1800',
        '--user-quota=2', '--max-bps=1000'), '', 'quotas: says nothing');
    is(turnadmin('-G', '-r', 'octavio.test'), "max-bps[octavio.test]=1000\n"
        . "total-quota[octavio.test]=1800\nuser-quota[octavio.test]=2\n",
        'and they are listed');
    turnadmin('-g', '-r', 'octavio.test', '--total-quota=0');
    unlike(turnadmin('-G'), qr/total-quota/, 'taken away');

    my @origin = ('-o', 'https://cmsweb.octavio.test');
    is(turnadmin('-O', @origin, '-r', 'octavio.test'), '',
        'add an origin says nothing');
    is(turnadmin('-I'), "https://cmsweb.octavio.test:443 ==>> octavio.test\n",
        'and it is listed');
    like(turnadmin('-O', @origin, '-r', 'other.test'), qr/ERROR.*duplicate key/s,
        'an origin that has a realm keeps it, with an error');
    is(turnadmin('-R', @origin), '', 'delete an origin says nothing');
    is(turnadmin('-I'), '', 'and it is gone');
    like(turnadmin('-R', @origin), qr/WARNING:  no such origin/,
        'a second delete is told so');

    is(turnadmin('-A', '-u', 'admin', '-p', 'cisco'), '',
        'add a web administrator says nothing');
    turnadmin('-A', '-u', 'admin', '-p', 'cisco2', '-r', 'octavio.test');
    is(turnadmin('-L'), "admin[octavio.test]\n", 'added again: changed');
    unlike($pg->log_text, qr/\$5\$/, 'no password hash is in the server log');
    is(turnadmin('-D', '-u', 'admin'), '', 'delete says nothing');
    is(turnadmin('-L'), '', 'and the administrator is gone');
    like(turnadmin('-D', '-u', 'admin'),
        qr/WARNING:  no such web administrator/, 'a second delete is told so');

    $role = 'turn_server';
    like(turnadmin('-a', user('third'), '-p', 'cisco'), qr/permission denied/,
        'with the rights of turn_server it changes nothing');
    $pg->psql('truncate turn.realm_option');
}

subtest 'without the plugin' => \&everything;

subtest 'with the plugin' => sub {
    plan skip_all => 'the plugin is not built' if !-e $plugin;
    $preload = $plugin;
    everything();
};

# What coturn's web administration does, which turnadmin has no commands for.
subtest 'OAuth keys' => sub {
    my $dbh = $pg->dbh(user => 'turn_admin');
    my $keys = sub { join ' ', map { join ',', map { $_ // '' } @$_ }
        @{$dbh->selectall_arrayref('select ikm_key,timestamp,lifetime,
            as_rs_alg,realm,kid from oauth_key order by kid')} };
    $dbh->do("insert into oauth_key (kid,ikm_key,timestamp,lifetime,as_rs_alg,
        realm) values('kid','key1',1400000000,3600,'A256GCM','octavio.test')");
    is($keys->(), 'key1,1400000000,3600,A256GCM,octavio.test,kid', 'add');
    $dbh->do("update oauth_key set ikm_key='key2',timestamp=5,lifetime=7,
        as_rs_alg='A128GCM', realm='' where kid='kid'");
    is($keys->(), 'key2,5,7,A128GCM,,kid', 'change');
    $dbh->do("delete from oauth_key where kid = 'kid'");
    is($keys->(), '', 'delete');
    my @said;
    local $SIG{__WARN__} = sub { push @said, @_ };
    local $dbh->{PrintWarn} = 1;
    $dbh->do("delete from oauth_key where kid = 'kid'");
    like("@said", qr/no such OAuth key/, 'a second delete is told so');
};

subtest 'what is there already, added again, is no error to be logged' => sub {
    my $dbh = $pg->dbh(user => 'turn_admin');
    local $dbh->{PrintWarn} = 0;
    for (1, 2) {
        $dbh->do("insert into turn_secret (realm,value) values('o.test','s1')");
        $dbh->do("insert into admin_user values('a', '', 'hash')");
        $dbh->do("insert into oauth_key (kid,ikm_key) values('k', 'key')");
    }
    is($dbh->selectrow_array('select count(*) from turn_secret'), 1, 'secret');
    is($dbh->selectrow_array('select count(*) from admin_user'), 1, 'admin');
    is($dbh->selectrow_array('select count(*) from oauth_key'), 1, 'key');
};

done_testing();
