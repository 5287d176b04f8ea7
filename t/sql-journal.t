use strict;
use warnings;
use Edge::Netns;
use DBD::Pg ':async';
use Edge::Postgres;
use Edge::Process qw(wait_until);
use Test::More;

# What edges follow: turn.user_record and turn.edge_state, read as the plugin
# reads them, as turn_server.

my $pg = Edge::Postgres->start();
$pg->install;
my $realm = 'octavio.test';

# An edge, or what it knows: $edge->{user}{NAME} = [VERSION, KEY] in any realm.
package Edge {
    sub new {
        my ($class, $pg) = @_;
        my $self = bless {dbh => $pg->new_dbh(user => 'turn_server')}, $class;
        $self->read('true');
        return $self;
    }

    # Reads what is true for these rows; returns the names that were read.
    sub read {
        my ($self, $condition, @bind) = @_;
        my $dbh = $self->{dbh};
        $dbh->do('begin isolation level repeatable read, read only');
        my $rows = $dbh->selectall_arrayref("select name, version, hmackey
            from turn.user_record where $condition order by 1", undef, @bind);
        ($self->{snapshot})
            = $dbh->selectrow_array('select pg_current_snapshot()');
        $dbh->do('commit');
        for (@$rows) {
            my ($name, $version, $key) = @$_;
            my $known = $self->{user}{$name};
            push @{$self->{backwards}}, $name
                if $known && $version < $known->[0];
            $self->{user}{$name} = [$version, $key];
        }
        return join ' ', map { $_->[0] } @$rows;
    }

    sub follow {
        my ($self) = @_;
        return $self->read('xact >= pg_snapshot_xmin(?::pg_snapshot)
            and not pg_visible_in_snapshot(xact, ?::pg_snapshot)',
            ($self->{snapshot}) x 2);
    }

    sub key { my ($self, $name) = @_; return ($self->{user}{$name} || [])->[1] }

    # Who may log in, with which key, for the edge and in truth.
    sub knows {
        my ($self) = @_;
        return {map { $_ => $self->key($_) }
            grep { defined $self->key($_) } keys %{$self->{user}}};
    }

    sub truth {
        my ($self) = @_;
        return {map { @$_ } @{$self->{dbh}->selectall_arrayref(
            'select name, rtrim(hmackey) from turn.turnusers_lt')}};
    }
}

package main;

my $edge = Edge->new($pg);
my $admin = $pg->dbh(user => 'turn_admin');

# Every way there is: what the edge reads next, after a statement.
sub reads_after {
    my ($sql, $names, $title, $dbh) = @_;
    ($dbh // $admin)->do($sql);
    is($edge->follow, $names, $title);
    is_deeply($edge->knows, $edge->truth, '  and knows what is true');
}

subtest 'every change reaches an edge, once' => sub {
    my $owner = $pg->dbh;
    reads_after("select turn.add_user('$realm', 'a', 'p')", 'a', 'add_user');
    is($edge->follow, '', 'nothing else is new');
    reads_after("select turn.set_password('$realm', 'a', 'q')", 'a',
        'set_password');
    reads_after("select turn.disable_user('$realm', 'a')", 'a', 'disable_user');
    is($edge->key('a'), undef, 'a disabled user has no key');
    reads_after("select turn.enable_user('$realm', 'a')", 'a', 'enable_user');
    reads_after("select turn.set_validity('$realm', 'a', '2099-01-01')", 'a',
        'set_validity');
    reads_after("select turn.set_note('$realm', 'a', 'n')", '',
        'a note is nothing to an edge');
    reads_after("select turn.enable_user('$realm', 'a')", '',
        'nor is what was so before');
    reads_after("insert into turn.turnusers_lt values ('$realm', 'b',
        repeat('0', 32))", 'b', 'turnadmin adds');
    reads_after("update turn.turnusers_lt set hmackey = repeat('1', 32)
        where name = 'b'", 'b', 'turnadmin changes');
    reads_after("delete from turn.turnusers_lt where name = 'b'", 'b',
        'turnadmin deletes');
    reads_after("insert into turn.import (realm, name, password)
        values ('$realm', 'c', 'p'), ('$realm', 'b', 'p')", 'b c', 'import');
    reads_after("select turn.remove_user('$realm', 'c')", 'c', 'remove_user');
    reads_after("update turn.credential set name = 'd' where name = 'b'", 'b d',
        'another name', $owner);
    reads_after("update turn.credential set enabled = false", 'a d',
        'all at once', $owner);
    reads_after("with gone as (delete from turn.credential where name = 'a'
        returning *) insert into turn.credential select realm, 'e', hmackey
        from gone", 'a e', 'two statements in one', $owner);
    reads_after('truncate turn.credential', 'd e', 'truncate', $owner);
    is_deeply($edge->{backwards}, undef, 'no version went backwards');
};

subtest 'a change that is rolled back is none' => sub {
    my $owner = $pg->new_dbh;
    my $before = $edge->follow;
    $owner->begin_work;
    $owner->do("select turn.add_user('$realm', 'kept', 'p')");
    $owner->do('savepoint s');
    $owner->do("select turn.add_user('$realm', 'undone', 'p')");
    $owner->do('rollback to s');
    $owner->commit;
    is($edge->follow, 'kept', 'the rest of the transaction is read');
    $owner->begin_work;
    $owner->do("select turn.set_password('$realm', 'kept', 'q')");
    $owner->rollback;
    is($edge->follow, '', 'nothing is');
    is_deeply($edge->knows, $edge->truth, 'the key is the old one');
};

subtest 'what is committed late is read late' => sub {
    my ($slow, $fast) = map { $pg->new_dbh } 1, 2;
    $slow->begin_work;
    $slow->do("select turn.add_user('$realm', 'slow', 'p')");
    $fast->do("select turn.add_user('$realm', 'fast', 'p')");
    is($edge->follow, 'fast', 'the later one, committed first');
    is($edge->follow, '', 'once');
    $slow->commit;
    is($edge->follow, 'slow', 'then the earlier one');
    is($edge->follow, '', 'once');
};

# Two sessions change one user: the second waits for the first.
for my $case (
    ["update turn.credential set hmackey = 'first'",
        "update turn.credential set hmackey = 'second'", 'update, update'],
    ['delete from turn.credential',
        "insert into turn.credential values ('$realm', 'one', 'second')",
        'delete, insert'],
    ["update turn.credential set hmackey = 'first'",
        'delete from turn.credential', 'update, delete'],
    ["delete from turn.credential",
        'delete from turn.credential', 'delete, delete'])
{
    my ($one, $two, $title) = @$case;
    subtest "two at one user: $title" => sub {
        my ($first, $second) = map { $pg->new_dbh } 1, 2;
        $first->do('truncate turn.credential');
        $first->do("insert into turn.credential values ('$realm', 'one', 'x')");
        $edge->follow;
        my $where = sub { $_[0] =~ /insert/ ? '' : " where name = 'one'" };
        $first->begin_work;
        $first->do($one . $where->($one));
        my $at = $first->selectrow_array("select version from turn.user_change
            where name = 'one'");
        $second->do($two . $where->($two), {pg_async => PG_ASYNC});
        ok(wait_until(sub { $pg->value('select count(*) from pg_locks
            where not granted') }), 'the second waits');
        $first->commit;
        $second->pg_result;
        is($edge->follow, 'one', 'an edge reads the user');
        cmp_ok($edge->{user}{one}[0], '>=', $at, 'with the newest version');
        is_deeply($edge->knows, $edge->truth, 'as the second left it');
    };
}

subtest 'many sessions at few users: the edge ends with what is true' => sub {
    $pg->psql('truncate turn.credential');
    my $script = "$Edge::Netns::dir/load.sql";
    my @names = map { "u$_" } 1 .. 5;
    my @psql;
    for my $seed (1 .. 4) {
        srand $seed;
        my @do = map {
            my $name = $names[rand @names];
            my $key = sprintf '%032x', rand 1e9;
            my $sql = ("insert into turn.credential values ('$realm', '$name',
                '$key') on conflict do nothing", "update turn.credential
                set hmackey = '$key' where name = '$name'", "delete from
                turn.credential where name = '$name'")[rand 3];
            rand() < 0.3 ? "begin; $sql; select pg_sleep(0.002); commit;"
                : "$sql;"
        } 1 .. 150;
        Edge::Process::spew("$script$seed", "@do", 0644);
        open my $out, '-|', $pg->psql_argv, '-o', '/dev/null', '-f',
            "$script$seed" or die "psql: $!";
        push @psql, $out;
    }
    my $reads = 0;
    my $done = sub { !$pg->value("select count(*) from pg_stat_activity
        where application_name = 'psql' and state <> 'idle'") && $reads > 50 };
    $edge->follow, $reads++ until $done->();
    close $_ for @psql;
    $edge->follow;
    is_deeply($edge->knows, $edge->truth, "after $reads reads");
    is_deeply($edge->{backwards}, undef, 'and no version went backwards');
};

subtest 'edges are told to look' => sub {
    my $listener = $pg->new_dbh(user => 'turn_server');
    $listener->do('listen turn_users');
    $listener->do('listen turn_tables');
    $listener->do('listen heard');
    my $told = sub {
        my ($sql) = @_;
        $admin->do($sql);
        $admin->do('notify heard');
        my %heard;
        wait_until(sub {
            while (my $n = $listener->func('pg_notifies')) { $heard{$n->[0]}++ }
            return delete $heard{heard};
        }) or return 'nothing';
        return join ' ', map { "$_ $heard{$_}" } sort keys %heard;
    };
    is($told->("select turn.add_user('$realm', 'n', 'p')"), 'turn_users 1',
        'a user');
    is($told->("insert into turn.import (realm, name, password) select '$realm',
        'bulk' || i, 'p' from generate_series(1, 1000) i"), 'turn_users 1',
        'a thousand');
    is($told->("select turn.allow_peer('$realm', '192.0.2.1')"),
        'turn_tables 1', 'a peer rule');
    is($told->("select turn.add_secret('$realm')"), 'turn_tables 1',
        'a secret');
    is($told->("select turn.set_quota('$realm', total => 5)"), 'turn_tables 1',
        'a quota');
    is($told->("insert into turn.turn_origin_to_realm values ('o', 'r')"),
        'turn_tables 1', 'an origin');
    is($told->("insert into turn.oauth_key (kid, ikm_key) values ('k', 'x')"),
        'turn_tables 1', 'an OAuth key');
    is($told->("select turn.set_note('$realm', 'n', 'p')"), 'turn_users 1',
        'a note too, for nothing');
};

subtest 'times are those of the server, in milliseconds' => sub {
    my $record = sub {
        my ($from, $until) = @_;
        $pg->dbh->do("update turn.credential set valid_from = ?,
            valid_until = ? where name = 'n'", undef, $from, $until);
        return join ',', map { $_ // 'null' } $edge->{dbh}->selectrow_array(
            "select hmackey is not null, valid_from_ms, valid_until_ms
            from turn.user_record where realm = ? and name = 'n'", undef,
            $realm);
    };
    my $until = '2099-01-01 00:00:00.125+00';
    is($record->(undef, undef), '1,null,null', 'always valid');
    is($record->('2020-01-01', $until), '1,null,4070908800125', 'valid until');
    is($record->('2098-12-31 00:00+00', $until),
        '0,4070822400000,4070908800125', 'not yet');
    is($record->('2020-01-01', '2020-01-02'), '0,null,null', 'no more');
    is($record->('-infinity', 'infinity'), '1,null,null', 'for ever');
    is($record->('infinity', undef), '0,null,null', 'never');
    $pg->psql("update turn.credential set enabled = false where name = 'n'");
    is($record->('2098-12-31', $until), '0,null,null', 'disabled');
};

subtest 'who is gone is forgotten after 90 days' => sub {
    $pg->psql("select turn.remove_user('$realm', 'bulk1'),
        turn.remove_user('$realm', 'bulk2')");
    $pg->psql("update turn.user_change set changed = now() - case name
        when 'bulk1' then interval '91 days' else '89 days' end
        where name in ('bulk1', 'bulk2', 'bulk4')");
    $pg->psql("select turn.remove_user('$realm', 'bulk3')");
    is($pg->psql("select string_agg(name, ' ' order by name)
        from turn.user_record where name in ('bulk1', 'bulk2', 'bulk3',
        'bulk4')"), 'bulk2 bulk3 bulk4', 'not before, and nobody else');
};

sub state_of {
    my ($server) = @_;
    return ($server // $pg)->dbh(user => 'turn_server')->selectrow_hashref(
        'select * from turn.edge_state()');
}

subtest 'an epoch lasts while the database is the same' => sub {
    my $first = state_of();
    cmp_ok(abs($first->{epoch} - time), '<', 60, 'it is unix seconds');
    cmp_ok(abs($first->{now_ms} - 1000 * time), '<', 5000, 'so is the clock');
    ok(!$first->{in_recovery}, 'this is a primary');
    is(state_of()->{epoch}, $first->{epoch}, 'asked again: the same');
    $pg->stop;
    $pg->up;
    my $dbh = $pg->new_dbh(user => 'turn_server');
    $dbh->do('begin read only');
    is($dbh->selectrow_array('select epoch from turn.edge_state()'), undef,
        'after a restart: none, where none can be begun');
    $dbh->do('rollback');
    my $second = state_of();
    cmp_ok($second->{epoch}, '>', $first->{epoch}, 'a greater one otherwise');
    isnt($second->{identity}, $first->{identity}, 'and another identity');

    # Two edges find out at the same time.
    $pg->psql('truncate turn.credential');
    my $ask = 'select epoch from turn.edge_state()';
    my $one = $pg->new_dbh(user => 'turn_server');
    $one->begin_work;
    my ($third) = $one->selectrow_array($ask);
    open my $two, '-|', $pg->psql_argv(user => 'turn_server'), '-c', $ask
        or die "psql: $!";
    ok(wait_until(sub { $pg->value('select count(*) from pg_locks
        where not granted') }), 'two begin one: one waits');
    $one->commit;
    is(<$two>, "$third\n", 'and both get the same');
    close $two;
    cmp_ok($third, '>', $second->{epoch}, 'for truncate began another');
};

subtest 'nobody who may ask begins one for fun, or keeps others from it' => sub {
    my $before = state_of();
    my $dbh = $pg->new_dbh(user => 'turn_server');
    $dbh->do($_) for 'set extra_float_digits = -15', 'set datestyle = German',
        "set timezone = 'Asia/Tokyo'", "set bytea_output = 'escape'",
        "set intervalstyle = 'iso_8601'";
    my $state = $dbh->selectrow_hashref('select * from turn.edge_state()');
    is_deeply([@$state{qw(epoch identity)}], [@$before{qw(epoch identity)}],
        'whatever the settings: the same epoch, the same identity');

    $pg->psql('truncate turn.credential');
    $dbh->begin_work;
    my ($began) = $dbh->selectrow_array('select epoch from turn.edge_state()');
    cmp_ok($began, '>', $before->{epoch}, 'one begins an epoch, and waits');
    my $asked = time;
    is(state_of()->{epoch}, undef, 'another is told of none');
    cmp_ok(time - $asked, '<', 2, '... soon');
    $dbh->rollback;
    cmp_ok(state_of()->{epoch}, '>', $before->{epoch}, 'and gets one later');
};

subtest 'and ends when the server lost what it had not written' => sub {
    my $before = state_of();
    kill KILL => $pg->dbh(user => 'turn_server')->{pg_pid};
    ok(wait_until(sub { eval { state_of()->{epoch} > $before->{epoch} } }, 20),
        'a crash of one process');
};

subtest 'a restored dump' => sub {
    $pg->psql("select turn.add_user('$realm', 'kept', 'p'),
        turn.add_user('$realm', 'gone', 'p'),
        turn.remove_user('$realm', 'gone')");
    my $before = state_of();
    my $file = "$Edge::Netns::dir/dump";
    # From a cluster that had many more transactions.
    $pg->psql("update turn.user_change set xact = '999999999'");
    $pg->dump($file);
    $pg->restore($file, db => 'copy');
    my $copy = $pg->new_dbh(db => 'copy', user => 'turn_server');
    my ($epoch, $identity) = $copy->selectrow_array(
        'select epoch, identity from turn.edge_state()');
    cmp_ok($epoch, '>', $before->{epoch}, 'begins an epoch');
    isnt($identity, $before->{identity}, 'of its own');
    is($pg->psql("select count(*) from turn.user_change
        where xact >= pg_snapshot_xmax(pg_current_snapshot())", db => 'copy'),
        0, 'and no user stays of a transaction yet to come');
    $copy->disconnect;
    $pg->psql('drop database copy');
    $pg->psql("update turn.user_change set xact = '3'");
};

subtest 'data only, restored' => sub {
    my $file = "$Edge::Netns::dir/data";
    system($pg->{bin} . '/pg_dump', '-h', $pg->socket_dir, '-U', 'postgres',
        '-a', '-n', 'turn', '-f', $file, 'turn') == 0 or die 'pg_dump';
    $pg->install('empty');
    my $out = $pg->run_file($file, db => 'empty');
    unlike($out, qr/ERROR/, 'into an empty schema turn: no error');
    is($pg->psql("select string_agg(name || case when hmackey is null
        then ' gone' else '' end, ', ' order by name) from turn.user_record
        where name in ('kept', 'gone')", db => 'empty'), 'gone gone, kept',
        'all are there, also who is gone');
    is($pg->psql('select count(*) from turn.user_change
        where xact < pg_snapshot_xmin(pg_current_snapshot())
            and xact::text::bigint < 500', db => 'empty'), 0,
        'of a transaction of this database');
    $pg->psql('drop database empty');
};

subtest 'changed behind the journal\'s back' => sub {
    $edge = Edge->new($pg);
    $pg->psql("set session_replication_role = replica;
        update turn.credential set hmackey = 'other' where name = 'kept';
        insert into turn.credential values ('$realm', 'added', 'x');");
    is($edge->follow, '', 'edges do not notice,');
    $pg->psql('select turn.resync_edges()', user => 'turn_admin');
    ok($edge->follow =~ /\badded\b.*\bkept\b/, 'until resync_edges');
    is_deeply($edge->knows, $edge->truth, 'and know what is true');
    $pg->psql("set session_replication_role = replica;
        delete from turn.credential where name = 'added'");
    $pg->install;
    is($edge->follow, 'added', 'installing again finds who came or went');
};

subtest 'users of an older cms-edge' => sub {
    my $users = $pg->psql('select * from turn.credential order by name');
    $pg->psql('drop table turn.user_change cascade; drop table turn.epoch;
        drop view turn.turn_secret, turn.secrets; drop sequence
        turn.user_version; alter table turn.shared_secret drop valid_until');
    $pg->install;
    is($pg->psql('select * from turn.credential order by name'), $users,
        'are as they were');
    is($pg->psql('select string_agg(name, chr(32) order by name)
        from turn.user_record where version > 0'), $pg->psql(
        'select string_agg(name, chr(32) order by name)
        from turn.credential'), 'and have versions');
    cmp_ok(state_of()->{epoch}, '>', 0, 'in an epoch');
};

subtest 'a standby' => sub {
    my $standby = $pg->standby(port => 5440);
    my $primary = state_of();
    my $there = state_of($standby);
    ok($there->{in_recovery}, 'says that it is one');
    is($there->{epoch}, $primary->{epoch}, 'in the primary\'s epoch');
    my $far = Edge->new($standby);
    my $slow = $pg->new_dbh;
    $slow->begin_work;
    $slow->do("select turn.add_user('$realm', 'slow', 'p')");
    $pg->psql("select turn.add_user('$realm', 'fast', 'p')");
    my $poll = sub {
        $standby->catch_up($pg);
        $far->read('xact >= pg_snapshot_xmin(?::pg_snapshot)',
            $far->{snapshot});
    };
    like($poll->(), qr/fast/, 'shows what was committed');
    $slow->commit;
    like($poll->(), qr/slow/, 'and what was committed late');
    is_deeply($far->knows, $far->truth, 'so an edge knows what is true');
    $pg->kill;
    $standby->promote;
    my $after = state_of($standby);
    ok(!$after->{in_recovery}, 'promoted: it is none any more');
    cmp_ok($after->{epoch}, '>', $primary->{epoch}, 'and begins an epoch');
    isnt($after->{identity}, $there->{identity}, 'of its own');
};

done_testing();
