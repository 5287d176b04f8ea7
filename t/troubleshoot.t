use strict;
use warnings;
use Edge::Netns;
use Edge::Certs;
use Edge::Examples;
use Edge::Process qw(slurp spew wait_until);
use Edge::Site;
use File::Copy qw(copy);
use JSON::PP;
use Test::More;

# The how-to's chapter "Troubleshoot", case by case, on the whole site with the
# example files: what a guest sees, and that the status page and the log each
# name the cause in one line, until it is mended.

my $guest = 'cmsweb.octavio.test';
my $internal = 'cmsweb.cms.octavio.local';
my $url = $Edge::Site::url;
my $conf = '/etc/nginx/nginx.conf';
my $quick = 'interval=1s timeout=1s';
my $error_log = '/var/log/nginx/error.log';

my @said;    # all that the status page and nginx -t told of

my $site = Edge::Site->new;
$site->network;
$site->database;
$site->cms;
$site->edge;
my $working = slurp($conf);
my $ann = $site->guest('ann');

# ---- nothing is wrong ----

is_deeply(problems_when(sub { !@_ && states() eq 'active' }), [],
    'at first the status page knows of nothing wrong');
unlike(slurp($error_log), qr/\[(?:warn|error|crit|alert|emerg)\]/,
    '... nor does the log');

# ---- Join call button is not shown ----

$site->{cms}->change(callBridge => \0);
$ann->open("$url/");
$ann->see('Meetings cannot be joined');
ok(!$ann->sees(button => 'Join call'),
    'the Call Bridge link is down: the page comes without *Join call*');
is(states(), 'active', '... and a web bridge that answers counts as active');

my $seen = log_length();
configure(sub { s/^(\s+)target .*\n/$&$1health_check $quick uri=\/api\/status
        'match=callBridge":true';\n/mx });
one_line(qr/the\ target\ of\ cmsweb\ failed:\ text\ ".*?"\ is\ missing:
    \ the\ link\ to\ the\ Call\ Bridge\ is\ probably\ down/x,
    'health_check with match=: the status page says what it means');
log_line($seen, qr/ failed: text ".*" is missing: the link to the Call Bridge/,
    '... and so does the log');
$ann->open("$url/");
ok(eval { $ann->see('Meetings are not available') },
    '... guests get a page that says that it is not their fault')
    or diag($ann->text);
unlike($ann->text, qr/octavio\.local|Call Bridge/,
    '... and names nothing inside');
$site->{cms}->change(callBridge => \1);
is_deeply(problems_when(sub { !@_ }), [], 'the link is up again: no problem');
$ann->open("$url/");
ok(eval { $ann->see(button => 'Join call') }, '... and *Join call* is there');

# ---- Bad Request ----

$seen = log_length();
my $said = configure(sub { s/guest_uri(\s+)\S+;/guest_uri$1$internal;/;
    s/(target .*\n)/$1health_check $quick;\n/ });
is(scalar(grep { /guest_uri "\Q$internal\E" is also the internal_uri of .*/
        && /they get "Bad Request".*, in \Q$conf\E:\d+$/ }
    split /\n/, $said), 1,
    'the internal name as guest URI: nginx -t says what guests will get, and'
        . ' where') or diag($said);
one_line(qr/the\ target\ of\ cmsweb\ failed:\ status\ 400:\ the\ web\ bridge
    \ does\ not\ accept\ the\ name\ \Q$internal\E/x,
    '... the status page names the name that the web bridge does not accept');
log_line($seen, qr/"cmsweb" failed: status 400: .* \Q$internal\E/,
    '... and so does the log');
$ann->open("$url/");
like($ann->text, qr/Bad Request/i, '... guests get "Bad Request"');
log_line($seen, qr/Host is no guest URI, .*"GET \/ .*host: "\Q$guest\E"/,
    '... and the log says why');
configure(sub { });
is_deeply(problems_when(sub { !@_ }), [], 'the right one again: no problem');

# ---- insecure connection ----

my ($cert, $key) = map { "/etc/cms-edge/cmsweb.$_" } qw(pem key);
copy($_, "$_.good") for $cert, $key;
for my $case (
    [[{self_signed => 1}, 'outside', $guest], qr/AUTHORITY_INVALID/,
        qr/certificate \S+ of \Q$guest\E is self-signed/i, 'self-signed'],
    [['outside', 'vcse.octavio.test'], qr/COMMON_NAME_INVALID/,
        qr/guest URI \Q$guest\E is not covered by its certificate/,
        'the guest URI is not among its SANs'],
) {
    my ($made, $error, $line, $title) = @$case;
    my ($c, $k) = Edge::Certs::cert(@$made);
    copy($c, $cert);
    copy($k, $key);
    $said = configure(sub { });
    my @warned = grep { /\[warn\]/ } split /\n/, $said;
    is(scalar @warned, 1, "a certificate: $title: nginx -t warns once")
        or diag($said);
    like($warned[0] // '', qr/\Q$guest\E.*, in \Q$conf\E:\d+$/,
        '... names guest URI and line');
    one_line($line, '... the status page says it, too');
    like($ann->open("$url/")->{error} // 'it opens', $error,
        '... what the browser refuses');
}
rename "$_.good", $_ for $cert, $key;
configure(sub { });
is_deeply(problems_when(sub { !@_ }), [], 'a right certificate: no problem');

# ---- connects, never gets connected, times out ----

$site->turn_server('not-the-password');
for my $person ($ann, $site->guest('bob')) {
    $person->open("$url/index.html?id=100101");
    $person->fill('Your name' => 'Guest');
    $person->click('Join call');
}
ok(eval { $ann->see('refused us: 401') },
    'CMS has another TURN password: no media');
ok($site->{coturn}->wait_log(qr/^turn_auth_plugin:\ user\ "turnuser"\ in
        \ realm\ "octavio\.test":\ wrong\ password;\ compare\ with
        \ turn\.check_user\(\)$/mx),
    '... the log of turnserver says whose password is wrong');
one_line(qr/TURN: \d+ logins? .*wrong password/,
    '... the status page, that one is');
like($site->pg->value('select turn.check_user(?, ?, ?)', 'octavio.test',
    'turnuser', 'not-the-password'), qr/password/,
    '... and check_user() agrees');
unlike(status_text(''), qr/turnuser/, '... without the name of a user');

# ---- what conf-examples/README.md shows of it ----

my ($chapter) = slurp("$Edge::Netns::root/conf-examples/README.md")
    =~ /^## When something is wrong\n(.*?)^## /ms;
my @shown = $chapter =~ /^> (.+)$/mg;
cmp_ok(scalar @shown, '>=', 7, 'README shows such lines');
my $said_in_all = join "\n", @said, slurp($error_log),
    $site->{coturn}->log_text;
for my $line (@shown) {
    my $re = quotemeta Edge::Examples::substituted($line);
    $re =~ s/\bTEXT\b|\\\.\\\.\\\./.*/g;
    $re =~ s/(\D)\d+\\ logins/$1\\d+\\ logins?/;
    $re =~ s/^\d+|(\\ )\d+(?=\\ s\\;)/($1 \/\/ '') . '\\d+'/e;
    like($said_in_all, qr/$re/, 'README: ' . substr($line, 0, 50) . '...');
}
done_testing();

# The example with this change, tried and loaded: what nginx -t says.
sub configure {
    my ($change) = @_;
    local $_ = $working;
    $change->();
    spew($conf, $_, 0644);
    my @argv = ($site->in('edge'), '/usr/sbin/nginx', '-c', $conf, '-t');
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @argv
        or die "nginx: $!";
    my $text = do { local $/; <$out> };
    close $out or die "nginx -t: $text";
    push @said, $text;
    $site->reload_nginx;
    return $text;
}

# The status page as somebody inside gets it.
sub status_text {
    my ($query) = @_;
    open my $out, '-|', $site->in('inside'), 'curl', '-sS', '-m', '10',
        "http://192.0.2.168:8445/$query" or die "curl: $!";
    local $/;
    my $text = <$out> // '';
    close $out;
    return $text;
}

sub status { return eval { decode_json(status_text('?format=json')) } // {} }

sub states {
    return join ' ', map { map { $_->{state} } @{$_->{addresses}} }
        @{status()->{webbridges}[0]{targets}};
}

# The problems on the page, once they are such, or as they are at last.
sub problems_when {
    my ($true) = @_;
    my $problems;
    wait_until(sub {
        $problems = status()->{problems} // return;
        $true->(map { $_->{text} } @$problems);
    }, 30);
    push @said, map { $_->{text} } @$problems;
    return [map { $_->{text} } @$problems];
}

# The status page tells this, in one line.
sub one_line {
    my ($re, $title) = @_;
    my $problems = problems_when(sub { grep { $_ =~ $re } @_ });
    is(scalar(grep { $_ =~ $re } @$problems), 1, $title)
        or diag(explain($problems));
    my ($said) = map { my $t = $_; $t =~ s/&(?:#39|#x27|apos);/'/g;
        $t =~ s/&quot;|&#34;/"/g; $t } status_text('');
    like($said, $re, '... in both its forms');
}

sub log_length { length(slurp($error_log) // '') }

# There is such a line since then, and it is one.
sub log_line {
    my ($since, $re, $title) = @_;
    my @lines;
    wait_until(sub {
        @lines = grep { $_ =~ $re }
            split /\n/, substr slurp($error_log), $since;
        return scalar @lines;
    }, 20);
    is(scalar @lines, 1, $title) or diag(substr slurp($error_log), $since);
}
