package Edge::Browser;

# Real Chromium browsers for a test, through t/browser/driver.js.
#
#   my $browsers = Edge::Browser->start;
#   my $ann = $browsers->person('ann', trust => Edge::Certs::ca('outside'));
#   $ann->open('https://cmsweb.octavio.test/');
#   $ann->click('Join call');
#   $ann->fill('Meeting ID' => '100101');
#   $ann->see('Proxy webRTC');
#
# Every action waits for what it needs (20 s unless told) and dies with the
# browser's words when that does not come.

use strict;
use warnings;
use Carp;
use Edge::Netns;
use Edge::Process qw(spew wait_until);
use File::Path qw(make_path);
use JSON::PP;

my $json = JSON::PP->new->utf8->canonical;

# The driver; one serves any number of people.
sub start {
    my ($class) = @_;
    my $dir = "$Edge::Netns::dir/browser";
    make_path($dir);
    my $answers = "$dir/answers";
    spew($answers, '');
    my $process = Edge::Process->start(
        name => 'browser-driver',
        log => $answers,
        argv => ['node', "$Edge::Netns::root/t/browser/driver.js"],
        env => {NODE_PATH => "$Edge::Netns::root/build/node_modules",
            HOME => $dir, DEBUG => ''},
        stdin => 'pipe',
    );
    open my $out, '<', $answers or croak "$answers: $!";
    return bless {dir => $dir, process => $process, out => $out, id => 0,
        pending => ''}, $class;
}

# person('ann', ...): a browser of its own with one page.
#   prefix  argv in front of Chromium: ['ip', 'netns', 'exec', 'ann']
#   trust   array of CA certificates, or one, that this browser trusts
#   camera  hue (0..359) of the room this person sits in
#   size    [width, height] of the window
sub person {
    my ($self, $who, %o) = @_;
    my $home = "$self->{dir}/$who";
    make_path("$home/.pki/nssdb");
    _run('certutil', '-N', '-d', "sql:$home/.pki/nssdb", '--empty-password')
        if !-e "$home/.pki/nssdb/cert9.db";    # the second browser of one
    my @trust = ref $o{trust} ? @{$o{trust}} : $o{trust} // ();
    _run('certutil', '-A', '-d', "sql:$home/.pki/nssdb", '-n', $_, '-t',
        'C,,', '-i', $_) for @trust;

    my $prefix = join ' ', map { "'$_'" } @{$o{prefix} // []};
    spew("$home/chromium", "#!/bin/sh\nHOME='$home' exec $prefix "
        . "/usr/bin/chromium \"\$@\"\n", 0755);
    my $person = bless {driver => $self, who => $who}, 'Edge::Browser::Person';
    my @camera;
    if (defined $o{camera}) {
        @camera = (camera => "$home/camera.y4m");
        _run('node', "$Edge::Netns::root/t/browser/camera.js",
            "$home/camera.y4m", $o{camera});
    }
    $person->_do('launch', command => "$home/chromium", @camera,
        size => $o{size});
    return $person;
}

# Ends every browser, and the driver.
sub stop {
    my ($self) = @_;
    my $process = $self->{process};
    close delete $process->{stdin} if $process->{stdin};
    $process->wait_end(5);
    $process->stop;
}

sub _ask {
    my ($self, %request) = @_;
    my $id = ++$self->{id};
    my $timeout = ($request{timeout} // 20000) / 1000 + 30;
    print {$self->{process}{stdin}} $json->encode({id => $id, %request}), "\n";
    my $answer = wait_until(sub {
        my $line = $self->_line;
        my $a = defined $line && $line =~ /^\{/ ? $json->decode($line) : undef;
        return $a if $a && $a->{id} == $id;
        croak "the browser driver ended:\n" . $self->{process}->log_text
            if !$self->{process}->alive;
        return;
    }, $timeout) or croak "the browser did not answer: $request{do}";
    croak "$request{who}: $request{do}: $answer->{error}"
        if defined $answer->{error};
    return $answer->{result};
}

# The next whole line the driver wrote, if there is one.
sub _line {
    my ($self) = @_;
    seek $self->{out}, 0, 1;
    $self->{pending} .= readline($self->{out}) // return;
    return if $self->{pending} !~ /\n\z/;
    my $line = $self->{pending};
    $self->{pending} = '';
    return $line;
}

sub _run {
    my @cmd = @_;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec @cmd;
    }
    local $/;
    my $text = <$out> // '';
    close $out or croak "@cmd: $text";
}

package Edge::Browser::Person;

use Carp;
use Edge::Process qw(wait_until);

sub _do {
    my ($self, $action, %o) = @_;
    return $self->{driver}->_ask(do => $action, who => $self->{who}, %o);
}

# open(URL): {status, url, headers}, or {error => 'ERR_CERT_...'}.
sub open { my ($s, $url, %o) = @_; $s->_do('open', url => $url, %o) }

# see(text), see(button => 'Join call'): waits until it can be seen; sees():
# whether it can be seen now. A role is any of ARIA's.
sub see { my $s = shift; $s->_do('see', _thing(@_)) }
sub sees { my $s = shift; $s->_do('sees', _thing(@_)) }

sub _thing {
    my @thing = @_ % 2 ? (text => shift) : (role => shift, text => shift);
    return (@thing, @_);
}

sub fill {
    my ($s, $label, $value) = @_;
    return $s->_do('fill', label => $label, value => $value);
}

sub click { my ($s, $button) = @_; $s->_do('click', button => $button) }

# All the text of the page.
sub text { $_[0]->_do('text') }
sub screenshot { my ($s, $file) = @_; $s->_do('screenshot', file => $file) }
sub run { my ($s, $script) = @_; $s->_do('run', script => $script) }
sub close { $_[0]->_do('close') }

# find('octavio.local'): where that word, in any letter case, is in what this
# browser asked for, sent and was sent since it was opened, in headers, bodies
# and WebSocket messages, or in what it keeps and shows: {found => [text, ...],
# answers => number, messages => number, unread => [URL, ...]}.
sub find { my ($s, $word) = @_; $s->_do('find', word => $word) }

# calls(): one hash for each RTCPeerConnection made so far, the last one
# last: state, gathering, candidates, errors, local, remote, framesDecoded,
# framesSent (t/browser/observe.js).
sub calls { @{$_[0]->_do('calls')} }

# call(sub { test of one hash }, seconds = 30): the newest call that is not
# closed, once the test is true of it; dies and shows it otherwise.
sub call {
    my ($self, $test, $timeout) = @_;
    my $call;
    wait_until(sub {
        $call = (grep { $_->{state} ne 'closed' } $self->calls)[-1];
        return $call && $test->($call);
    }, $timeout // 30)
        or croak "$self->{who}: the call is not as expected: "
            . $json->encode($call);
    return $call;
}

1;
