package Edge::Dns;

# A DNS server for a test, whose answers the test changes at run time; from
# the next query on they count.
#
#   my $dns = Edge::Dns->start('cms.octavio.test' => {A => ['127.0.0.2']});
#   $dns->set('cms.octavio.test' => {A => ['127.0.0.3'], ttl => 5});
#   $dns->set('_cms-web._tls.octavio.test' => {SRV => [
#       [10, 1, 443, 'cms1.octavio.test'], [20, 1, 443, 'cms2.octavio.test']]});
#   $dns->set($name => {rcode => 'NXDOMAIN'});  # or 'SERVFAIL', 'REFUSED'
#   $dns->set($name => {silent => 1});          # this name gets no answer
#   $dns->set($name => undef);                  # there is no such name
#   is($dns->queries('A', $name), 2);
#
# What a name has: A, AAAA, SRV (lists), CNAME (a name), ttl (1). Name '*' is
# every name that is not in the zone. A type that a name does not have gets an
# empty answer, as from any server.

use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(slurp spew);
use JSON::PP;

our $address = '127.0.0.1';
our $port = 53;

# start(name => {...}, ...): a running server on $address:$port.
sub start {
    my ($class, %zone) = @_;
    my $self = $class->prepare(%zone);
    $self->again;
    return $self;
}

# prepare(...): the same, not yet running; again() starts it.
sub prepare {
    my ($class, %zone) = @_;
    my $self = bless {
        zone => {},
        file => "$Edge::Netns::dir/dns.json",
        log => "$Edge::Netns::dir/dns-queries.log",
    }, $class;
    $self->set(%zone);
    return $self;
}

# again: starts it, also after stop(); the zone is as it was set last.
sub again {
    my ($self) = @_;
    $self->{process} = Edge::Process->start(
        name => 'dns',
        log => "$Edge::Netns::dir/dns" . ++$self->{starts} . '.log',
        argv => [$^X, "$Edge::Netns::root/t/lib/dns-server.pl", $address,
            $port, @$self{qw(file log)}],
        ready_log => qr/^listening/m,
        timeout => 30,
    );
}

# stop: the port is closed. freeze and thaw: no query is answered, then those
# that wait are.
sub stop { $_[0]{process}->stop }
sub freeze { $_[0]{process}->signal('STOP') }
sub thaw { $_[0]{process}->signal('CONT') }

# set(name => {...}, ...): these names are now so, the others as before.
sub set {
    my ($self, %zone) = @_;
    while (my ($name, $node) = each %zone) {
        $self->{zone}{lc $name} = $node;
        delete $self->{zone}{lc $name} if !$node;
    }
    # by rename: the server reads it whole or not at all
    spew("$self->{file}.new", JSON::PP->new->encode($self->{zone}));
    rename "$self->{file}.new", $self->{file} or die "$self->{file}: $!";
}

# queries('A', 'name'): how many there were so far; without a name, or without
# both, of all. query_times(...): when, in seconds since the epoch.
sub queries { my $self = shift; return scalar(() = $self->query_times(@_)) }

sub query_times {
    my ($self, $type, $name) = @_;
    return map { (split)[0] } grep {
        my (undef, $of, $for) = split;
        (!defined $type || $of eq $type) && (!defined $name || $for eq lc $name)
    } split /\n/, slurp($self->{log}) // '';
}

1;
