use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::Process qw(slurp);
use Edge::RecordingApp qw(script answer);
use Test::More;

# Whatever goes wrong with a guest's request, what lets a guest into a meeting
# does not get into a log.

my $guest = 'cmsweb.octavio.test';
my $ca = Edge::Certs::ca('inside');
my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9443',
    cert => [Edge::Certs::cert('inside', $guest)]);
my $wrong_app = Edge::RecordingApp->start(name => 'wrong',
    listen => '127.0.0.2:9445',
    cert => [Edge::Certs::cert('inside', 'other.octavio.test')]);

my $conf = <<"CONF";
cms_webbridge alive {
    guest_uri $guest;
    internal_uri cmsweb.cms.octavio.test;
    target 127.0.0.2:9443;
    trusted_certificate $ca;
}
cms_webbridge dead {
    guest_uri $guest;
    target 127.0.0.2:9444;
}
cms_webbridge wrong_certificate {
    guest_uri $guest;
    target 127.0.0.2:9445;
    trusted_certificate $ca;
}
cms_webbridge unresolved {
    guest_uri $guest;
    target nowhere.octavio.test;
}
cms_webbridge only_get {
    guest_uri $guest;
    target 127.0.0.2:9443;
    methods GET;
}
server {
    listen 127.0.0.1:80;
    client_body_buffer_size 1k;
    client_max_body_size 100k;
    large_client_header_buffers 4 8k;
    location / { cms_proxy alive; }
    location /dead/ { rewrite ^/dead(/.*) \$1 break; cms_proxy dead; }
    location /wrong/ {
        rewrite ^/wrong(/.*) \$1 break;
        cms_proxy wrong_certificate;
    }
    location /unresolved/ {
        rewrite ^/unresolved(/.*) \$1 break;
        cms_proxy unresolved;
    }
    location /get/ { rewrite ^/get(/.*) \$1 break; cms_proxy only_get; }
    location /buffered/ {
        cms_proxy alive;
        proxy_buffers 2 4k;
        proxy_buffer_size 4k;
        proxy_busy_buffers_size 4k;
    }
    location /impatient/ {
        rewrite ^/impatient(/.*) \$1 break;
        client_body_timeout 500ms;
        cms_proxy alive;
        proxy_read_timeout 500ms;
    }
    location /denied/ { deny all; cms_proxy alive; }
    location /locked/ {
        auth_basic "a door";
        auth_basic_user_file $Edge::Netns::dir/nobody;
        cms_proxy alive;
    }
}
CONF

# Everything planted contains this word, and no log may.
my $planted = 'xyzzy';
my $n = 0;
sub secret { return $planted . $n++ }

my @links = (
    '/invited.sf?secret=SECRET&id=100101',
    '/invited.sf?id=100101&secret=SECRET',
    '/meeting/100101?secret=SECRET',
    '/en-US/meeting/100101?secret=SECRET',
    '/api/status?access_token=eyJSECRET.eyJSECRET.SECRET',
    '/signalling?token=SECRET&other=SECRET',
    '/x?SECRET',
    '/x?a%3dSECRET',
    '/x?id=SECRET',
    '/x?secret=%58SECRET',
    '/x%3Fsecret=SECRET',
    '/x?a=1;secret=SECRET',
    '/x?secret="SECRET"',
    '/x?secret=SECRET HTTP/SECRET',
    '/api/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJSECRET.SECRET',
);
sub link_of {
    my ($link) = @_;
    $link =~ s/SECRET/secret()/ge;
    return $link;
}

# The fields of a request that carry secrets, as a browser of a guest has them.
sub fields {
    my $s = sub { return secret() };
    return "Host: $guest\r\n"
        . "Referer: https://$guest/invited.sf?secret=@{[$s->()]}&id=1\r\n"
        . "Cookie: session=@{[$s->()]}\r\n"
        . "Authorization: Bearer @{[$s->()]}\r\n"
        . "X-Token: @{[$s->()]}\r\n";
}

sub scripted { return join(': ', script(@_)) . "\r\n" }

# http('GET /x', more fields, body): the text of a request with these fields.
sub http {
    my ($line, $more, $body) = @_;
    return "$line HTTP/1.1\r\n" . fields() . ($more // '') . "\r\n"
        . ($body // '');
}

# The same with its Host replaced, by nothing if need be.
sub http_host {
    my ($line, $host) = @_;
    my $text = http($line);
    $text =~ s/^Host: .*\r\n/$host/m;
    return $text;
}

my $ws = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    . "Sec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

# [what goes wrong, the request for this link, the status it ends with]; the
# status 'none' is a connection that nginx closes, 'gone' one the guest closes.
my @troubles = (
    ['nothing', sub { http("GET $_[0]") }, 200],
    ['the web bridge is dead', sub { http("GET /dead$_[0]") }, 502],
    ['the inner certificate is wrong', sub { http("GET /wrong$_[0]") }, 502],
    ['the target does not resolve', sub { http("GET /unresolved$_[0]") }, 502],
    ['a passcode for a dead web bridge', sub {
        my $body = '{"callId":"100101","passcode":"' . secret() . '"}';
        http('POST /dead/api/join', "Content-Type: application/json\r\n"
            . 'Content-Length: ' . length($body) . "\r\n", $body) }, 502],
    ['a wrong secret', sub { http("GET $_[0]", scripted(answer(403, 'no'))) },
        403],
    ['the web bridge resets', sub { http("GET $_[0]",
        scripted({ reset => 1 })) }, 502],
    ['the web bridge hangs up in the body', sub { http("GET $_[0]", scripted(
        { write => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf" },
        { close => 1 })) }, 'none'],
    ['the web bridge is silent', sub { http("GET /impatient$_[0]",
        scripted({ wait => 3 })) }, 504],
    ['a header too big', sub { http("GET $_[0]",
        scripted({ write => "HTTP/1.1 200 OK\r\n" },
            { write => "X-Long: xxxxxxxx\r\n", times => 10_000 })) }, 502],
    ['a 101 nobody asked for', sub { http("GET $_[0]", scripted({ write =>
        "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
        }, { close => 1 })) }, 502],
    ['a WebSocket that breaks', sub { http("GET $_[0]",
        $ws . scripted({ websocket => 1 }, { reset => 1 })) }, 101],
    ['an unknown Host', sub { http_host("GET $_[0]",
        "Host: other.octavio.test\r\n") }, 400],
    ['a Host that holds a secret', sub { http_host("GET $_[0]",
        'Host: other?secret=' . secret() . "\r\n") }, 400],
    ['no Host', sub { http_host("GET $_[0]", '') }, 400],
    ['two Hosts', sub { http_host("GET $_[0]",
        "Host: $guest\r\nHost: $guest\r\n") }, 400],
    ['a Host that is no name', sub { http_host("GET $_[0]",
        "Host: a/b\r\n") }, 400],
    ['an absolute URI of another host', sub {
        http("GET https://other.octavio.test$_[0]") }, 400],
    ['a method that is not let in', sub { http("OPTIONS $_[0]") }, 405],
    ['a method the web bridge does not have', sub { http("DELETE /get$_[0]") },
        405],
    ['a body too large', sub { http("POST $_[0]",
        "Content-Length: 999999\r\n", secret()) }, 413],
    ['a body kept in a file', sub { http("POST $_[0]",
        "Content-Length: 90000\r\n", substr secret() x 20000, 0, 90000) }, 200],
    ['a body that does not come', sub { http("POST /impatient$_[0]",
        "Content-Length: 90\r\n", secret()) }, 'none'],
    ['a chunk that is none', sub { http("POST $_[0]",
        "Transfer-Encoding: chunked\r\n", secret() . "\r\n") }, 400],
    ['a response kept in a file', sub { http("GET /buffered$_[0]",
        scripted({ write => "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n"
            . "\r\n" }, { write => 'xxxxx', times => 1_000_000 })) }, 200,
        qr/response is buffered to a temporary file/],
    ['a guest who is not let in by an address', sub {
        http("GET /denied$_[0]") }, 403],
    ['a guest who is not let in by a password', sub {
        http("GET /locked$_[0]") }, 401],
    ['a guest who leaves', sub { http("GET $_[0]",
        scripted({ wait => 0.2 }, answer(200, 'x'))) }, 'gone'],
    ['headers that do not end', sub { http("GET $_[0]") =~ s/\r\n$//r },
        'gone'],
    ['a header field that is none', sub { http("GET $_[0]",
        "no field\x01\r\n") }, qr/^[24]00$/],
    ['a header field too long', sub { http("GET $_[0]",
        'X-Long: ' . 'x' x 9000 . "\r\n") }, 400],
    ['two lengths', sub { http("POST $_[0]",
        "Content-Length: 1\r\nContent-Length: 2\r\n") }, 400],
    ['a length that is none', sub { http("POST $_[0]",
        "Content-Length: x\r\n") }, 400],
    ['another HTTP version', sub { http("GET $_[0]") =~ s{HTTP/1}{HTTP/3}r },
        505],
);

my $edge;
sub client { return Edge::HttpClient->new(to => '127.0.0.1:80') }

# One trouble with all these links at once; each must end as it says.
sub have_trouble {
    my ($trouble, @links_now) = @_;
    my ($title, $text_for, $want, $logged) = @$trouble;
    my @clients = map {
        my $c = client();
        $c->send($text_for->(link_of($_)));
        $c;
    } @links_now;
    $edge->wait_error($logged) if $logged && $edge->{error_level} ne 'error';
    for my $i (0 .. $#clients) {
        if ($want eq 'gone') {
            $clients[$i]->close;
            next;
        }
        # Two links are no request line that nginx takes.
        next if $links_now[$i] =~ /[ "]/;
        my $r = $clients[$i]->response;
        my $got = $r ? $r->status : 'none';
        ref $want ? like($got, $want, "status with $links_now[$i]")
            : is($got, $want, "status $want with $links_now[$i]");
    }
}

my $format = '$remote_addr $cms_webbridge "$cms_request" $status'
    . ' $cms_route $cms_call_id "$cms_refusal" $upstream_addr $upstream_status';
for my $level (qw(info warn error)) {
    $edge->stop if $edge;
    $edge = Edge::Nginx->start(http => $conf, log_format => $format,
        error_level => $level, workers => 1);
    for my $trouble (@troubles) {
        my ($title) = @$trouble;
        # Every link at the level that says most, the first two otherwise.
        my @tried = $level eq 'info' ? @links : @links[0, 4];
        subtest "error_log at $level: $title" => sub {
            have_trouble($trouble, @tried);
            # A marker request: once it is in the log, all before it are.
            my $marker = 'marker' . ++$n;
            client()->get("/$marker", Host => $guest);
            ok($edge->wait_access(qr/$marker/), 'the log is written');
            for my $log (qw(error_log access_log)) {
                my $text = $edge->$log;
                my @leaks = grep { /$planted/i } split /\n/, $text;
                is(@leaks, 0, "no secret in the $log")
                    or diag join "\n", map { substr $_, 0, 600 }
                        @leaks[0 .. ($#leaks > 2 ? 2 : $#leaks)];
            }
            $edge->clear_logs;
        };
    }
}

# The second request of a connection is masked from its first line on, too.
$edge->stop;
$edge = Edge::Nginx->start(http => $conf, log_format => $format,
    error_level => 'info', workers => 1);
my $kept = client();
$kept->get('/', Host => $guest);
$kept->send('GET /invited.sf?secret=' . secret() . "&id=100101 HTTP/1.1\r\nHo");
$kept->close;
ok($edge->wait_error(qr/prematurely closed.*request: /),
    'a request that breaks off on a kept connection is logged');
unlike($edge->error_log, qr/$planted/i, 'without its secret');

# Masked is not mute: what an administrator needs is still there.
$edge->clear_logs;
my $c = client();
$c->send(http('GET /dead/invited.sf?secret=' . secret() . '&id=100101'));
$c->response;
$edge->wait_access(qr/\n/);
my $log = $edge->error_log;
like($log, qr/\[error\] .*refused/, 'the error log says what happened');
like($log, qr{request: "GET /dead/invited\.sf\?secret=[^&]*&id=100101 HTTP},
    'to which request, the call ID included');
like($log, qr{upstream: "https://127\.0\.0\.2:9444/}, 'to which target');
like($log, qr/client: 127\.0\.0\.1/, 'for whom');
like($edge->access_log, qr/ 502 page 100101 /, 'so does the access log');

done_testing();
