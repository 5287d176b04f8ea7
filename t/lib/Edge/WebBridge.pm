package Edge::WebBridge;

# The simulated CMS web bridge (t/web-bridge), started for a test.
#
#   my $cms = Edge::WebBridge->start(listen => '127.0.0.2:443',
#       answersTo => 'external', speaksAs => 'internal');
#   ... $cms->requests ...        # what reached it, headers and all
#   $cms->change(callBridge => \0);
#
# The settings are those of t/web-bridge/config.js. Without cert and key it
# gets a certificate of the test CA 'inside' for its two names.

use strict;
use warnings;
use Edge::Certs;
use Edge::Netns;
use Edge::Process qw(spew);
use JSON::PP;

my $json = JSON::PP->new->canonical->utf8;
my @all;

# start(name => 'web-bridge', prefix => [argv in front, e.g. ip netns exec],
#       ca => 'inside', setting => value, ...). True and false are \1 and \0.
# One that is given a name says it in X-Web-Bridge.
sub start {
    my ($class, %o) = @_;
    my $name = $o{name} // 'web-bridge';
    my @prefix = @{delete $o{prefix} // []};
    my $ca = delete $o{ca} // 'inside';
    my $self = bless {
        name => $name,
        file => "$Edge::Netns::dir/$name.json",
        settings => {
            external => 'cmsweb.octavio.test',
            internal => 'cmsweb.cms.octavio.local',
            %o,
        },
    }, $class;
    my $s = $self->{settings};
    if (!$s->{cert}) {
        my %seen;
        my @names = grep { !$seen{$_}++ }
            map { s/:\d+$//r } @$s{qw(external internal)};
        @$s{qw(cert key)} = Edge::Certs::cert($ca, @names);
    }
    $self->_write;
    $self->{argv} = [@prefix, 'node',
        "$Edge::Netns::root/t/web-bridge/server.js", $self->{file}];
    $self->again;
    push @all, $self;
    return $self;
}

# again: starts it as it was set last, after stop() or kill(). It then knows
# none of the tokens it gave before.
sub again {
    my ($self) = @_;
    my $n = $self->{starts}++;
    $self->{process} = Edge::Process->start(
        name => $self->{name},
        log => "$Edge::Netns::dir/$self->{name}" . ($n ? "-$n.log" : '.log'),
        argv => $self->{argv},
        env => {NODE_PATH => "$Edge::Netns::root/build/node_modules"},
        ready_log => qr/^ready$/m,
        timeout => 30,
    );
}

# kill: it is gone at once. freeze, thaw: connections are accepted, nothing is
# answered; then all that waits is.
sub kill { $_[0]{process}->stop('KILL') }
sub freeze { $_[0]{process}->signal('STOP') }
sub thaw { $_[0]{process}->signal('CONT') }

# change(setting => value, ...): from the next request on, cert and key from
# the next connection on. The listeners stay as they are.
sub change {
    my ($self, %o) = @_;
    $self->{settings} = {%{$self->{settings}}, %o};
    $self->_write;
    my $seen = () = $self->{process}->log_text =~ /^read$/mg;
    $self->{process}->signal('HUP');
    Edge::Process::wait_until(sub {
        my $now = () = $self->{process}->log_text =~ /^read$/mg;
        $now > $seen;
    }) or die "the web bridge did not read its settings\n";
}

# Every request that reached it since its last start: {method, url, status,
# headers}; but none of the edge's own health probes.
sub requests {
    my ($self) = @_;
    return grep { ($_->{headers}{'user-agent'} // '') ne 'cms-edge' }
        map { $json->decode($_) }
        grep { /^\{.*\}$/ } split /\n/, $self->{process}->log_text;
}

sub stop { my $self = shift; $self->{process}->stop(@_) }
sub pid { $_[0]{process}->pid }
sub process { $_[0]{process} }

# One that is frozen would not end when asked to.
END { $_->thaw for @all }

sub _write {
    my ($self) = @_;
    spew($self->{file}, $json->encode($self->{settings}), 0600);
}

1;
