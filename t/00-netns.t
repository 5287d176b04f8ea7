use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(wait_until);
use Test::More;

# The ground the other tests stand on: a network and a corner of their own.

chomp(my @links = `ip -o link | cut -d' ' -f2`);
is_deeply(\@links, ['lo:'], 'a test sees no interface but loopback');
ok(-d $Edge::Netns::dir && -w $Edge::Netns::dir, 'it has a corner to write in');

my $p = Edge::Process->start(name => 'listener',
    argv => [$^X, '-MIO::Socket::INET', '-e',
        'my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:443")
             or die; $s->accept while 1'],
    ready_tcp => '127.0.0.1:443');
ok($p->alive, 'port 443 is free for it');
$p->stop;
ok(!$p->alive, 'and what it starts, it can stop');
done_testing();
