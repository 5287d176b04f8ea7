use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Nginx;
use Edge::Process qw(slurp spew);
use POSIX qw(strftime);
use Test::More;

# What nginx -t says of the certificates that guests will see: file and line,
# the guest URI, the certificate's file, and what is wrong with it.

my $guest = 'cmsweb.octavio.test';
my $web_bridge = "cms_webbridge cmsweb {\n guest_uri $guest;\n"
    . " target 127.0.0.2:9443;\n verify off;\n}\n";

# The http part: servers, each [certificates, more lines, listen].
sub http {
    my @servers = @_;
    my $http = $web_bridge;
    for my $s (@servers) {
        my ($pairs, $more, $listen) = @$s;
        $http .= "server {\n listen " . ($listen // '127.0.0.1:443 ssl')
            . ";\n";
        $http .= " ssl_certificate $pairs->[$_];\n"
            . " ssl_certificate_key $pairs->[$_ + 1];\n"
            for grep { $_ % 2 == 0 } 0 .. $#$pairs;
        $http .= ' ' . ($more // '')
            . "\n location / {\n  cms_proxy cmsweb;\n }\n}\n";
    }
    return $http;
}

# What nginx -t says, without its closing lines and the time in front.
sub said {
    my ($http) = @_;
    my ($status, $text) = Edge::Nginx->test_conf(http => $http);
    my @lines = grep { /\[(?:notice|warn|emerg)\]/ } split /\n/, $text;
    s/^.*?(?=\[)//, s/\] \d+#\d+: /] / for @lines;
    return ($status, @lines);
}

# Where cms_proxy stands in the server that has this line: FILE:LINE.
sub cms_proxy_below {
    my ($text) = @_;
    my ($file, $first) = split /:/, Edge::Nginx->conf_line($text);
    my @lines = split /\n/, slurp($file);
    my ($n) = grep { $_ > $first && $lines[$_ - 1] =~ /cms_proxy / }
        1 .. @lines;
    return "$file:$n";
}

sub is_quiet {
    my ($title, @servers) = @_;
    my ($status, @lines) = said(http(@servers));
    ok($status == 0 && !@lines, "accepted, without a word: $title")
        or diag(@lines);
}

# The one line that is said names the file and the line of cms_proxy, the guest
# URI, the certificate, and matches.
sub is_told {
    my ($title, $re, @servers) = @_;
    my ($status, @lines) = said(http(@servers));
    my ($file) = grep { index($lines[0] // '', $_) > 0 }
        map { @{$_->[0]} } @servers;
    my $line = $file && cms_proxy_below("ssl_certificate $file;");
    subtest "a warning: $title" => sub {
        is($status, 0, 'nginx -t passes');
        is(@lines, 1, 'it says one line') or diag(join "\n", @lines);
        like($lines[0], qr/^\[warn\] .* in \Q$line\E$/,
            'a warning with file and line');
        like($lines[0], qr/guest_uri "\Q$guest\E"/, 'it names the guest URI');
        ok($file, 'and the certificate');
        like($lines[0], $re, 'and what is wrong');
    };
}

sub cert { return [Edge::Certs::cert(@_)] }

my $good = cert('outside', $guest);

is_quiet('exact name', [$good]);
is_quiet('one of several names, in another letter case',
    [cert('outside', 'a.octavio.test', 'CMSweb.Octavio.test')]);
is_quiet('a wildcard', [cert('outside', '*.octavio.test')]);
is_quiet('an RSA and an ECDSA certificate, both right',
    [[@$good, @{cert({key => 'rsa'}, 'outside', $guest)}]]);
is_quiet('no TLS at all',
    [[], '', '127.0.0.1:80']);

is_told('another name', qr/not covered .*which is for "www\.octavio\.test"/,
    [cert('outside', 'www.octavio.test')]);
is_told('many other names', qr/"a4\.test" and 2 more: browsers/,
    [cert('outside', map { "a$_.test" } 1 .. 6)]);
is_told('a wildcard one label too high', qr/which is for "\*\.test"/,
    [cert('outside', '*.test')]);
is_told('a wildcard one label too low', qr/"\*\.cmsweb\.octavio\.test"/,
    [cert('outside', "*.$guest")]);
is_told('the name as common name only',
    qr/no DNS name.*common name "\Q$guest\E" does not count/,
    [cert({no_san => 1}, 'outside', $guest)]);
is_told('an IP address only', qr/no DNS name/,
    [cert('outside', '192.0.2.1')]);
is_told('self-signed', qr/is self-signed/,
    [cert({self_signed => 1}, 'outside', $guest)]);
is_told("a CA's own", qr/is a CA's own/,
    [cert({extensions => "basicConstraints=CA:TRUE\n"}, 'outside', $guest)]);
is_told('not for servers', qr/not meant for TLS servers/,
    [cert({extensions => "extendedKeyUsage=clientAuth\n"}, 'outside', $guest)]);
is_told('expired', qr/expired \d+ hours? ago|expired 1 day ago/,
    [cert({days => -1}, 'outside', $guest)]);
my $later = strftime('%Y%m%d%H%M%SZ', gmtime(time + 10 * 86400 - 3600));
is_told('not valid yet', qr/is not valid yet, but in 9 days/,
    [cert({startdate => $later}, 'outside', $guest)]);
is_told('near its end', qr/expires in 1[34] days/,
    [cert({days => 14}, 'outside', $guest)]);
is_told('an RSA and an ECDSA certificate, one wrong',
    qr/not covered .*which is for "www\.octavio\.test"/,
    [[@$good, @{cert({key => 'rsa'}, 'outside', 'www.octavio.test')}]]);

# A CA that says where its certificate is to be had is an intermediate one.
my $aia = "authorityInfoAccess=caIssuers;URI:http://ca.octavio.test/ca.pem\n";
my $alone = cert({extensions => $aia}, 'outside', $guest);
is_told('its chain is missing', qr/comes without the one that signed it/,
    [$alone]);
my $chained = "$Edge::Netns::dir/chained.pem";
spew($chained, slurp($alone->[0]) . slurp(Edge::Certs::ca('outside')), 0644);
is_quiet('its chain is in the file', [[$chained, $alone->[1]]]);

# ---- several servers: each answers for the names that it really gets ----

my $other = cert('outside', 'other.octavio.test');
is_quiet('a server for another name needs no certificate for this one',
    [$good, "server_name $guest;"],
    [$other, 'server_name other.octavio.test;']);
is_quiet('nor does the default server, where another has the name',
    [$other, 'server_name other.octavio.test;'], [$good, "server_name $guest;"]);
is_quiet('a wildcard server_name that is the closest has it',
    [$other, 'server_name *.test;'], [$good, 'server_name *.octavio.test;']);
is_quiet('an expression has it, where no name and no wildcard do',
    [$other, 'server_name other.octavio.test;'],
    [$good, 'server_name ~^cmsweb\.;']);
is_told('the default server has the names that nobody has',
    qr/which is for "other\.octavio\.test"/,
    [$other, 'server_name other.octavio.test;'],
    [$good, 'server_name more.octavio.test;']);
is_told('a server of another address is another default server',
    qr/which is for "other\.octavio\.test"/,
    [$good, "server_name $guest;"], [$other, '', '127.0.0.2:443 ssl']);
is_told('one server on two addresses is told once', qr/"other\.octavio\.test"/,
    [$other, 'listen 127.0.0.3:443 ssl;']);

# ---- two faults, all guest URIs ----

{
    my ($status, @lines) = said(http([cert({self_signed => 1}, 'outside',
        'www.octavio.test')]));
    is(@lines, 2, 'each fault has a line of its own') or diag(@lines);
    ($status, @lines) = said(http([$good])
            =~ s/guest_uri $guest/guest_uri $guest more.octavio.test/r);
    is(@lines, 1, 'every guest URI is looked at, not just the first');
    like($lines[0], qr/guest_uri "more\.octavio\.test" is not covered/,
        'it names the one that is not covered');
}

# ---- off, strict, variables ----

my $wrong = cert('outside', 'www.octavio.test');
is_quiet('cms_certificate_check off', [$wrong, 'cms_certificate_check off;']);
{
    my ($status, @lines) = said("cms_certificate_check off;\n" . http([$wrong]));
    is_deeply([$status, @lines], [0], 'off for all of http');
    ($status, @lines) = said("cms_certificate_check strict;\n"
            . http([$wrong, 'cms_certificate_check warn;']));
    is($status, 0, 'the server wins over http');
    ($status, @lines) = said(http([$wrong, 'cms_certificate_check strict;']));
    isnt($status, 0, 'strict refuses the configuration');
    like($lines[0], qr/^\[emerg\] guest_uri .* in \S+:\d+$/,
        'with the same words');
    ($status, @lines) = said(http([cert({days => 14}, 'outside', $guest),
        'cms_certificate_check strict;']));
    is($status, 0, 'but not for one that is still good');
    like($lines[0], qr/^\[warn\] .*expires in/, '... of which it warns');
    ($status, @lines) = said(http([$good, 'cms_certificate_check never;']));
    isnt($status, 0, 'another word is refused');
    like($lines[0], qr/"never".* in \S+:\d+$/, '... with file and line');

    my $variable = ['/etc/$ssl_server_name.pem', '/etc/$ssl_server_name.key'];
    my $log = "$Edge::Netns::dir/conf-error.log";
    truncate $log, 0;
    ($status) = said(http([$variable, 'listen 127.0.0.2:443 ssl;']));
    is($status, 0, 'certificates with variables are accepted');
    my @notes = slurp($log) =~ /\[notice\] .*?(certificates with .*)/g;
    is(@notes, 1, '... and that they are not checked is said once');
    like($notes[0], qr/variables .* not checked .* in \S+:\d+$/,
        '... with file and line');
}

# ---- strict while running ----

{
    my $edge = Edge::Nginx->start(http => http([$good]));
    ok(!$edge->reload(http => http([$wrong, 'cms_certificate_check strict;'])),
        'strict refuses a reload, and the old configuration goes on');
    ok($edge->reload(http => http([$wrong])), 'warn does not');
    like($edge->error_log, qr/\[warn\].* guest_uri "\Q$guest\E" is not covered/,
        '... but says so in the error log');
}

# ---- names that cannot be right ----

# A guest URI that is a name of the inside: the how-to's "Bad Request".
sub names {
    my ($lines) = @_;
    my ($status, @said) = said("cms_webbridge cmsweb {\n $lines\n"
        . " target 127.0.0.2;\n}\nserver {\n listen 127.0.0.1:80;\n"
        . " location / {\n  cms_proxy cmsweb;\n }\n}\n");
    return ($status, "@said");
}
for my $case (
    ['guest_uri cms.octavio.test; internal_uri cms.octavio.test;',
        qr/is also the internal_uri.*Bad Request/],
    ['guest_uri cms.inside.test; domain inside.test octavio.test;',
        qr/in the inside domain "inside\.test".*Bad Request/],
    ['guest_uri cms.octavio.local;', qr/ends with "\.local"/],
    ['guest_uri cms.octavio.internal;', qr/ends with "\.internal"/],
    ['guest_uri cms.lan;', qr/ends with "\.lan"/],
) {
    my ($lines, $re) = @$case;
    my ($status, $said) = names($lines);
    is($status, 0, "nginx starts with $lines");
    like($said, qr/^\[warn\] guest_uri "cms\.[^[]* in \S+nginx\.conf:\d+$/,
        '... with a warning, file and line');
    like($said, $re, '... that says why it is not right');
}
for my $lines ('guest_uri cms.octavio.test; internal_uri cms.inside.test;'
        . ' domain inside.test octavio.test;',
    'guest_uri cms.octavio.test; domain test octavio.test;',
    'guest_uri local.test notinside.test; domain inside.test octavio.test;') {
    is((names($lines))[1], '', "without a word: $lines");
}
done_testing();
