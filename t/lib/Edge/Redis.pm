package Edge::Redis;

# A private Redis for one test: real, on a unix socket and on loopback TCP. It
# can be stopped, frozen and started again; it keeps nothing on disk, so that a
# new start finds it empty.
#
#   my $redis = Edge::Redis->start(password => 'geheim');
#   $turn = Edge::Coturn->start(settings => {redis => $redis->address, ...});
#   $redis->command('SET', $key, $bytes); my @keys = $redis->command('KEYS', '*');
#   $redis->freeze; $redis->thaw; $redis->stop; $redis->up; $redis->dump;

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(spew slurp);
use IO::Socket::UNIX;

my @servers;

# start(...): answers PING when this returns.
#   name      its directory and log are called so ('redis')
#   port      TCP port on 127.0.0.1 (6379)
#   password  what clients must say
#   user      Redis 6's other user of this name instead, with this password
#   rules     what that user may do ('allkeys allcommands')
#   conf      array of further redis.conf lines
sub start {
    my ($class, %o) = @_;
    my $name = $o{name} // 'redis';
    my $self = bless {
        name => $name,
        port => $o{port} // 6379,
        password => $o{password},
        user => $o{user},
        dir => "$Edge::Netns::dir/$name",
    }, $class;
    mkdir $self->{dir}, 0755 or croak "$self->{dir}: $!";
    my @access = !defined $o{password} ? ()
        : $o{user} ? ("user $o{user} on >$o{password} "
                . ($o{rules} // 'allkeys allcommands'))
        : "requirepass $o{password}";
    spew("$self->{dir}/redis.conf", join('', map { "$_\n" }
        'bind 127.0.0.1', "port $self->{port}",
        "unixsocket $self->{dir}/redis.sock", 'unixsocketperm 777',
        "dir $self->{dir}", 'save ""', 'databases 16', 'daemonize no',
        @access, @{$o{conf} || []}), 0644);
    push @servers, $self;
    return $self->up;
}

# Starts it (again), empty.
sub up {
    my ($self) = @_;
    $self->{process} = Edge::Process->start(
        name => $self->{name},
        argv => ['redis-server', "$self->{dir}/redis.conf"],
        ready => sub { -S $self->path && eval { $self->command('PING'); 1 } },
    );
    return $self;
}

sub stop {
    my ($self) = @_;
    $self->thaw;
    delete $self->{socket};
    return $self->{process}->stop;
}

# Connections stay open and new ones succeed in the kernel; nothing answers.
sub freeze { $_[0]{process}->signal('STOP'); $_[0]{frozen} = 1 }

sub thaw { $_[0]{process}->signal('CONT') if delete $_[0]{frozen} }

sub pid { $_[0]{process}->pid }

sub path { "$_[0]{dir}/redis.sock" }

# As the setting `redis` wants it.
sub address { 'unix:' . $_[0]->path }

sub tcp_address { "127.0.0.1:$_[0]{port}" }

# command(WORD, ...): the answer: a string, a list, undef for nil. Dies with
# Redis' words on an error.
sub command {
    my ($self, @words) = @_;
    my $socket = $self->{socket} //= $self->_connect;
    my $answer = eval {
        print {$socket} _format(@words);
        _read($socket);
    };
    if (my $error = $@) {
        delete $self->{socket} if $error !~ /^Redis: /;
        croak $error;
    }
    return wantarray && ref $answer ? @$answer : $answer;
}

# All keys of users, or how many: without the marks of the edges.
sub users {
    my ($self, $prefix) = @_;
    $prefix //= 'cms-edge:';
    my @keys = grep { !/^\Q$prefix\E / } $self->command('KEYS', "$prefix*");
    @keys = sort @keys;
    return @keys;
}

# What Redis writes to disk when asked to: all it holds.
sub dump {
    my ($self) = @_;
    $self->command('CONFIG', 'SET', 'rdbcompression', 'no');
    $self->command('SAVE');
    my $dump = slurp("$self->{dir}/dump.rdb");
    unlink "$self->{dir}/dump.rdb";    # or it would come back with up()
    return $dump;
}

# ---- inside ----

sub _connect {
    my ($self) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $self->path)
        or die "connect: $!\n";
    $socket->autoflush(1);
    binmode $socket;
    if (defined $self->{password}) {
        print {$socket} _format('AUTH', $self->{user} // 'default',
            $self->{password});
        _read($socket);
    }
    return $socket;
}

sub _format {
    return join '', '*' . @_ . "\r\n",
        map { '$' . length($_) . "\r\n$_\r\n" } @_;
}

sub _read {
    my ($socket) = @_;
    local $/ = "\r\n";
    my $line = <$socket> // die "the connection was closed\n";
    chomp $line;
    my ($type, $rest) = $line =~ /^(.)(.*)$/s or die "no answer: $line\n";
    die "Redis: $rest\n" if $type eq '-';
    return $rest if $type eq '+' || $type eq ':';
    return if $rest < 0;
    return [map { scalar _read($socket) } 1 .. $rest] if $type eq '*';
    read($socket, my $text, $rest + 2) == $rest + 2
        or die "the connection was closed\n";
    return substr $text, 0, $rest;
}

# A frozen process would outlive the test; Edge::Process ends the others.
END { $_->thaw for @servers }

1;
