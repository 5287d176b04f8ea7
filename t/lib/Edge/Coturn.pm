package Edge::Coturn;

# A stock turnserver for one test, with the plugin or without, and the TURN
# clients and load that speak to it. Everything lives in the test's own
# network namespace.
#
#   my $turn = Edge::Coturn->start(plugin => 1, conninfo => $pg->conninfo);
#   is_deeply([$turn->client({user => 'u', password => 'p'}, 'allocate')],
#       ...);
#   my $load = $turn->load(clients => 32, seconds => 10, user => 'user%d',
#       users => 100, password => 'p');
#   ... $load->total->{refused}
#
# $TURNSERVER is another turnserver to test with, $TURN_AUTH_PLUGIN another
# build of the plugin, $TURN_PRELOAD what to preload before it (libasan).

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(wait_until spew slurp);
use File::Copy qw(copy);
use IPC::Open2;
use JSON::PP;
use Time::HiRes qw(time sleep);

# A copy where user turnserver can read it, wherever the checkout is: a
# preload that cannot be read is left out with one line on stderr.
our $plugin = "$Edge::Netns::dir/turn_auth_plugin.so";
copy($ENV{TURN_AUTH_PLUGIN} // "$Edge::Netns::root/build/turn_auth_plugin.so",
    $plugin) or croak "turn_auth_plugin.so: $!";
our $turnserver = $ENV{TURNSERVER} // '/usr/bin/turnserver';

my $built;

# start(...): answers Binding when this returns, or dies with its log.
#   plugin    preload the plugin
#   conninfo  psql-userdb
#   users     {name => password}: static `user=` lines
#   realm     'octavio.test'
#   conf      array of further lines for turnserver.conf
#   conf_file this file instead of one made from the above
#   settings  {cache_size => ...} or text: the plugin's settings file
#   user      run as this user (root)
#   ip, port  where it listens and relays (127.0.0.1, 3478)
#   name      log and files are called so ('coturn')
#   env       further environment
#   wait      0: return at once, whether it works or not
sub start {
    my ($class, %o) = @_;
    build();
    my $self = bless {
        name => $o{name} // 'coturn',
        ip => $o{ip} // '127.0.0.1',
        port => $o{port} // 3478,
    }, $class;
    $self->{dir} = "$Edge::Netns::dir/$self->{name}";
    mkdir $self->{dir}, 0755;
    if ($o{user}) {
        my (undef, undef, $uid, $gid) = getpwnam($o{user});
        chown $uid, $gid, $self->{dir};
    }
    my $conf = $o{conf_file} // $self->_write_conf(%o);
    my %env = %{$o{env} || {}};
    if ($o{plugin}) {
        $env{LD_PRELOAD} = join ' ', grep { defined && length }
            $ENV{TURN_PRELOAD}, $plugin;
        $env{TURN_AUTH_CONF} //= $self->_write_settings($o{settings})
            if defined $o{settings};
    }
    $self->{process} = Edge::Process->start(
        name => $self->{name},
        user => $o{user},
        env => \%env,
        argv => [$turnserver, '-c', $conf],
        ($o{wait} // 1) ? (ready => sub { $self->answers }) : (),
        timeout => 30,
    );
    return $self;
}

# Does it answer a Binding request now?
sub answers {
    my ($self) = @_;
    my ($line) = $self->client({wait_ms => 200}, 'binding');
    return ($line // '') =~ /^binding ok/;
}

sub process { $_[0]{process} }

sub pid { $_[0]{process}->pid }

sub log_text { $_[0]{process}->log_text }

sub wait_log { my $self = shift; return $self->{process}->wait_log(@_) }

sub stop { my $self = shift; return $self->{process}->stop(@_) }

sub address { "$_[0]{ip}:$_[0]{port}" }

# at('192.0.2.1:443', in => [argv that runs what follows elsewhere]): one that
# others have started, for clients.
sub at {
    my ($class, $address, %o) = @_;
    build();
    my ($ip, $port) = $address =~ /^(.+):(\d+)$/ or croak $address;
    return bless {ip => $ip, port => $port, in => $o{in}}, $class;
}

# client({user =>, password =>, realm =>, tcp =>, from =>, wait_ms =>}, STEP,
# ...): one line for each step; the steps are those of turn-client/turn_client.
# tls => its name; ca, alpn (default: none); first_line => said before STUN.
sub client {
    my ($self, $o, @steps) = @_;
    my $pid = open(my $out, '-|', $self->_client_argv($o), @steps)
        // croak "turn_client: $!";
    chomp(my @lines = <$out>);
    close $out;
    return @lines;
}

# allocate(USER, PASSWORD): 'ok', '401', 'timeout', ... of a new client.
sub allocate {
    my ($self, $user, $password, %o) = @_;
    my ($line) = $self->client({user => $user, password => $password, %o},
        'allocate');
    return ($line // '') =~ /^allocate (?:error )?(\w+)/ ? $1 : $line;
}

# session({...}): a client that stays; ->step('allocate') gives its line.
sub session {
    my ($self, $o) = @_;
    my $pid = open2(my $out, my $in, $self->_client_argv($o), '-');
    $in->autoflush(1);
    return bless {pid => $pid, in => $in, out => $out}, 'Edge::Coturn::Session';
}

# load(clients =>, seconds =>, user =>, users =>, password =>, flood =>,
# interval_ms =>, until_refused =>, per_second =>): starts turn_load; see Edge::Coturn::Load
# below.
sub load {
    my ($self, %o) = @_;
    build();
    my $name = $o{name} // 'load' . ++$self->{loads};
    my $process = Edge::Process->start(
        name => "$self->{name}-$name",
        argv => ["$Edge::Netns::root/build/t/turn_load", '-s', $self->address,
            '-n', $o{clients} // 32, '-T', $o{seconds} // 10,
            '-u', $o{user} // 'user%d', '-U', $o{users} // 1,
            '-p', $o{password} // '', '-f', $o{flood} // 0,
            '-i', $o{interval_ms} // 0, '-r', $o{per_second} // 0,
            $o{until_refused} ? '-x' : ()],
    );
    return bless {process => $process}, 'Edge::Coturn::Load';
}

# Edge::Coturn::delay(listen => '127.0.0.1:5433', to => '127.0.0.1:5432',
# ms => 10): a TCP proxy that far away; ->tell(LINE), the lines of
# t/turn-client/tcp_delay.c: hold, pass, refuse, hold-answers, held, cut, ...
sub delay {
    my (%o) = @_;
    build();
    my $pid = open2(my $out, my $in, "$Edge::Netns::root/build/t/tcp_delay",
        $o{listen}, $o{to}, $o{ms} // 0);
    $in->autoflush(1);
    my $ready = <$out> // croak 'tcp_delay did not start';
    return bless {pid => $pid, in => $in, out => $out}, 'Edge::Coturn::Delay';
}

# Gives loopback further addresses: coturn refuses peers in 127/8 and ::1.
sub add_addresses {
    for my $ip (@_) {
        my $bits = $ip =~ /:/ ? 128 : 32;
        system('ip', 'addr', 'add', "$ip/$bits", 'dev', 'lo',
            $bits == 128 ? ('nodad') : ()) == 0
            or croak "ip addr add $ip failed";
    }
}

# Builds the programs of t/turn-client where they are older than their source.
sub build {
    return if $built++;
    system("$Edge::Netns::root/t/turn-client/build") == 0
        or croak 't/turn-client/build failed';
}

# ---- inside ----

sub _client_argv {
    my ($self, $o) = @_;
    return (@{$self->{in} // []},
        "$Edge::Netns::root/build/t/turn_client", '-s', $self->address,
        '-u', $o->{user} // '', '-p', $o->{password} // '',
        $o->{tcp} ? '-t' : (),
        (map { defined $o->{$_->[0]} ? ($_->[1], $o->{$_->[0]}) : () }
            [tls => '-T'], [ca => '-C'], [alpn => '-A'], [first_line => '-F']),
        defined $o->{realm} ? ('-r', $o->{realm}) : (),
        defined $o->{from} ? ('-b', $o->{from}) : (),
        defined $o->{wait_ms} ? ('-w', $o->{wait_ms}) : ());
}

sub _write_conf {
    my ($self, %o) = @_;
    my @lines = (
        "listening-ip=$self->{ip}",
        "listening-port=$self->{port}",
        "relay-ip=$self->{ip}",
        # Many: coturn keeps the port of a released relay for a second.
        'min-port=10000',
        'max-port=30000',
        'lt-cred-mech',
        'realm=' . ($o{realm} // 'octavio.test'),
        'log-file=stdout',
        'no-tls',
        'no-dtls',
        "pidfile=$self->{dir}/turnserver.pid",
        $o{conninfo} ? "psql-userdb=\"$o{conninfo}\""
            : "userdb=$self->{dir}/turndb",
        (map { "user=$_:$o{users}{$_}" } sort keys %{$o{users} || {}}),
        @{$o{conf} || []},
    );
    my $file = "$self->{dir}/turnserver.conf";
    spew($file, join('', map { "$_\n" } @lines), 0644);
    return $file;
}

sub _write_settings {
    my ($self, $settings) = @_;
    my $text = ref $settings
        ? join('', map { "$_ = $settings->{$_}\n" } sort keys %$settings)
        : $settings;
    my $file = "$self->{dir}/turn-auth.conf";
    spew($file, $text, 0644);
    return $file;
}

package Edge::Coturn::Session;

sub step {
    my ($self, $step) = @_;
    print {$self->{in}} "$step\n";
    my $line = readline $self->{out};
    chomp $line if defined $line;
    return $line;
}

sub close {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    CORE::close($self->{in});
    CORE::close($self->{out});
    waitpid $pid, 0;
}

sub DESTROY { local $?; $_[0]->close }

package Edge::Coturn::Load;

use JSON::PP ();

# All lines so far, as hashes.
sub lines {
    my ($self) = @_;
    return map { JSON::PP::decode_json($_) }
        grep { /^\{.*\}$/ } split /\n/, $self->{process}->log_text;
}

# Waits for its end; the last line.
sub total {
    my ($self, $timeout) = @_;
    defined $self->{process}->wait_end($timeout // 60)
        or Carp::croak('turn_load does not end');
    my ($total) = grep { $_->{total} } $self->lines;
    return $total // Carp::croak('turn_load: ' . $self->{process}->log_text);
}

# Ends it now; the last line.
sub stop {
    my ($self) = @_;
    $self->{process}->signal('TERM');
    return $self->total;
}

package Edge::Coturn::Delay;

sub tell {
    my ($self, $what) = @_;
    print {$self->{in}} "$what\n";
    return readline $self->{out};
}

# Waits until an answer is being held; false after so many seconds (10).
sub held {
    my ($self, $seconds) = @_;
    print {$self->{in}} "held\n";
    my $set = '';
    vec($set, fileno $self->{out}, 1) = 1;
    return 0 if !select $set, undef, undef, $seconds // 10;
    return readline $self->{out};
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    my $pid = delete $self->{pid} or return;
    close $self->{in};
    waitpid $pid, 0;
}

1;
