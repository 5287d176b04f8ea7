use strict;
use warnings;
use Edge::Netns;
use Compress::Zlib qw(memGzip);
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp spew wait_until);
use Edge::RecordingApp qw(script);
use Test::More;

# The memory of a worker that rewrites stays what it is: through pages that
# grow, shrink, were packed, are not buffered, and guests who leave in the
# middle; through WebSockets that talk, and that end in the middle of a frame.
# $RESPONSES (100000) and $WEBSOCKETS (1000) in ten rounds, $SOAK times.

my $soak = $ENV{SOAK} || 1;
my $responses = int(($ENV{RESPONSES} // 100_000) * $soak);
my $websockets = int(($ENV{WEBSOCKETS} // 1000) * $soak);
my $rounds = 10;
my $in = 'cmsweb.cms.octavio.test';
my $short = 'cmsweb.octavio.test';
my $long = 'a-much-longer-name-for-the-meetings-of-guests.octavio.test';

my $files = "$Edge::Netns::dir/files";
mkdir $files or die "$files: $!\n";
chmod 0755, $files;
my $page = join '', map {
    "<a href=\"https://$in/meeting/$_\">anna\@cms.octavio.test</a>\n"
        . 'x' x ($_ % 200)
} 1 .. 100;
spew("$files/page.html", $page, 0644);
spew("$files/page.html.gz", memGzip($page), 0644);

Edge::Nginx->start(name => 'web-bridge', modules => [], workers => 1,
    log_format => undef, http => <<"CONF");
keepalive_requests 100000000;
types { text/html html; }
server {
    listen 127.0.0.2:9080;
    root $files;
    rewrite ^ /page.html break;
    location / { }
    location /packed/ { gzip_static always; gzip_http_version 1.0; }
}
CONF
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9081');
my $edge = Edge::Nginx->start(workers => 1, log_format => undef,
    http => <<"CONF");
cms_webbridge cmsweb {
    guest_uri $short $long;
    internal_uri $in;
    domain cms.octavio.test octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge talk {
    guest_uri $short;
    internal_uri $in;
    target 127.0.0.2:9081;
    tls off;
    rewrite_websocket on;
}
server {
    listen 127.0.0.1:80;
    location / { cms_proxy cmsweb; }
    location /unbuffered/ {
        cms_proxy cmsweb;
        proxy_buffering off;
    }
    location /small/ {
        cms_proxy cmsweb;
        proxy_buffer_size 1k;
        proxy_buffers 3 1k;
        proxy_busy_buffers_size 2k;
    }
    location /again/ { cms_proxy cmsweb; gzip on; gzip_proxied any; }
    location /talk/ { cms_proxy talk; }
}
CONF

# What a worker has for itself, in kB.
sub memory {
    my ($pid) = $edge->workers;
    my ($kb) = slurp("/proc/$pid/smaps_rollup") =~ /^Private_Dirty:\s+(\d+)/m;
    return $kb;
}

# ---- pages ----

my @kinds = (['/', $short], ['/', $long], ['/packed/', $short],
    ['/unbuffered/', $long], ['/small/', $long], ['/small/', $short],
    ['/again/', $long]);

sub told {
    my ($host) = @_;
    return $page =~ s/\@cms\.octavio\.test/\@octavio.test/gr
        =~ s/\Q$in\E/$host/gr;
}

# pages(n): as many of each kind, two kinds at a time; what was wrong.
sub pages {
    my ($n) = @_;
    my @wrong;
    my @left = @kinds;
    while (my @now = splice @left, 0, 2) {
        my @out = map {
            my ($path, $host) = @$_;
            open my $out, '-|', 'curl', '-sS', '-m', 300, '-o', '/dev/null',
                '-w', '%{http_code} %{size_download}\n', '-H', "Host: $host",
                "http://127.0.0.1$path?n=[1-$n]" or die "curl: $!\n";
            [$out, '200 ' . length told($host), $path];
        } @now;
        for (@out) {
            my ($out, $wanted, $path) = @$_;
            my @lines = <$out>;
            close $out;
            chomp @lines;
            my @other = grep { $_ ne $wanted } @lines;
            push @wrong, "$path: $other[0], wanted $wanted" if @other;
            push @wrong, "$path: " . @lines . " of $n" if @lines != $n;
        }
    }
    return @wrong;
}

# Guests who leave when they have seen a little.
sub leave {
    for (1 .. $_[0]) {
        my ($path, $host) = @{$kinds[$_ % @kinds]};
        my $c = Edge::HttpClient->new(to => '127.0.0.1:80') or next;
        $c->send("GET $path HTTP/1.1\r\nHost: $host\r\n\r\n");
        $c->raw(1 + $_ % 5000);
        $c->close;
    }
}

# ---- WebSockets ----

# One session; true when it heard what it said, with the names it knows.
sub session {
    my ($n) = @_;
    my $c = Edge::HttpClient->new(to => '127.0.0.1:80') or return;
    my $r = $c->upgrade('/talk/', Host => $short, script({ websocket => 1 }));
    return if !$r || $r->status != 101;
    my $message = "https://$short/$n, " x (1 + $n % 50) . 'x' x ($n % 3000);
    for my $text ($message, '', $message x 6) {
        $c->send_frame('text', $text);
        my ($type, $back) = $c->frame;
        return if ($back // '') ne $text;
    }
    if ($n % 3 == 0) {
        $c->send_close(1000);
        my ($type) = $c->frame;
        return if ($type // '') ne 'close' || !$c->closed;
    } elsif ($n % 3 == 1) {
        # much that nobody waits for; the beginning of a name, and of a frame
        $c->send_frame('text', $message x 40);
        $c->send("\x01\x89\0\0\0\0cmsweb.oc\x80\xfe\x40");
    }
    $c->close;
    return 1;
}

# ---- rounds ----

for my $kind (@kinds) {
    my ($path, $host) = @$kind;
    my $r = Edge::HttpClient->new(to => '127.0.0.1:80')->get($path,
        Host => $host);
    is($r && $r->body, told($host), "$path for $host is rewritten");
}

my (@wrong, @kb, $silent);
for my $round (1 .. $rounds) {
    push @wrong, pages(int $responses / $rounds / @kinds + 1);
    leave($responses / $rounds / 100 + 1);
    $silent += !session($_) for 1 .. $websockets / $rounds;
    # those who left are gone when theirs are
    wait_until(sub { live() == 0 }, 20);
    push @kb, memory();
}

sub live {
    my ($pid) = $edge->workers;
    my $inode = join '|', map { (readlink // '') =~ /^socket:\[(\d+)\]/ }
        glob "/proc/$pid/fd/*";
    return scalar grep { /^\s*\d+: \S+:0050 \S+ 01 .* (?:$inode) / }
        split /\n/, slurp('/proc/net/tcp');
}

is("@wrong", '', "$responses pages came whole");
is($silent, 0, "$websockets WebSockets heard what they said");
diag("memory after each round: @kb kB") if $kb[-1] - $kb[2] > 1024;
note("memory after each round: @kb kB");
cmp_ok($kb[-1] - $kb[2], '<=', 1024,
    'the memory of the worker is what it was');
is(join('', grep { /\[(?:alert|crit|emerg)\]/ } split /^/, $edge->error_log),
    '', 'nginx has nothing to complain about');
done_testing();
