package Edge::Site;

# The how-to's whole site, with what conf-examples/ say: its network, the
# database, CMS with web bridge, Call Bridge and API, and the edge between
# them. Built step by step, so that a test can leave something out or do it
# otherwise; t/lib/Edge/Demo.pm walks through it with browsers.
#
#   my $site = Edge::Site->new;
#   $site->network; $site->database; $site->cms; $site->edge;
#   $site->turn_server;                      # all of it: $site->up
#   my $ann = $site->guest('ann');           # a browser outside
#   $ann->open("$Edge::Site::url/");

use strict;
use warnings;
use Carp;
use Edge::Browser;
use Edge::Certs;
use Edge::Examples;
use Edge::Netns;
use Edge::Postgres;
use Edge::Process qw(slurp spew wait_until);
use Edge::Topology;
use Edge::WebBridge;

our $url = 'https://cmsweb.octavio.test';
my $internal = 'cmsweb.cms.octavio.local';
my %at = %Edge::Topology::address;

# new(internal_name_only => 1): the web bridge has never heard of the guest URI.
# It answers to its internal name alone, speaks of itself by it in all it
# sends, its certificate has no other name, and no DNS server inside knows
# another. edge() then takes the lines of nginx.conf that are there for this.
sub new {
    my ($class, %o) = @_;
    return bless {internal_name_only => 0, %o}, $class;
}

sub up {
    my ($self) = @_;
    $self->$_ for qw(network database cms edge turn_server);
    return $self;
}

# The namespaces, firewall and DNS, and the examples in their places.
sub network {
    my ($self) = @_;
    Edge::Examples::install();
    $self->{net} = Edge::Topology->new(
        split_dns => !$self->{internal_name_only});
}

# in('edge'): argv that runs what follows in that place (Edge::Topology).
sub in { my $self = shift; $self->{net}->in(@_) }

# PostgreSQL where Debian has it, with the TURN user that CMS will hand out.
# auth: how system users prove who they are ('peer', as on Debian).
sub database {
    my ($self, %o) = @_;
    my $pg = $self->postgres(%o);
    $pg->install('turn');
    $pg->psql('create role turnserver login in role turn_server');
    $self->{password}
        = $pg->value("select turn.add_user('octavio.test', 'turnuser')");
}

# The same without any database in it.
sub postgres {
    my ($self, %o) = @_;
    my $auth = $o{auth} // 'peer';
    $self->{pg} = Edge::Postgres->start(host => '',
        hba => ['local all postgres trust', "local all all $auth"]);
    symlink $self->{pg}->socket_dir, '/run/postgresql'
        or croak "symlink: $!";
    return $self->{pg};
}

sub pg { $_[0]{pg} }

# The password of turnuser, as add_user() returned it.
sub password { $_[0]{password} }

# cms(setting => value, ...): those of Edge::WebBridge. Unless told, it is as
# CMS is with two domains: answers to the guest URI, and speaks of itself by
# its internal name.
sub cms {
    my ($self, %o) = @_;
    my $only = $self->{internal_name_only};
    my ($cert, $key) = Edge::Certs::cert('inside',
        $only ? () : 'cmsweb.octavio.test', $internal,
        'admin.cms.octavio.local');
    $self->{cms} = Edge::WebBridge->start(
        prefix => [$self->in('inside')],
        cert => $cert, key => $key,
        listen => "$at{cms}:443",
        speaksAs => 'internal',
        $only ? (external => $internal, absoluteUrls => \1) : (),
        callBridgeListen => "$at{cms}:9999",
        iceTransportPolicy => 'relay',
        admin => {listen => "$at{cms}:445", user => 'admin',
            password => 'admin'},
        %o,
    );
    spew('/etc/cms-edge/cms-api.netrc', 'machine admin.cms.octavio.local '
            . "login admin password admin\n", 0600);
}

# nginx and coturn, as their units start them. What an administrator would
# change in the examples: edge(nginx => sub { $_ is nginx.conf's text },
# coturn => sub { turnserver.conf's }).
sub edge {
    my ($self, %o) = @_;
    _edit('nginx/nginx.conf', \&_internal_name)
        if $self->{internal_name_only};
    _edit('nginx/nginx.conf', $o{nginx}) if $o{nginx};
    _edit('coturn/turnserver.conf', $o{coturn}) if $o{coturn};
    Edge::Examples::cli_password();
    $self->{nginx} = Edge::Process->start(
        name => 'nginx',
        argv => [$self->in('edge'), Edge::Examples::nginx_argv()],
        stop_signal => 'QUIT',
        ready => sub { (slurp('/run/nginx.pid') // '') =~ /\d/ },
    );
    $self->_coturn;
}

sub _coturn {
    my ($self) = @_;
    $self->{coturn} = Edge::Process->start(
        name => 'coturn', Edge::Examples::coturn($self->in('edge')),
        ready_log => qr/Total (General servers|relay threads)/,
    );
}

# Changes a running edge over to conf-examples/443-shared, as its README says:
# coturn first, which gives TCP 3478 up.
sub share_443 {
    my ($self) = @_;
    Edge::Examples::share_443();
    _edit('443-shared/nginx.conf', \&_internal_name)
        if $self->{internal_name_only};
    $self->{net}->let_in('tcp', 5349);
    $self->{coturn}->stop;
    $self->_coturn;
    $self->reload_nginx;
}

# Returns when workers of the new configuration have taken over.
sub reload_nginx {
    my ($self) = @_;
    my $pid = $self->{nginx}->pid;
    my $children = sub { slurp("/proc/$pid/task/$pid/children") // '' };
    my $before = $children->();
    $self->{nginx}->signal('HUP');
    wait_until(sub {
        my %before = map { $_ => 1 } split ' ', $before;
        grep { !$before{$_} } split ' ', $children->();
    }) or croak 'nginx does not reload: ' . $self->logs;
}

# nginx.conf's lines for such a web bridge.
sub _internal_name {
    for my $directive ('upstream_host  internal', 'rewrite_websocket  on') {
        s/^( +)# ($directive;)/$1$2/m or croak "nginx.conf has no $directive";
    }
}

sub _edit {
    my ($example, $change) = @_;
    my $file = Edge::Examples::where($example);
    local $_ = slurp($file);
    my $before = $_;
    $change->();
    $_ ne $before or croak "$example is not changed";
    spew($file, $_, 0644);
}

# Tells CMS about the TURN server and waits until CMS says it is reachable.
sub turn_server {
    my ($self, $password) = @_;
    my $id = $self->cms_tool('add', ($password // $self->{password}) . "\n");
    my $status;
    wait_until(sub {
        $status = $self->cms_tool("status $id");
        return $status =~ /<reachable>true/;
    }) or croak "CMS does not reach the TURN server: $status";
    return $id;
}

# cms_tool(arguments, stdin): conf-examples/cms/turn-server, run inside; what
# it prints.
sub cms_tool {
    my ($self, $arguments, $stdin) = @_;
    my $file = "$Edge::Netns::dir/cms-tool-stdin";
    spew($file, $stdin // '', 0600);
    my $tool = Edge::Examples::where('cms/turn-server');
    open my $out, '-|', $self->in('inside'), 'sh', '-c',
        "$tool $arguments < $file 2>&1" or croak "sh: $!";
    local $/;
    my $text = <$out> // '';
    close $out or croak "turn-server $arguments failed: $text";
    $text =~ s/\s+\z//;
    return $text;
}

# output('ann', argv): exit status and all that it said, in that place (undef:
# here).
sub output {
    my ($self, $where, @argv) = @_;
    unshift @argv, $self->in($where) if defined $where;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @argv;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

# curl of a guest outside: what it said.
sub curl {
    my ($self, @arguments) = @_;
    my (undef, $text) = $self->output('ann', 'curl', '-sS', '-m', '10',
        '--cacert', Edge::Certs::ca('outside'), @arguments);
    return $text;
}

# Commands of a README as an administrator types them on the edge, in a
# checkout that postgres may read, with names and addresses replaced: exit
# status and what they said.
sub commands {
    my ($self, $commands, %env) = @_;
    my $checkout = "$Edge::Netns::dir/checkout";
    if (!-d $checkout) {
        mkdir $checkout;
        system('cp', '-r', (map { "$Edge::Netns::root/$_" }
            'sql', 'conf-examples'), $checkout);
        symlink "$Edge::Netns::dir/lib", "$checkout/build";
    }
    local @ENV{keys %env} = values %env;
    local $ENV{PATH} = "$Edge::Netns::dir/bin:$ENV{PATH}";
    return $self->output('edge', 'sh', '-c', "cd $checkout\n"
            . Edge::Examples::substituted($commands));
}

# What nginx and coturn have logged so far.
sub logs {
    my ($self) = @_;
    return join '', $self->{nginx}->log_text, $self->{coturn}->log_text,
        map { slurp($_) } glob '/var/log/nginx/*.log';
}

# A browser at ann or bob (outside) or inside; further options as
# Edge::Browser's person().
sub guest {
    my ($self, $who, %o) = @_;
    my $browsers = $self->{browsers} //= Edge::Browser->start;
    return $browsers->person($who,
        trust => Edge::Certs::ca($who eq 'inside' ? 'inside' : 'outside'),
        prefix => [$self->in($who)], %o);
}

# turn_only('udp'), turn_only('tcp'): the firewall drops what else comes to the
# TURN port, in running calls as well. turn_only('udp', 'tcp') is the
# beginning.
sub turn_only {
    my ($self, @open) = @_;
    my $drop = join ' ', map { my $p = $_; (grep { $_ eq $p } @open) ? ()
        : "$p dport 3478 drop;" } qw(udp tcp);
    my $rules = 'add table ip turn; delete table ip turn; table ip turn {'
        . " chain c { type filter hook forward priority -10; $drop }; }";
    system('ip', 'netns', 'exec', 'firewall', 'nft', $rules) == 0
        or croak "nft '$rules' failed";
}

# lets_out('ann', 'tcp dport 443', ...): what the network that a guest is in
# lets out; nothing else, in running calls as well.
sub lets_out {
    my ($self, $who, @open) = @_;
    my $accept = join ' ', map { "$_ accept;" } @open;
    system('ip', 'netns', 'exec', $who, 'nft', 'table ip hotel { chain out {'
            . ' type filter hook output priority 0; policy drop;'
            . " oif lo accept; $accept }; }") == 0 or croak 'nft failed';
}

1;
