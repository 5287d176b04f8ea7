package Edge::Http2Client;

# An HTTP/2 client (RFC 9113) that sends exactly the fields it is given, so
# that :authority and Host may disagree, or be there twice. Its header block
# uses literals only; of HPACK it decodes what a server sends without a
# dynamic table, which its settings forbid.

use strict;
use warnings;
use Carp;
use Edge::HttpClient;

# The static table of RFC 7541, Appendix A.
my @static = (undef, map { [split /=/, $_, 2] } split /\n/, <<'EOT');
:authority=
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset=
accept-encoding=gzip, deflate
accept-language=
accept-ranges=
accept=
access-control-allow-origin=
age=
allow=
authorization=
cache-control=
content-disposition=
content-encoding=
content-language=
content-length=
content-location=
content-range=
content-type=
cookie=
date=
etag=
expect=
expires=
from=
host=
if-match=
if-modified-since=
if-none-match=
if-range=
if-unmodified-since=
last-modified=
link=
location=
max-forwards=
proxy-authenticate=
proxy-authorization=
range=
referer=
refresh=
retry-after=
server=
set-cookie=
strict-transport-security=
transfer-encoding=
user-agent=
vary=
via=
www-authenticate=
EOT

# Its Huffman code (Appendix B) is canonical: the symbols of each length, in
# order, say it all. Those beyond ASCII have 20 bits and more.
my %huffman;
{
    my %symbols = (5 => '012aceiost', 6 => ' %-./3456789=A_bdfghlmnpru',
        7 => ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz', 8 => '&*,;XZ',
        10 => '!"()?', 11 => "'+|", 12 => '#>', 13 => "\0\$\@[]~",
        14 => '^}', 15 => '<`{', 19 => "\\\xc3\xd0");
    my ($code, $bits) = (0, 5);
    for my $n (sort { $a <=> $b } keys %symbols) {
        $code <<= $n - $bits;
        $bits = $n;
        $huffman{sprintf '%0*b', $n, $code++} = $_
            for split //, $symbols{$n};
    }
}

# new(to => 'host:port', tls => name): as Edge::HttpClient.
sub new {
    my ($class, %o) = @_;
    my $c = Edge::HttpClient->new(alpn => ['h2'], %o) // return;
    my $self = bless { client => $c, stream => -1 }, $class;
    # Settings: no dynamic table for what comes to us, no push.
    my $settings = pack('nN', 1, 0) . pack('nN', 2, 0);
    $c->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . _frame(4, 0, 0, $settings)
        . _frame(8, 0, 0, pack 'N', 1 << 30));
    return $self;
}

sub close { $_[0]{client}->close }

# request([name => value, ...], body): exactly these fields, pseudo fields
# included. The response; undef when the stream was reset or nothing came (the
# error code is then in ->{reset}).
sub request {
    my ($self, $fields, $body) = @_;
    my $id = $self->{stream} += 2;
    my @fields = @$fields;
    my $block = '';
    while (my ($name, $value) = splice @fields, 0, 2) {
        $block .= "\0" . _string($name) . _string($value);
    }
    my $flags = 4 | (defined $body ? 0 : 1);
    my $out = _frame(1, $flags, $id, $block);
    $out .= _frame(0, 1, $id, $body) if defined $body;
    $self->{client}->send($out);
    return $self->_response($id);
}

# get(authority, path, name => value ...): what a browser sends, and these,
# their names in lower case as HTTP/2 wants them.
sub get {
    my ($self, $authority, $path, @fields) = @_;
    $fields[$_ * 2] = lc $fields[$_ * 2] for 0 .. @fields / 2 - 1;
    return $self->request([':method' => 'GET', ':scheme' => 'https',
        ':authority' => $authority, ':path' => $path, @fields]);
}

# ---- inside ----

sub _frame {
    my ($type, $flags, $id, $payload) = @_;
    return substr(pack('N', length $payload), 1)
        . pack('CCN', $type, $flags, $id) . $payload;
}

sub _response {
    my ($self, $id) = @_;
    my $c = $self->{client};
    my ($block, $body, $fields) = ('', '');
    delete $self->{reset};
    while (1) {
        my $head = $c->raw(9) // return;
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $head;
        my $payload = $c->raw($high << 16 | $low) // return;
        if ($type == 4 && !($flags & 1)) {
            $c->send(_frame(4, 1, 0, ''));
        } elsif ($type == 7) {
            $self->{reset} = unpack 'x4 N', $payload;
            return;
        }
        next if $stream != $id;
        if ($type == 3) {
            $self->{reset} = unpack 'N', $payload;
            return;
        } elsif ($type == 1 || $type == 9) {
            $block .= $payload;
            if ($flags & 4) {
                $fields //= [_decode($block)];
                $block = '';
            }
        } elsif ($type == 0) {
            $body .= $payload;
            # Room for as much again: a stream begins with 64 KB.
            $c->send(_frame(8, 0, $id, pack 'N', length $payload))
                if length $payload;
        }
        last if ($type == 0 || $type == 1) && $flags & 1;
    }
    my ($status, @rest) = @$fields;
    return Edge::HttpClient::Response->new(version => 'HTTP/2',
        status => $status->[1], fields => \@rest, body => $body);
}

sub _string { return _integer(length $_[0], 7, 0) . $_[0] }

sub _integer {
    my ($n, $bits, $first) = @_;
    my $max = (1 << $bits) - 1;
    return pack 'C', $first | $n if $n < $max;
    my $out = pack 'C', $first | $max;
    for ($n -= $max; $n >= 128; $n >>= 7) {
        $out .= pack 'C', $n & 127 | 128;
    }
    return $out . pack 'C', $n;
}

sub _decode {
    my ($block) = @_;
    my @fields;
    while (length $block) {
        my $first = ord $block;
        if ($first & 0x80) {
            push @fields, $static[_take_integer(\$block, 7)]
                // croak 'HPACK: an entry of a dynamic table';
        } elsif (($first & 0xe0) == 0x20) {
            _take_integer(\$block, 5);
        } else {
            my $index = _take_integer(\$block, $first & 0x40 ? 6 : 4);
            my $name = $index ? $static[$index][0] : _take_string(\$block);
            push @fields, [$name, _take_string(\$block)];
        }
    }
    return @fields;
}

sub _take_integer {
    my ($block, $bits) = @_;
    my $max = (1 << $bits) - 1;
    my $n = $max & ord substr $$block, 0, 1, '';
    return $n if $n < $max;
    for (my $shift = 0; ; $shift += 7) {
        my $byte = ord substr $$block, 0, 1, '';
        $n += ($byte & 127) << $shift;
        return $n if $byte < 128;
    }
}

sub _take_string {
    my ($block) = @_;
    my $coded = 0x80 & ord $$block;
    my $n = _take_integer($block, 7);
    my $text = substr $$block, 0, $n, '';
    return $text if !$coded;
    my ($out, $code) = ('', '');
    for my $bit (split //, unpack 'B*', $text) {
        $code .= $bit;
        if (defined $huffman{$code}) {
            $out .= $huffman{$code};
            $code = '';
        }
    }
    croak "HPACK: no such code: $code" if $code =~ /0/ || length $code > 7;
    return $out;
}

1;
