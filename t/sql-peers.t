use strict;
use warnings;
use Edge::Netns;
use Edge::Postgres;
use Socket qw(inet_pton inet_ntop AF_INET AF_INET6);
use Test::More;

# turn.allow_peer and turn.deny_peer: networks as people write them, ranges as
# coturn reads them.

my $pg = Edge::Postgres->start;
$pg->install;
my $admin = $pg->dbh(user => 'turn_admin');
my $server = $pg->dbh(user => 'turn_server');
my @said;
$SIG{__WARN__} = sub { push @said, $_[0] };
$admin->{PrintWarn} = 1;

sub call { $admin->do("select turn.$_[0](?, ?)", undef, @_[1, 2]) }

sub error {
    return '' if eval { call(@_); 1 };
    my ($message) = $admin->errstr =~ /^ERROR:\s+(.*)/;
    return $admin->state . " $message";
}

sub ranges {
    my ($kind) = @_;
    return [map { "@$_" } @{$server->selectall_arrayref(
        "select ip_range, realm from ${kind}_peer_ip")}];
}

sub forget_all { $pg->psql('delete from turn.peer_rule') }

subtest 'a network is what coturn calls a range' => sub {
    call('allow_peer', 'octavio.test', '192.0.2.16/28');
    is_deeply(ranges('allowed'), ['192.0.2.16-192.0.2.31 octavio.test'],
        'IPv4');
    call('remove_peer', 'octavio.test', '192.0.2.16/28');
    is_deeply(ranges('allowed'), [], 'taken away again');
    call('allow_peer', 'octavio.test', '192.0.2.17');
    is_deeply(ranges('allowed'), ['192.0.2.17 octavio.test'], 'an address');
    call('remove_peer', 'octavio.test', '192.0.2.17/32');
    is_deeply(ranges('allowed'), [], 'however one writes it');
    call('allow_peer', 'octavio.test', '2001:db8:1::/48');
    is_deeply(ranges('allowed'), ['2001:db8:1::-'
        . '2001:db8:1:ffff:ffff:ffff:ffff:ffff octavio.test'], 'IPv6');
    forget_all();
    call('allow_peer', $_, '192.0.2.0/24') for '', undef;
    is_deeply(ranges('allowed'), ['192.0.2.0-192.0.2.255 '],
        'no realm is every realm');
    forget_all();
    call('deny_peer', 'octavio.test', '10.0.0.0/8');
    is_deeply([sort @{ranges('denied')}], [sort map { "$_ octavio.test" }
        '10.0.0.0-10.255.255.255',
        '::ffff:10.0.0.0-::ffff:10.255.255.255',
        '::10.0.0.0-::10.255.255.255',
        '64:ff9b::a00:0-64:ff9b::aff:ffff',
        '2002:a00::-2002:aff:ffff:ffff:ffff:ffff:ffff:ffff'],
        'a denied one is denied in every spelling');
    is(ranges('denied')->[0], '10.0.0.0-10.255.255.255 octavio.test',
        'the plain one first');
    forget_all();
};

subtest 'one peer has one rule' => sub {
    call('allow_peer', 'octavio.test', '192.0.2.17');
    call('deny_peer', 'octavio.test', '192.0.2.17/32');
    is_deeply(ranges('allowed'), [], 'denied now: not allowed any more');
    $admin->do("select turn.allow_peer('octavio.test', '192.0.2.17', 'CB 1')");
    is_deeply(ranges('denied'), [], 'allowed now: not denied any more');
    is_deeply([map { [@$_] } @{$admin->selectall_arrayref('select realm, peer,
        rule, note from turn.peers')}],
        [['octavio.test', '192.0.2.17', 'allow', 'CB 1']],
        'turn.peers shows it');

    @said = ();
    call('deny_peer', '', '192.0.2.0/24');
    like("@said", qr/192.0.2.17 stays reachable: .* in realm "octavio.test"/,
        'a wider denial says what it does not close');
    @said = ();
    call('deny_peer', 'other.test', '192.0.2.0/24');
    is("@said", '', 'in another realm it closes all');
    forget_all();
};

subtest 'what is no peer is refused, with the reason' => sub {
    my $hint = 'is no network, address or range';
    my %reason = (
        'host.test' => qq{"host.test" $hint},
        '' => qq{"" $hint},
        ' ' => qq{" " $hint},
        '10.0.0.0/33' => qq{"10.0.0.0/33" $hint},
        '10.0.0.256' => qq{"10.0.0.256" $hint},
        '192.0.2.1-192.0.2.2-192.0.2.3' =>
            qq{"192.0.2.1-192.0.2.2-192.0.2.3" $hint},
        '192.0.2.1-' => qq{"192.0.2.1-" $hint},
        '-192.0.2.1' => qq{"-192.0.2.1" $hint},
        '10.0.0.1/8' => '"10.0.0.1/8" is no network: 10.0.0.0/8 is',
        '0.0.0.0' => '"0.0.0.0" is no address of a peer',
        '::' => '"::" is no address of a peer',
        '::/128' => '"::/128" is no address of a peer',
        '0.0.0.0-0.0.0.0' => '"0.0.0.0-0.0.0.0" is no address of a peer',
        map { $_ => qq{"$_" is no range: it takes two addresses of one family,}
            . ' the lower one first' } '192.0.2.2-192.0.2.1',
            '192.0.2.1-2001:db8::1', '192.0.2.0/24-192.0.2.9',
    );
    for my $peer (sort keys %reason) {
        is(error($_, '', $peer), "22023 $reason{$peer}", "$_ $reason{$peer}")
            for qw(allow_peer deny_peer);
    }
    is(error('allow_peer', 'a b', '192.0.2.1'),
        '22023 realm "a b" contains a space, which coturn refuses', 'realm');
    is(error('remove_peer', '', '192.0.2.1'),
        'P0002 there is no rule for "192.0.2.1" in realm ""',
        'what is not there cannot be taken away');
    is(error('allow_peer', '', undef), '22023 "<NULL>" ' . $hint, 'null');
    is_deeply([$pg->rows('select * from turn.peer_rule')], [],
        'nothing of it is kept');
};

# ---- is it the same set of addresses, as coturn compares? ----

sub bytes {
    my ($text) = @_;
    return inet_pton($text =~ /:/ ? AF_INET6 : AF_INET, $text)
        // die "no address: $text";
}

sub is_zero { return $_[0] !~ /[^\0]/ }

# addr_less_eq of coturn: 4.6.1 compares each byte of IPv6 by itself.
sub less_eq {
    my ($version, $low, $high) = @_;
    return length $low < length $high if length $low != length $high;
    return $low le $high if length $low == 4 || $version eq 'newest';
    my @l = unpack 'C*', $low;
    my @h = unpack 'C*', $high;
    return !grep { $l[$_] > $h[$_] } 0 .. 15;
}

# The IPv4 address inside an IPv6 one, as newest coturn looks for it.
sub embedded {
    my ($address) = @_;
    return substr($address, 12) if $address =~ /^\0{10}\xff\xff/s
        || $address =~ /^\0\x64\xff\x9b\0{8}/s
        || $address =~ /^\0{12}/ && $address !~ /^\0{15}[\0\1]$/;
    return substr($address, 2, 4) if $address =~ /^\x20\x02/;
    return undef;
}

sub in_range {
    my ($version, $range, $address) = @_;
    my ($first, $last) = map { bytes($_) } split /-/, $range;
    $last //= $first;
    if ($version eq 'newest' && length $address == 16 && length $first == 4) {
        $address = embedded($address) // $address;
    }
    return (is_zero($first) || less_eq($version, $first, $address))
        && (is_zero($last) || less_eq($version, $address, $last));
}

sub matches {
    my ($version, $ranges, $address) = @_;
    return 0 + !!grep { in_range($version, $_, $address) } @$ranges;
}

sub add_one {
    my ($address, $one) = @_;
    my @b = unpack 'C*', $address;
    for my $i (reverse 0 .. $#b) {
        $b[$i] += $one;
        return pack 'C*', @b if $b[$i] >= 0 && $b[$i] <= 255;
        $b[$i] &= 255;
    }
    return;    # over the end
}

sub random_address {
    my ($len) = @_;
    return pack 'C*', map { (0, 0, 255, 1, int rand 256)[rand 5] } 1 .. $len;
}

# first and last of a random network, and how it is written
sub random_net {
    my ($len) = @_;
    my $bits = int rand(8 * $len + 1);
    my $mask = pack 'B*', '1' x $bits . '0' x (8 * $len - $bits);
    my $first = random_address($len) & $mask;
    my $last = $first | ~$mask;
    my $family = $len == 4 ? AF_INET : AF_INET6;
    return ($first, $last, inet_ntop($family, $first) . "/$bits");
}

sub random_range {
    my ($len) = @_;
    my ($first, $last) = sort map { random_address($len) } 1, 2;
    my $family = $len == 4 ? AF_INET : AF_INET6;
    return ($first, $last,
        join '-', map { inet_ntop($family, $_) } $first, $last);
}

# Networks that begin where coturn reads "no lower limit".
my @from_zero = map { my ($len, $bits) = @$_;
    my $first = "\0" x $len;
    [$first, ~$first ^ pack('B*', '1' x $bits . '0' x (8 * $len - $bits)),
        inet_ntop($len == 4 ? AF_INET : AF_INET6, $first) . "/$bits"]
} map({ [4, $_] } 0, 1, 8, 31), map({ [16, $_] } 0, 1, 7, 8, 64, 97, 120, 127);

# Addresses with one byte that is not 0.
sub single_bytes {
    my ($len) = @_;
    return map { my $i = $_; map { my $b = "\0" x $len;
        substr($b, $i, 1) = chr; $b } 1, 2, 127, 255 } 0 .. $len - 1;
}

subtest 'any network or range is exactly that, in 4.6.1 and in newest' => sub {
    my $seed = srand;
    my @wrong;
    my $asked = 0;
    for (1 .. 300) {
        my $len = (4, 16)[rand 2];
        my ($first, $last, $peer) = @from_zero ? @{shift @from_zero}
            : rand > 0.4 ? random_net($len) : random_range($len);
        $len = length $first;
        next if is_zero($last);
        my $sql = "select unnest(turn.ranges_of(peer, turn.nets_of(peer),
            ?)) from turn.peer_text(?) as peer";
        my %ranges = map { $_ => [map { $_->[0] } $pg->rows($sql, $_, $peer)] }
            0, 1;
        for my $address ($first, $last, add_one($first, -1),
            add_one($last, 1), (map { random_address($len) } 1 .. 10),
            (is_zero($first) ? single_bytes($len) : ()),
            random_address(20 - $len))
        {
            next if !defined $address || is_zero($address)
                || $len == 4 && length $address == 16
                && defined embedded($address)
                || $len == 16 && length $address == 4;
            my $in = length $address == $len && $first le $address
                && $address le $last;
            for my $version (qw(4.6.1 newest)) {
                for my $allowed (0, 1) {
                    $asked++;
                    push @wrong, "$peer $version " . unpack('H*', $address)
                        if matches($version, $ranges{$allowed}, $address)
                        != $in;
                }
            }
        }
        # No IPv4 address is let in, or out, by an IPv6 rule.
        next if $len == 4;
        my $v4 = random_address(4);
        push @wrong, "$peer: IPv4 " . unpack('H*', $v4)
            if matches('4.6.1', $ranges{1}, $v4);
    }
    cmp_ok($asked, '>', 5000, "asked $asked times (seed $seed)");
    is_deeply([@wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]], [], 'none is wrong');
};

subtest 'a denied IPv4 address is denied however IPv6 spells it' => sub {
    my @wrong;
    for (1 .. 50) {
        my ($first, $last, $peer) = rand > 0.5 ? random_net(4)
            : random_range(4);
        next if is_zero($last);
        my @ranges = map { $_->[0] } $pg->rows("select unnest(turn.ranges_of(
            peer, turn.nets_of(peer), false)) from turn.peer_text(?) as peer",
            $peer);
        for my $address ($first, $last, random_address(4)) {
            next if is_zero($address) || $address =~ /^\0\0\0/;
            my $in = $first le $address && $address le $last;
            for my $spelled ("\0" x 10 . "\xff\xff$address", "\0" x 12
                . $address, "\0\x64\xff\x9b" . "\0" x 8 . $address,
                "\x20\x02$address" . "\x07" x 10)
            {
                for my $version (qw(4.6.1 newest)) {
                    push @wrong, "$peer $version " . unpack('H*', $spelled)
                        if matches($version, \@ranges, $spelled) != $in;
                }
            }
        }
    }
    is_deeply([@wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]], [], 'none escapes');
};

# ---- coturn's own tables ----

subtest 'coturn\'s tables can be written as ever' => sub {
    forget_all();
    $admin->do("insert into allowed_peer_ip (realm, ip_range)
        values ('octavio.test', '192.0.2.17-192.0.2.18')");
    is_deeply(ranges('allowed'), ['192.0.2.17-192.0.2.18 octavio.test'],
        'a range is kept as it is');
    $admin->do("delete from allowed_peer_ip where realm = 'octavio.test'
        and ip_range = '192.0.2.17-192.0.2.18'");
    is_deeply(ranges('allowed'), [], 'and goes');
    $admin->do("insert into denied_peer_ip (ip_range) values ('10.0.0.0/8')");
    is(ranges('denied')->[0], '10.0.0.0-10.255.255.255 ',
        'a network, which coturn would ignore, works');
    ok(!eval { $admin->do("delete from denied_peer_ip
        where ip_range = '::ffff:10.0.0.0-::ffff:10.255.255.255'"); 1 },
        'one spelling of it cannot go alone');
    like($admin->errstr, qr/is part of a wider rule/, 'says why');
    $admin->do("delete from denied_peer_ip
        where ip_range = '10.0.0.0-10.255.255.255'");
    is_deeply(ranges('denied'), [], 'all of it can');
    ok(!eval { $admin->do("insert into allowed_peer_ip (ip_range)
        values ('::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')"); 1 },
        'all of IPv6 in coturn\'s words would be all of IPv4, too');
    like($admin->errstr, qr/would mean all of IPv4 .* write the network/,
        'says so');
    ok(!eval { $admin->do("insert into allowed_peer_ip (ip_range)
        values ('')"); 1 }, 'nor is nothing everything');
};

done_testing();
