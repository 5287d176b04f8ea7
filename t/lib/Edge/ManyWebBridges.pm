package Edge::ManyWebBridges;

# A configuration of many web bridges with two targets each, and somebody who
# answers at all their addresses and writes down who was asked when: for
# t/targets-scale.t and t/bench/targets-scale.bench.
#
#   Edge::ManyWebBridges::answering();
#   my $edge = Edge::Nginx->start(http => Edge::ManyWebBridges::http(1000));

use strict;
use warnings;
use Edge::Certs;
use Edge::Nginx;

# The address of a target of web bridge $n: 127.1.0.1 and on; first is 0 or 1.
sub address {
    my ($n, $which) = @_;
    my $i = 2 * $n + $which + 1;
    return sprintf '127.1.%d.%d', $i >> 8, $i & 255;
}

sub guest { return "guest$_[0].octavio.test" }

# http(n, ...): for http { }: n web bridges and one server on 127.0.0.1:8000.
#   inside   lines in each cms_webbridge { } ('tls off;'); what answers has
#            TLS as well, with a certificate of the test CA 'inside'
#   targets  code that gives the targets of web bridge n ([address, address])
#   first    0; the number of the first
#   servers  1: a server for each, on its name, instead of one for all
sub http {
    my ($n, %o) = @_;
    my $inside = $o{inside} // 'tls off;';
    my $targets = $o{targets} // sub { [address($_[0], 0),
        address($_[0], 1)] };
    my $first = $o{first} // 0;
    my @number = ($first .. $first + $n - 1);
    my $http = join '', map {
        my $lines = join ' ', map { "target $_;" } @{$targets->($_)};
        "cms_webbridge b$_ { guest_uri ${\guest($_)}; $lines $inside }\n";
    } @number;
    if ($o{servers}) {
        return "server_names_hash_max_size 65536;\n" . $http
            . join '', map { "server { listen 127.0.0.1:8000;"
                . " server_name ${\guest($_)};"
                . " location / { cms_proxy b$_; } }\n" } @number;
    }
    return $http . "server {\n    listen 127.0.0.1:8000;\n"
        . "    location / { cms_proxy "
        . join(' ', map { "b$_" } @number) . "; }\n}\n";
}

# answering: an Edge::Nginx that answers 200 at every address, ports 80 and 443.
sub answering {
    my ($cert, $key) = Edge::Certs::cert('inside', '*.octavio.test');
    return Edge::Nginx->start(name => 'web-bridges', modules => [],
        workers => 1, connections => 8192,
        log_format => '$msec $server_addr $http_user_agent',
        http => <<"CONF");
server {
    listen 80;
    listen 443 ssl;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location / { add_header X-At \$server_addr; return 200; }
}
CONF
}

# probes(nginx of answering()): {address => [times]}.
sub probes {
    my ($bridges) = @_;
    my %probes;
    for (split /\n/, $bridges->access_log) {
        my ($when, $at, $agent) = split;
        push @{$probes{$at}}, $when if ($agent // '') eq 'cms-edge';
    }
    return \%probes;
}

# unevenness(probes, from, to): how the probes of that time are spread over
# its tenths of a second: their variance beside their mean (1: as by chance, 0:
# perfectly even, hundreds: in bursts), and the fullest tenth beside the mean.
sub unevenness {
    my ($probes, $from, $to) = @_;
    my $tenths = int 10 * ($to - $from);
    my @n = (0) x $tenths;
    for my $t (map { @$_ } values %$probes) {
        my $i = int 10 * ($t - $from);
        $n[$i]++ if $t >= $from && $i < $tenths;
    }
    my ($sum, $squares, $most) = (0, 0, 0);
    for (@n) {
        $sum += $_;
        $squares += $_ ** 2;
        $most = $_ if $_ > $most;
    }
    my $mean = $sum / $tenths;
    return (0, 0) if !$mean;
    return (($squares / $tenths - $mean ** 2) / $mean, $most / $mean);
}

1;
