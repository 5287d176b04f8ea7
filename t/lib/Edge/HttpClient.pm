package Edge::HttpClient;

# An HTTP/1 client that sends exactly the bytes it is given and shows exactly
# the response it got: header fields in order, with duplicates. It also opens
# WebSockets. What a browser would refuse to send, a test can.
#
#   my $c = Edge::HttpClient->new(to => '127.0.0.1:443',
#                                 tls => 'cmsweb.octavio.test');
#   my $r = $c->get('/', Host => 'cmsweb.octavio.test');
#   is($r->status, 200);

use strict;
use warnings;
use Carp;
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::UNIX;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

# new(to => 'host:port' or '/socket', ...): connected, or undef with the
# reason in $Edge::HttpClient::error.
#   tls      the name for SNI; undef for plain HTTP, '' for TLS without SNI
#   ca       CA file to verify the server with (none: not verified)
#   alpn     ['http/1.1']; [] sends none
#   timeout  20 seconds, for each answer
#   from     the client's address
our $error;
my %context;

sub new {
    my ($class, %o) = @_;
    my $timeout = $o{timeout} // 20;
    my $s = $o{to} =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $o{to})
        : IO::Socket::IP->new(PeerAddr => $o{to}, Timeout => $timeout,
            ($o{from} ? (LocalHost => $o{from}) : ()));
    if (!$s) {
        $error = "$o{to}: $!";
        return;
    }
    setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1 if $o{to} !~ m{^/};
    if (defined $o{tls}) {
        my @alpn = @{$o{alpn} // ['http/1.1']};
        # Making a context costs more than a handshake: one for each kind.
        my $context = $context{join ' ', $o{ca} // '', @alpn}
            //= IO::Socket::SSL::SSL_Context->new(
                SSL_verify_mode => $o{ca} ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                SSL_ca_file => $o{ca},
                SSL_ca_path => undef,
                (@alpn ? (SSL_alpn_protocols => \@alpn) : ()),
            );
        my $ok = IO::Socket::SSL->start_SSL($s,
            SSL_reuse_ctx => $context,
            SSL_hostname => $o{tls},
            ($o{ca} ? (SSL_verifycn_name => $o{tls},
                SSL_verifycn_scheme => 'http') : ()),
            Timeout => $timeout,
        );
        if (!$ok) {
            $error = "$o{to}: $IO::Socket::SSL::SSL_ERROR";
            return;
        }
    }
    $s->blocking(0);
    return bless { sock => $s, tls => defined $o{tls}, in => '', eof => 0,
        timeout => $timeout }, $class;
}

sub socket { $_[0]{sock} }

sub close { delete($_[0]{sock})->close if $_[0]{sock}; return }

# send(bytes): all of them, or false when the other side went away.
sub send {
    my ($self, $bytes) = @_;
    my $end = time + $self->{timeout};
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = $self->{sock}->syswrite($bytes, 16384);
        if (defined $n) {
            substr($bytes, 0, $n) = '';
            next;
        }
        $self->_writable($end) or return 0;
    }
    return 1;
}

# request(method, target, [name => value ...], body): HTTP/1.1 with exactly
# these fields; a body gets its Content-Length. The response, or undef.
sub request {
    my ($self, $method, $target, $fields, $body) = @_;
    my @fields = @{$fields // []};
    push @fields, 'Content-Length' => length $body if defined $body;
    my $text = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    # A server may answer and close before it has read it all.
    $self->send("$text\r\n" . ($body // ''));
    return $self->response($method);
}

sub get {
    my ($self, $target, @fields) = @_;
    return $self->request('GET', $target, \@fields);
}

# response('GET'): the next response on the connection, undef when there is
# none within the timeout or the connection ended before one was whole.
sub response {
    my ($self, $method) = @_;
    $method //= 'GET';
    my $end = time + $self->{timeout};
    my $head = $self->_read_to(qr/\r\n\r\n/, $end) // return;
    my ($first, @lines) = split /\r\n/, $head;
    $first =~ m{^(HTTP/\d\.\d) (\d{3}) ?(.*)$} or return;
    my $r = Edge::HttpClient::Response->new(version => $1, status => $2,
        reason => $3,
        fields => [map { [/^([^:]*):[ \t]*(.*?)[ \t]*$/] } @lines]);

    if ($method eq 'HEAD' || $r->status =~ /^(?:1..|204|304)$/) {
        return $r;
    }
    if (($r->header('Transfer-Encoding') // '') =~ /chunked/i) {
        my $body = '';
        while (1) {
            my $size = $self->_read_to(qr/\r\n/, $end) // return;
            $size = hex $size;
            my $data = $self->_read_bytes($size + 2, $end) // return;
            last if !$size;
            $body .= substr $data, 0, $size;
        }
        $r->{body} = $body;
    } elsif (defined(my $n = $r->header('Content-Length'))) {
        $r->{body} = $self->_read_bytes($n, $end) // return;
    } else {
        $r->{body} = $self->_read_to_eof($end) // return;
    }
    return $r;
}

# closed(seconds): true when the other side closes within that time without
# sending more.
sub closed {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // $self->{timeout});
    until ($self->{eof} || length $self->{in}) {
        last if !$self->_fill($end);
    }
    return $self->{eof} && !length $self->{in};
}

# raw(n): the next n bytes, undef when they do not come.
sub raw {
    my ($self, $n) = @_;
    return $self->_read_bytes($n, time + $self->{timeout});
}

# ---- WebSocket (RFC 6455) ----

# upgrade('/path', name => value ...): a WebSocket handshake with these fields
# beside its own; the response. After status 101 the frames below work.
sub upgrade {
    my ($self, $target, @fields) = @_;
    return $self->get($target, @fields, Upgrade => 'websocket',
        Connection => 'Upgrade', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==');
}

my %opcode = (text => 1, binary => 2, close => 8, ping => 9, pong => 10);
my %opcode_name = reverse %opcode;

# send_frame('text', payload): one masked frame. send_close(code) closes.
sub send_frame {
    my ($self, $type, $payload) = @_;
    my $n = length $payload;
    my $head = pack 'C', 0x80 | $opcode{$type};
    $head .= $n < 126 ? pack('C', 0x80 | $n)
        : $n < 65536 ? pack('Cn', 0x80 | 126, $n)
        : pack('CQ>', 0x80 | 127, $n);
    my $mask = pack 'N', int rand 2**32;
    my $pad = $mask x (1 + $n / 4);
    return $self->send($head . $mask . ($payload ^ substr($pad, 0, $n)));
}

sub send_close { $_[0]->send_frame('close', pack 'n', $_[1] // 1000) }

# frame(seconds): the next frame as (type, payload); () when none comes.
sub frame {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // $self->{timeout});
    my $head = $self->_read_bytes(2, $end) // return;
    my ($first, $n) = unpack 'CC', $head;
    if ($n == 126) {
        $n = unpack 'n', $self->_read_bytes(2, $end) // return;
    } elsif ($n == 127) {
        $n = unpack 'Q>', $self->_read_bytes(8, $end) // return;
    }
    my $payload = $self->_read_bytes($n, $end) // return;
    return ($opcode_name{$first & 15} // $first & 15, $payload);
}

# ---- reading ----

# After a write that took nothing: true when it is worth another try. What
# arrives meanwhile is taken, so that two who write to each other go on.
sub _writable {
    my ($self, $end) = @_;
    my $left = $end - time;
    return 0 if $left <= 0 || $self->{eof};
    return 0 if $self->{tls}
        ? $SSL_ERROR != SSL_WANT_READ && $SSL_ERROR != SSL_WANT_WRITE
        : $! != EAGAIN && $! != EINTR;
    my $sel = IO::Select->new($self->{sock});
    my ($r, $w) = IO::Select::select($sel, $sel, undef, $left);
    if ($r && @$r) {
        my $n = $self->{sock}->sysread($self->{in}, 65536, length $self->{in});
        $self->{eof} = 1 if defined $n && !$n;
    }
    return $r && (@$r || @$w);
}

# One read into the buffer; false at the deadline and at the end.
sub _fill {
    my ($self, $end) = @_;
    while (!$self->{eof}) {
        my $n = $self->{sock}->sysread($self->{in}, 65536, length $self->{in});
        return 1 if $n;
        if (defined $n) {
            $self->{eof} = 1;
            last;
        }
        my $left = $end - time;
        return 0 if $left <= 0;
        if ($self->{tls} ? $SSL_ERROR == SSL_WANT_READ
                : $! == EAGAIN || $! == EINTR) {
            IO::Select->new($self->{sock})->can_read($left);
            next;
        }
        $self->{eof} = 1;    # reset
    }
    return 0;
}

sub _read_to {
    my ($self, $re, $end) = @_;
    while (1) {
        return $1 if $self->{in} =~ s/^(.*?)$re//s;
        $self->_fill($end) or return;
    }
}

sub _read_bytes {
    my ($self, $n, $end) = @_;
    while (length $self->{in} < $n) {
        $self->_fill($end) or return;
    }
    return substr $self->{in}, 0, $n, '';
}

sub _read_to_eof {
    my ($self, $end) = @_;
    1 while $self->_fill($end);
    return if !$self->{eof};
    my $all = $self->{in};
    $self->{in} = '';
    return $all;
}

package Edge::HttpClient::Response;

# A response: status, reason, version, fields ([[name, value], ...] as they
# came), body. Edge::Http2Client gives the same.

sub new {
    my ($class, %o) = @_;
    return bless { body => '', reason => '', %o }, $class;
}

sub status { $_[0]{status} }
sub version { $_[0]{version} }
sub body { $_[0]{body} }
sub fields { @{$_[0]{fields}} }

# all('Set-Cookie'): every value of the field, in order.
sub all {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } $self->fields;
}

# header('Location'): its first value, or undef.
sub header { ($_[0]->all($_[1]))[0] }

# text: all of it as one string, to search for what must not be there.
sub text {
    my ($self) = @_;
    return join "\n", "$self->{status} $self->{reason}",
        (map { "$_->[0]: $_->[1]" } $self->fields), '', $self->body;
}

1;
