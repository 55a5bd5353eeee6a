# bwrap. Argument: a row. The whole file system is there unless the row is about that.
row=$1
probe() { bwrap --dev-bind / / "$@" -- "$PERL" "$PROBE"; }
attempt() { bwrap --dev-bind / / "$@" 2>&1 | tr -d '"\\\n'; }

case $row in
cwd) probe --chdir "$SCRATCH/folder" ;;
env) probe --clearenv --setenv OPTION here ;;
descriptors) probe 3<"$SCRATCH/folder/file" ;;
closeDescriptors) probe 5<"$SCRATCH/leak" ;;
session) probe --new-session ;;
mountNamespace | noNewPrivileges | noFork) probe ;;
# This shell has a mask of its own.
signalMask | ignoredSignals) env --block-signal=USR2 bwrap --dev-bind / / -- "$PERL" "$PROBE" ;;
ids) probe --unshare-user --uid 65534 --gid 65534 ;;
bounding | capabilitySets | ambient) probe --cap-drop ALL --cap-add CAP_KILL ;;
parentDeathSignal) probe --die-with-parent ;;
pivotRoot)
  bwrap --bind "$SCRATCH/root" / --cap-add CAP_SYS_CHROOT -- /usr/bin/perl /probe.pl escape
  ;;
userNamespace) probe --unshare-user ;;
pidNamespace) probe --unshare-pid ;;
networkNamespace) probe --unshare-net ;;
ipcNamespace) probe --unshare-ipc ;;
utsNamespace) probe --unshare-uts ;;
cgroupNamespace) probe --unshare-cgroup ;;
joinNamespaces)
  unshare --user --map-root-user sleep 20 &
  until [ "$(readlink "/proc/$!/ns/user")" != "$(readlink /proc/self/ns/user)" ] &&
    read -r _ <"/proc/$!/uid_map"; do :; done
  probe --userns 5 5<"/proc/$!/ns/user"
  kill $!
  ;;
bind) probe --ro-bind "$SCRATCH/folder" "$SCRATCH/target" ;;
tmpfs) probe --tmpfs "$SCRATCH/target" ;;
seccomp) probe --seccomp 5 5<"$SCRATCH/filter" ;;
failingStep)
  printf '{"chdir":"%s","exec":"%s","setuid":"%s"}\n' \
    "$(attempt --chdir "$SCRATCH/missing" true)" \
    "$(attempt "$SCRATCH/folder/file")" \
    "$(attempt --unshare-user --uid 1 --userns 99 true)"
  ;;
badInput) printf '{"refused":"%s"}\n' "$(attempt --unshare-user --uid abc true)" ;;
*) echo "no such row: $row" >&2 && exit 1 ;;
esac
