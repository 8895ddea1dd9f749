#!/usr/bin/env bash
# Unpacks Debian packages of another architecture, with all that they depend on, into a folder: libraries
# for an emulator, without touching what is installed here. Does nothing where it has been done.
#   scripts/sysroot.sh SUITE ARCHITECTURE FOLDER PACKAGE...
# SUITE is a Debian's, such as trixie; it need not be the one that runs here.
set -euo pipefail
suite=$1 architecture=$2 folder=$3
shift 3
stamp=$folder/.packages
[[ -f $stamp && $(<"$stamp") == "$suite $*" ]] && exit 0

# A package manager of its own for that architecture, on which nothing is installed yet.
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/archives/partial" "$folder"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
  >"$state/sources.list"
apt() {
  apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
    -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true \
    -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null \
    -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" "$@"
}
log=$state/log
echo "sysroot: $suite, $architecture: $*"
if ! { apt update && apt install -y --download-only "$@"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "sysroot: apt-get could not download $* for $architecture" >&2
  exit 1
fi
for package in "$state"/archives/*.deb; do
  dpkg-deb -x "$package" "$folder"
done
# Where /lib is a link, the package base-files makes it.
[[ -e $folder/lib ]] || ln -s usr/lib "$folder/lib"
echo "$suite $*" >"$stamp"
