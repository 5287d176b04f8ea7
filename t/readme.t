use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Nginx;
use Edge::Postgres;
use Edge::Process qw(slurp spew);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Test::More;

# README.md keeps its word: what it links to is there, what it shows works.
# (`make demo` itself is run by demo.t.)

my $root = $Edge::Netns::root;
my $readme = slurp("$root/README.md");

# ---- links ----

my @links = $readme =~ /\]\(([^)]+)\)/g;
cmp_ok(scalar @links, '>', 5, 'the README leads on');
ok(-e "$root/$_", "it links to $_, which is there") for @links;
my %target = map { $_ => 1 } slurp("$root/Makefile") =~ /^([a-z]+):/mg;
ok($target{$_}, "it names make $_, which there is")
    for $readme =~ /\bmake ([a-z]+)/g;

# ---- make install ----

my $dest = "$Edge::Netns::dir/dest";
is(run('make', '-s', '-C', $root, 'install', "DESTDIR=$dest"), 0,
    'make install works');
ok(-s "$dest$_", "it installs $_")
    for '/usr/lib/nginx/modules/ngx_http_cms_proxy_module.so',
        '/usr/lib/cms-edge/turn_auth_plugin.so',
        '/usr/share/cms-edge/sql/install.sql',
        '/usr/share/cms-edge/conf-examples/nginx/nginx.conf';
my ($preload) = $readme =~ /LD_PRELOAD=(\S+)/;
ok(-s "$dest$preload", 'the plugin is where the snippet preloads it from');

# ---- the nginx snippet ----

my ($snippet) = $readme =~ /^```nginx\n(.*?)^```/ms;
my ($pem, $key) = Edge::Certs::cert('outside', 'cmsweb.octavio.com');
$snippet =~ s,/etc/cms-edge/cmsweb\.pem,$pem,;
$snippet =~ s,/etc/cms-edge/cmsweb\.key,$key,;
$snippet =~ s,/etc/cms-edge/cms-ca\.pem,@{[Edge::Certs::ca('inside')]},;
$snippet =~ s,^load_module modules/,load_module $dest/usr/lib/nginx/modules/,m;
spew("$Edge::Netns::dir/snippet.conf",
    "$snippet\nevents {}\npid $Edge::Netns::dir/pid;\n");
# nginx -t opens logs and makes directories: not the machine's.
system('mount', '-t', 'tmpfs', 'readme', $_) == 0 or die
    for '/var/log/nginx', '/var/lib/nginx';
is(run($Edge::Nginx::binary, '-t', '-c', "$Edge::Netns::dir/snippet.conf",
    '-p', $Edge::Netns::dir), 0, 'nginx -t accepts the snippet as it stands');

# ---- the SQL snippet ----

my ($sql) = $readme =~ /^```\n(createdb .*?)^```/ms;
my $pg = Edge::Postgres->start;
my $host = $pg->socket_dir;
my $out = "$Edge::Netns::dir/sql.out";
is(run('sh', '-c', "cd '$root' && set -e && PGHOST='$host' PGUSER=postgres "
    . "&& export PGHOST PGUSER\n$sql", \$out), 0, 'the SQL snippet runs');
my ($password) = slurp($out) =~ /add_user *\n-+\n *(\S+)/;
ok($password, 'and prints a password');
is($pg->value("select hmackey from turn.turnusers_lt where name = 'turnuser'")
    =~ s/\s+$//r, do {
        require Digest::MD5;
        Digest::MD5::md5_hex("turnuser:octavio.com:" . ($password // ''));
    }, 'which is the one that turnuser logs in with');

done_testing();

# run(command, ..., \file): its exit status; what it said, on failure.
sub run {
    my @command = @_;
    my $to = ref $command[-1] ? ${pop @command} : "$Edge::Netns::dir/said";
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', $to;
        open STDERR, '>&', \*STDOUT;
        delete $ENV{MAKEFLAGS};
        delete $ENV{MAKELEVEL};
        exec @command;
    }
    waitpid $pid, 0;
    diag(slurp($to)) if $?;
    return $? >> 8;
}
