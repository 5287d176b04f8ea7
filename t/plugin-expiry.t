#!/usr/bin/perl

use strict;
use warnings;
use Edge::Netns;
use Edge::Coturn;
use Edge::Postgres;
use Edge::Process qw(spew wait_until);
use IPC::Open2;
use Test::More;
use Time::HiRes qw(time);

# A user's end closes its relays also where there are more users than the edge
# holds in memory. (With fewer: t/plugin-revocation.t.)

my $pg = Edge::Postgres->start;
$pg->install;
$pg->value("select turn.add_user('octavio.test', 'ends', 'right')");
$pg->value("select count(turn.add_user('octavio.test', 'user' || i, 'right',
    valid_until => now() + interval '1 year')) from generate_series(0, 199) i");

my $password_file = "$Edge::Netns::dir/cli-password";
spew($password_file, "secret\n", 0600);

# Newer ones have the CLI off unless told.
my @cli = ('cli-password=secret', 'cli-ip=127.0.0.1', 'cli-port=5766');
push @cli, 'cli' if qx($Edge::Coturn::turnserver --help 2>&1)
    =~ /^\s*--cli\s/m;
my $turn = Edge::Coturn->start(
    plugin => 1,
    conninfo => $pg->conninfo,
    conf => \@cli,
    settings => {cli => '127.0.0.1:5766', cli_password_file => $password_file,
        figures_dir => 'none', cache_size => 100},
);
$turn->wait_log(qr/feed live/) or die 'no feed';

my $pid = open2(my $out, my $in, "$Edge::Netns::root/build/t/turn_hold",
    '-s', '127.0.0.1:3478', '-u', 'ends', '-p', 'right', '-n', 2);
is(readline($out), "hold 2\n", 'a user has two relays');
is(scalar(grep { $turn->allocate("user$_", 'right') eq 'ok' } 0 .. 199), 200,
    'two hundred others log in');

my $until = time + 1.5;
$pg->value('update turn.users set valid_until = to_timestamp(?)
    where name = ? returning 1', $until, 'ends');
is(alive(), 2, 'until its end the relays live');
ok(wait_until(sub { alive() == 0 }, 10), '... and then they are closed');
cmp_ok(time - $until, '<=', 1.2, '... within a second');

close $in;
waitpid $pid, 0;
done_testing();

sub alive {
    print {$in} "\n";
    return (readline($out) =~ /^alive (\d+)$/)[0];
}
