#!/usr/bin/env bash
# newer-nix.sh FOLDER: the Nix of Debian 13 in FOLDER/bin, started with its own
# libraries, from the packages' signed lists by the machine's own sources.
# Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: newer-nix.sh FOLDER" >&2; exit 2; }
folder=$1
source=${BASH_SOURCE[0]}
! cmp -s "$source" "$folder/made-by" || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{sources,lists/partial,cache/archives/partial,debs,root}
# The same archives, the next release.
{ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
  sed -n '/^deb .*bookworm/s/bookworm/trixie/p' >"$work/sources/trixie.list"
for file in /etc/apt/sources.list.d/*.sources; do
  [ ! -f "$file" ] || sed 's/bookworm/trixie/g' "$file" >"$work/sources/$(basename "$file")"
done
printf 'APT::Default-Release "";\n' >"$work/apt.conf"
export APT_CONFIG=$work/apt.conf
apt=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/sources"
  -o "Dir::State::lists=$work/lists" -o "Dir::State::status=/dev/null" -o "Dir::Cache=$work/cache"
  -o APT::Sandbox::User=root -o Acquire::Languages=none -o APT::Install-Recommends=false)
apt-get "${apt[@]}" --quiet --quiet update
# An empty status file makes apt fetch everything that it depends on.
apt-get "${apt[@]}" --quiet --quiet --yes --download-only install nix-bin
for deb in "$work"/cache/archives/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
done

mkdir -p "$work/root/bin.new"
for name in nix nix-store nix-build nix-instantiate nix-env nix-daemon nix-hash; do
  cat >"$work/root/bin.new/$name" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)/root
# Nix would start itself anew as its build hook, without its libraries.
NIX_CONFIG="${NIX_CONFIG-}
build-hook ="
export NIX_CONFIG
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 "$(basename "$0")" \
  --library-path "$libraries" "$root/usr/bin/nix" "$@"
WRAPPER
  chmod 755 "$work/root/bin.new/$name"
done
rm -rf "$folder"
mkdir -p "$folder"
mv "$work/root/bin.new" "$folder/bin"
mv "$work/root" "$folder/root"
cp "$source" "$folder/made-by"
"$folder/bin/nix" --version
