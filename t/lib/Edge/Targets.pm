package Edge::Targets;

# One edge on 127.0.0.1:443 with one cms_webbridge, "cmsweb", and several
# simulated web bridges as its targets, which a test breaks and mends: each of
# its own, with its own tokens, saying who it is in X-Web-Bridge.
#
#   my $site = Edge::Targets->start(health => 'interval=1s timeout=1s');
#   $site->break('one', 'frozen');
#   ok($site->wait_failed('one'), 'it is found out');
#   $site->mend('one');
#   ok($site->wait_active('one'), 'and back');

use strict;
use warnings;
use Carp;
use Edge::Certs;
use Edge::Netns;
use Edge::Nginx;
use Edge::Process qw(wait_until);
use Edge::WebBridge;
use Time::HiRes qw(time);

our $guest = 'cmsweb.octavio.test';

# start(...):
#   bridges   {one => '127.0.0.2', two => '127.0.0.3'}: who is where, port 443
#   health    what stands behind health_check; undef for its defaults
#   webbridge lines in cms_webbridge { }; the targets are there already, unless
#   targets   names them: ['cms.octavio.test:443']
#   location  lines beside cms_proxy
#   server    lines beside location
#   main, http, workers   as Edge::Nginx has them
#   settings  of every web bridge, as Edge::WebBridge takes them
sub start {
    my ($class, %o) = @_;
    my $at = $o{bridges} // {one => '127.0.0.2', two => '127.0.0.3'};
    my $self = bless {at => $at}, $class;
    for my $name (sort keys %$at) {
        $self->{bridge}{$name} = Edge::WebBridge->start(name => $name,
            listen => "$at->{$name}:443", %{$o{settings} // {}});
    }
    $self->{conf} = \%o;
    $self->{edge} = Edge::Nginx->start(main => $o{main} // '',
        workers => $o{workers} // 2, error_level => 'notice',
        http => $self->http);
    return $self;
}

# http: what stands in the edge's http { }; options replace those of start().
sub http {
    my ($self, %more) = @_;
    my %o = (%{$self->{conf}}, %more);
    my ($cert, $key) = Edge::Certs::cert('outside', $guest);
    my $ca = Edge::Certs::ca('inside');
    my $targets = join "\n", map { "    target $_;" }
        @{$o{targets} // [map { "$_:443" } sort values %{$self->{at}}]};
    my $health = defined $o{health} ? "health_check $o{health};" : '';
    return <<"CONF";
@{[$o{http} // '']}
cms_webbridge cmsweb {
    guest_uri $guest;
    internal_uri cmsweb.cms.octavio.local;
    trusted_certificate $ca;
$targets
    $health
    @{[$o{webbridge} // '']}
}
server {
    listen 127.0.0.1:443 ssl;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    @{[$o{server} // '']}
    location / {
        cms_proxy cmsweb;
        @{[$o{location} // '']}
    }
}
CONF
}

sub edge { $_[0]{edge} }
sub bridge { $_[0]{bridge}{$_[1]} // croak "no web bridge '$_[1]'" }

# The ways a web bridge fails: {name => [how it begins, how it ends]}.
my %fault = (
    'killed' => [sub { $_[0]->kill }, sub { $_[0]->again }],
    'frozen' => [sub { $_[0]->freeze }, sub { $_[0]->thaw }],
    'wrong certificate' => [sub {
        my ($bridge) = @_;
        my ($cert, $key) = Edge::Certs::cert('inside', 'other.octavio.test');
        $bridge->change(cert => $cert, key => $key);
    }, sub {
        my ($bridge) = @_;
        my ($cert, $key) = Edge::Certs::cert('inside', $guest,
            'cmsweb.cms.octavio.local');
        $bridge->change(cert => $cert, key => $key);
    }],
    'answers 503' => [sub { $_[0]->change(outOfOrder => 503) },
        sub { $_[0]->change(outOfOrder => undef) }],
);

sub faults { return sort keys %fault }

# break('one', 'frozen'): from now on; mend('one') ends what broke it.
sub break {
    my ($self, $name, $fault) = @_;
    $self->{broken}{$name} = $fault;
    $self->{since}{$name} = length $self->edge->error_log;
    $fault{$fault}[0]->($self->bridge($name));
    $self->{changed} = time;
}

sub mend {
    my ($self, $name) = @_;
    my $fault = delete $self->{broken}{$name} // croak "$name is not broken";
    $self->{since}{$name} = length $self->edge->error_log;
    $fault{$fault}[1]->($self->bridge($name));
    $self->{changed} = time;
}

# wait_failed('one'): once the edge's log says, since the last change, that it
# has failed, and why: {after => seconds, reason => ...}; undef if it does not.
sub wait_failed {
    my ($self, $name, $timeout) = @_;
    my $reason = $self->_wait($name, 'failed: (.*)', $timeout) // return;
    $reason =~ s/, client: .*//;
    return {after => time - $self->{changed}, reason => $reason};
}

# wait_active('one'): the same for its return, without a reason.
sub wait_active {
    my ($self, $name, $timeout) = @_;
    $self->_wait($name, '(is active again)', $timeout) // return;
    return {after => time - $self->{changed}};
}

sub _wait {
    my ($self, $name, $what, $timeout) = @_;
    my $line = qr/target \Q$self->{at}{$name}\E:443 of cms_webbridge "cmsweb" /;
    my $said;
    wait_until(sub {
        my $log = substr $self->edge->error_log, $self->{since}{$name} // 0;
        ($said) = $log =~ /$line$what/;
    }, $timeout // 60);
    return $said;
}

1;
