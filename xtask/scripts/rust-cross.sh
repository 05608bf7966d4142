#!/usr/bin/env bash
# rust-cross.sh FOLDER: a Rust compiler in FOLDER with the standard libraries of
# x86_64 and aarch64 Linux, from Debian's packages, whose signatures apt checks.
# Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: rust-cross.sh FOLDER" >&2; exit 2; }
folder=$1
[ ! -x "$folder/bin/rustc" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
apt=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
  -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o Acquire::Languages=none)
apt-get "${apt[@]}" --quiet --quiet update

# What the newest compiler depends on, by name: its own libraries and LLVM's.
names=$(apt-cache "${apt[@]}" show rustc-web libstd-rust-web-1.96 | grep -oE 'libstd-rust-web-[0-9.]+|libllvm[0-9]+' | sort -u)
std=$(grep -E '^libstd-rust-web-' <<<"$names" | sort -V | tail -n 1)
llvm=$(grep -E '^libllvm' <<<"$names" | sort -V | tail -n 1)
(cd "$work/debs" && apt-get "${apt[@]}" --quiet --quiet download \
  rustc-web "$std" "$llvm" libstd-rust-web-dev libstd-rust-web-dev:arm64)
for deb in "$work"/debs/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
done

mkdir -p "$work/root/bin"
cat >"$work/root/bin/rustc" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu exec "$root/usr/bin/rustc" "$@"
WRAPPER
chmod 755 "$work/root/bin/rustc"
"$work/root/bin/rustc" --version
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$work/root" "$folder"
