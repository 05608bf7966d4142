#!/usr/bin/env bash
# newer-nix.sh DIRECTORY: the Nix of Debian 13 in DIRECTORY/bin, started with its own
# libraries. Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: newer-nix.sh DIRECTORY" >&2; exit 2; }
directory=$1
# shellcheck source=xtask/scripts/trixie.sh
source "$(dirname "${BASH_SOURCE[0]}")/trixie.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trixie nix-bin "$work/root"

mkdir -p "$work/root/bin.new"
for name in nix nix-store nix-build nix-instantiate nix-env nix-daemon nix-hash; do
  cat >"$work/root/bin.new/$name" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)/root
# As its build hook, Nix would start itself without this wrapper, and so without its
# libraries.
NIX_CONFIG="${NIX_CONFIG-}
build-hook ="
export NIX_CONFIG
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 "$(basename "$0")" \
  --library-path "$libraries" "$root/usr/bin/nix" "$@"
WRAPPER
  chmod 755 "$work/root/bin.new/$name"
done
rm -rf "$directory"
mkdir -p "$directory"
mv "$work/root/bin.new" "$directory/bin"
mv "$work/root" "$directory/root"
"$directory/bin/nix" --version
