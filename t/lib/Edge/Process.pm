package Edge::Process;

# Starts real daemons for a test, waits for events rather than for time, and
# ends what it started (and only that) when the test ends, however it ends.
# When a test fails, the log of every process is shown and kept in
# build/t/<test>/.

use strict;
use warnings;
use Carp;
use Edge::Netns;
use File::Basename qw(basename);
use File::Copy qw(copy);
use File::Path qw(make_path);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h _exit);
use Time::HiRes qw(time sleep);
use Exporter 'import';

our @EXPORT_OK = qw(wait_until wait_tcp slurp spew);

# 0: a failure ends without showing and keeping the logs.
our $show_logs = 1;

my @running;
my $owner = $$;

# A test that is told to end (^C, timeout) still ends what it started.
$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);

# start(name => 'nginx', argv => [...], ...)
#   env        hash of variables added to the environment
#   user       run as this user (setpriv)
#   ready      code that returns true when the process serves, or
#   ready_tcp  'host:port' that accepts, or
#   ready_log  regular expression that its log matches
#   timeout    seconds until ready (10)
#   stdin      'pipe' to get ->{stdin}
#   stop_signal  what asks it to end ('TERM')
# stdout and stderr go to $Edge::Netns::dir/<name>.log. Dies, with the log,
# when the process ends or does not get ready.
sub start {
    my ($class, %o) = @_;
    my $self = bless {
        name => $o{name},
        log => $o{log} // "$Edge::Netns::dir/$o{name}.log",
        argv => $o{argv},
        stop_signal => $o{stop_signal} // 'TERM',
    }, $class;

    my @argv = @{$o{argv}};
    if ($o{user}) {
        unshift @argv, 'setpriv', "--reuid=$o{user}", "--regid=$o{user}",
            '--init-groups', '--';
    }

    my ($in_r, $in_w);
    if (($o{stdin} // '') eq 'pipe') {
        pipe($in_r, $in_w) or croak "pipe: $!";
    }

    my $pid = fork() // croak "fork: $!";
    if ($pid == 0) {
        if ($in_r) {
            open STDIN, '<&', $in_r;
            close $in_w;
        } else {
            open STDIN, '<', '/dev/null';
        }
        open STDOUT, '>>', $self->{log} or _exit(126);
        open STDERR, '>&', \*STDOUT;
        # A daemon must not outlive a killed test, nor get its ^C.
        setpgrp(0, 0);
        # As systemd does for User=.
        $ENV{HOME} = (getpwnam $o{user})[7] if $o{user};
        $ENV{$_} = $o{env}{$_} for keys %{$o{env} || {}};
        exec { $argv[0] } @argv or do {
            print STDERR "exec $argv[0]: $!\n";
            _exit(127);
        };
    }
    if ($in_w) {
        close $in_r;
        $in_w->autoflush(1);
        $self->{stdin} = $in_w;
    }
    $self->{pid} = $pid;
    push @running, $self;

    my $ready = $o{ready};
    if ($o{ready_tcp}) {
        my $at = $o{ready_tcp};
        $ready = sub { tcp_accepts($at) };
    } elsif ($o{ready_log}) {
        my $re = $o{ready_log};
        $ready = sub { $self->log_text =~ $re };
    }
    if ($ready) {
        my $end = time + ($o{timeout} // 10);
        until ($ready->()) {
            croak "$self->{name} ended before it was ready:\n"
                . $self->log_text if !$self->alive;
            croak "$self->{name} was not ready in time:\n" . $self->log_text
                if time > $end;
            sleep 0.02;
        }
    }
    return $self;
}

sub pid { $_[0]{pid} }

sub log_text { my $t = slurp($_[0]{log}); defined $t ? $t : '' }

sub alive {
    my ($self) = @_;
    return 0 if defined $self->{status};
    if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        $self->{status} = $?;
        return 0;
    }
    return 1;
}

sub signal { kill $_[1], $_[0]{pid} }

# Waits for the process to end by itself; its wait status, or undef.
sub wait_end {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // 10);
    while ($self->alive) {
        return undef if time > $end;
        sleep 0.01;
    }
    return $self->{status};
}

# stop(SIGNAL): asks (with stop_signal where none is given), waits, and after
# 5 s kills the process and its group.
sub stop {
    my ($self, $sig) = @_;
    close delete $self->{stdin} if $self->{stdin};
    if ($self->alive) {
        kill $sig // $self->{stop_signal}, $self->{pid};
        if (!defined $self->wait_end(5)) {
            kill 'KILL', $self->{pid};
            $self->wait_end(5);
        }
    }
    kill 'KILL', -$self->{pid};
    return $self->{status};
}

# wait_log(qr/re/, seconds): true once the log matches.
sub wait_log {
    my ($self, $re, $timeout) = @_;
    return wait_until(sub { $self->log_text =~ $re }, $timeout);
}

# ---- waiting and files ----

# wait_until(sub { ... }, seconds = 10): the first true value, or false.
sub wait_until {
    my ($cond, $timeout) = @_;
    my $end = time + ($timeout // 10);
    while (1) {
        my $v = $cond->();
        return $v if $v;
        return if time > $end;
        sleep 0.02;
    }
}

sub tcp_accepts {
    my ($at) = @_;
    my $s = $at =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $at)
        : IO::Socket::INET->new(PeerAddr => $at, Timeout => 1);
    return defined $s;
}

sub wait_tcp {
    my ($at, $timeout) = @_;
    return wait_until(sub { tcp_accepts($at) }, $timeout);
}

sub slurp {
    my ($path) = @_;
    open my $f, '<:raw', $path or return undef;
    local $/;
    my $text = <$f>;
    return $text // '';
}

sub spew {
    my ($path, $text, $mode) = @_;
    open my $f, '>:raw', $path or croak "$path: $!";
    print $f $text;
    close $f or croak "$path: $!";
    chmod $mode, $path if defined $mode;
}

END {
    if ($$ == $owner) {
        my $status = $?;
        $_->stop for reverse @running;
        my $failed = $status
            || (defined $Test::Builder::Test
                && !$Test::Builder::Test->is_passing);
        if ($failed && $show_logs) {
            my $keep = "$Edge::Netns::root/build/t/" . basename($0, '.t');
            make_path($keep);
            for my $log (glob("$Edge::Netns::dir/*.log")) {
                copy($log, "$keep/" . basename($log));
                my $tail = slurp($log);
                $tail = substr($tail, -3000) if length $tail > 3000;
                print STDERR "# --- end of ", basename($log), "\n",
                    map { "# $_\n" } split /\n/, $tail;
            }
        }
        $? = $status;
    }
}

1;
