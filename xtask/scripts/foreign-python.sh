#!/usr/bin/env bash
# foreign-python.sh DIRECTORY: a Python for aarch64 Linux in DIRECTORY, in the layout that
# uv uses, from Debian's packages, whose signatures apt checks. It runs under QEMU with the
# C library of Debian's cross packages. Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: foreign-python.sh DIRECTORY" >&2; exit 2; }
directory=$1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
apt=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
  -o APT::Architectures::=arm64 -o Acquire::Languages=none)
apt-get "${apt[@]}" --quiet --quiet update

# `python3` depends on `python3.N`, the newest version that this Debian has.
python=$(apt-cache "${apt[@]}" show python3-minimal:arm64 | grep -oE 'python3\.[0-9]+' | sort -V | tail -n 1)
(cd "$work/debs" && apt-get "${apt[@]}" --quiet --quiet download \
  "$python-minimal:arm64" "lib$python-minimal:arm64" "lib$python-stdlib:arm64" zlib1g:arm64 libexpat1:arm64)
for deb in "$work"/debs/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
done

version=${python#python}
home=$directory/cpython-$version-linux-aarch64-gnu
rm -rf "$directory"
mkdir -p "$home/bin" "$home/lib"
cp "$work/root/usr/bin/$python" "$home/bin/python3"
cp -r "$work/root/usr/lib/$python" "$home/lib/"
find "$work/root" \( -name 'libz.so.1' -o -name 'libexpat.so.1' \) -exec cp --dereference '{}' "$home/lib/" ';'
# Its libraries are beside it, not where Debian installs them. The loader expands
# $ORIGIN, not the shell.
# shellcheck disable=SC2016
patchelf --set-rpath '$ORIGIN/../lib' "$home/bin/python3"
qemu-aarch64-static -L /usr/aarch64-linux-gnu "$home/bin/python3" -c 'import json, zlib'
