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

# start(name => 'web-bridge', prefix => [argv in front, e.g. ip netns exec],
#       ca => 'inside', setting => value, ...). True and false are \1 and \0.
sub start {
    my ($class, %o) = @_;
    my $name = delete $o{name} // 'web-bridge';
    my @prefix = @{delete $o{prefix} // []};
    my $ca = delete $o{ca} // 'inside';
    my $self = bless {
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
    $self->{process} = Edge::Process->start(
        name => $name,
        argv => [@prefix, 'node', "$Edge::Netns::root/t/web-bridge/server.js",
            $self->{file}],
        env => {NODE_PATH => "$Edge::Netns::root/build/node_modules"},
        ready_log => qr/^ready$/m,
        timeout => 30,
    );
    return $self;
}

# change(setting => value, ...): from the next request on. The listeners and
# the certificate stay as they are.
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

# Every request that reached it so far: {method, url, status, headers}.
sub requests {
    my ($self) = @_;
    return map { $json->decode($_) }
        grep { /^\{.*\}$/ } split /\n/, $self->{process}->log_text;
}

sub stop { my $self = shift; $self->{process}->stop(@_) }
sub pid { $_[0]{process}->pid }
sub process { $_[0]{process} }

sub _write {
    my ($self) = @_;
    spew($self->{file}, $json->encode($self->{settings}), 0600);
}

1;
