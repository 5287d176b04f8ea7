package Edge::Rewriter;

# What the rewriting of guest URIs has to give, slow and obviously right: one
# text, from left to right, byte by byte. The tests compare the product with
# it. It shares nothing with the product, and knows whole texts only.
#
#   my $told = Edge::Rewriter::rewrite($said, [
#       { kind => 'authority', from => 'cmsweb.cms.octavio.test', to => undef },
#       { kind => 'domain', from => 'cms.octavio.test', to => 'octavio.test' },
#   ], to => 'cmsweb.octavio.test', to_port => 8443, also_port => 8443);

use strict;
use warnings;

# rewrite(text, mappings, ...): the text, and in list context also how many
# names were replaced. A mapping has
#   kind       'authority' or 'domain' (the part behind an "@")
#   from       a host name
#   from_port  a port that counts as its own (none: 443, 80 and also_port do)
#   to         what takes its place; undef for the options' `to`
#   to_port    a port to write behind it
# and the options are to, to_port and also_port. Texts are bytes.
sub rewrite {
    my ($text, $mappings, %o) = @_;
    my ($out, $copied, $count) = ('', 0, 0);
    my $any = join '|', map { quotemeta $_->{from} } @$mappings;
    while (length $any && $text =~ /(?=$any)/aaig) {
        my $start = $-[0];
        next if $start < $copied;
        my ($to, $end) = _first_match($text, $start, $mappings, \%o);
        next if !defined $to;
        $out .= substr($text, $copied, $start - $copied) . $to;
        $copied = $end;
        $count++;
    }
    $out .= substr $text, $copied;
    return wantarray ? ($out, $count) : $out;
}

# What the first mapping that matches here puts, and where the text goes on.
sub _first_match {
    my ($text, $start, $mappings, $o) = @_;
    for my $m (@$mappings) {
        my $end = $m->{kind} eq 'domain' ? _domain_end($text, $start, $m)
            : _authority_end($text, $start, $m, $o->{also_port});
        next if !defined $end;
        my ($to, $port) = defined $m->{to} ? @$m{qw(to to_port)}
            : @$o{qw(to to_port)};
        return ($to, $end) if $m->{kind} eq 'domain' || !$port;
        # A port is spelled as what stands before the name is.
        my $coded = $start >= 3
            && substr($text, $start - 3, 3) =~ /^%[0-9a-f]{2}\z/i;
        my $colon = $coded ? '%3A' : ':';
        return ("$to$colon$port", $end);
    }
    return;
}

# The end of the name of a mapping that stands at this place, or undef.
sub _name_end {
    my ($text, $start, $m) = @_;
    my $end = $start + length $m->{from};
    return if lc substr($text, $start, length $m->{from}) ne lc $m->{from};
    return if _of_a_name(_before($text, $start)) || !_ends($text, $end);
    return $end;
}

sub _domain_end {
    my ($text, $start, $m) = @_;
    return if _before($text, $start) ne '@';
    return _name_end($text, $start, $m);
}

sub _authority_end {
    my ($text, $start, $m, $also_port) = @_;
    my $end = _name_end($text, $start, $m) // return;

    # The dot of the root, unless it may be one that ends a sentence.
    my ($c, $behind) = _at($text, $end);
    if ($c eq '.') {
        my ($next) = _at($text, $behind);
        $end = $behind if $next =~ m{^[/:?#]$}
            || substr($text, $behind, 2) eq '\\/';
    }

    ($c, $behind) = _at($text, $end);
    return $end if $c ne ':';
    my ($digits) = substr($text, $behind, 6) =~ /^([0-9]*)/;
    return $end if $digits eq '';
    return if length $digits > 5;
    $behind += length $digits;
    return if !_ends($text, $behind);
    my @own = $m->{from_port} || (443, 80, $also_port || ());
    return (grep { $_ == $digits } @own) ? $behind : undef;
}

# ---- characters ----

my $hex = qr/[0-9A-Fa-f]{2}/;

# Punctuation and spaces beyond ASCII, as characters and as their UTF-8. What
# IDN has in names is none, nor are letters.
my $mark = qr/[\x{80}-\x{a9}\x{ab}-\x{b4}\x{b6}-\x{b9}\x{bb}-\x{bf}
    \x{2000}-\x{207f}\x{3000}-\x{3004}\x{3008}-\x{301f}\x{feff}
    \x{ff01}-\x{ff0c}\x{ff0f}\x{ff1a}-\x{ff20}]/xx;
my $utf8_mark = qr/\xc2[\x80-\xbf](?<!\xaa|\xb5|\xba) | \xe2[\x80\x81][\x80-\xbf]
    | \xe3\x80[\x80-\x84\x88-\x9f] | \xef\xbb\xbf
    | \xef\xbc[\x81-\x8c\x8f\x9a-\xa0]/x;

# What hex digits stand for; all punctuation beyond ASCII is the same.
sub _char { my $c = chr hex $_[0]; return $c =~ /^$mark/ ? ' ' : $c }

# The character at this place, '' past the end, and the place behind it.
sub _at {
    my ($text, $i) = @_;
    my $rest = substr $text, $i, 6;
    return (chr hex $1, $i + 3) if $rest =~ /^%($hex)/;
    return (_char($1), $i + 6) if $rest =~ /^\\[uU]00($hex)/;
    return (_char($1), $i + 4) if $rest =~ /^\\[xX]($hex)/;
    return (' ', $i + length $1) if $rest =~ /^($utf8_mark)/;
    return (substr($rest, 0, 1), $i + 1);
}

# The character before this place, '' at the start of the text.
sub _before {
    my ($text, $i) = @_;
    my $n = $i < 6 ? $i : 6;
    my $before = substr $text, $i - $n, $n;
    return _char($1) if $before =~ /\\[uU]00($hex)\z/;
    return ' ' if $before =~ /\\[uU]($hex$hex)\z/ && _char($1) eq ' ';
    return _char($1) if $before =~ /\\[xX]($hex)\z/;
    return ' ' if $before =~ /$utf8_mark\z/;
    return chr hex $1 if $before =~ /%($hex)\z/;
    return "\n" if $before =~ /\\[nrtbfv]\z/;
    return $n ? substr $before, -1 : '';
}

sub _of_a_name { return $_[0] =~ /^[0-9A-Za-z._\x80-\xff-]\z/ }

# No name goes on here; a dot that nothing of a name follows ends one, too.
sub _ends {
    my ($text, $i) = @_;
    my ($c, $behind) = _at($text, $i);
    ($c) = _at($text, $behind) if $c eq '.';
    return !_of_a_name($c);
}

1;
