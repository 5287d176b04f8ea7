package Edge::Certs;

# Test certificate authorities and certificates, made with openssl.

use strict;
use warnings;
use Carp;
use Edge::Netns;
use POSIX qw(strftime);

my %made;

# ca('outside'): a CA of that name; returns the path of its certificate.
sub ca {
    my ($name) = @_;
    my $base = _dir() . "/ca-$name";
    return "$base.pem" if $made{"ca-$name"}++;
    _openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj',
        "/CN=cms-edge test CA $name", '-addext',
        'basicConstraints=critical,CA:TRUE', '-addext',
        'keyUsage=critical,keyCertSign,cRLSign', '-keyout', "$base.key",
        '-out', "$base.pem");
    return "$base.pem";
}

# cert('outside', 'cmsweb.octavio.test', ...): a certificate of that CA for
# these names (SANs: DNS, or IP where it looks like one); returns (certificate
# file, key file). Options as a leading hash: {days => -1, self_signed => 1,
# no_san => 1, key => 'rsa', extensions => "more lines\n",
# startdate => '20301231000000Z'}.
sub cert {
    my %o = ref $_[0] ? %{shift()} : ();
    my ($ca, @names) = @_;
    my $id = join '+', $ca, @names, map { "$_=$o{$_}" } sort keys %o;
    $id =~ s/[^\w.+=-]/_/g;
    my $base = _dir() . '/' . substr($id, 0, 120);
    return ("$base.pem", "$base.key") if $made{$id}++;

    my $capem = ca($ca);
    (my $cakey = $capem) =~ s/\.pem$/.key/;
    my $san = join ',', map { (/^[\d.]+$|:/ ? 'IP:' : 'DNS:') . $_ } @names;
    _openssl('req', '-newkey', ($o{key} // '') eq 'rsa' ? 'rsa:2048'
            : ('ec', '-pkeyopt', 'ec_paramgen_curve:P-256'),
        '-nodes', '-subj', "/CN=$names[0]", '-keyout', "$base.key",
        '-out', "$base.csr");
    open my $ext, '>', "$base.ext" or croak "$base.ext: $!";
    print $ext $o{no_san} ? () : "subjectAltName=$san\n", $o{extensions}
        // "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n";
    close $ext;
    if ($o{startdate} || ($o{days} // 30) < 0) {
        my $end = time + 86400 * ($o{days} // 3650);
        _from_to($base, $capem, $cakey, $o{startdate} // '20200101000000Z',
            strftime('%Y%m%d%H%M%SZ', gmtime $end));
        return ("$base.pem", "$base.key");
    }
    _openssl('x509', '-req', '-in', "$base.csr", '-days', $o{days} // 30,
        '-extfile', "$base.ext", '-out', "$base.pem",
        $o{self_signed} ? ('-key', "$base.key")
            : ('-CA', $capem, '-CAkey', $cakey, '-CAcreateserial'));
    return ("$base.pem", "$base.key");
}

# Only `openssl ca` sets another first day than today, on OpenSSL 3.0; newer
# ones refuse a last day before the first.
sub _from_to {
    my ($base, $capem, $cakey, $startdate, $enddate) = @_;
    open my $conf, '>', "$base.conf" or croak "$base.conf: $!";
    print $conf "[a]\nnew_certs_dir=", _dir(), "\ndatabase=$base.index\n",
        "rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\n",
        "commonName=supplied\n";
    close $conf;
    open my $index, '>', "$base.index" or croak "$base.index: $!";
    close $index;
    _openssl('ca', '-batch', '-notext', '-config', "$base.conf", '-name', 'a',
        '-cert', $capem, '-keyfile', $cakey, '-startdate', $startdate,
        '-enddate', $enddate, '-extfile', "$base.ext", '-in', "$base.csr",
        '-out', "$base.pem");
}

sub _dir {
    my $d = "$Edge::Netns::dir/certs";
    mkdir $d, 0755 if !-d $d;
    return $d;
}

sub _openssl {
    my @cmd = ('openssl', @_);
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec @cmd;
    }
    local $/;
    my $text = <$out>;
    close $out or croak "@cmd: $text";
}

1;
