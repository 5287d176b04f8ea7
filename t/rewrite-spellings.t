use strict;
use warnings;
use utf8;
use Edge::Netns;
use Edge::HttpClient;
use Edge::Nginx;
use Edge::RecordingApp qw(script answer);
use Edge::Rewriter;
use Encode qw(encode_utf8);
use Test::More;

# What counts as the web bridge's own name in a body, in every spelling, and
# what only looks like it.

my $in = 'cmsweb.cms.octavio.test';             # internal URI
my $in2 = 'web.cms.octavio.test';               # another, on port 8443
my $idn = 'xn--bcher-kva.cms.octavio.test';     # another, bücher.cms...
my $out = 'cmsweb.octavio.test';                # guest URIs
my $out2 = 'a-much-longer-name-for-the-meetings-of-guests.octavio.test';

my $app = Edge::RecordingApp->start(listen => '127.0.0.2:9080');
my $edge = Edge::Nginx->start(http => <<"CONF");
cms_webbridge several {
    guest_uri $out $out2;
    internal_uri $in $in2:8443 $idn;
    domain cms.octavio.test octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge alike {
    guest_uri $out;
    internal_uri web.octavio.test octavio.test h in.octavio.test h:84
        octavio.test.example;
    domain octavio.test sip.octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
cms_webbridge inwards {
    guest_uri $in;
    internal_uri web.$in;
    domain octavio.test cms.octavio.test;
    target 127.0.0.2:9080;
    tls off;
}
server {
    large_client_header_buffers 4 64k;
    listen 127.0.0.1:80;
    listen 127.0.0.1:8443;
    location / { cms_proxy several; }
    location /alike/ { cms_proxy alike; }
    location /inwards/ { cms_proxy inwards; }
}
CONF

# body(type, text, host, path): what the guest gets of it.
my %client;

sub body {
    my ($type, $text, $host, $path) = @_;
    my ($port) = $host =~ /:(\d+)$/ ? $1 : 80;
    for my $again (1 .. 2) {
        my $c = $client{$port} //= Edge::HttpClient->new(
            to => "127.0.0.1:$port") // die $Edge::HttpClient::error;
        my $r = $c->get($path // '/', Host => $host, script(answer(200,
            'Content-Type' => $type, $text)));
        return $r->body if $r;
        delete $client{$port};
    }
    return;
}

# [what the web bridge says, what the guest reads (undef: the same), why].
# {in} stands for the internal URI, {out} for the guest URI that was asked for,
# with its port if it was asked for with one, {coded} for that in URL encoding,
# {host} for it without the port.
my %table = (
'text/html' => [
    ['{in}', '{out}', 'the name and nothing else'],
    ['<a href="https://{in}/">', '<a href="https://{out}/">', 'a reference'],
    ["<a href='https://{in}'>", "<a href='https://{out}'>", 'without a path'],
    ['<a href=https://{in}>', '<a href=https://{out}>', 'without quotes'],
    ['<a href="http://{in}/">', '<a href="http://{out}/">', 'http'],
    ['<a href="HTTPS://{in}/">', '<a href="HTTPS://{out}/">', 'HTTPS'],
    ['<script src="//{in}/app.js"></script>',
        '<script src="//{out}/app.js"></script>', 'without a scheme'],
    ['<img srcset="https://{in}/1.png 1x,https://{in}/2.png 2x">',
        '<img srcset="https://{out}/1.png 1x,https://{out}/2.png 2x">',
        'two in one attribute'],
    ['<form action="https://{in}:443/join">',
        '<form action="https://{out}/join">', 'with the port of https'],
    ['<a href="http://{in}:80/">', '<a href="http://{out}/">',
        'with the port of http'],
    ['<a href="https://{in}:00443/">', '<a href="https://{out}/">',
        'a port with noughts before it'],
    ['<a href="https://{in}:/x">', '<a href="https://{out}:/x">',
        'a colon without a port'],
    ['<a href="https://{in}?x">', '<a href="https://{out}?x">', 'a query'],
    ['<a href="https://{in}#x">', '<a href="https://{out}#x">', 'a fragment'],
    ['<a href="https://me@{in}/">', '<a href="https://me@{out}/">',
        'a user before it'],
    ['<a href="https://me:pw@{in}:443/">', '<a href="https://me:pw@{out}/">',
        'a user and a password'],
    ['<a href="https:&#47;&#47;{in}&#47;">', '<a href="https:&#47;&#47;{out}&#47;">',
        'entities around it'],
    ['<a href="https:&sol;&sol;{in}&sol;x">',
        '<a href="https:&sol;&sol;{out}&sol;x">', 'entities with names'],
    ['<a href="x?u=a&amp;h={in}&amp;p=443">', '<a href="x?u=a&amp;h={out}&amp;p=443">',
        'among parameters'],
    ['<a href="https://CMSWEB.CMS.octavio.TEST/">', '<a href="https://{out}/">',
        'in any letter case'],
    ['<base href="https://{in}./x/">', '<base href="https://{out}/x/">',
        'the dot of the root'],
    ['<base href="https://{in}.:443/">', '<base href="https://{out}/">',
        'the dot of the root and a port'],
    ['<meta http-equiv=refresh content="0;url=https://{in}/">',
        '<meta http-equiv=refresh content="0;url=https://{out}/">', 'a refresh'],
    ['<meta http-equiv="Content-Security-Policy" content="connect-src {in} wss://{in}">',
        '<meta http-equiv="Content-Security-Policy" content="connect-src {out} wss://{out}">',
        'a policy'],
    ['<p>{in}</p>', '<p>{out}</p>', 'between tags'],
    ['<!--{in}-->', undef, 'in a comment, between dashes'],
    ['<!-- {in} -->', '<!-- {out} -->', 'in a comment'],
    ['Go to {in}.', 'Go to {out}.', 'the dot that ends a sentence stays'],
    ['Go to {in}. Then ...', 'Go to {out}. Then ...', 'and before the next one'],
    ['Go to {in}.<br>', 'Go to {out}.<br>', 'and before a tag'],
    ['({in}), [{in}], {in}; "{in}"!', '({out}), [{out}], {out}; "{out}"!',
        'punctuation'],
    ["{in}\n{in}\r\n\t{in}\0{in}", "{out}\n{out}\r\n\t{out}\0{out}",
        'white space and a nought'],
    ['{in}{in}', undef, 'twice without anything between is another name'],
    ['{in},{in}', '{out},{out}', 'twice'],
    ['{in}@{in}', '{out}@{out}', 'as user and as host'],
    ['mailto:anna@cms.octavio.test', 'mailto:anna@octavio.test', 'user@domain'],
    ['anna@CMS.Octavio.Test.', 'anna@octavio.test.', 'user@domain, any case'],
    ['<anna@cms.octavio.test>', '<anna@octavio.test>', 'in brackets'],
    ['&lt;anna@cms.octavio.test&gt;', '&lt;anna@octavio.test&gt;',
        'before an entity'],
    ['anna&#64;cms.octavio.test', undef, 'an @ as an entity is none'],
    ['sip:anna@cms.octavio.test:5061', 'sip:anna@octavio.test:5061',
        "a domain's port is not ours"],
    ['cms.octavio.test', undef, 'the domain by itself'],
    ['https://cms.octavio.test/', undef, 'the domain as a host'],
    ['anna@x.cms.octavio.test', undef, 'a domain below it'],
    ['anna@xcms.octavio.test', undef, 'a domain that ends like it'],
    ['anna@cms.octavio.test.example', undef, 'a domain that begins like it'],
    ['anna@{in}', 'anna@{out}', 'a user at the internal name itself'],
    # Others' names
    ['x{in}', undef, 'a letter before it'],
    ['x.{in}', undef, 'a label before it'],
    ['.{in}', undef, 'a dot before it'],
    ['-{in} _{in} 7{in}', undef, 'what belongs to a name before it'],
    ['{in}x {in}7', undef, 'a letter behind it'],
    ['{in}.example', undef, 'labels behind it'],
    ['{in}.-', undef, 'a dot and a dash behind it'],
    ['{in}-2 {in}-', undef, 'a dash behind it'],
    ['{in}_x', undef, 'an underscore behind it'],
    ['{in}..', undef, 'two dots behind it'],
    ['{in}:8443', undef, 'a port that is not its own'],
    ['https://{in}:4430/', undef, 'a port that begins like its own'],
    ['https://{in}:44/', undef, 'a part of its port'],
    ['https://{in}:0/', undef, 'port nought'],
    ['https://{in}:443443/', undef, 'more digits than a port has'],
    ['https://{in}:443x/', undef, 'a port with a letter'],
    ['https://{in}:443-', undef, 'a port with a dash'],
    ['{in}:443.', '{out}.', 'a port at the end of a sentence'],
    ['{in}:443.x', undef, 'a port and a label'],
    ['{in}:443:443', '{out}:443', 'two ports'],
    ['cmsweb.cms.octavio', undef, 'a part of the name'],
    ['cmsweb.cms.octavio.tes', undef, 'all but the last letter'],
    ['msweb.cms.octavio.test', undef, 'all but the first letter'],
    ['cmsweb-cms.octavio.test', undef, 'one character is another'],
    ['cmsweb.cms.octavio.test1', undef, 'one character more'],
    ['cmsweb%2Ecms.octavio.test', undef, 'an encoded dot inside the name'],
    ['cmsweb&#46;cms.octavio.test', undef, 'an entity inside the name'],
    ["cmsweb.\ncms.octavio.test", undef, 'a line break inside the name'],
    ['cms%77eb.cms.octavio.test', undef, 'an encoded letter inside the name'],
    # Several names
    ['https://web.cms.octavio.test:8443/', 'https://{out}/',
        'a second internal name with its port'],
    ['https://web.cms.octavio.test/', 'https://{out}/', 'and without'],
    ['https://web.cms.octavio.test:443/', undef, 'and with another'],
    ['https://web.cms.octavio.test.:8443/', 'https://{out}/',
        'and with the dot of the root'],
    ['web.cms.octavio.test:84431', undef, 'and with a digit more'],
    ['cmsweb.cms.octavio.test,web.cms.octavio.test',
        '{out},{out}', 'one behind the other'],
    ['web.cms.octavio.test.cmsweb.cms.octavio.test', undef,
        'one below the other'],
    # IDN
    ['https://xn--bcher-kva.cms.octavio.test/', 'https://{out}/',
        'an internal name with an umlaut, as it is configured'],
    ['https://XN--BCHER-KVA.cms.octavio.test/', 'https://{out}/',
        'and in capitals'],
    ['https://bücher.cms.octavio.test/', undef, 'but not with the umlaut'],
    ['ü{in}', undef, 'a letter of another script before it'],
    ['{in}é', undef, 'and behind it'],
    # Punctuation and spaces that are not ASCII
    ['„{in}“ ‚{in}‘ »{in}« ‹{in}›', '„{out}“ ‚{out}‘ »{out}« ‹{out}›',
        'typographic quotes'],
    ["\x{a0}{in}\x{a0}", "\x{a0}{out}\x{a0}", 'spaces that do not break'],
    ['see—{in}—or {in}…', 'see—{out}—or {out}…', 'dashes and dots'],
    ['“Go to {in}.”', '“Go to {out}.”', 'a sentence in quotes'],
    ['„anna@cms.octavio.test“', '„anna@octavio.test“', 'user@domain in quotes'],
    ['“{in}:443”', '“{out}”', 'a port before a quote'],
    ['“{in}:8443”', undef, 'a port that is not its own before a quote'],
    ['「{in}」、{in}。次', '「{out}」、{out}。次', 'ideographic ones'],
    ['会议：{in}，（{in}）', '会议：{out}，（{out}）', 'full-width ones'],
    ["\x{feff}{in}", "\x{feff}{out}", 'a byte order mark'],
    ['会议{in} {in}会议', undef, 'letters of another script around it'],
    ['々{in} {in}µ {in}－x {in}．x ª{in}', undef,
        'what IDN may take for a part of a name'],
    ["{in}\x{20ac}", undef, 'other signs stay a part of a name'],
    ["cm\x{17f}web.cms.octavio.test", undef, 'a long s is no s'],
],
'text/javascript' => [
    ['fetch("https://{in}/api/join")', 'fetch("https://{out}/api/join")',
        'a string'],
    ['let h = \'{in}\', u = `wss://${x}.{in}/`;',
        'let h = \'{out}\', u = `wss://${x}.{in}/`;',
        'not a name that something is put before'],
    ['`https://{in}:${port}/`', '`https://{out}:${port}/`',
        'a port that is put in later'],
    ['new WebSocket("wss://{in}:443/content")',
        'new WebSocket("wss://{out}/content")', 'a WebSocket'],
    ['"wss:" + "//{in}" + "/x"', '"wss:" + "//{out}" + "/x"', 'in parts'],
    ['"{in}" + ":443"', '"{out}" + ":443"', 'in parts, with the port'],
    ['"https:\\/\\/{in}\\/x"', '"https:\\/\\/{out}\\/x"', 'escaped slashes'],
    ['"\\x2f\\x2f{in}\\x2f"', '"\\x2f\\x2f{out}\\x2f"', 'slashes by \\x2f'],
    ['"\\x2F\\x2F{in}\\x3a443"', '"\\x2F\\x2F{out}"', 'a colon by \\x3a'],
    ['"\\n{in}\\n"', '"\\n{out}\\n"', 'between line breaks'],
    ['"\\r{in}" "\\t{in}" "\\b{in}" "\\f{in}" "\\v{in}"',
        '"\\r{out}" "\\t{out}" "\\b{out}" "\\f{out}" "\\v{out}"',
        'behind other escapes'],
    ['"\\x41{in}"', undef, 'behind a letter by \\x41'],
    ['"{in}\\x41"', undef, 'before a letter by \\x41'],
    ['"{in}\\x2dx"', undef, 'before a dash by \\x2d'],
    ['/\\/\\/{in}/', '/\\/\\/{out}/', 'a regular expression without escapes'],
    ['/cmsweb\\.cms\\.octavio\\.test/', undef, 'one with escapes'],
    ['x.{in}', undef, 'a property'],
    ['{in}.split(".")', undef, 'with a method'],
    ['"anna@cms.octavio.test"', '"anna@octavio.test"', 'user@domain'],
    ['"anna\\x40cms.octavio.test"', '"anna\\x40octavio.test"',
        'user@domain, the @ by \\x40'],
    ['"@cms.octavio.test"', '"@octavio.test"', 'what follows a user'],
    ['"@" + "cms.octavio.test"', undef, 'in parts: no @ before it'],
],
'application/json' => [
    ['{"url":"https://{in}/x"}', '{"url":"https://{out}/x"}', 'a value'],
    ['{"url":"https:\\/\\/{in}\\/x"}', '{"url":"https:\\/\\/{out}\\/x"}',
        'escaped slashes'],
    ['{"url":"https:\\u002f\\u002f{in}\\u002fx"}',
        '{"url":"https:\\u002f\\u002f{out}\\u002fx"}', 'slashes by \\u002f'],
    ['{"url":"https:\\u002F\\u002F{in}"}', '{"url":"https:\\u002F\\u002F{out}"}',
        'and by \\u002F'],
    ['"\\u002f{in}\\u003a443"', '"\\u002f{out}"', 'a colon by \\u003a'],
    ['"\\u002f{in}\\u003a8443"', undef, 'and a port that is not its own'],
    ['{"{in}":1}', '{"{out}":1}', 'a key'],
    ['{"host":"{in}","port":443}', '{"host":"{out}","port":443}', 'host and port'],
    ['["{in}:443","{in}"]', '["{out}","{out}"]', 'a list'],
    ['"\\u0041{in}"', undef, 'behind a letter by \\u0041'],
    ['"\\u00e9{in}"', undef, 'behind one of Latin-1'],
    ['"\\u201c{in}\\u201d \\u00ab{in}\\u00bb"',
        '"\\u201c{out}\\u201d \\u00ab{out}\\u00bb"', 'between quotes'],
    ['"\\u4e2d{in} {in}\\u00b5"', undef, 'beside other letters'],
    ['"{in}\\u002dx"', undef, 'before a dash by \\u002d'],
    ['"{in}\\u002eexample"', undef, 'before a dot and a label'],
    ['"{in}\\u002e"', '"{out}\\u002e"', 'before a dot that ends a sentence'],
    ['"{in}\\u002e\\u002f"', '"{out}\\u002f"', 'before the dot of the root'],
    ['"https:\\/\\/{in}.\\/x"', '"https:\\/\\/{out}\\/x"',
        'and before an escaped slash'],
    ['"Call {in}.\\nBye"', '"Call {out}.\\nBye"',
        'a dot that ends a sentence, and a line break'],
    ['"\\"Call {in}.\\""', '"\\"Call {out}.\\""', 'and a quote'],
    ['"{in}.\\u005c"', '"{out}.\\u005c"', 'and a backslash'],
    ['"\\u003ca href=\\"https://{in}\\"\\u003e"',
        '"\\u003ca href=\\"https://{out}\\"\\u003e"', 'HTML inside'],
    ['"see\\n{in}\\nand"', '"see\\n{out}\\nand"', 'between line breaks'],
    ['{"uri":"anna@cms.octavio.test"}', '{"uri":"anna@octavio.test"}',
        'user@domain'],
    ['{"uri":"anna\\u0040cms.octavio.test"}',
        '{"uri":"anna\\u0040octavio.test"}', 'user@domain, the @ by \\u0040'],
    ['"{in}\\u00', '"{out}\\u00', 'cut off in an escape'],
],
'text/css' => [
    ['@import url(//{in}/a.css);', '@import url(//{out}/a.css);', 'an import'],
    ['a{background:url("https://{in}/i.png")}',
        'a{background:url("https://{out}/i.png")}', 'a picture'],
    ['a{background:url(\'//{in}:443/i.png\')}',
        'a{background:url(\'//{out}/i.png\')}', 'with the port'],
    ['/* {in} */', '/* {out} */', 'a comment'],
],
'application/xml' => [
    ['<u>https://{in}/</u>', '<u>https://{out}/</u>', 'an element'],
    ['<u><![CDATA[{in}]]></u>', '<u><![CDATA[{out}]]></u>', 'CDATA'],
    ['<!DOCTYPE x SYSTEM "https://{in}/x.dtd">',
        '<!DOCTYPE x SYSTEM "https://{out}/x.dtd">', 'a DTD'],
    ['<u>&quot;{in}&quot;</u>', '<u>&quot;{out}&quot;</u>', 'entities'],
    ['<u>sip:anna@cms.octavio.test</u>', '<u>sip:anna@octavio.test</u>',
        'user@domain'],
],
'image/svg+xml' => [
    ['<image href="https://{in}/i"/>', '<image href="https://{out}/i"/>',
        'a drawing'],
],
# URLs inside URLs
'text/html; charset=utf-8' => [
    ['?u=https%3A%2F%2F{in}%2Fx', '?u=https%3A%2F%2F{coded}%2Fx',
        'a URL as a parameter'],
    ['?u=https%3a%2f%2f{in}%2fx', '?u=https%3a%2f%2f{coded}%2fx',
        'in small letters'],
    ['?u=%2F%2F{in}%3A443%2Fx', '?u=%2F%2F{coded}%2Fx', 'with its port'],
    ['?u=%2f%2f{in}%3a443', '?u=%2f%2f{coded}', 'and at the end'],
    ['?u=%2F%2F{in}%3A8443', undef, 'with another port'],
    ['?u=%2F{in}%3A%2F', '?u=%2F{coded}%3A%2F', 'an encoded colon, no port'],
    ['?u=%2F{in}%2E%2Fx', '?u=%2F{coded}%2Fx', 'an encoded dot of the root'],
    ['?u=%2F{in}%2E', '?u=%2F{coded}%2E', 'an encoded dot at the end'],
    ['?u=%2F{in}%2Eexample', undef, 'an encoded dot and a label'],
    ['?u=%61{in}', undef, 'an encoded letter before it'],
    ['?u={in}%61', undef, 'an encoded letter behind it'],
    ['?u={in}%2dx', undef, 'an encoded dash behind it'],
    ['?u=%C3%BC{in}', undef, 'an encoded umlaut before it'],
    ['?u={in}%C3%BC', undef, 'an encoded umlaut behind it'],
    ['?u={in}%0A%20{in}', '?u={out}%0A%20{coded}', 'encoded white space'],
    ['?u={in}%', '?u={out}%', 'a percent sign that encodes nothing'],
    ['?u={in}%2', '?u={out}%2', 'and half an encoding'],
    ['%zz{in}', undef, 'no encoding before it: a letter'],
    ['?u=anna%40cms.octavio.test', '?u=anna%40octavio.test', 'user%40domain'],
    ['?u=https%253A%252F%252F{in}', undef, 'encoded twice'],
],
);

# told(row, host): what the guest who asked for that host reads.
sub filled {
    my ($text, $host) = @_;
    my %with = (in => $in, out => $host, coded => $host =~ s/:/%3A/r,
        host => $host =~ s/:.*//r);
    return encode_utf8($text =~ s/\{(in|out|coded|host)\}/$with{$1}/gr);
}

sub row {
    my ($row, $host) = @_;
    return map { filled($_, $host) } $row->[0], $row->[1] // $row->[0];
}

my @mappings = (
    { kind => 'domain', from => 'cms.octavio.test', to => 'octavio.test' },
    { kind => 'authority', from => $in },
    { kind => 'authority', from => $in2, from_port => 8443 },
    { kind => 'authority', from => $idn },
);

for my $host ($out, $out2, "$out:8443") {
    my ($name, $port) = split /:/, $host;
    for my $type (sort keys %table) {
        subtest "$type, asked for $host" => sub {
            for my $row (@{$table{$type}}) {
                my ($said, $told) = row($row, $host);
                is(body($type, $said, $host), $told, $row->[2]);
                is(Edge::Rewriter::rewrite($said, \@mappings, to => $name,
                    to_port => $port), $told, 'so says the reference')
                    if $host ne $out2;
            }
        };
    }
    my ($said, $told) = ('', '');
    for my $row (map { @$_ } @table{sort keys %table}) {
        my ($s, $t) = row($row, $host);
        $said .= "$s\n";
        $told .= "$t\n";
    }
    # A request field holds so much
    is(body('text/html', $said, $host), $told,
        "all of them in one page, asked for $host");
}

# Where one name is a part of another, or of what it becomes.
for my $case (
    ['web.octavio.test', $out, 'a name that ends like another'],
    ['octavio.test', $out, 'the other'],
    ['https://octavio.test/ https://web.octavio.test/',
        "https://$out/ https://$out/", 'both'],
    ['in.octavio.test h.octavio.test', "$out h.octavio.test", 'a near one'],
    ['octavio.test.example', $out, 'a name that begins like another'],
    ['octavio.test.example.com', undef, 'and one that begins like that'],
    ['anna@octavio.test', 'anna@sip.octavio.test',
        'a domain that is a name as well: behind a user it is the domain'],
    ['anna@web.octavio.test', "anna\@$out", 'a user at a name'],
    ['h', $out, 'a name of one label'],
    ['https://h/ http://H:80/ //h:84', "https://$out/ http://$out/ //$out",
        'with one port or the other'],
    ['h:85 xh h.example h-2 h_ h.h h1', undef, 'and what looks like it'],
    ['a="h";b=h/2,h?h:x', "a=\"$out\";b=$out/2,$out?$out:x",
        'the bare word, wherever it stands'],
    ['%2fh\\u002fh\\/h', "%2f$out\\u002f$out\\/$out", 'in every spelling'],
    ['%2Fhh\\u002fhh', undef, 'and no part of a word'],
) {
    my ($said, $told, $why) = @$case;
    is(body('text/html', $said, $out, '/alike/'), $told // $said,
        "names that are parts of each other: $why");
}
for my $case (
    ["https://web.$in/ https://web.web.$in/", "https://$in/ https://web.web.$in/",
        'what is put is not looked at again'],
    ['a@octavio.test,b@cms.octavio.test', 'a@cms.octavio.test,b@cms.octavio.test',
        'a domain whose new name ends like it'],
) {
    my ($said, $told, $why) = @$case;
    is(body('text/html', $said, $in, '/inwards/'), $told, $why);
}

# Only where something was promised.
for my $type ('text/plain', 'application/octet-stream', 'image/png',
    'video/mp4', 'font/woff2', 'application/pdf') {
    is(body($type, "https://$in/", $out), "https://$in/",
        "$type stays byte for byte");
}
for my $type ('text/html', 'application/xhtml+xml', 'text/css',
    'text/javascript', 'application/javascript', 'application/x-javascript',
    'application/json', 'application/manifest+json', 'application/problem+json',
    'text/xml', 'application/xml', 'image/svg+xml', 'text/event-stream',
    'TEXT/HTML', 'application/json;charset=UTF-8') {
    is(body($type, "https://$in/", $out), "https://$out/", "$type is rewritten");
}
is(body('text/html', '', $out), '', 'an empty page stays one');
is($edge->error_log =~ /\[(?:alert|crit|emerg)\]/ ? $edge->error_log : '', '',
    'nginx has nothing to complain about');

done_testing();
