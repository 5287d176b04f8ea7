#!/usr/bin/perl

# A web bridge that answers GET /ANY/PLACE/N with the bytes of file N of a
# directory, head and all, in pieces: the first line of the file says how many
# bytes each piece has ("100 1 1 2000"), and "~" between two of them is a pause
# that lets the reader see what came so far. The connection is kept, unless the
# head says "Connection: close". Started by tests of the rewriting.
# Usage: document-server.pl ADDRESS:PORT DIRECTORY

use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(sleep);

my ($listen, $directory) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => $listen, Listen => 64,
    ReuseAddr => 1) or die "$listen: $@\n";
$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
$| = 1;
print "listening\n";

while (1) {
    my $client = $server->accept // next;
    next if fork;
    close $server;
    setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
    1 while answer($client);
    exit 0;
}

sub answer {
    my ($client) = @_;
    my $head = '';
    until ($head =~ /\r\n\r\n/) {
        sysread($client, $head, 65536, length $head) or return 0;
    }
    my ($n) = $head =~ m{^GET \S*/(\d+) } or return 0;
    open my $file, '<:raw', "$directory/$n" or return 0;
    my @pieces = split ' ', scalar <$file>;
    local $/;
    my $bytes = <$file>;
    my $at = 0;
    for my $piece (@pieces) {
        if ($piece eq '~') {
            sleep 0.0003;
            next;
        }
        while ($piece > 0) {
            my $wrote = syswrite($client, $bytes, $piece, $at) // return 0;
            $at += $wrote;
            $piece -= $wrote;
        }
    }
    return $bytes !~ /\A[^\n]*\r\n(?:[^\r\n]+\r\n)*Connection: close\r\n/;
}
