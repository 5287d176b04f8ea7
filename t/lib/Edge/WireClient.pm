package Edge::WireClient;

# A client of which a test decides every segment and every TLS record: what
# comes in a byte at a time, is cut off, or ends with a reset. TLS is
# OpenSSL's own, between two buffers in memory.
#
#   my $c = Edge::WireClient->new(to => '127.0.0.1:443', cut => 'segments');
#   $c->start_tls(version => '1.3', alpn => ['h2'], name => 'octavio.test');
#   $c->send("...");
#   ok($c->hears(qr/.../));

use strict;
use warnings;
use Carp;
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::IP;
use Net::SSLeay;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

# new(to => 'host:port', ...): connected, or undef.
#   from     local address
#   cut      'segments': each byte is written alone; 'records': each byte is
#            a TLS record of its own, the ClientHello's too
#   timeout  20 seconds, for each thing that is waited for
sub new {
    my ($class, %o) = @_;
    my $s = IO::Socket::IP->new(PeerAddr => $o{to}, LocalHost => $o{from},
        Timeout => $o{timeout} // 20) // return;
    setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
    $s->blocking(0);
    return bless { sock => $s, cut => $o{cut} // '', in => '', end => '',
        timeout => $o{timeout} // 20 }, $class;
}

# name: 'address:port' of this side.
sub name {
    my ($self) = @_;
    return join ':', $self->{sock}->sockhost, $self->{sock}->sockport;
}

# send(bytes): inside TLS after start_tls. False when the other side is gone.
sub send {
    my ($self, $bytes) = @_;
    return $self->_put($bytes) if !$self->{ssl};
    for my $piece ($self->{cut} eq 'records' ? split //, $bytes : $bytes) {
        Net::SSLeay::write($self->{ssl}, $piece) > 0 or return 0;
        $self->_put($self->_pending) or return 0;
    }
    return 1;
}

# start_tls(version => '1.2', alpn => ['h2'], name => SNI): a handshake;
# nothing is verified. ticket => N makes the ClientHello larger by so many
# bytes, of TLS 1.2 only. False when it fails: ->{alert} is then what the
# server said, if it did.
sub start_tls {
    my ($self, %o) = @_;
    $self->begin_tls(0, %o);
    return $self->finish_tls;
}

# The same in two steps: at first just so many bytes of the ClientHello.
sub begin_tls {
    my ($self, $len, %o) = @_;
    $self->_make_tls(%o);
    Net::SSLeay::connect($self->{ssl});
    $self->{hello} = $self->_cut_records($self->_pending);
    return $self->_put(substr $self->{hello}, 0, $len, '');
}

sub finish_tls {
    my ($self) = @_;
    $self->_put(delete $self->{hello});
    while (1) {
        my $done = Net::SSLeay::connect($self->{ssl});
        # read at once: another call would clear it
        my $why = Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error());
        $self->_put($self->_pending);
        last if $done > 0;
        if ($why =~ /alert (.*)/) {
            $self->{alert} = $1;
            return 0;
        }
        $self->_fill(time + $self->{timeout}) or return 0;
    }
    $self->{opened} = 1;
    $self->_decrypt;
    return 1;
}

# client_hello(...): the first bytes of such a handshake.
sub client_hello {
    my ($class, %o) = @_;
    my $self = bless {}, $class;
    $self->_make_tls(%o);
    Net::SSLeay::connect($self->{ssl});
    return $self->_pending;
}

# hears(qr/.../): true when what has come matches, within the timeout; all of
# it is in ->heard.
sub hears {
    my ($self, $re) = @_;
    my $end = time + $self->{timeout};
    while ($self->{in} !~ $re) {
        $self->_fill($end) or return 0;
    }
    return 1;
}

sub heard { $_[0]{in} }

# closed(seconds): how the other side ended it ('fin', 'reset'), '' if it did
# not within that time.
sub closed {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // $self->{timeout});
    1 while $self->_fill($end);
    return $self->{end};
}

# Ends our direction; the whole connection with a reset; TLS properly.
sub finish { shutdown $_[0]{sock}, 1 }

sub reset {
    my ($self) = @_;
    setsockopt $self->{sock}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    $self->{sock}->close;
}

sub close_tls {
    my ($self) = @_;
    Net::SSLeay::shutdown($self->{ssl});
    $self->_put($self->_pending);
}

sub DESTROY {
    my ($self) = @_;
    Net::SSLeay::free($self->{ssl}) if $self->{ssl};
}

# ---- inside ----

sub _make_tls {
    my ($self, %o) = @_;
    my $ctx = Net::SSLeay::CTX_new();
    my $version = { '1.2' => 0x303, '1.3' => 0x304 }->{$o{version} // '1.3'};
    Net::SSLeay::CTX_set_min_proto_version($ctx, $version);
    Net::SSLeay::CTX_set_max_proto_version($ctx, $version);
    Net::SSLeay::CTX_set_alpn_protos($ctx, $o{alpn}) if @{$o{alpn} // []};
    my $ssl = Net::SSLeay::new($ctx);
    Net::SSLeay::CTX_free($ctx);
    Net::SSLeay::set_tlsext_host_name($ssl, $o{name}) if $o{name};
    Net::SSLeay::set_session_ticket_ext($ssl, "\xff" x $o{ticket})
        if $o{ticket};
    $self->{tls_in} = Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem());
    $self->{tls_out} = Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem());
    Net::SSLeay::set_bio($ssl, $self->{tls_in}, $self->{tls_out});
    $self->{ssl} = $ssl;
}

# What TLS wants to send.
sub _pending {
    my ($self) = @_;
    my $n = Net::SSLeay::BIO_pending($self->{tls_out});
    return $n ? Net::SSLeay::BIO_read($self->{tls_out}, $n) : '';
}

# The ClientHello again, in records of one byte where they are to be cut.
sub _cut_records {
    my ($self, $bytes) = @_;
    return $bytes if $self->{cut} ne 'records';
    my ($payload, $out) = ('', '');
    while ($bytes =~ s/^(...)(..)//s) {
        $payload .= substr $bytes, 0, unpack('n', $2), '';
    }
    return join '', map { pack 'CnnC', 22, 0x0301, 1, ord } split //, $payload;
}

sub _put {
    my ($self, $bytes) = @_;
    my $end = time + $self->{timeout};
    my $most = $self->{cut} eq 'segments' ? 1 : length $bytes;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = $self->{sock}->syswrite($bytes, $most);
        if (defined $n) {
            substr($bytes, 0, $n) = '';
        } elsif ($! != EAGAIN && $! != EINTR) {
            return 0;
        } elsif (!IO::Select->new($self->{sock})->can_write($end - time)) {
            return 0;
        }
    }
    return 1;
}

# Some more bytes; false at the end of the connection and of the time.
sub _fill {
    my ($self, $end) = @_;
    while (!$self->{end}) {
        my $n = $self->{sock}->sysread(my $bytes, 65536);
        if ($n) {
            $self->_take($bytes);
            return 1;
        }
        if (defined $n || ($! != EAGAIN && $! != EINTR)) {
            $self->{end} = defined $n ? 'fin' : 'reset';
            last;
        }
        my $left = $end - time;
        last if $left <= 0;
        IO::Select->new($self->{sock})->can_read($left);
    }
    return 0;
}

sub _take {
    my ($self, $bytes) = @_;
    if (!$self->{ssl}) {
        $self->{in} .= $bytes;
        return;
    }
    Net::SSLeay::BIO_write($self->{tls_in}, $bytes);
    $self->_decrypt if $self->{opened};
}

sub _decrypt {
    my ($self) = @_;
    while (defined(my $text = Net::SSLeay::read($self->{ssl}))) {
        last if !length $text;
        $self->{in} .= $text;
    }
    Net::SSLeay::ERR_clear_error();
}

1;
