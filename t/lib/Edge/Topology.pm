package Edge::Topology;

# The how-to's network diagram in network namespaces, with addresses reserved
# for documentation in place of its own:
#
#   ann 203.0.113.11 ---+
#   bob 203.0.113.12 ---+-- 203.0.113.156 firewall 198.51.100.1
#   internet (DNS) .53 -+   static NAT              |
#                                        LAN2 198.51.100.61
#                                                 edge
#                                        LAN1  192.0.2.168
#                                                   |
#                                      lan (DNS) 192.0.2.162
#                                                   |
#                                      inside (CMS) 192.0.2.180
#
# The firewall lets in what the how-to lists, and nothing else: TCP 443 (and
# 80), TCP and UDP 3478, UDP 24000-29999; more with let_in('tcp', 5349).
# Guests have no route to anything behind it.
#
#   my $net = Edge::Topology->new;    # new(split_dns => 0): below
#   Edge::Process->start(name => 'nginx', argv => [$net->in('edge'), ...]);
#
# Wants Edge::Examples::install() first: namespaces are named under /run.

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(spew);

our %address = (
    ann => '203.0.113.11', bob => '203.0.113.12', nat => '203.0.113.156',
    internet => '203.0.113.53', lan1 => '192.0.2.168',
    lan2 => '198.51.100.61', cms => '192.0.2.180', lan => '192.0.2.162',
);

# Which DNS server each one asks.
my %asks = (ann => 'internet', bob => 'internet', internet => 'internet',
    edge => 'lan', lan => 'lan', inside => 'lan');

my $wiring = <<'SH';
set -e
for ns in internet ann bob firewall edge lan inside; do
    ip netns add $ns
    ip -n $ns link set lo up
done
# link NS DEV ADDRESS NS DEV ADDRESS: a cable between two places
link() {
    ip link add $2 netns $1 type veth peer name $5 netns $4
    end $1 $2 $3
    end $4 $5 $6
}
end() {
    [ $3 = - ] || ip -n $1 addr add $3 dev $2
    ip -n $1 link set $2 up
}
# switch NS ADDRESS PORTS: a bridge over these ends in NS
switch() {
    ip -n $1 link add switch type bridge
    end $1 switch $2
    for port in $3; do ip -n $1 link set $port master switch; done
}
link ann eth0 203.0.113.11/24 internet ann -
link bob eth0 203.0.113.12/24 internet bob -
link firewall out 203.0.113.156/24 internet firewall -
switch internet 203.0.113.53/24 'ann bob firewall'
link firewall dmz 198.51.100.1/24 edge lan2 198.51.100.61/24
link edge lan1 192.0.2.168/24 lan edge -
link inside eth0 192.0.2.180/24 lan inside -
switch lan 192.0.2.162/24 'edge inside'
ip -n edge route add default via 198.51.100.1
# The route an inside router has to the edge's outer card.
ip -n inside route add 198.51.100.61/32 via 192.0.2.168
ip netns exec firewall sysctl -q -w net.ipv4.ip_forward=1
ip netns exec firewall nft -f - <<'NFT'
table ip nat {
    chain in {
        type nat hook prerouting priority dstnat;
        iif "out" ip daddr 203.0.113.156 dnat to 198.51.100.61
    }
    chain out {
        type nat hook postrouting priority srcnat;
        oif "out" ip saddr 198.51.100.61 snat to 203.0.113.156
    }
}
table ip filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iif "dmz" accept
        iif "out" ip daddr 198.51.100.61 tcp dport { 80, 443, 3478 } accept
        iif "out" ip daddr 198.51.100.61 udp dport { 3478, 24000-29999 } accept
    }
}
NFT
SH

# split_dns: the inside DNS knows the guest URI as well, and leads it to the web
# bridge, as the how-to wants it (1). Outside nobody knows a name of the inside.
sub new {
    my ($class, %o) = @_;
    my $self = bless {}, $class;
    open my $sh, '|-', 'sh' or croak "sh: $!";
    print $sh $wiring;
    close $sh or croak 'could not wire the network namespaces';
    for my $ns (keys %asks) {
        spew("$Edge::Netns::dir/resolv-$ns.conf",
            "nameserver $address{$asks{$ns}}\n", 0644);
    }
    $self->_dns('internet',
        '--host-record=cmsweb.octavio.test,203.0.113.156');
    my @guest_uri = ($o{split_dns} // 1) ? (
        '--host-record=cmsweb.octavio.test,192.0.2.180',
        '--srv-host=_cms-web._tls.cmsweb.octavio.test,'
            . 'cmsweb.cms.octavio.local,443,10,10') : ();
    $self->_dns('lan', @guest_uri,
        '--host-record=cmsweb.cms.octavio.local,192.0.2.180',
        '--host-record=admin.cms.octavio.local,192.0.2.180');
    return $self;
}

# in('edge'): argv that runs what follows in that place, with its DNS.
sub in {
    my ($self, $ns) = @_;
    my @enter = ('ip', 'netns', 'exec', $ns);
    return @enter if !$asks{$ns};
    return (@enter, 'sh', '-c',
        "mount --bind $Edge::Netns::dir/resolv-$ns.conf /etc/resolv.conf && "
            . 'exec "$@"', 'sh');
}

# resolve('ann', name): its address there, or undef when DNS there knows none.
sub resolve {
    my ($self, $ns, $name) = @_;
    open my $out, '-|', $self->in($ns), 'getent', 'ahostsv4', $name
        or croak "getent: $!";
    my ($address) = (<$out> // '') =~ /^(\S+)/;
    close $out;
    return $address;
}

# A further port from outside to the edge.
sub let_in {
    my ($self, $protocol, $port) = @_;
    system('ip', 'netns', 'exec', 'firewall', 'nft', 'add rule ip filter'
            . " forward iif out ip daddr $address{lan2} $protocol dport $port"
            . ' accept') == 0 or croak 'nft failed';
}

sub places { qw(ann bob firewall edge inside) }

sub _dns {
    my ($self, $ns, @records) = @_;
    Edge::Process->start(
        name => "dns-$ns",
        argv => ['ip', 'netns', 'exec', $ns, 'dnsmasq', '--keep-in-foreground',
            '--conf-file=/dev/null', '--no-resolv', '--no-hosts',
            '--pid-file=', '--log-facility=-', '--user=root',
            '--bind-interfaces', "--listen-address=$address{$ns}",
            '--local=/octavio.test/', '--local=/octavio.local/', @records],
        ready_log => qr/started, version/,
    );
}

1;
