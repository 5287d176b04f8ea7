package Edge::Nginx;

# A real nginx for a test: the distribution's binary with our module loaded,
# everything it writes under $Edge::Netns::dir/<name>/, its logs as
# $Edge::Netns::dir/<name>-{error,access}.log (so a failing test shows them).
#
#   my $edge = Edge::Nginx->start(http => <<"CONF");
#   cms_webbridge cmsweb { ... }
#   server { listen 443 ssl; ... }
#   CONF
#
# Another nginx can be tried: $NGINX_BINARY names it, $NGINX_MODULE_DIR where
# the modules built for it are (default: build/ of the checkout).

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(wait_until slurp spew);
use File::Path qw(make_path);

our $binary = $ENV{NGINX_BINARY} // 'nginx';
our $module_dir = $ENV{NGINX_MODULE_DIR} // "$Edge::Netns::root/build";
our $module = "$module_dir/ngx_http_cms_proxy_module.so";
our $stream_module = "$module_dir/ngx_stream_cms_proxy_module.so";

# start(...): the running nginx; dies with what nginx said when it does not
# start. Options, also of conf() and test_conf():
#   stream       what stands in stream { }; loads our stream module
#   http         what stands in http { }, or
#   conf         a whole configuration; of the rest only name then matters, and
#                it must leave pid, error_log and daemon to us
#   name         'edge'; give each nginx of one test its own
#   main         directives added outside http { }
#   modules      [our http module]; paths of modules to load
#   user         $NGINX_USER or 'www-data', which the workers run as
#   workers      2
#   connections  1024 for each worker
#   events       what else stands in events { }
#   error_level  'info'
#   log_format   what an access log line says, undef for no access log
#   env          environment variables for nginx
sub start {
    my ($class, %o) = @_;
    my $self = $class->_prepare(%o);
    $self->{process} = Edge::Process->start(
        name => $self->{name},
        argv => [$self->_argv],
        env => $o{env},
        # nginx writes its pid once every port listens.
        ready => sub { (slurp($self->{pid_file}) // '') =~ /\d/ },
        timeout => 30,
    );
    return $self;
}

# test_conf(...): what `nginx -t` says: (exit status, its output). The
# output has 'in FILE:LINE'; the file is conf_file(...) of the same options.
sub test_conf {
    my ($class, %o) = @_;
    my $self = $class->_prepare(name => 'conf', %o);
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec $self->_argv, '-t';
    }
    local $/;
    my $text = <$out>;
    close $out;
    return ($? >> 8 || $?, $text);
}

# conf(...): the whole configuration text that start(...) would use.
sub conf {
    my ($class, %o) = @_;
    my $self = ref $class ? $class : $class->_paths(%o);
    return $o{conf} if defined $o{conf};

    my $d = $self->{prefix};
    my $format = exists $o{log_format} ? $o{log_format}
        : '$remote_addr $host "$request" $status $upstream_addr';
    my @modules = @{$o{modules}
        // [$module, defined $o{stream} ? stream_modules() : ()]};
    my $conf = join '', map { "load_module $_;\n" } @modules;
    $conf .= sprintf "user %s;\nworker_processes %d;\n",
        $o{user} // $ENV{NGINX_USER} // 'www-data', $o{workers} // 2;
    $conf .= $o{main} // '';
    $conf .= sprintf "events { worker_connections %d; %s }\n",
        $o{connections} // 1024, $o{events} // '';
    $conf .= "http {\n";
    $conf .= "${_}_temp_path $d/$_;\n"
        for qw(client_body proxy fastcgi uwsgi scgi);
    if (defined $format) {
        $format =~ s/'/\\'/g;
        $conf .= "log_format edge '$format';\n"
            . "access_log $self->{access_file} edge;\n";
    } else {
        $conf .= "access_log off;\n";
    }
    $conf .= ($o{http} // '') . "\n}\n";
    $conf .= "stream {\n$o{stream}\n}\n" if defined $o{stream};
    return $conf;
}

# stream_modules: what is to be loaded for cms_share: nginx's own stream, where
# it is not built in, and our module.
sub stream_modules {
    my $built = qx($binary -V 2>&1);
    my ($dir) = $built =~ /--modules-path=(\S+)/;
    return (($built =~ /--with-stream=dynamic/
        ? "$dir/ngx_stream_module.so" : ()), $stream_module);
}

# conf_line(text): the line of the configuration that holds this text, as
# nginx would name it in an error: 'FILE:LINE'.
sub conf_line {
    my ($class, $text, %o) = @_;
    my $self = $class->_paths(name => 'conf', %o);
    my $n = 0;
    for (split /\n/, slurp($self->{conf_file})) {
        $n++;
        return "$self->{conf_file}:$n" if index($_, $text) >= 0;
    }
    croak "no line of $self->{conf_file} holds '$text'";
}

sub pid { $_[0]{process}->pid }
sub alive { $_[0]{process}->alive }
sub stop { $_[0]{process}->stop($_[1] // 'QUIT') }
sub prefix { $_[0]{prefix} }

# freeze, thaw: connections are accepted, nothing is answered; then all that
# waits is.
sub freeze { kill 'STOP', $_[0]->workers }
sub thaw { kill 'CONT', $_[0]->workers }

sub conf_file { $_[0]{conf_file} }
sub error_log { slurp($_[0]{error_file}) // '' }
sub access_log { slurp($_[0]{access_file}) // '' }

# clear_logs: what the logs say from here on. nginx appends, so truncating
# them under it is safe.
sub clear_logs {
    my ($self) = @_;
    for my $file (@$self{qw(error_file access_file)}) {
        truncate $file, 0 if -e $file;
    }
}

# nginx logs a request after its last byte left, so a test waits for the line.
sub wait_error {
    my ($self, $re, $timeout) = @_;
    return wait_until(sub { $self->error_log =~ $re }, $timeout // 15);
}

sub wait_access {
    my ($self, $re, $timeout) = @_;
    return wait_until(sub { $self->access_log =~ $re }, $timeout // 15);
}

# reload(...): with new options, or the same configuration once more. True
# when new workers serve; false, with the old ones still serving, when nginx
# refused the configuration.
sub reload {
    my ($self, %o) = @_;
    spew($self->{conf_file}, $self->conf(%$self, %o)) if %o;
    # nginx has its pid file before it has workers
    wait_until(sub { scalar $self->workers }, 30);
    my %old = map { $_ => 1 } $self->_workers;
    my $seen = length $self->error_log;
    $self->{process}->signal('HUP');
    my $result = wait_until(sub {
        return 'refused'
            if substr($self->error_log, $seen) =~ /\[emerg\]/;
        my @now = $self->workers;
        return @now && !grep { $old{$_} } @now;
    }, 30);
    croak 'nginx did not reload: ' . $self->error_log if !$result;
    return $result ne 'refused';
}

# The workers that serve now; old ones that still finish their work after a
# reload do not count.
sub workers {
    my ($self) = @_;
    return grep { _cmdline($_) =~ /worker process$/ } $self->_workers;
}

# CPU time that the workers have used, in seconds, to the nanosecond.
sub cpu_seconds {
    my ($self) = @_;
    my $ns = 0;
    for my $pid ($self->workers) {
        $ns += (split ' ', slurp("/proc/$pid/schedstat") // '0')[0];
    }
    return $ns / 1e9;
}

# ---- inside ----

sub _paths {
    my ($class, %o) = @_;
    my $name = $o{name} // 'edge';
    my $base = "$Edge::Netns::dir/$name";
    return bless {
        name => $name,
        prefix => $base,
        conf_file => "$base/nginx.conf",
        pid_file => "$base/nginx.pid",
        error_file => "$base-error.log",
        access_file => "$base-access.log",
        error_level => $o{error_level} // 'info',
    }, $class;
}

sub _prepare {
    my ($class, %o) = @_;
    my $self = $class->_paths(%o);
    make_path($self->{prefix});
    unlink $self->{pid_file};
    spew($self->{conf_file}, $self->conf(%o));
    $self->{$_} //= $o{$_} for keys %o;
    return $self;
}

# -e and -g stand outside the file, so that a whole configuration, such as an
# example, runs unchanged.
sub _argv {
    my ($self) = @_;
    return ($binary, '-p', "$self->{prefix}/", '-c', $self->{conf_file},
        '-e', $self->{error_file}, '-g', "daemon off; pid $self->{pid_file};"
            . " error_log $self->{error_file} $self->{error_level};");
}

sub _workers {
    my ($self) = @_;
    my $pid = $self->pid;
    return split ' ', slurp("/proc/$pid/task/$pid/children") // '';
}

sub _cmdline {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/cmdline") // '';
    $text =~ s/\0.*//s if $text =~ /^nginx: /;
    $text =~ s/\s+$//;
    return $text;
}

1;
