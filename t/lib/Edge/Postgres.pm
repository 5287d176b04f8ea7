package Edge::Postgres;

# A private PostgreSQL cluster for one test: real, as user postgres, in the
# test's own corner, on a unix socket and on loopback TCP. It can be stopped,
# killed, frozen and started again on the same data; what was started is ended
# when the test ends.
#
#   my $pg = Edge::Postgres->start;          # cluster up, no database yet
#   $pg->install('turn');                    # database + sql/install.sql
#   $pg->value("select turn.add_user('octavio.test', 'guest')");
#   $coturn = ... psql-userdb="@{[ $pg->conninfo ]}"
#   $pg->freeze; $pg->thaw; $pg->kill; $pg->stop; $pg->up;
#
# It is the newest Debian has installed, or the server whose programs are in
# $POSTGRES_BIN; psql is Debian's in any case.
#
#   my $standby = $pg->standby(name => 'standby', port => 5433);
#   $pg->kill; $standby->promote;            # a failover
#   my $old = $pg->backup('monday'); ... $pg->put_back($old);
#   $pg->dump($file); ... $pg->restore($file);

use strict;
use warnings;
use Carp;
use DBI;
use Edge::Netns;
use Edge::Process;
use POSIX ();
use Time::HiRes qw(time sleep);

my @clusters;

# start(...): a new cluster, accepting connections when this returns.
#   name   its directory and log are called so ('postgres')
#   port   TCP port on 127.0.0.1 and ::1, and the socket's number (5432)
#   conf   array of further postgresql.conf lines
#   hba    array of pg_hba.conf lines instead of trust for everybody
#   ident  array of pg_ident.conf lines
#   host   listen_addresses ('127.0.0.1,::1')
sub start {
    my ($class, %o) = @_;
    my $name = $o{name} // 'postgres';
    my $self = bless {
        name => $name,
        port => $o{port} // 5432,
        bin => $ENV{POSTGRES_BIN} // _bindir(),
        psql => _bindir() . '/psql',
        data => "$Edge::Netns::dir/$name/data",
        socket_dir => "$Edge::Netns::dir/$name",
        db => 'turn',
    }, $class;

    my (undef, undef, $uid, $gid) = getpwnam('postgres')
        or croak 'there is no user postgres';
    mkdir $self->{socket_dir}, 0755 or croak "$self->{socket_dir}: $!";
    chown $uid, $gid, $self->{socket_dir};
    my $out = _output('setpriv', '--reuid=postgres', '--regid=postgres',
        '--init-groups', '--', "$self->{bin}/initdb", '--no-sync', '-A',
        'trust', '-E', 'UTF8', '--locale=C.UTF-8', '-U', 'postgres', '-D',
        $self->{data});
    croak "initdb: $out" if $?;

    my $host = $o{host} // '127.0.0.1,::1';
    _append("$self->{data}/postgresql.conf", "listen_addresses = '$host'",
        "port = $self->{port}",
        "unix_socket_directories = '$self->{socket_dir}'", 'fsync = off',
        'synchronous_commit = off', 'full_page_writes = off',
        'shared_buffers = 16MB', 'max_connections = 100',
        'autovacuum_naptime = 1d', @{$o{conf} || []});
    _replace("$self->{data}/pg_hba.conf", $o{hba}
            || ['local all all trust', 'local replication all trust',
                'host all all samehost trust',
                'host replication all samehost trust']);
    _replace("$self->{data}/pg_ident.conf", $o{ident}) if $o{ident};
    push @clusters, $self;
    $self->up;
    return $self;
}

# Starts it (again) on the same data; returns when it accepts connections.
sub up {
    my ($self) = @_;
    croak "$self->{name} is up" if $self->{process} && $self->{process}->alive;
    $self->{process} = Edge::Process->start(
        name => $self->{name},
        user => 'postgres',
        argv => ["$self->{bin}/postgres", '-D', $self->{data}],
        stop_signal => 'INT',    # "fast": does not wait for its clients
        ready => sub {
            my $dbh = $self->_connect({PrintError => 0, RaiseError => 0},
                db => 'postgres');
            return $dbh && $dbh->disconnect;
        },
        timeout => 20,
    );
    return $self;
}

# Stops it as `systemctl stop` does: clients are cut off, data is in order.
sub stop {
    my ($self) = @_;
    $self->thaw;
    $self->_forget_connections;
    return $self->{process}->stop('INT');
}

# Kills all its processes at once, as a machine that dies; up() recovers.
sub kill {
    my ($self) = @_;
    $self->_forget_connections;
    my @pids = $self->pids;
    CORE::kill('KILL', @pids);
    delete $self->{frozen};
    $self->{process}->wait_end(5);
    my $end = time + 5;
    sleep 0.01 while time < $end && grep { !_zombie($_) } @pids;
    unlink "$self->{data}/postmaster.pid";
}

# Stops every one of its processes with SIGSTOP: connections stay open and
# connects succeed in the kernel, but nothing answers.
sub freeze {
    my ($self) = @_;
    # The postmaster first, then it makes no new children.
    CORE::kill('STOP', $self->{process}->pid);
    my @pids = $self->pids;
    CORE::kill('STOP', @pids);
    $self->{frozen} = \@pids;
}

sub thaw {
    my ($self) = @_;
    my $pids = delete $self->{frozen} or return;
    CORE::kill('CONT', reverse @$pids);
}

# All its processes, the postmaster first.
sub pids {
    my ($self) = @_;
    my $postmaster = $self->{process}->pid;
    my @pids = ($postmaster);
    for my $stat (glob '/proc/[0-9]*/stat') {
        my $text = Edge::Process::slurp($stat) // next;
        push @pids, $1
            if $text =~ /^(\d+) \(.*\) \S (\d+) /s && $2 == $postmaster;
    }
    return @pids;
}

sub alive { $_[0]{process}->alive }

sub port { $_[0]{port} }

sub socket_dir { $_[0]{socket_dir} }

# What the server has logged so far, over all its lives.
sub log_text { $_[0]{process}->log_text }

# Waits until the server log matches; true, or false after the seconds.
sub wait_log { my $self = shift; return $self->{process}->wait_log(@_) }

# ---- standby, backup, dump ----

# standby(name => 'standby', port => 5433, conf => [...], via => 'host=...'):
# a second cluster that follows this one by streaming, through its socket or
# the way libpq is told in via. Accepts (reading) connections on return.
sub standby {
    my ($self, %o) = @_;
    my $name = $o{name} // 'standby';
    my $standby = bless {
        %$self,
        name => $name,
        port => $o{port} // $self->{port} + 1,
        data => "$Edge::Netns::dir/$name/data",
        socket_dir => "$Edge::Netns::dir/$name",
        dbh => {},
        process => undef,
    }, ref $self;
    my (undef, undef, $uid, $gid) = getpwnam('postgres');
    mkdir $standby->{socket_dir}, 0755
        or croak "$standby->{socket_dir}: $!";
    chown $uid, $gid, $standby->{socket_dir};
    $self->_base_backup($standby->{data}, '-R', '-C', '-S', $name, '-d',
        $o{via} // $self->_replication);
    _append("$standby->{data}/postgresql.conf", "port = $standby->{port}",
        "unix_socket_directories = '$standby->{socket_dir}'",
        'hot_standby = on', @{$o{conf} || []});
    push @clusters, $standby;
    return $standby->up;
}

# Waits until this standby shows all that the primary has committed by now.
sub catch_up {
    my ($self, $primary) = @_;
    # Something to commit for good, whatever synchronous_commit is.
    my $dbh = $primary->dbh;
    $dbh->begin_work;
    $dbh->do('set local synchronous_commit = local');
    $dbh->do("select pg_logical_emit_message(true, 'test', 'catch up')");
    $dbh->commit;
    my $lsn = $primary->value('select pg_current_wal_flush_lsn()');
    return Edge::Process::wait_until(sub {
        $self->value('select pg_last_wal_replay_lsn() >= ?::pg_lsn', $lsn);
    }) || croak "$self->{name} does not catch up";
}

# A standby becomes a primary; returns when it takes writes.
sub promote {
    my ($self) = @_;
    $self->value('select pg_promote(true, 20)')
        or croak "$self->{name} is not promoted";
}

# A physical copy of the whole cluster as it is now; its directory.
sub backup {
    my ($self, $name) = @_;
    my $copy = "$self->{socket_dir}/" . ($name // 'backup');
    $self->_base_backup($copy, '-d', $self->_replication);
    return $copy;
}

# put_back(DIRECTORY): stops, goes back to that backup, starts again.
sub put_back {
    my ($self, $copy) = @_;
    $self->stop if $self->alive;
    system('rm', '-rf', $self->{data}) == 0 or croak 'rm failed';
    system('cp', '-a', $copy, $self->{data}) == 0 or croak 'cp failed';
    return $self->up;
}

# dump(FILE, db =>): what pg_dump -Fc says. restore(FILE, db =>, clean =>):
# that in a new database in place of the one there was, whose sessions are cut
# off; with clean, in the one that is there (pg_restore --clean).
sub dump {
    my ($self, $file, %o) = @_;
    my $out = _output("$self->{bin}/pg_dump", $self->_at, '-Fc', '-f', $file,
        $o{db} // $self->{db});
    croak "pg_dump: $out" if $?;
    return $file;
}

sub restore {
    my ($self, $file, %o) = @_;
    my $db = $o{db} // $self->{db};
    if (!$o{clean}) {
        $self->_forget_connections;
        my $dbh = $self->dbh(db => 'postgres');
        $dbh->do('drop database if exists ' . $dbh->quote_identifier($db)
                . ' with (force)');
        $self->create_db($db);
    }
    my $out = _output("$self->{bin}/pg_restore", $self->_at,
        $o{clean} ? ('--clean', '--if-exists') : (), '-d', $db, $file);
    croak "pg_restore: $out" if $?;
}

# ---- databases ----

sub create_db {
    my ($self, $db, $owner) = @_;
    my $dbh = $self->dbh(db => 'postgres');
    $dbh->do('create database ' . $dbh->quote_identifier($db)
            . ($owner ? ' owner ' . $dbh->quote_identifier($owner) : ''));
}

# install('turn'): creates the database where it is missing, and runs
# sql/install.sql in it. Dies with psql's words when that fails.
sub install {
    my ($self, $db, %o) = @_;
    $db //= $self->{db};
    my ($there) = $self->dbh(db => 'postgres')->selectrow_array(
        'select 1 from pg_database where datname = ?', undef, $db);
    $self->create_db($db) if !$there;
    my $out = $self->run_file("$Edge::Netns::root/sql/install.sql", db => $db,
        %o);
    croak "sql/install.sql: $out" if $?;
    return $out;
}

# plain_tables('plain', 'guest'): a new database with coturn's own tables, as it
# is without cms-edge; role turn_server, if there is one, may read them. The
# users' password is right.
sub plain_tables {
    my ($self, $db, @users) = @_;
    $self->create_db($db);
    $self->psql(q{create table turnusers_lt (realm varchar(127), name varchar(512),
            hmackey char(128), primary key (realm, name));
        create table turn_secret (realm varchar(127), value varchar(256));
        create table allowed_peer_ip (realm varchar(127),
            ip_range varchar(256));
        create table denied_peer_ip (realm varchar(127),
            ip_range varchar(256));
        create table turn_origin_to_realm (origin varchar(127),
            realm varchar(127));
        create table turn_realm_option (realm varchar(127), opt varchar(32),
            value varchar(128));
        create table oauth_key (kid varchar(128), ikm_key varchar(256),
            timestamp bigint, lifetime integer, as_rs_alg varchar(64),
            realm varchar(127));
        do $$ begin
            if to_regrole('turn_server') is not null then
                grant select on all tables in schema public to turn_server;
            end if;
        end $$}, db => $db);
    $self->dbh(db => $db)->do("insert into turnusers_lt values ('octavio.test',
        ?, md5(? || ':octavio.test:right'))", undef, $_, $_) for @users;
}

# run_file(FILE, db =>, user =>): psql -f FILE; what it printed, status in $?.
sub run_file {
    my ($self, $file, %o) = @_;
    return _output($self->psql_argv(%o), '-f', $file);
}

# psql(SQL, db =>, user =>): what `psql -At` prints. Dies on an error.
sub psql {
    my ($self, $sql, %o) = @_;
    my $out = $self->try_psql($sql, %o);
    croak "psql: $out" if $?;
    chomp $out;
    return $out;
}

# The same, but an error is part of the returned text, and $? is not 0.
sub try_psql {
    my ($self, $sql, %o) = @_;
    return _output($self->psql_argv(%o), '-v', 'ON_ERROR_STOP=1', '-c', $sql);
}

sub psql_argv {
    my ($self, %o) = @_;
    return ($self->{psql}, '-XAtq', '-h', $self->{socket_dir}, '-p',
        $self->{port}, '-U', $o{user} // 'postgres', '-d',
        $o{db} // $self->{db});
}

# value(SQL, @bind): the first column of the first row, as superuser in the
# database turn. rows(SQL, @bind): all rows, as a list of array references.
sub value {
    my ($self, $sql, @bind) = @_;
    return ($self->dbh->selectrow_array($sql, undef, @bind))[0];
}

sub rows {
    my ($self, $sql, @bind) = @_;
    return @{$self->dbh->selectall_arrayref($sql, undef, @bind)};
}

# dbh(db =>, user =>): a DBI handle that raises errors, and prints no notices
# (PrintWarn); the same one again for the same database and user, until the
# server goes away.
sub dbh {
    my ($self, %o) = @_;
    my $key = join "\0", $o{db} // $self->{db}, $o{user} // 'postgres';
    my $dbh = $self->{dbh}{$key};
    return $dbh if $dbh && $dbh->ping;
    return $self->{dbh}{$key}
        = $self->_connect({PrintError => 0, RaiseError => 1}, %o);
}

# new_dbh(db =>, user =>): as dbh(), but a connection of its own.
sub new_dbh {
    my ($self, %o) = @_;
    return $self->_connect({PrintError => 0, RaiseError => 1}, %o);
}

# conninfo(user => 'turn_server', db => 'turn', tcp => 1, host =>, port =>,
# further => ...): a libpq connection string that finds coturn's tables in
# schema turn, as turnserver.conf's psql-userdb holds it.
sub conninfo {
    my ($self, %o) = @_;
    my $tcp = delete $o{tcp};
    my %i = (
        host => $tcp ? '127.0.0.1' : $self->{socket_dir},
        port => $self->{port},
        dbname => delete $o{db} // $self->{db},
        user => 'turn_server',
        options => '-c search_path=turn,public',
        %o,
    );
    return join ' ', map {
        my $v = $i{$_};
        $v =~ s/([\\'])/\\$1/g;
        $v =~ /[\s\\]|^$/ ? "$_='$v'" : "$_=$v"
    } sort keys %i;
}

# ---- inside ----

sub _connect {
    my ($self, $attr, %o) = @_;
    my $db = $o{db} // $self->{db};
    $db =~ s/([\\'])/\\$1/g;
    return DBI->connect(
        "dbi:Pg:dbname='$db';host=$self->{socket_dir};port=$self->{port}",
        $o{user} // 'postgres', '',
        {AutoCommit => 1, AutoInactiveDestroy => 1, PrintWarn => 0, %$attr});
}

# pg_basebackup of this cluster into a directory that is not there yet.
sub _base_backup {
    my ($self, $to, @options) = @_;
    local $ENV{HOME} = (getpwnam 'postgres')[7];
    my $out = _output('setpriv', '--reuid=postgres', '--regid=postgres',
        '--init-groups', '--', "$self->{bin}/pg_basebackup", '--no-sync',
        '--checkpoint=fast', '-X', 'stream', '-D', $to, @options);
    croak "pg_basebackup: $out" if $?;
}

sub _replication {
    my ($self) = @_;
    return "host=$self->{socket_dir} port=$self->{port} user=postgres";
}

# Where the client programs find this cluster.
sub _at {
    my ($self) = @_;
    return ('-h', $self->{socket_dir}, '-p', $self->{port}, '-U', 'postgres');
}

sub _forget_connections {
    my ($self) = @_;
    $_->disconnect for values %{delete $self->{dbh} || {}};
}

sub _bindir {
    my @dirs = sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] }
        grep { -x "$_/initdb" } glob '/usr/lib/postgresql/*/bin';
    croak 'no PostgreSQL server under /usr/lib/postgresql' if !@dirs;
    return $dirs[-1];
}

# Has this process ended, or nearly?
sub _zombie {
    my $text = Edge::Process::slurp("/proc/$_[0]/stat") // return 1;
    return $text =~ /^\d+ \(.*\) Z/s;
}

# stdout and stderr of a command; its status in $?.
sub _output {
    my @cmd = @_;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }
    local $/;
    my $text = <$out>;
    close $out;
    return $text // '';
}

sub _append {
    my ($path, @lines) = @_;
    open my $f, '>>', $path or croak "$path: $!";
    print $f "$_\n" for @lines;
    close $f or croak "$path: $!";
}

sub _replace {
    my ($path, $lines) = @_;
    open my $f, '>', $path or croak "$path: $!";
    print $f "$_\n" for @$lines;
    close $f or croak "$path: $!";
}

# Frozen processes would outlive the test; Edge::Process ends the others.
END { $_->thaw for @clusters }

1;
