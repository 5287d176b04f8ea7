package Edge::RewriteCases;

# Random texts full of names, of what looks like them and of what may stand
# around them, with random mappings and cut into random pieces; and the search
# for the shortest of them that still shows a difference. Used by the tests
# that compare the product with Edge::Rewriter.
#
# A case: { mappings => [...], to => host, to_port => n or 0, also_port => n or
# 0, pieces => [bytes, ...], way => how the core is to search }; the mappings are
# as Edge::Rewriter has them.

use strict;
use warnings;
use Edge::Rewriter;
use Exporter 'import';

our @EXPORT_OK = qw(random_mappings random_case random_pieces random_text
    expected shrink describe);

sub one_of { return $_[rand @_] }

# What a web bridge and its neighbours could be called: many share a part.
my @names = qw(h in h.in w.h.in h.in.w in.h web.h.in cmsweb.cms.octavio.test
    cms.octavio.test octavio.test cms.octavio.local aa.a a.a a.a.a xn--bcher-kva.in
    x-h.in h-1.in h_1.in 10.1.2.3 cmsweb.octavio.test u002f.in x2f.in n.in);
my @ports = (0, 0, 0, 1, 80, 443, 444, 8443, 65535);

sub random_name {
    return one_of(@names) if rand() < 0.8;
    return join '.', ('a' x 63) x 3, 'b' x (1 + int rand 61) if rand() < 0.1;
    return join '.', map {
        join '', map { one_of('a' .. 'c', 0) } 0 .. int rand 3
    } 0 .. int rand 3;
}

sub random_mappings {
    my @m;
    for (1 .. 1 + int(rand() < 0.7 ? rand 3 : rand 16)) {
        my $kind = rand() < 0.75 ? 'authority' : 'domain';
        my $from = random_name();
        $from = uc $from if rand() < 0.1;
        push @m, { kind => $kind, from => $from,
            from_port => $kind eq 'domain' ? 0 : one_of(@ports),
            to => $kind eq 'authority' && rand() < 0.7 ? undef : random_name(),
            to_port => $kind eq 'domain' ? 0 : one_of(@ports) };
    }
    return \@m;
}

# Around the edges of what is punctuation beyond ASCII, and cut off.
my @beyond = map { pack 'H*', $_ } qw(c2a0 c2bb c2aa c2b5 c280 c2bf c2 c27f
    c380 e2809c e2809d e28094 e280bf e281bf e28280 e28080 e280 e2 e27f80 e3
    e380 e38080 e38085 e38088 e3809f e380a0 efbbbf efbbbe ef efbc efbc80 efbc8c
    efbc8d efbc8e efbc8f efbc9a efbca0 efbca1 c2c2 e2e28080 80 a0);

my @before = ('', '', '', '/', '//', 'https://', 'wss://', 'https:\\/\\/',
    'https%3A%2F%2F', '%2f', '\\u002f\\u002F', '\\x2f\\x2F', '\\X2f', '@', '@',
    'anna@', 'anna%40', '\\u0040', '\\x40', '\\U0040', '.', '-', '_', 'x', '7',
    '%41', '%2e', '%2D', '\\u0041', '\\x41', '\\u002e', '\\n', '\\r', '\\t',
    '\\b', '\\f', '\\v', '\\a', '\\\\n', "\xc3\xa9", "\x80", '\\u00e9', '%C3%A9',
    '\\xe9', '"', "'", ' ', "\n", "\0", '%', '%2', '%zz', '\\', '\\u', '\\u0',
    '\\u00', '\\u002', '\\u012f', '\\u2f', '\\x', '\\x2', '%%', '%252f', '&#47;',
    ':', '=', '[', '(', '<', '&quot;', '%00', '\\u0000', @beyond, '\\u201c',
    '\\u3002', '\\u4e2d', '\\u00ab', '\\xb5', '\\xa0', '%E2%80%9C');
my @after = ('', '', '', '/', '/x', '?', '#', '"', ' ', "\n", '\\/', '\\u002f',
    '%2F', '\\x2f', '\\n', '\\', '\\"', '%', '%2', '\\u00', '\\x', ':443', ':80',
    ':8443', ':1', ':0', ':', '::443', ':65535', ':99999', ':123456', ':00443',
    ':000443', '%3A443', '%3a80', '\\u003a443', '\\x3a8443', '%3A', '\\u003a/',
    ':4%343', ':443/', ':443.', ':443./', ':443.x', ':443x', ':443-', ':443%41',
    ':443\\u0041', ":443\xc3", ':443"', ':443.%2f', '.', '..', '...', './', '.:443',
    '.:8443/', '.:', '.?', '.#', '.\\/', '.\\n', '.\\u002f', '.%2f', '.%3A443',
    '%2e', '%2E/', '%2e%3a443', '\\u002e', '\\u002e\\u002f', '\\u002e\\u003a443',
    '\\x2e', '\\x2e/', '\\x2e\\x3a80', '.x', '.example', '.-', '._', '.%41',
    '.\\u0041', '.%', '.\\', ".\xc3\xa9", '-', '-2', '_', 'x', '7', '%41', '%2d',
    '\\u0041', '\\x5f', "\xc3\xa9", "\xff", '\\u00e9', '%C3%A9', '@', '%40', ',',
    @beyond, (map { (".$_", ":443$_") } @beyond), '\\u201d', '\\u00bb', '\\xb5',
    '\\xa0', '%C2%A0');

# A name that is meant, or one that nearly is.
sub nearly {
    my ($name) = @_;
    my $n = length $name;
    my $i = int rand $n;
    my $what = rand;
    return $name if $what < 0.6;
    return uc $name if $what < 0.65;
    return join '', map { rand() < 0.5 ? uc : lc } split //, $name
        if $what < 0.75;
    return substr $name, 0, $i if $what < 0.82;
    return substr $name, $i if $what < 0.86;
    return $name . $name if $what < 0.88;
    substr($name, $i, 1) = $what < 0.93 ? sprintf one_of('%%%02x', '\\u%04x',
        '\\x%02x'), ord substr $name, $i, 1
        : one_of('a', '.', '-', '/', chr(ord(substr $name, $i, 1) ^ 0x20),
            chr(ord(substr $name, $i, 1) ^ 0x80), "\0");
    return $name;
}

# random_text(mappings, at most about so many bytes)
sub random_text {
    my ($mappings, $most) = @_;
    my $text = '';
    my $few = rand() < 0.3;
    while (length $text < $most) {
        $text .= one_of(@before) for 0 .. int rand 1.4;
        $text .= nearly(one_of(@$mappings)->{from});
        $text .= one_of(@after) for 0 .. int rand 1.4;
        last if rand() < 10 / ($most + 100);
        next if !$few && rand() < 0.6;
        my $n = $few ? rand 2000 : rand 40;
        $text .= one_of('<p>', 'a', ' ', '.', '{"k":1}', "\xc3\xa9", 'h.',
            'cms.', '%2f', join '', map { chr rand 256 } 1 .. 16) x ($n / 4);
    }
    return $text;
}

# random_pieces(text): the text in pieces of 0 bytes to 64 k.
sub random_pieces {
    my ($text) = @_;
    my $way = int rand 6;
    my $size = $way == 0 ? sub { 1 }
        : $way == 1 ? sub { int rand 4 }
        : $way == 2 ? sub { 1 + int rand 16 }
        : $way == 3 ? do { my $n = 2 ** int rand 17; sub { $n } }
        : $way == 4 ? sub { int rand 600 }
        : sub { 1 + int rand 65536 };
    my @pieces;
    my $at = 0;
    while ($at < length $text) {
        my $n = $size->();
        push @pieces, substr $text, $at, $n;
        $at += $n;
    }
    # The end may come with the last bytes, or alone.
    push @pieces, '' if !@pieces || rand() < 0.2;
    return \@pieces;
}

sub random_case {
    my $mappings = random_mappings();
    my $most = rand() < 0.004 ? 20_000 + rand 120_000 : rand() < 0.2 ? rand 3000
        : rand 300;
    return { mappings => $mappings, to => random_name(),
        to_port => one_of(@ports), also_port => one_of(@ports),
        way => int rand 8,
        pieces => random_pieces(random_text($mappings, $most)) };
}

# expected(case): (what it has to become, how many names are replaced)
sub expected {
    my ($case) = @_;
    return Edge::Rewriter::rewrite(join('', @{$case->{pieces}}),
        $case->{mappings}, map { $_ => $case->{$_} } qw(to to_port also_port));
}

# shrink(case, sub { true if a case still fails }, tries = 3000): a shorter case
# that fails. Its mappings stay where it has a `bridge` they belong to.
sub shrink {
    my ($case, $fails, $tries) = @_;
    $tries //= 3000;
    my $try = sub {
        my (%with) = @_;
        my $smaller = { %$case, %with };
        return if $tries-- <= 0 || !$fails->($smaller);
        $case = $smaller;
        return 1;
    };
    my $before = '';
    while ($tries > 0 && $before ne _shape($case)) {
        $before = _shape($case);
        _drop_parts($case->{$_}, $_, $try)
            for defined $case->{bridge} ? () : 'mappings', 'pieces';
        for (my $i = 0; $i < $#{$case->{pieces}}; $i++) {
            my @p = @{$case->{pieces}};
            splice @p, $i, 2, $p[$i] . $p[$i + 1];
            $i-- if $try->(pieces => \@p);
        }
        for my $i (0 .. $#{$case->{pieces}}) {
            _shorten($case->{pieces}, $i, sub { $try->(pieces => $_[0]) });
        }
    }
    return $case;
}

sub _shape {
    my ($case) = @_;
    return join "\0", scalar @{$case->{mappings}}, @{$case->{pieces}};
}

# Leaves out halves, quarters, ... of a list.
sub _drop_parts {
    my ($list, $key, $try) = @_;
    my @list = @$list;
    for (my $n = int(@list / 2) || 1; $n >= 1; $n = int($n / 2)) {
        for (my $i = 0; $i < @list && @list > 1;) {
            my @less = @list;
            splice @less, $i, $n;
            if (@less && $try->($key => \@less)) {
                @list = @less;
            } else {
                $i += $n;
            }
        }
    }
}

sub _shorten {
    my ($pieces, $i, $try) = @_;
    my @p = @$pieces;
    for (my $n = length $p[$i]; $n >= 1; $n = int($n / 2)) {
        for (my $at = 0; $at < length $p[$i];) {
            my @less = @p;
            substr($less[$i], $at, $n) = '';
            if ($try->(\@less)) {
                @p = @less;
            } else {
                $at += $n;
            }
        }
    }
}

# describe(case, what came): lines for people.
sub describe {
    my ($case, $came) = @_;
    my ($wanted) = expected($case);
    my $to = sub { $_[0]{to} . ($_[0]{to_port} ? ":$_[0]{to_port}" : '') };
    return join "\n", (map {
        "mapping: $_->{kind} $_->{from}"
            . ($_->{from_port} ? ":$_->{from_port}" : '') . ' -> '
            . (defined $_->{to} ? $to->($_) : $to->($case))
    } @{$case->{mappings}}), "also port $case->{also_port}",
        (defined $case->{way} ? "way to search: $case->{way}" : ()),
        'pieces: ' . join(' | ', map { _shown($_) } @{$case->{pieces}}),
        'wanted: ' . _shown($wanted), 'came:   ' . _shown($came);
}

sub _shown {
    my ($bytes) = @_;
    return '(nothing)' if !defined $bytes;
    $bytes =~ s/([^ -~]|\\)/sprintf '\\%02x', ord $1/ge;
    return length $bytes > 2000 ? substr($bytes, 0, 2000) . ' ...' : $bytes;
}

1;
