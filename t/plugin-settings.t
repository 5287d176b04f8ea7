use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Process qw(spew);
use Test::More;

# The plugin's settings file: a wrong line stops turnserver and says where and
# why (each value's own errors: t/unit/turn_settings.c).

my $n = 0;

# Starts turnserver; its log and wait status when it ends by itself.
sub ended {
    my (%o) = @_;
    my $turn = Edge::Coturn->start(name => 'coturn' . $n++, plugin => 1,
        users => {guest => 'right'}, wait => 0, %o);
    my $status = $turn->process->wait_end(5);
    my $log = $turn->log_text;
    $turn->stop;
    return ($status, $log, "$turn->{dir}/turn-auth.conf");
}

sub refuses {
    my ($settings, $line, $message) = @_;
    my ($status, $log, $file) = ended(settings => $settings);
    (my $title = $settings) =~ s/\n/, /g;
    ok($status, "turnserver does not start: $title");
    is($log, "turn_auth_plugin: $file:$line: $message\n", '... and says why');
}

refuses("fresh_ttl = soon\n", 1, "fresh_ttl is 'soon', expected a time with its"
    . ' unit (ms, s, m, h, d), 100ms to 1d');
refuses("cache_size = 5000\n\nredis_host = unix:/run/redis.sock\n", 3,
    "there is no setting 'redis_host', expected one of cache_size, fresh_ttl, "
    . 'stale_ttl, negative_ttl, query_timeout, poll_interval, redis, '
    . 'redis_password_file, redis_database, redis_prefix, redis_timeout, '
    . 'seal_key_file, cli, cli_password_file, figures_dir');
refuses("fresh_ttl = 2h\nstale_ttl = 1h\n", 2, 'stale_ttl is shorter than '
    . 'fresh_ttl, expected 0 or at least fresh_ttl');
refuses("nonsense", 1, 'this is no setting, expected key = value');

refuses("cache_size = 500\ncli = 192.0.2.1:5766\n", 2, 'cli is '
    . "'192.0.2.1:5766', expected 127.0.0.1:port or another loopback address "
    . 'or none');
refuses("redis = redis.octavio.test:6379\n", 1, 'redis is set without '
    . 'seal_key_file, expected both: what goes to Redis is sealed');

# ---- files with secrets ----

my $secret = "$Edge::Netns::dir/secret.txt";
my $cli = "cli = 127.0.0.1:5766\ncli_password_file = $secret\n";

sub refuses_secret {
    my ($content, $mode, $message) = @_;
    unlink $secret;
    spew($secret, $content, $mode) if defined $content;
    refuses($cli, 2, "cli_password_file $secret $message");
}

refuses_secret(undef, 0, 'cannot be read (No such file or directory), expected '
    . 'a file that turnserver may read');
refuses_secret("secret\n", 0644, 'may be read by others (mode 0644), expected '
    . "mode 0640: chmod o= $secret");
refuses_secret("secret\n", 0602, 'may be written by others (mode 0602), expected '
    . "mode 0600: chmod o= $secret");
refuses_secret('', 0600, 'is empty, expected a secret in it');
refuses_secret("\nsecret\n", 0600, 'has 0 bytes in its first line, expected a '
    . 'password of 1 to 511 bytes there');
refuses_secret('x' x 512, 0600, 'has 512 bytes in its first line, expected a '
    . 'password of 1 to 511 bytes there');
refuses_secret('x' x 16384, 0600, 'is too long, expected less than 16384 bytes');
unlink $secret;
mkdir $secret;
refuses($cli, 2, "cli_password_file $secret is no regular file, expected one");
rmdir $secret;
system('mkfifo', '-m', '600', $secret);
refuses($cli, 2, "cli_password_file $secret is no regular file, expected one");
unlink $secret;
for my $key ('redis_password_file', 'seal_key_file') {
    spew($secret, 'ab' x 32 . "\n", 0604);
    refuses("$key = $secret\n", 1, "$key $secret may be read by others (mode "
        . "0604), expected mode 0600: chmod o= $secret");
}
chmod 0640, $secret;
{
    my $turn = Edge::Coturn->start(name => 'secret', plugin => 1,
        users => {guest => 'right'}, settings => $cli);
    is($turn->allocate('guest', 'right'), 'ok', 'a file of mode 0640 is good');
    $turn->stop;
}

# ---- a turnserver that does not use PostgreSQL ----

# Begun now, looked at in the end: it says so after 10 s.
my $unused = Edge::Coturn->start(name => 'unused', port => 3490, plugin => 1,
    users => {guest => 'right'}, settings => "# nothing\n");

# ---- where the settings are ----

my ($status, $log) = ended(env => {TURN_AUTH_CONF => '/nowhere/turn.conf'});
ok($status, 'the file that $TURN_AUTH_CONF names must be there');
is($log, 'turn_auth_plugin: /nowhere/turn.conf: No such file or directory, '
    . "expected a file of settings (key = value)\n", '... and it says so');
($status, $log) = ended(env => {TURN_AUTH_CONF => $Edge::Netns::dir});
ok($status && $log =~ /^turn_auth_plugin: \Q$Edge::Netns::dir\E: .*read/,
    'and must be a file');

# /etc/cms-edge/turn-auth.conf: in a mount namespace of our own.
my $etc = '/etc/cms-edge';
SKIP: {
    skip 'there is no overlay or place for it', 6
        if !-d $etc && !make_etc();
    system('mount', '-t', 'tmpfs', 'etc', $etc) == 0 or die "mount: $?";
    my $turn = Edge::Coturn->start(name => 'none', plugin => 1,
        users => {guest => 'right'});
    is($turn->allocate('guest', 'right'), 'ok', 'no file: the defaults');
    like($turn->log_text, qr{^turn_auth_plugin: no \Q$etc\E/turn-auth.conf: the }m,
        '... as a line says');
    $turn->stop;
    spew("$etc/turn-auth.conf", "query_timeout = 1h\n");
    ($status, $log) = ended();
    ok($status, 'the file in its own place is read');
    like($log, qr{^turn_auth_plugin: \Q$etc\E/turn-auth.conf:1: query_timeout},
        '... and is as strict');
    $turn = Edge::Coturn->start(name => 'named', plugin => 1,
        users => {guest => 'right'}, settings => "# nothing\n");
    is($turn->allocate('guest', 'right'), 'ok', '$TURN_AUTH_CONF comes first');
    like($turn->log_text, qr{^turn_auth_plugin: settings of \Q$turn->{dir}\E/},
        '... as a line says');
}

ok($unused->wait_log(qr/^turn_auth_plugin: .*no connection.*is psql-userdb missing/m,
    30), 'without psql-userdb a line says that the plugin has nothing to do');

# /etc of this mount namespace alone: a copy that may be written.
sub make_etc {
    my $copy = "$Edge::Netns::dir/etc";
    return system('cp', '-a', '/etc', $copy) == 0
        && mkdir("$copy/cms-edge")
        && system('mount', '--bind', $copy, '/etc') == 0;
}

done_testing();
