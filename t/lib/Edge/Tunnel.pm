package Edge::Tunnel;

# The ssh tunnel of conf-examples/ssh, set up by the very commands of
# conf-examples/README.md and run by the ExecStart lines of its units: an sshd
# on the edge, and inside hosts that hold tunnels to it.
#
#   Edge::Examples::install();
#   my $tunnel = Edge::Tunnel->new;
#   $tunnel->sshd;
#   my $client = $tunnel->client('cmsweb');   # /run/cms-tunnel/cmsweb.sock
#   $tunnel->freeze; $tunnel->thaw;           # the path between them
#
# systemd's part is played here: the mounts and capabilities of the units,
# Restart=always, and that nothing outlives its unit.

use strict;
use warnings;
use Carp;
use Edge::Examples;
use Edge::Netns;
use Edge::Process qw(slurp spew wait_tcp wait_until);
use File::Basename qw(basename dirname);
use File::Find ();
use File::Path qw(make_path);

my $root = $Edge::Netns::root;
my $dir = $Edge::Netns::dir;

my $sshd_unit = '/etc/systemd/system/cms-tunnel-sshd.service';

# The chapter's shell commands, in its order.
my @steps = qw(edge inside host_key client_key second_account client_new
    client_swap client_end host_new host_swap host_end);

# new(edge => [argv in front], inside => [argv in front]): both are set up and
# have each other's keys; nothing runs yet.
sub new {
    my ($class, %o) = @_;
    my $self = bless {edge => $o{edge} // [], inside => $o{inside} // [],
        hosts => 0}, $class;
    $self->_checkout;
    $self->step('edge');
    $self->inside_host('inside');
    return $self;
}

# step('edge', host): what the README has one type there, on the edge unless
# told otherwise. Dies when it fails, with what it said.
sub step {
    my ($self, $step, $host) = @_;
    my $commands = $self->{commands}{$step} // croak "no step $step";
    my ($status, $said) = $self->on($host // 'edge', $commands);
    croak "$step: $said" if $status;
    return $said;
}

# on('edge', commands): a root shell there; (exit status, what it said).
sub on {
    my ($self, $host, $commands) = @_;
    my @argv = $self->_on($host);
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @argv, 'sh', '-c', "cd $dir/checkout\nset -e\n$commands";
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

# inside_host('inside2', 1): one more inside host, which has the chapter's
# second account.
sub inside_host {
    my ($self, $host, $second) = @_;
    $self->{etc}{$host} = "$dir/$host-etc";
    system('cp', '-a', '/etc', $self->{etc}{$host}) == 0
        or croak 'cp /etc failed';
    $self->on($host, 'rm -r /etc/cms-edge; sed -i /^cms-tunnel:/d'
            . ' /etc/passwd /etc/shadow /etc/group /etc/gshadow');
    $self->step('inside', $host);
    $self->tell_host_key($host);
    $self->let_in($host, $second ? 'second_account' : 'client_key');
}

# The public halves are carried over; then what is done with them.
sub tell_host_key {
    my ($self, $host, $key) = @_;
    $key //= 'host_key';
    spew("$dir/checkout/edge.pub", slurp("/etc/cms-edge/tunnel/$key.pub"),
        0644);
    $self->step('host_key', $host);
}

sub let_in {
    my ($self, $host, $step, $key) = @_;
    $key //= 'key';
    spew("$dir/checkout/inside.pub",
        slurp("$self->{etc}{$host}/cms-edge/tunnel/$key.pub"), 0644);
    $self->step($step);
}

# etc('inside'): where its /etc is.
sub etc { $_[0]{etc}{$_[1]} // '/etc' }

# ---- the edge ----

# The sshd, as its unit starts it.
sub sshd {
    my ($self) = @_;
    my $unit = join "\n", map { slurp($_) } $sshd_unit, glob "$sshd_unit.d/*";
    my @confined = ('unshare', '-m', '-p', '--fork', '--kill-child',
        '--mount-proc', 'sh', '-c', _mounts($unit) . 'exec "$@"', 'sh',
        'setpriv', '--no-new-privs', '--bounding-set', _capabilities($unit),
        '--inh-caps=-all', '--');
    $self->{sshd} = Edge::Process->start(
        name => 'sshd',
        argv => [@{$self->{edge}}, _restarted($unit, @confined,
            _argv($unit, 'ExecStart'))],
        ready_log => qr/Server listening on/,
    );
    return $self->{sshd};
}

# Its reload, as the unit does it; true once it listens again.
sub reload_sshd {
    my ($self) = @_;
    my $unit = slurp($sshd_unit);
    my $seen = () = $self->{sshd}->log_text =~ /Server listening on/g;
    my ($check, $hup) = $unit =~ /^ExecReload=(.*)$/mg;
    $hup =~ m{^/bin/kill -HUP \$MAINPID$} or croak "ExecReload=$hup";
    my $listener = $self->listener;
    # In the unit's own view of the file system.
    my ($status, $said) = $self->on('edge', "nsenter -t $listener -m $check");
    croak "ExecReload=$check: $said" if $status;
    kill 'HUP', $listener;
    return wait_until(sub {
        my $now = () = $self->{sshd}->log_text =~ /Server listening on/g;
        $now > $seen;
    });
}

# The sshd that listens; its processes that serve a tunnel each.
sub listener { (_descendants($_[0]{sshd}->pid, qr/^sshd: .*\[listener\]/))[0] }
sub sessions {
    my ($self) = @_;
    return _descendants($self->{sshd}->pid,
        qr/^sshd: cms-tunnel[-\d]*(\@\w+)?\s*$/);
}

# The commands that the edge runs for them.
sub commands {
    my ($self) = @_;
    return _descendants($self->{sshd}->pid, qr/^\S*sleep /);
}

# ---- the inside ----

# client('cmsweb', on => 'inside', ready => 1): the tunnel, as its unit
# instance starts and restarts it; waits until the edge's socket answers.
sub client {
    my ($self, $name, %o) = @_;
    my $host = $o{on} // 'inside';
    my $etc = $self->{etc}{$host};
    my $unit = slurp("$etc/systemd/system/cms-tunnel\@.service");
    $unit =~ s/%i/$name/g;
    my %env = map { split /=/, $_, 2 } map { split ' ' }
        $unit =~ /^Environment=(.*)$/mg;
    my ($file) = $unit =~ m{^EnvironmentFile=/etc/(.*)$}m;
    %env = (%env, slurp("$etc/$file") =~ /^(\w+)=(.*)$/mg);
    my ($user) = $unit =~ /^User=(.*)$/m;
    my @argv = _argv($unit, 'ExecStart');
    s/\$\{(\w+)\}/$env{$1}/g for @argv;
    my $process = Edge::Process->start(
        name => "tunnel-$name" . ($host eq 'inside' ? '' : "-$host"),
        argv => [$self->_on($host), _restarted($unit, 'setpriv',
            "--reuid=$user", "--regid=$user", '--init-groups',
            '--no-new-privs', '--bounding-set=-all', '--', @argv)],
    );
    ($process->{socket}) = "@argv" =~ / -R ([^: ]+):/;
    if ($o{ready} // 1) {
        wait_tcp($process->{socket}, 20)
            or croak 'no tunnel: ' . $process->log_text;
    }
    return $process;
}

# The ssh of a client that runs now.
sub ssh_of { (_descendants($_[1]->pid, qr{^/usr/bin/ssh }))[0] }

# freeze, thaw: the path between inside and edge swallows everything; then
# all that is sent comes through.
sub freeze {
    my ($self) = @_;
    _nft($self->{edge}, 'table ip frozen { chain c { type filter hook input'
            . ' priority -10; tcp dport 2222 drop; tcp sport 2222 drop; }; }');
}
sub thaw { _nft($_[0]{edge}, 'delete table ip frozen') }

# ---- what the account tries ----

# ssh(arguments ...): as an inside host's administrator would call it by hand,
# with its key. It ends by itself, or once the edge has judged all that it asked
# for and runs its own command in place of what was asked for. (What it said, and 1 when it was let
# in.) A leading hash: on => 'inside2', program => 'scp', root => 1, while =>
# code that is called with its Edge::Process before it is ended.
sub ssh {
    my ($self, @arguments) = @_;
    my %o = ref $arguments[0] ? %{shift @arguments} : ();
    my $sessions = $self->_started;
    my %before = map { $_ => 1 } $self->commands;
    my $process = Edge::Process->start(
        name => 'by-hand' . ++$self->{by_hand},
        argv => [$self->_on($o{on} // 'inside'), $o{root} ? () : ('setpriv',
            '--reuid=cms-tunnel', '--regid=cms-tunnel', '--init-groups'),
            $o{program} // 'ssh', '-F', '/etc/cms-edge/tunnel/ssh_config',
            @arguments],
    );
    my $in;
    wait_until(sub {
        $in = $self->_started > $sessions;
        return !$process->alive
            || $in && grep { !$before{$_} } $self->commands;
    }, 20) or croak "ssh @arguments does nothing: " . $process->log_text;
    $o{while}->($process) if $o{while};
    $process->stop;
    return ($process->log_text, $in);
}

# at('cms-tunnel'): ssh's arguments that say where the edge is.
sub at { ('-l', $_[1] // 'cms-tunnel', '-p', 2222, '192.0.2.168') }

# How many sessions the edge has started since its start.
sub _started {
    my ($self) = @_;
    my $n = () = $self->{sshd}->log_text =~ /^Starting session: /mg;
    return $n;
}

# ---- inside ----

# What the chapter puts into nginx.conf.
sub nginx_snippet {
    my ($target) = _chapter() =~ /^```\n(target .*?)^```/ms;
    return $target;
}

# Where on the edge's or an inside host's files a command runs.
sub _on {
    my ($self, $host) = @_;
    return @{$self->{edge}} if $host eq 'edge';
    return (@{$self->{inside}}, 'unshare', '-m', 'sh', '-c',
        "mount --bind $self->{etc}{$host} /etc && exec \"\$@\"", 'sh');
}

# The examples with names and addresses replaced, and the chapter's commands.
sub _checkout {
    my ($self) = @_;
    File::Find::find({no_chdir => 1, wanted => sub {
        return if !-f;
        my $to = "$dir/checkout/" . substr($_, length "$root/");
        make_path(dirname($to));
        spew($to, Edge::Examples::substituted(slurp($_)), 0644);
    }}, "$root/conf-examples");
    my @commands = _chapter() =~ /^```sh\n(.*?)^```/msg;
    @commands == @steps or croak 'the chapter has other steps';
    @{$self->{commands}}{@steps} = @commands;
}

sub _argv {
    my ($unit, $key) = @_;
    my ($line) = $unit =~ /^$key=(.*)$/m or croak "no $key";
    return split ' ', $line;
}

sub _chapter {
    my ($chapter) = slurp("$dir/checkout/conf-examples/README.md")
        =~ /^## No hole in the inner firewall\n(.*?)^## /ms;
    return $chapter;
}

# Restart=always, RestartSec.
sub _restarted {
    my ($unit, @argv) = @_;
    $unit =~ /^Restart=always$/m && $unit =~ /^StartLimitIntervalSec=0$/m
        or croak 'the unit gives up';
    my ($ms) = $unit =~ /^RestartSec=(\d+)ms$/m or croak 'no RestartSec';
    my $seconds = $ms / 1000;
    return ('sh', '-c', "while :; do \"\$@\"; sleep $seconds; done", 'sh',
        @argv);
}

sub _capabilities {
    my ($unit) = @_;
    my ($kept) = $unit =~ /^CapabilityBoundingSet=(.*)$/m;
    return join ',', '-all', map { '+' . lc s/^CAP_//r } split ' ', $kept;
}

# The unit's own view of the file system, as shell commands.
sub _mounts {
    my ($unit) = @_;
    my $sh = "set -e\n";
    my (@kept, @late);
    for ($unit =~ /^Bind(?:ReadOnly)?Paths=(.*)$/mg) {
        for my $path (split ' ') {
            my ($from, $to) = split /:/, $path;
            my $n = @kept;
            push @kept, $from;
            # The source is of the file system as it was.
            $sh .= "mkdir -p $dir/unit/$n && mount --bind $from $dir/unit/$n\n";
            push @late, "mkdir -p @{[$to // $from]}"
                . " && mount --move $dir/unit/$n @{[$to // $from]}\n";
        }
    }
    # ProtectSystem=strict, ProtectHome=yes, PrivateTmp=yes.
    $sh .= "awk '\$5 !~ \"^/(dev|proc|sys|mnt/unit)\" {print \$5}'"
        . " /proc/self/mountinfo | while read m; do"
        . " [ ! -e \$m ] || mount -o remount,bind,ro \$m; done\n"
        if $unit =~ /^ProtectSystem=strict$/m;
    $sh .= "mount -t tmpfs private $_\n"
        for $unit =~ /^PrivateTmp=yes$/m ? ('/tmp', '/var/tmp') : ();
    my @empty = map { map { /^([^:]+)/ } split ' ' }
        $unit =~ /^TemporaryFileSystem=(.*)$/mg;
    $sh .= "mount -t tmpfs -o mode=755 empty $_\n" for @empty;
    $sh .= join '', @late;
    $sh .= "mount -o remount,ro $_\n" for @empty;
    return $sh;
}

# The processes under this one whose command line matches.
sub _descendants {
    my ($pid, $re) = @_;
    my @found;
    for my $child (split ' ', slurp("/proc/$pid/task/$pid/children") // '') {
        my $cmdline = (slurp("/proc/$child/cmdline") // '') =~ tr/\0/ /r;
        push @found, $child if $cmdline =~ $re;
        push @found, _descendants($child, $re);
    }
    return @found;
}

sub _nft {
    my ($prefix, $rules) = @_;
    system(@$prefix, 'nft', $rules) == 0 or croak "nft '$rules' failed";
}

1;
