# Runs a command with a new pseudoterminal as its descriptor 0. With `own`, the command leads a
# session of which that is the controlling terminal. Arguments: own or free, command.
use strict;
use warnings;

my ($TIOCSPTLCK, $TIOCGPTN, $TIOCSCTTY, $O_RDWR, $O_NOCTTY) =
    (0x40045431, 0x80045430, 0x540e, 2, 0400);
my $mode = shift;
# The command keeps the other end, or the terminal would hang up.
$^F = 99;
sysopen(my $other, '/dev/ptmx', $O_RDWR | $O_NOCTTY) or die "/dev/ptmx: $!";
my $number = pack 'i', 0;
ioctl($other, $TIOCSPTLCK, $number) or die "TIOCSPTLCK: $!";
ioctl($other, $TIOCGPTN, $number) or die "TIOCGPTN: $!";
my $name = '/dev/pts/' . unpack('i', $number);
sysopen(my $terminal, $name, $O_RDWR | $O_NOCTTY) or die "$name: $!";
open(STDIN, '+<&', $terminal) or die "descriptor 0: $!";
if ($mode eq 'own') {
    my %setsid = ('x86_64' => 112, 'aarch64' => 157);
    syscall($setsid{ $ENV{MACHINE} }) >= 0 or die "setsid: $!";
    ioctl(STDIN, $TIOCSCTTY, 0) or die "TIOCSCTTY: $!";
}
exec @ARGV or die "$ARGV[0]: $!";
