#!/usr/bin/perl

# A DNS server whose zone a test changes while it runs. Started by Edge::Dns,
# which documents the zone: a JSON file that is looked at anew for every
# query, so a change counts from the next query on. Speaks UDP and, for what
# does not fit, TCP. Appends a line to the log for each query: time, type, name.
# Usage: dns-server.pl ADDRESS PORT ZONE-FILE QUERY-LOG

use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use JSON::PP;
use Net::DNS;
use Time::HiRes qw(stat time);

my ($address, $port, $zone_file, $log_file) = @ARGV;
my ($zone, $zone_is) = ({}, '');

open my $log, '>>', $log_file or die "$log_file: $!\n";
$log->autoflush(1);

my %at = (LocalAddr => $address, LocalPort => $port);
my $udp = IO::Socket::IP->new(%at, Proto => 'udp') or die "udp: $@\n";
my $tcp = IO::Socket::IP->new(%at, Proto => 'tcp', Listen => 16,
    ReuseAddr => 1) or die "tcp: $@\n";
my $ready = IO::Select->new($udp, $tcp);
$| = 1;
print "listening\n";

while (1) {
    for my $socket ($ready->can_read) {
        if ($socket == $tcp) {
            over_tcp($tcp->accept // next);
            next;
        }
        my $peer = recv($udp, my $query, 4096, 0) // next;
        my $answer = answer($query) // next;
        $answer->truncate(512);
        send $udp, $answer->data, 0, $peer;
    }
}

# One query of a client that sends it at once.
sub over_tcp {
    my ($client) = @_;
    sysread($client, my $query, 4096) or return;
    my $answer = answer(substr $query, 2) // return;
    syswrite $client, pack 'n/a*', $answer->data;
}

# The packet that answers, undef where there is to be no answer.
sub answer {
    my ($data) = @_;
    my $query = Net::DNS::Packet->new(\$data) // return;
    my ($question) = $query->question or return;
    my ($name, $type) = (lc $question->qname, $question->qtype);
    printf $log "%.3f %s %s\n", time, $type, $name;

    read_zone();
    my $node = $zone->{$name} // $zone->{'*'} // {rcode => 'NXDOMAIN'};
    return if $node->{silent};

    my $answer = $query->reply;
    my $header = $answer->header;
    $header->aa(1);
    $header->ra(1);
    $header->rcode($node->{rcode} // 'NOERROR');
    $answer->push(answer => $_) for records($name, $type, $node);
    return $answer;
}

# The records of this type, or the alias and the records of what it leads to.
sub records {
    my ($name, $type, $node) = @_;
    return if $node->{rcode};
    my $ttl = $node->{ttl} // 1;
    my $alias = $node->{CNAME};
    if (defined $alias) {
        return (record($name, $ttl, CNAME => $alias),
            records($alias, $type, $zone->{$alias} // {}));
    }
    return map { record($name, $ttl, $type, ref $_ ? @$_ : $_) }
        @{$node->{$type} // []};
}

sub record {
    my ($name, $ttl, $type, @data) = @_;
    return Net::DNS::RR->new("$name $ttl IN $type @data");
}

sub read_zone {
    my $is = join ' ', (stat $zone_file)[1, 9];
    return if $is eq $zone_is;
    open my $file, '<', $zone_file or die "$zone_file: $!\n";
    local $/;
    $zone = JSON::PP->new->decode(<$file>);
    $zone_is = $is;
}
