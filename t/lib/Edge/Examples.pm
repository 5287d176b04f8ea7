package Edge::Examples;

# Puts the files of conf-examples/ where an administrator would, inside the
# test's private mounts: /etc, /run, /var/log and /var/lib/nginx become
# copies or empty corners of our own, so that nothing of the machine changes.
# Names and addresses are replaced by t/demo/names.sed and nothing else is.
#
#   Edge::Examples::install();
#   Edge::Process->start(name => 'nginx',
#       argv => [Edge::Examples::nginx_argv()]);
#   Edge::Process->start(name => 'coturn', Edge::Examples::coturn());
#
# $NGINX_BINARY, $NGINX_MODULE_DIR and $TURNSERVER name others to try than the
# distribution's nginx and turnserver.

use strict;
use warnings;
use Carp;
use Edge::Certs;
use Edge::Netns;
use Edge::Process qw(slurp spew);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);

my $examples = "$Edge::Netns::root/conf-examples";
my $drop_in = '/etc/systemd/system/coturn.service.d/cms-edge.conf';

# Where each file goes.
our %place = (
    'nginx/nginx.conf' => '/etc/nginx/nginx.conf',
    'coturn/turnserver.conf' => '/etc/turnserver.conf',
    'coturn/turn-auth.conf' => '/etc/cms-edge/turn-auth.conf',
    'systemd/coturn.service.d/cms-edge.conf' => $drop_in,
    'cms/turn-server' => '/usr/local/bin/turn-server',
);

# What an edge that shares port 443 has there.
our %place_443 = (
    '443-shared/nginx.conf' => '/etc/nginx/nginx.conf',
    '443-shared/turnserver.conf' => '/etc/turnserver.conf',
    '443-shared/nftables.conf' => '/etc/cms-edge/nftables.conf',
    '443-shared/coturn.service.d/443-shared.conf'
        => '/etc/systemd/system/coturn.service.d/443-shared.conf',
);

# Makes the mounts and puts everything in place: the examples, the freshly
# built module and plugin, certificates.
sub install {
    my $dir = $Edge::Netns::dir;
    _mount_corners($dir);
    make_path("$dir/lib");
    my $modules = $ENV{NGINX_MODULE_DIR} // "$Edge::Netns::root/build";
    my $plugin = "$Edge::Netns::root/build/turn_auth_plugin.so";
    for my $so (glob("$modules/ngx_*cms*.so"), glob($plugin),
            glob('/usr/lib/nginx/modules/ngx_stream_module.so')) {
        copy($so, "$dir/lib/") or croak "$so: $!";
    }
    _put($_) for sort keys %place;
    my ($cert, $key) = Edge::Certs::cert('outside', 'cmsweb.octavio.test');
    copy($cert, '/etc/cms-edge/cmsweb.pem');
    copy($key, '/etc/cms-edge/cmsweb.key');
    copy(Edge::Certs::ca('inside'), '/etc/cms-edge/cms-ca.pem');
}

# share_443(): takes the files of conf-examples/443-shared instead, as its
# README says.
sub share_443 {
    my @password = slurp('/etc/turnserver.conf') =~ /^(cli-password=.*\n)/m;
    _put($_) for sort keys %place_443;
    spew('/etc/turnserver.conf', slurp('/etc/turnserver.conf')
            . join('', @password), 0640);
    chown 0, scalar getgrnam('turnserver'), '/etc/turnserver.conf';
    cli_on() if @password;
}

sub _put {
    my ($file) = @_;
    my $to = where($file);
    make_path(dirname($to));
    spew($to, substituted(slurp("$examples/$file")),
        (stat "$examples/$file")[2] & 0777);
}

# The password of coturn's CLI, as conf-examples/README.md makes it, where
# nobody has made one.
sub cli_password {
    my $file = '/etc/cms-edge/cli-password';
    return if -e $file;
    my $group = getgrnam 'turnserver';
    spew($file, "octavio\n", 0640);
    chown 0, $group, $file, '/etc/turnserver.conf';
    my $hashed = qx(turnadmin -P -p octavio);
    $hashed =~ /^\$5\$/ or croak "turnadmin -P: $hashed";
    spew('/etc/turnserver.conf', slurp('/etc/turnserver.conf')
            . "cli-password=$hashed", 0640);
    cli_on();
}

# What turnserver.conf says about a coturn whose CLI is off by default.
sub cli_on {
    my $turnserver = $ENV{TURNSERVER} // '/usr/bin/turnserver';
    return if qx($turnserver --help 2>&1) !~ /^ --cli\s/m;
    spew('/etc/turnserver.conf', slurp('/etc/turnserver.conf') . "cli\n", 0640);
}

# Where install() has put a file of conf-examples/.
sub where {
    my ($file) = @_;
    my $to = $place{$file} // $place_443{$file} // croak "no example $file";
    $to =~ s,^/usr/local/bin/,$Edge::Netns::dir/bin/,;
    return $to;
}

sub substituted {
    my ($text) = @_;
    for (split /\n/, slurp("$Edge::Netns::root/t/demo/names.sed")) {
        next if !/^s(.)(.*)\1(.*)\1(g?)$/;
        my ($from, $to) = ($2, $3);
        $to =~ s,\@LIB\@,$Edge::Netns::dir/lib,;
        $text =~ s/$from/$to/g;
    }
    # That of the distribution; another nginx has it built in.
    $text =~ s/^load_module \S*ngx_stream_module\.so;.*\n//m
        if $ENV{NGINX_BINARY};
    return $text;
}

# nginx as its unit runs it, but in the foreground.
sub nginx_argv {
    return ($ENV{NGINX_BINARY} // '/usr/sbin/nginx', '-c',
        '/etc/nginx/nginx.conf', '-g', 'daemon off; master_process on;');
}

# coturn as Debian's unit and our drop-ins run it: start()'s argv, user and
# env. Dies where systemd would refuse to start it.
sub coturn {
    my (@prefix) = @_;
    my $unit = join '', map { slurp($_) } sort glob dirname($drop_in) . '/*';
    for my $path ($unit =~ /^AssertPathExists=(.*)$/mg) {
        -e $path or croak "$drop_in: AssertPathExists=$path";
    }
    my ($mode) = $unit =~ /^RuntimeDirectoryMode=(\d+)$/m;
    for my $name ($unit =~ /^RuntimeDirectory=(.*)$/mg) {
        mkdir "/run/$name";
        chmod oct($mode // '0755'), "/run/$name";
        chown scalar getpwnam('turnserver'), scalar getgrnam('turnserver'),
            "/run/$name";
    }
    my @as = ('setpriv', '--reuid=turnserver', '--regid=turnserver',
        '--init-groups',
        $unit =~ /^NoNewPrivileges=yes$/m ? '--no-new-privs' : (),
        $unit =~ /^CapabilityBoundingSet=$/m ? '--bounding-set=-all' : (),
        '--');
    for my $pre ($unit =~ /^ExecStartPre=\/bin\/sh -c '(.*)'$/mg) {
        system(@as, '/bin/sh', '-c', $pre) == 0
            or croak "$drop_in: ExecStartPre=$pre";
    }
    for my $pre ($unit =~ /^ExecStartPre=\+(.*)$/mg) {
        open my $out, '-|', @prefix, 'sh', '-c', "exec $pre 2>&1"
            or croak "sh: $!";
        my $said = join '', <$out>;
        close $out or croak "$drop_in: ExecStartPre=+$pre: $said";
    }
    my @env = $unit =~ /^Environment=(.*)$/mg;
    return (argv => [@prefix, @as, 'env', @env,
        $ENV{TURNSERVER} // '/usr/bin/turnserver', '-c',
        '/etc/turnserver.conf', '--pidfile=']);
}

sub _mount_corners {
    my ($dir) = @_;
    make_path("$dir/etc");
    system('cp', '-a', '/etc/.', "$dir/etc") == 0 or croak 'cp /etc failed';
    my @mounts = (['--bind', "$dir/etc", '/etc'],
        map { ['-t', 'tmpfs', '-o', 'mode=755', 'edge', $_] }
            qw(/run /var/log /var/lib/nginx));
    for my $mount (@mounts) {
        system('mount', @$mount) == 0 or croak "mount @$mount failed";
    }
    make_path('/var/log/nginx', '/etc/cms-edge');
}

1;
