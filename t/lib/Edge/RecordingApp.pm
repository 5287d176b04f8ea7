package Edge::RecordingApp;

# A third-party application behind the edge: records every request byte for
# byte as it arrived, and answers what the request asks it to.
#
#   my $app = Edge::RecordingApp->start(listen => '127.0.0.1:8443',
#       cert => [Edge::Certs::cert('inside', 'cmsweb.octavio.test')]);
#   $client->get('/', Host => 'cmsweb.octavio.test', script(
#       answer(302, Location => 'https://cmsweb.cms.test/x')));
#   like($app->last_request->{head}, qr/^Host: .../m);

use strict;
use warnings;
use Edge::Netns;
use Edge::Process qw(slurp spew wait_until);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Exporter 'import';

our @EXPORT_OK = qw(script answer);

# start(...):
#   listen       'host:port' or the path of a unix socket
#   cert         [certificate file, key file]; none: plain HTTP
#   name         'app'; the default answer's body begins with it
#   max_version  'TLSv1.2', say
sub start {
    my ($class, %o) = @_;
    my $name = $o{name} // 'app';
    my $self = bless { name => $name,
        records => "$Edge::Netns::dir/$name.records" }, $class;
    spew($self->{records}, '');
    my %options = (name => $name, listen => $o{listen},
        records => $self->{records});
    @options{qw(cert key)} = @{$o{cert}} if $o{cert};
    $options{max_version} = $o{max_version} if $o{max_version};
    $self->{process} = Edge::Process->start(name => $name,
        argv => ['node', "$Edge::Netns::root/t/lib/recording-app.js",
            encode_json(\%options)],
        ready_log => qr/^listening/m, timeout => 30);
    return $self;
}

sub stop { $_[0]{process}->stop }

# script(step, ...): the request field that makes the app take these steps
# instead of its default answer (200 with a short text). A step is
#   { write => bytes }    { write => bytes, times => 1000 }
#   { wait => seconds }   { close => 1 }
#   { reset => 1 }        { tunnel => 1 } (raw bytes come back from here on)
#   { websocket => 1 }    completes the handshake; text and binary frames come
#                         back, ping gets its pong, a frame 'close me CODE'
#                         a close frame with this code
sub script {
    return ('X-Test-Script',
        encode_base64(JSON::PP->new->ascii->encode([@_]), ''));
}

# answer(status, name => value ..., [body]): the step that writes this response.
sub answer {
    my ($status, @fields) = @_;
    my $body = @fields % 2 ? pop @fields : '';
    my $text = "HTTP/1.1 $status Answer\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    $text .= 'Content-Length: ' . length($body) . "\r\n"
        if $status !~ /^(?:1..|204|304)$/;
    return { write => "$text\r\n$body" };
}

# records: everything recorded, oldest first: {event => 'request', connection
# => 1, head => 'GET / HTTP/1.1\r\n...' (without the empty line), body, sni,
# tls => 'TLSv1.3', reused => session resumed}, and other events: 'tls error',
# 'end', 'close', 'tunnel'. The edge's own health probes are events 'probe'.
sub records {
    my ($self) = @_;
    return map { JSON::PP->new->utf8->decode($_) } split /\n/,
        slurp($self->{records});
}

sub requests { return grep { $_->{event} eq 'request' } $_[0]->records }

# last_request: the newest request, undef when there was none since clear().
sub last_request { return ($_[0]->requests)[-1] }

# wait_event('close', seconds): the newest record of that event.
sub wait_event {
    my ($self, $event, $timeout) = @_;
    return wait_until(sub {
        (grep { $_->{event} eq $event } $self->records)[-1];
    }, $timeout // 15);
}

sub clear { truncate $_[0]{records}, 0 }

# sent(name): the values of a field of the newest request, in order.
sub sent {
    my ($self, $name) = @_;
    my $last = $self->last_request // return;
    return $last->{head} =~ /^\Q$name\E:[ \t]*(.*?)[ \t]*\r?$/gmi;
}

1;
