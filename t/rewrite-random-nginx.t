use strict;
use warnings;
use Edge::Netns;
use Compress::Zlib qw(memGzip memGunzip);
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(spew);
use Edge::RewriteCases qw(random_mappings random_pieces random_text expected
    shrink describe);
use Test::More;

# Random pages through the real thing against the reference: whatever stands in
# them, in whatever pieces the web bridge sends them, plain, in chunks, until
# the end or gzip'd, and whatever buffers nginx has. CASES=N SEED=M repeats a
# run, or goes on longer.

my $cases = $ENV{CASES} // 500;
my $seed = $ENV{SEED} // int rand 1e9;
my $guest = 'guest.octavio.test';
my $documents = "$Edge::Netns::dir/documents";
my @guests = ($guest, 'g.test', 'a-guest-whose-name-is-much-longer.octavio.test');
srand($seed);

# ---- web bridges with random names behind random buffers ----

sub one_of { return $_[rand @_] }

my @bridges = map { random_bridge($_) } 0 .. 11;

sub random_bridge {
    my ($n) = @_;
    my (%seen, @mappings);
    for my $m (@{random_mappings()}, { kind => 'authority',
        from => 'web.bridge', from_port => 0 }) {
        next if $m->{from} !~ /(?:^|\.)[a-z][a-z0-9-]*$/i
            || $m->{from} =~ /^-|-$|\.-|-\.|_/ || $seen{lc $m->{from}}++;
        push @mappings, { %$m, to => $m->{kind} eq 'domain'
            ? one_of('out.test', 'o', $m->{from} . '.example') : undef };
    }
    @mappings = sort { $b->{kind} cmp $a->{kind} } @mappings;
    my $size = one_of(1024, 2048, 4096, 16384, 65536);
    my $many = one_of(2, 3, 8, 16);
    my @lines = map {
        $_->{kind} eq 'domain' ? "domain $_->{from} $_->{to};"
            : "internal_uri $_->{from}"
                . ($_->{from_port} ? ":$_->{from_port};" : ';')
    } @mappings;
    return { mappings => \@mappings, block => <<"CONF", location => <<"PLACE" };
cms_webbridge bridge$n {
    guest_uri @guests;
    @lines
    target 127.0.0.2:9080;
    tls off;
    health_check off;
}
CONF
location /$n/ {
    cms_proxy bridge$n;
    proxy_buffering @{[one_of('on', 'on', 'off')]};
    proxy_buffer_size $size;
    proxy_buffers @{[$many + 1]} $size;
    proxy_busy_buffers_size @{[$size * one_of(1, $many)]};
    proxy_max_temp_file_size @{[one_of('0', '1m')]};
    gzip @{[one_of('off', 'off', 'on')]};
    gzip_proxied any;
    gzip_min_length 1;
    gzip_buffers 4 @{[one_of(1024, 16384)]};
    gunzip_buffers @{[one_of('2 128', '4 1k', '32 4k')]};
    postpone_output @{[one_of(0, 1460)]};
    output_buffers @{[one_of('2 32k', '1 1k')]};
}
PLACE
}

mkdir $documents or die "$documents: $!\n";
Edge::Process->start(name => 'web-bridge', argv => [$^X,
    "$Edge::Netns::root/t/lib/document-server.pl", '127.0.0.2:9080',
    $documents], ready_log => qr/^listening/m);
my $edge = Edge::Nginx->start(workers => 1, http => join '',
    (map { $_->{block} } @bridges),
    "server {\nlisten 127.0.0.1:80;\nlisten 127.0.0.1:8443;\n",
    (map { $_->{location} } @bridges), "}\n");

# ---- documents ----

# How a case is sent: { gzip, framing, pauses }.
sub random_way {
    return { gzip => rand() < 0.25, framing => one_of(qw(length chunks close)),
        pauses => one_of(0, 0.1, 1), accept => one_of('', 'gzip') };
}

# Writes the document: what the web bridge is to say, in its pieces.
sub write_document {
    my ($n, $case) = @_;
    my $way = $case->{way};
    my @pieces = grep { length } @{$case->{pieces}};
    if ($way->{gzip}) {
        my $gzip = memGzip(join '', @pieces);
        my @sizes = map { 1 + length() / 2 } @pieces;
        @pieces = ();
        while (length $gzip) {
            push @pieces, substr $gzip, 0, @sizes ? shift @sizes : 100, '';
        }
    }
    my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
    $head .= "Content-Encoding: gzip\r\n" if $way->{gzip};
    if ($way->{framing} eq 'chunks') {
        @pieces = ((map { sprintf "%x\r\n%s\r\n", length, $_ } @pieces),
            "0\r\n\r\n");
        $head .= "Transfer-Encoding: chunked\r\n\r\n";
    } elsif ($way->{framing} eq 'close') {
        $head .= "Connection: close\r\n\r\n";
    } else {
        my $length = 0;
        $length += length for @pieces;
        $head .= "Content-Length: $length\r\n\r\n";
    }
    my $pause = @pieces > 60 ? 0 : $way->{pauses};
    my @sizes = map { (length, rand() < $pause ? '~' : ()) } $head, @pieces;
    spew("$documents/$n", join '', "@sizes\n", $head, @pieces);
}

my %client;
my $number = 0;

# What a guest gets of a case; undef when that is no whole answer.
sub through_nginx {
    my ($case) = @_;
    my $n = ++$number;
    write_document($n, $case);
    my $port = $case->{to_port} || 80;
    my $host = $case->{to} . ($case->{to_port} ? ":$port" : '');
    my $c = delete $client{$port} // Edge::HttpClient->new(
        to => "127.0.0.1:$port") // die $Edge::HttpClient::error;
    my $r = $c->get("/$case->{bridge}/$n", Host => $host,
        ($case->{way}{accept} ? ('Accept-Encoding' => $case->{way}{accept})
            : ())) // return;
    unlink "$documents/$n";
    $client{$port} = $c if ($r->header('Connection') // '') ne 'close';
    return "status " . $r->status if $r->status != 200;
    my $body = $r->body;
    $body = memGunzip($body) if ($r->header('Content-Encoding') // '') eq 'gzip';
    return $body;
}

my ($differences, $names, $bytes) = (0, 0, 0);
for my $n (0 .. $cases - 1) {
    srand($seed + $n + 1);
    my $bridge = int rand @bridges;
    my $mappings = $bridges[$bridge]{mappings};
    my $text = random_text($mappings, rand() < 0.03 ? 10_000 + rand 200_000
        : rand() < 0.2 ? rand 20_000 : rand 1500);
    my $case = { bridge => $bridge, mappings => $mappings, to => one_of(@guests),
        to_port => one_of(0, 0, 8443), also_port => 0, way => random_way(),
        pieces => random_pieces($text) };
    my ($wanted, $found) = expected($case);
    $names += $found;
    $bytes += length $text;
    my $came = through_nginx($case);
    next if defined $came && $came eq $wanted;
    my @bad = ($case, $came);
    $case = shrink($case, sub {
        my $c = through_nginx($_[0]);
        return if defined $c && $c eq expected($_[0]);
        @bad = ($_[0], $c);
        return 1;
    }, 300);
    diag("case $n of SEED=$seed, made short:\n", describe(@bad),
        "\n$bridges[$bridge]{location}", join ', ',
        map { "$_ $case->{way}{$_}" } sort keys %{$case->{way}});
    last if ++$differences == 3;
}
is($differences, 0, "$cases random pages are what the reference makes of them")
    or diag("SEED=$seed");
cmp_ok($names, '>', $cases, 'with more than one name in each, on average');
is(join('', grep { /\[(?:alert|crit|emerg)\]|signal/ }
    split /^/, $edge->error_log), '', 'nginx has nothing to complain about');
note(sprintf 'SEED=%d: %d names in %.1f MB', $seed, $names, $bytes / 1e6);
done_testing();
