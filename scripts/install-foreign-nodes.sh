#!/bin/sh
# Fetches Node for other machines with the libraries they need, for test/machine/foreign-node*:
# ia32 and riscv64 from Debian, armv7l and arm64 from npm. Nothing is installed: all goes into one
# folder, which is $SAFEEXEC_FOREIGN, by default ~/.cache/safeexec/foreign. What is there already
# stays.
#
# Arguments name machines of which it also fetches a kernel, with a busybox to go with it, for
# test/machine/foreign-kernel: arm64 (one whose pages have 16 KiB), arm, riscv64.
#
# Wants apt-get, dpkg, npm, and the package debian-archive-keyring; not root. To run the tests it
# also takes qemu (package qemu-user-static), and for ia32 a kernel that runs 32-bit programs and
# allows mounts: as root, or in a user namespace.
set -eu

folder=${SAFEEXEC_FOREIGN:-${XDG_CACHE_HOME:-$HOME/.cache}/safeexec/foreign}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# apt, on a configuration of its own: apt_for SUITE ARCHITECTURE COMMAND...
apt_for() {
  suite=$1 architecture=$2
  shift 2
  state=$work/$suite-$architecture
  mkdir -p "$state/lists/partial" "$state/archives/partial"
  touch "$state/status"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/sources.list"
  apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any \
    -o APT::Update::Post-Invoke-Success::= \
    -o Dir::State="$state" -o Dir::State::status="$state/status" \
    -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" \
    -o Dir::Etc::sourcelist="$state/sources.list" \
    -o Dir::Etc::sourceparts="$state/archives/partial" \
    -o Dir::Etc::preferencesparts="$state/archives/partial" "$@"
}

# Packages with all that they depend on, unpacked: unpack SUITE ARCHITECTURE TARGET PACKAGE...
unpack() {
  from=$1 for=$2 target=$3
  shift 3
  apt_for "$from" "$for" update || return 1
  apt_for "$from" "$for" --no-install-recommends --download-only -y install "$@" || return 1
  mkdir -p "$target"
  for package in "$work/$from-$for/archives/"*.deb; do
    dpkg -x "$package" "$target" || return 1
  done
}

mkdir -p "$folder"

# from_debian NAME ARCHITECTURE: from the oldest suite whose Node is recent enough; a mirror may be
# in the middle of an update.
from_debian() {
  [ ! -e "$folder/$1/usr/bin/node" ] || return 0
  for suite in trixie forky sid; do
    rm -rf "$work/$1"
    if unpack "$suite" "$2" "$work/$1" nodejs && [ -e "$work/$1/usr/bin/node" ]; then
      # Where programs look for their dynamic linker.
      [ -e "$work/$1/lib" ] || ln -s usr/lib "$work/$1/lib"
      mv "$work/$1" "$folder/$1"
      return
    fi
    echo "no Node for $2 from $suite" >&2
  done
  echo "no suite of $mirror has a Node for $2" >&2
  return 1
}

# from_npm NAME ARCHITECTURE VERSION SUM
from_npm() {
  [ ! -e "$folder/$1/usr/bin/node" ] || return 0
  unpack bookworm "$2" "$work/$1" libc6 libstdc++6 libatomic1
  (cd "$work" && npm pack --silent "node-linux-$1@$3" >/dev/null)
  echo "$4  $work/node-linux-$1-$3.tgz" | sha512sum --check --quiet
  tar -xzf "$work/node-linux-$1-$3.tgz" -C "$work" package/bin/node
  mkdir -p "$work/$1/usr/bin"
  mv "$work/package/bin/node" "$work/$1/usr/bin/node"
  mv "$work/$1" "$folder/$1"
}

from_npm armv7l armhf 20.11.0 \
  a4230b00fdf954f263b9a145919f2437cc509a98c7fde054888ce71722513adccba6e5ea57be71001d76665a32e9be394f49a0ba31d4013e0969df4bd86f6662
from_npm arm64 arm64 20.20.2 \
  2c25c99cd4c58b21ae601c36819488e4e04531b92300fb7cb2a0ff34aad6a04d90983812b9b4ea16783a19a349f4427c1e9c413067165a96db72ce15a3e0a71a
from_debian ia32 i386
from_debian riscv64 riscv64

# kernel NAME ARCHITECTURE PACKAGE: of a package that depends on the latest kernel.
kernel() {
  [ ! -e "$folder/kernels/$1/kernel" ] || return 0
  apt_for trixie "$2" update
  package=$(apt_for trixie "$2" --no-install-recommends -s install "$3" |
    sed -n 's/^Inst \(linux-image-[0-9][^ ]*\) .*/\1/p')
  mkdir -p "$work/kernel-$1" "$folder/kernels"
  (cd "$work/kernel-$1" && apt_for trixie "$2" download "$package" busybox-static)
  mkdir "$work/kernel-$1/found"
  for archive in "$work/kernel-$1/"*.deb; do
    dpkg-deb --fsys-tarfile "$archive" |
      tar -x -C "$work/kernel-$1" --wildcards './boot/vmlinu*' './usr/bin/busybox' 2>/dev/null || true
  done
  mv "$work/kernel-$1/boot/"vmlinu* "$work/kernel-$1/found/kernel"
  mv "$work/kernel-$1/usr/bin/busybox" "$work/kernel-$1/found/busybox"
  mv "$work/kernel-$1/found" "$folder/kernels/$1"
}
for machine in "$@"; do
  case $machine in
  arm64) kernel arm64 arm64 linux-image-arm64-16k ;;
  arm) kernel arm armhf linux-image-armmp ;;
  riscv64) kernel riscv64 riscv64 linux-image-riscv64 ;;
  *) echo "there is no kernel for $machine to be had" >&2; exit 2 ;;
  esac
done
echo "$folder: $(ls "$folder" | tr '\n' ' ')"
